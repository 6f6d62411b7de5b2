//! `distlog search`: stored records that match, as grep would: found is 0, nothing is 1, trouble is 2.
//!
//! Records are printed oldest first, so that the newest stand next to the prompt. A terminal gets the newest
//! [`SCREENFUL`] unless `--limit` says otherwise; a pipe gets all.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use distlog::{Fields, Raw, Record};

use super::client::{Client, Parameters};
use super::line::Lines;
use super::{Choice, FOUND, Failure, NONE, Screen, note};
use crate::terminal::{columns, escape};

/// What a terminal gets without being asked for more.
pub const SCREENFUL: u64 = 200;
/// Values counted by `--by`, unless `--limit` says otherwise.
const TOP: u64 = 10;

/// What `distlog search` takes.
#[derive(Debug, Args)]
pub struct SearchOptions {
    #[command(flatten)]
    choice: Choice,
    /// Only records since then: an age (10m), a time, today, yesterday
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Only records before then
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only records from that offset on, the first ones of them
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// Only the newest N [default: 200 on a terminal, all in a pipe]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print only how many there are
    #[arg(long)]
    count: bool,
    /// Print how often each value of that field occurs; several fields with commas
    #[arg(long, value_name = "FIELD", value_delimiter = ',')]
    by: Vec<String>,
    /// Print N records before and after each, of the same goal tree, or else of the same process
    #[arg(short = 'C', long, value_name = "N")]
    context: Option<u64>,
    /// `none`: exit code 0 when nothing is found, 1 when something is
    #[arg(long, value_name = "WHAT")]
    expect: Option<Expected>,
    /// Show whole tracebacks
    #[arg(long)]
    trace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Expected {
    /// No record
    None,
}

/// Shows what was found.
pub fn run(options: &SearchOptions, client: &Client, screen: &mut Screen) -> Result<u8, Failure> {
    let mut parameters: Parameters<'_> = vec![
        ("filter", options.choice.text()?),
        ("since", screen.time(options.since.as_deref())?),
        ("until", screen.time(options.until.as_deref())?),
        ("from", options.from.map(|from| from.to_string()).unwrap_or_default()),
    ];
    let limit = options.limit.or_else(|| screen.look.width.is_some().then_some(SCREENFUL));
    let found = if !options.by.is_empty() {
        count_by(options, client, screen, &parameters)?
    } else if options.count {
        count(client, screen, &parameters)?
    } else {
        parameters.push(("limit", limit.map(|limit| limit.to_string()).unwrap_or_default()));
        match options.context {
            Some(around) => with_context(options, client, screen, &parameters, around)?,
            None => all(options, client, screen, &parameters)?,
        }
    };
    let cut = options.limit.is_none() && limit == Some(found) && !options.count && options.by.is_empty();
    if cut && screen.has_notes {
        note(&format!("the newest {found}; --limit N shows more"));
    }
    let expects_none = options.expect == Some(Expected::None);
    Ok(if (found > 0) == expects_none { NONE } else { FOUND })
}

fn all(
    options: &SearchOptions,
    client: &Client,
    screen: &mut Screen,
    parameters: &Parameters<'_>,
) -> Result<u64, Failure> {
    let mut lines = Lines::new(screen.look, screen.zone.clone(), options.trace);
    let mut found = 0;
    for line in client.ask("/api/v1/search", parameters)?.lines(client) {
        put(&line?, &mut lines, screen)?;
        found += 1;
    }
    Ok(found)
}

fn put(line: &str, lines: &mut Lines, screen: &mut Screen) -> Result<(), Failure> {
    if screen.json {
        return screen.put_line(line);
    }
    match Record::from_json(line) {
        Ok(record) => screen.put(&lines.show(&record)),
        Err(_) => screen.put_line(&escape(line)),
    }
}

fn count(client: &Client, screen: &mut Screen, parameters: &Parameters<'_>) -> Result<u64, Failure> {
    let mut parameters = parameters.clone();
    parameters.push(("count", "true".to_owned()));
    let answer = client.ask_whole("/api/v1/search", &parameters)?;
    let count = Raw::trusted(answer.trim()).walk("count").and_then(Raw::as_i64).unwrap_or(0);
    if screen.json {
        screen.put(&answer)?;
    } else {
        screen.put_line(&count.to_string())?;
    }
    Ok(u64::try_from(count).unwrap_or(0))
}

fn count_by(
    options: &SearchOptions,
    client: &Client,
    screen: &mut Screen,
    parameters: &Parameters<'_>,
) -> Result<u64, Failure> {
    let mut found = 0;
    for field in &options.by {
        let mut parameters = parameters.clone();
        parameters.push(("field", field.clone()));
        parameters.push(("limit", options.limit.unwrap_or(TOP).to_string()));
        let answer = client.ask_whole("/api/v1/facets", &parameters)?;
        let values = Raw::trusted(answer.trim()).walk("values");
        found += values.map_or(0, |values| values.members().count() as u64);
        if screen.json {
            screen.put(&answer)?;
        } else {
            let text = counts_table(field, values.into_iter().flat_map(Raw::members).map(|(_, value)| value));
            screen.put(&text)?;
        }
    }
    Ok(found)
}

/// Counts and values, aligned: the numbers first, as `uniq -c` has it.
fn counts_table<'a>(field: &str, values: impl Iterator<Item = Raw<'a>>) -> String {
    let rows: Vec<(String, String)> = values
        .map(|row| {
            let count = row.walk("count").and_then(Raw::as_i64).unwrap_or(0).to_string();
            let value = row.walk("value").and_then(Raw::into_str).unwrap_or_default();
            (count, escape(&value).into_owned())
        })
        .collect();
    let width = rows.iter().map(|(count, _)| columns(count)).max().unwrap_or(0).max(5);
    let mut text = if rows.is_empty() {
        String::new()
    } else {
        format!("{:>width$}  {}\n", "COUNT", escape(&field.to_uppercase()))
    };
    for (count, value) in rows {
        text.push_str(&format!("{count:>width$}  {value}\n"));
    }
    text
}

/// Each record that matches with its neighbours; what was printed already is not printed again.
fn with_context(
    options: &SearchOptions,
    client: &Client,
    screen: &mut Screen,
    parameters: &Parameters<'_>,
    around: u64,
) -> Result<u64, Failure> {
    let hits: Vec<String> =
        client.ask("/api/v1/search", parameters)?.lines(client).collect::<Result<_, _>>()?;
    let mut lines = Lines::new(screen.look, screen.zone.clone(), options.trace);
    let mut printed = BTreeSet::new();
    for hit in &hits {
        let Ok(record) = Record::from_json(hit) else { continue };
        let mut group = neighbours(client, &record, around)?;
        group.push((offset_of(&record), hit.clone()));
        group.sort_unstable();
        group.dedup_by_key(|(offset, _)| *offset);
        group.retain(|(offset, _)| !printed.contains(offset));
        if !screen.json && !printed.is_empty() && !group.is_empty() {
            screen.put_line("--")?;
        }
        for (offset, line) in group {
            put(&line, &mut lines, screen)?;
            printed.insert(offset);
        }
    }
    Ok(hits.len() as u64)
}

fn neighbours(client: &Client, record: &Record, around: u64) -> Result<Vec<(u64, String)>, Failure> {
    let Some(filter) = surroundings(record) else { return Ok(Vec::new()) };
    let offset = offset_of(record);
    let limit = ("limit", around.to_string());
    let mut found = Vec::new();
    let before = vec![("filter", filter.clone()), ("to", offset.to_string()), limit.clone()];
    let after = vec![("filter", filter), ("from", (offset + 1).to_string()), limit];
    for side in [before, after] {
        for line in client.ask("/api/v1/search", &side)?.lines(client) {
            let line = line?;
            if let Ok(record) = Record::from_json(&line) {
                found.push((offset_of(&record), line));
            }
        }
    }
    Ok(found)
}

/// The filter for what surrounds a record: its goal tree, else its process on its host.
fn surroundings(record: &Record) -> Option<String> {
    if let Some(key) = record.key() {
        return Some(format!("task:{}", distlog::GoalId::from_root(key.goal.root())));
    }
    let process = record.get("process")?.as_i64()?;
    let host = record
        .get("hostname")
        .and_then(Raw::into_str)
        .map(|host| format!(" host={}", distlog::json::quoted(&host)));
    Some(format!("process={process}{}", host.unwrap_or_default()))
}

fn offset_of(record: &Record) -> u64 {
    record.get("_offset").and_then(Raw::as_i64).and_then(|offset| u64::try_from(offset).ok()).unwrap_or(0)
}
