//! The transport from outside: both ends over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod acked;
mod hostile;
mod limits;
mod peer;
mod round_trip;
