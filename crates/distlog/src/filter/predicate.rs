//! A compiled filter, and its answer for one row.
//!
//! Two values only: a test of an absent field is false, its negation true; `null` is absent.

use std::borrow::Cow;

use super::Enclosing;
use super::pattern::Pattern;
use super::values::{Number, Span};
use crate::record::{JsonKind, process_label};
use crate::{Fields, GoalPrefix, Raw};

/// A condition on a row.
#[derive(Debug)]
pub(super) enum Predicate {
    /// Every row.
    Always,
    /// All of them hold.
    All(Vec<Predicate>),
    /// Some of them holds.
    Some(Vec<Predicate>),
    /// It does not hold.
    Not(Box<Predicate>),
    /// Message, exception text or goal title.
    Spoken(Pattern),
    /// `levelno` from here to there, both included.
    Level(i64, i64),
    /// A text of the language's own names.
    Text(Text, Pattern),
    /// `created` from here to there (ns), both included.
    Created(i64, i64),
    /// A number of the language's own names.
    Number(Numeric, Span),
    /// The record belongs to a goal of this family.
    Family(GoalPrefix),
    /// Its goal is exactly this, or fits.
    Goal(Pattern),
    /// How the goal stands, as far as one record tells.
    Standing(Standing),
    /// Any other field.
    Field(Box<Name>, Value),
    /// One of the language's own names has a value.
    Present(Own),
    /// Some enclosing goal matches.
    Within(Box<Predicate>),
    /// Some record of the task matches.
    SomeOfTask(Box<Predicate>),
}

/// Fields of the language's own that hold text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Logger,
    Message,
    Process,
    Host,
    Title,
    LevelName,
}

/// Fields of the language's own that hold numbers. Durations are seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Numeric {
    Duration,
    GoalDuration,
    Depth,
}

/// All names of the language's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Level,
    Text(Text),
    Created,
    Number(Numeric),
    Task,
    GoalId,
    Standing,
}

/// What `goal.status` is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Succeeded,
    Failed,
    /// A begin record: at its time, the goal ran.
    Running,
    /// Silent, awaited, unknown: only the whole task tells.
    NeedsTask,
}

/// Where to look for a custom field.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) whole: String,
    /// Before and after the first dot.
    pub(super) steps: Option<(String, String)>,
}

/// What a custom field's value is compared with; its own kind decides which part counts.
#[derive(Debug)]
pub(super) enum Value {
    Present,
    /// Numbers by the span, texts by the pattern; a number is also compared as text if there is no span.
    Either(Option<Span>, Option<Pattern>),
}

impl Predicate {
    pub(super) fn holds(&self, row: &dyn Fields, around: &dyn Enclosing) -> bool {
        match self {
            Self::Always => true,
            Self::All(parts) => parts.iter().all(|part| part.holds(row, around)),
            Self::Some(parts) => parts.iter().any(|part| part.holds(row, around)),
            Self::Not(inner) => !inner.holds(row, around),
            Self::Spoken(pattern) => spoken(row, pattern),
            Self::Level(low, high) => row.level().is_some_and(|level| (*low..=*high).contains(&level)),
            Self::Text(Text::Process, pattern) => process(row, pattern),
            Self::Text(text, pattern) => text.of(row).is_some_and(|text| pattern.fits(&text)),
            Self::Created(from, to) => row.created().is_some_and(|created| (*from..=*to).contains(&created)),
            Self::Number(name, span) => name.of(row).is_some_and(|number| span.holds(number)),
            Self::Family(family) => goal_id(row).is_some_and(|id| family.fits_text(&id)),
            Self::Goal(pattern) => goal_id(row).is_some_and(|id| pattern.fits(&id)),
            Self::Standing(standing) => Standing::of(row) == Some(*standing),
            Self::Field(name, value) => name.find(row).is_some_and(|found| value.fits(found)),
            Self::Present(own) => own.is_present(row),
            Self::Within(inner) => around.encloses(row, &mut |goal| inner.holds(goal, around)),
            Self::SomeOfTask(inner) => around.some_of_task(row, &mut |other| inner.holds(other, around)),
        }
    }
}

fn spoken(row: &dyn Fields, pattern: &Pattern) -> bool {
    let fits = |text: Option<Cow<'_, str>>| text.is_some_and(|text| pattern.fits(&text));
    fits(row.message()) || fits(row.get("exc_text").and_then(Raw::into_str)) || fits(Text::Title.of(row))
}

/// The name or the pid; or the label, by whoever wrote a whole one.
fn process(row: &dyn Fields, pattern: &Pattern) -> bool {
    if row.get("processName").and_then(Raw::into_str).is_some_and(|name| pattern.fits(&name)) {
        return true;
    }
    let pid = row.get("process").filter(|pid| pid.kind() != JsonKind::Null);
    if pid.is_some_and(|pid| pattern.fits_atom(pid.text())) {
        return true;
    }
    let meant = match pattern {
        Pattern::Has(text) => text.text().contains('/'),
        _ => true,
    };
    meant && process_label(row).is_some_and(|label| pattern.fits(&label))
}

impl Text {
    fn of(self, row: &dyn Fields) -> Option<Cow<'_, str>> {
        match self {
            Self::Logger => row.get("name")?.into_str(),
            Self::Message => row.message(),
            Self::Process => row.get("processName")?.into_str(),
            Self::Host => row.get("hostname")?.into_str(),
            Self::Title => row.get("goal")?.walk("title")?.into_str(),
            Self::LevelName => row.get("levelname")?.into_str(),
        }
    }

    /// The columns that may hold it.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Logger => &["name"],
            Self::Message => &["message", "msg"],
            Self::Process => &["processName", "process", "hostname"],
            Self::Host => &["hostname"],
            Self::Title => &["goal"],
            Self::LevelName => &["levelname"],
        }
    }
}

impl Numeric {
    fn of(self, row: &dyn Fields) -> Option<Number> {
        let of_goal = || Number::of(row.get("goal")?.walk("duration")?);
        match self {
            Self::GoalDuration => of_goal(),
            Self::Duration => find(row, "duration", None).and_then(Number::of).or_else(of_goal),
            Self::Depth => {
                let id = goal_id(row)?;
                i64::try_from(id.matches('/').count()).ok().map(Number::whole)
            }
        }
    }
}

impl Own {
    fn is_present(self, row: &dyn Fields) -> bool {
        match self {
            Self::Level => row.level().is_some() || Text::LevelName.of(row).is_some(),
            Self::Text(Text::Process) => {
                let present = |name| row.get(name).is_some_and(|value| value.kind() != JsonKind::Null);
                present("processName") || present("process")
            }
            Self::Text(text) => text.of(row).is_some(),
            Self::Created => row.created().is_some(),
            Self::Number(name) => name.of(row).is_some(),
            Self::Task | Self::GoalId => goal_id(row).is_some(),
            Self::Standing => Standing::of(row).is_some(),
        }
    }
}

impl Standing {
    fn of(row: &dyn Fields) -> Option<Self> {
        let goal = row.get("goal")?;
        if goal.walk("event")?.into_str()? == "begin" {
            return Some(Self::Running);
        }
        match &*goal.walk("status")?.into_str()? {
            "succeeded" => Some(Self::Succeeded),
            "failed" => Some(Self::Failed),
            _ => None,
        }
    }
}

/// The goal's id as it was sent, after the `@` of the record's key.
fn goal_id(row: &dyn Fields) -> Option<Cow<'_, str>> {
    let context = row.get("context")?;
    if let Some(key) = first_key(context.text()) {
        return key.split_once('@').map(|(_, id)| Cow::Borrowed(id));
    }
    match context.walk("key")?.into_str()? {
        Cow::Borrowed(key) => key.split_once('@').map(|(_, id)| Cow::Borrowed(id)),
        Cow::Owned(key) => key.split_once('@').map(|(_, id)| Cow::Owned(id.to_owned())),
    }
}

/// The key where our own clients write it, in front and plain: found without walking. `None` says nothing.
fn first_key(context: &str) -> Option<&str> {
    let value = context.strip_prefix("{\"key\":")?.trim_start_matches(' ').strip_prefix('"')?;
    let (key, rest) = value.split_once('"')?;
    let only = !key.contains('\\')
        && memchr::memmem::find(rest.as_bytes(), b"key").is_none()
        && !rest.contains('\\');
    only.then_some(key)
}

impl Name {
    fn find<'a>(&self, row: &'a dyn Fields) -> Option<Raw<'a>> {
        find(row, &self.whole, self.steps.as_ref())
    }
}

/// At the top level, by its whole name and then by steps; then among the fields bound to the goal.
fn find<'a>(row: &'a dyn Fields, name: &str, steps: Option<&(String, String)>) -> Option<Raw<'a>> {
    let there = |found: &Raw<'a>| found.kind() != JsonKind::Null;
    let stepped = || steps.and_then(|(head, tail)| row.get(head)?.walk(tail)).filter(there);
    let bound = || {
        let context = row.get("context")?;
        if may_have(context.text(), steps.map_or(name, |(head, _)| head)) {
            context.walk(name).filter(there)
        } else {
            None
        }
    };
    row.get(name).filter(there).or_else(stepped).or_else(bound)
}

/// Whether an object can have a member of that name: most do not, and looking for the letters is faster than walking.
fn may_have(object: &str, name: &str) -> bool {
    memchr::memmem::find(object.as_bytes(), name.as_bytes()).is_some() || object.contains('\\')
}

impl Value {
    /// Of a list, one element that fits is enough.
    fn fits(&self, raw: Raw<'_>) -> bool {
        match (self, raw.kind()) {
            (Self::Present, _) => true,
            (_, JsonKind::Array) => raw.members().any(|(_, element)| self.fits_one(element)),
            _ => self.fits_one(raw),
        }
    }

    fn fits_one(&self, raw: Raw<'_>) -> bool {
        let Self::Either(span, pattern) = self else {
            return true;
        };
        let fits_atom = || pattern.as_ref().is_some_and(|pattern| pattern.fits_atom(raw.text()));
        match raw.kind() {
            JsonKind::String => {
                pattern.as_ref().is_some_and(|pattern| raw.into_str().is_some_and(|text| pattern.fits(&text)))
            }
            JsonKind::Number => match span {
                Some(span) => Number::of(raw).is_some_and(|number| span.holds(number)),
                None => fits_atom(),
            },
            JsonKind::Bool => fits_atom(),
            JsonKind::Null | JsonKind::Array | JsonKind::Object => false,
        }
    }
}
