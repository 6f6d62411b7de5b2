//! Which columns a block has, and which row has which of them.
//!
//! Records of one call site have the same fields in the same order: a *shape*. A row stores the number of its shape, so
//! order and absence of fields cost next to nothing, and putting a record together is a walk over its shape.
//!
//! | bytes of part 0 | meaning |
//! |---|---|
//! | varint n, n × (varint length, name, byte part) | the columns; names are JSON text without quotes |
//! | varint m, m × (varint k, k × varint column) | the shapes |
//! | a varint a row | its shape; left out if there is one shape |
//!
//! A block has at most [`MAX_COLUMNS`] columns and [`MAX_SHAPES`] shapes. A record that would be one more is stored whole:
//! its shape is the one column [`WHOLE`] (no JSON field can be mistaken for it), whose values are records' JSON.

use std::collections::HashMap;

use distlog::record::Raw;

use super::codec::{Input, put_varint};
use super::column::Quick;
use super::part;
use crate::{Entry, Error};

/// Name of the column of records that are stored whole. A newline never stands unescaped in a JSON name.
pub(crate) const WHOLE: &str = "\nwhole";

/// Name of the column of record keys, taken out of `context`.
pub(crate) const KEY: &str = "\nkey";

/// More columns than this are not opened in one block.
pub(crate) const MAX_COLUMNS: usize = 1024;

/// More shapes than this are not opened in one block.
pub(crate) const MAX_SHAPES: usize = 4096;

/// The values of a block under construction, borrowed from its records.
#[derive(Default)]
pub(crate) struct Gathered<'a> {
    /// Name and values of each column.
    pub(crate) columns: Vec<(&'a str, Vec<&'a str>)>,
    /// Column numbers of each shape.
    pub(crate) shapes: Vec<Vec<u32>>,
    /// The shape of each row.
    pub(crate) rows: Vec<u32>,
    by_name: HashMap<&'a str, u32>,
    by_hash: HashMap<u64, Vec<u32>, Quick>,
}

impl<'a> Gathered<'a> {
    /// The values of these records, column by column.
    pub(crate) fn from(entries: &'a [Entry]) -> Self {
        let mut gathered = Self { rows: Vec::with_capacity(entries.len()), ..Self::default() };
        let mut fields = Vec::new();
        for entry in entries {
            fields.clear();
            fields.extend(entry.record.fields());
            gathered.add(&fields, entry.record.as_json(), entries.len());
        }
        gathered
    }

    /// Whether some record is stored whole.
    pub(crate) fn has_whole(&self) -> bool {
        self.by_name.contains_key(WHOLE)
    }

    fn add(&mut self, fields: &[(&'a str, Raw<'a>)], json: &'a str, rows: usize) {
        let hash = hash_names(fields);
        let shape = self.known_shape(hash, fields).or_else(|| self.new_shape(hash, fields, rows));
        let Some((shape, columns)) = shape.and_then(|shape| Some((shape, self.shapes.get(shape as usize)?)))
        else {
            return self.add_whole(json);
        };
        self.rows.push(shape);
        let mut columns = columns.iter();
        for (name, value) in fields {
            let mut text = value.text();
            if *name == "context"
                && let Some((key, _)) = split_key(text)
            {
                push(&mut self.columns, columns.next(), key);
                text = text.get(KEY_START.len() + key.len() + 1..).unwrap_or_default();
            }
            push(&mut self.columns, columns.next(), text);
        }
    }

    fn known_shape(&self, hash: u64, fields: &[(&str, Raw<'_>)]) -> Option<u32> {
        self.by_hash.get(&hash)?.iter().copied().find(|shape| self.is_shape(*shape, fields))
    }

    fn is_shape(&self, shape: u32, fields: &[(&str, Raw<'_>)]) -> bool {
        let Some(columns) = self.shapes.get(shape as usize) else { return false };
        let mut names = columns.iter().filter_map(|at| self.columns.get(*at as usize)).map(|(name, _)| *name);
        let same = fields.iter().all(|(name, value)| {
            let keyed = *name != "context" || split_key(value.text()).is_none() || names.next() == Some(KEY);
            keyed && names.next() == Some(*name)
        });
        same && names.next().is_none()
    }

    /// Opens a shape and the columns it needs; `None` if the block has enough of either.
    fn new_shape(&mut self, hash: u64, fields: &[(&'a str, Raw<'a>)], rows: usize) -> Option<u32> {
        let unknown = fields.iter().filter(|(name, _)| !self.by_name.contains_key(name)).count();
        if self.columns.len() + unknown + 2 > MAX_COLUMNS || self.shapes.len() + 1 >= MAX_SHAPES {
            return None;
        }
        let mut columns = Vec::with_capacity(fields.len() + 1);
        for (name, value) in fields {
            if *name == "context" && split_key(value.text()).is_some() {
                columns.push(self.column(KEY, rows));
            }
            columns.push(self.column(name, rows));
        }
        let shape = self.shapes.len() as u32;
        self.shapes.push(columns);
        self.by_hash.entry(hash).or_default().push(shape);
        Some(shape)
    }

    fn column(&mut self, name: &'a str, rows: usize) -> u32 {
        *self.by_name.entry(name).or_insert_with(|| {
            // Room for all rows at once for the first columns, which are those of every record.
            let room = if self.columns.len() < 64 { rows } else { 0 };
            self.columns.push((name, Vec::with_capacity(room)));
            (self.columns.len() - 1) as u32
        })
    }

    fn add_whole(&mut self, json: &'a str) {
        let column = self.column(WHOLE, 0);
        let shape = match self.shapes.iter().position(|columns| *columns == [column]) {
            Some(shape) => shape,
            None => {
                self.shapes.push(vec![column]);
                self.shapes.len() - 1
            }
        };
        self.rows.push(shape as u32);
        push(&mut self.columns, Some(&column), json);
    }

    /// The bytes of part 0.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.columns.len() as u64);
        for (name, _) in &self.columns {
            put_varint(&mut out, name.len() as u64);
            out.extend_from_slice(name.as_bytes());
            out.push(part::of(name));
        }
        put_varint(&mut out, self.shapes.len() as u64);
        for shape in &self.shapes {
            put_varint(&mut out, shape.len() as u64);
            shape.iter().for_each(|column| put_varint(&mut out, u64::from(*column)));
        }
        if self.shapes.len() > 1 {
            self.rows.iter().for_each(|shape| put_varint(&mut out, u64::from(*shape)));
        }
        out
    }
}

/// Part 0, read back.
pub(crate) struct Directory {
    /// Name and part of each column.
    pub(crate) columns: Vec<(String, u8)>,
    /// Column numbers of each shape.
    pub(crate) shapes: Vec<Vec<u32>>,
    /// The shape of each row.
    pub(crate) rows: Vec<u32>,
    by_name: HashMap<String, usize>,
}

impl Directory {
    /// Reads part 0 of a block of `count` rows.
    pub(crate) fn decode(bytes: &[u8], count: usize) -> Result<Self, Error> {
        let mut input = Input(bytes);
        let mut columns = Vec::new();
        for _ in 0..input.count()?.min(MAX_COLUMNS) {
            let length = input.count()?;
            let name = std::str::from_utf8(input.take(length)?);
            let name =
                name.map_err(|_| Error::Damaged { reason: "a column's name is not UTF-8" })?.to_owned();
            columns.push((name, input.byte()?));
        }
        let shapes = (0..input.count()?.min(MAX_SHAPES))
            .map(|_| decode_shape(&mut input))
            .collect::<Result<Vec<_>, _>>()?;
        let rows = match shapes.len() {
            1 => vec![0; count],
            _ => (0..count).map(|_| Ok(input.varint()? as u32)).collect::<Result<Vec<_>, Error>>()?,
        };
        let by_name = columns.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Ok(Self { columns, shapes, rows, by_name })
    }

    /// The number of the column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// For each row its place in the column, or `u32::MAX` where the row does not have it.
    pub(crate) fn places(&self, column: usize) -> Vec<u32> {
        let has: Vec<bool> = self.shapes.iter().map(|shape| shape.contains(&(column as u32))).collect();
        let mut next = 0;
        let place = |shape: &u32| {
            if has.get(*shape as usize) == Some(&true) {
                next += 1;
                next - 1
            } else {
                u32::MAX
            }
        };
        self.rows.iter().map(place).collect()
    }
}

const KEY_START: &str = "{\"key\":\"";

/// A context that begins with its key: the key, and the text from the key's closing quote's successor on.
/// Put together again by [`join_key`].
pub(crate) fn split_key(context: &str) -> Option<(&str, &str)> {
    let rest = context.strip_prefix(KEY_START)?;
    let end = memchr::memchr2(b'"', b'\\', rest.as_bytes())?;
    if rest.as_bytes().get(end) != Some(&b'"') {
        return None;
    }
    Some((rest.get(..end)?, rest.get(end + 1..)?))
}

/// Appends the context that [`split_key`] took apart.
pub(crate) fn join_key(out: &mut String, key: &str, rest: &str) {
    out.push_str(KEY_START);
    out.push_str(key);
    out.push('"');
    out.push_str(rest);
}

fn push<'a>(columns: &mut [(&'a str, Vec<&'a str>)], column: Option<&u32>, value: &'a str) {
    if let Some((_, values)) = column.and_then(|at| columns.get_mut(*at as usize)) {
        values.push(value);
    }
}

fn hash_names(fields: &[(&str, Raw<'_>)]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = Quick.build_hasher();
    for (name, value) in fields {
        hasher.write(name.as_bytes());
        if *name == "context" && split_key(value.text()).is_some() {
            hasher.write(b"key");
        }
    }
    hasher.finish()
}

fn decode_shape(input: &mut Input<'_>) -> Result<Vec<u32>, Error> {
    (0..input.count()?).map(|_| Ok(input.varint()? as u32)).collect()
}
