//! `/api/v1/search`: stored records that match, as NDJSON.
//!
//! Parameters: `filter`, `since`, `until`, `from` (first offset), `to` (the offset after the last), `limit`, `order`
//! (`asc`, `desc`), `count=true` (then the answer is `{"count": n}`).
//!
//! With a limit and no `from`, the *newest* `limit` matches are given; in either order. The search looks at what was
//! stored when it began; the header `distlog-next-offset` names the first offset it did not look at, so that a stream
//! from there leaves nothing out. Records are written while they are found: a client that reads slowly slows the search,
//! and nothing gathers in memory. A search that fails in its middle breaks the answer off, so that it looks unfinished.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Query as Asked, State as Shared};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use distlog::filter::Filter;
use distlog_store::{Entry, Order, Query, Reader};
use futures_core::Stream;
use serde_json::json;
use tokio::sync::mpsc;

use super::around::Around;
use super::state::{MOST_TIME, Parameters, Parts, Refusal};

/// Records are sent in pieces of about this size.
const PIECE: usize = 64 << 10;
/// Pieces that may wait for the client.
const WAITING: usize = 4;
/// Matches kept to be turned round; of more than that only the first place is kept.
const MOST_KEPT: usize = 10_000;
/// One search, ready to run on a thread that may block.
struct Hunt {
    filter: Filter,
    query: Query,
    bounds: Range<u64>,
    limit: usize,
    /// Whether the newest are wanted oldest first.
    turns: bool,
    around: Around,
    reader: Reader,
}

/// Gathers lines and sends them piece by piece.
struct Output {
    sender: mpsc::Sender<Result<Bytes, Refusal>>,
    piece: Vec<u8>,
    searched: Duration,
    since: Instant,
}

/// Why a hunt ends early.
enum Stop {
    /// The client has gone.
    Gone,
    Refused(Refusal),
}

/// The body: the first piece and those to come.
struct Pieces {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, Refusal>>,
}

/// Answers one search.
pub(super) async fn search(
    Shared(parts): Shared<Arc<Parts>>,
    Asked(asked): Asked<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let parameters = Parameters::new(asked);
    let end = parts.state.reader.bounds().end;
    let hunt = hunt(&parts, &parameters, end)?;
    if parameters.text("count").is_some_and(|count| count != "false") {
        let count = parts.ask(move |_| hunt.count()).await?;
        let text = json!({"count": count}).to_string() + "\n";
        return Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response());
    }
    let place = parts.scan().await?;
    let (sender, mut pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        hunt.run(Output::new(sender));
        drop(place);
    });
    // A search that fails before its first record can still say so properly.
    let first = pieces.recv().await.transpose()?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (HeaderName::from_static("distlog-next-offset"), end.to_string()),
    ];
    Ok((headers, Body::from_stream(Pieces { first, rest: pieces })).into_response())
}

fn hunt(parts: &Parts, parameters: &Parameters, end: u64) -> Result<Hunt, Refusal> {
    let filter = parameters.filter()?;
    let (since, until) = parameters.moments()?;
    let from = parameters.number("from")?;
    let to = parameters.number("to")?.unwrap_or(end).min(end);
    let limit = parameters.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let wants_newest_first = match parameters.text("order") {
        None | Some("asc") => false,
        Some("desc") => true,
        Some(other) => return Err(Refusal::parameter("order", other, "`order` is asc or desc", None)),
    };
    let turns = !wants_newest_first && limit.is_some() && from.is_none();
    let is_backward = wants_newest_first || turns;
    // What a filter asks about the rest of the task is not seen by the store; that is judged here.
    let is_judged_here = filter.needs_goals() || filter.needs_task();
    let query = Query {
        since,
        until,
        from: Some(if is_backward { to } else { from.unwrap_or(0) }),
        order: if is_backward { Order::NewestFirst } else { Order::OldestFirst },
        limit: limit.filter(|_| !is_judged_here),
        patience: Some(MOST_TIME),
        filter: if is_judged_here { Filter::everything() } else { filter.clone() },
    };
    let reader = parts.state.reader.clone();
    let limit = limit.unwrap_or(usize::MAX);
    Ok(Hunt {
        filter,
        query,
        bounds: from.unwrap_or(0)..to,
        limit,
        turns,
        around: Around::new(reader.clone()),
        reader,
    })
}

impl Hunt {
    fn run(mut self, mut output: Output) {
        let done = if self.turns { self.write_turned(&mut output) } else { self.write(&mut output) };
        match done.and_then(|()| output.send()) {
            Ok(()) | Err(Stop::Gone) => {}
            Err(Stop::Refused(refusal)) => {
                let _gone = output.sender.blocking_send(Err(refusal));
            }
        }
    }

    fn count(&self) -> Result<u64, Refusal> {
        let is_whole = self.limit == usize::MAX && self.query.order == Order::OldestFirst;
        if is_whole && self.query.filter == self.filter && self.bounds.end >= self.reader.bounds().end {
            return Ok(self.reader.count(&self.query)?);
        }
        let mut count = 0;
        self.each(|_| {
            count += 1;
            Ok(())
        })
        .map_err(Stop::into_refusal)?;
        Ok(count)
    }

    fn write(&self, output: &mut Output) -> Result<(), Stop> {
        self.each(|entry| output.put(&entry))
    }

    /// Backward to find the newest, then what was found the other way round. When that is more than should be kept,
    /// the records are read once more, forward from the first of them.
    fn write_turned(&mut self, output: &mut Output) -> Result<(), Stop> {
        let mut kept = Vec::new();
        let (mut count, mut first) = (0_usize, self.bounds.end);
        self.each(|entry| {
            output.check_time()?;
            count += 1;
            first = entry.offset;
            if count <= MOST_KEPT {
                kept.push(entry);
            } else {
                kept = Vec::new();
            }
            Ok(())
        })?;
        if count <= MOST_KEPT {
            return kept.iter().rev().try_for_each(|entry| output.put(entry));
        }
        self.query.order = Order::OldestFirst;
        self.query.from = Some(first);
        self.write(output)
    }

    /// What passes, in the query's order, up to the limit.
    fn each(&self, mut take: impl FnMut(Entry) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut left = self.limit;
        if left == 0 || self.bounds.is_empty() {
            return Ok(());
        }
        for entry in self.reader.search(&self.query).map_err(Stop::from)? {
            let entry = entry.map_err(Stop::from)?;
            if !self.bounds.contains(&entry.offset) {
                return Ok(());
            }
            if self.query.filter != self.filter && !self.around.passes(&self.filter, &entry) {
                continue;
            }
            take(entry)?;
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Output {
    fn new(sender: mpsc::Sender<Result<Bytes, Refusal>>) -> Self {
        Self {
            sender,
            piece: Vec::with_capacity(PIECE + 4096),
            searched: Duration::ZERO,
            since: Instant::now(),
        }
    }

    fn put(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.piece.extend_from_slice(entry.to_json().as_bytes());
        self.piece.push(b'\n');
        if self.piece.len() >= PIECE { self.send() } else { self.check_time() }
    }

    /// Waits while the client is slow. That time is not the search's.
    fn send(&mut self) -> Result<(), Stop> {
        self.check_time()?;
        self.searched += self.since.elapsed();
        if !self.piece.is_empty() {
            let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE + 4096));
            self.sender.blocking_send(Ok(Bytes::from(piece))).map_err(|_| Stop::Gone)?;
        }
        self.since = Instant::now();
        Ok(())
    }

    fn check_time(&self) -> Result<(), Stop> {
        if self.sender.is_closed() {
            return Err(Stop::Gone);
        }
        if self.searched + self.since.elapsed() < MOST_TIME {
            return Ok(());
        }
        Err(Stop::Refused(Refusal::time_up(MOST_TIME)))
    }
}

impl Stop {
    fn into_refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::Gone => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the client has gone"),
        }
    }
}

impl From<distlog_store::Error> for Stop {
    fn from(error: distlog_store::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let broken = |_| io::Error::other("the search could not be finished");
        self.rest.poll_recv(context).map(|piece| piece.map(|piece| piece.map_err(broken)))
    }
}
