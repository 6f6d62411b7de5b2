//! A producer's side of acknowledged delivery ([`crate::acked`]), without I/O: which batch is next, and what an answer means.
//!
//! Every batch stays here until the daemon has answered for it. Invariants:
//! - numbers are given once, without gaps, in the order the batches came;
//! - after a hello nothing is sent before its answer, and then everything that has none, in order;
//! - an answer for what was never sent releases nothing.

use std::collections::VecDeque;

use crate::acked::{Header, Kind};
use crate::queue::Chunk;

/// Batches on their way without an answer; more only add repetitions after a reconnection.
const WINDOW: usize = 32;

/// What a producer has sent and has no answer for, and how to go on.
#[derive(Debug)]
pub(super) struct Session {
    producer: [u8; 16],
    batches: VecDeque<Batch>,
    /// The number of the next new batch's first record.
    next: u64,
    /// How many of the batches were sent over this connection; `None` until its hello is answered.
    sent: Option<usize>,
}

#[derive(Debug)]
struct Batch {
    first: u64,
    chunk: Chunk,
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Go on.
    Fine,
    /// Say hello again.
    Restart,
    /// Take a new id ([`Session::rename`]), then say hello again.
    Taken,
}

impl Session {
    /// A producer of this id that has sent nothing yet.
    pub(super) fn new(producer: [u8; 16]) -> Self {
        Self { producer, batches: VecDeque::new(), next: 0, sent: None }
    }

    /// The first message of a connection, or after [`Heard::Restart`].
    pub(super) fn hello(&mut self) -> Header {
        self.sent = None;
        self.header(Kind::Hello, self.first(), 0)
    }

    /// Whether another batch may be added now.
    pub(super) fn has_room(&self) -> bool {
        self.sent.is_some() && self.batches.len() < WINDOW
    }

    /// Whether an answer is awaited.
    pub(super) fn is_waiting(&self) -> bool {
        self.sent.is_none() || !self.batches.is_empty()
    }

    /// Numbers a batch. It is sent when its turn comes.
    pub(super) fn add(&mut self, chunk: Chunk) {
        let first = self.next;
        self.next += chunk.records as u64;
        self.batches.push_back(Batch { first, chunk });
    }

    /// The next batch to send, if there is one and the hello was answered.
    pub(super) fn take_due(&mut self) -> Option<(Header, &[u8])> {
        let at = self.sent?;
        let Batch { first, chunk } = self.batches.get(at)?;
        self.sent = Some(at + 1);
        let count = u32::try_from(chunk.records).unwrap_or(u32::MAX);
        Some((self.header(Kind::Batch, *first, count), &chunk.bytes))
    }

    /// Takes in an answer; `released` gets every batch that is done. An error ends the connection.
    pub(super) fn hear(
        &mut self,
        frames: &[Vec<u8>],
        mut released: impl FnMut(Chunk),
    ) -> Result<Heard, String> {
        let [first, rest @ ..] = frames else { return Err("the daemon's answer is empty".to_owned()) };
        let header = Header::read(first)?;
        if header.producer != self.producer && header.kind != Kind::Refused {
            return Err("the daemon answered somebody else".to_owned());
        }
        match header.kind {
            Kind::Ack if header.number > self.next => {
                Err("the daemon answered for what was never sent".to_owned())
            }
            Kind::Ack => {
                self.release(header.number, &mut released);
                Ok(Heard::Fine)
            }
            // Without a hello on its way this is news; otherwise an echo of batches sent before it.
            Kind::Again if self.sent.is_some() => Ok(Heard::Restart),
            Kind::Again => Ok(Heard::Fine),
            Kind::Refused => Err(format!(
                "the daemon refuses: {}",
                String::from_utf8_lossy(rest.first().map_or(b"", Vec::as_slice)).escape_debug()
            )),
            Kind::Taken => Ok(Heard::Taken),
            _ => Err("the daemon sent what only a producer may".to_owned()),
        }
    }

    /// Becomes a new producer: what has no answer is numbered anew.
    pub(super) fn rename(&mut self, producer: [u8; 16]) {
        self.producer = producer;
        self.next = 0;
        for batch in &mut self.batches {
            batch.first = self.next;
            self.next += batch.chunk.records as u64;
        }
        self.sent = None;
    }

    /// Gives up what has no answer: bytes and records.
    pub(super) fn give_up(&mut self) -> (usize, usize) {
        self.batches.drain(..).fold((0, 0), |(bytes, records), batch| {
            (bytes + batch.chunk.bytes.len(), records + batch.chunk.records)
        })
    }

    fn first(&self) -> u64 {
        self.batches.front().map_or(self.next, |batch| batch.first)
    }

    /// Everything below `number` is stored. A batch that is so only in part stays; the daemon knows which records it has.
    fn release(&mut self, number: u64, released: &mut impl FnMut(Chunk)) {
        let mut sent = self.sent.unwrap_or(0);
        while let Some(batch) = self.batches.front()
            && batch.first + batch.chunk.records as u64 <= number
            && let Some(batch) = self.batches.pop_front()
        {
            sent = sent.saturating_sub(1);
            released(batch.chunk);
        }
        self.sent = Some(sent);
    }

    fn header(&self, kind: Kind, number: u64, count: u32) -> Header {
        Header { kind, producer: self.producer, epoch: 0, number, count }
    }
}

#[cfg(test)]
mod tests;
