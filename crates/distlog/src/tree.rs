//! Records in any order, with any of them missing → the tree of goals they describe.
//!
//! A [`Forest`] keeps of each record what the views show and nothing more, texts clipped at [`MAX_TEXT`] bytes.
//! A [`Tree`] is built from it on demand and depends only on *which* records were added, never on their order;
//! a record added twice counts once.
//!
//! A goal's numbers are one sequence: its begin record is 0, later records and child goals draw 1, 2, …, and the end record
//! draws the last one and says how many were drawn (`goal.count`). So each number below the count, or below the highest
//! one seen while the goal is open, is a record seen, a child of which something was seen, a child that was handed to
//! another process (`goal.awaited` of the end record), or **missing**. Children with numbers drawn by lot ([`crate::goal::LOTS`])
//! are beside the sequence.

mod forest;
mod grow;
mod json;

use std::collections::HashSet;
use std::sync::Arc;

pub use forest::{Forest, Goal};

use crate::GoalId;
use crate::record::SECOND;

/// Longer messages, titles and errors are clipped to this many bytes.
pub const MAX_TEXT: usize = 1024;

/// A goal that has not ended and said nothing for this long is shown as silent, unless the caller says otherwise (ns).
pub const SILENT_AFTER: i64 = 600 * SECOND;

/// A goal with all that was seen below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The goal's id.
    pub id: GoalId,
    /// From its begin record, else its end record; empty if neither was seen.
    pub title: String,
    /// How it stands.
    pub status: Status,
    /// `created` of the begin record (ns).
    pub begin: Option<i64>,
    /// `created` of the end record (ns).
    pub end: Option<i64>,
    /// The newest `created` in the whole subtree (ns).
    pub last: Option<i64>,
    /// Seconds: what the end record says, else the time between the first and the last record;
    /// for a running goal the time since its begin.
    pub duration: Option<f64>,
    /// Labels of all processes of the subtree, in order of first appearance.
    pub processes: Vec<String>,
    /// The process that began this goal, as far as seen.
    pub process: Option<Arc<str>>,
    /// The logger of the goal's first record.
    pub logger: Option<Arc<str>>,
    /// Records seen in the whole subtree.
    pub records: u64,
    /// The goal's own records by number, begin and end records included.
    pub own_records: Vec<RecordRef>,
    /// The goal's own numbers of which nothing was seen: `5@<goal id>`, `5-6@<goal id>`.
    pub missing: Vec<String>,
    /// How many numbers `missing` stands for.
    pub missing_count: u64,
    /// What the end record says went wrong.
    pub error: Option<String>,
    /// `goal.link` of the begin record: the goal it was caused by without being part of it.
    pub link: Option<String>,
    /// The goals below, by number.
    pub children: Vec<Tree>,
}

/// What the views need of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRef {
    /// Its number in its goal.
    pub number: u32,
    /// Where the store has it.
    pub offset: u64,
    /// `levelno`, or 0.
    pub level: i64,
    /// When it was made (ns).
    pub created: Option<i64>,
    /// The message, clipped.
    pub message: Arc<str>,
    /// The logger's name.
    pub logger: Option<Arc<str>>,
    /// The label of the process.
    pub process: Option<Arc<str>>,
    /// Whether it begins or ends the goal.
    pub part: Part,
}

/// What a record is to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Its first record.
    Begin,
    /// Any record between.
    Inner,
    /// Its last record.
    End,
}

/// How a goal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Ended well.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Begun and not ended.
    Running,
    /// Begun and not ended, and its process is gone or has said nothing for long.
    Silent,
    /// Handed to another process, of which nothing was seen.
    Awaited,
    /// Only goals below it were seen.
    Unknown,
}

/// When an open goal is called silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// The present (ns).
    pub now: i64,
    /// Silent if the newest record of its subtree is older than this (ns); `None`: never for that reason.
    pub silent_after: Option<i64>,
    /// Labels of processes known to be gone: their open goals are silent.
    pub gone: HashSet<String>,
}

/// One line of a task list.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The goal's id.
    pub id: GoalId,
    /// Its title.
    pub title: String,
    /// Its own status, whatever is open below.
    pub status: Status,
    /// Seconds.
    pub duration: Option<f64>,
    /// Records seen in the whole tree.
    pub records: u64,
    /// Numbers missing in the whole tree.
    pub missing: u64,
    /// Goals below that have not ended.
    pub open: u64,
    /// Goals in the whole tree that failed.
    pub failed: u64,
    /// When it began (ns).
    pub begin: Option<i64>,
    /// The newest record's time (ns).
    pub last: Option<i64>,
    /// Labels of all processes.
    pub processes: Vec<String>,
}

impl Status {
    /// The name in JSON and in filters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Silent => "silent",
            Self::Awaited => "awaited",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the goal has ended.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

impl Liveness {
    /// The usual rule, at that time (ns).
    pub fn at(now: i64) -> Self {
        Self { now, silent_after: Some(SILENT_AFTER), gone: HashSet::new() }
    }
}

impl Tree {
    /// Whether every goal has ended and every number of every goal was seen.
    pub fn complete(&self) -> bool {
        self.status.is_ended() && self.missing_count == 0 && self.children.iter().all(Self::complete)
    }

    /// How many numbers are missing in the whole tree.
    pub fn missing_total(&self) -> u64 {
        self.goals().map(|goal| goal.missing_count).sum()
    }

    /// How many goals below this one have not ended.
    pub fn open(&self) -> u64 {
        self.goals().skip(1).filter(|goal| !goal.status.is_ended()).count() as u64
    }

    /// This goal and all below it, each before those below it.
    pub fn goals(&self) -> impl Iterator<Item = &Self> {
        let mut waiting = vec![self];
        std::iter::from_fn(move || {
            let goal = waiting.pop()?;
            waiting.extend(goal.children.iter().rev());
            Some(goal)
        })
    }

    /// One line for a list of tasks.
    pub fn summary(&self) -> Summary {
        Summary {
            id: self.id.clone(),
            title: self.title.clone(),
            status: self.status,
            duration: self.duration,
            records: self.records,
            missing: self.missing_total(),
            open: self.open(),
            failed: self.goals().filter(|goal| goal.status == Status::Failed).count() as u64,
            begin: self.begin,
            last: self.last,
            processes: self.processes.clone(),
        }
    }
}
