//! Everything that reads.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::{Bucket, Entry, Error, Follower, Query, Search, Stats};

const UNREADY: Error = Error::Damaged { reason: "not built yet" };

/// Reads a store: the one being written in this process, or a directory, also beside another process that writes it.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<()>,
}

impl Reader {
    /// Opens a directory to read only.
    pub fn open(_directory: &Path) -> Result<Self, Error> {
        Err(UNREADY)
    }

    /// First offset kept and the offset the next record gets.
    pub fn bounds(&self) -> Range<u64> {
        0..0
    }

    /// Up to `limit` records at and after `from`, in order. What retention removed is skipped.
    pub fn read(&self, _from: u64, _limit: usize) -> Result<Vec<Entry>, Error> {
        Err(UNREADY)
    }

    /// All records at and after `from`, those to come included.
    pub fn follow(&self, from: u64) -> Follower {
        Follower::new(self.clone(), from)
    }

    /// Calls back after each commit with the offset the next record will get. Called on the writer's thread: only wake somebody.
    /// Readers of a directory that another process writes are never called.
    pub fn on_commit(&self, _callback: Box<dyn Fn(u64) + Send + Sync>) {}

    /// The records that match, as they are found.
    pub fn search(&self, _query: &Query) -> Result<Search, Error> {
        let _ = &self.shared;
        Err(UNREADY)
    }

    /// How many records match.
    pub fn count(&self, _query: &Query) -> Result<u64, Error> {
        Err(UNREADY)
    }

    /// The first `limit` records of the goal tree with that root.
    pub fn goal(&self, root: [u8; 16], limit: usize) -> Result<Vec<Entry>, Error> {
        self.goal_from(root, 0, limit)
    }

    /// The first `limit` records of that goal tree at and after an offset: the next page.
    pub fn goal_from(&self, _root: [u8; 16], _from: u64, _limit: usize) -> Result<Vec<Entry>, Error> {
        Err(UNREADY)
    }

    /// The roots that were active last, newest first.
    pub fn recent_roots(&self, _limit: usize) -> Result<Vec<[u8; 16]>, Error> {
        Err(UNREADY)
    }

    /// Roots whose id begins with these hexadecimal digits (hyphens are ignored).
    pub fn roots_with_prefix(&self, _prefix: &str, _limit: usize) -> Result<Vec<[u8; 16]>, Error> {
        Err(UNREADY)
    }

    /// How many records of each level match in each stretch of `width` ns. Stretches without a record are left out.
    pub fn histogram(&self, _query: &Query, _width: i64) -> Result<Vec<Bucket>, Error> {
        Err(UNREADY)
    }

    /// The values of a field in the matching records and how often each comes, most frequent first.
    pub fn facet(&self, _query: &Query, _field: &str, _top: usize) -> Result<Vec<(String, u64)>, Error> {
        Err(UNREADY)
    }

    /// Names of top-level fields that newer records have, sorted.
    pub fn field_names(&self) -> Result<Vec<String>, Error> {
        Err(UNREADY)
    }

    /// The store in figures.
    pub fn stats(&self) -> Result<Stats, Error> {
        Err(UNREADY)
    }
}
