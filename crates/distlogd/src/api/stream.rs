//! `/api/v1/stream`: records as they are stored, as server-sent events.
//!
//! ```text
//! id: 41                                      the last offset that was looked at
//! event: r
//! data: [{…,"_offset":40,…},{…,"_offset":41,…}]
//!
//! id: 96509
//! event: gap                                  left out: the client was too slow, or they are no longer kept
//! data: {"from":91200,"to":96509,"count":5310}
//!
//! : alive                                     every few seconds, with the id looked at so far
//! id: 97000
//! ```
//!
//! Parameters: `filter`, `from` (the first offset wanted), `slow` (`skip`, `wait`). The header `Last-Event-ID` (the last
//! offset had) goes before `from`, as browsers send it when they connect again. With neither the stream starts now.
//!
//! A stream is a position in the store, nothing more: history and live are one path, and there is no queue that could
//! grow. A client that reads slowly leaves its position behind. Once it has been live, has kept the stream waiting, and
//! is more than [`MOST_BEHIND`] records behind, the stream jumps to the present and says what was left out; with
//! `slow=wait` it never does. Nobody is ever disconnected for being slow.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query as Asked, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use distlog::filter::Filter;
use distlog_store::{Query, Reader, Search};
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use super::around::Around;
use super::state::{MOST_STREAMS, Parameters, Parts, Refusal};

/// How often a silent stream says that it is alive.
const ALIVE: Duration = Duration::from_secs(5);
/// A live stream gathers records for so long, so that a burst is a few batches and not many.
const GATHER: Duration = Duration::from_millis(50);
/// Records of one batch, and its size.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 256 << 10;
/// Batches that may wait for the client.
const WAITING: usize = 4;
/// A live stream so far behind jumps to the present.
pub(super) const MOST_BEHIND: u64 = 10_000;
/// Closer than this to the present, records are read from memory instead of searched for.
const NEAR: u64 = 4096;

/// One client's stream.
struct Feed {
    parts: Arc<Parts>,
    filter: Filter,
    /// The next offset to look at.
    position: u64,
    /// Whether it has reached the present once.
    is_live: bool,
    skips: bool,
    has_waited: bool,
    /// A walk through history that goes on with the next batch: blocks are large, and unpacked once.
    history: Option<History>,
    sender: mpsc::Sender<Bytes>,
}

/// A search, and the offset up to which it sees everything.
type History = (Search, u64);

/// What one look at the store gave.
struct Batch {
    json: String,
    count: usize,
    next: u64,
}

struct Frames {
    frames: mpsc::Receiver<Bytes>,
    _place: OwnedSemaphorePermit,
}

/// The client has gone, or the daemon stops.
struct Over;

/// Opens one stream.
pub(super) async fn stream(
    Shared(parts): Shared<Arc<Parts>>,
    headers: HeaderMap,
    Asked(asked): Asked<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let parameters = Parameters::new(asked);
    let filter = parameters.filter()?;
    if filter.needs_task() {
        let text = parameters.text("filter").unwrap_or_default();
        let help = Some("/api/v1/search and /api/v1/tasks take it");
        return Err(Refusal::parameter("filter", text, "a stream cannot know the rest of a task", help));
    }
    let skips = match parameters.text("slow") {
        None | Some("skip") => true,
        Some("wait") => false,
        Some(other) => return Err(Refusal::parameter("slow", other, "`slow` is skip or wait", None)),
    };
    let place = Arc::clone(&parts.streams).try_acquire_owned().map_err(|_| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, format!("{MOST_STREAMS} streams are open; close one"))
    })?;
    let position = start(&parts, &headers, &parameters)?;
    let (sender, frames) = mpsc::channel(WAITING);
    let is_live = position >= parts.state.reader.bounds().end;
    let feed = Feed { parts, filter, position, is_live, skips, has_waited: false, history: None, sender };
    tokio::spawn(feed.run());
    let headers = [(header::CONTENT_TYPE, "text/event-stream")];
    Ok((headers, Body::from_stream(Frames { frames, _place: place })).into_response())
}

fn start(parts: &Parts, headers: &HeaderMap, parameters: &Parameters) -> Result<u64, Refusal> {
    let bounds = parts.state.reader.bounds();
    let last = headers.get("last-event-id").filter(|last| !last.is_empty());
    let Some(last) = last else { return Ok(parameters.number("from")?.unwrap_or(bounds.end)) };
    let last = last.to_str().ok().and_then(|last| last.parse::<u64>().ok());
    let next = last.and_then(|last| last.checked_add(1));
    let next = next.ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "Last-Event-ID is an offset"))?;
    // An offset never given out is of another store: of this one the client has seen nothing.
    Ok(if next > bounds.end { bounds.start } else { next })
}

impl Feed {
    async fn run(mut self) {
        let mut stopping = self.parts.stopping.clone();
        tokio::select! {
            _over = self.feed() => {}
            _stop = stopping.wait_for(|stops| *stops) => {}
        }
    }

    async fn feed(&mut self) -> Result<(), Over> {
        self.send(": distlog\nretry: 1000\n\n".to_owned()).await?;
        let mut committed = self.parts.committed.clone();
        loop {
            let gathered = Instant::now() + GATHER;
            let bounds = self.parts.state.reader.bounds();
            if self.position < bounds.start {
                self.skip_to(bounds.start).await?;
            } else if self.position >= bounds.end {
                self.is_live = true;
                self.wait(&mut committed).await?;
            } else {
                let batch = self.look(bounds.end).await?;
                self.position = batch.next;
                if batch.count > 0 {
                    self.send(format!("id: {}\nevent: r\ndata: [{}]\n\n", batch.next - 1, batch.json))
                        .await?;
                }
                self.catch_up().await?;
                if self.is_live && self.position >= bounds.end {
                    sleep_until(gathered).await;
                }
            }
        }
    }

    /// Until there is something new. Says every few seconds that the stream is alive.
    async fn wait(&mut self, committed: &mut tokio::sync::watch::Receiver<u64>) -> Result<(), Over> {
        loop {
            let position = self.position;
            tokio::select! {
                is_open = async { committed.wait_for(|next| *next > position).await.is_ok() } => {
                    return if is_open { Ok(()) } else { Err(Over) };
                }
                () = sleep(ALIVE) => {}
                () = self.sender.closed() => return Err(Over),
            }
            let id = position.checked_sub(1).map(|last| format!("id: {last}\n")).unwrap_or_default();
            self.send(format!(": alive\n{id}\n")).await?;
            if self.parts.state.reader.bounds().end > position {
                return Ok(());
            }
        }
    }

    /// The next records that pass, up to a batch, from what is stored before `end`.
    async fn look(&mut self, end: u64) -> Result<Batch, Over> {
        let (reader, filter, position) =
            (self.parts.state.reader.clone(), self.filter.clone(), self.position);
        let history = self.history.take();
        let looked =
            tokio::task::spawn_blocking(move || look(&reader, &filter, position..end, history)).await;
        match looked {
            Ok(Ok((batch, history))) => {
                self.history = history;
                Ok(batch)
            }
            // The store cannot be read now: the client connects again, and goes on where it was.
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }

    async fn send(&mut self, frame: String) -> Result<(), Over> {
        let frame = Bytes::from(frame);
        let permit = match self.sender.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Full(())) => {
                self.has_waited = true;
                self.sender.reserve().await.map_err(|_| Over)?
            }
            Err(mpsc::error::TrySendError::Closed(())) => return Err(Over),
        };
        permit.send(frame);
        Ok(())
    }

    /// Jumps to the present if the client is too slow for what comes.
    async fn catch_up(&mut self) -> Result<(), Over> {
        let end = self.parts.state.reader.bounds().end;
        let is_behind = end.saturating_sub(self.position) > MOST_BEHIND;
        if !is_behind {
            self.has_waited = false;
        } else if self.skips && self.is_live && self.has_waited {
            self.skip_to(end).await?;
        }
        Ok(())
    }

    async fn skip_to(&mut self, next: u64) -> Result<(), Over> {
        let (from, to) = (self.position, next - 1);
        self.position = next;
        self.history = None;
        let count = next - from;
        self.send(format!(
            "id: {to}\nevent: gap\ndata: {{\"from\":{from},\"to\":{to},\"count\":{count}}}\n\n"
        ))
        .await
    }
}

/// One batch, and the walk that found it if that has more.
fn look(
    reader: &Reader,
    filter: &Filter,
    offsets: Range<u64>,
    history: Option<History>,
) -> Result<(Batch, Option<History>), distlog_store::Error> {
    let around = Around::new(reader.clone());
    let mut batch = Batch { json: String::new(), count: 0, next: offsets.end };
    if history.is_none() && offsets.end - offsets.start <= NEAR {
        // No more than a batch can hold, so that large records are not read again and again.
        let limit = usize::try_from(offsets.end - offsets.start).unwrap_or(BATCH).min(BATCH);
        let entries = reader.read(offsets.start, limit)?;
        for entry in entries.iter().take_while(|entry| entry.offset < offsets.end) {
            batch.next = entry.offset + 1;
            if around.passes(filter, entry) && batch.put(&entry.to_json(), entry.offset) {
                break;
            }
        }
        return Ok((batch, None));
    }
    let is_judged_here = filter.needs_goals();
    let first = || if is_judged_here { Filter::everything() } else { filter.clone() };
    let (mut search, end) = match history {
        Some(history) => history,
        None => (reader.search(&Query { from: Some(offsets.start), ..Query::new(first()) })?, offsets.end),
    };
    batch.next = end;
    for entry in search.by_ref() {
        let entry = entry?;
        if entry.offset >= end {
            break;
        }
        let passes = !is_judged_here || around.passes(filter, &entry);
        if passes && batch.put(&entry.to_json(), entry.offset) {
            return Ok((batch, Some((search, end))));
        }
    }
    Ok((batch, None))
}

impl Batch {
    /// Whether it is full now; then it ends here.
    fn put(&mut self, json: &str, offset: u64) -> bool {
        if self.count > 0 {
            self.json.push(',');
        }
        self.json.push_str(json);
        self.count += 1;
        let is_full = self.count >= BATCH || self.json.len() >= BATCH_BYTES;
        if is_full {
            self.next = offset + 1;
        }
        is_full
    }
}

impl Stream for Frames {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.frames.poll_recv(context).map(|frame| frame.map(Ok))
    }
}
