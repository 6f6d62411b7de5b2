//! The vocabulary of distlog: what a record is, what a goal is, and every form either takes.
//!
//! Client, store, daemon and viewers all speak through this crate, and only through it.
//! It does no I/O, reads no clock and starts no thread: time arrives as an argument,
//! bytes arrive as slices, and the same input gives the same output everywhere.
//!
//! Reading order: [`record`] (the one data type), [`json`] and [`pickle`] (how bytes become records),
//! [`wire`] (how messages become records, and never fail to), [`goal`] and [`tree`] (how records become trees),
//! [`filter`] (the one condition language of rules and views).

mod base64;
pub mod error;
pub mod filter;
pub mod goal;
pub mod json;
pub mod pickle;
pub mod record;
pub mod tree;
pub mod wire;

pub use error::Error;
pub use goal::{GoalId, GoalPrefix, Key};
pub use record::{Fields, Raw, Record};
