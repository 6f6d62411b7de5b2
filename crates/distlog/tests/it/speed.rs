//! What reading a record costs. Prints figures and judges nothing: `cargo test -p distlog --release speed -- --ignored --nocapture`.

use std::hint::black_box;
use std::time::Instant;

use distlog::{Fields, Record, json, pickle, wire};

/// A record as the Python client sends it, about 700 bytes.
pub(crate) const RECORD: &str = include_str!("../../../../testdata/json/record.json");

/// The best of many short rounds: what other programs do to this machine makes the others longer.
fn nanoseconds<T>(mut work: impl FnMut() -> T) -> f64 {
    const ROUND: u32 = 200;
    let round = |_| {
        let start = Instant::now();
        (0..ROUND).for_each(|_| drop(black_box(work())));
        start.elapsed().as_nanos() as f64 / f64::from(ROUND)
    };
    (0..2000).map(round).fold(f64::INFINITY, f64::min)
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
    println!(
        "utf-8 alone       {:6.0} ns",
        nanoseconds(|| std::str::from_utf8(black_box(compact.as_bytes())).is_ok())
    );
    println!("wire              {:6.0} ns", nanoseconds(|| wire::decode(black_box(&frames), 0)));
    println!("wire, system T    {:6.0} ns", nanoseconds(|| wire::decode(black_box(&test_frames), 0)));
    for (name, body) in [0, 4].map(|at| crate::pickle::pickles(crate::pickle::PROTOCOLS[at])[0]) {
        let limits = pickle::Limits::default();
        println!(
            "pickle, {} bytes   {:6.0} ns ({name})",
            body.len(),
            nanoseconds(|| pickle::decode(black_box(body), &limits))
        );
    }
    println!("created           {:6.0} ns", nanoseconds(|| black_box(&record).created()));
    println!("key               {:6.0} ns", nanoseconds(|| black_box(&record).key()));
}
