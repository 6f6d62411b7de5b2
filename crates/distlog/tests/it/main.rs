//! The vocabulary's tests, one binary.

mod filter;
mod goal;
mod json;
mod pickle;
mod speed;
mod tree;
mod wire;
