//! Any text as a filter: it is refused with a place inside the text, or it can be asked about a record.

#![no_main]

use distlog::filter::Filter;
use distlog::{Record, json};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static RECORD: LazyLock<Record> = LazyLock::new(|| {
    json::record(include_str!("../../testdata/json/record.json").trim_end())
        .expect("the stored record is one")
});

fuzz_target!(|text: &str| {
    match Filter::parse_at(text, 1_700_000_000_000_000_000) {
        Ok(filter) => {
            let _ = (filter.matches(&*RECORD), filter.needles(), filter.min_level(), filter.goal_root());
            let _ = filter.explain();
            assert_eq!(filter.text(), text);
        }
        Err(error) => {
            assert!(error.at.start <= error.at.end && error.at.end <= text.len(), "the place is in the text")
        }
    }
});
