//! JSON text ↔ record: one validating scan, no tree of values.

use std::borrow::Cow;

use crate::record::{Span, SECOND};
use crate::{Error, Raw, Record};

/// Containers nested deeper than this are refused.
pub const MAX_DEPTH: usize = 64;

/// Reads one JSON object as a record.
pub fn record(text: &str) -> Result<Record, Error> {
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| Error::Json { at: e.column(), reason: "not JSON" })?;
    let compact = value.to_string();
    let spans = spans(&compact)?;
    Ok(Record::from_parts(compact.into_boxed_str(), spans.into_boxed_slice()))
}

fn spans(text: &str) -> Result<Vec<Span>, Error> {
    if !text.starts_with('{') {
        return Err(Error::Json { at: 0, reason: "a record is a JSON object" });
    }
    let base = text.as_ptr() as usize;
    let place = |s: &str| {
        let start = s.as_ptr() as usize - base;
        (start as u32, (start + s.len()) as u32)
    };
    Ok(Members::new(Raw::trusted(text)).map(|(n, v)| Span { name: place(n), value: place(v.text()) }).collect())
}

/// `text` as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The text of a JSON string; `None` if it is another kind.
pub fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(text).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// A decimal number of seconds as nanoseconds.
pub fn decimal_to_ns(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    if seconds.is_finite() && seconds.abs() < 9.2e9 { Some((seconds * SECOND as f64) as i64) } else { None }
}

/// The value at a dotted path.
pub fn walk<'a>(value: Raw<'a>, path: &str) -> Option<Raw<'a>> {
    let (head, rest) = path.split_once('.').map_or((path, None), |(h, r)| (h, Some(r)));
    let (_, found) = Members::new(value).find(|(name, _)| *name == head)?;
    rest.map_or(Some(found), |rest| walk(found, rest))
}

/// Iterates over the members of valid compact JSON.
pub struct Members<'a> {
    rest: &'a str,
    object: bool,
}

impl<'a> Members<'a> {
    /// The members of `value`; none if it is no container.
    pub fn new(value: Raw<'a>) -> Self {
        let text = value.text();
        let inner = text.len().checked_sub(1).and_then(|end| text.get(1..end)).unwrap_or_default();
        match text.as_bytes().first() {
            Some(b'{') => Self { rest: inner, object: true },
            Some(b'[') => Self { rest: inner, object: false },
            _ => Self { rest: "", object: false },
        }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest;
        if rest.is_empty() {
            return None;
        }
        let (name, rest) = if self.object {
            let end = value_end(rest);
            (rest.get(1..end - 1)?, rest.get(end + 1..)?)
        } else {
            ("", rest)
        };
        let end = value_end(rest);
        self.rest = rest.get(end + 1..).unwrap_or_default();
        Some((name, Raw::trusted(rest.get(..end)?)))
    }
}

/// Where the value at the start of valid compact JSON text ends.
fn value_end(text: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
        if depth == 0 && !quoted && matches!(byte, b'"' | b'}' | b']') {
            return at + 1;
        }
    }
    text.len()
}
