//! Looking into a value that is known to be valid JSON, without parsing what is not asked for.
//!
//! White space inside nested values is as the sender wrote it, so every step passes over it.
//! Text that is no JSON after all ends the iteration; it never panics.

use super::scan::plain_run;
use super::text::unescaped;
use crate::Raw;

/// Iterates over the members of an object (names as JSON text without quotes) or an array (names empty).
pub struct Members<'a> {
    rest: &'a str,
    object: bool,
}

impl<'a> Members<'a> {
    /// The members of `value`; none if it is no container.
    pub fn new(value: Raw<'a>) -> Self {
        let text = value.text();
        let inside = text.len().checked_sub(1).and_then(|end| text.get(1..end)).unwrap_or_default();
        match text.as_bytes().first() {
            Some(b'{') => Self { rest: trimmed(inside), object: true },
            Some(b'[') => Self { rest: trimmed(inside), object: false },
            _ => Self { rest: "", object: false },
        }
    }

    fn step(&mut self) -> Option<(&'a str, Raw<'a>)> {
        let mut rest = self.rest;
        let mut name = "";
        if self.object {
            let end = string_end(rest.as_bytes())?;
            name = rest.get(1..end - 1)?;
            rest = trimmed(trimmed(rest.get(end..)?).strip_prefix(':')?);
        }
        let end = value_end(rest.as_bytes())?;
        let value = rest.get(..end)?;
        rest = trimmed(rest.get(end..)?);
        self.rest = if rest.is_empty() { rest } else { trimmed(rest.strip_prefix(',')?) };
        Some((name, Raw::trusted(value)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let member = self.step();
        if member.is_none() {
            self.rest = "";
        }
        member
    }
}

/// The value at a dotted path. Of a name that occurs twice the last one counts, as at the top level.
pub fn walk<'a>(value: Raw<'a>, path: &str) -> Option<Raw<'a>> {
    let mut found = value;
    for step in path.split('.') {
        (_, found) = Members::new(found).filter(|(name, _)| same(name, step)).last()?;
    }
    Some(found)
}

/// Whether a name as written is that plain text.
fn same(written: &str, plain: &str) -> bool {
    written == plain || (written.contains('\\') && unescaped(written).is_some_and(|name| name == plain))
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\n', '\r', '\t'])
}

/// Where the value at the start ends.
fn value_end(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => string_end(bytes),
        b'{' | b'[' => container_end(bytes),
        _ => {
            let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
            Some(bytes.iter().position(ends).unwrap_or(bytes.len())).filter(|end| *end > 0)
        }
    }
}

fn container_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at += string_end(bytes.get(at..)?)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
    }
}

/// Past the closing quote of the string at the start.
fn string_end(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += plain_run(bytes.get(at..)?);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
