//! How columns are spread over a block's parts: what queries ask for most lies alone, so that it is unpacked alone.
//!
//! | part | holds |
//! |---|---|
//! | 0 | the directory: columns and shapes |
//! | 1 | when each record was received: differences as varints |
//! | 2–9 | one column each: see [`ALONE`] |
//! | 15 | all other columns, in the directory's order, each with its length as a varint before it |

use super::directory::KEY;

/// The directory's part.
pub(crate) const DIRECTORY: u8 = 0;
/// The part of times received.
pub(crate) const RECEIVED: u8 = 1;
/// The part of all columns that have no own.
pub(crate) const REST: u8 = 15;

/// The columns that have a part of their own, in the order of parts from 2 on.
pub(crate) const ALONE: [&str; 8] = ["created", "levelno", "name", "message", KEY, "exc_text", "goal", "msg"];

/// The part that a column is in.
pub(crate) fn of(name: &str) -> u8 {
    ALONE.iter().position(|alone| *alone == name).map_or(REST, |at| at as u8 + 2)
}
