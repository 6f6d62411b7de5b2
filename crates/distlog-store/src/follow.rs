//! History and live as one path: a follower does not know which of the two it is reading.
//!
//! A batch comes from memory if its first offset is there, else from blocks and journal. Offsets are dense, so the next
//! position is all a follower remembers, and nothing that happens to the files beneath can make it miss or repeat one.

use std::ops::Range;
use std::time::{Duration, Instant};

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
    ///
    /// The first offset is [`Self::position`], unless what was there is gone: then [`Self::skipped`] tells what.
    pub fn next(&mut self, limit: usize, timeout: Duration) -> Result<Vec<Entry>, Error> {
        let started = Instant::now();
        loop {
            let mut batch = self.reader.read(self.position, limit.max(1))?;
            if let Some(first) = batch.first().map(|entry| entry.offset) {
                let dense =
                    batch.iter().zip(first..).take_while(|(entry, offset)| entry.offset == *offset).count();
                batch.truncate(dense);
                if first > self.position {
                    self.skipped =
                        Some(self.skipped.take().map_or(self.position, |before| before.start)..first);
                }
                self.position = first + dense as u64;
                return Ok(batch);
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            self.reader.wait(self.position, left);
        }
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
