//! Rows of a block: as fields for filters and trees, and put together as records again.

use std::sync::Arc;

use distlog::Key;
use distlog::record::{Fields, Raw, RecordBuilder};

use super::directory::KEY;
use super::{Block, Loaded};
use crate::{Entry, Error};

/// One row, read through the columns that are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Row<'b> {
    pub(super) block: &'b Block<'b>,
    pub(super) row: usize,
}

impl Row<'_> {
    /// The row's key as text, if it leads its context or the record is stored whole.
    fn key_text(&self) -> Option<&str> {
        self.block.loaded(KEY)?.get(self.row)
    }
}

impl Fields for Row<'_> {
    fn get(&self, name: &str) -> Option<Raw<'_>> {
        if let Some(record) = self.block.whole(self.row) {
            return record.get(name);
        }
        match name {
            "context" => self.block.context(self.row).map(Raw::trusted),
            // Columns that are no fields.
            _ if name.starts_with('\n') => None,
            _ => self.block.loaded(name)?.get(self.row).map(Raw::trusted),
        }
    }

    fn key(&self) -> Option<Key> {
        if let Some(text) = self.key_text() {
            return Key::parse(text).ok();
        }
        let text = self.get("context")?.walk("key")?.into_str()?;
        Key::parse(&text).ok()
    }
}

/// Puts records together: the columns of a block, found once for all its rows.
pub(crate) struct Assembler<'b> {
    block: &'b Block<'b>,
    columns: Vec<(&'b str, &'b Loaded)>,
}

impl<'b> Assembler<'b> {
    /// For the rows of this block. All columns are unpacked.
    pub(crate) fn new(block: &'b Block<'b>) -> Result<Self, Error> {
        let missing = || block.fault().err().unwrap_or(Error::Damaged { reason: "a column is missing" });
        let directory = block.directory().ok_or_else(missing)?;
        let mut columns = Vec::with_capacity(directory.columns.len());
        for (at, (name, _)) in directory.columns.iter().enumerate() {
            columns.push((name.as_str(), block.loaded_at(at).ok_or_else(missing)?));
        }
        Ok(Self { block, columns })
    }

    /// The entry of a row.
    pub(crate) fn entry(&self, row: usize) -> Result<Entry, Error> {
        const MISFIT: Error = Error::Damaged { reason: "a row does not fit its shape" };
        let received = *self.block.received().get(row).ok_or(MISFIT)?;
        let offset = self.block.header.first + row as u64;
        if let Some(record) = self.block.whole(row) {
            return Ok(Entry { offset, received, record: Arc::new(record.clone()) });
        }
        let directory = self.block.directory().ok_or(MISFIT)?;
        let shape =
            directory.rows.get(row).and_then(|shape| directory.shapes.get(*shape as usize)).ok_or(MISFIT)?;
        let mut builder = RecordBuilder::with_capacity(1024);
        let (mut key, mut context, mut number) = (None, String::new(), String::new());
        for column in shape {
            let (name, loaded) = self.columns.get(*column as usize).ok_or(MISFIT)?;
            if *name == KEY {
                key = loaded.get(row);
                continue;
            }
            let value = loaded.get_one(row, &mut number).ok_or(MISFIT)?;
            if *name == "context"
                && let Some(key) = key.take()
            {
                context.clear();
                super::directory::join_key(&mut context, key, value);
                builder.raw(name, Raw::trusted(&context));
            } else {
                builder.raw(name, Raw::trusted(value));
            }
        }
        Ok(Entry { offset, received, record: Arc::new(builder.finish()) })
    }
}
