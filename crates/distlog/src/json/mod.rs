//! JSON text ↔ record: one validating scan, no tree of values.
//!
//! Two doors lead in. [`record`] takes JSON as the standard has it. [`from_bytes`] also takes what Python's
//! `json.dumps` writes beyond the standard, because a record with a `NaN` in it is an ordinary record:
//!
//! | as sent | as kept |
//! |---|---|
//! | `NaN`, `Infinity`, `-Infinity` | the strings `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | an escaped lone surrogate, `"\udc80"` | its text, `"\\udc80"` |
//! | a byte order mark in front | nothing |
//! | integers of more than [`MAX_DIGITS`] digits | the same digits, as a string |
//! | a name that occurs twice | the last value |
//!
//! Invariants: no input panics; nothing recurses, so no nesting can exhaust the stack; time is linear in the text.

mod members;
mod number;
mod repair;
mod scan;
mod text;

pub use members::{Members, walk};
pub use number::decimal_to_ns;
pub(crate) use text::{escaped, push_escaped};
pub use text::{push_quoted, quoted, unquoted};

use crate::record::RecordBuilder;
use crate::{Error, Raw, Record};

/// Containers nested deeper than this are refused; the record itself is the first.
pub const MAX_DEPTH: usize = 64;

/// Records that come in with more fields than this are refused.
pub const MAX_FIELDS: usize = 1000;

/// Longer numbers are kept as strings: Python's `json` refuses to read them (`sys.set_int_max_str_digits`), and one
/// such field must not make a whole answer unreadable.
pub const MAX_DIGITS: usize = 4300;

/// How many fields the daemon may add to a record before it is read again.
const ADDED_FIELDS: usize = 16;

/// Reads one JSON object as a record.
pub fn record(text: &str) -> Result<Record, Error> {
    strict(text, MAX_FIELDS + ADDED_FIELDS)
}

/// Reads one JSON object from outside as a record, and forgives what Python writes beyond the standard.
/// See the module's head.
pub fn from_bytes(bytes: &[u8]) -> Result<Record, Error> {
    let text = std::str::from_utf8(bytes).map_err(|error| Error::Utf8 { at: error.valid_up_to() })?;
    match strict(text, MAX_FIELDS) {
        Err(error @ Error::Json { .. }) => match repair::repaired(text) {
            Some(better) => match strict(&better, MAX_FIELDS) {
                // The place in the text that was sent, not in the better one.
                Err(Error::Json { .. }) => Err(error),
                done => done,
            },
            None => Err(error),
        },
        done => done,
    }
}

fn strict(text: &str, most_fields: usize) -> Result<Record, Error> {
    let shape = scan::object(text, most_fields)?;
    if shape.tidy {
        return Ok(Record::from_places(text.get(..shape.end).unwrap_or_default().into(), shape.spans));
    }
    let mut builder = RecordBuilder::with_capacity(text.len());
    for span in shape.spans {
        let place = |(from, to): (u32, u32)| text.get(from as usize..to as usize).unwrap_or_default();
        builder.raw(&text::canonical(place(span.name)), Raw::trusted(place(span.value)));
    }
    Ok(builder.finish())
}
