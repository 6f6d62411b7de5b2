//! The bounded queue between the threads that log and the one that sends.
//!
//! Records lie in it as they will stand on the wire ([`Form`]), one after the other in chunks, so that a
//! push is one lock and one copy, and sending is one write for many records. The sending
//! thread is woken only if it waits, and by the first record after idle alone.
//!
//! A record's fate is known when it is *handed over*: to the kernel, or, where the daemon answers, to the daemon.
//!
//! Invariants:
//! - a push never waits for anything but the lock, and nobody does I/O or runs foreign code under it;
//! - `bytes` and `records` count what is queued *and* what the thread holds but has not handed over,
//!   so the bounds hold for both together;
//! - `accepted - handed_over - abandoned == records` always;
//! - order: chunks are sent in the order they were filled.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::sender::{Gap, Pushed};
use crate::{acked, zmtp};

/// One write to the socket. A power of two well under a socket buffer.
const CHUNK: usize = 128 * 1024;

/// Emptied chunks kept for the next ones.
const SPARE: usize = 2;

/// From this level on (WARNING) a record may use the queue's last eighth.
const IMPORTANT: i64 = 30;

/// How records lie in a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Each as a message of two frames.
    Messages,
    /// All of them as the body of one batch.
    Batch,
}

/// The bounds of a queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) form: Form,
    /// Of all messages as they stand on the wire.
    pub(crate) bytes: usize,
    /// Of all messages.
    pub(crate) records: usize,
    /// Of one message's frames.
    pub(crate) message: usize,
    /// How long the first record after idle waits for company.
    pub(crate) gather: Duration,
    /// Whether the thread makes a record of each gap.
    pub(crate) tells_gaps: bool,
}

/// Records as they will stand on the wire.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Whole records, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// How many.
    pub(crate) records: usize,
}

/// What the queue counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    pub(crate) accepted: u64,
    pub(crate) handed_over: u64,
    pub(crate) handed_over_bytes: u64,
    pub(crate) abandoned: u64,
    pub(crate) dropped_full: u64,
    pub(crate) dropped_closed: u64,
    pub(crate) dropped_oversized: u64,
}

/// What the sending thread gets when it asks for work.
#[derive(Debug)]
pub(crate) enum Work {
    /// Send this; say so with [`Queue::handed_over`] when that is certain.
    Chunk(Chunk),
    /// Nothing came in the time given.
    Nothing,
    /// End.
    Stop,
}

/// Whether the sending thread must be started by the pusher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Thread {
    /// It runs, or the push brought nothing for it.
    Running,
    /// This push was the first.
    Missing,
}

#[derive(Debug)]
pub(crate) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    /// The sending thread waits here.
    work: Condvar,
    /// `flush` and `close` wait here.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Chunk>,
    spare: Vec<Vec<u8>>,
    counts: Counts,
    gap: Option<Gap>,
    /// The thread is making the gap's record.
    telling: bool,
    /// The thread sleeps until this many bytes are there; `None` while it is at work.
    sleeps: Option<usize>,
    started: bool,
    flushing: usize,
    closing: bool,
    stopped: bool,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, state: Mutex::default(), work: Condvar::new(), progress: Condvar::new() }
    }

    /// Queue a message, or count that there was no room for it.
    pub(crate) fn push(&self, topic: [u8; 3], body: &[u8], level: i64) -> (Pushed, Thread) {
        let length = self.bounds.form.length(body.len());
        let mut state = self.lock();
        if state.closing {
            state.counts.dropped_closed += 1;
            return (Pushed::Dropped, Thread::Running);
        }
        if topic.len() + body.len() > self.bounds.message {
            state.counts.dropped_oversized += 1;
            return (Pushed::Dropped, Thread::Running);
        }
        if !self.bounds.admit(&state.counts, length, level) {
            state.drop_one(level);
            return (Pushed::Dropped, Thread::Running);
        }
        state.append(self.bounds.form, topic, body);
        let wake = state.sleeps.is_some_and(|until| state.counts.bytes >= until);
        if wake {
            state.sleeps = None;
        }
        let thread = if state.started { Thread::Running } else { Thread::Missing };
        state.started = true;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        (Pushed::Queued, thread)
    }

    /// The thread could not be started after all.
    pub(crate) fn not_started(&self) {
        self.lock().started = false;
    }

    /// For the sending thread: the next chunk, once it is full, has gathered for long enough, or somebody flushes.
    pub(crate) fn next(&self, patience: Duration) -> Work {
        let mut state = self.lock();
        if state.chunks.is_empty() && !state.closing {
            state = self.sleep(state, 1, patience);
        }
        if state.chunks.len() == 1 && !state.hurries() && state.filling() < CHUNK {
            let full = state.counts.bytes - state.filling() + CHUNK;
            state = self.sleep(state, full, self.bounds.gather);
        }
        if state.stopped {
            return Work::Stop;
        }
        match state.chunks.pop_front() {
            Some(chunk) => Work::Chunk(chunk),
            None if state.closing && !self.owes(&state) => Work::Stop,
            None => Work::Nothing,
        }
    }

    /// For the sending thread: wait before the next attempt to connect, shorter if somebody flushes.
    /// False if it should end instead.
    pub(crate) fn pause(&self, time: Duration, hurried: Duration) -> bool {
        let mut state = self.lock();
        let start = Instant::now();
        loop {
            let limit = if state.hurries() { hurried.min(time) } else { time };
            let left = limit.saturating_sub(start.elapsed());
            if state.stopped || left.is_zero() {
                return !state.stopped;
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// For the sending thread: the kernel has taken these, or the daemon has answered for them.
    pub(crate) fn handed_over(&self, bytes: usize, records: usize) {
        let mut state = self.lock();
        state.counts.handed_over += records as u64;
        state.counts.handed_over_bytes += bytes as u64;
        self.released(state, bytes, records);
    }

    /// For the sending thread: these will not be sent; whoever waits for them must not wait longer.
    pub(crate) fn abandon(&self, bytes: usize, records: usize) {
        let mut state = self.lock();
        state.counts.abandoned += records as u64;
        self.released(state, bytes, records);
    }

    /// For the sending thread: a chunk's memory back.
    pub(crate) fn recycle(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut state = self.lock();
        if state.spare.len() < SPARE && bytes.capacity() == CHUNK {
            state.spare.push(bytes);
        }
    }

    /// For the sending thread: what was dropped since the last time, once at most half of the queue is in use.
    pub(crate) fn take_gap(&self) -> Option<Gap> {
        let mut state = self.lock();
        let roomy =
            state.counts.bytes <= self.bounds.bytes / 2 && state.counts.records <= self.bounds.records / 2;
        let gap = if roomy { state.gap.take() } else { None };
        state.telling = gap.is_some();
        gap
    }

    /// For the sending thread: a message of its own, whatever the bounds say.
    pub(crate) fn insert(&self, topic: [u8; 3], body: &[u8]) {
        let mut state = self.lock();
        state.append(self.bounds.form, topic, body);
        state.telling = false;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Wait until everything pushed before this call was handed to the kernel.
    pub(crate) fn flush(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        let goal = state.counts.accepted;
        let abandoned = state.counts.abandoned;
        state.flushing += 1;
        self.work.notify_all();
        state = self.await_progress(state, timeout, |state| state.counts.settled() >= goal);
        state.flushing -= 1;
        state.counts.settled() >= goal && state.counts.abandoned == abandoned
    }

    /// Take no more; wait until everything was handed to the kernel, but no longer than `timeout`; then stop the thread.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        let mut state = self.lock();
        let abandoned = state.counts.abandoned;
        state.closing = true;
        self.work.notify_all();
        state = self.await_progress(state, timeout, |state| state.counts.records == 0 && !self.owes(state));
        state.stopped = true;
        while let Some(chunk) = state.chunks.pop_front() {
            state.counts.bytes -= chunk.bytes.len();
            state.counts.records -= chunk.records;
            state.counts.abandoned += chunk.records as u64;
        }
        let done = state.counts.records == 0 && state.counts.abandoned == abandoned;
        drop(state);
        self.work.notify_all();
        self.progress.notify_all();
        done
    }

    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock cannot leave the counts half written: nothing in between can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleep until `until` bytes are queued, somebody hurries, or the time is over.
    fn sleep<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        until: usize,
        time: Duration,
    ) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + time;
        state.sleeps = Some(until);
        while state.sleeps.is_some() && !state.hurries() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.sleeps = None;
        state
    }

    fn released(&self, mut state: MutexGuard<'_, State>, bytes: usize, records: usize) {
        state.counts.bytes -= bytes;
        state.counts.records -= records;
        let watched = state.flushing > 0 || state.closing;
        drop(state);
        if watched {
            self.progress.notify_all();
        }
    }

    fn await_progress<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        timeout: Duration,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let deadline = Instant::now() + timeout;
        while !done(&state) && !state.stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }

    /// Whether a gap is to be told yet.
    fn owes(&self, state: &State) -> bool {
        self.bounds.tells_gaps && (state.telling || state.gap.is_some())
    }
}

impl Form {
    /// Bytes that a record with a body of this length takes.
    fn length(self, body: usize) -> usize {
        match self {
            Self::Messages => zmtp::encoded_length(body),
            Self::Batch => acked::record_length(body),
        }
    }
}

impl Counts {
    /// Records whose fate is known.
    fn settled(&self) -> u64 {
        self.handed_over + self.abandoned
    }
}

impl Bounds {
    fn admit(&self, counts: &Counts, length: usize, level: i64) -> bool {
        let part = |whole: usize| if level >= IMPORTANT { whole } else { whole - whole / 8 };
        counts.bytes + length <= part(self.bytes) && counts.records < part(self.records)
    }
}

impl State {
    fn append(&mut self, form: Form, topic: [u8; 3], body: &[u8]) {
        let length = form.length(body.len());
        let is_full = |chunk: &Chunk| {
            chunk.bytes.len() + length > chunk.bytes.capacity() || chunk.records >= acked::MAX_COUNT as usize
        };
        if self.chunks.back().is_none_or(is_full) {
            let spare = if length <= CHUNK { self.spare.pop() } else { None };
            let bytes = spare.unwrap_or_else(|| Vec::with_capacity(length.max(CHUNK)));
            self.chunks.push_back(Chunk { bytes, records: 0 });
        }
        if let Some(chunk) = self.chunks.back_mut() {
            match form {
                Form::Messages => zmtp::encode(&mut chunk.bytes, topic, body),
                Form::Batch => acked::push_record(&mut chunk.bytes, topic, body),
            }
            chunk.records += 1;
        }
        self.counts.bytes += length;
        self.counts.records += 1;
        self.counts.accepted += 1;
    }

    fn drop_one(&mut self, level: i64) {
        self.counts.dropped_full += 1;
        let now = SystemTime::now();
        let gap = self.gap.get_or_insert(Gap { records: 0, important: 0, first: now, last: now });
        gap.records += 1;
        gap.important += u64::from(level >= IMPORTANT);
        gap.last = now;
    }

    /// Bytes in the chunk that is being filled.
    fn filling(&self) -> usize {
        self.chunks.back().map_or(0, |chunk| chunk.bytes.len())
    }

    fn hurries(&self) -> bool {
        self.flushing > 0 || self.closing
    }
}

#[cfg(test)]
mod tests;
