//! The daemon `distlogd` and the viewer `distlog`: two programs, one library.
//!
//! The daemon is one pipe with a safe point in its middle. Before it: sockets → receiver → writer, which
//! decodes, drops what a `drop` rule names and commits batches to the embedded store. After it: one thread per
//! processor and any number of viewers, each reading the store from its own cursor. Everything after the safe point can
//! be done again, so one dead or slow reader changes nothing for the others.
//!
//! Start order is the data's way reversed (store, processors, http, sockets); stop order is along it.

pub mod api;
mod cli;
mod commands;
pub mod config;
mod daemon;
mod error;
pub mod health;
pub mod processors;
mod producers;
mod receiver;
mod report;
pub mod rules;
pub mod runner;
pub mod stats;
pub mod terminal;
pub mod time;
pub mod views;
mod writer;

pub use cli::main;

/// Now, in nanoseconds since the epoch. The one place where the daemon's path reads the clock.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
