//! What the routes share, how they read parameters, and how they refuse.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use distlog::filter::{Filter, FilterError};
use distlog_store::Reader;
use jiff::tz::TimeZone;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::health::Health;
use crate::stats::Stats;
use crate::time;

/// Streams open at once.
pub(super) const MOST_STREAMS: usize = 64;
/// Questions to the store at once. One whose client reads slowly keeps its place.
const MOST_SCANS: usize = 32;
/// The longest a question may take, not counting the time the client takes.
pub(super) const MOST_TIME: Duration = Duration::from_secs(60);
/// How long a question waits for its place.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the daemon gives to the API.
#[derive(Clone)]
pub struct State {
    /// The store.
    pub reader: Reader,
    /// What the daemon has counted.
    pub stats: Arc<Stats>,
    /// Whether it is well.
    pub health: Arc<Health>,
    /// Names besides localhost and the listen address under which clients may ask.
    pub allowed_hosts: Vec<String>,
}

/// The state, and what the API adds to it.
pub(super) struct Parts {
    pub(super) state: State,
    /// Where the API listens.
    pub(super) listens: Option<SocketAddr>,
    /// The offset the next record will get, after each commit.
    pub(super) committed: watch::Receiver<u64>,
    /// True once the daemon stops.
    pub(super) stopping: watch::Receiver<bool>,
    /// One permit a stream.
    pub(super) streams: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

/// A request's parameters.
pub(super) struct Parameters(Vec<(String, String)>);

/// An error as the client gets it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
    /// Which parameter is wrong, and where (bytes).
    place: Option<(&'static str, Range<usize>)>,
    help: Option<String>,
}

impl Parts {
    pub(super) fn new(state: State, listens: Option<SocketAddr>) -> Self {
        let (wake, committed) = watch::channel(state.reader.bounds().end);
        state.reader.on_commit(Box::new(move |next| {
            let _before = wake.send_replace(next);
        }));
        let (stop, stopping) = watch::channel(false);
        let [streams, scans] = [MOST_STREAMS, MOST_SCANS].map(|most| Arc::new(Semaphore::new(most)));
        Self { state, listens, committed, stopping, streams, scans, stop }
    }

    /// Ends all streams.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// A place for a question to the store.
    pub(super) async fn scan(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let busy =
            || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many searches are running; try again");
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.scans).acquire_owned()).await;
        place.map_err(|_| busy())?.map_err(|_| busy())
    }

    /// Asks the store on a thread that may block.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.scan().await?;
        let reader = self.state.reader.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = question(&reader);
            drop(place);
            answer
        });
        answer.await.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the question failed"))?
    }
}

impl Parameters {
    pub(super) fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The parameter, if it is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(has, value)| has == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = |_| Refusal::parameter(name, text, &format!("`{name}` is a whole number"), None);
        text.parse().map(Some).map_err(wrong)
    }

    /// A time or an age; without a zone it is UTC.
    pub(super) fn moment(&self, name: &'static str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let moment = time::parse(text, time::now(), &TimeZone::UTC);
        moment.map(Some).map_err(|wrong| Refusal::parameter(name, text, &wrong.message, Some(wrong.help)))
    }

    /// `since` and `until`.
    pub(super) fn moments(&self) -> Result<(Option<i64>, Option<i64>), Refusal> {
        let (since, until) = (self.moment("since")?, self.moment("until")?);
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            let text = self.text("until").unwrap_or_default();
            return Err(Refusal::parameter("until", text, "`until` lies before `since`", None));
        }
        Ok((since, until))
    }

    /// The filter; everything passes if there is none.
    pub(super) fn filter(&self) -> Result<Filter, Refusal> {
        let Some(text) = self.text("filter") else { return Ok(Filter::everything()) };
        Filter::parse_at(text, time::now()).map_err(|wrong| Refusal::filter("filter", wrong))
    }
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), place: None, help: None }
    }

    /// A parameter is wrong as a whole.
    pub(super) fn parameter(name: &'static str, text: &str, message: &str, help: Option<&str>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.to_owned(),
            place: Some((name, 0..text.len())),
            help: help.map(str::to_owned),
        }
    }

    /// A question took too long.
    pub(super) fn time_up(after: Duration) -> Self {
        let message = format!(
            "the search took longer than {} s; narrow it with since, until or limit",
            after.as_secs()
        );
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// A filter is wrong somewhere.
    pub(super) fn filter(name: &'static str, wrong: FilterError) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: wrong.message,
            place: Some((name, wrong.at)),
            help: wrong.help,
        }
    }

    /// The error as JSON, without its envelope.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let mut error = json!({"message": self.message});
        if let (Some(error), Some((parameter, at))) = (error.as_object_mut(), &self.place) {
            error.insert("parameter".to_owned(), json!(parameter));
            error.insert("at".to_owned(), json!([at.start, at.end]));
            error.insert("help".to_owned(), json!(self.help));
        }
        error
    }
}

impl From<distlog_store::Error> for Refusal {
    fn from(error: distlog_store::Error) -> Self {
        match error {
            distlog_store::Error::TimeUp { after } => Self::time_up(after),
            error => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the store cannot be read: {error}"))
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let text = json!({"error": self.to_json()}).to_string() + "\n";
        (self.status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
    }
}
