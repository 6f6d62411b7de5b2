//! The embedded store: durable queue, replay log and searchable store in one.
pub mod cursor;
pub mod entry;
pub mod error;
pub mod follow;
pub mod options;
pub mod query;
pub mod reader;
pub(crate) mod block;
mod segment;
pub mod store;

pub use cursor::Cursors;
pub use entry::Entry;
pub use error::Error;
pub use follow::Follower;
pub use options::{Maintenance, Options, Stats};
pub use query::{Bucket, Order, Query, Search};
pub use reader::Reader;
pub use store::{Mark, Store};
