//! Counts instead of records: `/api/v1/histogram`, `/facets`, `/fields`, `/stats`. Times are seconds.
//!
//! - `/histogram`: `filter`, `since`, `until`, and `interval` (`10s`) or `buckets` (how many, about):
//!   `{"interval", "buckets": [{"start", "total", "levels": {"20": n}}]}`; stretches without a record are left out.
//! - `/facets`: `field`, `filter`, `since`, `until`, `limit`: `{"field", "values": [{"value", "count"}]}`.
//! - `/fields`: `{"fields": [name]}`. `/stats`: the store and the daemon in figures.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{Query as Asked, State as Shared};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use distlog::Raw;
use distlog_store::{Query, Reader};
use serde_json::{Map, Value, json};

use super::state::{MOST_STREAMS, MOST_TIME, Parameters, Parts, Refusal};
use crate::stats::Labelled;
use crate::time;

const BUCKETS: u64 = 60;
const MOST_BUCKETS: u64 = 10_000;
/// Values a facet gives, and the most it can be asked for.
const VALUES: u64 = 10;
const MOST_VALUES: u64 = 1000;
const SECOND: i64 = 1_000_000_000;
/// Widths that people can read off an axis, in milliseconds; beyond them whole days.
const WIDTHS: [i64; 26] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000,
    600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000,
];

type Answer = Result<Response, Refusal>;
type Pairs = Asked<Vec<(String, String)>>;

/// Records per stretch of time, by level.
pub(super) async fn histogram(Shared(parts): Shared<Arc<Parts>>, Asked(asked): Pairs) -> Answer {
    let parameters = Parameters::new(asked);
    let (since, until) = parameters.moments()?;
    let query = Query { since, until, patience: Some(MOST_TIME), ..Query::new(parameters.filter()?) };
    let buckets = parameters.number("buckets")?.unwrap_or(BUCKETS).clamp(1, MOST_BUCKETS);
    let interval = match parameters.text("interval") {
        None => None,
        Some(text) => Some(time::parse_duration(text).filter(|width| *width > 0).ok_or_else(|| {
            Refusal::parameter("interval", text, "`interval` is a length of time, as in 10s or 5m", None)
        })?),
    };
    let answer = parts.ask(move |reader| counted(reader, &query, interval, buckets)).await?;
    Ok(answer_of(&answer))
}

/// The most frequent values of a field.
pub(super) async fn facets(Shared(parts): Shared<Arc<Parts>>, Asked(asked): Pairs) -> Answer {
    let parameters = Parameters::new(asked);
    let (since, until) = parameters.moments()?;
    let from = parameters.number("from")?;
    let query = Query { since, until, from, patience: Some(MOST_TIME), ..Query::new(parameters.filter()?) };
    let field = parameters.text("field").map(str::to_owned);
    let field = field
        .ok_or_else(|| Refusal::parameter("field", "", "`field` is missing: which values to count", None))?;
    let top = parameters.number("limit")?.unwrap_or(VALUES).min(MOST_VALUES);
    let answer = parts.ask(move |reader| {
        let values = reader.facet(&query, stored_name(&field), usize::try_from(top).unwrap_or(0))?;
        let values: Vec<Value> =
            values.iter().map(|(value, count)| json!({"value": value, "count": count})).collect();
        Ok(json!({"field": field, "values": values}))
    });
    Ok(answer_of(&answer.await?))
}

/// Names of fields that records have.
pub(super) async fn fields(Shared(parts): Shared<Arc<Parts>>) -> Answer {
    let names = parts.ask(|reader| Ok(reader.field_names()?)).await?;
    // The store keeps names as they were escaped.
    let names: Vec<String> = names
        .iter()
        .map(|name| {
            let quoted = format!("\"{name}\"");
            Raw::trusted(&quoted).into_str().map_or_else(|| name.clone(), Cow::into_owned)
        })
        .collect();
    Ok(answer_of(&json!({"fields": names})))
}

/// The store and the daemon in figures.
pub(super) async fn stats(Shared(parts): Shared<Arc<Parts>>) -> Answer {
    let store = parts.ask(|reader| Ok(reader.stats()?)).await?;
    let counted = &parts.state.stats;
    let processors: Map<String, Value> = counted
        .processors()
        .into_iter()
        .map(|(name, one)| {
            let figures = json!({
                "read": one.read.get(), "handled": one.handled.get(), "filtered": one.filtered.get(),
                "failed": one.failed.get(), "retries": one.retries.get(), "restarts": one.restarts.get(),
                "position": one.position.get(), "lag": counted.lag(&one),
            });
            (name, figures)
        })
        .collect();
    let problems: Map<String, Value> =
        parts.state.health.reports().into_iter().map(|(part, what)| (part, Value::from(what))).collect();
    Ok(answer_of(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": parts.state.health.is_ready(),
        "problems": problems,
        "records": store.records, "bytes_on_disk": store.bytes_on_disk, "segments": store.segments,
        "blocks": store.blocks, "damaged": store.damaged,
        "first_offset": store.first_offset, "next_offset": store.next_offset,
        "oldest": seconds(store.oldest), "newest": seconds(store.newest),
        "received": counted.received.get(), "received_bytes": counted.received_bytes.get(),
        "stored": counted.stored.get(),
        "dropped": labelled(&counted.dropped), "rejected": labelled(&counted.rejected),
        "cut_off": labelled(&counted.cut_off),
        "processors": processors,
        "streams": MOST_STREAMS - parts.streams.available_permits(),
    })))
}

/// Where the filter language's name for a field differs from the record's.
fn stored_name(field: &str) -> &str {
    match field {
        "logger" => "name",
        "level" => "levelname",
        "host" => "hostname",
        "goal" => "goal.title",
        other => other,
    }
}

fn answer_of(answer: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string() + "\n").into_response()
}

fn labelled(counts: &Labelled) -> Map<String, Value> {
    counts.snapshot().into_iter().map(|(label, count)| (label, Value::from(count))).collect()
}

fn counted(reader: &Reader, query: &Query, interval: Option<i64>, buckets: u64) -> Result<Value, Refusal> {
    let stats = reader.stats()?;
    let (first, last) = (query.since.unwrap_or(stats.oldest), query.until.unwrap_or(stats.newest));
    let span = last.saturating_sub(first).max(1);
    let width = interval.unwrap_or_else(|| readable_width(span, buckets));
    if span / width > MOST_BUCKETS.cast_signed() {
        let message = format!("that would be more than {MOST_BUCKETS} buckets; take a longer `interval`");
        return Err(Refusal::parameter("interval", "", &message, None));
    }
    let buckets = reader.histogram(query, width)?;
    let buckets: Vec<Value> = buckets
        .iter()
        .map(|bucket| {
            let levels: Map<String, Value> =
                bucket.counts.iter().map(|(level, count)| (level.to_string(), Value::from(*count))).collect();
            json!({"start": seconds(bucket.start), "total": bucket.counts.values().sum::<u64>(), "levels": levels})
        })
        .collect();
    Ok(json!({"interval": seconds(width), "buckets": buckets}))
}

/// The narrowest readable width that needs no more than so many buckets.
fn readable_width(span: i64, buckets: u64) -> i64 {
    let least = span / i64::try_from(buckets).unwrap_or(i64::MAX).max(1);
    let width = WIDTHS.iter().map(|milliseconds| milliseconds * 1_000_000).find(|width| *width >= least);
    let day = 86_400 * SECOND;
    width.unwrap_or_else(|| (least / day + 1).saturating_mul(day))
}

/// As a number with all digits that a double has: about a quarter of a microsecond today.
fn seconds(nanoseconds: i64) -> f64 {
    (nanoseconds / SECOND) as f64 + (nanoseconds % SECOND) as f64 / SECOND as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_can_be_read() {
        for (span, buckets, width) in
            [(60, 60, 1.0), (61, 60, 2.0), (3600, 60, 60.0), (86_400 * 365, 60, 7.0 * 86_400.0)]
        {
            assert_eq!(seconds(readable_width(span * SECOND, buckets)), width);
        }
    }
}
