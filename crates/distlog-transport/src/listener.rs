//! The receiving end: a 0MQ socket that strangers may connect to, of one of two [`Door`]s.
//!
//! It stands on `omq-tokio`, with every limit set here and none left to its defaults: message size
//! (over all frames, so that an endless multipart ends too), half-open handshakes, silence, queue
//! length. The socket runs on one I/O thread of its own, so that a slow query in the daemon's
//! runtime does not hold up receiving.
//!
//! Invariants:
//! - whatever a peer sends, no other peer's messages are touched, and memory stays bounded: per
//!   connection by `queue` messages and one message's size, overall by what the peers may hold together;
//! - messages of one connection keep their order; between connections there is none;
//! - a message is delivered whole or not at all. A wrong number of frames is no error here: the
//!   daemon makes a record of it that says so.
//!
//! When the daemon does not take messages, the queues fill, then the peers' sockets, and then
//! the peers wait: nothing is dropped on this side.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use omq_tokio::{Context, KeepAlive, Options, Payload, Socket, SocketType};
use omq_tokio::{DisconnectReason, MonitorEvent, MonitorRecvError, MonitorStream};
use smallvec::SmallVec;
use tokio::task::JoinHandle;

use crate::endpoint::Endpoint;
use crate::{Error, MESSAGE_BYTES};

/// How long the door stays open when the daemon stops.
const LAST_ENTRY: Duration = Duration::from_millis(20);

/// How long answers may take to leave when the daemon stops.
const LAST_ANSWERS: Duration = Duration::from_millis(200);

/// The library charges a slot for each frame besides its bytes; an honest message has two frames.
const SLOTS: usize = 4 * std::mem::size_of::<Payload>();

/// What strangers may use up. `..Default::default()` fills in the rest.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Of one message, all its frames together. A larger one closes its connection.
    pub message_bytes: usize,
    /// Messages that wait for [`Listener::next_batch`], for each connection.
    pub queue: u32,
    /// Connections that have not shaken hands yet. One host that is not this one may have an eighth of them.
    pub handshakes: usize,
    /// A handshake that takes longer is cut off.
    pub handshake_timeout: Duration,
    /// How often a quiet peer is asked whether it lives.
    pub heartbeat: Duration,
    /// A peer that is silent for so long is cut off.
    pub silence: Duration,
    /// Access to the socket file of an `ipc://` endpoint, as for chmod.
    pub ipc_mode: u32,
}

/// Which kind of socket listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// PULL: takes from PUSH sockets, and cannot answer.
    Pull,
    /// ROUTER: takes from DEALER sockets, and answers each of them through [`Listener::answers`].
    Router,
}

/// A 0MQ socket that listens.
pub struct Listener {
    socket: Socket,
    door: Door,
    endpoint: String,
    counts: Arc<Counts>,
    received: Vec<omq_tokio::Message>,
    watcher: JoinHandle<()>,
    // Last: its thread must outlive the socket.
    _context: Context,
}

/// One 0MQ message: its frames, at least one, in order.
#[derive(Clone)]
pub struct Message {
    /// Who sent it; nobody knows at a [`Door::Pull`].
    peer: Option<Peer>,
    frames: SmallVec<[Frame; 2]>,
}

/// A connection to a [`Door::Router`], to be answered.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer(Frame);

/// Answers to peers of one [`Door::Router`].
#[derive(Clone)]
pub struct Answers(Socket);

/// One frame's bytes. Cheap to clone: short ones lie inside, long ones are shared.
#[derive(Clone)]
pub struct Frame(Payload);

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Frame {}

/// What a listener has counted since it was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Messages given out.
    pub messages: u64,
    /// Their bytes, all frames together.
    pub bytes: u64,
    /// Connections that have shaken hands and are there now.
    pub connections: u64,
    /// Connections accepted in all.
    pub accepted: u64,
    /// Connections turned away because too many had not shaken hands yet.
    pub refused: u64,
    /// Handshakes that failed: not ZMTP, the wrong kind of socket, or too slow.
    pub handshakes_failed: u64,
    /// Connections cut over a message that was too large.
    pub oversized: u64,
    /// Connections cut over anything else: protocol, silence, a broken network.
    pub broken: u64,
    /// Connection changes that could not be counted, since too many came at once.
    pub uncounted: u64,
}

impl Listener {
    /// Listen. Must be called within a tokio runtime.
    pub async fn bind(endpoint: &str, door: Door, limits: Limits) -> Result<Self, Error> {
        let place = Endpoint::parse(endpoint)?;
        check_path_is_free(&place, endpoint)?;
        let context = Context::with_name("receive");
        let socket = context.socket(door.socket_type(), options(&limits));
        let monitor = socket.monitor();
        let bound = socket.bind(written(&place).as_str()).await.map_err(|error| refused(endpoint, error))?;
        let counts = Arc::new(Counts::default());
        let watcher = tokio::spawn(watch(monitor, Arc::clone(&counts)));
        restrict(&place, endpoint, limits.ipc_mode)?;
        let endpoint = bound.to_string();
        Ok(Self { socket, door, endpoint, counts, received: Vec::new(), watcher, _context: context })
    }

    /// Where it listens: with the real port if 0 was asked for.
    #[must_use]
    pub fn local_endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// How to answer its peers; `None` at a [`Door::Pull`].
    #[must_use]
    pub fn answers(&self) -> Option<Answers> {
        (self.door == Door::Router).then(|| Answers(self.socket.clone()))
    }

    /// Wait for a message, then take as many as are there, `max` at most. Loses nothing if cancelled.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        match self.socket.recv_many_into(max, &mut self.received).await {
            Ok(_) => Ok(self.hand_out()),
            Err(_) => Err(Error::Closed),
        }
    }

    /// As [`Self::next_batch`], but empty if nothing came for `quiet`: what to drain with before [`Self::close`].
    pub async fn next_batch_within(&mut self, max: usize, quiet: Duration) -> Result<Vec<Message>, Error> {
        match tokio::time::timeout(quiet, self.next_batch(max)).await {
            Ok(batch) => batch,
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Accept no more connections. Those that are there go on.
    pub async fn stop_accepting(&mut self) {
        // A peer that has just shaken hands, and may have sent all it has, is let in before the door closes.
        tokio::time::sleep(LAST_ENTRY).await;
        if let Ok(endpoint) = self.endpoint.parse::<omq_tokio::Endpoint>() {
            // The only error is that it does not listen any more.
            self.socket.unbind(endpoint).await.ok();
        }
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counts.read()
    }

    /// Close every connection. Drain first: what is still queued here is lost. Answers get a moment to leave.
    pub async fn close(self) {
        let linger = if self.door == Door::Router { LAST_ANSWERS } else { Duration::ZERO };
        self.socket.close_with_linger(Some(linger)).await.ok();
        self.watcher.abort();
    }

    fn hand_out(&mut self) -> Vec<Message> {
        let mut bytes = 0;
        let batch: Vec<Message> = self
            .received
            .drain(..)
            .map(|mut message| {
                let named = self.door == Door::Router;
                let peer = if named { message.pop_front_payload() } else { None };
                bytes += message.byte_len();
                Message { peer: peer.map(|name| Peer(Frame(name))), frames: frames(message) }
            })
            .collect();
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.counts.messages.fetch_add(batch.len() as u64, Ordering::Relaxed);
        batch
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: MESSAGE_BYTES,
            queue: 256,
            handshakes: 1024,
            handshake_timeout: Duration::from_secs(3),
            heartbeat: Duration::from_secs(10),
            silence: Duration::from_secs(30),
            ipc_mode: 0o660,
        }
    }
}

impl Door {
    fn socket_type(self) -> SocketType {
        match self {
            Self::Pull => SocketType::Pull,
            Self::Router => SocketType::Router,
        }
    }
}

impl Answers {
    /// Sends an answer, if the peer is still there and takes it. Never waits: a peer that reads no answers gets none.
    pub fn send(&self, peer: &Peer, frames: &[&[u8]]) {
        let body =
            omq_tokio::Message::multipart_payloads(frames.iter().map(|frame| Payload::from_slice(frame)));
        // Who has gone asks again on its next connection.
        drop(self.0.try_send_to(peer.0.as_ref(), body));
    }
}

impl Message {
    /// Its frames.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Who sent it, at a [`Door::Router`].
    #[must_use]
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }
}

impl std::ops::Deref for Message {
    type Target = [Frame];

    fn deref(&self) -> &[Frame] {
        &self.frames
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames.iter()).finish()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_ref().escape_ascii())
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {:?}", self.0)
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

/// The frames of a message, without a copy.
fn frames(mut message: omq_tokio::Message) -> SmallVec<[Frame; 2]> {
    // Popping costs the number of frames each time.
    if message.len() <= 2 {
        std::iter::from_fn(|| message.pop_front_payload()).map(Frame).collect()
    } else {
        message.iter().map(|bytes| Frame(Payload::from_bytes(bytes))).collect()
    }
}

#[derive(Debug, Default)]
struct Counts {
    messages: AtomicU64,
    bytes: AtomicU64,
    shaken: AtomicU64,
    gone: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    handshakes_failed: AtomicU64,
    oversized: AtomicU64,
    broken: AtomicU64,
    uncounted: AtomicU64,
}

impl Counts {
    fn read(&self) -> Counters {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            messages: read(&self.messages),
            bytes: read(&self.bytes),
            connections: read(&self.shaken).saturating_sub(read(&self.gone)),
            accepted: read(&self.accepted),
            refused: read(&self.refused),
            handshakes_failed: read(&self.handshakes_failed),
            oversized: read(&self.oversized),
            broken: read(&self.broken),
            uncounted: read(&self.uncounted),
        }
    }
}

/// The library replaces whatever lies at the path, be it another daemon's socket or a file.
fn check_path_is_free(place: &Endpoint, endpoint: &str) -> Result<(), Error> {
    #[cfg(unix)]
    if let Endpoint::Path(path) = place
        && let Ok(found) = std::fs::symlink_metadata(path)
    {
        use std::os::unix::fs::FileTypeExt;
        let endpoint = endpoint.to_owned();
        if !found.file_type().is_socket() {
            return Err(Error::BadEndpoint { endpoint, reason: "what lies at the path is not a socket" });
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(Error::AddressInUse { endpoint });
        }
    }
    Ok(())
}

fn options(limits: &Limits) -> Options {
    let keepalive =
        KeepAlive::Enabled { idle: Duration::from_secs(60), intvl: Duration::from_secs(10), cnt: 6 };
    Options::new()
        .max_message_size(limits.message_bytes + SLOTS)
        .recv_hwm(limits.queue)
        .recv_batching(true)
        .max_pending_handshakes(limits.handshakes)
        .handshake_timeout(limits.handshake_timeout)
        .heartbeat_interval(limits.heartbeat)
        .heartbeat_timeout(limits.silence)
        .heartbeat_ttl(limits.silence * 2)
        .tcp_keepalive(keepalive)
        .linger(Duration::ZERO)
        .monitor_capacity(8192)
}

/// The endpoint as the library writes it: a port of `*` is 0 to it.
fn written(place: &Endpoint) -> String {
    match place {
        Endpoint::Tcp { host, port } if host.contains(':') => format!("tcp://[{host}]:{port}"),
        Endpoint::Tcp { host, port } => format!("tcp://{host}:{port}"),
        Endpoint::Path(path) => format!("ipc://{}", path.display()),
        Endpoint::Abstract(name) => format!("ipc://@{name}"),
    }
}

fn refused(endpoint: &str, error: omq_tokio::Error) -> Error {
    match error {
        omq_tokio::Error::Io(source) => Error::from_io(endpoint, source),
        other => {
            Error::Io { endpoint: endpoint.to_owned(), source: std::io::Error::other(other.to_string()) }
        }
    }
}

fn restrict(place: &Endpoint, endpoint: &str, mode: u32) -> Result<(), Error> {
    #[cfg(unix)]
    if let Endpoint::Path(path) = place {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .map_err(|source| Error::from_io(endpoint, source))?;
    }
    Ok(())
}

async fn watch(mut monitor: MonitorStream, counts: Arc<Counts>) {
    let add = |count: &AtomicU64, much: u64| {
        count.fetch_add(much, Ordering::Relaxed);
    };
    loop {
        match monitor.recv().await {
            Ok(MonitorEvent::Accepted { .. }) => add(&counts.accepted, 1),
            Ok(MonitorEvent::HandshakeSucceeded { .. }) => add(&counts.shaken, 1),
            Ok(MonitorEvent::HandshakeFailed { reason, .. }) => add(counts.of_failure(&reason), 1),
            Ok(MonitorEvent::Disconnected { reason, .. }) => {
                add(&counts.gone, 1);
                if let DisconnectReason::Error(text) = reason {
                    add(counts.of_end(&text), 1);
                }
            }
            Ok(MonitorEvent::Closed) | Err(MonitorRecvError::Closed) => return,
            Ok(_) => {}
            Err(MonitorRecvError::Lagged(missed)) => add(&counts.uncounted, missed),
            Err(_) => add(&counts.uncounted, 1),
        }
    }
}

impl Counts {
    /// The library tells its reasons as texts only.
    fn of_failure(&self, reason: &str) -> &AtomicU64 {
        let full = reason.contains("limit reached") || reason.contains("mailbox full");
        if full { &self.refused } else { &self.handshakes_failed }
    }

    fn of_end(&self, reason: &str) -> &AtomicU64 {
        if reason.contains("too large") { &self.oversized } else { &self.broken }
    }
}
