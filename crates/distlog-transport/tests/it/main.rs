//! The transport from outside: both ends over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking, and a test process speaks on stderr"
)]

mod hostile;
mod limits;
mod peer;
mod round_trip;
