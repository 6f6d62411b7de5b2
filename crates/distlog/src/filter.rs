//! The one condition language of rules, tail, search and page.
//!
//! `level>=error logger=app.db.* -healthcheck duration>500ms`. Five rules to teach: **a word** is searched in the message;
//! **colon has** (ignores case); **equals is** (the whole value, `*` stands for anything); **tilde matches** a regex;
//! **space means and, minus means not**.
//!
//! | room | from → to |
//! |---|---|
//! | `words.rs`, `parse.rs` | text → [`Ast`] |
//! | `values.rs`, `pattern.rs`, `compile.rs` | [`Ast`] → predicate: names, numbers, units, levels and times become what they mean |
//! | `predicate.rs`, `search.rs` | predicate and row → yes or no |
//! | `bounds.rs` | predicate → what must hold of all that passes |
//! | `explain.rs`, `nearest.rs` | words for people |
//!
//! Rules that are easy to get wrong, and that every engine must keep: a test of an absent field is false, and its negation
//! is true; `null` is absent; of a list, one element that fits is enough; `=` is case-sensitive, `:` is not; in a word `*`
//! stands for anything, also in quotes after `=`, but not in a quoted text that is searched for; order (`>`) is of numbers
//! only, and a text that looks like a number is a text; `level` is `levelno`, and only a name that Python does not have is
//! looked for in `levelname`; a time names a stretch as long as it is precise (a day, a minute), `:` is "within it", order
//! is by its beginning; `logger=app.db` does not take in `app.db.pool`, `app.db.*` does;
//! a quoted name is always a field of the record.
//!
//! Everything is bounded, because filters arrive over the network: see [`MAX_BYTES`], [`MAX_DEPTH`], [`MAX_REGEXES`].

mod ast;
mod bounds;
mod compile;
mod explain;
mod nearest;
mod parse;
mod pattern;
mod predicate;
mod search;
mod values;
mod words;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use ast::{Ast, Field, Form, Node, Operator, Scalar, Test};
pub use nearest::nearest;
pub use search::Finder;

use predicate::Predicate;

use crate::{Fields, Key, Raw};

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
    otherwise: Vec<String>,
    predicate: Predicate,
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
    fn some_of_task(&self, _row: &dyn Fields, _matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
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
        let ast = Ast { at: 0..0, node: Node::Everything };
        let compiled =
            Compiled { text: String::new(), ast, otherwise: Vec::new(), predicate: Predicate::Always };
        Self(Arc::new(compiled))
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
    pub fn matches_within<F: Fields + ?Sized>(&self, row: &F, around: &dyn Enclosing) -> bool {
        self.0.predicate.holds(&Row(row), around)
    }

    /// Whether it uses `within`: only as good as the [`Enclosing`] it is given.
    pub fn needs_goals(&self) -> bool {
        self.0.predicate.asks_goals()
    }

    /// Whether it asks for the rest of the task (`any`, `goal.status=silent`): false for every row on its own.
    pub fn needs_task(&self) -> bool {
        self.0.predicate.asks_task()
    }

    /// Texts that must all be there in whatever passes. A superset: what has them may still not pass.
    pub fn needles(&self) -> Vec<Needle> {
        self.0.predicate.needles()
    }

    /// The lowest `levelno` that can pass, if there is such a bound.
    pub fn min_level(&self) -> Option<i64> {
        self.0.predicate.levels().map(|(low, _)| low).filter(|low| *low > i64::MIN)
    }

    /// The root of the only task that can pass, if the filter names one by its whole id.
    pub fn goal_root(&self) -> Option<[u8; 16]> {
        self.0.predicate.root()
    }

    /// The first and last `created` (ns, both included) that can pass.
    pub fn time_bounds(&self) -> (Option<i64>, Option<i64>) {
        let (first, last) = self.0.predicate.times().unwrap_or((i64::MIN, i64::MAX));
        (Some(first).filter(|first| *first > i64::MIN), Some(last).filter(|last| *last < i64::MAX))
    }

    /// How the text was read, in words, and a note where `or` and space are mixed.
    pub fn explain(&self) -> String {
        explain::explain(&self.0.ast, &self.0.otherwise)
    }

    fn read(text: &str, now: Option<i64>) -> Result<Self, FilterError> {
        let parse::Parsed { ast, otherwise } = parse::parse(text)?;
        let predicate = compile::compile(&ast, now)?;
        Ok(Self(Arc::new(Compiled { text: text.to_owned(), ast, otherwise, predicate })))
    }
}

/// A row of whatever type, as the predicate wants it.
struct Row<'a, F: ?Sized>(&'a F);

impl<F: Fields + ?Sized> Fields for Row<'_, F> {
    fn get(&self, name: &str) -> Option<Raw<'_>> {
        self.0.get(name)
    }

    fn created(&self) -> Option<i64> {
        self.0.created()
    }

    fn level(&self) -> Option<i64> {
        self.0.level()
    }

    fn message(&self) -> Option<Cow<'_, str>> {
        self.0.message()
    }

    fn key(&self) -> Option<Key> {
        self.0.key()
    }
}

impl FilterError {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The error with the filter's text and a mark under the place, in two to four lines.
    pub fn drawn(&self, text: &str) -> String {
        let line_start =
            text.get(..self.at.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let width = |from: usize, to: usize| text.get(from..to).map_or(1, |part| part.chars().count());
        let end = self.at.end.min(line_start + line.len()).max(self.at.start);
        let (before, marks) = (width(line_start, self.at.start), width(self.at.start, end).max(1));
        let help = self.help.as_ref().map_or(String::new(), |help| format!("\n  = {help}"));
        format!("{}\n  | {line}\n  | {}{}{help}", self.message, " ".repeat(before), "^".repeat(marks))
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
