//! Sending with answers, to a ROUTER socket: a record is done when the daemon says that it is stored.
//!
//! What is sent when, and what an answer means, is [`Session`]'s; here is the I/O around it. One thread waits for two things,
//! records to send and answers to hear. While an answer is out it waits for that, and looks for records every few milliseconds.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::session::{Heard, Session};
use super::thread::{self, End, LISTEN_IDLE, Shared};
use crate::connection::Connection;
use crate::queue::Work;
use crate::zmtp;

/// How long an answer is waited for before the queue is looked at again.
const TURN: Duration = Duration::from_millis(5);

/// Without an answer for so long the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Producer {
    shared: Arc<Shared>,
    session: Session,
    /// A batch's frames, before they are written.
    frames: Vec<u8>,
    /// When the daemon last answered, or something was sent while no answer was out.
    heard: Instant,
}

/// What the queue gave.
enum Fetched {
    Chunk,
    Nothing,
    Stop,
}

impl thread::Work for Producer {
    fn send(&mut self, connection: &mut Connection) -> End {
        let result = self.hello(connection);
        if let Err(error) = result {
            return End::Lost(error);
        }
        loop {
            match self.turn(connection) {
                Ok(true) => {}
                Ok(false) => return End::Stopped,
                Err(error) => return End::Lost(error),
            }
        }
    }

    fn abandon(&mut self) {
        let (bytes, records) = self.session.give_up();
        self.shared.queue.abandon(bytes, records);
    }
}

impl Producer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, session: Session::new(random_id()), frames: Vec::new(), heard: Instant::now() }
    }

    fn hello(&mut self, connection: &mut Connection) -> Result<(), String> {
        let header = self.session.hello().to_bytes();
        self.frames.clear();
        zmtp::encode_frame(&mut self.frames, &header, false);
        self.heard = Instant::now();
        self.write(connection)
    }

    /// One look at either side. `false` if the thread is to stop.
    fn turn(&mut self, connection: &mut Connection) -> Result<bool, String> {
        match if self.session.has_room() { self.fetch() } else { Fetched::Nothing } {
            Fetched::Stop => return Ok(false),
            // Whoever flushes or closes waits for answers, not for records.
            Fetched::Nothing if self.session.is_waiting() => connection.wait(TURN)?,
            _ => connection.listen()?,
        }
        self.hear(connection)?;
        connection.answer(&|| self.shared.queue.is_stopped())?;
        self.send_due(connection)?;
        if self.session.is_waiting() && self.heard.elapsed() > PATIENCE {
            return Err("the daemon does not answer".to_owned());
        }
        Ok(!self.shared.queue.is_stopped())
    }

    /// Takes the next chunk from the queue, if one comes in time.
    fn fetch(&mut self) -> Fetched {
        self.shared.tell_gap();
        // While an answer is out, the other wait is where it is heard.
        let patience = if self.session.is_waiting() { Duration::ZERO } else { LISTEN_IDLE };
        match self.shared.queue.next(patience) {
            Work::Chunk(chunk) => {
                if !self.session.is_waiting() {
                    self.heard = Instant::now();
                }
                self.session.add(chunk);
                Fetched::Chunk
            }
            // All that was queued is with the session: what is left is to hear the answers.
            Work::Stop if !self.session.is_waiting() => Fetched::Stop,
            Work::Stop | Work::Nothing => Fetched::Nothing,
        }
    }

    fn hear(&mut self, connection: &mut Connection) -> Result<(), String> {
        for frames in connection.answered() {
            self.heard = Instant::now();
            let queue = &self.shared.queue;
            let heard = self.session.hear(&frames, |chunk| {
                queue.handed_over(chunk.bytes.len(), chunk.records);
                queue.recycle(chunk.bytes);
            })?;
            if heard == Heard::Taken {
                self.session.rename(random_id());
            }
            if heard != Heard::Fine {
                self.hello(connection)?;
            }
        }
        Ok(())
    }

    /// Writes every batch whose turn it is.
    fn send_due(&mut self, connection: &mut Connection) -> Result<(), String> {
        while let Some((header, body)) = self.session.take_due() {
            self.frames.clear();
            zmtp::encode_frame(&mut self.frames, &header.to_bytes(), true);
            zmtp::encode_frame(&mut self.frames, body, false);
            self.write(connection)?;
        }
        Ok(())
    }

    fn write(&self, connection: &mut Connection) -> Result<(), String> {
        let over = || self.shared.queue.is_stopped() || self.heard.elapsed() > PATIENCE;
        connection.write_all(&self.frames, &over)
    }
}

/// 16 bytes that no other process has: a forked sibling must not draw the same ones.
fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    if File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut id)).is_err() {
        let draw = |salt: u8| {
            RandomState::new().hash_one((salt, std::process::id(), SystemTime::now(), Instant::now()))
        };
        for (place, byte) in
            id.iter_mut().zip([draw(1), draw(2)].iter().flat_map(|number| number.to_be_bytes()))
        {
            *place = byte;
        }
    }
    id
}
