//! What writer and readers of a store share: the list of segments, idle connections, the newest records, and the news of commits.
//!
//! A reader of a directory that another process writes has the same, but nobody feeds it: it lists the directory anew.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::recent::Recent;
use crate::segment::{Reading, Segment, UNFINISHED, View};
use crate::{Entry, Error};

/// Connections kept open for the next reader, over all segments.
const IDLE: usize = 16;

/// How long a reader of another process's directory waits before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

type Callback = Box<dyn Fn(u64) + Send + Sync>;

/// Shared by a writer and its readers.
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    /// Whether a writer in this process feeds it.
    live: bool,
    /// Oldest first.
    segments: RwLock<Vec<Arc<Segment>>>,
    idle: Mutex<Vec<(u64, Reading)>>,
    recent: Mutex<Recent>,
    next: AtomicU64,
    news: (Mutex<()>, Condvar),
    callbacks: RwLock<Vec<Callback>>,
    damaged: Mutex<HashSet<u64>>,
}

impl Shared {
    /// Of a directory with these segments.
    pub(crate) fn new(directory: &Path, live: bool, recent_bytes: usize) -> Self {
        Self {
            directory: directory.to_path_buf(),
            live,
            segments: RwLock::default(),
            idle: Mutex::default(),
            recent: Mutex::new(Recent::new(recent_bytes)),
            next: AtomicU64::new(0),
            news: (Mutex::new(()), Condvar::new()),
            callbacks: RwLock::default(),
            damaged: Mutex::default(),
        }
    }

    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> Result<Vec<Arc<Segment>>, Error> {
        if !self.live {
            self.list_again()?;
        }
        Ok(self.segments.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Adds the newest segment.
    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(segment);
    }

    /// Takes the oldest segment out of the list; readers come upon it no more. The next begins at `after`.
    pub(crate) fn remove_segment(&self, first: u64, after: u64) {
        self.segments
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|segment| segment.first != first);
        lock(&self.idle).retain(|(segment, _)| *segment != first);
        lock(&self.recent).forget_below(after);
    }

    /// Reads one consistent state of a segment; `None` if retention has removed it meanwhile.
    pub(crate) fn view<T>(
        &self,
        segment: &Segment,
        with: impl FnOnce(&View<'_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        let idle = {
            let mut idle = lock(&self.idle);
            idle.iter().rposition(|(first, _)| *first == segment.first).map(|at| idle.remove(at).1)
        };
        let reading = match idle.map_or_else(|| segment.open(), Ok) {
            Ok(reading) => reading,
            Err(_) if !segment.path.exists() => return Ok(None),
            // The writer, in another process, is just creating it.
            Err(Error::Damaged { reason: UNFINISHED }) if !self.live => return Ok(None),
            Err(error) => return Err(error),
        };
        let result = segment.view(&reading, with)?;
        let mut idle = lock(&self.idle);
        idle.push((segment.first, reading));
        if idle.len() > IDLE {
            drop(idle.remove(0));
        }
        Ok(Some(result))
    }

    /// The offset the next record gets.
    pub(crate) fn next(&self) -> Result<u64, Error> {
        if self.live {
            return Ok(self.next.load(Ordering::Acquire));
        }
        let segments = self.segments()?;
        let Some(last) = segments.last() else { return Ok(0) };
        Ok(self.view(last, |view| view.end())?.unwrap_or(last.first))
    }

    /// Sets it, at the start.
    pub(crate) fn set_next(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// Tells all who wait of a commit.
    pub(crate) fn publish(&self, batch: Vec<Entry>) {
        let Some(next) = batch.last().map(|entry| entry.offset + 1) else { return };
        lock(&self.recent).push(batch);
        {
            let _news = lock(&self.news.0);
            self.set_next(next);
            self.news.1.notify_all();
        }
        self.callbacks
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|callback| callback(next));
    }

    /// Waits until there is something at `position`, at most so long.
    pub(crate) fn wait(&self, position: u64, timeout: Duration) {
        let nothing = |_: &mut ()| self.next.load(Ordering::Acquire) <= position;
        if self.live && nothing(&mut ()) {
            drop(self.news.1.wait_timeout_while(lock(&self.news.0), timeout, nothing));
        } else {
            // Another process writes; or what is there is damaged, and only what comes after it helps.
            std::thread::sleep(timeout.min(LOOK_AGAIN));
        }
    }

    /// Adds one to be called after each commit.
    pub(crate) fn on_commit(&self, callback: Callback) {
        self.callbacks.write().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    /// Entries from memory, if that offset is there.
    pub(crate) fn recent(&self, from: u64, limit: usize) -> Option<Vec<Entry>> {
        lock(&self.recent).read(from, limit)
    }

    /// Notes that what begins at that offset cannot be read. Told once however often it is met.
    pub(crate) fn note_damage(&self, offset: u64) {
        lock(&self.damaged).insert(offset);
    }

    /// How many blocks and journal rows could not be read.
    pub(crate) fn damaged(&self) -> usize {
        lock(&self.damaged).len()
    }

    fn list_again(&self) -> Result<(), Error> {
        let firsts = list(&self.directory)?;
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.retain(|segment| firsts.contains(&segment.first));
        let last = segments.last().map(|segment| segment.first);
        let new = firsts.iter().filter(|first| Some(**first) > last);
        segments.extend(new.map(|first| Arc::new(Segment::new(&self.directory, *first))));
        let idle = |(first, _): &(u64, Reading)| firsts.binary_search(first).is_ok();
        lock(&self.idle).retain(idle);
        Ok(())
    }
}

/// First offsets of the segments in a directory, in order.
pub(crate) fn list(directory: &Path) -> Result<Vec<u64>, Error> {
    let failed = || Error::disk("list", directory);
    let mut firsts = Vec::new();
    for file in std::fs::read_dir(directory).map_err(failed())? {
        let name = file.map_err(failed())?.file_name();
        let first: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix("seg-")?.strip_suffix(".db")?.parse().ok());
        firsts.extend(first);
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes names that came or went outlive a power cut.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), Error> {
    let synced = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(Error::disk("sync", directory))
}

/// A poisoned lock guards what is still whole: no code below panics half way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
