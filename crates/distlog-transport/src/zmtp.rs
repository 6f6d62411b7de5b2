//! ZMTP 3.1, the part a PUSH or DEALER client needs. No I/O: bytes in, bytes out.
//!
//! ```text
//! greeting  64 bytes, both ways at once
//!           FF 00×8 7F | major 03 | minor 01 | mechanism "NULL" padded to 20 | as-server 00 | 00×31
//! frame     flags | length | body           flags: 1 = more frames follow, 2 = long, 4 = command
//!           length is one byte, or eight big-endian bytes when the long flag is set
//! command   one frame with flag 4; body = name length | name | content
//!   READY   properties: name length | name | value length (4 bytes) | value;  both sides send one
//!   ERROR   reason length | reason: the peer refuses
//!   PING    time to live (2 bytes, tenths of a second) | context (≤ 16 bytes);  answered by
//!   PONG    context
//! message   frames without flag 4; commands never stand between a message's frames
//! ```
//!
//! A message of a PUSH is always two frames, a topic of three bytes and a body; one of a DEALER is a header and
//! perhaps a body. PUSH needs nothing from its peer after the handshake but PINGs, which must be answered, and DEALER
//! hears answers besides. Everything else (SUBSCRIBE, CANCEL) is read over, and a frame that no honest peer would send
//! ends the connection.

use std::time::Duration;

/// What this side says first.
pub(crate) const GREETING: [u8; 64] =
    *b"\xff\0\0\0\0\0\0\0\0\x7f\x03\x01NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What this side is, and so what its peer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Role {
    /// It sends to a PULL.
    #[default]
    Push,
    /// It sends to a ROUTER, and hears its answers.
    Dealer,
}

impl Role {
    /// What this side says once it has seen the peer's greeting: READY with its Socket-Type.
    pub(crate) fn ready(self) -> &'static [u8] {
        match self {
            Self::Push => b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH",
            Self::Dealer => b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER",
        }
    }

    fn peer(self) -> &'static str {
        match self {
            Self::Push => "PULL",
            Self::Dealer => "ROUTER",
        }
    }
}

/// Longest frame taken from a peer. Honest ones are under a hundred bytes.
const INCOMING_BYTES: u64 = 64 * 1024;

/// Longest context a PING may carry.
const CONTEXT_BYTES: usize = 16;

/// Most frames of one answer.
const ANSWER_FRAMES: usize = 4;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// The peer does not speak what it must; the text is for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

/// What the peer said, as far as its client cares.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The handshake is through.
    Ready,
    /// Answer with [`pong`] of this context; drop the peer if it is silent for `silence` (zero: no limit).
    Ping {
        /// To be sent back.
        context: Vec<u8>,
        /// How long the peer promises to stay audible.
        silence: Duration,
    },
    /// An answer's frames. Only a DEALER hears any.
    Answer(Vec<Vec<u8>>),
}

/// Reads what the peer sends after its greeting.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    role: Role,
    pending: Vec<u8>,
    /// The frames of an answer that is not whole yet.
    answer: Vec<Vec<u8>>,
    met_pull: bool,
}

/// Append one message to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, topic: [u8; 3], body: &[u8]) {
    let [first, second, third] = topic;
    if let Ok(length) = u8::try_from(body.len()) {
        out.extend_from_slice(&[MORE, 3, first, second, third, 0, length]);
    } else {
        out.extend_from_slice(&[MORE, 3, first, second, third, LONG]);
        out.extend_from_slice(&(body.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(body);
}

/// Append one frame to `out`; `more` follow in the same message or not.
pub(crate) fn encode_frame(out: &mut Vec<u8>, body: &[u8], more: bool) {
    let flags = if more { MORE } else { 0 };
    match u8::try_from(body.len()) {
        Ok(length) => out.extend_from_slice(&[flags, length]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(body);
}

/// Bytes that [`encode`] appends for a body of this length.
pub(crate) fn encoded_length(body: usize) -> usize {
    let header = if body > usize::from(u8::MAX) { 14 } else { 7 };
    header + body
}

/// Length of the whole message that `bytes` starts with; `None` if it is not whole.
/// Only for what [`encode`] wrote.
pub(crate) fn message_length(bytes: &[u8]) -> Option<usize> {
    let body = match bytes.get(5)? {
        &LONG => u64::from_be_bytes(bytes.get(6..14)?.try_into().ok()?),
        _ => u64::from(*bytes.get(6)?),
    };
    let length = encoded_length(usize::try_from(body).ok()?);
    (length <= bytes.len()).then_some(length)
}

/// Append the answer to a PING.
pub(crate) fn pong(out: &mut Vec<u8>, context: &[u8]) {
    let context = context.get(..CONTEXT_BYTES).unwrap_or(context);
    out.extend_from_slice(&[COMMAND, 5 + context.len() as u8]);
    out.extend_from_slice(b"\x04PONG");
    out.extend_from_slice(context);
}

/// Check the peer's greeting.
pub(crate) fn check_greeting(peer: &[u8; 64]) -> Result<(), Violation> {
    let [signature, .., end, major] = peer.first_chunk::<11>().copied().unwrap_or_default();
    if signature != 0xff || end != 0x7f {
        return Err(Violation("the peer does not speak ZMTP".to_owned()));
    }
    if major < 3 {
        return Err(Violation(format!("the peer speaks ZMTP {major}, not 3")));
    }
    let mechanism: Vec<u8> = peer.iter().skip(12).take(20).copied().take_while(|b| *b != 0).collect();
    if mechanism != b"NULL" {
        let name = String::from_utf8_lossy(&mechanism).escape_debug().to_string();
        return Err(Violation(format!("the peer wants the mechanism {name}, not NULL")));
    }
    Ok(())
}

impl Incoming {
    pub(crate) fn new(role: Role) -> Self {
        Self { role, ..Self::default() }
    }

    /// Take bytes from the peer and give what they say, in order.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Said>, Violation> {
        self.pending.extend_from_slice(bytes);
        let pending = std::mem::take(&mut self.pending);
        let mut said = Vec::new();
        let mut read = 0;
        while let Some(frame) = frame(pending.get(read..).unwrap_or_default())? {
            read += frame.length;
            if frame.command {
                self.met_pull |= is_pull(frame.body);
                said.extend(command(frame.body, self.role)?);
            } else if self.role == Role::Dealer {
                said.extend(self.answered(&frame)?);
            }
        }
        self.pending = pending.get(read..).unwrap_or_default().to_vec();
        Ok(said)
    }

    /// Whether the peer said in its READY that it is a PULL.
    pub(crate) fn met_pull(&self) -> bool {
        self.met_pull
    }

    /// A frame of an answer: the whole answer, if this was its last.
    fn answered(&mut self, frame: &Frame<'_>) -> Result<Option<Said>, Violation> {
        if self.answer.len() >= ANSWER_FRAMES {
            return Err(Violation("the peer's answer does not end".to_owned()));
        }
        self.answer.push(frame.body.to_vec());
        Ok((!frame.more).then(|| Said::Answer(std::mem::take(&mut self.answer))))
    }
}

struct Frame<'a> {
    command: bool,
    more: bool,
    body: &'a [u8],
    length: usize,
}

/// The frame that `bytes` starts with, if it is whole.
fn frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, Violation> {
    let Some(&flags) = bytes.first() else { return Ok(None) };
    if flags & !(MORE | LONG | COMMAND) != 0 {
        return Err(Violation("the peer sent a frame with unknown flags".to_owned()));
    }
    let (header, body) = if flags & LONG == 0 {
        let Some(&length) = bytes.get(1) else { return Ok(None) };
        (2, u64::from(length))
    } else {
        let Some(length) = bytes.get(1..9).and_then(|b| b.try_into().ok()) else { return Ok(None) };
        (9, u64::from_be_bytes(length))
    };
    if body > INCOMING_BYTES {
        return Err(Violation(format!("the peer sent a frame of {body} bytes")));
    }
    let length = header + body as usize;
    let whole = bytes.get(header..length);
    Ok(whole.map(|body| Frame { command: flags & COMMAND != 0, more: flags & MORE != 0, body, length }))
}

fn command(body: &[u8], role: Role) -> Result<Option<Said>, Violation> {
    let bad = || Violation("the peer sent a broken command".to_owned());
    let (name, content) = short(body).ok_or_else(bad)?;
    match name {
        b"READY" => ready(content, role).map(Some),
        b"ERROR" => {
            let reason = short(content).map_or(content, |(reason, _)| reason);
            let reason = String::from_utf8_lossy(reason).escape_debug().to_string();
            Err(Violation(format!("the peer refused: {reason}")))
        }
        b"PING" => {
            let (ttl, context) = content.split_first_chunk::<2>().ok_or_else(bad)?;
            let silence = Duration::from_millis(u64::from(u16::from_be_bytes(*ttl)) * 100);
            Ok(Some(Said::Ping { context: context.to_vec(), silence }))
        }
        _ => Ok(None),
    }
}

fn is_pull(ready: &[u8]) -> bool {
    ready.starts_with(b"\x05READY") && ready.windows(8).any(|value| value == b"\0\0\0\x04PULL")
}

/// READY's properties must be well formed, and the peer what this side's role needs.
fn ready(mut content: &[u8], role: Role) -> Result<Said, Violation> {
    let bad = || Violation("the peer sent a broken READY".to_owned());
    while !content.is_empty() {
        let (name, rest) = short(content).ok_or_else(bad)?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(bad)?;
        if name.eq_ignore_ascii_case(b"Socket-Type") && value != role.peer().as_bytes() {
            let kind = String::from_utf8_lossy(value).escape_debug().to_string();
            return Err(Violation(format!("the peer's socket is {kind}, not {}", role.peer())));
        }
        content = rest;
    }
    Ok(Said::Ready)
}

/// A text with one byte of length before it, and what follows.
fn short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests;
