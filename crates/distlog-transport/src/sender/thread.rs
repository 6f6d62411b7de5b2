//! The sender's thread: takes chunks from the queue, keeps a connection, reconnects.
//!
//! A chunk stays with the thread until the kernel has taken all of it, also across connections.
//! `done` is the place in the chunk up to which whole messages are with the kernel; a connection
//! lost in the middle of a message starts again at that message, whose first half the peer forgets.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::{SenderOptions, SenderStats};
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::queue::{Bounds, Chunk, Queue, Work};
use crate::zmtp;

/// How often an idle connection is listened to: a PING waits no longer than this for its answer.
const LISTEN_IDLE: Duration = Duration::from_secs(1);

/// How often a busy one is.
const LISTEN_BUSY: Duration = Duration::from_millis(100);

/// A connection that lasted this long ends a row of failures.
const STABLE: Duration = Duration::from_secs(5);

/// The wait between attempts to connect while somebody waits for a flush.
const HURRIED: Duration = Duration::from_millis(100);

/// After the first notice on stderr, the next comes no sooner.
const NOTICE_AGAIN: Duration = Duration::from_secs(3600);

/// So many connections may break in the middle of one message before it is given up.
const ATTEMPTS: u32 = 3;

/// What the handle and the thread share.
pub(super) struct Shared {
    pub(super) options: SenderOptions,
    pub(super) queue: Queue,
    endpoint: Endpoint,
    link: Mutex<Link>,
}

/// How the connection fares, for `stats`.
#[derive(Debug, Clone, Default)]
struct Link {
    connected: bool,
    connections: u64,
    failing_since: Option<SystemTime>,
    last_error: Option<String>,
    refused: u64,
}

/// Start the thread. If the system has none to give, the next push tries again.
pub(super) fn start(shared: &Arc<Shared>) {
    let mine = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("distlog-sender".to_owned());
    let started = without_signals(|| thread.spawn(move || Worker::new(mine).run()));
    if let Err(error) = started {
        shared.link().last_error = Some(error.to_string());
        shared.queue.not_started();
    }
}

impl Shared {
    pub(super) fn new(options: SenderOptions, endpoint: Endpoint) -> Self {
        let bounds = Bounds {
            bytes: options.queue_bytes,
            records: options.queue_records,
            message: options.message_bytes,
            gather: options.gather,
            tells_gaps: options.gap.is_some(),
        };
        Self { options, queue: Queue::new(bounds), endpoint, link: Mutex::default() }
    }

    pub(super) fn stats(&self) -> SenderStats {
        let counts = self.queue.counts();
        let link = self.link().clone();
        SenderStats {
            queued: counts.records as u64,
            queued_bytes: counts.bytes as u64,
            sent: counts.handed_over,
            bytes: counts.handed_over_bytes,
            dropped_full: counts.dropped_full,
            dropped_closed: counts.dropped_closed + counts.abandoned.saturating_sub(link.refused),
            dropped_oversized: counts.dropped_oversized,
            dropped_refused: link.refused,
            connected: link.connected,
            reconnects: link.connections.saturating_sub(1),
            failing_since: link.failing_since,
            last_error: link.last_error,
        }
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    shared: Arc<Shared>,
    chunk: Chunk,
    done: usize,
    /// Connections lost since the message at `done` was begun.
    attempts: u32,
    wait: Duration,
    failing: Option<Instant>,
    noticed: Option<Instant>,
}

/// Why sending over a connection ended.
enum End {
    Stopped,
    Lost(String),
}

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        let wait = shared.options.reconnect.0;
        Self { shared, chunk: Chunk::default(), done: 0, attempts: 0, wait, failing: None, noticed: None }
    }

    fn run(mut self) {
        while let Some(mut connection) = self.connect() {
            let since = Instant::now();
            let end = self.send(&mut connection);
            self.shared.link().connected = false;
            match end {
                End::Stopped => {
                    connection.finish();
                    break;
                }
                End::Lost(error) => self.lost(error, since.elapsed()),
            }
        }
        self.abandon();
    }

    /// A connection, or nothing if the sender was stopped.
    fn connect(&mut self) -> Option<Connection> {
        let shared = Arc::clone(&self.shared);
        let stop = || shared.queue.is_stopped();
        while !stop() {
            match Connection::open(&shared.endpoint, &stop) {
                Ok(connection) => {
                    self.failing = None;
                    let mut link = shared.link();
                    link.connected = true;
                    link.connections += 1;
                    link.failing_since = None;
                    return Some(connection);
                }
                Err(error) => self.failed(error),
            }
            if !shared.queue.pause(self.next_wait(), HURRIED) {
                break;
            }
        }
        None
    }

    fn failed(&mut self, error: String) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        {
            let mut link = self.shared.link();
            link.failing_since.get_or_insert_with(SystemTime::now);
            link.last_error = Some(error);
        }
        let due = self.noticed.is_none_or(|at| at.elapsed() >= NOTICE_AGAIN);
        if due && since.elapsed() >= self.shared.options.notice_after {
            self.noticed = Some(Instant::now());
            if let Some(notice) = &self.shared.options.notice {
                // One write, so that lines of other threads stay whole. If stderr is closed, so be it.
                drop(std::io::stderr().write_all(format!("{notice}\n").as_bytes()));
            }
        }
    }

    /// Doubled each time, and anything between half and whole, so that a thousand processes do not come at once.
    fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(self.shared.options.reconnect.1);
        let chance = RandomState::new().hash_one(Instant::now()) % 512;
        wait / 2 + wait.mul_f64(chance as f64 / 1024.0)
    }

    fn lost(&mut self, error: String, lasted: Duration) {
        self.shared.link().last_error = Some(error);
        if lasted >= STABLE {
            self.wait = self.shared.options.reconnect.0;
        }
        let wait = self.next_wait();
        self.shared.queue.pause(wait, HURRIED);
    }

    /// Send until stopped or the connection is lost.
    fn send(&mut self, connection: &mut Connection) -> End {
        let mut listened = Instant::now();
        loop {
            if self.done == self.chunk.bytes.len() {
                match self.fetch() {
                    Some(idle) if idle || listened.elapsed() >= LISTEN_BUSY => {
                        listened = Instant::now();
                        if let Err(error) = self.listen(connection) {
                            return End::Lost(error);
                        }
                    }
                    Some(_) => {}
                    None => return End::Stopped,
                }
            }
            if let Err(error) = self.write(connection) {
                return End::Lost(error);
            }
            if self.done < self.chunk.bytes.len() && self.shared.queue.is_stopped() {
                return End::Stopped;
            }
        }
    }

    /// The next chunk. True if the thread had been idle before; nothing if it is to stop.
    fn fetch(&mut self) -> Option<bool> {
        self.shared.queue.recycle(std::mem::take(&mut self.chunk.bytes));
        (self.done, self.attempts) = (0, 0);
        self.tell_gap();
        let asked = Instant::now();
        match self.shared.queue.next(LISTEN_IDLE) {
            Work::Chunk(chunk) => {
                self.chunk = chunk;
                Some(asked.elapsed() >= LISTEN_BUSY)
            }
            Work::Nothing => {
                self.chunk.records = 0;
                Some(true)
            }
            Work::Stop => None,
        }
    }

    fn tell_gap(&self) {
        if let Some(make) = &self.shared.options.gap
            && let Some(gap) = self.shared.queue.take_gap()
        {
            let (topic, body) = make(&gap);
            self.shared.queue.insert(topic, &body);
        }
    }

    fn listen(&self, connection: &mut Connection) -> Result<(), String> {
        connection.listen()?;
        connection.answer(&|| self.shared.queue.is_stopped())
    }

    /// Write the rest of the chunk, or as much as the kernel takes at once.
    fn write(&mut self, connection: &mut Connection) -> Result<(), String> {
        let start = self.done;
        let mut written = start;
        let result = loop {
            let rest = self.chunk.bytes.get(written..).unwrap_or_default();
            if rest.is_empty() {
                break Ok(());
            }
            match connection.write(rest) {
                Ok(0) if self.shared.queue.is_stopped() => break Ok(()),
                Ok(0) => {
                    if let Err(error) = connection.listen() {
                        break Err(error);
                    }
                }
                Ok(count) => {
                    written += count;
                    self.advance(written);
                }
                Err(error) => break Err(error.to_string()),
            }
        };
        if result.is_err() && written > self.done {
            self.broken();
        }
        result
    }

    /// The kernel has taken the chunk up to `written`: the messages whole by then are done.
    fn advance(&mut self, written: usize) {
        let from = self.done;
        let mut records = 0;
        let all = self.chunk.bytes.get(..written).unwrap_or_default();
        while let Some(length) = zmtp::message_length(all.get(self.done..).unwrap_or_default()) {
            self.done += length;
            records += 1;
        }
        if records > 0 {
            self.attempts = 0;
            self.chunk.records -= records;
            self.shared.queue.handed_over(self.done - from, records);
        }
    }

    /// The connection broke in the middle of a message: perhaps over it.
    fn broken(&mut self) {
        self.attempts += 1;
        let rest = self.chunk.bytes.get(self.done..).unwrap_or_default();
        if let Some(length) = zmtp::message_length(rest).filter(|_| self.attempts >= ATTEMPTS) {
            self.done += length;
            self.attempts = 0;
            self.chunk.records -= 1;
            self.shared.link().refused += 1;
            self.shared.queue.abandon(length, 1);
        }
    }

    /// What is still here when the thread ends was not sent.
    fn abandon(&mut self) {
        let left = self.chunk.bytes.len() - self.done;
        self.shared.queue.abandon(left, self.chunk.records);
    }
}

/// Python's signal handlers must run in Python's threads, and its blocking calls be the ones interrupted. A new thread inherits what is
/// blocked where it is started, so that it never takes a signal, not even at first.
#[cfg(unix)]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    use nix::sys::signal::{SigSet, SigmaskHow};
    // If it fails, signals arrive as they would in any thread.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started = start();
    if let Ok(before) = before {
        before.thread_set_mask().ok();
    }
    started
}

#[cfg(not(unix))]
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    start()
}
