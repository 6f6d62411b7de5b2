//! Everything this crate can refuse, as one enum.
//!
//! The texts say what went wrong and where; what to do about it is added by the daemon and
//! the Python package, which know which setting named the endpoint.

use std::fmt;
use std::io;

/// Why an endpoint could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The text is not an endpoint, or not one that can be used here.
    BadEndpoint {
        /// The text as given.
        endpoint: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Somebody listens there already.
    AddressInUse {
        /// The endpoint as given.
        endpoint: String,
    },
    /// The address is none of this machine's, or its name is unknown.
    AddressNotAvailable {
        /// The endpoint as given.
        endpoint: String,
    },
    /// This user may not listen there.
    PermissionDenied {
        /// The endpoint as given.
        endpoint: String,
    },
    /// Anything else the operating system refused.
    Io {
        /// The endpoint as given.
        endpoint: String,
        /// Its answer.
        source: io::Error,
    },
    /// The listener was closed.
    Closed,
}

impl Error {
    /// What the operating system's answer means for this endpoint.
    #[cfg(feature = "listener")]
    pub(crate) fn from_io(endpoint: &str, source: io::Error) -> Self {
        let endpoint = endpoint.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { endpoint },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { endpoint },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { endpoint },
            _ => Self::Io { endpoint, source },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadEndpoint { endpoint, reason } => write!(f, "bad endpoint {endpoint:?}: {reason}"),
            Self::AddressInUse { endpoint } => write!(f, "{endpoint} is in use"),
            Self::AddressNotAvailable { endpoint } => {
                write!(f, "{endpoint} is not an address of this machine")
            }
            Self::PermissionDenied { endpoint } => write!(f, "no permission to listen on {endpoint}"),
            Self::Io { endpoint, source } => write!(f, "{endpoint}: {source}"),
            Self::Closed => write!(f, "the listener is closed"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
