//! One column of a block: the values of one field name, in row order, of those rows that have the field.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | codec: 0 constant, 1 dictionary, 2 decimals, 3 lines, 4 sized texts |
//! | 1 | bit 0: searchable, see [`is_searchable`]; bit 1: all values are strings |
//! | varint | number of values |
//! | constant | the one text |
//! | dictionary | varint n ≤ 255, n × (varint length, text), then one byte a value |
//! | decimals | one byte scale, then each value × 10^scale as zigzag varint difference to the one before |
//! | lines | the texts, `\n` between them (JSON text has none unless it was sent with line breaks) |
//! | sized texts | a varint length each, then all texts |
//!
//! Texts are raw JSON values and come back byte for byte: a codec is chosen only if it can do that.

use std::cell::OnceCell;
use std::hash::{BuildHasher, Hasher};

use memchr::memmem;

use super::codec::{Input, parse_decimal, print_decimal, put_deltas, put_varint, rescale};
use crate::Error;

const CONSTANT: u8 = 0;
const DICTIONARY: u8 = 1;
const DECIMALS: u8 = 2;
const LINES: u8 = 3;
const SIZED: u8 = 4;

/// Dictionaries have a byte a value.
const DICTIONARY_SIZE: usize = 255;

/// A column that was read back.
pub(crate) struct Column {
    /// How many values it has.
    pub(crate) count: usize,
    /// Whether [`Self::find`] may be asked.
    pub(crate) searchable: bool,
    /// Whether all values are JSON strings.
    pub(crate) strings: bool,
    kind: Kind,
}

enum Kind {
    Constant(String),
    Dictionary {
        texts: Texts,
        codes: Vec<u8>,
    },
    Decimals {
        scale: u8,
        values: Vec<i64>,
        printed: OnceCell<Texts>,
    },
    /// Ends are found when first asked for: a search that hits nothing needs none.
    Lines {
        text: String,
        ends: OnceCell<Vec<u32>>,
    },
    Sized(Texts),
}

/// Texts in one allocation, each from the end of the one before to its own end.
#[derive(Default)]
struct Texts {
    text: String,
    ends: Vec<u32>,
}

impl Texts {
    fn get(&self, index: usize) -> Option<&str> {
        slice(&self.text, &self.ends, index, 0)
    }
}

fn slice<'a>(text: &'a str, ends: &[u32], index: usize, gap: usize) -> Option<&'a str> {
    let end = *ends.get(index)? as usize;
    let start = match index.checked_sub(1) {
        Some(before) => *ends.get(before)? as usize + gap,
        None => 0,
    };
    text.get(start..end)
}

/// Appends the column of these values.
pub(crate) fn encode(out: &mut Vec<u8>, values: &[&str]) {
    let start = out.len();
    out.extend([CONSTANT, 0]);
    put_varint(out, values.len() as u64);
    let head = out.len();
    let codec = encode_values(out, values);
    let searchable = codec != DECIMALS && out.get(head..).is_some_and(is_searchable);
    let strings = values.iter().all(|value| value.starts_with('"'));
    if let Some([first, second]) = out.get_mut(start..start + 2) {
        *first = codec;
        *second = u8::from(searchable) | u8::from(strings) << 1;
    }
}

fn encode_values(out: &mut Vec<u8>, values: &[&str]) -> u8 {
    let first = values.first().copied().unwrap_or_default();
    if values.iter().all(|value| *value == first) {
        out.extend_from_slice(first.as_bytes());
        CONSTANT
    } else if encode_dictionary(out, values) {
        DICTIONARY
    } else if let Some((scale, numbers)) = decimals(values) {
        out.push(scale);
        put_deltas(out, numbers);
        DECIMALS
    } else {
        let start = out.len();
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(b'\n');
            }
            out.extend_from_slice(value.as_bytes());
        }
        let lines = memchr::memchr_iter(b'\n', out.get(start..).unwrap_or_default()).count() + 1;
        if lines == values.len() {
            return LINES;
        }
        out.truncate(start);
        values.iter().for_each(|value| put_varint(out, value.len() as u64));
        values.iter().for_each(|value| out.extend_from_slice(value.as_bytes()));
        SIZED
    }
}

/// Writes a dictionary if there are few enough texts for how often they come; nothing otherwise.
fn encode_dictionary(out: &mut Vec<u8>, values: &[&str]) -> bool {
    let bound = DICTIONARY_SIZE.min(values.len() / 2);
    let mut known = Known { slots: [0; SLOTS], texts: Vec::with_capacity(DICTIONARY_SIZE) };
    let mut codes = Vec::with_capacity(values.len());
    let mut last = ("", 0);
    for value in values {
        if *value != last.0 || codes.is_empty() {
            last = (value, known.code(value));
        }
        if known.texts.len() > bound {
            return false;
        }
        codes.push(last.1);
    }
    let texts = known.texts;
    put_varint(out, texts.len() as u64);
    for text in texts {
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(&codes);
    true
}

/// Slots of [`Known`]: four times what it ever holds.
const SLOTS: usize = 1024;

/// The texts met so far and, in a table of open addresses, the code of each plus one.
struct Known<'a> {
    slots: [u16; SLOTS],
    texts: Vec<&'a str>,
}

impl<'a> Known<'a> {
    fn code(&mut self, value: &'a str) -> u8 {
        let mut hasher = Quick.build_hasher();
        hasher.write(value.as_bytes());
        let mut at = hasher.finish() as usize;
        while let Some(slot) = self.slots.get_mut(at % SLOTS) {
            if *slot == 0 {
                self.texts.push(value);
                *slot = self.texts.len() as u16;
                break;
            }
            let code = usize::from(*slot) - 1;
            if self.texts.get(code) == Some(&value) {
                return code as u8;
            }
            at = at.wrapping_add(1);
        }
        (self.texts.len() - 1) as u8
    }
}

/// The values as numbers of one scale, if every one prints back.
fn decimals(values: &[&str]) -> Option<(u8, Vec<i64>)> {
    let parsed = values.iter().map(|value| parse_decimal(value)).collect::<Option<Vec<_>>>()?;
    let scale = parsed.iter().map(|(_, scale)| *scale).max()?;
    if scale > 0 && parsed.iter().any(|(_, scale)| *scale == 0) {
        return None;
    }
    let numbers =
        parsed.into_iter().map(|(value, own)| rescale(value, own, scale)).collect::<Option<Vec<_>>>()?;
    Some((scale, numbers))
}

/// Whether every ASCII text that a value contains stands in these bytes as itself, but for case: no ASCII letter is
/// written as an escape, and none is the lower case of a letter beyond ASCII (the Kelvin sign, the dotted capital I).
fn is_searchable(text: &[u8]) -> bool {
    let escaped =
        || [&b"\\u00"[..], b"\\u01", b"\\u21"].iter().any(|escape| memmem::find(text, escape).is_some());
    let folded =
        || ["\u{212a}", "\u{130}"].iter().any(|letter| memmem::find(text, letter.as_bytes()).is_some());
    !(memchr::memchr(b'\\', text).is_some() && escaped()) && (text.is_ascii() || !folded())
}

impl Column {
    /// Reads a column back.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Input(bytes);
        let (codec, flags, count) = (input.byte()?, input.byte()?, input.count()?);
        let kind = match codec {
            CONSTANT => Kind::Constant(utf8(input.0)?),
            DICTIONARY => decode_dictionary(&mut input, count)?,
            DECIMALS => {
                let scale = input.byte()?;
                Kind::Decimals { scale, values: input.deltas(count)?, printed: OnceCell::new() }
            }
            LINES => Kind::Lines { text: utf8(input.0)?, ends: OnceCell::new() },
            SIZED => Kind::Sized(sized(&mut input, count)?),
            _ => return Err(Error::Damaged { reason: "a column has an unknown codec" }),
        };
        Ok(Self { count, searchable: flags & 1 == 1, strings: flags & 2 == 2, kind })
    }

    /// The value at that place, as raw JSON.
    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        if index >= self.count {
            return None;
        }
        match &self.kind {
            Kind::Constant(text) => Some(text),
            Kind::Dictionary { texts, codes } => texts.get(usize::from(*codes.get(index)?)),
            Kind::Decimals { scale, values, printed } => {
                printed.get_or_init(|| print(values, *scale)).get(index)
            }
            Kind::Lines { text, ends } => slice(text, ends.get_or_init(|| line_ends(text)), index, 1),
            Kind::Sized(texts) => texts.get(index),
        }
    }

    /// The same for one value out of many: a number is printed into `scratch`, not the whole column.
    pub(crate) fn get_one<'a>(&'a self, index: usize, scratch: &'a mut String) -> Option<&'a str> {
        let Kind::Decimals { scale, values, .. } = &self.kind else { return self.get(index) };
        let mut bytes = std::mem::take(scratch).into_bytes();
        bytes.clear();
        print_decimal(&mut bytes, *values.get(index)?, *scale);
        *scratch = String::from_utf8(bytes).ok()?;
        Some(scratch)
    }

    /// The numbers and their scale, if the column is of decimals.
    pub(crate) fn decimals(&self) -> Option<(&[i64], u8)> {
        match &self.kind {
            Kind::Decimals { scale, values, .. } => Some((values, *scale)),
            _ => None,
        }
    }

    /// Each different text once, and for each value which of them it is; `None` if the column is of another kind.
    pub(crate) fn dictionary(&self) -> Option<(Vec<&str>, &[u8])> {
        match &self.kind {
            Kind::Dictionary { texts, codes } => {
                Some(((0..texts.ends.len()).filter_map(|at| texts.get(at)).collect(), codes))
            }
            _ => None,
        }
    }

    /// The one text that all values have.
    pub(crate) fn constant(&self) -> Option<&str> {
        match &self.kind {
            Kind::Constant(text) => Some(text),
            _ => None,
        }
    }

    /// Calls `hit` with each place whose raw text contains the lower-case ASCII needle, ignoring case, in order.
    pub(crate) fn find(&self, needle: &Needle, scratch: &mut Vec<u8>, mut hit: impl FnMut(usize)) {
        match &self.kind {
            Kind::Constant(text) => {
                if needle.is_in(text.as_bytes(), scratch) {
                    (0..self.count).for_each(hit);
                }
            }
            Kind::Dictionary { texts, codes } => {
                let has: Vec<bool> = (0..texts.ends.len())
                    .map(|at| texts.get(at).is_some_and(|text| needle.is_in(text.as_bytes(), scratch)))
                    .collect();
                if has.contains(&true) {
                    let hits = codes
                        .iter()
                        .enumerate()
                        .filter(|(_, code)| has.get(usize::from(**code)) == Some(&true));
                    hits.for_each(|(at, _)| hit(at));
                }
            }
            Kind::Lines { text, ends } => {
                needle.places(text.as_bytes(), scratch, || ends.get_or_init(|| line_ends(text)), hit);
            }
            Kind::Sized(texts) => needle.places(texts.text.as_bytes(), scratch, || &texts.ends, hit),
            Kind::Decimals { scale, values, printed } => {
                let texts = printed.get_or_init(|| print(values, *scale));
                needle.places(texts.text.as_bytes(), scratch, || &texts.ends, hit);
            }
        }
    }
}

/// A lower-case ASCII text to look for.
pub(crate) struct Needle {
    finder: memmem::Finder<'static>,
}

impl Needle {
    /// The part of `text` that stands for itself in raw JSON: its longest run of plain ASCII. `None` if there is none.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\' | b'/');
        let run = text.as_bytes().split(|byte| !plain(*byte)).max_by_key(|run| run.len())?;
        if run.is_empty() {
            return None;
        }
        Some(Self { finder: memmem::Finder::new(&run.to_ascii_lowercase()).into_owned() })
    }

    fn is_in(&self, text: &[u8], scratch: &mut Vec<u8>) -> bool {
        lower(text, scratch);
        self.finder.find(scratch).is_some()
    }

    fn places<'a>(
        &self,
        text: &[u8],
        scratch: &mut Vec<u8>,
        ends: impl FnOnce() -> &'a Vec<u32>,
        mut hit: impl FnMut(usize),
    ) {
        lower(text, scratch);
        let mut found = self.finder.find_iter(scratch).peekable();
        if found.peek().is_none() {
            return;
        }
        let ends = ends();
        let (mut row, mut last) = (0, None);
        for at in found {
            row += ends.get(row..).unwrap_or_default().iter().take_while(|end| **end as usize <= at).count();
            if last != Some(row) && row < ends.len() {
                hit(row);
                last = Some(row);
            }
        }
    }
}

/// Copies the text in lower case. The copy and a search for one exact text are both vectorised; a search for either case is not.
fn lower(text: &[u8], scratch: &mut Vec<u8>) {
    scratch.clear();
    scratch.extend_from_slice(text);
    scratch.make_ascii_lowercase();
}

fn utf8(bytes: &[u8]) -> Result<String, Error> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Error::Damaged { reason: "a text is not UTF-8" })
}

fn line_ends(text: &str) -> Vec<u32> {
    memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]).map(|end| end as u32).collect()
}

fn decode_dictionary(input: &mut Input<'_>, count: usize) -> Result<Kind, Error> {
    let mut texts = Texts::default();
    for _ in 0..input.count()?.min(DICTIONARY_SIZE) {
        let length = input.count()?;
        texts.text.push_str(&utf8(input.take(length)?)?);
        texts.ends.push(texts.text.len() as u32);
    }
    Ok(Kind::Dictionary { texts, codes: input.take(count)?.to_vec() })
}

fn sized(input: &mut Input<'_>, count: usize) -> Result<Texts, Error> {
    let mut end = 0_u32;
    let mut ends = Vec::with_capacity(count.min(input.0.len()));
    for _ in 0..count {
        let length = input.count()? as u32;
        end = end.checked_add(length).ok_or(Error::Damaged { reason: "a length is too large" })?;
        ends.push(end);
    }
    Ok(Texts { text: utf8(input.0)?, ends })
}

fn print(values: &[i64], scale: u8) -> Texts {
    let mut bytes = Vec::with_capacity(values.len() * 12);
    let mut ends = Vec::with_capacity(values.len());
    for value in values {
        print_decimal(&mut bytes, *value, scale);
        ends.push(bytes.len() as u32);
    }
    Texts { text: String::from_utf8(bytes).unwrap_or_default(), ends }
}

/// A hash that is quick on short texts. Nothing hostile is gained by collisions: a table has 256 entries at most.
#[derive(Clone, Copy, Default)]
pub(crate) struct Quick;

impl BuildHasher for Quick {
    type Hasher = QuickHasher;

    fn build_hasher(&self) -> QuickHasher {
        QuickHasher(0)
    }
}

/// The state of [`Quick`].
pub(crate) struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(last) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }
}

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
