//! The goals seen so far, as an arena: every goal knows, by number, its children and its records.
//!
//! Ids are not kept per goal. A hostile key names up to 256 goals in half a kilobyte; each costs the same
//! small node, so memory stays in proportion to the numbers sent.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{Liveness, MAX_TEXT, Part, RecordRef, Summary, Tree, grow};
use crate::{Fields, GoalId, Key, Raw, record};

/// Names of loggers and processes are clipped to this many bytes.
const MAX_NAME: usize = 256;

/// More numbers than this in one `goal.awaited` are not read.
const MAX_AWAITED: usize = 4096;

/// Every record added so far, arranged by goal.
#[derive(Debug, Default)]
pub struct Forest {
    goals: Vec<Goal>,
    roots: BTreeMap<[u8; 16], usize>,
    names: HashSet<Arc<str>>,
}

/// What was seen of one goal.
#[derive(Debug, Default)]
pub struct Goal {
    pub(super) children: BTreeMap<u32, usize>,
    pub(super) records: BTreeMap<u32, Box<Seen>>,
}

/// A record and, if it is the first or last of its goal, what it says about the goal.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) record: RecordRef,
    pub(super) says: Option<Box<Says>>,
}

/// The field `goal` of a begin or end record.
#[derive(Debug)]
pub(super) struct Says {
    pub(super) title: Option<String>,
    pub(super) failed: bool,
    pub(super) duration: Option<f64>,
    pub(super) count: Option<u32>,
    pub(super) error: Option<String>,
    pub(super) link: Option<String>,
    pub(super) awaited: Vec<u32>,
}

impl Forest {
    /// No records yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record that the store has at `offset`. Says whether it was new: it belongs to a goal,
    /// and no record with its key was there. Of two records with one key, the one stored first is kept.
    pub fn add<F: Fields + ?Sized>(&mut self, offset: u64, row: &F) -> bool {
        let Some(Key { number, goal }) = row.key() else {
            return false;
        };
        let at = self.place(&goal);
        let earlier =
            self.goals.get(at).and_then(|goal| goal.records.get(&number)).map(|seen| seen.record.offset);
        if earlier.is_none_or(|earlier| offset < earlier) {
            let seen = Box::new(self.seen(number, offset, row));
            if let Some(goal) = self.goals.get_mut(at) {
                goal.records.insert(number, seen);
            }
        }
        earlier.is_none()
    }

    /// The roots of all trees, in the order of their ids.
    pub fn roots(&self) -> impl Iterator<Item = GoalId> {
        self.roots.keys().map(|root| GoalId::from_root(*root))
    }

    /// The number of goals of which something was seen, or something below them.
    pub fn len(&self) -> usize {
        self.goals.len()
    }

    /// Whether no record of any goal was added.
    pub fn is_empty(&self) -> bool {
        self.goals.is_empty()
    }

    /// What was seen of one goal; `None` if nothing was, nor of any goal below it.
    pub fn goal(&self, id: &GoalId) -> Option<&Goal> {
        let root = self.goals.get(*self.roots.get(&id.root())?)?;
        id.path().iter().try_fold(root, |goal, number| self.goals.get(*goal.children.get(number)?))
    }

    /// The tree below a goal, any goal, as it stands at `now` (ns).
    pub fn build(&self, root: &GoalId, now: i64) -> Option<Tree> {
        self.build_with(root, &Liveness::at(now))
    }

    /// The same with a rule of the caller's for what is silent.
    pub fn build_with(&self, root: &GoalId, liveness: &Liveness) -> Option<Tree> {
        Some(grow::tree(self, self.goal(root)?, root.clone(), liveness))
    }

    /// One line for a list of tasks.
    pub fn summary(&self, root: &GoalId, liveness: &Liveness) -> Option<Summary> {
        Some(self.build_with(root, liveness)?.summary())
    }

    pub(super) fn at(&self, at: usize) -> Option<&Goal> {
        self.goals.get(at)
    }

    /// Where the goal is in the arena; it and all above it are made if they are not there.
    fn place(&mut self, id: &GoalId) -> usize {
        let goals = &mut self.goals;
        let new = |goals: &mut Vec<Goal>| {
            goals.push(Goal::default());
            goals.len() - 1
        };
        let mut at = *self.roots.entry(id.root()).or_insert_with(|| new(goals));
        for number in id.path() {
            let known = goals.get(at).and_then(|goal| goal.children.get(number)).copied();
            let below = known.unwrap_or_else(|| new(goals));
            if let Some(goal) = goals.get_mut(at) {
                goal.children.insert(*number, below);
            }
            at = below;
        }
        at
    }

    fn seen<F: Fields + ?Sized>(&mut self, number: u32, offset: u64, row: &F) -> Seen {
        let logger = row.get("name").and_then(Raw::into_str).map(|name| self.name(&name));
        let process = record::process_label(row).map(|label| self.name(&label));
        let message = Arc::from(clipped(&row.message().unwrap_or_default(), MAX_TEXT));
        let (part, says) = says(row);
        let (level, created) = (row.level().unwrap_or_default(), row.created());
        Seen { record: RecordRef { number, offset, level, created, message, logger, process, part }, says }
    }

    /// Loggers and processes are few: each name is kept once.
    fn name(&mut self, name: &str) -> Arc<str> {
        let name = clipped(name, MAX_NAME);
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&new));
        new
    }
}

impl Goal {
    /// The records seen, by number.
    pub fn records(&self) -> impl Iterator<Item = &RecordRef> {
        self.records.values().map(|seen| &seen.record)
    }

    /// The numbers of the children of which something was seen.
    pub fn children(&self) -> impl Iterator<Item = u32> {
        self.children.keys().copied()
    }

    /// The title, if its begin or end record was seen.
    pub fn title(&self) -> Option<&str> {
        let says = |part| self.says(part).and_then(|(_, says)| says.title.as_deref());
        says(Part::Begin).or_else(|| says(Part::End))
    }

    /// Whether its end record was seen.
    pub fn has_ended(&self) -> bool {
        self.says(Part::End).is_some()
    }

    /// The first record, by number, that begins or ends the goal.
    pub(super) fn says(&self, part: Part) -> Option<(&RecordRef, &Says)> {
        let said = |seen: &Seen| seen.record.part == part;
        let found = match part {
            // The end record has the last number: looking from there, it is found at once.
            Part::End => self.records.values().rev().find(|seen| said(seen)),
            _ => self.records.values().find(|seen| said(seen)),
        }?;
        Some((&found.record, found.says.as_deref()?))
    }
}

fn says<F: Fields + ?Sized>(row: &F) -> (Part, Option<Box<Says>>) {
    let Some(goal) = row.get("goal") else {
        return (Part::Inner, None);
    };
    let text = |name| goal.walk(name).and_then(Raw::into_str);
    let part = match text("event").as_deref() {
        Some("begin") => Part::Begin,
        Some("end") => Part::End,
        _ => return (Part::Inner, None),
    };
    let clip = |name| text(name).map(|text| clipped(&text, MAX_TEXT).to_owned());
    let number = |value: Raw<'_>| value.as_i64().and_then(|number| u32::try_from(number).ok());
    let awaited = goal
        .walk("awaited")
        .map(|list| list.members().take(MAX_AWAITED).filter_map(|(_, n)| number(n)).collect());
    let says = Says {
        title: clip("title"),
        failed: text("status").as_deref() == Some("failed"),
        duration: goal.walk("duration").and_then(Raw::as_f64),
        count: goal.walk("count").and_then(number),
        error: clip("error"),
        link: clip("link"),
        awaited: awaited.unwrap_or_default(),
    };
    (part, Some(Box::new(says)))
}

fn clipped(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
