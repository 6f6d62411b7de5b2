//! The HTTP API: read-only, for viewers, scripts, monitoring and the page.
//!
//! | file | routes |
//! |---|---|
//! | `search.rs` | `/api/v1/search` |
//! | `stream.rs` | `/api/v1/stream` |
//! | `tasks.rs` | `/api/v1/task/{id}`, `/api/v1/tasks` |
//! | `counts.rs` | `/api/v1/histogram`, `/facets`, `/fields`, `/stats` |
//! | `check.rs` | `POST /api/v1/filter/check` |
//! | here | `/`, `/healthz`, `/readyz`, `/metrics` |
//!
//! What holds for all of them: a request passes [`guard`] first; whatever reads the store runs on a thread that may
//! block; whatever a client can make large is bounded; an error is JSON, `{"error": {"message", …}}`.

mod around;
mod check;
mod counts;
mod guard;
mod lenient;
mod search;
mod state;
mod stream;
mod tasks;

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use lenient::Lenient;
pub use state::State;
use state::{Parts, Refusal};

/// Connections open at once; more are closed at once.
const MOST_CONNECTIONS: usize = 256;
/// A request's head arrives within this time, and a connection without requests is closed after it.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A request's head is no larger; a filter of 4 KiB, percent-encoded, goes in.
const HEAD_BYTES: usize = 32 << 10;
/// What is still running so long after the stop is cut off.
const STOP_TIME: Duration = Duration::from_secs(2);

/// Answers requests until `shutdown` is ready; then ends the streams, lets answers finish, and returns.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) {
    let parts = Arc::new(Parts::new(state, listener.local_addr().ok()));
    let router = router(Arc::clone(&parts));
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match (accepted, Arc::clone(&room).try_acquire_owned()) {
                (Ok((socket, _)), Ok(permit)) => {
                    let connection = connection(socket, router.clone(), &graceful);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                (Ok(_), Err(_)) => {}
                // Out of file descriptors, most likely: others must be closed first.
                (Err(_), _) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
    drop(listener);
    parts.stop();
    if tokio::time::timeout(STOP_TIME, graceful.shutdown()).await.is_err() {
        connections.abort_all();
    }
}

/// All routes. Public for tests that need no socket.
fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/search", get(search::search))
        .route("/api/v1/stream", get(stream::stream))
        .route("/api/v1/task/{*id}", get(tasks::task))
        .route("/api/v1/tasks", get(tasks::tasks))
        .route("/api/v1/histogram", get(counts::histogram))
        .route("/api/v1/facets", get(counts::facets))
        .route("/api/v1/fields", get(counts::fields))
        .route("/api/v1/stats", get(counts::stats))
        .route("/api/v1/filter/check", post(check::check))
        .fallback(|| async { Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take that method")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&parts), guard::guard))
        .with_state(parts)
}

fn connection(
    socket: TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
) -> impl Future<Output = ()> + use<> {
    let _slower = socket.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Lenient::new(socket)), TowerToHyperService::new(router));
    let connection = graceful.watch(connection);
    async move {
        // What a client does wrong in HTTP has been answered already, as far as it can be.
        let _ended = connection.await;
    }
}

async fn ready(Shared(parts): Shared<Arc<Parts>>) -> Response {
    let health = &parts.state.health;
    let reports =
        health.reports().into_iter().map(|(part, what)| format!("{part}: {what}\n")).collect::<String>();
    if health.is_ready() {
        (StatusCode::OK, format!("ready\n{reports}")).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{reports}")).into_response()
    }
}

async fn metrics(Shared(parts): Shared<Arc<Parts>>) -> Result<Response, Infallible> {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, parts.state.stats.render_prometheus()).into_response())
}

async fn page() -> Response {
    let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    (kind, include_str!("page.html")).into_response()
}
