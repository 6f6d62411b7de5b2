//! The embedded store: durable queue, replay log and searchable store in one directory, and in one transaction.
//!
//! # The bytes on disk
//!
//! | file | holds |
//! |---|---|
//! | `seg-<first offset, 20 digits>.db` (`-wal`, `-shm`) | records from that offset up to the next segment's: SQLite, tables in `segment.rs` |
//! | `seg-….db.bad` | a segment that could not be opened, set aside |
//! | `state.db` | the named cursors: `cursor.rs` |
//! | `lock` | the process id of the writer, who has it locked: `lock.rs` |
//!
//! A commit puts what was received into the `journal` table (`journal.rs`); once 1,024 records have gathered, the commit
//! that makes them so many writes them as one *block* and empties the journal, in the same transaction. A block holds its
//! records as columns, each in a codec that fits, in parts that are compressed and checked one by one: `block/mod.rs`.
//! `PRAGMA user_version` is the format of a file, the first byte of a part that of the part. What is newer is refused.
//!
//! # The promises, each held by a test in `tests/it`
//!
//! 1. When [`Store::append`] returns, its records survive a crash of the process and of the machine, with the marks of that call.
//! 2. Offsets are dense from 0, in the order of the calls, and stand for the same record for ever.
//! 3. A [`Follower`] sees each offset once and in order, while blocks are merged, segments rolled and old ones removed.
//! 4. A record comes back with the names, the order and the raw JSON values it came with.
//! 5. Damage costs the block it is in, is counted, and is never fatal.
//! 6. Readers hold up neither the writer nor each other, in this process or in others.
//!
//! # Reading order
//!
//! [`store`] (append), `segment`, `writing`, `journal`, `block` (the bytes), `maintain` (roll, merge, retention), `scan` (the walk all
//! queries share), [`query`], `tally`, `trees` (the questions), [`follow`] and `recent` (history and live as one).

mod block;
pub mod cursor;
pub mod entry;
pub mod error;
pub mod follow;
mod journal;
mod lock;
mod maintain;
pub mod options;
pub mod query;
pub mod reader;
mod recent;
mod scan;
mod segment;
mod shared;
pub mod store;
mod tally;
mod trees;
mod writing;

pub use cursor::Cursors;
pub use entry::Entry;
pub use error::Error;
pub use follow::Follower;
pub use options::{Maintenance, Options, Stats};
pub use query::{Bucket, Order, Query, Search};
pub use reader::Reader;
pub use store::{Mark, Store};
