//! One connection of the sender to a PULL or ROUTER socket, over the standard library's sockets.
//!
//! The socket blocks with short time limits, so that the thread sees a stop soon whatever the
//! peer does, and is made non-blocking for a moment to hear what the peer has said: std has
//! no `poll`, and a runtime for one socket is what this crate avoids. Nothing is read while
//! nothing is written, so [`Connection::listen`] must be called about once a second.
//!
//! A PING's answer may only stand between messages; the caller says when.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::endpoint::Endpoint;
use crate::zmtp::{self, Incoming, Role, Said, Violation};

/// How long one blocking call on the socket may last.
const SLICE: Duration = Duration::from_millis(100);

/// A handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A DEALER met a PULL.
    NoAnswers,
    /// Anything else, in words.
    Other(String),
}

impl From<String> for Refusal {
    fn from(error: String) -> Self {
        Self::Other(error)
    }
}

/// A connection whose handshake is through.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    role: Role,
    incoming: Incoming,
    /// To the peer's PINGs.
    answers: Vec<u8>,
    /// What the peer has answered and nobody has looked at yet.
    heard_answers: Vec<Vec<Vec<u8>>>,
    heard: Instant,
    silence: Duration,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Connection {
    /// Connect and shake hands. Gives up soon after `stop` says so.
    pub(crate) fn open(endpoint: &Endpoint, role: Role, stop: &dyn Fn() -> bool) -> Result<Self, Refusal> {
        let stream = Stream::connect(endpoint, stop)?;
        stream.set_limits().map_err(|error| error.to_string())?;
        let mut connection = Self {
            stream,
            role,
            incoming: Incoming::new(role),
            answers: Vec::new(),
            heard_answers: Vec::new(),
            heard: Instant::now(),
            silence: Duration::ZERO,
        };
        match connection.shake_hands(stop) {
            Ok(()) => Ok(connection),
            Err(_) if connection.incoming.met_pull() && role == Role::Dealer => Err(Refusal::NoAnswers),
            Err(error) => Err(error.into()),
        }
    }

    /// Hand bytes to the kernel; 0 if it took none for a while.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Ok(0) if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if waits(&error) => Ok(0),
            result => result,
        }
    }

    /// Hear what the peer has said by now, without waiting. An error means the connection is over.
    pub(crate) fn listen(&mut self) -> Result<(), String> {
        self.stream.set_nonblocking(true).map_err(|error| error.to_string())?;
        let heard = self.hear_all();
        self.stream.set_nonblocking(false).map_err(|error| error.to_string())?;
        heard?;
        if !self.silence.is_zero() && self.heard.elapsed() > self.silence {
            return Err(format!("the peer was silent for {} s", self.silence.as_secs()));
        }
        Ok(())
    }

    /// Answer the PINGs heard. Only between messages.
    pub(crate) fn answer(&mut self, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let answers = std::mem::take(&mut self.answers);
        self.write_all(&answers, stop)
    }

    /// As [`Self::listen`], but wait for something to hear for up to `time`.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<(), String> {
        self.stream
            .set_read_timeout(time.max(Duration::from_millis(1)))
            .map_err(|error| error.to_string())?;
        let mut buffer = [0; 4096];
        let heard = match self.stream.read(&mut buffer) {
            Ok(0) => Err("the peer closed the connection".to_owned()),
            Ok(got) => self.hear(buffer.get(..got).unwrap_or_default()).map(drop),
            Err(error) if waits(&error) => Ok(()),
            Err(error) => Err(error.to_string()),
        };
        self.stream.set_read_timeout(SLICE).map_err(|error| error.to_string())?;
        heard
    }

    /// What the peer answered since the last time.
    pub(crate) fn answered(&mut self) -> Vec<Vec<Vec<u8>>> {
        std::mem::take(&mut self.heard_answers)
    }

    /// Nothing more will be sent: tell the peer, also if a forked child still holds the socket.
    pub(crate) fn finish(mut self) {
        // Unread input at the close would make the kernel throw away what it has not sent yet.
        drop(self.listen());
        self.stream.shutdown(Shutdown::Write);
    }

    fn shake_hands(&mut self, stop: &dyn Fn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + HANDSHAKE;
        let over = || stop() || Instant::now() > deadline;
        self.write_all(&zmtp::GREETING, &over)?;
        let mut greeting = [0; 64];
        let mut got = 0;
        while got < greeting.len() {
            got += self.read(greeting.get_mut(got..).unwrap_or_default(), &over)?;
        }
        zmtp::check_greeting(&greeting).map_err(text)?;
        self.write_all(self.role.ready(), &over)?;
        let mut buffer = [0; 1024];
        loop {
            let got = self.read(&mut buffer, &over)?;
            if self.hear(buffer.get(..got).unwrap_or_default())? {
                return Ok(());
            }
        }
    }

    fn hear_all(&mut self) -> Result<(), String> {
        let mut buffer = [0; 4096];
        // A peer that never stops talking must not keep us from writing.
        for _ in 0..16 {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the peer closed the connection".to_owned()),
                Ok(got) => drop(self.hear(buffer.get(..got).unwrap_or_default())?),
                Err(error) if waits(&error) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Whether READY was among what the peer said.
    fn hear(&mut self, bytes: &[u8]) -> Result<bool, String> {
        self.heard = Instant::now();
        let mut ready = false;
        for said in self.incoming.feed(bytes).map_err(text)? {
            match said {
                Said::Ready => ready = true,
                Said::Answer(frames) => self.heard_answers.push(frames),
                Said::Ping { context, silence } => {
                    self.silence = silence;
                    // One answer is enough for any number of questions, and bounded.
                    self.answers.clear();
                    zmtp::pong(&mut self.answers, &context);
                }
            }
        }
        Ok(ready)
    }

    fn read(&mut self, into: &mut [u8], over: &dyn Fn() -> bool) -> Result<usize, String> {
        loop {
            match self.stream.read(into) {
                Ok(0) => return Err("the peer closed the connection".to_owned()),
                Ok(got) => return Ok(got),
                Err(error) if waits(&error) && over() => return Err("the peer does not answer".to_owned()),
                Err(error) if waits(&error) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Hand all of it to the kernel, or give up when `over` says so.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8], over: &dyn Fn() -> bool) -> Result<(), String> {
        while !bytes.is_empty() {
            let written = self.write(bytes).map_err(|error| error.to_string())?;
            bytes = bytes.get(written..).unwrap_or_default();
            if written == 0 && over() {
                return Err("the peer does not read".to_owned());
            }
        }
        Ok(())
    }
}

impl Stream {
    fn connect(endpoint: &Endpoint, stop: &dyn Fn() -> bool) -> Result<Self, String> {
        match endpoint {
            Endpoint::Tcp { host, port } => connect_tcp(host, *port, stop).map(Self::Tcp),
            #[cfg(unix)]
            Endpoint::Path(path) => {
                UnixStream::connect(path).map(Self::Unix).map_err(|error| error.to_string())
            }
            #[cfg(target_os = "linux")]
            Endpoint::Abstract(name) => {
                connect_abstract(name).map(Self::Unix).map_err(|error| error.to_string())
            }
            #[allow(unreachable_patterns, reason = "which kinds are left depends on the system")]
            _ => Err("this system has no such sockets".to_owned()),
        }
    }

    fn set_limits(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // Batches are made before the socket; waiting for more would only delay them.
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SLICE))?;
                stream.set_write_timeout(Some(SLICE))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(SLICE))?;
                stream.set_write_timeout(Some(SLICE))
            }
        }
    }

    fn set_read_timeout(&self, time: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(Some(time)),
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_read_timeout(Some(time)),
        }
    }

    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(on),
            #[cfg(unix)]
            Self::Unix(stream) => stream.set_nonblocking(on),
        }
    }

    fn shutdown(&self, how: Shutdown) {
        // It fails only if the peer has closed already.
        drop(match self {
            Self::Tcp(stream) => stream.shutdown(how),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(how),
        });
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(into),
            #[cfg(unix)]
            Self::Unix(stream) => stream.read(into),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(unix)]
            Self::Unix(stream) => stream.write(bytes),
        }
    }
}

fn connect_tcp(host: &str, port: u16, stop: &dyn Fn() -> bool) -> Result<TcpStream, String> {
    let mut last = format!("{host} has no address");
    for address in (host, port).to_socket_addrs().map_err(|error| error.to_string())? {
        if stop() {
            break;
        }
        match TcpStream::connect_timeout(&address, HANDSHAKE) {
            Ok(stream) if is_itself(&stream) => last = "nothing listens there".to_owned(),
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// On one machine a TCP socket may connect to itself when the port it draws is the port it asks for.
fn is_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(here), Ok(there)) if here == there)
}

#[cfg(target_os = "linux")]
fn connect_abstract(name: &str) -> io::Result<UnixStream> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address)
}

fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn text(violation: Violation) -> String {
    violation.0
}
