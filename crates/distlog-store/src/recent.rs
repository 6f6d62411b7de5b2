//! The newest records, in memory: who follows at the head reads no disk and unpacks nothing.

use std::collections::VecDeque;

use crate::Entry;

/// A bounded queue of entries with dense offsets.
pub(crate) struct Recent {
    entries: VecDeque<Entry>,
    bytes: usize,
    bound: usize,
}

impl Recent {
    /// An empty queue of at most `bound` bytes of JSON.
    pub(crate) fn new(bound: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, bound }
    }

    /// Adds what was committed; the oldest make room.
    pub(crate) fn push(&mut self, batch: Vec<Entry>) {
        for entry in batch {
            self.bytes += weight(&entry);
            self.entries.push_back(entry);
            while self.bytes > self.bound {
                let Some(oldest) = self.entries.pop_front() else { break };
                self.bytes -= weight(&oldest);
            }
        }
    }

    /// Removes what retention removed from the disk.
    pub(crate) fn forget_below(&mut self, offset: u64) {
        while let Some(oldest) = self.entries.pop_front_if(|oldest| oldest.offset < offset) {
            self.bytes -= weight(&oldest);
        }
    }

    /// Up to `limit` entries from that offset on; `None` if it is not in here.
    pub(crate) fn read(&self, from: u64, limit: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.offset;
        let start = usize::try_from(from.checked_sub(first)?).ok()?;
        (start < self.entries.len()).then(|| self.entries.iter().skip(start).take(limit).cloned().collect())
    }
}

/// The JSON text and roughly what an entry costs beside it.
fn weight(entry: &Entry) -> usize {
    entry.record.as_json().len() + 64 + 16 * entry.record.len()
}
