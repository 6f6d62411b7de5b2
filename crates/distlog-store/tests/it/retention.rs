//! What is kept and what goes: by age, by size, and never past the floor.

use std::time::Duration;

use distlog_store::{Mark, Options, Store};

use crate::scratch::{Scratch, records};

const SECOND: i64 = 1_000_000_000;

/// Ten segments of 100 records, one a minute.
fn fill(scratch: &Scratch, options: Options) -> Store {
    let mut store =
        Store::open(scratch.path(), Options { segment_age: Duration::from_secs(60), ..options }).unwrap();
    for minute in 0..10_u64 {
        let now = minute as i64 * 60 * SECOND;
        store.maintain(now).unwrap();
        store.append(now, records(minute * 100..minute * 100 + 100), &[]).unwrap();
    }
    store
}

#[test]
fn by_age_in_whole_segments() {
    let scratch = Scratch::new();
    let mut store =
        fill(&scratch, Options { keep_age: Some(Duration::from_secs(200)), ..Options::default() });
    // At 9:59 those received before 6:39 go; the clock set back an hour removes nothing.
    store.maintain(599 * SECOND - 3600 * SECOND).unwrap();
    let before = scratch.segments().len();
    let done = store.maintain(599 * SECOND).unwrap();
    // The last one is the active one, closed with the rest after an eighth of the age.
    assert_eq!(scratch.segments(), [700, 800, 900, 1000]);
    assert_eq!(done.removed, before - 3);
    assert_eq!(done.removed_records as usize, done.removed * 100);
    assert_eq!(store.reader().bounds(), 700..1000);
    assert_eq!(store.reader().read(0, 1).unwrap()[0].offset, 700);
    drop(store);
    let store = Store::open(scratch.path(), Options::default()).unwrap();
    assert_eq!(store.reader().bounds(), 700..1000);
}

#[test]
fn by_size_but_never_the_active_segment() {
    let scratch = Scratch::new();
    let mut store = fill(&scratch, Options { keep_bytes: Some(1), ..Options::default() });
    assert!(scratch.segments().len() <= 2);
    store.maintain(550 * SECOND).unwrap();
    assert_eq!(scratch.segments(), [900]);
    let files = std::fs::read_dir(scratch.path()).unwrap().count();
    assert!(files <= 8, "{files} files: what belonged to the removed went with them");
}

/// However fast records come between two rounds of maintenance, the newest stay.
#[test]
fn a_burst_does_not_empty_a_small_store() {
    let scratch = Scratch::new();
    let mut store =
        Store::open(scratch.path(), Options { keep_bytes: Some(2 << 20), ..Options::default() }).unwrap();
    for batch in 0..100 {
        store.append(SECOND, records(batch * 1000..batch * 1000 + 1000), &[]).unwrap();
    }
    while store.maintain(SECOND).unwrap().more {}
    let stats = store.reader().stats().unwrap();
    assert_eq!(stats.next_offset, 100_000);
    assert!(stats.first_offset > 0, "nothing had to go: make the burst larger");
    assert!(stats.records >= 10_000, "{stats:?}");
    assert!(stats.bytes_on_disk <= 2 << 20, "{stats:?}");
}

/// Records are not kept for a day more because a day's segment is not full.
#[test]
fn a_short_age_is_kept() {
    let scratch = Scratch::new();
    let keep_age = Some(Duration::from_secs(60));
    let mut store = Store::open(scratch.path(), Options { keep_age, ..Options::default() }).unwrap();
    store.append(0, records(0..100), &[]).unwrap();
    for second in [10, 30] {
        store.maintain(second * SECOND).unwrap();
        assert_eq!(store.reader().bounds(), 0..100);
    }
    store.append(31 * SECOND, records(100..200), &[]).unwrap();
    store.maintain(75 * SECOND).unwrap();
    assert_eq!(store.reader().bounds(), 100..200);
    store.maintain(120 * SECOND).unwrap();
    assert_eq!(store.reader().bounds(), 200..200);
}

#[test]
fn not_past_the_floor() {
    let scratch = Scratch::new();
    let mut store = fill(&scratch, Options::default());
    drop(store);
    let options = Options { keep_bytes: Some(1), segment_age: Duration::from_secs(60), ..Options::default() };
    store = Store::open(scratch.path(), options).unwrap();
    store.set_floor(Some(450));
    store.maintain(545 * SECOND).unwrap();
    assert_eq!(scratch.segments(), [400, 500, 600, 700, 800, 900]);
    store.set_floor(Some(500));
    store.maintain(545 * SECOND).unwrap();
    assert_eq!(scratch.segments()[0], 500);
    store.set_floor(None);
    store.maintain(545 * SECOND).unwrap();
    assert_eq!(scratch.segments(), [900]);
}

#[test]
fn marks_outlive_the_segment_they_were_made_in() {
    let scratch = Scratch::new();
    let mark = Mark { producer: [3; 16], epoch: 9, next_sequence: 77 };
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    store.append(0, records(0..1), &[mark]).unwrap();
    drop(store);
    let mut store = fill_on(&scratch);
    assert_eq!(store.mark(&[3; 16]), Some(mark));
    store.append(0, Vec::new(), &[Mark { next_sequence: 78, ..mark }]).unwrap();
    drop(store);
    let store = Store::open(scratch.path(), Options::default()).unwrap();
    assert_eq!(store.mark(&[3; 16]).map(|mark| mark.next_sequence), Some(78));
    assert_eq!(store.mark(&[4; 16]), None);
}

fn fill_on(scratch: &Scratch) -> Store {
    let options = Options { keep_bytes: Some(1), segment_age: Duration::from_secs(60), ..Options::default() };
    let mut store = Store::open(scratch.path(), options).unwrap();
    for minute in 1..4 {
        store.maintain(minute * 61 * SECOND).unwrap();
        store.append(minute * 61 * SECOND, records(0..10), &[]).unwrap();
    }
    assert_eq!(scratch.segments().len(), 1);
    store
}

#[test]
fn merging_makes_fewer_blocks_and_a_smaller_file() {
    let scratch = Scratch::new();
    let mut store =
        Store::open(scratch.path(), Options { segment_age: Duration::from_secs(60), ..Options::default() })
            .unwrap();
    for batch in 0..40 {
        store.append(SECOND, records(batch * 512..(batch + 1) * 512), &[]).unwrap();
    }
    let before = store.reader().stats().unwrap();
    assert_eq!(before.blocks, 20);
    let mut rolled = false;
    loop {
        let done = store.maintain(3600 * SECOND).unwrap();
        rolled |= done.rolled;
        if !done.more {
            break;
        }
    }
    assert!(rolled);
    let after = store.reader().stats().unwrap();
    assert_eq!((after.blocks, after.records), (5, before.records));
    drop(store);
    let size = |first| std::fs::metadata(scratch.segment(first)).unwrap().len();
    assert!(size(0) < before.bytes_on_disk, "{} → {}", before.bytes_on_disk, size(0));
}
