//! A PULL listener by itself, for tests beside other 0MQ libraries and for measuring.
//!
//! `pull ENDPOINT [--count N] [--show] [--limit BYTES] [--queue MESSAGES]`
//!
//! The first line on stdout is the endpoint it listens on. With `--show` each message follows as
//! one line, its frames in hexadecimal. It ends after N messages or on SIGTERM, drains what has
//! arrived, and prints one JSON object: messages, bytes, seconds and rate between the first and the
//! last message, CPU seconds of the process, and the listener's counters.
#![expect(clippy::print_stdout, reason = "stdout is what it is for")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use distlog_transport::{Counters, Door, Limits, Listener, Message};

/// As many messages at once as the daemon takes.
const BATCH: usize = 4096;

/// Nothing for so long after the end was asked for: the rest has been drained.
const QUIET: Duration = Duration::from_millis(200);

struct Arguments {
    endpoint: String,
    count: u64,
    show: bool,
    limits: Limits,
}

#[derive(Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = arguments()?;
    let mut listener = Listener::bind(&arguments.endpoint, Door::Pull, arguments.limits.clone()).await?;
    println!("{}", listener.local_endpoint());
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut tally = Tally::default();
    while tally.messages < arguments.count {
        tokio::select! {
            batch = listener.next_batch(BATCH) => tally.take(&batch?, arguments.show),
            _ = term.recv() => break,
        }
    }
    listener.stop_accepting().await;
    loop {
        let batch = listener.next_batch_within(BATCH, QUIET).await?;
        if batch.is_empty() {
            break;
        }
        tally.take(&batch, arguments.show);
    }
    println!("{}", tally.to_json(&listener.counters()));
    listener.close().await;
    Ok(())
}

impl Tally {
    fn take(&mut self, batch: &[Message], show: bool) {
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.messages += batch.len() as u64;
        for message in batch {
            self.bytes += message.iter().map(|frame| frame.as_ref().len() as u64).sum::<u64>();
            if show {
                println!("{}", hexadecimal(message));
            }
        }
    }

    fn to_json(&self, counters: &Counters) -> String {
        let seconds = self.first.zip(self.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        let rate = self.messages as f64 / seconds.max(1e-9);
        format!(
            "{{\"messages\": {}, \"bytes\": {}, \"seconds\": {seconds:.4}, \"rate\": {rate:.0}, \"cpu_seconds\": {:.2}, \
             \"accepted\": {}, \"refused\": {}, \"handshakes_failed\": {}, \"oversized\": {}, \"broken\": {}}}",
            self.messages,
            self.bytes,
            cpu_seconds(),
            counters.accepted,
            counters.refused,
            counters.handshakes_failed,
            counters.oversized,
            counters.broken,
        )
    }
}

fn hexadecimal(message: &Message) -> String {
    let mut line = String::new();
    for frame in message.iter() {
        if !line.is_empty() {
            line.push(' ');
        }
        // An empty frame must be seen too.
        line.push('=');
        for byte in frame.as_ref() {
            // Writing to a String cannot fail.
            write!(line, "{byte:02x}").ok();
        }
    }
    line
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
    let endpoint =
        given.next().ok_or("usage: pull ENDPOINT [--count N] [--show] [--limit BYTES] [--queue MESSAGES]")?;
    let mut arguments = Arguments { endpoint, count: u64::MAX, show: false, limits: Limits::default() };
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or("a value is missing");
        match name.as_str() {
            "--count" => arguments.count = value()?.parse()?,
            "--limit" => arguments.limits.message_bytes = value()?.parse()?,
            "--queue" => arguments.limits.queue = value()?.parse()?,
            "--show" => arguments.show = true,
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    Ok(arguments)
}
