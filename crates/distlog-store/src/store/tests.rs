//! Faults that need a hand inside: a disk that is full for a while.

use super::*;
use crate::{Order, Query};

fn record(number: u64) -> Record {
    // Text that does not compress, so that the file grows.
    let noise: String =
        (0..40).map(|at| format!("{:x}", (number + at).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    Record::from_json(&format!("{{\"number\":{number},\"message\":\"{noise}\"}}")).unwrap()
}

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("distlog-store-unit-{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&path));
    path
}

#[test]
fn a_full_disk_loses_nothing_and_heals() {
    let directory = directory("full");
    let mut store =
        Store::open(&directory, Options { waiting_bytes: 2_000_000, ..Options::default() }).unwrap();
    store.append(1, (0..500).map(record).collect(), &[]).unwrap();
    let mark = Mark { producer: [1; 16], epoch: 0, next_sequence: 3500 };
    store.writing.as_ref().unwrap().limit_pages(1);
    let failed = store.append(2, (500..3500).map(record).collect(), &[mark]);
    assert!(matches!(failed, Err(Error::Database { .. })), "{failed:?}");
    assert_eq!(store.reader().bounds(), 0..500);
    assert_eq!((store.waiting(), store.mark(&[1; 16])), (3000, None));
    // The bound was the connection's; a new one finds the disk healed.
    let range = store.append(3, (3500..3600).map(record).collect(), &[]).unwrap();
    assert_eq!(range, 500..3600);
    assert_eq!((store.waiting(), store.mark(&[1; 16])), (0, Some(mark)));
    let query = Query { order: Order::OldestFirst, ..Query::new(distlog::filter::Filter::everything()) };
    let found: Vec<Entry> = store.reader().search(&query).unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 3600);
    assert!(found.iter().zip(0..).all(|(entry, number)| *entry.record == record(number)));
    drop(store);
    drop(std::fs::remove_dir_all(&directory));
}

#[test]
fn what_waits_is_bounded_and_said() {
    let directory = directory("waiting");
    let mut store = Store::open(&directory, Options { waiting_bytes: 1000, ..Options::default() }).unwrap();
    store.writing.as_ref().unwrap().limit_pages(1);
    assert!(store.append(1, (0..2000).map(record).collect(), &[]).is_err());
    let path = store.active.path.clone();
    let hidden = path.with_extension("hidden");
    std::fs::rename(&path, &hidden).unwrap();
    assert!(matches!(store.append(1, vec![record(9)], &[]), Err(Error::Waiting { refused: 1 })));
    assert!(store.append(1, Vec::new(), &[]).is_err());
    std::fs::rename(&hidden, &path).unwrap();
    assert_eq!(store.append(1, Vec::new(), &[]).unwrap(), 0..2000);
    drop(store);
    drop(std::fs::remove_dir_all(&directory));
}

#[test]
fn a_commit_that_failed_to_say_so_is_not_done_again() {
    let directory = directory("silent");
    let mut store = Store::open(&directory, Options::default()).unwrap();
    store.append(1, (0..10).map(record).collect(), &[]).unwrap();
    // As if the sync after the write had failed: the rows are there, the answer was an error.
    let entry = |number| Entry { offset: number, received: 2, record: Arc::new(record(number)) };
    let batch: Vec<Entry> = (10..30).map(entry).collect();
    let commit = Commit { blocks: &[], journal: &batch, marks: &[], received: 2 };
    store.writing.as_mut().unwrap().commit(&commit).unwrap();
    store.writing = None;
    store.waiting = batch;
    assert_eq!(store.append(3, vec![record(30)], &[]).unwrap(), 10..31);
    let entries = store.reader().read(0, 100).unwrap();
    assert_eq!(entries.len(), 31);
    assert!(entries.iter().zip(0..).all(|(entry, number)| *entry.record == record(number)));
    drop(store);
    drop(std::fs::remove_dir_all(&directory));
}
