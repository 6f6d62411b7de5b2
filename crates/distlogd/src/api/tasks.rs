//! `/api/v1/task/{id}`: a goal with everything below it. `/api/v1/tasks`: the recent tasks, one line each.
//!
//! An id may be the beginning of one: `7f3a`, `7f3a/2/1`. If several tasks begin so, the answer is 400 and names them.
//! `?records=all|warning|LEVEL` adds each goal's own records of that level and above.
//!
//! `/tasks` takes `filter` and `limit`: a task is listed if some record of it matches, the one that was active last first.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query as Asked, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use distlog::filter::Filter;
use distlog::tree::{Forest, Liveness, Summary};
use distlog::{Fields, GoalId};
use distlog_store::{Order, Query, Reader};

use super::around::Around;
use super::state::{Parameters, Parts, Refusal};
use crate::time;

/// Records of a task are read in pages of so many.
const PAGE: usize = 10_000;
/// More records of one task are not looked at.
const MOST_RECORDS: usize = 2_000_000;
/// The same for each task of a list that has taken its time.
const MOST_LISTED_RECORDS: usize = 50_000;
/// Tasks listed if no limit is given, and at most.
const LISTED: u64 = 50;
const MOST_LISTED: u64 = 10_000;
/// Candidates named when an id is ambiguous.
const NAMED: usize = 5;
/// Time to look for tasks that match and to read them whole; then those found are listed as far as they are read.
const LISTING_TIME: Duration = Duration::from_secs(5);

/// Answers with one tree.
pub(super) async fn task(
    Shared(parts): Shared<Arc<Parts>>,
    Path(id): Path<String>,
    Asked(asked): Asked<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let level = level_of(Parameters::new(asked).text("records"))?;
    let text = parts.ask(move |reader| tree(reader, &id, level)).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// Answers with the list.
pub(super) async fn tasks(
    Shared(parts): Shared<Arc<Parts>>,
    Asked(asked): Asked<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let parameters = Parameters::new(asked);
    let filter = parameters.filter()?;
    let limit = parameters.number("limit")?.unwrap_or(LISTED).min(MOST_LISTED);
    let text = parts.ask(move |reader| list(reader, &filter, usize::try_from(limit).unwrap_or(0))).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], text).into_response())
}

/// The least level of the records to be shown; `None` for no records.
fn level_of(text: Option<&str>) -> Result<Option<i64>, Refusal> {
    let level = match text {
        None | Some("none") => return Ok(None),
        Some("all") => i64::MIN,
        Some("debug") => 10,
        Some("info") => 20,
        Some("warn" | "warning") => 30,
        Some("error") => 40,
        Some("critical") => 50,
        Some(other) => other
            .parse()
            .map_err(|_| Refusal::parameter("records", other, "`records` is none, all, or a level", None))?,
    };
    Ok(Some(level))
}

fn tree(reader: &Reader, id: &str, level: Option<i64>) -> Result<String, Refusal> {
    let id = whole_id(reader, id)?;
    let forest = forest(reader, id.root(), MOST_RECORDS)?;
    let tree = forest.build(&id, time::now()).ok_or_else(|| nothing_seen(&id.to_string()))?;
    let text = level.map_or_else(|| tree.to_json(), |level| tree.to_json_with_records(level));
    Ok(text + "\n")
}

fn nothing_seen(id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("no goal {id} is stored"))
}

/// The id, its root completed if only the beginning was given.
fn whole_id(reader: &Reader, text: &str) -> Result<GoalId, Refusal> {
    if let Ok(id) = GoalId::parse(text) {
        return Ok(id);
    }
    let wrong = |message: &str| Refusal::parameter("id", text, message, None);
    let (prefix, path) = text.split_once('/').map_or((text, None), |(prefix, path)| (prefix, Some(path)));
    let digits: String = prefix.chars().filter(|letter| *letter != '-').collect();
    if digits.is_empty() || digits.len() > 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong(&format!(
            "`{text}` is no goal id: it has the form 7f3a2c1e-…/2/1, or is the beginning of one"
        )));
    }
    let roots = reader.roots_with_prefix(&digits.to_ascii_lowercase(), NAMED + 1)?;
    let names: Vec<String> = roots.iter().map(|root| GoalId::from_root(*root).to_string()).collect();
    match names.as_slice() {
        [] => Err(nothing_seen(text)),
        [root] => {
            let whole = path.map_or_else(|| root.clone(), |path| format!("{root}/{path}"));
            GoalId::parse(&whole).map_err(|error| wrong(&error.to_string()))
        }
        several => {
            let named = several.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if several.len() > NAMED { ", …" } else { "" };
            Err(wrong(&format!("several tasks begin with {prefix}: {named}{more}")))
        }
    }
}

/// All records of one task, page by page.
fn forest(reader: &Reader, root: [u8; 16], most: usize) -> Result<Forest, Refusal> {
    let mut forest = Forest::new();
    let (mut next, mut read) = (0, 0);
    loop {
        let page = reader.goal_from(root, next, PAGE)?;
        for entry in &page {
            forest.add(entry.offset, &*entry.record);
        }
        read += page.len();
        match page.last() {
            Some(last) if page.len() == PAGE && read < most => next = last.offset + 1,
            _ => return Ok(forest),
        }
    }
}

fn list(reader: &Reader, filter: &Filter, limit: usize) -> Result<String, Refusal> {
    let deadline = Instant::now() + LISTING_TIME;
    let roots = if filter.text().trim().is_empty() {
        reader.recent_roots(limit)?
    } else if filter.needs_task() || filter.needs_goals() {
        matching_tasks(reader, filter, limit, deadline)?
    } else {
        tasks_of_matches(reader, filter, limit, deadline)?
    };
    let mut summaries = Vec::with_capacity(roots.len());
    for root in roots {
        let most = if Instant::now() < deadline { MOST_RECORDS } else { MOST_LISTED_RECORDS };
        if let Some(summary) = summary(reader, root, most)? {
            summaries.push(summary);
        }
    }
    summaries.sort_by_key(|summary| std::cmp::Reverse(summary.last));
    Ok(summaries.iter().map(|summary| summary.to_json() + "\n").collect())
}

fn summary(reader: &Reader, root: [u8; 16], most: usize) -> Result<Option<Summary>, Refusal> {
    let forest = forest(reader, root, most)?;
    Ok(forest.summary(&GoalId::from_root(root), &Liveness::at(time::now())))
}

/// From the newest matching record back: the tasks these records belong to.
fn tasks_of_matches(
    reader: &Reader,
    filter: &Filter,
    limit: usize,
    deadline: Instant,
) -> Result<Vec<[u8; 16]>, Refusal> {
    let (mut roots, mut seen) = (Vec::new(), HashSet::new());
    if limit == 0 {
        return Ok(roots);
    }
    let query = Query { order: Order::NewestFirst, ..Query::new(filter.clone()) };
    for entry in reader.search(&query)? {
        let Some(key) = entry?.record.key() else { continue };
        if seen.insert(key.goal.root()) {
            roots.push(key.goal.root());
        }
        if roots.len() >= limit || Instant::now() > deadline {
            break;
        }
    }
    Ok(roots)
}

/// From the newest task back: those of which some record passes, judged with all of the task at hand.
fn matching_tasks(
    reader: &Reader,
    filter: &Filter,
    limit: usize,
    deadline: Instant,
) -> Result<Vec<[u8; 16]>, Refusal> {
    let around = Around::new(reader.clone());
    let mut roots = Vec::new();
    for root in reader.recent_roots(usize::try_from(MOST_LISTED).unwrap_or(0))? {
        if roots.len() >= limit || Instant::now() > deadline {
            break;
        }
        let entries = reader.goal(root, MOST_LISTED_RECORDS)?;
        if entries.iter().any(|entry| around.passes(filter, entry)) {
            roots.push(root);
        }
    }
    Ok(roots)
}
