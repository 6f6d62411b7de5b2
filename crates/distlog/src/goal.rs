//! Goal ids and record keys: `<uuid>/2/1` and `7@<uuid>/2/1`.
//!
//! A goal's id is the random id of its root and the path of child numbers below it. A record's key is its own number
//! in its goal and the goal's id. Records and children of one goal draw from one sequence (first number: 0, the begin record),
//! so numbers give the order without clocks, and a number that never arrives is a record that never arrived.
//!
//! People name a goal by the beginning of its id: `7f3a`, `7f3a/2` ([`GoalPrefix`]).
//!
//! Invariants: `parse(x.to_string()) == x` for ids, keys and prefixes. Ids sort so that a goal comes right before all goals
//! below it, siblings by number; keys sort by goal, then by number. Ids come from outside, so they are bounded:
//! see [`MAX_DEPTH`].

use std::cmp::Ordering;
use std::fmt;

use crate::Error;

/// Paths longer than this are refused.
pub const MAX_DEPTH: usize = 256;

/// Child numbers from here on are drawn by lot, not in sequence, by work that knows only the id of the goal above it.
pub const LOTS: u32 = 1 << 31;

/// Before which hexadecimal digits of a uuid a hyphen stands.
const HYPHENS: [usize; 4] = [8, 12, 16, 20];

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
        Ok(Self { root, path: parse_path(parts)? })
    }

    /// The 16 bytes of the root's uuid.
    pub fn root(&self) -> [u8; 16] {
        self.root
    }

    /// The child numbers from the root down; empty for a root.
    pub fn path(&self) -> &[u32] {
        &self.path
    }

    /// How far below the root it is; 0 for a root.
    pub fn depth(&self) -> usize {
        self.path.len()
    }

    /// Whether it is that goal, or one anywhere below it.
    pub fn is_within(&self, above: &Self) -> bool {
        self.root == above.root && self.path.starts_with(&above.path)
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
            if HYPHENS.contains(&(at * 2)) {
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

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.goal, self.number).cmp(&(&other.goal, other.number))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The beginning of a goal's id: the first digits of the root, and perhaps a path. Stands for every goal whose id
/// begins so, and for all below those: whole steps of the path, so `7f3a/2` is not `7f3a/21`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GoalPrefix {
    /// Hexadecimal digits, 1 to 32, small, without hyphens.
    digits: String,
    path: Box<[u32]>,
}

impl GoalPrefix {
    /// Reads `7f3a`, `7f3a2c1e-0b`, `7f3a/2`, a whole id. Upper case is accepted, hyphens are passed over.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut parts = text.split('/');
        let digits = parts.next().unwrap_or_default().replace('-', "").to_ascii_lowercase();
        if !(1..=32).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Error::Goal { reason: "an id begins with hexadecimal digits, 32 at most" });
        }
        Ok(Self { digits, path: parse_path(parts)? })
    }

    /// The digits the root's uuid begins with, small, without hyphens.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// The root, if all its digits are given.
    pub fn root(&self) -> Option<[u8; 16]> {
        parse_uuid(&self.digits).ok()
    }

    /// Whether a goal's id begins so.
    pub fn fits(&self, id: &GoalId) -> bool {
        let mut digits = id.root.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let begins = self.digits.bytes().all(|digit| hex(Some(digit)) == digits.next());
        begins && id.path.starts_with(&self.path)
    }

    /// The same of an id in text, as it stands in records, without reading all of it.
    pub fn fits_text(&self, id: &str) -> bool {
        let mut steps = id.split('/');
        let mut digits = steps.next().unwrap_or_default().bytes().filter(|digit| *digit != b'-');
        let begins =
            self.digits.bytes().all(|digit| digits.next().map(|has| has.to_ascii_lowercase()) == Some(digit));
        begins
            && self
                .path
                .iter()
                .all(|number| steps.next().is_some_and(|step| parse_number(step) == Ok(*number)))
    }
}

impl fmt::Display for GoalPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)?;
        self.path.iter().try_for_each(|number| write!(f, "/{number}"))
    }
}

fn parse_path<'a>(parts: impl Iterator<Item = &'a str>) -> Result<Box<[u32]>, Error> {
    // One more than allowed is enough to know that there are too many.
    let path = parts.take(MAX_DEPTH + 1).map(parse_number).collect::<Result<Box<[u32]>, Error>>()?;
    if path.len() > MAX_DEPTH { Err(Error::Goal { reason: "the path is too deep" }) } else { Ok(path) }
}

fn parse_number(text: &str) -> Result<u32, Error> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Error::Goal { reason: "a number has digits only" });
    }
    text.parse().map_err(|_| Error::Goal { reason: "a number is too large" })
}

/// 32 hexadecimal digits, with the four hyphens at their places or with none.
fn parse_uuid(text: &str) -> Result<[u8; 16], Error> {
    const BAD: Error = Error::Goal { reason: "the root is no uuid" };
    let hyphenated = text.len() == 36;
    let mut bytes = text.bytes();
    let mut root = [0; 16];
    for (at, byte) in root.iter_mut().enumerate() {
        if hyphenated && HYPHENS.contains(&(at * 2)) && bytes.next() != Some(b'-') {
            return Err(BAD);
        }
        let (high, low) = (hex(bytes.next()).ok_or(BAD)?, hex(bytes.next()).ok_or(BAD)?);
        *byte = high << 4 | low;
    }
    if bytes.next().is_some() { Err(BAD) } else { Ok(root) }
}

fn hex(digit: Option<u8>) -> Option<u8> {
    char::from(digit?).to_digit(16).map(|value| value as u8)
}
