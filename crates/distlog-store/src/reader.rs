//! Everything that reads. Readers never wait for the writer, nor the writer for them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::block::Assembler;
use crate::scan::{Chunk, Prune, Scan};
use crate::shared::Shared;
use crate::{Bucket, Entry, Error, Follower, Order, Query, Search, Stats, segment, tally, trees};

/// Reads a store: the one being written in this process, or a directory, also beside another process that writes it.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    /// Opens a directory to read only.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let shared = Shared::new(directory, false, 0);
        for segment in shared.segments()? {
            // What is damaged is skipped later, what is too new is told now.
            if let Err(error @ Error::Newer { .. }) = segment.open() {
                return Err(error);
            }
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// First offset kept and the offset the next record gets. Empty at 0 if the directory cannot be read.
    pub fn bounds(&self) -> Range<u64> {
        let next = self.shared.next().unwrap_or(0);
        let segments = self.shared.segments().unwrap_or_default();
        segments.first().map_or(next, |segment| segment.first).min(next)..next
    }

    /// Up to `limit` records at and after `from`, in order. What retention removed is skipped.
    pub fn read(&self, from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        if let Some(entries) = self.shared.recent(from, limit) {
            return Ok(entries);
        }
        let mut entries = Vec::new();
        if limit == 0 {
            return Ok(entries);
        }
        Scan::new(&self.shared, Prune::default(), Order::OldestFirst, Some(from))?.walk(
            &self.shared,
            |chunk| {
                let left = limit - entries.len();
                match chunk {
                    Chunk::Journal(journal) => entries.extend(journal.iter().take(left).cloned()),
                    Chunk::Block(block, rows) => {
                        let assembler = Assembler::new(block)?;
                        let read = rows.clone().take(left).map(|row| assembler.entry(row));
                        entries.extend(read.collect::<Result<Vec<_>, _>>()?);
                    }
                }
                Ok(entries.len() < limit)
            },
        )?;
        Ok(entries)
    }

    /// All records at and after `from`, those to come included.
    pub fn follow(&self, from: u64) -> Follower {
        Follower::new(self.clone(), from)
    }

    /// Calls back after each commit with the offset the next record will get. Called on the writer's thread: only wake somebody.
    /// Readers of a directory that another process writes are never called.
    pub fn on_commit(&self, callback: Box<dyn Fn(u64) + Send + Sync>) {
        self.shared.on_commit(callback);
    }

    /// The records that match, as they are found.
    pub fn search(&self, query: &Query) -> Result<Search, Error> {
        Search::new(Arc::clone(&self.shared), query)
    }

    /// How many records match.
    pub fn count(&self, query: &Query) -> Result<u64, Error> {
        tally::count(&self.shared, query)
    }

    /// The first `limit` records of the goal tree with that root.
    pub fn goal(&self, root: [u8; 16], limit: usize) -> Result<Vec<Entry>, Error> {
        self.goal_from(root, 0, limit)
    }

    /// The first `limit` records of that goal tree at and after an offset: the next page.
    pub fn goal_from(&self, root: [u8; 16], from: u64, limit: usize) -> Result<Vec<Entry>, Error> {
        trees::goal(&self.shared, root, from, limit)
    }

    /// The roots that were active last, newest first.
    pub fn recent_roots(&self, limit: usize) -> Result<Vec<[u8; 16]>, Error> {
        trees::recent_roots(&self.shared, limit)
    }

    /// Roots whose id begins with these hexadecimal digits (hyphens are ignored), in order.
    pub fn roots_with_prefix(&self, prefix: &str, limit: usize) -> Result<Vec<[u8; 16]>, Error> {
        trees::roots_with_prefix(&self.shared, prefix, limit)
    }

    /// How many records of each level match in each stretch of `width` ns. Stretches without a record are left out.
    pub fn histogram(&self, query: &Query, width: i64) -> Result<Vec<Bucket>, Error> {
        tally::histogram(&self.shared, query, width)
    }

    /// The values of a field in the matching records and how often each comes, most frequent first.
    /// A dotted name walks into the field.
    pub fn facet(&self, query: &Query, field: &str, top: usize) -> Result<Vec<(String, u64)>, Error> {
        tally::facet(&self.shared, query, field, top)
    }

    /// Names of top-level fields that newer records have, sorted.
    pub fn field_names(&self) -> Result<Vec<String>, Error> {
        tally::field_names(&self.shared)
    }

    /// The store in figures.
    pub fn stats(&self) -> Result<Stats, Error> {
        let mut stats = Stats { oldest: i64::MAX, newest: i64::MIN, ..Stats::default() };
        let segments = self.shared.segments()?;
        for segment in &segments {
            stats.bytes_on_disk += segment::bytes(&segment.path);
            let counted = self.shared.view(segment, |view| {
                let (headers, _) = view.headers(0, Order::OldestFirst, usize::MAX - 1, |_| true);
                let journal = view.journal(view.blocks_end(), |first| self.shared.note_damage(first))?;
                stats.blocks += headers.len() as u64;
                stats.records +=
                    headers.iter().map(|header| u64::from(header.count)).sum::<u64>() + journal.len() as u64;
                let times = headers.iter().map(|header| header.times);
                for (low, high) in times.chain(journal.iter().map(|entry| (entry.time(), entry.time()))) {
                    stats.oldest = stats.oldest.min(low);
                    stats.newest = stats.newest.max(high);
                }
                stats.damaged += segment.damaged() as u64;
                Ok(())
            });
            match counted {
                Err(error) if error.is_damage() => self.shared.note_damage(segment.first),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        if stats.oldest > stats.newest {
            (stats.oldest, stats.newest) = (0, 0);
        }
        let bounds = self.bounds();
        (stats.first_offset, stats.next_offset) = (bounds.start, bounds.end);
        stats.segments = segments.len();
        stats.damaged += self.shared.damaged() as u64;
        Ok(stats)
    }

    pub(crate) fn wait(&self, position: u64, timeout: Duration) {
        self.shared.wait(position, timeout);
    }
}
