//! Blocks: some thousand records as columns, sealed once and never changed.
//!
//! A block is a [`header`] (what is known without unpacking) and up to 16 [`part`]s, each compressed and checked by itself
//! ([`codec`]). Part 0 is the [`directory`] of columns and shapes; a [`column`] holds the values of one field name.
//! Of a record's `context` the leading member `key` is taken out into a column of its own: it is what trees are built from.
//!
//! Reading is lazy: a row is a place in a block, and only the columns that are asked for are fetched and unpacked.
//! What cannot be read makes its block damaged ([`Block::fault`]); whoever reads checks that before he believes the rows.

pub(crate) mod codec;
pub(crate) mod column;
pub(crate) mod directory;
pub(crate) mod header;
pub(crate) mod part;
mod row;

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::ops::Range;

use distlog::record::{Fields, Raw};
use distlog::{GoalId, Key, Record};

use crate::{Entry, Error};
use codec::{Input, Packer, put_deltas, put_varint};
use column::Column;
use directory::{Directory, Gathered, KEY, WHOLE};
pub(crate) use header::Header;
pub(crate) use row::{Assembler, Row};

/// Stands for a level where a row has none.
pub(crate) const NO_LEVEL: i64 = i64::MIN;

/// A block as it is written.
pub(crate) struct Sealed {
    pub(crate) header: Header,
    /// Number and bytes of each part.
    pub(crate) parts: Vec<(u8, Vec<u8>)>,
    /// The roots of all goals that its records belong to.
    pub(crate) roots: Vec<[u8; 16]>,
}

/// Where the parts of a block come from.
pub(crate) trait Parts {
    /// The unpacked content of a part.
    fn part(&self, block: u64, part: u8) -> Result<Vec<u8>, Error>;
}

/// Makes a block of entries with dense offsets.
pub(crate) fn seal(entries: &[Entry], packer: &mut Packer) -> Result<Sealed, Error> {
    let gathered = Gathered::from(entries);
    let mut header = Header::of(entries);
    header.whole = gathered.has_whole();
    let mut received = Vec::with_capacity(entries.len() + 8);
    put_deltas(&mut received, entries.iter().map(|entry| entry.received));
    let mut parts =
        vec![(part::DIRECTORY, packer.pack(&gathered.encode())?), (part::RECEIVED, packer.pack(&received)?)];
    let (mut content, mut rest) = (Vec::new(), Vec::new());
    for (name, values) in &gathered.columns {
        content.clear();
        column::encode(&mut content, values);
        match part::of(name) {
            part::REST => {
                put_varint(&mut rest, content.len() as u64);
                rest.extend_from_slice(&content);
            }
            alone => parts.push((alone, packer.pack(&content)?)),
        }
    }
    if !rest.is_empty() {
        parts.push((part::REST, packer.pack(&rest)?));
    }
    header.parts = parts.iter().fold(0, |mask, (part, _)| mask | 1 << part);
    Ok(Sealed { header, parts, roots: roots(&gathered, entries) })
}

/// The root in a record's key; `None` if it is no key.
pub(crate) fn root_of(key: &str) -> Option<[u8; 16]> {
    canonical_root(key).or_else(|| Some(Key::parse(key).ok()?.goal.root()))
}

/// A block being read.
pub(crate) struct Block<'p> {
    pub(crate) header: Header,
    source: &'p dyn Parts,
    directory: OnceCell<Option<Directory>>,
    alone: [OnceCell<Option<Loaded>>; part::ALONE.len()],
    rest: OnceCell<Option<Rest>>,
    contexts: OnceCell<Vec<Option<String>>>,
    wholes: OnceCell<Vec<Option<Record>>>,
    received: OnceCell<Vec<i64>>,
    times: OnceCell<Vec<i64>>,
    levels: OnceCell<Vec<i64>>,
    fault: Cell<Option<Error>>,
}

/// A column and, if not every row has it, where each row's value is in it.
struct Loaded {
    column: Column,
    places: Option<Vec<u32>>,
}

impl Loaded {
    fn get(&self, row: usize) -> Option<&str> {
        self.column.get(self.place(row)?)
    }

    fn get_one<'a>(&'a self, row: usize, scratch: &'a mut String) -> Option<&'a str> {
        self.column.get_one(self.place(row)?, scratch)
    }

    fn place(&self, row: usize) -> Option<usize> {
        match &self.places {
            None => Some(row),
            Some(places) => Some(*places.get(row)? as usize),
        }
    }
}

/// The part of all columns without a part of their own, and where in it each is, by column number.
struct Rest {
    bytes: Vec<u8>,
    columns: Vec<(Range<usize>, OnceCell<Option<Loaded>>)>,
}

impl<'p> Block<'p> {
    /// The block of that header.
    pub(crate) fn new(header: Header, source: &'p dyn Parts) -> Self {
        Self {
            header,
            source,
            directory: OnceCell::new(),
            alone: Default::default(),
            rest: OnceCell::new(),
            contexts: OnceCell::new(),
            wholes: OnceCell::new(),
            received: OnceCell::new(),
            times: OnceCell::new(),
            levels: OnceCell::new(),
            fault: Cell::new(None),
        }
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.header.count as usize
    }

    /// The row at that place.
    pub(crate) fn row(&self, row: usize) -> Row<'_> {
        Row { block: self, row }
    }

    /// What went wrong in reading it so far, if anything.
    pub(crate) fn fault(&self) -> Result<(), Error> {
        self.fault.take().map_or(Ok(()), Err)
    }

    /// Times received, a row each.
    pub(crate) fn received(&self) -> &[i64] {
        self.received.get_or_init(|| {
            let content = self.fetch(part::RECEIVED);
            let numbers = content.and_then(|content| self.note(Input(&content).deltas(self.len())));
            numbers.unwrap_or_else(|| vec![0; self.len()])
        })
    }

    /// Times of records, a row each: `created`, else when received.
    pub(crate) fn times(&self) -> &[i64] {
        self.times.get_or_init(|| {
            if let Some(times) = self.quick_times() {
                return times;
            }
            let received = self.received().iter();
            received.enumerate().map(|(row, received)| self.row(row).created().unwrap_or(*received)).collect()
        })
    }

    /// The column of that name with a place for each row that has it; `None` if it is in no row.
    pub(crate) fn column(&self, name: &str) -> Option<(&Column, Option<&[u32]>)> {
        self.loaded(name).map(|loaded| (&loaded.column, loaded.places.as_deref()))
    }

    /// Levels, a row each; [`NO_LEVEL`] where there is none.
    pub(crate) fn levels(&self) -> &[i64] {
        self.levels.get_or_init(|| {
            let number = |text| Raw::trusted(text).as_i64().unwrap_or(NO_LEVEL);
            let dense = self.loaded("levelno").filter(|loaded| loaded.places.is_none() && !self.header.whole);
            if let Some(text) = dense.and_then(|loaded| loaded.column.constant()) {
                return vec![number(text); self.len()];
            }
            if let Some((texts, codes)) = dense.and_then(|loaded| loaded.column.dictionary()) {
                let levels: Vec<i64> = texts.into_iter().map(number).collect();
                return codes
                    .iter()
                    .map(|code| levels.get(usize::from(*code)).copied().unwrap_or(NO_LEVEL))
                    .collect();
            }
            (0..self.len()).map(|row| self.row(row).level().unwrap_or(NO_LEVEL)).collect()
        })
    }

    /// Columns and shapes.
    pub(crate) fn directory(&self) -> Option<&Directory> {
        let read = || {
            let content = self.fetch(part::DIRECTORY)?;
            self.note(Directory::decode(&content, self.len()))
        };
        self.directory.get_or_init(read).as_ref()
    }

    /// All columns whole, decimals of seconds as nanoseconds: the path of histograms.
    fn quick_times(&self) -> Option<Vec<i64>> {
        let loaded = self.loaded("created")?;
        if self.header.whole || loaded.places.is_some() {
            return None;
        }
        let (values, scale) = loaded.column.decimals()?;
        let factor = 10_i64.pow(u32::from(9_u8.checked_sub(scale)?));
        // Within this bound the product fits, and the vocabulary takes the number as a time.
        let sensible =
            |value: &i64| value.unsigned_abs() < 9_000_000_000 * 1_000_000_000 / factor.unsigned_abs();
        if !values.iter().all(sensible) {
            return None;
        }
        Some(values.iter().map(|value| value * factor).collect())
    }

    fn loaded(&self, name: &str) -> Option<&Loaded> {
        match part::ALONE.iter().position(|alone| *alone == name) {
            Some(at) => self.alone.get(at)?.get_or_init(|| self.load_alone(name, part::of(name))).as_ref(),
            None => self.loaded_rest(self.directory()?.column(name)?),
        }
    }

    /// The column of that number in the directory.
    fn loaded_at(&self, column: usize) -> Option<&Loaded> {
        let (name, part) = self.directory()?.columns.get(column)?;
        if *part == part::REST { self.loaded_rest(column) } else { self.loaded(name) }
    }

    fn load_alone(&self, name: &str, part: u8) -> Option<Loaded> {
        if self.header.parts & 1 << part == 0 {
            return None;
        }
        let content = self.fetch(part)?;
        self.load(&content, || self.directory()?.column(name))
    }

    fn loaded_rest(&self, column: usize) -> Option<&Loaded> {
        let rest = self.rest.get_or_init(|| self.open_rest()).as_ref()?;
        let (place, loaded) = rest.columns.get(column)?;
        loaded.get_or_init(|| self.load(rest.bytes.get(place.clone())?, || Some(column))).as_ref()
    }

    fn open_rest(&self) -> Option<Rest> {
        let directory = self.directory()?;
        let bytes = self.fetch(part::REST)?;
        let mut input = Input(&bytes);
        let mut columns = Vec::with_capacity(directory.columns.len());
        for (_, part) in &directory.columns {
            let mut place = 0..0;
            if *part == part::REST {
                let length = self.note(input.count())?;
                let start = bytes.len() - input.0.len();
                self.note(input.take(length))?;
                place = start..start + length;
            }
            columns.push((place, OnceCell::new()));
        }
        Some(Rest { bytes, columns })
    }

    fn load(&self, content: &[u8], number: impl FnOnce() -> Option<usize>) -> Option<Loaded> {
        let column = self.note(Column::decode(content))?;
        if column.count == self.len() {
            return Some(Loaded { column, places: None });
        }
        let places = self.directory()?.places(number()?);
        if places.iter().filter(|place| **place != u32::MAX).count() != column.count {
            self.fault.set(Some(Error::Damaged { reason: "a column does not fit its block" }));
            return None;
        }
        Some(Loaded { column, places: Some(places) })
    }

    /// The context of a row, with its key put back.
    fn context(&self, row: usize) -> Option<&str> {
        let contexts = self.contexts.get_or_init(|| {
            let (keys, rests) = (self.loaded(KEY), self.loaded("context"));
            let join = |row| {
                let rest = rests?.get(row)?;
                let mut text = String::new();
                match keys.and_then(|keys| keys.get(row)) {
                    Some(key) => directory::join_key(&mut text, key, rest),
                    None => text.push_str(rest),
                }
                Some(text)
            };
            (0..self.len()).map(join).collect()
        });
        contexts.get(row)?.as_deref()
    }

    /// The record of a row that is stored whole.
    fn whole(&self, row: usize) -> Option<&Record> {
        if !self.header.whole {
            return None;
        }
        let wholes = self.wholes.get_or_init(|| {
            let texts = self.loaded(WHOLE);
            let read = |row| {
                self.note(
                    Record::from_json(texts?.get(row)?)
                        .map_err(|_| Error::Damaged { reason: "a record is no JSON" }),
                )
            };
            (0..self.len()).map(read).collect()
        });
        wholes.get(row)?.as_ref()
    }

    fn fetch(&self, part: u8) -> Option<Vec<u8>> {
        self.note(self.source.part(self.header.first, part))
    }

    fn note<T>(&self, result: Result<T, Error>) -> Option<T> {
        result.map_err(|error| self.fault.set(Some(error))).ok()
    }
}

/// Reads the usual form of a key without an allocation: digits, `@`, a lower-case uuid with hyphens, a path of digits.
fn canonical_root(key: &str) -> Option<[u8; 16]> {
    let bytes = key.as_bytes();
    let at = memchr::memchr(b'@', bytes)?;
    let (number, id) = (bytes.get(..at)?, bytes.get(at + 1..)?);
    let (uuid, path) = id.split_at_checked(36)?;
    let is_path = path.is_empty()
        || path.starts_with(b"/") && path.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'/'));
    if number.is_empty() || number.len() > 9 || !number.iter().all(u8::is_ascii_digit) || !is_path {
        return None;
    }
    let mut root = [0; 16];
    let mut digits =
        uuid.iter().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23)).map(|(_, digit)| digit);
    for byte in &mut root {
        *byte = nibble(*digits.next()?)? << 4 | nibble(*digits.next()?)?;
    }
    let hyphens = [8, 13, 18, 23].iter().all(|at| uuid.get(*at) == Some(&b'-'));
    hyphens.then_some(root)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The root that a key names, also where its number or path have no form: filters go by the text alone, and the index
/// must not rule out what they let pass.
fn named_root(key: &str) -> Option<[u8; 16]> {
    canonical_root(key).or_else(|| {
        let (_, id) = key.split_once('@')?;
        Some(GoalId::parse(id.split('/').next()?).ok()?.root())
    })
}

/// All roots of the block, each once. Rows whose key is not in the key column (it did not lead its context, or the record
/// is stored whole) are asked one by one.
fn roots(gathered: &Gathered<'_>, entries: &[Entry]) -> Vec<[u8; 16]> {
    let mut roots = HashSet::new();
    let key_column = gathered.columns.iter().position(|(name, _)| *name == KEY);
    let keys = key_column.and_then(|at| gathered.columns.get(at)).map_or(&[][..], |(_, values)| values);
    roots.extend(keys.iter().filter_map(|key| named_root(key)));
    if keys.len() < entries.len() {
        let keyed: Vec<bool> = gathered
            .shapes
            .iter()
            .map(|shape| shape.iter().any(|at| Some(*at as usize) == key_column))
            .collect();
        let others = entries
            .iter()
            .zip(&gathered.rows)
            .filter(|(_, shape)| keyed.get(**shape as usize) != Some(&true));
        roots.extend(others.filter_map(|(entry, _)| {
            let key = entry.record.get("context")?.walk("key")?.into_str()?;
            named_root(&key)
        }));
    }
    roots.into_iter().collect()
}

#[cfg(test)]
mod tests;
