//! What the owner of a store may set, and what it reports about itself.

use std::time::Duration;

/// Limits of a store. Every one bounds either disk or memory.
#[derive(Debug, Clone)]
pub struct Options {
    /// Segments whose newest record was received longer ago are removed.
    pub keep_age: Option<Duration>,
    /// Oldest segments are removed while all files together are larger.
    pub keep_bytes: Option<u64>,
    /// A segment is closed once its files are this large. Held to an eighth of `keep_bytes`, so that there is something to remove.
    pub segment_bytes: u64,
    /// A segment is closed once it spans this long, so that age can be kept by whole files. Held to an eighth of `keep_age`.
    pub segment_age: Duration,
    /// Newest records kept in memory for those who follow, in bytes of their JSON.
    pub recent_bytes: usize,
    /// Records (in bytes of their JSON) that a failing disk may leave waiting in memory.
    pub waiting_bytes: usize,
    /// How long one call of `maintain` may take, roughly.
    pub maintain_time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_age: None,
            keep_bytes: None,
            segment_bytes: 1 << 30,
            segment_age: Duration::from_secs(24 * 3600),
            recent_bytes: 16 << 20,
            waiting_bytes: 64 << 20,
            maintain_time: Duration::from_millis(50),
        }
    }
}

/// What one call of `maintain` did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Blocks that were put together into larger ones.
    pub merged: usize,
    /// Whether the active segment was closed and a new one begun.
    pub rolled: bool,
    /// Segments that retention removed.
    pub removed: usize,
    /// Records gone with them.
    pub removed_records: u64,
    /// Files that were set aside as `.bad` since the store was opened.
    pub set_aside: Vec<std::path::PathBuf>,
    /// Whether there is more to do: call again soon.
    pub more: bool,
}

/// The store in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records kept.
    pub records: u64,
    /// All files of all segments.
    pub bytes_on_disk: u64,
    /// Files.
    pub segments: usize,
    /// Sealed blocks in them.
    pub blocks: u64,
    /// The first offset kept.
    pub first_offset: u64,
    /// The offset the next record gets.
    pub next_offset: u64,
    /// The oldest time of a record kept, ns; 0 if there is none.
    pub oldest: i64,
    /// The newest time of a record kept, ns; 0 if there is none.
    pub newest: i64,
    /// Blocks and journal rows found damaged and skipped since the start.
    pub damaged: u64,
}
