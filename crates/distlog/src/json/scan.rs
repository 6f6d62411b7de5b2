//! The validating scan: where each top-level field of a JSON object lies, or why the text is none.
//!
//! It looks at each byte once and keeps one bit per open container, so deep nesting costs nothing and is refused
//! by a count. Strings, most of a record's bytes, are passed eight bytes at a time.

use super::{MAX_DEPTH, MAX_DIGITS};
use crate::Error;
use crate::record::Span;

/// What the scan found.
pub(super) struct Shape {
    /// Every field in the order of the text; names may repeat.
    pub(super) spans: Vec<Span>,
    /// Where the object ends.
    pub(super) end: usize,
    /// Whether the text can be kept as it is: no white space around the fields, no escapes in their names.
    pub(super) tidy: bool,
}

/// Scans text that must be one JSON object and nothing else.
pub(super) fn object(text: &str, most_fields: usize) -> Result<Shape, Error> {
    if u32::try_from(text.len()).is_err() {
        return Err(Error::Limit { reason: "a record has less than 4 GiB" });
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, most_fields, tidy: true, escaped: false };
    let mut spans = Vec::with_capacity(32);
    match scanner.record(&mut spans) {
        Ok(end) => Ok(Shape { spans, end, tidy: scanner.tidy }),
        Err(reason @ (TOO_MANY_FIELDS | TOO_DEEP)) => Err(Error::Limit { reason }),
        Err(reason) => Err(Error::Json { at: scanner.at, reason }),
    }
}

/// How many bytes at the start need no look in a string: no quote, no backslash, no control character.
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let marks = special(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len())
}

/// Marks the top bit of each byte that ends a plain run. Bytes above the first one may be marked wrongly.
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero_in(word ^ (ONES * b'"' as u64)) | zero_in(word ^ (ONES * b'\\' as u64)) | control) & TOPS
}

const TOO_MANY_FIELDS: &str = "too many fields";
const TOO_DEEP: &str = "nested too deep";

/// The reason alone: two words, which a function returns in registers. The place is where the scanner stands.
type Step<T = ()> = Result<T, &'static str>;

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    most_fields: usize,
    tidy: bool,
    /// Whether the last string had escapes.
    escaped: bool,
}

impl Scanner<'_> {
    /// The whole text; returns where the object ends.
    fn record(&mut self, spans: &mut Vec<Span>) -> Step<usize> {
        self.space();
        self.expect(b'{', "a record is a JSON object")?;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            self.fields(spans)?;
        }
        let end = self.at;
        self.inner_space();
        if self.peek().is_some() { Err("text after the object") } else { Ok(end) }
    }

    /// The fields of the record, up to and with its closing brace.
    fn fields(&mut self, spans: &mut Vec<Span>) -> Step {
        loop {
            let from = self.at + 1;
            self.string()?;
            self.tidy &= !self.escaped;
            let name = (from as u32, (self.at - 1) as u32);
            self.space();
            self.expect(b':', "a colon belongs here")?;
            self.space();
            let start = self.at;
            self.value()?;
            if spans.len() == self.most_fields {
                return Err(TOO_MANY_FIELDS);
            }
            spans.push(Span { name, value: (start as u32, self.at as u32) });
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err("a comma or a closing brace belongs here"),
            }
            self.space();
        }
    }

    /// One value of any kind. `open` has a bit per open container below the record: 1 for an object.
    fn value(&mut self) -> Step {
        let (mut open, mut depth) = (0_u64, 1);
        loop {
            match self.peek() {
                Some(b'"') => self.string()?,
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == MAX_DEPTH {
                        return Err(TOO_DEEP);
                    }
                    self.at += 1;
                    self.inner_space();
                    let is_object = bracket == b'{';
                    if self.peek() != Some(if is_object { b'}' } else { b']' }) {
                        (open, depth) = (open << 1 | u64::from(is_object), depth + 1);
                        self.name_if(is_object)?;
                        continue;
                    }
                    self.at += 1;
                }
                _ => self.scalar()?,
            }
            if self.close(&mut open, &mut depth)? {
                return Ok(());
            }
        }
    }

    /// After a value: closes what ends here. `true` when nothing is open any more, else the next value follows.
    fn close(&mut self, open: &mut u64, depth: &mut usize) -> Step<bool> {
        while *depth > 1 {
            self.inner_space();
            let in_object = *open & 1 == 1;
            match (self.peek(), in_object) {
                (Some(b','), _) => {
                    self.at += 1;
                    self.inner_space();
                    self.name_if(in_object)?;
                    return Ok(false);
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.at += 1;
                    (*open, *depth) = (*open >> 1, *depth - 1);
                }
                _ => return Err("a comma or a closing bracket belongs here"),
            }
        }
        Ok(true)
    }

    /// In an object, the member's name and its colon.
    fn name_if(&mut self, in_object: bool) -> Step {
        if in_object {
            self.string()?;
            self.inner_space();
            self.expect(b':', "a colon belongs here")?;
            self.inner_space();
        }
        Ok(())
    }

    /// A string from its opening quote.
    fn string(&mut self) -> Step {
        self.expect(b'"', "a string belongs here")?;
        self.escaped = false;
        loop {
            self.at += plain_run(self.bytes.get(self.at..).unwrap_or_default());
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err("a control character in a string"),
                None => return Err("the string does not end"),
            }
            self.escaped = true;
        }
    }

    fn escape(&mut self) -> Step {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match super::text::unicode_escape(self.bytes.get(self.at..).unwrap_or_default()) {
                Some((Some(_), length)) => self.at += length,
                Some((None, _)) => return Err("half of a surrogate pair"),
                None => return Err("four hex digits belong after \\u"),
            },
            _ => return Err("an unknown escape"),
        }
        Ok(())
    }

    fn scalar(&mut self) -> Step {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first() {
            Some(b't') if rest.starts_with(b"true") => self.at += 4,
            Some(b'n') if rest.starts_with(b"null") => self.at += 4,
            Some(b'f') if rest.starts_with(b"false") => self.at += 5,
            Some(b'-' | b'0'..=b'9') => return self.number(),
            _ => return Err("a value belongs here"),
        }
        Ok(())
    }

    fn number(&mut self) -> Step {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more, and no more than a reader can be asked to take.
    fn digits(&mut self) -> Step {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        match self.at - from {
            0 => Err("a digit belongs here"),
            1..=MAX_DIGITS => Ok(()),
            _ => Err("a number has too many digits"),
        }
    }

    /// White space around the record's fields: the text must be put together anew.
    fn space(&mut self) {
        let from = self.at;
        self.inner_space();
        self.tidy &= self.at == from;
    }

    /// White space inside a value stays as it is.
    fn inner_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Step {
        if self.peek() != Some(byte) {
            return Err(reason);
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}
