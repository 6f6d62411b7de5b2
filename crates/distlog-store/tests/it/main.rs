//! The store's promises, from outside.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in what tests share too")]

mod crash;
mod damage;
mod follow;
mod model;
mod query;
mod retention;
mod scratch;
