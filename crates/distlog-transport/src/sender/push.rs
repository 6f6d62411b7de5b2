//! Sending without answers, to a PULL socket.
//!
//! A chunk stays here until the kernel has taken all of it, also across connections.
//! `done` is the place in the chunk up to which whole messages are with the kernel; a connection
//! lost in the middle of a message starts again at that message, whose first half the peer forgets.
//!
//! Where answers were hoped for and not offered, chunks come as batches, and are made into messages here.

use std::sync::Arc;
use std::time::Instant;

use super::Acks;
use super::thread::{self, End, LISTEN_BUSY, LISTEN_IDLE, Shared};
use crate::connection::Connection;
use crate::queue::{Chunk, Work};
use crate::{acked, zmtp};

/// So many connections may break in the middle of one message before it is given up.
const ATTEMPTS: u32 = 3;

pub(super) struct Push {
    shared: Arc<Shared>,
    chunk: Chunk,
    done: usize,
    /// Bytes that the queue still counts for the chunk: as it came, not as it is sent.
    owed: usize,
    /// Connections lost since the message at `done` was begun.
    attempts: u32,
}

impl thread::Work for Push {
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

    fn abandon(&mut self) {
        self.shared.queue.abandon(self.owed, self.chunk.records);
    }
}

impl Push {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, chunk: Chunk::default(), done: 0, owed: 0, attempts: 0 }
    }

    /// The next chunk. True if the thread had been idle before; nothing if it is to stop.
    fn fetch(&mut self) -> Option<bool> {
        self.shared.queue.recycle(std::mem::take(&mut self.chunk.bytes));
        (self.done, self.attempts) = (0, 0);
        self.shared.tell_gap();
        let asked = Instant::now();
        match self.shared.queue.next(LISTEN_IDLE) {
            Work::Chunk(chunk) => {
                self.owed = chunk.bytes.len();
                self.chunk =
                    if self.shared.options.acks == Acks::Never { chunk } else { self.messages(&chunk) };
                Some(asked.elapsed() >= LISTEN_BUSY)
            }
            Work::Nothing => {
                self.chunk.records = 0;
                Some(true)
            }
            Work::Stop => None,
        }
    }

    /// A batch's records as messages.
    fn messages(&self, batch: &Chunk) -> Chunk {
        let mut bytes = Vec::with_capacity(batch.bytes.len() + batch.records * 7);
        for [topic, body] in acked::records(&batch.bytes) {
            if let Ok(topic) = topic.try_into() {
                zmtp::encode(&mut bytes, topic, body);
            }
        }
        Chunk { bytes, records: batch.records }
    }

    /// How many of the queue's bytes go with so many that are done: all that is left, when the chunk is.
    fn settle(&mut self, done: usize) -> usize {
        let settled = if self.done == self.chunk.bytes.len() { self.owed } else { done.min(self.owed) };
        self.owed -= settled;
        settled
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
            let settled = self.settle(self.done - from);
            self.shared.queue.handed_over(settled, records);
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
            let settled = self.settle(length);
            self.shared.queue.abandon(settled, 1);
        }
    }
}
