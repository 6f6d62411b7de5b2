//! One thread per processor: cursor → rules → its own filter → the processor → cursor.
//!
//! Each runner reads the store for itself, from its own durable cursor, so a dead or slow processor grows its own lag and
//! changes nothing for anybody else. What is kept here for all processors:
//!
//! - **Order**: one batch at a time, as stored.
//! - **At least once**: the cursor is saved after a batch is taken over, at most every [`SAVE_EVERY`] and at the stop. A
//!   crash in between sends the records since then again.
//! - **Retry**: a failed batch comes again, less what was taken over, after 100 ms, doubling to 30 s. With `give_up`, a batch
//!   that has failed for so long is counted as failed; the next ones get one try each until one succeeds.
//! - **Refused** records are counted, named on stderr, and passed over. They stay in the store.
//! - **Ledger**: `read = handled + filtered + failed`, added up as each record's fate is known.
//! - **Stop**: a runner that is told to drain ends when it has read everything, or at the deadline; the processor is
//!   flushed once in any case.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use distlog::filter::Filter;
use distlog_store::{Cursors, Entry, Follower, Reader};

use crate::health::Health;
use crate::processors::{Failure, Processor, Running, Settings};
use crate::report::say;
use crate::rules::Rules;
use crate::stats::{ProcessorStats, Stats};

/// Records read at once.
const BATCH: usize = 512;
/// How long a runner waits for records before it looks whether it shall stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the cursor is saved at most.
const SAVE_EVERY: Duration = Duration::from_millis(100);
/// The pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// How long a processor may take to flush.
pub const FLUSH: Duration = Duration::from_secs(5);
/// The pause after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// A processor that keeps failing says so at most this often.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Tells a thread to stop, and wakes it from its pause.
#[derive(Debug, Default)]
pub struct Stop {
    state: Mutex<StopState>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct StopState {
    /// When to end at the latest; none while there is no reason to end.
    deadline: Option<Instant>,
    /// Whether to end after the present batch, though more is there.
    leaves: bool,
}

impl Stop {
    /// Read everything there is, and end; at the deadline end in any case.
    pub fn drain(&self, deadline: Instant) {
        self.set(StopState { deadline: Some(deadline), leaves: false });
    }

    /// Finish the present batch, and end; at the deadline end in any case.
    pub fn leave(&self, deadline: Instant) {
        self.set(StopState { deadline: Some(deadline), leaves: true });
    }

    /// Whether to end whatever is left.
    pub fn is_due(&self) -> bool {
        self.state().deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether to end when nothing is left, and not to try again what fails.
    pub fn is_draining(&self) -> bool {
        self.state().deadline.is_some()
    }

    fn is_leaving(&self) -> bool {
        self.state().leaves || self.is_due()
    }

    fn set(&self, state: StopState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    fn state(&self) -> StopState {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits, but no longer than until somebody says stop.
    pub fn pause(&self, time: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let running = |state: &mut StopState| state.deadline.is_none();
        // What it woke for is asked again by the caller.
        drop(self.changed.wait_timeout_while(state, time, running));
    }
}

/// What all runners share.
#[derive(Clone)]
pub struct Shared {
    /// The store, to read.
    pub reader: Reader,
    /// The durable cursors.
    pub cursors: Cursors,
    /// The rules this runner goes by.
    pub rules: Arc<Rules>,
    /// The ledger.
    pub stats: Arc<Stats>,
    /// Where ailing processors are named.
    pub health: Arc<Health>,
}

/// One processor to run.
pub struct Job {
    /// Its name: of its cursor, its counters, and in messages.
    pub name: String,
    /// Its place in the list the rules count in.
    pub place: usize,
    /// Its own filter.
    pub when: Filter,
    /// After how long of retrying a batch is counted as failed; never if `None`.
    pub give_up: Option<Duration>,
    /// What to build it from.
    pub settings: Box<dyn Settings>,
}

/// A running thread, and the way to end it.
pub struct Handle {
    /// The processor's name.
    pub name: String,
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// How to stop it.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Waits until it has ended. One that does not end in time is left behind: its cursor stays where it was.
    pub fn join(self, deadline: Instant) {
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !self.thread.is_finished() {
            say(&format!("distlogd: processor `{}` does not end, and was left behind", self.name));
        } else {
            // Panics were caught in it.
            self.thread.join().ok();
        }
    }
}

/// Starts a processor's thread.
pub fn spawn(job: Job, shared: Shared) -> std::io::Result<Handle> {
    let stop = Arc::new(Stop::default());
    let name = job.name.clone();
    let watched = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name(format!("to {name}"));
    let thread = thread.spawn(move || run_again_after_panics(&Arc::new(job), &shared, &watched))?;
    Ok(Handle { name, stop, thread })
}

/// A panic is a mistake in a processor. It costs that processor a pause and the batch another try, and nobody else anything.
fn run_again_after_panics(job: &Arc<Job>, shared: &Shared, stop: &Arc<Stop>) {
    loop {
        let runner = Runner::new(Arc::clone(job), shared.clone(), Arc::clone(stop));
        if catch_unwind(AssertUnwindSafe(|| runner.run())).is_ok() {
            return;
        }
        let text = "it ended with a panic and is started again; this is a mistake in its code";
        say(&format!("distlogd: processor `{}`: {text}", job.name));
        shared.health.report(&format!("processor {}", job.name), text.to_owned());
        if stop.is_draining() {
            return;
        }
        stop.pause(AFTER_PANIC);
    }
}

struct Runner {
    job: Arc<Job>,
    shared: Shared,
    stop: Arc<Stop>,
    stats: Arc<ProcessorStats>,
    processor: Box<dyn Processor>,
    trouble: Trouble,
    saved: Option<(u64, Instant)>,
}

/// What is known of a processor that fails.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    tries: u32,
    said: Option<Instant>,
    /// The last batch was given up: the next ones get one try.
    gave_up: bool,
}

impl Runner {
    fn new(job: Arc<Job>, shared: Shared, stop: Arc<Stop>) -> Self {
        let stats = shared.stats.processor(&job.name);
        let running = Running { stop: Arc::clone(&stop), stats: Arc::clone(&stats) };
        let processor = job.settings.build(running);
        Self { job, shared, stop, stats, processor, trouble: Trouble::default(), saved: None }
    }

    fn run(mut self) {
        let mut follower = self.follower();
        self.start();
        while !self.stop.is_leaving() {
            match follower.next(BATCH, LOOK_EVERY) {
                Ok(entries) if entries.is_empty() => {
                    self.save(follower.position(), false);
                    if self.stop.is_draining() {
                        break;
                    }
                }
                Ok(entries) => {
                    self.tell_skipped(&mut follower);
                    let next = self.deliver(entries, follower.position());
                    self.save(next, false);
                }
                Err(error) => {
                    self.fail(&format!("cannot read the store: {error}"));
                    if self.stop.is_draining() {
                        break;
                    }
                }
            }
        }
        if let Err(Failure::Retry { reason, .. } | Failure::Reject { reason, .. }) =
            self.processor.flush(Instant::now() + FLUSH)
        {
            say(&format!("distlogd: processor `{}` could not finish: {reason}", self.job.name));
        }
        self.save(self.stats.position.get(), true);
    }

    /// From the saved cursor on; a new one begins at the first record kept.
    fn follower(&mut self) -> Follower {
        let from = loop {
            match self.shared.cursors.load(&self.job.name) {
                Ok(saved) => break saved.unwrap_or_else(|| self.shared.reader.bounds().start),
                Err(error) => self.fail(&format!("cannot load its cursor: {error}")),
            }
            if self.stop.is_due() {
                break self.shared.reader.bounds().end;
            }
        };
        self.stats.position.set(from);
        self.shared.reader.follow(from)
    }

    fn start(&mut self) {
        while !self.stop.is_draining() {
            match self.processor.start() {
                Ok(()) => return self.succeed(),
                Err(Failure::Retry { reason, .. } | Failure::Reject { reason, .. }) => self.fail(&reason),
            }
        }
    }

    /// Sends a batch on; gives the offset to be read next, which is short of `end` only when stopped.
    fn deliver(&mut self, entries: Vec<Entry>, end: u64) -> u64 {
        let read = entries.len() as u64;
        let mut wanted = entries;
        wanted.retain(|entry| self.wants(entry));
        let mut filtered = read - wanted.len() as u64;
        let mut rest = wanted.as_slice();
        while !rest.is_empty() {
            let (done, failed) = self.try_once(rest);
            self.count(done as u64, failed as u64, std::mem::take(&mut filtered));
            rest = rest.get(done + failed..).unwrap_or_default();
            if let Some(next) = rest.first() {
                self.stats.position.set(next.offset);
                if self.stop.is_due() || (self.trouble.tries > 0 && self.stop.is_draining()) {
                    return next.offset;
                }
            }
        }
        self.count(0, 0, filtered);
        self.stats.position.set(end);
        end
    }

    /// Lets the processor take a batch; says how many from its beginning were taken over, and how many after them failed.
    fn try_once(&mut self, batch: &[Entry]) -> (usize, usize) {
        match self.processor.process(batch) {
            Ok(()) => {
                self.succeed();
                (batch.len(), 0)
            }
            Err(Failure::Reject { done, reason }) => {
                let done = done.min(batch.len());
                let offset = batch.get(done).map_or(0, |entry| entry.offset);
                say(&format!("distlogd: processor `{}` refused record {offset}: {reason}", self.job.name));
                self.succeed();
                (done, usize::from(done < batch.len()))
            }
            Err(Failure::Retry { done, reason }) => {
                let done = done.min(batch.len());
                if done > 0 {
                    self.trouble.tries = 0;
                    self.trouble.since = None;
                }
                let failed = if self.gives_up() { batch.len() - done } else { 0 };
                if failed > 0 {
                    self.give_up(failed, &reason);
                } else {
                    self.fail(&reason);
                }
                (done, failed)
            }
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        self.shared.rules.sends(self.job.place, &*entry.record) && self.job.when.matches(&*entry.record)
    }

    fn count(&self, handled: u64, failed: u64, filtered: u64) {
        self.stats.handled.add(handled);
        self.stats.failed.add(failed);
        self.stats.filtered.add(filtered);
        self.stats.read.add(handled + failed + filtered);
    }

    fn gives_up(&self) -> bool {
        let tried = self.trouble.since.map(|since| since.elapsed());
        let over = |limit: Duration| self.trouble.gave_up || tried.is_some_and(|tried| tried >= limit);
        self.job.give_up.is_some_and(over)
    }

    fn give_up(&mut self, failed: usize, reason: &str) {
        if !self.trouble.gave_up || self.trouble.said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
            say(&format!("distlogd: processor `{}` gives up {failed} records: {reason}", self.job.name));
            self.trouble.said = Some(Instant::now());
        }
        self.trouble.gave_up = true;
        self.trouble.since = None;
        self.trouble.tries = 0;
    }

    /// Notes a failure and pauses.
    fn fail(&mut self, reason: &str) {
        if self.stop.is_draining() {
            self.trouble.tries += 1;
            return;
        }
        let trouble = &mut self.trouble;
        trouble.since.get_or_insert_with(Instant::now);
        if trouble.said.is_none_or(|said| said.elapsed() > SAY_EVERY) {
            say(&format!("distlogd: processor `{}` fails, and tries again: {reason}", self.job.name));
            trouble.said = Some(Instant::now());
        }
        self.shared.health.report(&format!("processor {}", self.job.name), reason.to_owned());
        self.stats.retries.add(1);
        let pause = LAST_PAUSE.min(FIRST_PAUSE * 2_u32.saturating_pow(trouble.tries.min(16)));
        trouble.tries += 1;
        self.stop.pause(pause);
    }

    fn succeed(&mut self) {
        if self.trouble.said.take().is_some() {
            say(&format!("distlogd: processor `{}` works again", self.job.name));
            self.shared.health.well(&format!("processor {}", self.job.name));
        }
        self.trouble = Trouble::default();
    }

    fn tell_skipped(&self, follower: &mut Follower) {
        if let Some(gone) = follower.skipped() {
            let count = gone.end.saturating_sub(gone.start);
            self.stats.expired.add(count);
            let name = &self.job.name;
            say(&format!(
                "distlogd: processor `{name}` missed {count} records: retention removed them before it read them"
            ));
        }
    }

    fn save(&mut self, next: u64, at_once: bool) {
        let due =
            self.saved.is_none_or(|(saved, when)| saved != next && (at_once || when.elapsed() >= SAVE_EVERY));
        if due {
            match self.shared.cursors.save(&self.job.name, next) {
                Ok(()) => self.saved = Some((next, Instant::now())),
                // The records since the last saved cursor come again after a crash; nothing else changes.
                Err(error) => self.fail(&format!("cannot save its cursor: {error}")),
            }
        }
    }
}
