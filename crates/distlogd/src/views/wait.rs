//! `distlog wait`: until a record matches, for scripts that start something and need to know when it is there.
//!
//! Only records that arrive from now on count, unless `--since` says from when. The record that matched is printed.

use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use clap::Args;
use distlog::Record;

use super::client::{Arrival, Client};
use super::line::Lines;
use super::{Choice, FOUND, Failure, Screen, TIME_OUT, note};
use crate::terminal::escape;
use crate::time;

/// What `distlog wait` takes.
#[derive(Debug, Args)]
pub struct WaitOptions {
    #[command(flatten)]
    choice: Choice,
    /// Give up after that time: 500ms, 60s, 5m; a number alone is seconds [default: never]
    #[arg(long, value_name = "TIME", value_parser = time_out)]
    timeout: Option<Duration>,
    /// Count stored records since then too: an age (10m), a time, today, yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
}

/// Waits, prints the record, gives 0 or 124.
pub fn run(options: &WaitOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let filter = options.choice.text()?;
    let since = screen.time(options.since.as_deref())?;
    let deadline = options.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let limit = if options.since.is_some() { "1" } else { "0" };
    let stored = client.ask(
        "/api/v1/search",
        &vec![("filter", filter.clone()), ("since", since), ("limit", limit.into())],
    )?;
    let next = stored.next_offset.unwrap_or(0);
    if let Some(line) = stored.lines(client).next() {
        return found(&line?, screen);
    }
    let (_sender, arrivals) = client.follow(vec![("filter", filter), ("slow", "wait".to_owned())], next);
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match arrivals.recv_timeout(left.unwrap_or(Duration::from_secs(3600))) {
            Ok(Arrival::Records(records, _)) => {
                if let Some(record) = records.first() {
                    return found(record, screen);
                }
            }
            Ok(Arrival::Lost(why)) => {
                note(&format!("distlog: connection lost ({}), trying again", escape(&why)))
            }
            Ok(Arrival::Refused(failure)) => return Err(failure),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if deadline.is_none() => {}
            Err(_) => return Ok(TIME_OUT),
        }
    }
}

fn found(line: &str, screen: &mut Screen) -> Result<u8, Failure> {
    if screen.json {
        screen.put_line(line)?;
    } else if let Ok(record) = Record::from_json(line) {
        let text = Lines::new(screen.look, screen.zone.clone(), false).show(&record);
        screen.put(&text)?;
    }
    Ok(FOUND)
}

fn time_out(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let length =
        || time::parse_duration(text).and_then(|length| u64::try_from(length).ok()).map(Duration::from_nanos);
    seconds.or_else(length).ok_or_else(|| "write a length of time, as in 500ms, 60s, 5m".to_owned())
}
