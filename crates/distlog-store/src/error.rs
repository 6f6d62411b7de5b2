//! Everything the store can refuse or fail at, as one enum.
//!
//! A damaged block is no error: it is skipped, counted in [`crate::Stats::damaged`] and the rest is read.

use std::fmt;
use std::path::PathBuf;

/// Why the store could not do what was asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the directory open for writing.
    Locked {
        /// Its process id, as it wrote it into the lock file; `None` if that could not be read.
        pid: Option<u32>,
    },
    /// A file was written by a newer distlog; nothing was touched.
    Newer {
        /// The file.
        path: PathBuf,
        /// The format version found in it.
        found: u32,
        /// The newest version this program reads.
        known: u32,
    },
    /// A file or directory could not be used.
    Disk {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// The path it was done to.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    Database {
        /// What was being done, as a verb phrase.
        doing: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// Bytes on disk are not what was written.
    Damaged {
        /// What is wrong.
        reason: &'static str,
    },
    /// An answer would be larger than anybody can use.
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most that is answered.
        limit: usize,
    },
    /// The question took longer than the asker's patience.
    TimeUp {
        /// That patience.
        after: std::time::Duration,
    },
    /// A commit failed before and too many records wait for the disk to heal, so these were not taken.
    Waiting {
        /// How many records were turned away by this call.
        refused: usize,
    },
}

impl Error {
    /// For `map_err`: what was being done when SQLite refused.
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { doing, source }
    }

    /// For `map_err`: what was being done to which path when the system refused.
    pub(crate) fn disk(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Disk { doing, path: path.to_path_buf(), source }
    }

    /// Whether the bytes of the file itself are at fault, so that another try cannot help.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged { .. } => true,
            Self::Database { source: rusqlite::Error::SqliteFailure(failure, _), .. } => {
                [DatabaseCorrupt, NotADatabase].contains(&failure.code)
            }
            // A table that is gone, or holds another type than was written.
            Self::Database { source, .. } => !matches!(source, rusqlite::Error::SqliteFailure(..)),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { pid: Some(pid) } => write!(f, "the store is in use by process {pid}"),
            Self::Locked { pid: None } => f.write_str("the store is in use by another process"),
            Self::Newer { path, found, known } => write!(
                f,
                "{} has format version {found}, this program reads up to version {known}",
                path.display()
            ),
            Self::Disk { doing, path, source } => write!(f, "cannot {doing} {}: {source}", path.display()),
            Self::Database { doing, source } => write!(f, "cannot {doing}: {source}"),
            Self::Damaged { reason } => write!(f, "damaged: {reason}"),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            Self::TimeUp { after } => write!(f, "this took longer than {} s", after.as_secs()),
            Self::Waiting { refused } => {
                write!(f, "{refused} records refused: the disk has not taken those before them")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::Database { source, .. } => Some(source),
            _ => None,
        }
    }
}
