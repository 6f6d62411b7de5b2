//! The vocabulary's tests, one binary.

mod json;
mod speed;
mod wire;
