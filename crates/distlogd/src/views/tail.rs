//! `distlog tail`: the last stored records, then the live ones, without a seam.
//!
//! The history is a search; its answer says up to which offset it looked, and the stream goes on from exactly there.
//! At a terminal a tail that cannot keep up skips and says so; in a pipe it waits instead, so that a script sees all.

use std::io;
use std::sync::mpsc::{SyncSender, TryRecvError};
use std::thread;
use std::time::Duration;

use clap::Args;
use distlog::{Fields, Record};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::client::{Arrival, Client, Gap, Parameters};
use super::line::Lines;
use super::{Choice, FOUND, Failure, Screen, note};
use crate::terminal::escape;
use crate::time;

/// What `distlog tail` takes.
#[derive(Debug, Args)]
pub struct TailOptions {
    #[command(flatten)]
    choice: Choice,
    /// Begin with the last N stored records [default: 10; all with --since or --no-follow]
    #[arg(short = 'n', long = "lines", value_name = "N")]
    lines: Option<u64>,
    /// Begin with the stored records since then: an age (10m), a time, today, yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Stop after the stored records
    #[arg(long)]
    no_follow: bool,
    /// Show whole tracebacks
    #[arg(long)]
    trace: bool,
}

/// Shows records and counts them.
struct Tail<'a> {
    screen: &'a mut Screen,
    lines: Lines,
    shown: u64,
    missed: u64,
    last_goal: Option<String>,
}

/// Runs until the user stops it.
pub fn run(options: &TailOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let filter = options.choice.text()?;
    let since = screen.time(options.since.as_deref())?;
    let begins_with_all = options.no_follow || options.since.is_some();
    let limit = options.lines.or_else(|| (!begins_with_all).then_some(10));
    let limit = limit.map(|limit| limit.to_string()).unwrap_or_default();
    let history = client
        .ask("/api/v1/search", &vec![("filter", filter.clone()), ("since", since), ("limit", limit)])?;
    if screen.has_notes && !options.no_follow {
        note(&head(client, &filter, screen));
    }
    let next = history.next_offset.unwrap_or(0);
    let lines = Lines::new(screen.look, screen.zone.clone(), options.trace);
    let mut tail = Tail { screen, lines, shown: 0, missed: 0, last_goal: None };
    for line in history.lines(client) {
        tail.show(&line?)?;
    }
    if options.no_follow {
        return Ok(FOUND);
    }
    tail.screen.flush()?;
    let slow = if tail.screen.look.width.is_some() { "skip" } else { "wait" };
    tail.follow(client, vec![("filter", filter), ("slow", slow.to_owned())], next)
}

/// Sends [`Arrival::Stop`] at Ctrl-C or SIGTERM; ends the program if nobody takes it, as when the output is blocked.
pub fn stop_on_signals(arrivals: SyncSender<Arrival>) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let _full = arrivals.try_send(Arrival::Stop);
            thread::sleep(Duration::from_millis(300));
            std::process::exit(FOUND.into());
        }
    });
}

/// Sends [`Arrival::Stop`] when the reader of a pipe goes away, so that `distlog tail | head -1` ends with `head`
/// and not with the next record.
fn stop_when_unread(arrivals: SyncSender<Arrival>) {
    thread::spawn(move || {
        let stdout = io::stdout();
        // Nothing is waited for but the trouble that is always told.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        while let Err(Errno::INTR) = poll(&mut watched, None) {}
        if watched.iter().any(|end| end.revents().contains(PollFlags::ERR)) {
            let _full = arrivals.try_send(Arrival::Stop);
        }
    });
}

impl Tail<'_> {
    fn follow(&mut self, client: &Client, parameters: Parameters<'static>, next: u64) -> Result<u8, Failure> {
        let (sender, arrivals) = client.follow(parameters, next);
        stop_when_unread(sender.clone());
        stop_on_signals(sender);
        let mut position = next;
        loop {
            let arrival = match arrivals.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.screen.flush()?;
                    arrivals.recv().ok()
                }
                other => other.ok(),
            };
            match arrival {
                Some(Arrival::Records(records, last)) => {
                    position = last + 1;
                    records.iter().try_for_each(|record| self.show(record))?;
                }
                Some(Arrival::Gap(gap)) => self.skip(&gap)?,
                Some(Arrival::Position(last)) => position = last + 1,
                Some(Arrival::Lost(why)) => {
                    note(&format!("distlog: connection lost ({}), trying again", escape(&why)))
                }
                Some(Arrival::Back) => note("distlog: connected again, nothing missed"),
                Some(Arrival::Refused(failure)) => return Err(failure),
                Some(Arrival::Stop) | None => break,
            }
        }
        self.screen.flush()?;
        self.foot(position - next.min(position));
        Ok(FOUND)
    }

    fn show(&mut self, line: &str) -> Result<(), Failure> {
        self.shown += 1;
        if self.screen.json {
            return self.screen.put_line(line);
        }
        match Record::from_json(line) {
            Ok(record) => {
                if let Some(key) = record.key() {
                    self.last_goal = Some(key.goal.to_string());
                }
                let text = self.lines.show(&record);
                self.screen.put(&text)
            }
            Err(_) => self.screen.put_line(&escape(line)),
        }
    }

    fn skip(&mut self, gap: &Gap) -> Result<(), Failure> {
        self.missed += gap.count;
        self.screen.flush()?;
        let Gap { from, to, count } = gap;
        note(&format!(
            "… {count} records skipped here (offsets {from} to {to}): distlog search --from {from} --limit {count}"
        ));
        Ok(())
    }

    fn foot(&mut self, looked_at: u64) {
        if !self.screen.has_notes && self.missed == 0 {
            return;
        }
        let tree =
            self.last_goal.as_ref().map(|goal| format!(" · distlog tree {}", self.lines.short_id(goal)));
        let seen = looked_at.max(self.shown);
        note(&format!(
            "{seen} seen, {} shown, {} missed{}",
            self.shown,
            self.missed,
            tree.unwrap_or_default()
        ));
    }
}

fn head(client: &Client, filter: &str, screen: &Screen) -> String {
    let filter = if filter.is_empty() { "everything".into() } else { escape(filter) };
    format!(
        "following {} · {filter} · times {}",
        escape(client.url()),
        time::show_offset(time::now(), &screen.zone)
    )
}
