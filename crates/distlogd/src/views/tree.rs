//! `distlog tree`: a goal and everything below it, as it stands now.
//!
//! The daemon builds the tree; here it is fetched, once or until it is done, and drawn by [`picture`](mod@picture).
//! The exit code is the goal's own result: 0 succeeded, 1 failed, 3 neither yet.

pub mod picture;

use std::thread;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use distlog::Raw;

use super::client::{Client, encoded};
use super::{FOUND, Failure, NONE, Screen, UNFINISHED};
use crate::terminal::{Look, columns_shown};
use crate::time;
use picture::{Goal, Picture};

/// How often a followed tree is fetched.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What `distlog tree` takes.
#[derive(Debug, Args)]
pub struct TreeOptions {
    /// The goal: its id, or the beginning of it [default: the task that was active last]
    #[arg(value_name = "ID", conflicts_with_all = ["last", "matching"])]
    id: Option<String>,
    /// The task that was active last
    #[arg(long, conflicts_with = "matching")]
    last: bool,
    /// The newest task with a record that matches
    #[arg(long = "match", value_name = "FILTER")]
    matching: Option<String>,
    /// Draw again until the goal and all below it have ended
    #[arg(long)]
    follow: bool,
    /// Only goals that failed, and those above them
    #[arg(long)]
    failed: bool,
    /// Show records too: those of a warning or worse, or all
    #[arg(long, value_name = "WHICH", default_value = "none")]
    records: Shown,
    /// Go only so deep
    #[arg(long, value_name = "N")]
    depth: Option<usize>,
    /// Draw for that many columns, also into a pipe
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shown {
    None,
    Warn,
    All,
}

/// Shows the tree.
pub fn run(options: &TreeOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let id = match &options.id {
        Some(id) => id.clone(),
        None => newest(options, client)?,
    };
    let path = format!("/api/v1/task/{}", encoded(&id));
    let records = match options.records {
        Shown::None => String::new(),
        Shown::Warn => "warning".to_owned(),
        Shown::All => "all".to_owned(),
    };
    let parameters = vec![("records", records)];
    if let Some(width) = options.width {
        screen.look.width = Some(width.max(20));
    }
    let redraws = options.follow && !screen.json && screen.has_notes && screen.look.width.is_some();
    let mut drawn = 0;
    loop {
        let answer = client.ask_whole(&path, &parameters)?;
        let goal = Goal::read(Raw::trusted(answer.trim()));
        let is_done = !options.follow || !goal.may_change();
        if is_done || redraws {
            drawn = show(&answer, &goal, options, screen, drawn, is_done)?;
        }
        if is_done {
            return Ok(ending(&goal.status));
        }
        thread::sleep(AGAIN_AFTER);
    }
}

/// The exit code for that status.
fn ending(status: &str) -> u8 {
    match status {
        "succeeded" => FOUND,
        "failed" => NONE,
        _ => UNFINISHED,
    }
}

/// The symbol of a state.
pub fn symbol(status: &str, look: &Look) -> &'static str {
    let (symbol, ascii) = match status {
        "succeeded" => ("✓", "+"),
        "failed" => ("✗", "x"),
        "running" => ("⟳", "~"),
        "silent" => ("◌", "o"),
        "awaited" => ("…", "."),
        _ => ("?", "?"),
    };
    if look.ascii { ascii } else { symbol }
}

/// The colour of a state; red and green stand for nothing else.
pub fn status_style(status: &str) -> Style {
    let colour = match status {
        "succeeded" => AnsiColor::Green,
        "failed" => AnsiColor::Red,
        "running" => AnsiColor::Cyan,
        _ => AnsiColor::Yellow,
    };
    Style::new().fg_color(Some(colour.into()))
}

fn newest(options: &TreeOptions, client: &Client) -> Result<String, Failure> {
    let filter = options.matching.clone().unwrap_or_default();
    let parameters = vec![("filter", filter), ("limit", "1".to_owned())];
    let answer = client.ask_whole("/api/v1/tasks", &parameters)?;
    let id = Raw::trusted(answer.lines().next().unwrap_or_default()).walk("id").and_then(Raw::into_str);
    let message = if options.matching.is_some() { "no task matches" } else { "no task is stored yet" };
    id.map(|id| id.into_owned()).ok_or_else(|| Failure::NotFound { message: message.to_owned() })
}

/// Draws over what was drawn before; gives how many lines there are now.
fn show(
    answer: &str,
    goal: &Goal,
    options: &TreeOptions,
    screen: &mut Screen,
    drawn: usize,
    is_done: bool,
) -> Result<usize, Failure> {
    if screen.json {
        screen.put_line(answer.trim())?;
        return Ok(0);
    }
    let picture = Picture {
        look: screen.look,
        zone: &screen.zone,
        now: time::now(),
        only_failed: options.failed,
        depth: options.depth,
    };
    let mut text = picture.draw(goal);
    let (columns, height) =
        terminal_size::terminal_size().map_or((80, 24), |(width, height)| (width.0, height.0));
    let lines = |text: &str| -> usize {
        text.lines().map(|line| columns_shown(line).div_ceil(usize::from(columns.max(1))).max(1)).sum()
    };
    while !is_done && lines(&text) >= usize::from(height) {
        // What is above the screen cannot be drawn again; the whole is shown at the end.
        let Some(end) = text.trim_end().rfind('\n') else { break };
        text.truncate(end + 1);
    }
    if drawn > 0 {
        // Our own sequences: up, and clear to the end of the screen.
        screen.put(&format!("\u{1b}[{drawn}A\u{1b}[J"))?;
    }
    screen.put(&text)?;
    screen.flush()?;
    Ok(lines(&text))
}
