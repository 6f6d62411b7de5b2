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
            Self::Goal { reason } => write!(f, "bad goal id: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
