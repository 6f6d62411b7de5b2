//! Why the daemon did not start, or did not end well: one line for people, and an exit code.

use std::fmt;

use crate::config::Refused;

/// The exit code of a bad configuration (`EX_CONFIG`).
pub(crate) const EXIT_CONFIG: u8 = 78;
/// The exit code of everything else.
pub(crate) const EXIT_OTHER: u8 = 1;

/// Why the program ends.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The configuration cannot be used.
    Config(Refused),
    /// Anything else at the start or the end: what, where, and what to do, in one line.
    Other(String),
}

impl Error {
    /// The program's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            Self::Other(_) => EXIT_OTHER,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(refused) => refused.fmt(f),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Config(refused)
    }
}
