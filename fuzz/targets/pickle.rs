//! Any bytes as a pickle: a record or an error, never a panic, and never more than the limits allow.

#![no_main]

use distlog::{json, pickle};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Ok(record) = pickle::decode(body, &pickle::Limits::default()) {
        assert!(record.as_json().len() <= 100_000 + 16 * body.len(), "the output is bounded");
        assert_eq!(json::record(record.as_json()).as_ref(), Ok(&record), "the record reads again");
    }
});
