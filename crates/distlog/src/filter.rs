//! The one condition language of rules, tail, search and page.
//!
//! `level>=error logger=app.db.* -healthcheck duration>500ms`. Five rules to teach: **a word** is searched in the message;
//! **colon has** (ignores case); **equals is** (the whole value, `*` stands for anything); **tilde matches** a regex;
//! **space means and, minus means not**.
//!
//! A text goes through three rooms: `parse.rs` (text → [`Ast`]), `values.rs` (names, numbers, units, levels and times become
//! what they mean), `evaluate.rs` (the compiled predicate). Everything is bounded, because filters arrive over the network:
//! see [`MAX_BYTES`], [`MAX_DEPTH`], [`MAX_REGEXES`].

mod ast;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use ast::{Ast, Field, Form, Node, Operator, Scalar, Test};

use crate::Fields;

/// Longer texts are refused.
pub const MAX_BYTES: usize = 4096;

/// Parentheses and negations nested deeper than this are refused.
pub const MAX_DEPTH: usize = 64;

/// More regular expressions than this in one filter are refused.
pub const MAX_REGEXES: usize = 64;

/// A filter, parsed and compiled. Cheap to clone, and the same for every thread.
#[derive(Clone)]
pub struct Filter(Arc<Compiled>);

struct Compiled {
    text: String,
    ast: Ast,
}

/// Why a text is no filter: where, what, and what may have been meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// Bytes of the filter's text; empty at the end of the text when something is missing there.
    pub at: Range<usize>,
    /// What is wrong there.
    pub message: String,
    /// What may have been meant, or how to write it.
    pub help: Option<String>,
}

/// A text that must be there: for some of these columns, the text of the column's value contains it, ignoring case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    /// Top-level fields of a record. `goal` stands for the title in it.
    pub columns: &'static [&'static str],
    /// Lower case, and never empty.
    pub text: String,
}

/// What a filter can ask about that is not in the row: the goals around it, and the rest of its task.
///
/// The methods' own answers are those for a row on its own.
pub trait Enclosing {
    /// Whether `matches` holds for some goal that encloses the row. Called with the begin record of each
    /// enclosing goal that is known, until it says yes.
    fn encloses(&self, row: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        matches(row)
    }

    /// Whether `matches` holds for some record of the row's task.
    fn some_of_task(&self, row: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        let _ = (row, matches);
        false
    }
}

/// Nothing is known but the row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Enclosing for Alone {}

impl Filter {
    /// Reads a filter. Times that are relative to now (`-15m`, `today`) are refused: see [`Filter::parse_at`].
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::read(text, None)
    }

    /// Reads a filter; `now` (ns) is what relative times in it are relative to.
    pub fn parse_at(text: &str, now: i64) -> Result<Self, FilterError> {
        Self::read(text, Some(now))
    }

    /// The filter that every record passes.
    pub fn everything() -> Self {
        Self(Arc::new(Compiled { text: String::new(), ast: Ast { at: 0..0, node: Node::Everything } }))
    }

    /// The text it was read from.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text's structure.
    pub fn ast(&self) -> &Ast {
        &self.0.ast
    }

    /// Whether the row passes, judged on its own.
    pub fn matches<F: Fields + ?Sized>(&self, row: &F) -> bool {
        self.matches_within(row, &Alone)
    }

    /// Whether the row passes, where `within` and `any` are answered by what surrounds the row.
    pub fn matches_within<F: Fields + ?Sized>(&self, _row: &F, _around: &dyn Enclosing) -> bool {
        true
    }

    /// Whether it uses `within`: only as good as the [`Enclosing`] it is given.
    pub fn needs_goals(&self) -> bool {
        false
    }

    /// Whether it asks for the rest of the task (`any`, `goal.status=silent`): false on every single row.
    pub fn needs_task(&self) -> bool {
        false
    }

    /// Texts that must all be there in whatever passes. A superset: what has them may still not pass.
    pub fn needles(&self) -> Vec<Needle> {
        Vec::new()
    }

    /// The lowest `levelno` that can pass, if there is such a bound.
    pub fn min_level(&self) -> Option<i64> {
        None
    }

    /// The root of the only task that can pass, if the filter names one by its whole id.
    pub fn goal_root(&self) -> Option<[u8; 16]> {
        None
    }

    /// The first and last `created` (ns, both included) that can pass.
    pub fn time_bounds(&self) -> (Option<i64>, Option<i64>) {
        (None, None)
    }

    /// How the text was read, in words, and a note where `or` and space are mixed.
    pub fn explain(&self) -> String {
        String::new()
    }

    fn read(text: &str, _now: Option<i64>) -> Result<Self, FilterError> {
        Ok(Self(Arc::new(Compiled { text: text.to_owned(), ast: Ast { at: 0..0, node: Node::Everything } })))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Filter({:?})", self.0.text)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, " ({help})"))
    }
}

impl std::error::Error for FilterError {}
