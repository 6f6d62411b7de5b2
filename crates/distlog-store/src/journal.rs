//! Records that are in no block yet.
//!
//! A row of the table `journal` is what one commit brought: `n` records up to and including `last_offset`, all received at
//! `received` ns. `records` is a part (version byte, checked zstd frame of level 1) that holds a varint length for each
//! record and then their JSON texts. The journal never holds a block's worth: the commit that would make it so writes
//! the block and empties the journal in its own transaction. It is not sealed early when nothing comes: reading it is
//! cheap, and small blocks are not.

use std::sync::Arc;

use distlog::Record;

use crate::block::codec::{Input, Packer, put_varint};
use crate::{Entry, Error};

/// A row to be written.
pub(crate) struct Row {
    pub(crate) last: u64,
    pub(crate) count: usize,
    pub(crate) received: i64,
    pub(crate) bytes: Vec<u8>,
}

/// The rows of these entries: one for each time received.
pub(crate) fn encode(entries: &[Entry], packer: &mut Packer) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for batch in entries.chunk_by(|one, next| one.received == next.received) {
        let (mut content, Some(last)) = (Vec::new(), batch.last()) else { continue };
        batch.iter().for_each(|entry| put_varint(&mut content, entry.record.as_json().len() as u64));
        batch.iter().for_each(|entry| content.extend_from_slice(entry.record.as_json().as_bytes()));
        let bytes = packer.pack(&content)?;
        rows.push(Row { last: last.offset, count: batch.len(), received: last.received, bytes });
    }
    Ok(rows)
}

/// The entries of one row's content.
pub(crate) fn decode(content: &[u8], first: u64, count: usize, received: i64) -> Result<Vec<Entry>, Error> {
    const NO_RECORD: Error = Error::Damaged { reason: "the journal holds what is no record" };
    let mut input = Input(content);
    let lengths = (0..count).map(|_| input.count()).collect::<Result<Vec<_>, _>>()?;
    let mut entries = Vec::with_capacity(lengths.len());
    for (offset, length) in (first..).zip(lengths) {
        let text = std::str::from_utf8(input.take(length)?).map_err(|_| NO_RECORD)?;
        let record = Arc::new(Record::from_json(text).map_err(|_| NO_RECORD)?);
        entries.push(Entry { offset, received, record });
    }
    Ok(entries)
}
