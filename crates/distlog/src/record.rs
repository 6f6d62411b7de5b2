//! A record: one `LogRecord` with all its fields and the custom ones, as a flat list of names and JSON values.
//!
//! A record is kept as the JSON text it came in, in one allocation, beside the places of its fields in that text.
//! Nothing is parsed into a tree of values: most records are written to the store and never looked at again,
//! so the price of a record is one validating scan, and a field costs something only when it is asked for.
//!
//! Invariants, held by the only constructors ([`crate::json`], [`RecordBuilder`]): the text is one valid JSON object
//! without white space around its fields; no name occurs twice; names are escaped only where they must be,
//! so a name is found by comparing bytes. Values are kept letter for letter as they were sent.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::json;
use crate::{Error, Key};

/// Nanoseconds in a second: all time inside distlog is i64 nanoseconds since the epoch.
pub const SECOND: i64 = 1_000_000_000;

/// Where one field lies in the record's text, in bytes. The name is without its quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) name: (u32, u32),
    pub(crate) value: (u32, u32),
}

/// One log record. See the module's head for its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    text: Box<str>,
    spans: Box<[Span]>,
}

/// Anything that has named JSON values: a [`Record`], or a row of a stored block.
///
/// Filters and trees read through this, so that the store can answer from its columns
/// without putting the record together.
pub trait Fields {
    /// The value of the top-level field of that name, or `None`.
    fn get(&self, name: &str) -> Option<Raw<'_>>;

    /// When the record was made, from `created` (seconds); `None` if absent or no sensible number.
    fn created(&self) -> Option<i64> {
        self.get("created")?.seconds_to_ns()
    }

    /// `levelno`, or `None`.
    fn level(&self) -> Option<i64> {
        self.get("levelno")?.as_i64()
    }

    /// The text people read: `message`, else `msg`.
    fn message(&self) -> Option<Cow<'_, str>> {
        self.get("message").and_then(Raw::into_str).or_else(|| self.get("msg").and_then(Raw::into_str))
    }

    /// The record's key, from `context.key`; `None` if the record belongs to no goal.
    fn key(&self) -> Option<Key> {
        let text = self.get("context")?.walk("key")?.into_str()?;
        Key::parse(&text).ok()
    }
}

impl Record {
    /// Reads one JSON object. See [`json::record`] for what is accepted.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        json::record(text)
    }

    /// Only for [`crate::json`] and the builder: the spans must describe the text, all but repeated names.
    pub(crate) fn from_places(text: Box<str>, spans: Vec<Span>) -> Self {
        let record = Self { text, spans: spans.into_boxed_slice() };
        if record.may_repeat_a_name() { record.without_repeated_names() } else { record }
    }

    /// The record as one line of JSON.
    #[inline]
    pub fn as_json(&self) -> &str {
        &self.text
    }

    /// The number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the record has no field at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Names (as JSON text without quotes: escapes stay) and values, in the order they were sent.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&str, Raw<'_>)> {
        self.spans.iter().map(|span| (self.slice(span.name), Raw::trusted(self.slice(span.value))))
    }

    #[inline]
    fn slice(&self, (start, end): (u32, u32)) -> &str {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// `false` if no name occurs twice; `true` if one does, or if there are many.
    /// One bit in 256 per name tells most names apart without a look at the others.
    fn may_repeat_a_name(&self) -> bool {
        if self.spans.len() > 64 {
            return true;
        }
        let mut seen = [0_u64; 4];
        self.spans.iter().enumerate().any(|(at, span)| {
            let name = self.slice(span.name);
            let mark = mark(name.as_bytes());
            let Some(word) = seen.get_mut(usize::from(mark >> 6)) else { return true };
            let bit = 1 << (mark & 63);
            let met = *word & bit != 0;
            *word |= bit;
            met && self.spans.iter().take(at).any(|other| self.slice(other.name) == name)
        })
    }

    /// The last field of each name, as Python's `dict` has it.
    fn without_repeated_names(self) -> Self {
        let mut last = HashMap::with_capacity(self.spans.len());
        for (at, (name, _)) in self.fields().enumerate() {
            last.insert(name, at);
        }
        if last.len() == self.len() {
            return self;
        }
        let mut builder = RecordBuilder::with_capacity(self.text.len());
        for (at, (name, value)) in self.fields().enumerate() {
            if last.get(name) == Some(&at) {
                builder.raw(name, value);
            }
        }
        builder.finish()
    }
}

impl Fields for Record {
    fn get(&self, name: &str) -> Option<Raw<'_>> {
        // The hot loop of every filter: bytes need no check for the bounds of letters, and only one value is cut out.
        let (text, written) = (self.text.as_bytes(), json::escaped(name));
        let is_it = |span: &&Span| {
            let (from, to) = span.name;
            (to - from) as usize == written.len()
                && text.get(from as usize..to as usize) == Some(written.as_bytes())
        };
        self.spans.iter().find(is_it).map(|span| Raw::trusted(self.slice(span.value)))
    }
}

/// Which process a record comes from, for people: `worker-1/4711` if the process has a name of its own, else `host/4711`.
pub fn process_label(fields: &(impl Fields + ?Sized)) -> Option<String> {
    let text = |name| fields.get(name).and_then(Raw::into_str).filter(|text| !text.is_empty());
    let owner = text("processName").filter(|name| name != "MainProcess").or_else(|| text("hostname"));
    let process = fields.get("process").and_then(Raw::as_i64);
    match (owner, process) {
        (Some(owner), Some(process)) => Some(format!("{owner}/{process}")),
        (Some(owner), None) => Some(owner.into_owned()),
        (None, process) => process.map(|process| process.to_string()),
    }
}

/// Puts a record together field by field.
#[derive(Debug, Default)]
pub struct RecordBuilder {
    text: String,
    spans: Vec<Span>,
}

impl RecordBuilder {
    /// An empty record that has room for `bytes` of text.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), spans: Vec::with_capacity(32) }
    }

    /// Adds a field whose value is JSON text already. `name` is JSON text too, without quotes. Of equal names the last counts.
    pub fn raw(&mut self, name: &str, value: Raw<'_>) -> &mut Self {
        self.write(&mut (), |(), text| text.push_str(name), |(), text| text.push_str(value.text()))
    }

    /// Adds a field whose name (without quotes) and value are written as JSON text by functions that share `with`.
    pub(crate) fn write<W>(
        &mut self,
        with: &mut W,
        name: impl FnOnce(&mut W, &mut String),
        value: impl FnOnce(&mut W, &mut String),
    ) -> &mut Self {
        let text = &mut self.text;
        text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
        let from = text.len() as u32;
        name(with, text);
        let to = text.len() as u32;
        text.push_str("\":");
        let start = text.len() as u32;
        value(with, text);
        self.spans.push(Span { name: (from, to), value: (start, text.len() as u32) });
        self
    }

    /// Bytes of text so far.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    /// Fields so far.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// Adds a text field.
    pub fn str(&mut self, name: &str, value: &str) -> &mut Self {
        self.raw(name, Raw::trusted(&json::quoted(value)))
    }

    /// Adds a whole number.
    pub fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.raw(name, Raw::trusted(&value.to_string()))
    }

    /// The record.
    pub fn finish(mut self) -> Record {
        self.text.push_str(if self.text.is_empty() { "{}" } else { "}" });
        Record::from_places(self.text.into_boxed_str(), self.spans)
    }
}

/// One JSON value as text, known to be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// What kind of JSON value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool,
    /// A number
    Number,
    /// A string
    String,
    /// `[…]`
    Array,
    /// `{…}`
    Object,
}

impl<'a> Raw<'a> {
    /// Takes text that is known to be one valid JSON value: it came out of a record or a block.
    #[inline]
    pub fn trusted(text: &'a str) -> Self {
        Self(text)
    }

    /// The JSON text.
    #[inline]
    pub fn text(self) -> &'a str {
        self.0
    }

    /// The kind, from the first byte.
    #[inline]
    pub fn kind(self) -> JsonKind {
        match self.0.as_bytes().first() {
            Some(b'"') => JsonKind::String,
            Some(b'{') => JsonKind::Object,
            Some(b'[') => JsonKind::Array,
            Some(b't' | b'f') => JsonKind::Bool,
            Some(b'n') | None => JsonKind::Null,
            _ => JsonKind::Number,
        }
    }

    /// The text of a string value; `None` for other kinds. Borrowed when nothing is escaped.
    pub fn into_str(self) -> Option<Cow<'a, str>> {
        json::unquoted(self.0)
    }

    /// A whole number that fits; `None` otherwise.
    pub fn as_i64(self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// Any number; `None` for other kinds.
    pub fn as_f64(self) -> Option<f64> {
        if self.kind() == JsonKind::Number { self.0.parse().ok() } else { None }
    }

    /// A number of seconds as nanoseconds, exact to the last digit sent; `None` if it is no number or out of range.
    pub fn seconds_to_ns(self) -> Option<i64> {
        json::decimal_to_ns(self.0)
    }

    /// The value at a dotted path below this one (`key`, `user.id`); `None` when a step is missing.
    pub fn walk(self, path: &str) -> Option<Raw<'a>> {
        json::walk(self, path)
    }

    /// The members of an object (names as JSON text without quotes), or of an array (names empty).
    pub fn members(self) -> impl Iterator<Item = (&'a str, Raw<'a>)> {
        json::Members::new(self)
    }
}

/// A cheap mix of a name's length and some of its bytes.
fn mark(name: &[u8]) -> u8 {
    let byte = |at: usize| name.get(at).copied().unwrap_or_default();
    let size = name.len();
    (size as u8)
        .wrapping_mul(37)
        .wrapping_add(byte(0).wrapping_mul(11))
        .wrapping_add(byte(size / 2).wrapping_mul(59))
        .wrapping_add(byte(size.saturating_sub(1)).wrapping_mul(5))
}
