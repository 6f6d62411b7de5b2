//! `distlog tasks`: the recent root goals as a table, the newest last.

use clap::Args;
use distlog::Raw;

use super::client::Client;
use super::tree::{status_style, symbol};
use super::{Choice, FOUND, Failure, Screen};
use crate::terminal::{Look, columns, escape, fit};
use crate::time;

/// What `distlog tasks` takes.
#[derive(Debug, Args)]
pub struct TasksOptions {
    #[command(flatten)]
    choice: Choice,
    /// Show so many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u64,
}

const HEADS: [&str; 6] = ["ID", "STATUS", "DURATION", "RECORDS", "MISSING", "BEGAN"];

/// Shows the table.
pub fn run(options: &TasksOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let parameters = vec![("filter", options.choice.text()?), ("limit", options.limit.to_string())];
    let answer = client.ask_whole("/api/v1/tasks", &parameters)?;
    if screen.json {
        screen.put(&answer)?;
    } else {
        let mut lines: Vec<&str> = answer.lines().collect();
        lines.reverse();
        let text = table(&lines, &screen.look, &screen.zone);
        screen.put(&text)?;
    }
    Ok(FOUND)
}

/// The table for summaries as the API gives them, one a line.
pub fn table(lines: &[&str], look: &Look, zone: &jiff::tz::TimeZone) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let rows: Vec<(String, [String; 6], String)> =
        lines.iter().map(|line| row(Raw::trusted(line), look, zone)).collect();
    let mut widths = HEADS.map(str::len);
    for (_, cells, _) in &rows {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = String::new();
    let heads = HEADS.map(str::to_owned);
    put_row(&mut text, &heads, &widths, "TITLE", anstyle::Style::new().bold(), look);
    for (status, cells, title) in &rows {
        put_row(&mut text, cells, &widths, title, status_style(status), look);
    }
    text
}

fn row(task: Raw<'_>, look: &Look, zone: &jiff::tz::TimeZone) -> (String, [String; 6], String) {
    let text = |name: &str| task.walk(name).and_then(Raw::into_str).unwrap_or_default().into_owned();
    let number = |name: &str| task.walk(name).and_then(Raw::as_i64).unwrap_or(0).to_string();
    let status = text("status");
    let id = text("id");
    let id = if look.width.is_some() { id.get(..8).unwrap_or(&id).to_owned() } else { id };
    let duration =
        task.walk("duration").and_then(Raw::as_f64).map_or_else(|| "-".to_owned(), time::show_duration);
    let began = task.walk("begin").and_then(Raw::seconds_to_ns).map(|begin| match look.width {
        Some(_) => time::show_clock(begin, zone),
        None => time::show_stamp(begin, zone),
    });
    let word =
        if look.width.is_some() { format!("{} {status}", symbol(&status, look)) } else { status.clone() };
    let cells =
        [id, word, duration, number("records"), number("missing"), began.unwrap_or_else(|| "-".to_owned())];
    (status, cells, text("title"))
}

fn put_row(
    text: &mut String,
    cells: &[String; 6],
    widths: &[usize; 6],
    title: &str,
    style: anstyle::Style,
    look: &Look,
) {
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell = escape(cell);
        let cell = match look.width {
            Some(_) if (2..5).contains(&at) => {
                format!("{}{cell}", " ".repeat(width.saturating_sub(columns(&cell))))
            }
            Some(_) => fit(&cell, *width, look),
            None => cell.replace(' ', ""),
        };
        text.push_str(&if at < 2 { look.paint(style, &cell) } else { cell.as_str().into() });
        text.push_str("  ");
    }
    let used: usize = widths.iter().map(|width| width + 2).sum();
    let room = look.width.map_or(usize::MAX, |width| width.saturating_sub(used).max(12));
    let title = escape(title);
    text.push_str(if columns(&title) > room { crate::terminal::cut(&title, room) } else { &title });
    text.push('\n');
}
