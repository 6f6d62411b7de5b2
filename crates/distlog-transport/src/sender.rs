//! The sending end for programs that log: a 0MQ PUSH socket, or a DEALER whose records are answered.
//!
//! One [`Sender`] is one bounded queue and one plain thread, started by the first push. The
//! caller never waits for the network: a push is a lock and a copy. There is no runtime, and
//! the thread never calls back into Python: what it may call, [`GapRecord`], is Rust.
//!
//! What is promised:
//! - everything handed to the kernel goes out in order, and no message is cut or sent twice: after a
//!   lost connection sending goes on at the first message the kernel had not taken whole;
//! - what the kernel had taken when the daemon died is lost: PUSH has no acknowledgements. With [`SenderOptions::acks`]
//!   a record stays here until the daemon says that it is stored and synced, and comes again after a lost connection;
//!   the daemon sees to it that it is stored once;
//! - what does not fit is dropped, newest first, and counted. Records from WARNING on may use the last
//!   eighth of the queue, which others may not. When there is room again, one record tells of the gap;
//! - `flush` and `close` return within their time, whatever the network does. Nothing waits for the
//!   thread, so a process may exit at any moment.
//!
//! Fork: the thread does not exist in a forked child, and the queue's lock may be held there for
//! ever. [`Sender::is_of_this_process`] and [`Sender::options`] touch neither: after a fork the
//! child makes a new sender of the same options and leaks the old one (dropping it is safe too:
//! it then leaks itself). So a child never sends what its parent had queued.

mod producer;
mod push;
mod session;
mod thread;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use forkguard::Guard;

use crate::endpoint::Endpoint;
use crate::queue::Thread;
use crate::{Error, MESSAGE_BYTES};

use thread::Shared;

/// How often this process is a child of a fork, as far as [`forked`] was told.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// To be called in the child after a fork, by who can. Other forks are counted by a hook of libc's, unless they were made without libc.
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// The number of this process. Asked for anew only after a fork, since asking takes as long as half a record.
pub fn process_id() -> u32 {
    thread_local! {
        static KNOWN: RefCell<Option<(u32, Guard, u32)>> = const { RefCell::new(None) };
    }
    let forks = FORKS.load(Ordering::Relaxed);
    let known = KNOWN.try_with(|known| {
        let mut known = known.borrow_mut();
        match &*known {
            Some((at, guard, id)) if *at == forks && !guard.clone().detected_fork() => *id,
            _ => {
                // The guard first: a fork after it shows.
                let guard = Guard::default();
                let id = std::process::id();
                *known = Some((forks, guard, id));
                id
            }
        }
    });
    known.unwrap_or_else(|_| std::process::id())
}

/// Makes the record that tells of dropped ones: topic and body.
/// Runs in the sender's thread, without any lock.
pub type GapRecord = Arc<dyn Fn(&Gap) -> ([u8; 3], Vec<u8>) + Send + Sync>;

/// Everything a sender must know. `..Default::default()` fills in the rest.
#[derive(Clone)]
pub struct SenderOptions {
    /// Where the daemon's PULL socket listens, or its ROUTER socket with `acks`.
    pub endpoint: String,
    /// Whether a record stays here until the daemon has answered that it is stored.
    pub acks: Acks,
    /// Bound of what is queued and not yet with the kernel, in bytes on the wire.
    pub queue_bytes: usize,
    /// The same bound in records.
    pub queue_records: usize,
    /// A larger message is dropped and counted. The daemon would cut the connection over it.
    pub message_bytes: usize,
    /// How long the first record after idle waits for others to share a write with.
    pub gather: Duration,
    /// First and longest wait between attempts to connect; it doubles in between.
    pub reconnect: (Duration, Duration),
    /// One line for stderr when no daemon could be reached for `notice_after`, then hourly at most.
    pub notice: Option<String>,
    /// See `notice`.
    pub notice_after: Duration,
    /// Makes the record that tells of dropped ones; without it they are only counted.
    pub gap: Option<GapRecord>,
}

/// A 0MQ PUSH or DEALER socket with a queue before it. Shared freely between threads.
pub struct Sender {
    shared: Arc<Shared>,
    forks: u32,
    /// Each copy of it tells of the fork anew.
    guard: Guard,
}

/// Whether the daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// It does not: the endpoint is a PULL socket.
    Never,
    /// It does: the endpoint is a ROUTER socket.
    Always,
    /// It does if the endpoint is a ROUTER socket, and not if it is a PULL. The first handshake shows which.
    IfOffered,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued,
    /// It was counted, and is gone.
    Dropped,
}

/// Records dropped because the queue was full, since the last such notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub records: u64,
    /// How many of them were WARNING or above.
    pub important: u64,
    /// When the first was dropped.
    pub first: SystemTime,
    /// When the last was dropped.
    pub last: SystemTime,
}

/// What a sender has done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SenderStats {
    /// Records in the queue or half written.
    pub queued: u64,
    /// Their bytes on the wire.
    pub queued_bytes: u64,
    /// Records the kernel has taken; with answers, records the daemon has answered for.
    pub sent: u64,
    /// Their bytes on the wire.
    pub bytes: u64,
    /// Records the daemon has answered for.
    pub acked: u64,
    /// Whether it answers, as far as that is known.
    pub answers: bool,
    /// Records dropped because the queue was full.
    pub dropped_full: u64,
    /// Records pushed after the close, or unsent when its time was over.
    pub dropped_closed: u64,
    /// Records larger than a message may be.
    pub dropped_oversized: u64,
    /// Records over which the peer cut the connection again and again.
    pub dropped_refused: u64,
    /// Whether there is a connection now.
    pub connected: bool,
    /// Connections made after the first one.
    pub reconnects: u64,
    /// Since when no attempt to connect has succeeded.
    pub failing_since: Option<SystemTime>,
    /// What the last failed attempt or lost connection said.
    pub last_error: Option<String>,
}

impl Sender {
    /// A sender for an endpoint. Nothing is opened or started yet; only the endpoint's text can be refused.
    pub fn new(options: SenderOptions) -> Result<Self, Error> {
        let endpoint = Endpoint::parse(&options.endpoint)?;
        if let Endpoint::Tcp { host, port } = &endpoint
            && (host == "*" || *port == 0)
        {
            let reason = "a sender needs a host and a port to connect to";
            return Err(Error::BadEndpoint { endpoint: options.endpoint, reason });
        }
        let forks = FORKS.load(Ordering::Relaxed);
        Ok(Self { shared: Arc::new(Shared::new(options, endpoint)), forks, guard: forkguard::new() })
    }

    /// Queue one record. Never waits for the network and never fails; the level is Python's.
    pub fn push(&self, topic: [u8; 3], body: &[u8], level: i64) -> Pushed {
        let (pushed, thread) = self.shared.queue.push(topic, body, level);
        if thread == Thread::Missing {
            thread::start(&self.shared);
        }
        pushed
    }

    /// Wait until everything pushed so far was handed to the kernel, or answered with `acks`; false if the time was over before.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.shared.queue.flush(timeout)
    }

    /// Take no more records, hand the rest to the kernel and stop; false if the time was over before.
    pub fn close(&self, timeout: Duration) -> bool {
        self.shared.queue.close(timeout)
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> SenderStats {
        self.shared.stats()
    }

    /// The options it was made of.
    #[must_use]
    pub fn options(&self) -> &SenderOptions {
        &self.shared.options
    }

    /// False in a forked child of the process that made it: there nothing else may be called.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed) && !self.guard.clone().detected_fork()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.is_of_this_process() {
            self.shared.queue.close(Duration::ZERO);
        } else {
            // Dropping the last reference would close the parent's connection and free memory under a lost lock.
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("endpoint", &self.shared.options.endpoint).finish_non_exhaustive()
    }
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            endpoint: "tcp://127.0.0.1:5010".to_owned(),
            acks: Acks::Never,
            queue_bytes: 8 << 20,
            queue_records: 100_000,
            message_bytes: MESSAGE_BYTES,
            gather: Duration::from_millis(2),
            reconnect: (Duration::from_millis(100), Duration::from_secs(5)),
            notice: None,
            notice_after: Duration::from_secs(5),
            gap: None,
        }
    }
}

impl fmt::Debug for SenderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SenderOptions")
            .field("endpoint", &self.endpoint)
            .field("acks", &self.acks)
            .field("queue_bytes", &self.queue_bytes)
            .field("queue_records", &self.queue_records)
            .finish_non_exhaustive()
    }
}
