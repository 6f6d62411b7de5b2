//! Damage costs what it hits, is counted, and stops nothing. Newer files and second writers are refused by name.

use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use distlog_store::{Error, Options, Order, Query, Reader, Store};

use crate::scratch::{Scratch, record, records};

const SECOND: i64 = 1_000_000_000;
const CHILD: &str = "DISTLOG_STORE_LOCK_DIRECTORY";

fn everything() -> Query {
    Query::new(distlog::filter::Filter::everything())
}

/// Three blocks and a journal.
fn fill(scratch: &Scratch) {
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    for block in 0..3_u64 {
        store.append(SECOND, records(block * 1024..(block + 1) * 1024), &[]).unwrap();
    }
    store.append(SECOND, records(3072..3100), &[]).unwrap();
}

/// Changes the bytes of a part or journal row where they stand in the file.
fn spoil(scratch: &Scratch, select: &str) {
    let path = scratch.segment(0);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let bytes: Vec<u8> = connection.query_row(select, [], |row| row.get(0)).unwrap();
    drop(connection);
    let file = std::fs::read(&path).unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    // SQLite leaves old copies behind when it divides a page: all of them are spoilt.
    let start = &bytes[..bytes.len().min(64)];
    for place in memchr::memmem::find_iter(&file, start) {
        handle.write_at(&[start[20] ^ 0xff, start[21] ^ 0xff], place as u64 + 20).unwrap();
    }
}

fn check_lost(scratch: &Scratch, lost: std::ops::Range<u64>) {
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    let next = store.append(SECOND, records(3100..3101), &[]).unwrap();
    assert_eq!(next, 3100..3101);
    let reader = store.reader();
    let left: Vec<u64> = (0..3101).filter(|offset| !lost.contains(offset)).collect();
    let offsets =
        |found: Vec<distlog_store::Entry>| found.into_iter().map(|entry| entry.offset).collect::<Vec<_>>();
    assert!(offsets(reader.read(0, 5000).unwrap()) == left);
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let query = Query {
            order,
            since: Some(1),
            filter: distlog::filter::Filter::parse("record").unwrap(),
            ..everything()
        };
        let mut found = offsets(reader.search(&query).unwrap().collect::<Result<_, _>>().unwrap());
        found.sort_unstable();
        assert!(found == left);
    }
    let mut follower = reader.follow(0);
    let mut followed = Vec::new();
    let mut skipped = 0;
    while follower.position() < 3101 {
        followed.extend(offsets(follower.next(100, Duration::from_secs(1)).unwrap()));
        skipped += follower.skipped().map_or(0, |gap| gap.end - gap.start);
    }
    assert!(followed == left);
    assert_eq!(skipped, lost.end - lost.start);
    assert_eq!(reader.stats().unwrap().damaged, 1);
}

#[test]
fn a_spoilt_part_costs_its_block() {
    let scratch = Scratch::new();
    fill(&scratch);
    spoil(&scratch, "SELECT bytes FROM part WHERE id = 1024 * 16 + 5");
    check_lost(&scratch, 1024..2048);
}

#[test]
fn a_spoilt_directory_costs_its_block() {
    let scratch = Scratch::new();
    fill(&scratch);
    spoil(&scratch, "SELECT bytes FROM part WHERE id = 0");
    check_lost(&scratch, 0..1024);
}

#[test]
fn a_file_that_is_no_segment_is_set_aside() {
    let scratch = Scratch::new();
    fill(&scratch);
    std::fs::write(scratch.segment(0), [b'x'; 20_000]).unwrap();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    let done = store.maintain(SECOND).unwrap();
    assert_eq!(done.set_aside.len(), 1);
    assert!(done.set_aside[0].exists() && done.set_aside[0].to_str().unwrap().ends_with(".bad"));
    let range = store.append(SECOND, vec![record(0)], &[]).unwrap();
    assert!(range.start >= 3100, "no offset is given twice: {range:?}");
    assert_eq!(store.reader().read(0, 10).unwrap().len(), 1);
}

#[test]
fn a_segment_whose_creation_was_cut_short_is_forgotten() {
    let scratch = Scratch::new();
    fill(&scratch);
    std::fs::write(scratch.segment(3100), []).unwrap();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    assert_eq!(store.append(SECOND, vec![record(0)], &[]).unwrap(), 3100..3101);
    assert!(store.maintain(SECOND).unwrap().set_aside.is_empty());
}

#[test]
fn a_newer_format_is_refused_and_both_versions_named() {
    let scratch = Scratch::new();
    fill(&scratch);
    for name in ["state.db".into(), scratch.segment(0)] {
        let path = scratch.path().join(name);
        let set = |version: u32| {
            let connection = rusqlite::Connection::open(&path).unwrap();
            connection.execute_batch(&format!("PRAGMA user_version={version}")).unwrap();
        };
        set(9);
        let refused = Store::open(scratch.path(), Options::default()).err().unwrap();
        assert!(matches!(refused, Error::Newer { found: 9, known: 1, .. }), "{refused}");
        assert!(refused.to_string().contains("version 9") && refused.to_string().contains("version 1"));
        set(1);
    }
    assert_eq!(Store::open(scratch.path(), Options::default()).unwrap().reader().bounds(), 0..3100);
}

/// The child of the next test.
#[test]
fn child_that_opens_a_second_time() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let refused = Store::open(directory.as_ref(), Options::default()).err().unwrap();
    let Error::Locked { pid: Some(pid) } = refused else { panic!("{refused}") };
    assert_eq!(pid, std::os::unix::process::parent_id());
    assert_eq!(Reader::open(directory.as_ref()).unwrap().bounds(), 0..3100);
}

#[test]
fn a_second_writer_is_told_who_is_the_first() {
    let scratch = Scratch::new();
    fill(&scratch);
    let store = Store::open(scratch.path(), Options::default()).unwrap();
    let again = Store::open(scratch.path(), Options::default()).err().unwrap();
    assert!(matches!(again, Error::Locked { pid: Some(pid) } if pid == std::process::id()));
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "damage::child_that_opens_a_second_time"])
        .env(CHILD, scratch.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    drop(store);
    drop(Store::open(scratch.path(), Options::default()).unwrap());
}
