//! Goal ids and record keys: `<uuid>/2/1` and `7@<uuid>/2/1`.
//!
//! A goal's id is the random id of its root and the path of child numbers below it. A record's key is its own number
//! in its goal and the goal's id. Records and children of one goal draw from one sequence (first number: 0, the begin record),
//! so numbers give the order without clocks, and a number that never arrives is a record that never arrived.
//!
//! Ids come from outside, so they are bounded: see [`MAX_DEPTH`].

use std::fmt;

use crate::Error;

/// Paths longer than this are refused.
pub const MAX_DEPTH: usize = 256;

/// The identity of a goal: the root's uuid (16 bytes) and the child numbers on the way down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoalId {
    root: [u8; 16],
    path: Box<[u32]>,
}

impl GoalId {
    /// The root goal of that uuid.
    pub fn from_root(root: [u8; 16]) -> Self {
        Self { root, path: Box::default() }
    }

    /// Reads `<uuid>` or `<uuid>/2/1`. Upper case and missing hyphens are accepted.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('/');
        let root = parse_uuid(parts.next().unwrap_or_default())?;
        let path = parts.map(parse_number).collect::<Result<Vec<u32>, Error>>()?;
        if path.len() > MAX_DEPTH {
            return Err(Error::Goal { reason: "the path is too deep" });
        }
        Ok(Self { root, path: path.into_boxed_slice() })
    }

    /// The 16 bytes of the root's uuid.
    pub fn root(&self) -> [u8; 16] {
        self.root
    }

    /// The child numbers from the root down; empty for a root.
    pub fn path(&self) -> &[u32] {
        &self.path
    }

    /// The goal above, or `None` for a root.
    pub fn parent(&self) -> Option<Self> {
        let (_, above) = self.path.split_last()?;
        Some(Self { root: self.root, path: above.into() })
    }

    /// The goal with that number below this one.
    pub fn child(&self, number: u32) -> Self {
        let path = self.path.iter().copied().chain([number]).collect();
        Self { root: self.root, path }
    }
}

impl fmt::Display for GoalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.root.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        self.path.iter().try_for_each(|number| write!(f, "/{number}"))
    }
}

/// A record's key: its number in its goal, and the goal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// The record's number in its goal's sequence.
    pub number: u32,
    /// The goal it belongs to.
    pub goal: GoalId,
}

impl Key {
    /// Reads `7@<uuid>/2/1`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (number, goal) = text.split_once('@').ok_or(Error::Goal { reason: "a key has the form n@id" })?;
        Ok(Self { number: parse_number(number)?, goal: GoalId::parse(goal)? })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.goal)
    }
}

fn parse_number(text: &str) -> Result<u32, Error> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::Goal { reason: "a number has digits only" });
    }
    text.parse().map_err(|_| Error::Goal { reason: "a number is too large" })
}

fn parse_uuid(text: &str) -> Result<[u8; 16], Error> {
    const BAD: Error = Error::Goal { reason: "the root is no uuid" };
    let mut root = [0; 16];
    let mut digits = text.bytes().filter(|b| *b != b'-');
    for byte in &mut root {
        let (high, low) = (hex(digits.next()).ok_or(BAD)?, hex(digits.next()).ok_or(BAD)?);
        *byte = high << 4 | low;
    }
    let hyphens = text.len() - 32.min(text.len());
    if digits.next().is_some() || !matches!(hyphens, 0 | 4) { Err(BAD) } else { Ok(root) }
}

fn hex(digit: Option<u8>) -> Option<u8> {
    char::from(digit?).to_digit(16).map(|value| value as u8)
}
