//! The two forms in which a record travels, behind one set of words.
//!
//! [`Json`] writes one JSON object in UTF-8. [`Pickle`] writes the same values with the opcodes that build `None`, booleans, numbers,
//! strings, lists, tuples and dicts (protocol 2) and no others, so that reading it back runs no code:
//!
//! | value | opcodes |
//! |---|---|
//! | frame | `80 02` … `.` |
//! | `None`, `True`, `False` | `N`, `88`, `89` |
//! | int | `J` + i32 LE, else `8a` + length u8, or `8b` + length i32 LE, + two's complement LE |
//! | float | `G` + f64 BE |
//! | str | `X` + length u32 LE + UTF-8 |
//! | list | `] (` items `e` |
//! | tuple | `(` items `t` |
//! | dict | `} (` key value … `u` |
//!
//! Not finite floats are the strings `NaN`, `Infinity`, `-Infinity` in both: JSON has no others, and both must read the same.

use std::io::Write;

use super::number::Big;

/// What both forms can say. Callers balance `open_*` and `close_*`, and call `item` before each member of a list or tuple.
pub(crate) trait Writer {
    /// An empty message with room for an ordinary record.
    fn new() -> Self;
    /// Ends the message.
    fn finish(self) -> Vec<u8>;
    /// Bytes written so far.
    fn len(&self) -> usize;
    fn none(&mut self);
    fn boolean(&mut self, value: bool);
    fn int(&mut self, value: i64);
    fn big(&mut self, value: &Big);
    fn finite(&mut self, value: f64);
    fn text(&mut self, value: &str);
    fn item(&mut self);
    fn open_list(&mut self);
    fn close_list(&mut self);
    fn open_tuple(&mut self);
    fn close_tuple(&mut self);
    fn open_map(&mut self);
    fn key(&mut self, name: &str);
    fn close_map(&mut self);

    fn float(&mut self, value: f64) {
        if value.is_finite() {
            self.finite(value);
        } else if value.is_nan() {
            self.text("NaN");
        } else {
            self.text(if value > 0.0 { "Infinity" } else { "-Infinity" });
        }
    }
}

/// The bytes that a JSON string may not have as they are.
const ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut at = 0;
    while at < 0x20 {
        escaped[at] = true;
        at += 1;
    }
    escaped[b'"' as usize] = true;
    escaped[b'\\' as usize] = true;
    escaped
};

/// JSON text.
pub(crate) struct Json(Vec<u8>);

impl Json {
    fn put(&mut self, text: &[u8]) {
        self.0.extend_from_slice(text);
    }

    /// A comma, unless this is the first member of its container.
    fn comma(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }
}

impl Writer for Json {
    fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    fn finish(self) -> Vec<u8> {
        self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn none(&mut self) {
        self.put(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.put(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            self.0.push(b'-');
        }
        self.put(digits.get(at..).unwrap_or_default());
    }

    fn big(&mut self, value: &Big) {
        self.put(value.decimal().as_bytes());
    }

    fn finite(&mut self, value: f64) {
        // The shortest digits that read back as the same number; always with a point or an exponent.
        // Writing to memory cannot fail.
        drop(write!(self.0, "{value:?}"));
    }

    fn text(&mut self, value: &str) {
        self.0.push(b'"');
        let mut rest = value.as_bytes();
        // Whole runs at once: most texts are one.
        while let Some(at) = rest.iter().position(|byte| ESCAPED[usize::from(*byte)]) {
            let (run, tail) = rest.split_at(at);
            self.put(run);
            let Some((byte, after)) = tail.split_first() else { break };
            rest = after;
            match byte {
                b'"' => self.put(b"\\\""),
                b'\\' => self.put(b"\\\\"),
                b'\n' => self.put(b"\\n"),
                b'\r' => self.put(b"\\r"),
                b'\t' => self.put(b"\\t"),
                other => self.put(format!("\\u{other:04x}").as_bytes()),
            }
        }
        self.put(rest);
        self.0.push(b'"');
    }

    fn item(&mut self) {
        self.comma();
    }

    fn open_list(&mut self) {
        self.0.push(b'[');
    }

    fn close_list(&mut self) {
        self.0.push(b']');
    }

    fn open_tuple(&mut self) {
        self.0.push(b'[');
    }

    fn close_tuple(&mut self) {
        self.0.push(b']');
    }

    fn open_map(&mut self) {
        self.0.push(b'{');
    }

    fn key(&mut self, name: &str) {
        self.comma();
        self.text(name);
        self.0.push(b':');
    }

    fn close_map(&mut self) {
        self.0.push(b'}');
    }
}

/// Pickle opcodes.
pub(crate) struct Pickle(Vec<u8>);

impl Pickle {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A whole number as two's complement, its length in front.
    fn long(&mut self, bytes: &[u8]) {
        if let Ok(length) = u8::try_from(bytes.len()) {
            self.put(&[0x8a, length]);
        } else {
            self.0.push(0x8b);
            self.put(&(bytes.len() as u32).to_le_bytes());
        }
        self.put(bytes);
    }
}

impl Writer for Pickle {
    fn new() -> Self {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(&[0x80, 2]);
        Self(bytes)
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn none(&mut self) {
        self.0.push(b'N');
    }

    fn boolean(&mut self, value: bool) {
        self.0.push(if value { 0x88 } else { 0x89 });
    }

    fn int(&mut self, value: i64) {
        if let Ok(small) = i32::try_from(value) {
            self.0.push(b'J');
            self.put(&small.to_le_bytes());
        } else {
            self.long(&value.to_le_bytes());
        }
    }

    fn big(&mut self, value: &Big) {
        self.long(&value.twos_complement());
    }

    fn finite(&mut self, value: f64) {
        self.0.push(b'G');
        self.put(&value.to_be_bytes());
    }

    fn text(&mut self, value: &str) {
        self.0.push(b'X');
        self.put(&(value.len() as u32).to_le_bytes());
        self.put(value.as_bytes());
    }

    fn item(&mut self) {}

    fn open_list(&mut self) {
        self.put(b"](");
    }

    fn close_list(&mut self) {
        self.0.push(b'e');
    }

    fn open_tuple(&mut self) {
        self.0.push(b'(');
    }

    fn close_tuple(&mut self) {
        self.0.push(b't');
    }

    fn open_map(&mut self) {
        self.put(b"}(");
    }

    fn key(&mut self, name: &str) {
        self.text(name);
    }

    fn close_map(&mut self) {
        self.0.push(b'u');
    }
}
