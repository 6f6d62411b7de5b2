//! What must hold of every row that passes: supersets by which a store skips what cannot match.
//!
//! They come from what *every* way to pass has in common. A bound that is missing costs time, a bound that is too
//! narrow costs records: whatever is not understood here bounds nothing.

use super::Needle;
use super::pattern::Pattern;
use super::predicate::{Predicate, Standing, Text};

/// A range of numbers, both ends included.
type Range = (i64, i64);

impl Predicate {
    pub(super) fn needles(&self) -> Vec<Needle> {
        let of = |columns: &'static [&'static str], pattern: &Pattern| {
            pattern.needles().into_iter().map(|text| Needle { columns, text }).collect()
        };
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::needles).collect(),
            Self::Spoken(pattern) => of(&["message", "msg", "exc_text", "goal"], pattern),
            // A process's label is put together from several columns.
            Self::Text(Text::Process, _) => Vec::new(),
            Self::Text(text, pattern) => of(text.columns(), pattern),
            _ => Vec::new(),
        }
    }

    /// What `levelno` can be.
    pub(super) fn levels(&self) -> Option<Range> {
        self.range(&|leaf| match leaf {
            Self::Level(low, high) => Some((*low, *high)),
            _ => None,
        })
    }

    /// What `created` can be (ns).
    pub(super) fn times(&self) -> Option<Range> {
        self.range(&|leaf| match leaf {
            Self::Created(from, to) => Some((*from, *to)),
            _ => None,
        })
    }

    fn range(&self, leaf: &dyn Fn(&Self) -> Option<Range>) -> Option<Range> {
        match self {
            Self::All(parts) => {
                let ranges = parts.iter().filter_map(|part| part.range(leaf));
                ranges.reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)))
            }
            Self::Some(parts) => {
                let ranges: Option<Vec<Range>> = parts.iter().map(|part| part.range(leaf)).collect();
                ranges?.into_iter().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            }
            other => leaf(other),
        }
    }

    pub(super) fn root(&self) -> Option<[u8; 16]> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::root),
            Self::Family(family) => family.root(),
            _ => None,
        }
    }

    /// Whether some part of it is true for that.
    pub(super) fn uses(&self, what: &dyn Fn(&Self) -> bool) -> bool {
        let below = match self {
            Self::All(parts) | Self::Some(parts) => parts.iter().any(|part| part.uses(what)),
            Self::Not(inner) | Self::Within(inner) | Self::SomeOfTask(inner) => inner.uses(what),
            _ => false,
        };
        below || what(self)
    }

    pub(super) fn asks_goals(&self) -> bool {
        self.uses(&|part| matches!(part, Self::Within(_)))
    }

    pub(super) fn asks_task(&self) -> bool {
        self.uses(&|part| matches!(part, Self::SomeOfTask(_) | Self::Standing(Standing::NeedsTask)))
    }
}
