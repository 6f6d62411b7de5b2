//! The vocabulary's tests, one binary.

mod filter;
mod json;
mod pickle;
mod speed;
mod wire;
