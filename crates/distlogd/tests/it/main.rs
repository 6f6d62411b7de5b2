//! The daemon's parts, through the crate's own doors. Running programs are tested in `tests/daemon`, in Python.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails")]

mod api;
mod config;
mod conformance;
mod rules;
mod runner;
mod views;
