//! A sender by itself, for tests beside other 0MQ libraries and for measuring.
//!
//! `push ENDPOINT [--count N] [--size BYTES] [--lines FILE] [--level L] [--pause MILLISECONDS] [--drop]
//! [--close SECONDS] [--notice TEXT]`
//!
//! Pushes N records: each `{"n":<number>,"…":"xxx"}` of SIZE bytes, or the lines of FILE in turn.
//! A full queue is waited for (each attempt counts as a drop), unless `--drop` leaves it to the sender's
//! policy. The notice is due after half a second without a daemon. Prints one JSON object: what became of
//! the records, seconds, nanoseconds a push took (two clock readings included), CPU seconds of the process.
#![expect(clippy::print_stdout, reason = "stdout is what it is for")]

use std::time::{Duration, Instant};

use distlog_transport::{Pushed, Sender, SenderOptions};

struct Arguments {
    endpoint: String,
    count: u64,
    size: usize,
    lines: Option<String>,
    level: i64,
    pause: u64,
    wait: bool,
    close: f64,
    notice: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let options = SenderOptions {
        endpoint: arguments.endpoint.clone(),
        notice: arguments.notice.clone(),
        notice_after: Duration::from_millis(500),
        ..SenderOptions::default()
    };
    let sender = Sender::new(options)?;
    let lines = match &arguments.lines {
        Some(path) => std::fs::read_to_string(path)?.lines().map(|line| line.as_bytes().to_vec()).collect(),
        None => Vec::new(),
    };
    let filler = "x".repeat(arguments.size);
    let start = Instant::now();
    let mut pushing = Duration::ZERO;
    for number in 0..arguments.count {
        let made;
        let body = match lines.get(number as usize % lines.len().max(1)) {
            Some(line) => line.as_slice(),
            None => {
                made = record(number, arguments.size, &filler);
                made.as_bytes()
            }
        };
        pushing += push(&sender, body, &arguments);
        if arguments.pause > 0 {
            std::thread::sleep(Duration::from_millis(arguments.pause));
        }
    }
    let closed = sender.close(Duration::from_secs_f64(arguments.close));
    let seconds = start.elapsed().as_secs_f64();
    let stats = sender.stats();
    println!(
        "{{\"sent\": {}, \"dropped_full\": {}, \"dropped_closed\": {}, \"dropped_oversized\": {}, \"reconnects\": {}, \
         \"closed\": {closed}, \"seconds\": {seconds:.4}, \"rate\": {:.0}, \"push_ns\": {:.0}, \"cpu_seconds\": {:.2}}}",
        stats.sent,
        stats.dropped_full,
        stats.dropped_closed,
        stats.dropped_oversized,
        stats.reconnects,
        stats.sent as f64 / seconds,
        pushing.as_nanos() as f64 / arguments.count.max(1) as f64,
        cpu_seconds(),
    );
    Ok(())
}

fn record(number: u64, size: usize, filler: &str) -> String {
    let head = format!("{{\"n\":{number},\"msg\":\"");
    let rest = size.saturating_sub(head.len() + 2);
    let filler = filler.get(..rest).unwrap_or_default();
    head + filler + "\"}"
}

/// How long the push that went in took, or the one that was dropped.
fn push(sender: &Sender, body: &[u8], arguments: &Arguments) -> Duration {
    loop {
        let start = Instant::now();
        let pushed = sender.push(*b"PLJ", body, arguments.level);
        if pushed == Pushed::Queued || !arguments.wait {
            return start.elapsed();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// User and system time of all threads, from Linux's clock of 100 ticks a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn arguments() -> Result<Arguments, Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let endpoint = given.next().ok_or("usage: push ENDPOINT [--count N] [--size BYTES] …")?;
    let mut arguments = Arguments {
        endpoint,
        count: 1,
        size: 600,
        lines: None,
        level: 20,
        pause: 0,
        wait: true,
        close: 10.0,
        notice: None,
    };
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or("a value is missing");
        match name.as_str() {
            "--count" => arguments.count = value()?.parse()?,
            "--size" => arguments.size = value()?.parse()?,
            "--lines" => arguments.lines = Some(value()?),
            "--level" => arguments.level = value()?.parse()?,
            "--close" => arguments.close = value()?.parse()?,
            "--pause" => arguments.pause = value()?.parse()?,
            "--notice" => arguments.notice = Some(value()?),
            "--drop" => arguments.wait = false,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(arguments)
}
