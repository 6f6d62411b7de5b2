//! `kill -9` in the middle of commits: what was acknowledged is there, nothing twice, nothing in between missing.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use distlog_store::{Mark, Options, Reader, Store};

use crate::scratch::{Scratch, record, records};

const ROUNDS: u64 = 10;
const CHILD: &str = "DISTLOG_STORE_CRASH_DIRECTORY";
const SECOND: i64 = 1_000_000_000;

fn options() -> Options {
    Options { segment_age: Duration::from_millis(200), ..Options::default() }
}

/// The child: appends for ever, and says after each commit how far it is. Does nothing in an ordinary run.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Some(directory) = std::env::var_os(CHILD) else { return };
    let mut store = Store::open(Path::new(&directory), options()).unwrap();
    let mut next = store.reader().bounds().end;
    let mut size = next % 13 + 1;
    let mut out = std::io::stdout();
    loop {
        let now = next as i64 * SECOND / 1000;
        let mark = Mark { producer: [7; 16], epoch: 1, next_sequence: next + size };
        next = store.append(now, records(next..next + size), &[mark]).unwrap().end;
        writeln!(out, "acked {next}").and_then(|()| out.flush()).unwrap();
        if size.is_multiple_of(5) {
            store.maintain(now).unwrap();
        }
        size = size * 7 % 611 + 1;
    }
}

#[test]
fn killed_while_committing() {
    let scratch = Scratch::new();
    let mut before = 0;
    for round in 0..ROUNDS {
        let acked = kill_child_after(&scratch, Duration::from_millis(60 + round * 37 % 200));
        let store = Store::open(scratch.path(), options()).unwrap();
        let bounds = store.reader().bounds();
        assert!(bounds.end >= acked.max(before), "{acked} were acknowledged, {} are there", bounds.end);
        let entries = Reader::open(scratch.path()).unwrap().read(0, usize::MAX).unwrap();
        assert_eq!(entries.len() as u64, bounds.end);
        for (offset, entry) in entries.iter().enumerate() {
            assert_eq!(entry.offset, offset as u64);
            assert_eq!(*entry.record, record(entry.offset));
        }
        let mark = store.mark(&[7; 16]).map_or(0, |mark| mark.next_sequence);
        assert_eq!(mark, bounds.end, "the mark belongs to the records' own commit");
        assert_eq!(store.reader().stats().unwrap().damaged, 0);
        before = bounds.end;
    }
    assert!(before > 1000, "the child came to commit");
}

/// Runs the child for so long after its first commit; gives the last offset it acknowledged.
fn kill_child_after(scratch: &Scratch, time: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_that_appends_until_it_is_killed", "--nocapture"])
        .env(CHILD, scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reader = BufReader::new(child.stdout.take().unwrap());
    let reading = std::thread::spawn(move || {
        let number = |line: String| line.split_once("acked ")?.1.parse().ok();
        reader.lines().map_while(Result::ok).filter_map(number).last().unwrap_or(0)
    });
    std::thread::sleep(time + Duration::from_millis(100));
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}
