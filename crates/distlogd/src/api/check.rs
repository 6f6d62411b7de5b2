//! `POST /api/v1/filter/check`: whether a text is a filter, and how it was read.
//!
//! The body is the filter's text, or `{"filter": "…"}`; no filter begins with a brace. The answer is
//! `{"ok": true, "reads_as": "…"}`, or `{"ok": false, "error": {"message", "at": [start, end], "help"}}`; places are bytes.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use distlog::Raw;
use distlog::filter::Filter;
use serde_json::json;

use super::state::Refusal;
use crate::time;

/// Twice what a filter may have.
const MOST_BYTES: usize = 8 << 10;
const BODY_TIME: Duration = Duration::from_secs(10);

/// Checks one filter.
pub(super) async fn check(body: Body) -> Result<Response, Refusal> {
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, MOST_BYTES)).await;
    let body =
        body.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the filter did not arrive in time"))?;
    let body = body.map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "a filter has at most 4 KiB"))?;
    let text =
        std::str::from_utf8(&body).map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "a filter is UTF-8"))?;
    let answer = match Filter::parse_at(&filter_of(text)?, time::now()) {
        Ok(filter) => json!({"ok": true, "reads_as": filter.explain()}),
        Err(wrong) => json!({"ok": false, "error": Refusal::filter("filter", wrong).to_json()}),
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.to_string() + "\n").into_response())
}

fn filter_of(text: &str) -> Result<String, Refusal> {
    if !text.trim_start().starts_with('{') {
        return Ok(text.to_owned());
    }
    let wrong = || Refusal::new(StatusCode::BAD_REQUEST, "the body is a filter, or {\"filter\": \"…\"}");
    let object = distlog::json::record(text.trim()).map_err(|_| wrong())?;
    let filter = distlog::Fields::get(&object, "filter").and_then(Raw::into_str);
    filter.map(|filter| filter.into_owned()).ok_or_else(wrong)
}
