//! The vocabulary's tests, one binary.

mod json;
mod pickle;
mod speed;
mod wire;
