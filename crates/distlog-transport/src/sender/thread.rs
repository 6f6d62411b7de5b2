//! The sender's thread: gets a connection, lets chunks go out over it, gets the next one when it is lost.
//!
//! What goes out how is [`Work`]'s: `push.rs` without answers, `producer.rs` with them.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::producer::Producer;
use super::push::Push;
use super::{Acks, SenderOptions, SenderStats};
use crate::connection::{Connection, Refusal};
use crate::endpoint::Endpoint;
use crate::queue::{Bounds, Form, Queue};
use crate::zmtp::Role;

/// How often an idle connection is listened to: a PING waits no longer than this for its answer.
pub(super) const LISTEN_IDLE: Duration = Duration::from_secs(1);

/// How often a busy one is.
pub(super) const LISTEN_BUSY: Duration = Duration::from_millis(100);

/// A connection that lasted this long ends a row of failures.
const STABLE: Duration = Duration::from_secs(5);

/// The wait between attempts to connect while somebody waits for a flush.
const HURRIED: Duration = Duration::from_millis(100);

/// What a batch adds to its only record, with room to spare.
const BATCH_OVERHEAD: usize = 64;

/// After the first notice on stderr, the next comes no sooner.
const NOTICE_AGAIN: Duration = Duration::from_secs(3600);

/// What the handle and the thread share.
pub(super) struct Shared {
    pub(super) options: SenderOptions,
    pub(super) queue: Queue,
    endpoint: Endpoint,
    link: Mutex<Link>,
}

/// How the connection fares, for `stats`.
#[derive(Debug, Clone, Default)]
pub(super) struct Link {
    connected: bool,
    answers: bool,
    connections: u64,
    failing_since: Option<SystemTime>,
    last_error: Option<String>,
    /// Records given up because the connection broke over them again and again.
    pub(super) refused: u64,
}

/// Start the thread. If the system has none to give, the next push tries again.
pub(super) fn start(shared: &Arc<Shared>) {
    let mine = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("distlog-sender".to_owned());
    let started = without_signals(|| thread.spawn(move || Line::new(mine).run()));
    if let Err(error) = started {
        shared.link().last_error = Some(error.to_string());
        shared.queue.not_started();
    }
}

impl Shared {
    pub(super) fn new(options: SenderOptions, endpoint: Endpoint) -> Self {
        let bounds = Bounds {
            form: if options.acks == Acks::Never { Form::Messages } else { Form::Batch },
            bytes: options.queue_bytes,
            records: options.queue_records,
            message: options.message_bytes - if options.acks == Acks::Never { 0 } else { BATCH_OVERHEAD },
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
            acked: if link.answers { counts.handed_over } else { 0 },
            answers: link.answers,
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

    /// Makes the record of what was dropped, if there is something to tell and room for it.
    pub(super) fn tell_gap(&self) {
        if let Some(make) = &self.options.gap
            && let Some(gap) = self.queue.take_gap()
        {
            let (topic, body) = make(&gap);
            self.queue.insert(topic, &body);
        }
    }

    pub(super) fn link(&self) -> std::sync::MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the daemon, over one connection after the other.
struct Line {
    shared: Arc<Shared>,
    role: Role,
    /// The role is what was asked for, or what the first handshake showed.
    is_settled: bool,
    wait: Duration,
    failing: Option<Instant>,
    noticed: Option<Instant>,
}

/// Why sending over a connection ended.
pub(super) enum End {
    Stopped,
    Lost(String),
}

/// What goes out over the connections.
pub(super) trait Work {
    /// Sends until stopped or the connection is lost.
    fn send(&mut self, connection: &mut Connection) -> End;

    /// What is still here when the thread ends was not sent.
    fn abandon(&mut self);
}

impl Line {
    fn new(shared: Arc<Shared>) -> Self {
        let wait = shared.options.reconnect.0;
        let role = if shared.options.acks == Acks::Never { Role::Push } else { Role::Dealer };
        let is_settled = shared.options.acks != Acks::IfOffered;
        Self { shared, role, is_settled, wait, failing: None, noticed: None }
    }

    fn run(mut self) {
        let Some(first) = self.connect() else { return };
        let shared = Arc::clone(&self.shared);
        match self.role {
            Role::Push => self.serve(first, Push::new(shared)),
            Role::Dealer => self.serve(first, Producer::new(shared)),
        }
    }

    fn serve(mut self, first: Connection, mut work: impl Work) {
        let mut next = Some(first);
        while let Some(mut connection) = next.take().or_else(|| self.connect()) {
            let since = Instant::now();
            let end = work.send(&mut connection);
            self.shared.link().connected = false;
            match end {
                End::Stopped => {
                    connection.finish();
                    break;
                }
                End::Lost(error) => self.lost(error, since.elapsed()),
            }
        }
        work.abandon();
    }

    /// A connection, or nothing if the sender was stopped.
    fn connect(&mut self) -> Option<Connection> {
        let shared = Arc::clone(&self.shared);
        let stop = || shared.queue.is_stopped();
        while !stop() {
            match Connection::open(&shared.endpoint, self.role, &stop) {
                Ok(connection) => {
                    (self.failing, self.is_settled) = (None, true);
                    let mut link = shared.link();
                    link.connected = true;
                    link.answers = self.role == Role::Dealer;
                    link.connections += 1;
                    link.failing_since = None;
                    return Some(connection);
                }
                Err(Refusal::NoAnswers) if !self.is_settled => {
                    self.role = Role::Push;
                    continue;
                }
                Err(Refusal::NoAnswers) => self.failed("the peer's socket is PULL, not ROUTER".to_owned()),
                Err(Refusal::Other(error)) => self.failed(error),
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
            link.last_error = Some(error.clone());
        }
        let due = self.noticed.is_none_or(|at| at.elapsed() >= NOTICE_AGAIN);
        if due && since.elapsed() >= self.shared.options.notice_after {
            self.noticed = Some(Instant::now());
            if let Some(notice) = &self.shared.options.notice {
                // One write, so that lines of other threads stay whole. If stderr is closed, so be it.
                drop(std::io::stderr().write_all(format!("{notice} ({error})\n").as_bytes()));
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
