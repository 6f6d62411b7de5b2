//! The Rust core of the Python package.
