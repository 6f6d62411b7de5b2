//! The one writer.

use std::ops::Range;
use std::path::Path;

use distlog::Record;

use crate::{Cursors, Error, Maintenance, Options, Reader};

const UNREADY: Error = Error::Damaged { reason: "not built yet" };

/// How far a producer's records are in the store. Committed with the records it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The random id of the producer (one process run).
    pub producer: [u8; 16],
    /// Its epoch.
    pub epoch: u64,
    /// The sequence number expected next.
    pub next_sequence: u64,
}

/// The one writer of a directory.
pub struct Store {
    reader: Reader,
    cursors: Cursors,
}

impl Store {
    /// Opens or creates the store in `directory` and locks it; a second opener gets [`Error::Locked`].
    pub fn open(_directory: &Path, _options: Options) -> Result<Self, Error> {
        Err(UNREADY)
    }

    /// Appends the records and marks in ONE synced commit, and returns the offsets of the records.
    ///
    /// When it fails nothing is lost: the store keeps records and marks, and commits them with the next call, before
    /// whatever that brings (the range returned then begins with them). To try again without new records call it with
    /// none. Only when more than [`Options::waiting_bytes`] wait are records refused ([`Error::Waiting`]).
    pub fn append(&mut self, _received: i64, _records: Vec<Record>, _marks: &[Mark]) -> Result<Range<u64>, Error> {
        Err(UNREADY)
    }

    /// The number of records that a failed commit left waiting.
    pub fn waiting(&self) -> usize {
        0
    }

    /// The mark of a producer, as last committed.
    pub fn mark(&self, _producer: &[u8; 16]) -> Option<Mark> {
        None
    }

    /// Rolls and merges segments, and removes what is past its time. Takes about [`Options::maintain_time`].
    pub fn maintain(&mut self, _now: i64) -> Result<Maintenance, Error> {
        Err(UNREADY)
    }

    /// A reader of this store.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// The named cursors.
    pub fn cursors(&self) -> Cursors {
        self.cursors.clone()
    }

    /// Retention leaves records at and above this offset alone.
    pub fn set_floor(&mut self, _floor: Option<u64>) {}
}
