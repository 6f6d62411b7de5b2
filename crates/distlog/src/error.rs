//! Everything this crate can refuse, as one enum.
//!
//! The texts are written for people, but without advice: the daemon and the viewer know
//! where the input came from and add what to do about it.

use std::fmt;

/// Why some input could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The text is not JSON; `at` is the byte where reading stopped.
    Json {
        /// Byte position in the text.
        at: usize,
        /// What was wrong there.
        reason: &'static str,
    },
    /// The bytes are not UTF-8.
    Utf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// The bytes are no pickled dict.
    Pickle {
        /// Byte position of the opcode.
        at: usize,
        /// What was wrong there.
        reason: &'static str,
    },
    /// The input is well formed but larger than this crate reads.
    Limit {
        /// What there was too much of.
        reason: &'static str,
    },
    /// A goal id or record key does not have its form.
    Goal {
        /// What was wrong.
        reason: &'static str,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { at, reason } => write!(f, "bad JSON at byte {at}: {reason}"),
            Self::Utf8 { at } => write!(f, "byte {at} is not UTF-8"),
            Self::Pickle { at, reason } => write!(f, "bad pickle at byte {at}: {reason}"),
            Self::Limit { reason } => write!(f, "over the limit: {reason}"),
            Self::Goal { reason } => write!(f, "bad goal id: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
