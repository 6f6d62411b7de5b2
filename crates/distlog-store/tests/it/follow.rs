//! History and live are one: no follower misses an offset or sees one twice, whatever happens to the files beneath.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use distlog_store::{Options, Reader, Store};

use crate::scratch::{Scratch, record, records};

const SECOND: i64 = 1_000_000_000;
const RECORDS: u64 = 40_000;

/// Follows from `from` to the end; gives what was seen and what was said to be skipped.
fn follow(reader: &Reader, from: u64, stop: &AtomicBool) -> (u64, u64) {
    let (mut seen, mut skipped, mut expected) = (0, 0, from);
    let mut follower = reader.follow(from);
    while expected < RECORDS {
        let batch = follower.next(700, Duration::from_millis(20)).unwrap();
        if let Some(gap) = follower.skipped() {
            assert_eq!(gap.start, expected);
            skipped += gap.end - gap.start;
            expected = gap.end;
        }
        for entry in &batch {
            assert_eq!(entry.offset, expected);
            assert_eq!(*entry.record, record(entry.offset));
            expected += 1;
            seen += 1;
        }
        assert_eq!(follower.position(), expected);
        assert!(
            !(batch.is_empty() && stop.load(Ordering::Relaxed) && reader.bounds().end > expected),
            "stuck at {expected}"
        );
    }
    (seen, skipped)
}

/// Appends and maintains until all is in; `slow` waits for the followers.
fn write(store: &mut Store) {
    let (mut next, mut now, mut size) = (0, SECOND, 1);
    while next < RECORDS {
        let end = (next + size).min(RECORDS);
        store.append(now, records(next..end), &[]).unwrap();
        next = end;
        size = size * 7 % 1999 + 1;
        now += SECOND;
        store.maintain(now).unwrap();
    }
    while store.maintain(now).unwrap().more {}
}

fn options() -> Options {
    Options { segment_age: Duration::from_secs(6), recent_bytes: 300_000, ..Options::default() }
}

#[test]
fn each_offset_once_while_blocks_merge_and_segments_roll() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), options()).unwrap();
    let stop = AtomicBool::new(false);
    let live = store.reader();
    let outside = Reader::open(scratch.path()).unwrap();
    std::thread::scope(|scope| {
        let followers: Vec<_> = [(&live, 0), (&live, 5_000), (&outside, 0)]
            .into_iter()
            .map(|(reader, from)| {
                (
                    from,
                    scope.spawn({
                        let stop = &stop;
                        move || follow(reader, from, stop)
                    }),
                )
            })
            .collect();
        write(&mut store);
        stop.store(true, Ordering::Relaxed);
        for (from, follower) in followers {
            assert_eq!(follower.join().unwrap(), (RECORDS - from, 0));
        }
    });
    assert!(scratch.segments().len() > 3);
}

#[test]
fn retention_makes_a_follower_jump_and_say_so() {
    let scratch = Scratch::new();
    let options = Options { keep_age: Some(Duration::from_secs(15)), ..options() };
    let mut store = Store::open(scratch.path(), options).unwrap();
    let stop = AtomicBool::new(false);
    let live = store.reader();
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&live, 0, &stop));
        write(&mut store);
        let late = follow(&live, 0, &stop);
        assert_eq!(late.1, live.bounds().start);
        assert!(late.1 > 0);
        assert_eq!(late.0 + late.1, RECORDS);
        let (seen, skipped) = follower.join().unwrap();
        assert_eq!(seen + skipped, RECORDS);
    });
}

#[test]
fn a_commit_wakes_who_waits() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    let reader = store.reader();
    let called = Arc::new(AtomicU64::new(0));
    let told = Arc::clone(&called);
    reader.on_commit(Box::new(move |next| told.store(next, Ordering::Relaxed)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let started = Instant::now();
            let batch = reader.follow(0).next(10, Duration::from_secs(20)).unwrap();
            (batch.len(), started.elapsed())
        });
        std::thread::sleep(Duration::from_millis(50));
        store.append(SECOND, records(0..3), &[]).unwrap();
        let (count, waited) = waiting.join().unwrap();
        assert_eq!(count, 3);
        assert!(waited < Duration::from_secs(10));
    });
    assert_eq!(called.load(Ordering::Relaxed), 3);
    let started = Instant::now();
    assert!(reader.follow(3).next(10, Duration::from_millis(30)).unwrap().is_empty());
    assert!(started.elapsed() >= Duration::from_millis(30));
}
