//! What the runner promises, with processors that fail on purpose and a real store.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use distlog::Record;
use distlog::filter::Filter;
use distlog_store::{Entry, Options, Store};
use distlogd::config;
use distlogd::health::Health;
use distlogd::processors::{Failure, Processor, Running, Settings};
use distlogd::rules::{Rule, Rules};
use distlogd::runner::{Handle, Job, Shared, spawn};
use distlogd::stats::Stats;

use crate::conformance::wait_until;

/// A store, and what runners need around it.
pub(crate) struct Bed {
    store: Store,
    pub(crate) stats: Arc<Stats>,
}

impl Bed {
    pub(crate) fn new(folder: &Path) -> Self {
        let store = Store::open(&folder.join("data"), Options::default()).unwrap();
        Self { store, stats: Arc::new(Stats::default()) }
    }

    /// Appends records `m<number>`; gives the offset after them.
    pub(crate) fn append(&mut self, numbers: std::ops::Range<usize>) -> u64 {
        let record = |number| {
            let level = if number % 2 == 0 { 20 } else { 40 };
            Record::from_json(&format!(r#"{{"name":"app","levelno":{level},"message":"m{number}"}}"#))
                .unwrap()
        };
        let end = self.store.append(1, numbers.map(record).collect(), &[]).unwrap().end;
        self.stats.next_offset.set(end);
        end
    }

    fn start(
        &self,
        settings: Box<dyn Settings>,
        name: &str,
        when: &str,
        give_up: Option<Duration>,
    ) -> Handle {
        let rule = Rule {
            name: "all".to_owned(),
            when: Filter::everything(),
            to: vec![0],
            drop: false,
            stop: false,
        };
        let shared = Shared {
            reader: self.store.reader(),
            cursors: self.store.cursors(),
            rules: Arc::new(Rules::new(vec![rule])),
            stats: Arc::clone(&self.stats),
            health: Arc::new(Health::default()),
        };
        let when = Filter::parse(when).unwrap();
        spawn(Job { name: name.to_owned(), place: 0, when, give_up, settings }, shared).unwrap()
    }

    /// Runs a processor until it has read up to that offset, and stops it.
    pub(crate) fn run_until(&self, processor: config::Processor, end: u64) {
        let handle = self.start(processor.settings, &processor.name, "", None);
        let stats = self.stats.processor(&processor.name);
        wait_until("everything read", || stats.position.get() >= end);
        stop(handle);
    }
}

fn stop(handle: Handle) {
    let deadline = Instant::now() + Duration::from_secs(5);
    handle.stop().drain(deadline);
    handle.join(deadline + Duration::from_secs(5));
}

/// What a call of `process` answers: given the call's number and the offsets, how it ends.
type Script = Arc<dyn Fn(usize, &[u64]) -> Result<(), Failure> + Send + Sync>;

/// A processor that does what a script says, and remembers.
#[derive(Clone)]
struct Scripted {
    script: Script,
    calls: Arc<Mutex<Vec<Vec<u64>>>>,
    flushes: Arc<Mutex<usize>>,
}

impl Scripted {
    fn new(script: impl Fn(usize, &[u64]) -> Result<(), Failure> + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), calls: Arc::default(), flushes: Arc::default() }
    }

    fn calls(&self) -> Vec<Vec<u64>> {
        self.calls.lock().unwrap().clone()
    }
}

impl Settings for Scripted {
    fn guarantee(&self) -> String {
        String::new()
    }

    fn build(&self, _running: Running) -> Box<dyn Processor> {
        Box::new(self.clone())
    }
}

impl Processor for Scripted {
    fn process(&mut self, batch: &[Entry]) -> Result<(), Failure> {
        let offsets: Vec<u64> = batch.iter().map(|entry| entry.offset).collect();
        let call = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(offsets.clone());
            calls.len()
        };
        (self.script)(call, &offsets)
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), Failure> {
        *self.flushes.lock().unwrap() += 1;
        Ok(())
    }
}

#[test]
fn the_same_batch_comes_again_less_what_was_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    let end = bed.append(0..5);
    let processor = Scripted::new(|call, _| match call {
        1 => Err(Failure::retry("not yet")),
        2 => Err(Failure::Retry { done: 2, reason: "half".to_owned() }),
        3 => Err(Failure::Reject { done: 1, reason: "not this one".to_owned() }),
        _ => Ok(()),
    });
    let handle = bed.start(Box::new(processor.clone()), "it", "", None);
    let stats = bed.stats.processor("it");
    wait_until("all read", || stats.position.get() == end);
    stop(handle);
    assert_eq!(processor.calls(), [vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4], vec![2, 3, 4], vec![4]]);
    assert_eq!(
        (stats.read.get(), stats.handled.get(), stats.failed.get(), stats.filtered.get()),
        (5, 4, 1, 0)
    );
    assert_eq!(stats.retries.get(), 2);
    assert_eq!(*processor.flushes.lock().unwrap(), 1);
    assert_eq!(bed.store.cursors().load("it").unwrap(), Some(5));
}

#[test]
fn what_is_not_meant_for_it_is_counted_and_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    let end = bed.append(0..6);
    let processor = Scripted::new(|_, _| Ok(()));
    let handle = bed.start(Box::new(processor.clone()), "it", "level>=error", None);
    let stats = bed.stats.processor("it");
    wait_until("all read", || stats.position.get() == end);
    stop(handle);
    assert_eq!(processor.calls().concat(), [1, 3, 5]);
    assert_eq!((stats.read.get(), stats.handled.get(), stats.filtered.get()), (6, 3, 3));
}

#[test]
fn giving_up_counts_and_moves_on_and_success_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    bed.append(0..1);
    let works = Arc::new(Mutex::new(false));
    let asked = Arc::clone(&works);
    let processor =
        Scripted::new(move |_, _| if *asked.lock().unwrap() { Ok(()) } else { Err(Failure::retry("down")) });
    let handle = bed.start(Box::new(processor.clone()), "it", "", Some(Duration::from_millis(250)));
    let stats = bed.stats.processor("it");
    wait_until("the first is given up", || stats.failed.get() == 1);
    let tries = processor.calls().len();
    assert!(tries >= 3, "tried {tries} times");
    bed.append(1..2);
    wait_until("the second is given up", || stats.failed.get() == 2);
    assert_eq!(processor.calls().len(), tries + 1, "after giving up, one try each");
    *works.lock().unwrap() = true;
    bed.append(2..3);
    wait_until("the third is handled", || stats.handled.get() == 1);
    stop(handle);
    assert_eq!(stats.read.get(), 3);
}

#[test]
fn a_stopped_runner_leaves_its_cursor_before_what_was_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    bed.append(0..5);
    let processor = Scripted::new(|call, _| match call {
        1 => Err(Failure::Retry { done: 2, reason: "half".to_owned() }),
        _ => Err(Failure::retry("down")),
    });
    let handle = bed.start(Box::new(processor.clone()), "it", "", None);
    wait_until("it fails", || processor.calls().len() >= 2);
    let begun = Instant::now();
    stop(handle);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "a failing processor holds up the stop: {:?}",
        begun.elapsed()
    );
    assert_eq!(bed.store.cursors().load("it").unwrap(), Some(2));
    assert_eq!(*processor.flushes.lock().unwrap(), 1);
}

#[test]
fn a_dead_processor_changes_nothing_for_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    let dead = Scripted::new(|_, _| Err(Failure::retry("dead")));
    let alive = Scripted::new(|_, _| Ok(()));
    let handles =
        [bed.start(Box::new(dead), "dead", "", None), bed.start(Box::new(alive.clone()), "alive", "", None)];
    let end = bed.append(0..2_000);
    let (dead, stats) = (bed.stats.processor("dead"), bed.stats.processor("alive"));
    wait_until("the living one has all", || stats.position.get() == end);
    assert_eq!(alive.calls().concat(), (0..2_000).collect::<Vec<u64>>());
    assert_eq!((bed.stats.lag(&dead), bed.stats.lag(&stats)), (2_000, 0));
    handles.into_iter().for_each(stop);
}

#[test]
fn a_panic_costs_the_processor_a_pause_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path());
    let end = bed.append(0..3);
    let panics = Arc::new(Mutex::new(1));
    let left = Arc::clone(&panics);
    let processor = Scripted::new(move |_, _| {
        let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if *left > 0 {
            *left -= 1;
            drop(left);
            panic!("on purpose");
        }
        Ok(())
    });
    let handle = bed.start(Box::new(processor), "it", "", None);
    let stats = bed.stats.processor("it");
    wait_until("all read", || stats.position.get() == end);
    stop(handle);
    assert_eq!((stats.read.get(), stats.handled.get()), (3, 3));
}

#[test]
fn records_that_retention_removed_are_counted_as_missed() {
    let folder = tempfile::tempdir().unwrap();
    let small = Options { keep_bytes: Some(512 << 10), segment_bytes: 64 << 10, ..Options::default() };
    let mut bed =
        Bed { store: Store::open(&folder.path().join("data"), small).unwrap(), stats: Arc::default() };
    bed.store.cursors().save("it", 0).unwrap();
    let mut random = 1_u64;
    let mut end = 0;
    for _ in 0..200 {
        let mut record = || {
            let noise: String = (0..100)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    format!("{:x}", random >> 33)
                })
                .collect();
            Record::from_json(&format!(r#"{{"name":"app","message":"{noise}"}}"#)).unwrap()
        };
        let records = (0..20).map(|_| record()).collect();
        end = bed.store.append(1, records, &[]).unwrap().end;
        bed.store.maintain(1).unwrap();
    }
    let first = bed.store.reader().bounds().start;
    assert!(first > 0, "retention removed nothing");
    let processor = Scripted::new(|_, _| Ok(()));
    let handle = bed.start(Box::new(processor.clone()), "it", "", None);
    let stats = bed.stats.processor("it");
    wait_until("all read", || stats.position.get() == end);
    stop(handle);
    assert_eq!(stats.expired.get(), first);
    assert_eq!(processor.calls().concat(), (first..end).collect::<Vec<u64>>());
}
