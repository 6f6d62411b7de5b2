//! What is wrong with a configuration: all of it, each with its place and what to do about it.
//!
//! A reader of the configuration never stops at the first mistake: it notes the problem here and goes on,
//! so that one run of `distlogd check` names everything. One problem is one line,
//! `FILE:LINE:COLUMN: what is wrong. What to do.`, lines and columns counted from 1, columns in characters.

use std::cell::RefCell;
use std::fmt;

/// A place in the configuration file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, or `None` when it is the file as a whole.
    pub place: Option<Place>,
    /// What is wrong and what to do: full sentences.
    pub text: String,
}

/// The file being read, and everything found wrong with it so far.
#[derive(Debug)]
pub struct Problems {
    file: String,
    source: String,
    list: RefCell<Vec<Problem>>,
}

/// A configuration that cannot be used: one line per problem, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The file's name as it was given.
    pub file: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// No problem yet in that file with that text.
    pub fn new(file: &str, source: &str) -> Self {
        Self { file: file.to_owned(), source: source.to_owned(), list: RefCell::default() }
    }

    /// Notes a problem.
    pub fn add(&self, place: Place, text: impl Into<String>) {
        self.list.borrow_mut().push(Problem { place: Some(place), text: text.into() });
    }

    /// The text of the file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// `Ok` if nothing was noted.
    pub fn verdict(self) -> Result<(), Refused> {
        let mut problems = self.list.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(Refused { file: self.file, problems }) }
    }
}

impl Refused {
    /// The file as a whole cannot be used.
    pub fn whole(file: &str, text: impl Into<String>) -> Self {
        Self { file: file.to_owned(), problems: vec![Problem { place: None, text: text.into() }] }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{}", self.file)?;
            if let Some(Place { line, column }) = problem.place {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {}", problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// The advice for a name that is not among those possible: the nearest one, and all of them.
pub fn advice<'a>(wrong: &str, what: &str, possible: impl IntoIterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = possible.into_iter().collect();
    names.sort_unstable();
    let near = nearest(wrong, &names).map(|name| format!("Did you mean `{name}`? ")).unwrap_or_default();
    if names.is_empty() {
        format!("There are no {what} yet.")
    } else {
        format!("{near}{what}: {}.", names.join(", "))
    }
}

/// The name most like the wrong one, if any is like it at all.
fn nearest<'a>(wrong: &str, names: &[&'a str]) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let bound = (wrong.chars().count() / 2).clamp(1, 3);
    let near = |name: &&&str| {
        let differs = distance(&wrong, &name.to_lowercase());
        let begins = wrong.len() >= 3 && (name.starts_with(&wrong) || wrong.starts_with(**name));
        if begins { differs.min(bound) } else { differs }
    };
    names.iter().filter(|name| near(name) <= bound).min_by_key(near).copied()
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour (Damerau's distance).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) =
        (left.chars().take(64).collect(), right.chars().take(64).collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(from != to);
            let mut best = replaced.min(at(&last, column + 1) + 1).min(at(&now, column) + 1);
            let swapped =
                row > 0 && column > 0 && left.get(row - 1) == Some(to) && right.get(column - 1) == Some(from);
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            now.push(best);
        }
        before_last = std::mem::replace(&mut last, now);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "abc", 3),
            ("rules", "rules", 0),
            ("rulez", "rules", 1),
            ("pgaer", "pager", 1),
            ("a", "b", 1),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn the_nearest_name_is_named_and_a_strange_one_is_not() {
        let names = ["sources", "store", "rules", "processors"];
        assert_eq!(nearest("rulez", &names), Some("rules"));
        assert_eq!(nearest("procesors", &names), Some("processors"));
        assert_eq!(nearest("source", &names), Some("sources"));
        assert_eq!(nearest("banana", &names), None);
    }
}
