//! Directories that go away, and records that look real.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use distlog::record::{Raw, Record, RecordBuilder};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A directory of its own for a test, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("distlog-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// First offsets of the segments in it.
    pub(crate) fn segments(&self) -> Vec<u64> {
        let names =
            std::fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut firsts: Vec<u64> =
            names.filter_map(|name| name.strip_prefix("seg-")?.strip_suffix(".db")?.parse().ok()).collect();
        firsts.sort_unstable();
        firsts
    }

    /// The file of a segment.
    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.0.join(format!("seg-{first:020}.db"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The root of the goal with that number.
pub(crate) fn root(number: u8) -> [u8; 16] {
    let mut root = [0x11; 16];
    root[0] = number;
    root
}

/// The record of that number: the same number gives the same record.
pub(crate) fn record(number: u64) -> Record {
    let mut builder = RecordBuilder::with_capacity(512);
    let level = [20, 20, 20, 10, 30, 40][(number % 6) as usize];
    builder
        .raw("created", Raw::trusted(&format!("{}.{}", 1_700_000_000 + number / 10, number % 10)))
        .int("levelno", level)
        .str("name", ["app.db", "app.web", "shop"][(number % 3) as usize])
        .str(
            "message",
            &format!("record {number} says {}", ["Hello", "goodbye", "nothing"][(number % 7 % 3) as usize]),
        )
        .int("number", number as i64);
    if !number.is_multiple_of(4) {
        let goal = distlog::GoalId::from_root(root((number % 5) as u8));
        builder.raw(
            "context",
            Raw::trusted(&format!("{{\"key\":\"{number}@{goal}/1\",\"job\":\"j{}\"}}", number % 3)),
        );
    }
    if level == 40 {
        builder.str("exc_text", &format!("Traceback\n  line {}", number % 50));
    }
    builder.finish()
}

/// Records of these numbers.
pub(crate) fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(record).collect()
}
