//! The vocabulary's tests, one binary.

#![expect(
    clippy::unwrap_used,
    clippy::let_underscore_must_use,
    clippy::too_many_lines,
    reason = "a panic is how a test fails, tables are long, and some calls are only made to see that they return"
)]

mod filter;
mod goal;
mod json;
mod pickle;
mod speed;
mod tree;
mod wire;
