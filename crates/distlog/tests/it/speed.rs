//! What reading a record costs. Prints figures and judges nothing: `cargo test -p distlog --release speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use distlog::{Fields, Record, json, wire};

/// A record as the Python client sends it, about 700 bytes.
pub(crate) const RECORD: &str = include_str!("../../../../testdata/json/record.json");

fn nanoseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    const ROUNDS: u32 = 20_000;
    let mut rounds: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| drop(black_box(work())));
            start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[0]
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let compact = RECORD.trim_end();
    let spaced = compact.replace("\":", "\": ").replace(",\"", ", \"");
    let chinese = compact.replace("request finished", "请求已经完成，一切都很正常，没有任何问题");
    let frames = [b"PLJ".as_slice(), compact.as_bytes()];
    let test_frames = [b"TLJ".as_slice(), compact.as_bytes()];
    let record = Record::from_json(compact).unwrap();
    println!("{} bytes, {} fields", compact.len(), record.len());
    println!("json              {:6.0} ns", nanoseconds(|| json::from_bytes(black_box(compact.as_bytes()))));
    println!("json, spaced      {:6.0} ns", nanoseconds(|| json::from_bytes(black_box(spaced.as_bytes()))));
    println!("json, not ASCII   {:6.0} ns", nanoseconds(|| json::from_bytes(black_box(chinese.as_bytes()))));
    println!("utf-8 alone       {:6.0} ns", nanoseconds(|| std::str::from_utf8(black_box(compact.as_bytes())).is_ok()));
    println!("wire              {:6.0} ns", nanoseconds(|| wire::decode(black_box(&frames), 0)));
    println!("wire, system T    {:6.0} ns", nanoseconds(|| wire::decode(black_box(&test_frames), 0)));
    println!("created           {:6.0} ns", nanoseconds(|| black_box(&record).created()));
    println!("key               {:6.0} ns", nanoseconds(|| black_box(&record).key()));
}
