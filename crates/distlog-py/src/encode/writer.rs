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

use super::number::Big;

/// What both forms can say. Callers balance `open_*` and `close_*`, and call `item` before each member of a list or tuple.
pub(crate) trait Writer {
    /// Which of the forms it is: 0, 1.
    const FORM: usize;

    /// An empty message in this memory, whatever that held.
    fn over(memory: Vec<u8>) -> Self;
    /// Ends the message.
    fn finish(self) -> Vec<u8>;
    /// Bytes written so far.
    fn len(&self) -> usize;
    /// Members of a map, or items of a list, written since this length.
    fn since(&self, length: usize) -> &[u8];
    /// Takes back what was written after this length.
    fn cut(&mut self, length: usize);
    fn none(&mut self);
    fn boolean(&mut self, value: bool);
    fn int(&mut self, value: i64);
    fn big(&mut self, value: &Big);
    fn finite(&mut self, value: f64);
    fn text(&mut self, value: &str);
    /// Begins a text that is written in parts; gives what `close_text` wants.
    fn open_text(&mut self) -> usize;
    fn part(&mut self, text: &str);
    fn close_text(&mut self, opened: usize);
    fn item(&mut self);
    fn open_list(&mut self);
    fn close_list(&mut self);
    fn open_tuple(&mut self);
    fn close_tuple(&mut self);
    fn open_map(&mut self);
    fn key(&mut self, name: &str);
    /// A name that is known when distlog is built.
    fn known(&mut self, key: &Key);
    fn close_map(&mut self);
    /// A value, written before by the same form.
    fn ready(&mut self, written: &[u8]);
    /// Members of a map, written before by the same form.
    fn members(&mut self, written: &[u8]);

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

/// A name, and how JSON writes it behind another member.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    json: &'static str,
}

impl Key {
    /// Made by [`key!`], which sees that both say the same.
    pub(crate) const fn new(name: &'static str, json: &'static str) -> Self {
        Self { name, json }
    }
}

/// A [`Key`] of a name that JSON needs not escape.
macro_rules! key {
    ($name:literal) => {
        $crate::encode::writer::Key::new($name, concat!(",\"", $name, "\":"))
    };
}
pub(crate) use key;

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
    const FORM: usize = 0;

    fn over(mut memory: Vec<u8>) -> Self {
        memory.clear();
        Self(memory)
    }

    fn finish(self) -> Vec<u8> {
        self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn since(&self, length: usize) -> &[u8] {
        let written = self.0.get(length..).unwrap_or_default();
        written.strip_prefix(b",").unwrap_or(written)
    }

    fn cut(&mut self, length: usize) {
        self.0.truncate(length);
    }

    fn none(&mut self) {
        self.put(b"null");
    }

    fn boolean(&mut self, value: bool) {
        self.put(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    fn big(&mut self, value: &Big) {
        self.put(value.decimal().as_bytes());
    }

    fn finite(&mut self, value: f64) {
        // The shortest digits that read back as the same number; always with a point or an exponent.
        if !moment(value, &mut self.0) {
            self.put(zmij::Buffer::new().format_finite(value).as_bytes());
        }
    }

    fn text(&mut self, value: &str) {
        self.0.reserve(value.len() + 2);
        self.0.push(b'"');
        escape(value.as_bytes(), &mut self.0);
        self.0.push(b'"');
    }

    fn open_text(&mut self) -> usize {
        self.0.push(b'"');
        self.0.len()
    }

    fn part(&mut self, text: &str) {
        escape(text.as_bytes(), &mut self.0);
    }

    fn close_text(&mut self, _opened: usize) {
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

    fn known(&mut self, key: &Key) {
        let written = key.json.as_bytes();
        let is_first = matches!(self.0.last(), None | Some(b'{' | b'['));
        self.put(if is_first { written.get(1..).unwrap_or_default() } else { written });
    }

    fn close_map(&mut self) {
        self.0.push(b'}');
    }

    fn ready(&mut self, written: &[u8]) {
        self.put(written);
    }

    fn members(&mut self, written: &[u8]) {
        if !written.is_empty() {
            self.comma();
            self.put(written);
        }
    }
}

/// Appends text as JSON strings have it.
fn escape(mut rest: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = special(rest) {
        let (run, tail) = rest.split_at(at);
        out.extend_from_slice(run);
        let Some((byte, after)) = tail.split_first() else { break };
        rest = after;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                let digit = |value| char::from_digit(u32::from(value), 16).map_or(b'0', |digit| digit as u8);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(other >> 4), digit(other & 15)]);
            }
        }
    }
    out.extend_from_slice(rest);
}

/// Writes the shortest digits of two kinds of numbers that every record has: whole ones, and seconds since the epoch as they are
/// until 2038. Doubles of that size lie 2⁻²² apart, so at most seven digits behind the point tell them apart.
fn moment(value: f64, out: &mut Vec<u8>) -> bool {
    const NEAR: f64 = 0.999_999_9 / (1 << 23) as f64;
    let whole = value.trunc();
    let fraction = value - whole;
    if fraction == 0.0 && whole.abs() < 1e15 && whole != 0.0 {
        out.extend_from_slice(itoa::Buffer::new().format(whole as i64).as_bytes());
        out.extend_from_slice(b".0");
        return true;
    }
    if !((1_u32 << 30) as f64..(1_u32 << 31) as f64).contains(&value) {
        return false;
    }
    let (six, seven) = ((fraction * 1e6).round(), (fraction * 1e7).round());
    let (mut digits, mut count) =
        if (six / 1e6 - fraction).abs() < NEAR { (six as u32, 6) } else { (seven as u32, 7) };
    if digits == 0 || six >= 1e6 || seven >= 1e7 {
        return false;
    }
    while digits % 10 == 0 {
        digits /= 10;
        count -= 1;
    }
    let mut behind = [b'.'; 8];
    for place in (1..=count).rev() {
        if let Some(place) = behind.get_mut(place) {
            *place = b'0' + (digits % 10) as u8;
        }
        digits /= 10;
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole as u32).as_bytes());
    out.extend_from_slice(behind.get(..=count).unwrap_or_default());
    true
}

/// The place of the first byte that a JSON string may not have as it is: below space, `"` or `\`.
fn special(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at * 8 + marks.trailing_zeros() as usize / 8);
        }
    }
    let start = text.len() - rest.len();
    if let Some(last) = text.last_chunk::<8>()
        && marks(u64::from_le_bytes(*last)) == 0
    {
        return None;
    }
    rest.iter().position(|byte| matches!(byte, ..0x20 | b'"' | b'\\')).map(|at| start + at)
}

/// The highest bit of each special byte. Bytes above the lowest marked one may be marked by mistake; the lowest one is right.
const fn marks(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zeros(word ^ (ONES * b'"' as u64));
    let slash = zeros(word ^ (ONES * b'\\' as u64));
    (control | quote | slash) & HIGH
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
    const FORM: usize = 1;

    fn over(mut memory: Vec<u8>) -> Self {
        memory.clear();
        memory.extend_from_slice(&[0x80, 2]);
        Self(memory)
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn since(&self, length: usize) -> &[u8] {
        self.0.get(length..).unwrap_or_default()
    }

    fn cut(&mut self, length: usize) {
        self.0.truncate(length);
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

    fn open_text(&mut self) -> usize {
        self.put(&[b'X', 0, 0, 0, 0]);
        self.0.len()
    }

    fn part(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    fn close_text(&mut self, opened: usize) {
        let length = (self.0.len() - opened) as u32;
        if let Some(place) = self.0.get_mut(opened - 4..opened) {
            place.copy_from_slice(&length.to_le_bytes());
        }
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

    fn known(&mut self, key: &Key) {
        self.text(key.name);
    }

    fn close_map(&mut self) {
        self.0.push(b'u');
    }

    fn ready(&mut self, written: &[u8]) {
        self.put(written);
    }

    fn members(&mut self, written: &[u8]) {
        self.put(written);
    }
}
