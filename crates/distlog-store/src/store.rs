//! The one writer: appends, and keeps what it cannot commit until it can.
//!
//! Invariants:
//! - Offsets are dense and given at the commit, in the order of calls.
//! - `pending` is exactly what the journal of the active segment holds: less than a block.
//! - After a failed commit nothing is known of what reached the disk, so the connection is never used again. The segment is
//!   opened anew and asked where it ends: either all of that commit is there or nothing. What is there is first moved from
//!   the WAL into the file, which writes and syncs it a second time: pages that a failed sync left behind count as clean
//!   for the system, and a second sync of the same file would report a success that is none.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use distlog::Record;

use crate::block::codec::Packer;
use crate::block::{Sealed, seal};
use crate::lock::Lock;
use crate::segment::{self, Segment, View};
use crate::shared::{self, Shared};
use crate::writing::{Commit, Marks, Writing};
use crate::{Cursors, Entry, Error, Maintenance, Options, Reader, maintain};

/// Records in a block of the active segment.
pub(crate) const BLOCK: usize = 1024;

/// A block is sealed earlier when it has this much JSON.
pub(crate) const BLOCK_BYTES: usize = 4 << 20;

/// The compression of blocks: three times the ingest's speed in hand, and within 5 % of the size of much slower levels.
pub(crate) const BLOCK_LEVEL: i32 = 3;

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
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) marks: Marks,
    /// `None` after a failed commit, until the segment has been opened anew.
    pub(crate) writing: Option<Writing>,
    pub(crate) active: Arc<Segment>,
    pub(crate) floor: Option<u64>,
    /// Time received of the active segment's first record.
    pub(crate) begun: Option<i64>,
    pub(crate) set_aside: Vec<PathBuf>,
    pub(crate) packer: Packer,
    /// Segments whose blocks need no more merging.
    pub(crate) merged: std::collections::HashSet<u64>,
    cursors: Cursors,
    /// The offset the next committed record gets.
    next: u64,
    /// What the journal holds.
    pending: Vec<Entry>,
    /// What a failed commit did not commit, and the marks that go with it.
    waiting: Vec<Entry>,
    waiting_marks: Vec<Mark>,
    #[expect(dead_code, reason = "held until the store is closed")]
    lock: Lock,
}

impl Store {
    /// Opens or creates the store in `directory` and locks it; a second opener gets [`Error::Locked`].
    pub fn open(directory: &Path, options: Options) -> Result<Self, Error> {
        create_directory(directory)?;
        let lock = Lock::take(directory)?;
        let cursors = Cursors::open(directory)?;
        let shared = Arc::new(Shared::new(directory, true, options.recent_bytes));
        let mut set_aside = Vec::new();
        for first in maintain::sound_segments(directory, &mut set_aside)? {
            shared.add_segment(Arc::new(Segment::new(directory, first)));
        }
        let last = shared.segments()?.pop();
        let new = maintain::new_first(last.as_ref().map(|last| last.first), &set_aside, &cursors)?;
        let opened = last.map(|last| Ok((Writing::open(&last.path)?, last))).transpose()?;
        let (active, writing) = match (opened, new) {
            (Some((writing, last)), None) => (last, writing),
            (opened, new) => {
                let marks = opened.map_or_else(|| Ok(Marks::new()), |(writing, _)| writing.marks())?;
                create_segment(&shared, new.unwrap_or(0), &marks)?
            }
        };
        let mut store = Self {
            options,
            shared,
            marks: HashMap::new(),
            writing: Some(writing),
            active,
            floor: None,
            begun: None,
            set_aside,
            packer: Packer::new(BLOCK_LEVEL)?,
            merged: std::collections::HashSet::new(),
            cursors,
            next: 0,
            pending: Vec::new(),
            waiting: Vec::new(),
            waiting_marks: Vec::new(),
            lock,
        };
        store.load()?;
        Ok(store)
    }

    /// Appends the records and marks in ONE synced commit, and returns the offsets of the records.
    ///
    /// When it fails nothing is lost: the store keeps records and marks, and commits them with the next call, before
    /// whatever that brings (the range returned then begins with them). To try again without new records call it with
    /// none. Only when more than [`Options::waiting_bytes`] wait are records refused ([`Error::Waiting`]).
    pub fn append(
        &mut self,
        received: i64,
        records: Vec<Record>,
        marks: &[Mark],
    ) -> Result<Range<u64>, Error> {
        let refused = records.len();
        if refused > 0 && !self.waiting.is_empty() && self.waiting_bytes() > self.options.waiting_bytes {
            return Err(Error::Waiting { refused });
        }
        let first = self.next + self.waiting.len() as u64;
        let entry = |(offset, record)| Entry { offset, received, record: Arc::new(record) };
        self.waiting.extend((first..).zip(records).map(entry));
        self.waiting_marks.extend_from_slice(marks);
        let start = self.next;
        if self.writing.is_none() {
            self.recover()?;
        }
        if !self.waiting.is_empty() || !self.waiting_marks.is_empty() {
            maintain::roll_if_full(self, received)?;
            self.commit(received)?;
        }
        Ok(start..self.next)
    }

    /// The number of records that a failed commit left waiting.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The mark of a producer, as last committed.
    pub fn mark(&self, producer: &[u8; 16]) -> Option<Mark> {
        self.marks.get(producer).map(|(mark, _)| *mark)
    }

    /// Rolls and merges segments, and removes what is past its time. Takes about [`Options::maintain_time`].
    pub fn maintain(&mut self, now: i64) -> Result<Maintenance, Error> {
        if self.writing.is_none() {
            self.append(now, Vec::new(), &[])?;
        }
        maintain::run(self, now)
    }

    /// A reader of this store.
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// The named cursors.
    pub fn cursors(&self) -> Cursors {
        self.cursors.clone()
    }

    /// Retention leaves records at and above this offset alone.
    pub fn set_floor(&mut self, floor: Option<u64>) {
        self.floor = floor;
    }

    /// Closes the active segment and begins the next. The journal becomes a last block.
    pub(crate) fn roll(&mut self, received: i64) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.pending);
        let (sealed, _) = self.seal_all(&rest, true)?;
        let writing = self.writing.as_mut().ok_or(Error::Damaged { reason: "the segment is closed" })?;
        let commit = Commit { blocks: &sealed, journal: &[], marks: &[], received };
        if let Err(error) = writing.commit(&commit) {
            // What the journal holds now is found out by opening it anew.
            self.writing = None;
            return Err(error);
        }
        let (active, fresh) = create_segment(&self.shared, self.next, &self.marks)?;
        if let Some(closed) = self.writing.replace(fresh) {
            closed.checkpoint()?;
        }
        self.active = active;
        self.begun = None;
        Ok(())
    }

    /// Learns what the active segment holds.
    fn load(&mut self) -> Result<(), Error> {
        let writing = self.writing.as_ref().ok_or(Error::Damaged { reason: "the segment is closed" })?;
        self.marks = writing.marks()?;
        let shared = &self.shared;
        let read = |view: &View<'_>| {
            let (headers, _) = view.headers(0, crate::Order::OldestFirst, 1, |_| true);
            let journal = view.journal(view.blocks_end(), |first| shared.note_damage(first))?;
            Ok((headers.first().map(|header| header.received.0), journal, view.end()?))
        };
        let gone = Error::Damaged { reason: "the segment is gone" };
        let (begun, journal, next) = self.shared.view(&self.active, read)?.ok_or(gone)?;
        self.begun = begun.or_else(|| journal.first().map(|entry| entry.received));
        self.pending = journal;
        self.next = next;
        self.shared.set_next(next);
        Ok(())
    }

    /// Opens the segment anew after a failed commit, and learns whether that commit is in it.
    fn recover(&mut self) -> Result<(), Error> {
        let writing = Writing::open(&self.active.path)?;
        writing.checkpoint()?;
        let before = self.next;
        let failed = self.waiting.clone();
        self.writing = Some(writing);
        if let Err(error) = self.load() {
            self.writing = None;
            return Err(error);
        }
        let committed = (self.next - before.min(self.next)) as usize;
        if committed > 0 {
            self.waiting.drain(..committed.min(failed.len()));
            self.shared.publish(failed.into_iter().take(committed).collect());
        }
        Ok(())
    }

    fn commit(&mut self, received: i64) -> Result<(), Error> {
        let held = self.pending.len();
        // One list, moved and not cloned: most records are touched here for the last time.
        let mut all = std::mem::take(&mut self.pending);
        all.append(&mut self.waiting);
        let written = self.write(&all, held, received);
        match written {
            Ok(sealed) => {
                self.begun = self.begun.or_else(|| all.first().map(|entry| entry.received));
                self.pending = all.get(sealed..).unwrap_or_default().to_vec();
                let batch = all.split_off(held);
                self.next += batch.len() as u64;
                let touched = self.waiting_marks.drain(..).map(|mark| (mark.producer, (mark, received)));
                self.marks.extend(touched);
                self.shared.publish(batch);
                Ok(())
            }
            Err(error) => {
                self.writing = None;
                self.waiting = all.split_off(held);
                self.pending = all;
                Err(error)
            }
        }
    }

    /// Writes what the journal holds (the first `held`) and what is new, and says how many went into blocks.
    fn write(&mut self, all: &[Entry], held: usize, received: i64) -> Result<usize, Error> {
        let (blocks, sealed) = self.seal_all(all, false)?;
        // The first block takes everything the journal holds: that is always less than a block.
        let journal = all.get(if blocks.is_empty() { held } else { sealed }..).unwrap_or_default();
        let commit = Commit { blocks: &blocks, journal, marks: &self.waiting_marks, received };
        let closed = Error::Damaged { reason: "the segment is closed" };
        self.writing.as_mut().ok_or(closed)?.commit(&commit)?;
        Ok(sealed)
    }

    /// Seals as many full blocks as there are, or everything, and says how many entries that took.
    fn seal_all(&mut self, entries: &[Entry], everything: bool) -> Result<(Vec<Sealed>, usize), Error> {
        let (mut sealed, mut start, mut bytes) = (Vec::new(), 0, 0);
        for (at, entry) in entries.iter().enumerate() {
            bytes += entry.record.as_json().len();
            let full = at + 1 - start == BLOCK || bytes >= BLOCK_BYTES;
            if full || everything && at + 1 == entries.len() {
                sealed.push(seal(entries.get(start..=at).unwrap_or_default(), &mut self.packer)?);
                (start, bytes) = (at + 1, 0);
            }
        }
        Ok((sealed, start))
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|entry| entry.record.as_json().len()).sum()
    }
}

/// Creates the segment that begins at `first`, with these marks, and makes it known.
fn create_segment(shared: &Shared, first: u64, marks: &Marks) -> Result<(Arc<Segment>, Writing), Error> {
    let path = segment::path(&shared.directory, first);
    // What a creation that failed may have left.
    maintain::remove_files(&path)?;
    let writing = Writing::create(&path, marks)?;
    shared::sync_directory(&shared.directory)?;
    let segment = Arc::new(Segment::new(&shared.directory, first));
    shared.add_segment(Arc::clone(&segment));
    Ok((segment, writing))
}

fn create_directory(directory: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o750);
    builder.create(directory).map_err(Error::disk("create", directory))
}

#[cfg(test)]
mod tests;
