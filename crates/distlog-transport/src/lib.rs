//! 0MQ for distlog: the only code that names a 0MQ library.
//!
//! Two ends that share nothing but the wire. The daemon takes [`Listener`] (feature
//! `listener`), which stands on `omq-tokio`. A program that logs takes [`Sender`] (feature
//! `sender`), which speaks the few bytes of ZMTP a PUSH socket needs from one plain thread:
//! no runtime and no library goes into a user's process.
//!
//! What holds on both ends:
//! - one message is one record, and one bad message or peer touches no other;
//! - everything is bounded, and what a bound cut off is counted;
//! - PUSH cannot be acknowledged: what the kernel had taken when a daemon died is lost. DEALER can: its daemon answers.

pub mod acked;
#[cfg(feature = "sender")]
mod connection;
mod endpoint;
mod error;
#[cfg(feature = "listener")]
mod listener;
#[cfg(feature = "sender")]
mod queue;
#[cfg(feature = "sender")]
mod sender;
#[cfg(feature = "sender")]
mod zmtp;

pub use endpoint::is_loopback;
pub use error::Error;
#[cfg(feature = "listener")]
pub use listener::{Answers, Counters, Door, Frame, Limits, Listener, Message, Peer};
#[cfg(feature = "sender")]
pub use sender::{Acks, Gap, GapRecord, Pushed, Sender, SenderOptions, SenderStats, forked, process_id};

/// The largest message either end takes by default: all its frames together.
pub const MESSAGE_BYTES: usize = 1 << 20;
