//! The transport from outside: both ends over real sockets.

mod hostile;
mod limits;
mod peer;
mod round_trip;
