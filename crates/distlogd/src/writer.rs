//! The writer: messages → records → the store. The one thread that decodes and commits.
//!
//! - **Group commit**: while one commit syncs, the next batch gathers. After a rest a record is committed at once; under
//!   load a commit waits up to [`GATHER`] since the last one for company.
//! - **Nothing is refused**: a message that cannot be read becomes a record that says why, and is counted.
//! - **Ledger**: `received = stored + dropped`.
//! - **Acked endpoints**: `producers.rs` says what of a batch is new; its marks are committed with the records, and the answers
//!   leave after the commit, never before.
//! - **A failing disk** loses nothing that was taken: the store keeps the records, the writer takes no more and tries
//!   again, the queue before it fills, and then the senders wait. `/readyz` says so meanwhile. Only a stop ends the trying.
//! - **Memory** before the store is bounded by [`QUEUE_BYTES`]: who puts a batch into the queue holds permits for its
//!   bytes, and gives them back with the commit.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use distlog::Record;
use distlog::wire::{self, Decoded};
use distlog_store::{Mark, Store};
use distlog_transport::{Answers, Message};
use tokio::sync::OwnedSemaphorePermit;

use crate::health::{Health, STORE};
use crate::producers::Producers;
use crate::report::say;
use crate::rules::Rules;
use crate::runner::Stop;
use crate::stats::Stats;

/// Bytes of messages between the sockets and the store.
pub(crate) const QUEUE_BYTES: usize = 12 << 20;
/// How long after a commit the next one waits for company.
const GATHER: Duration = Duration::from_millis(4);
/// A commit this large waits for nobody.
const COMMIT_RECORDS: usize = 8 << 10;
const COMMIT_BYTES: usize = 6 << 20;
/// How often the store looks after its files.
const MAINTAIN_EVERY: Duration = Duration::from_secs(1);
/// The pauses between tries on a failing disk.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Messages on their way from a socket to the store.
pub(crate) struct Batch {
    /// In the order they came.
    pub messages: Vec<Message>,
    /// When they came, ns.
    pub received: i64,
    /// Their bytes.
    pub bytes: usize,
    /// How to answer them, if they came to an acked endpoint.
    pub answers: Option<Answers>,
    /// The room they take in the queue.
    pub _room: OwnedSemaphorePermit,
}

/// The rules in force, swapped as a whole at a reload.
pub(crate) type CurrentRules = Arc<Mutex<Arc<Rules>>>;

/// Owns the store until all senders of batches are gone.
pub(crate) struct Writer {
    /// The store.
    pub store: Store,
    /// What drops records.
    pub rules: CurrentRules,
    /// The ledger.
    pub stats: Arc<Stats>,
    /// Where a failing disk is reported.
    pub health: Arc<Health>,
    /// Until when a failing disk may hold up the stop.
    pub stop: Arc<Stop>,
    /// Who sends to acked endpoints.
    pub producers: Producers,
}

impl Writer {
    /// Commits batches until there are no more and nobody can send one. `true` if everything is in the store.
    pub(crate) fn run(mut self, batches: &Receiver<Batch>) -> bool {
        let mut maintained = Instant::now();
        let mut committed = Instant::now() - GATHER;
        loop {
            match batches.recv_timeout(MAINTAIN_EVERY) {
                Ok(first) => {
                    let gathered = gather(first, batches, committed + GATHER);
                    self.commit(gathered);
                    committed = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if maintained.elapsed() >= MAINTAIN_EVERY {
                self.maintain();
                maintained = Instant::now();
            }
        }
        self.finish()
    }

    fn commit(&mut self, batches: Vec<Batch>) {
        let rules = Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner));
        let received = batches.last().map_or(0, |batch| batch.received);
        let mut records = Vec::with_capacity(batches.iter().map(|batch| batch.messages.len()).sum());
        for batch in &batches {
            self.stats.received_bytes.add(batch.bytes as u64);
            for message in &batch.messages {
                self.take(message, batch, &rules, &mut records);
            }
        }
        let marks = self.producers.marks();
        let committed = (records.is_empty() && marks.is_empty()) || self.append(received, records, &marks);
        if committed {
            self.producers.answer();
        }
    }

    /// Adds the records of a message: one, unless it is a batch of a producer.
    fn take(&mut self, message: &Message, batch: &Batch, rules: &Rules, records: &mut Vec<Record>) {
        let Some(answers) = &batch.answers else {
            let decoded = wire::decode(message.frames(), batch.received);
            records.extend(self.judge(decoded, rules));
            return;
        };
        let mark = |producer: &[u8; 16]| self.store.mark(producer);
        let taken = self.producers.take(message, answers, batch.received, mark, &self.stats);
        records.extend(taken.into_iter().filter_map(|decoded| self.judge(decoded, rules)));
    }

    /// The record, unless a rule drops it.
    fn judge(&self, decoded: Decoded, rules: &Rules) -> Option<Record> {
        self.stats.received.add(1);
        if let Some(reason) = decoded.rejected {
            self.stats.rejected.add(reason, 1);
        }
        match rules.dropped_by(&decoded.record) {
            Some(rule) => {
                self.stats.dropped.add(&rule.name, 1);
                None
            }
            None => Some(decoded.record),
        }
    }

    /// One synced commit; on a failing disk, as many tries as it takes. `false` if the stop came before it succeeded.
    fn append(&mut self, received: i64, records: Vec<Record>, marks: &[Mark]) -> bool {
        let count = records.len();
        let mut outcome = self.store.append(received, records, marks);
        let mut pause = FIRST_PAUSE;
        while let Err(error) = &outcome {
            self.stats.failed_commits.add(1);
            if pause == FIRST_PAUSE {
                say(&format!("distlogd: the store cannot commit, records wait: {error}"));
            }
            self.health.report(STORE, format!("cannot commit: {error}"));
            if self.stop.is_due() {
                return false;
            }
            std::thread::sleep(pause);
            pause = LAST_PAUSE.min(pause * 2);
            outcome = self.store.append(received, Vec::new(), &[]);
        }
        if pause != FIRST_PAUSE {
            say("distlogd: the store commits again");
            self.health.well(STORE);
        }
        self.stats.commits.add(1);
        self.stats.stored.add(count as u64);
        if let Ok(offsets) = outcome {
            self.stats.next_offset.set(offsets.end);
        }
        true
    }

    fn maintain(&mut self) {
        match self.store.maintain(crate::now()) {
            Ok(done) => {
                for file in done.set_aside {
                    say(&format!("distlogd: {} is damaged and was set aside", file.display()));
                }
            }
            Err(error) => say(&format!("distlogd: the store could not look after its files: {error}")),
        }
    }

    /// Whether nothing was left behind.
    fn finish(self) -> bool {
        self.store.waiting() == 0
    }
}

/// Takes what is there, and what comes until then, up to the size of a commit.
fn gather(first: Batch, batches: &Receiver<Batch>, until: Instant) -> Vec<Batch> {
    let (mut records, mut bytes) = (first.messages.len(), first.bytes);
    let mut gathered = vec![first];
    while records < COMMIT_RECORDS && bytes < COMMIT_BYTES {
        let Ok(batch) = batches.recv_timeout(until.saturating_duration_since(Instant::now())) else { break };
        records += batch.messages.len();
        bytes += batch.bytes;
        gathered.push(batch);
    }
    gathered
}
