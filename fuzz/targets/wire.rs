//! Any frames as a message: one record, and it reads again.
//!
//! The input is a row of frames, each with its length in front (2 bytes, little endian; the last one may be shorter).

#![no_main]

use distlog::{Fields, json, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let frames = frames(input);
    let decoded = wire::decode(&frames, 1_700_000_000_000_000_000);
    let record = decoded.record;
    assert_eq!(json::record(record.as_json()).as_ref(), Ok(&record), "the record reads again");
    assert_eq!(record.get("_rejected").is_some(), decoded.rejected.is_some(), "only the daemon rejects");
    assert_eq!(record.fields().count(), record.len());
    let _ = (record.created(), record.level(), record.message(), record.key());
    for (name, value) in record.fields() {
        assert!(record.get(&json::unquoted(&format!("\"{name}\"")).expect("a name is text")).is_some());
        value.members().for_each(|(name, member)| {
            let _ = (value.walk(name), member.into_str(), member.as_f64(), member.seconds_to_ns());
        });
    }
});

fn frames(mut input: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk::<2>() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
        frames.push(frame);
        input = rest;
    }
    frames
}
