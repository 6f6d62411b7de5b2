//! Producers: who sends numbered records ([`distlog_transport::acked`]), how far each of them is, and what they are told.
//!
//! Lives in the writer's thread, between the messages and the commit. Invariants:
//!
//! - **once**: a number below the one expected next is a repetition, and is not stored again. What is expected next is
//!   committed as a mark, together with the records before it;
//! - **in order**: a batch beyond the number expected next is not taken. The producer is asked to go back (`N`);
//! - **no false answer**: an `A` leaves only after the commit that made it true ([`Producers::answer`]);
//! - **nothing refused is lost**: what cannot be read becomes a record that says why, as everywhere else.
//!
//! Which connection speaks for a producer is known since its `H`. A second connection that says `H` takes over; the first one, if it is
//! still there, is told so (`T`): two machines that were copied from one image part in this way.

use std::collections::HashMap;

use distlog::wire::{self, Decoded};
use distlog_store::Mark;
use distlog_transport::acked::{Header, Kind, Request};
use distlog_transport::{Answers, Message, Peer};

use crate::stats::Stats;

/// So many are kept in mind; beyond, all are forgotten, and asked for their `H` again.
const MAX_LIVE: usize = 1 << 16;

/// The id of a producer.
type Id = [u8; 16];

/// All producers that were heard of since the start.
#[derive(Default)]
pub(crate) struct Producers {
    live: HashMap<Id, Live>,
    /// Whose answer is due after the commit.
    due: Vec<Id>,
}

/// A producer that is, or was, connected.
struct Live {
    connection: Connection,
    epoch: u64,
    /// The number expected next.
    next: u64,
    /// What was so at the last commit.
    durable: u64,
    /// It was asked to go back, and has not come yet.
    asked_again: bool,
}

/// Where a message came from, and how to answer it.
#[derive(Clone)]
struct Connection {
    peer: Peer,
    answers: Answers,
}

impl Connection {
    fn tell(&self, kind: Kind, to: &Header, number: u64) {
        let header = Header { kind, number, count: 0, ..*to };
        self.answers.send(&self.peer, &[&header.to_bytes()]);
    }

    fn refuse(&self, to: &Header, reason: &str) {
        let header = Header { kind: Kind::Refused, number: 0, count: 0, ..*to };
        self.answers.send(&self.peer, &[&header.to_bytes(), reason.as_bytes()]);
    }
}

impl Producers {
    /// The records that a message brings. `mark` is what the store knows of a producer.
    pub(crate) fn take(
        &mut self,
        message: &Message,
        answers: &Answers,
        received: i64,
        mark: impl Fn(&Id) -> Option<Mark>,
        stats: &Stats,
    ) -> Vec<Decoded> {
        let Some(peer) = message.peer() else { return Vec::new() };
        let connection = Connection { peer: peer.clone(), answers: answers.clone() };
        let request = match Request::read(message.frames()) {
            Ok(request) => request,
            Err(reason) => {
                let nobody = Header { kind: Kind::Refused, producer: [0; 16], epoch: 0, number: 0, count: 0 };
                connection.refuse(&nobody, reason);
                return vec![unreadable(message.frames(), reason, received)];
            }
        };
        match request.header.kind {
            Kind::Hello => {
                let known = mark(&request.header.producer);
                self.hello(&request.header, connection, known, received, stats).into_iter().collect()
            }
            _ => self.batch(&request, &connection, mark, received, stats),
        }
    }

    /// The marks that are to be committed with the records taken since the last commit.
    pub(crate) fn marks(&self) -> Vec<Mark> {
        let changed = self.due.iter().filter_map(|id| Some((id, self.live.get(id)?)));
        changed
            .filter(|(_, live)| live.next != live.durable)
            .map(|(id, live)| Mark { producer: *id, epoch: live.epoch, next_sequence: live.next })
            .collect()
    }

    /// Answers everybody whose records, and whose marks, are committed now.
    pub(crate) fn answer(&mut self) {
        for id in self.due.drain(..) {
            if let Some(live) = self.live.get_mut(&id) {
                live.durable = live.next;
                let header = Header { kind: Kind::Ack, producer: id, epoch: live.epoch, number: 0, count: 0 };
                live.connection.tell(Kind::Ack, &header, live.next);
            }
        }
        // Now, when nothing is due.
        if self.live.len() > MAX_LIVE {
            self.live.clear();
        }
    }

    /// A connection begins to speak for a producer. The record tells of numbers that nobody will send any more.
    fn hello(
        &mut self,
        header: &Header,
        connection: Connection,
        mark: Option<Mark>,
        received: i64,
        stats: &Stats,
    ) -> Option<Decoded> {
        let before = self.live.get(&header.producer);
        let known = before
            .map(|live| (live.epoch, live.next, live.durable))
            .or(mark.map(|mark| (mark.epoch, mark.next_sequence, mark.next_sequence)));
        let (epoch, next, durable) = known.unwrap_or((header.epoch, header.number, header.number));
        if header.epoch < epoch {
            connection.refuse(
                header,
                "another process has taken over this producer's records: its epoch is higher",
            );
            return None;
        }
        if let Some(live) = before.filter(|live| live.connection.peer != connection.peer) {
            live.connection.tell(Kind::Taken, header, live.next);
        }
        let missing = header.number.saturating_sub(next);
        let live =
            Live { connection, epoch: header.epoch, next: next + missing, durable, asked_again: false };
        self.live.insert(header.producer, live);
        self.due(header.producer);
        (missing > 0).then(|| {
            stats.missing.add(missing);
            Decoded { record: wire::never_arrived(&header.producer, next, missing, received), rejected: None }
        })
    }

    fn batch(
        &mut self,
        request: &Request<'_>,
        connection: &Connection,
        mark: impl Fn(&Id) -> Option<Mark>,
        received: i64,
        stats: &Stats,
    ) -> Vec<Decoded> {
        let Header { producer, number, count, .. } = request.header;
        let speaks =
            |live: &&mut Live| live.connection.peer == connection.peer && live.epoch == request.header.epoch;
        let Some(live) = self.live.get_mut(&producer).filter(speaks) else {
            let next = mark(&producer).map_or(0, |mark| mark.next_sequence);
            connection.tell(Kind::Again, &request.header, next);
            return Vec::new();
        };
        if number > live.next {
            if !std::mem::replace(&mut live.asked_again, true) {
                connection.tell(Kind::Again, &request.header, live.next);
            }
            return Vec::new();
        }
        let repeated = (live.next - number).min(u64::from(count));
        stats.repeated.add(repeated);
        let records = if request.end() > live.next {
            decoded(request, repeated as usize, received)
        } else {
            Vec::new()
        };
        live.next = live.next.max(request.end());
        live.asked_again = false;
        self.due(producer);
        records
    }

    fn due(&mut self, id: Id) {
        // A commit gathers many batches of few producers.
        if self.due.last() != Some(&id) && !self.due.contains(&id) {
            self.due.push(id);
        }
    }
}

/// The records of a batch without those that came before; where the body ends too early, one that says so.
fn decoded(request: &Request<'_>, repeated: usize, received: i64) -> Vec<Decoded> {
    let (records, rest) = request.records();
    let wanting = request.expected() - records.len();
    // A gap's one record stands for all its numbers, those that came before included.
    let skipped = if request.header.kind == Kind::Gap { 0 } else { repeated };
    let mut decoded: Vec<Decoded> =
        records.iter().skip(skipped).map(|frames| wire::decode(frames, received)).collect();
    if wanting > 0 || !rest.is_empty() {
        let reason = format!("a batch that ends {wanting} records early, with {} bytes left", rest.len());
        decoded.push(unreadable(&[request.header.to_bytes().as_slice(), rest], &reason, received));
    }
    decoded
}

fn unreadable<F: AsRef<[u8]>>(frames: &[F], detail: &str, received: i64) -> Decoded {
    let record = wire::unreadable(frames, wire::BATCH, detail, received);
    Decoded { record, rejected: Some(wire::BATCH) }
}
