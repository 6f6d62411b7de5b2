//! Pickle → record, data only: nothing a pickle says is ever executed.
//!
//! A pickle is a program for a small stack machine, and Python's own reader will call whatever that program names.
//! This one reads the same program (protocols 0–5) and keeps *what would have been called* as values:
//!
//! | in the pickle | in the record |
//! |---|---|
//! | `None`, booleans, text, lists, tuples, sets, dicts | their JSON; keys of dicts become text |
//! | integers | numbers up to 64 bits, else decimal text up to 128 bits, else hexadecimal text |
//! | floats | numbers; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | `bytes` | text if they are UTF-8, else `{"$bytes":"<base64>"}` |
//! | lone surrogates in text | `\udc80`, as text |
//! | datetime, date, time | ISO 8601; a named zone in brackets |
//! | timedelta, Decimal, Fraction, UUID, paths, complex, IP addresses | the text `str` gives |
//! | OrderedDict, defaultdict, Counter, deque, numpy scalars | as the plain kind they resemble |
//! | anything else with a class | `{"$class":"module.name","$args":[…],"$kwargs":{…},"$items":[…],"$pairs":{…},"$state":…}`, empty ones left out |
//! | a value inside itself | `"<cycle>"` |
//! | persistent ids, extension codes, out-of-band buffers | `"<opaque>"` |
//! | what is nested too deep, or over the output limit | `"<too deep>"`, `"<cut>"` |
//!
//! Invariants: every opcode makes at most three nodes in one arena and nothing is ever copied from node to node, so
//! memory is a small multiple of the input; nothing recurses deeper than [`Limits::depth`]; a shared value
//! is written out each time it is met, and the output limit bounds that; no input panics.
//!
//! The 4-byte length that the standard library's `SocketHandler` puts in front is passed over.

mod arena;
mod classes;
mod dates;
mod machine;
mod numbers;
mod objects;
mod render;

use crate::{Error, Record};

/// What one pickle may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the pickle; more is refused.
    pub input: usize,
    /// Values on the way; more is refused.
    pub nodes: usize,
    /// Containers in each other, the record included (at most [`crate::json::MAX_DEPTH`]); deeper ones are `"<too deep>"`.
    pub depth: usize,
    /// Bytes of the record, roughly; what is beyond is `"<cut>"`.
    /// Whatever stands here, a record is at most 64 KiB and eight times its pickle's size.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { input: 1 << 20, nodes: 200_000, depth: crate::json::MAX_DEPTH, output: 4 << 20 }
    }
}

/// Reads a pickled dict as a record. Nothing is executed.
pub fn decode(body: &[u8], limits: &Limits) -> Result<Record, Error> {
    if body.len() > limits.input {
        return Err(Error::Limit { reason: "the pickle has too many bytes" });
    }
    let body = without_length(body);
    let arena = arena::Arena::new(limits.nodes, body.len());
    let (arena, top) = machine::run(body, arena)?;
    let output = limits.output.min((64 << 10) + 8 * body.len());
    render::record(&arena, top, limits.depth.min(crate::json::MAX_DEPTH), output)
}

/// `SocketHandler` sends the length first, and no pickle starts with a zero byte.
fn without_length(body: &[u8]) -> &[u8] {
    match body.split_first_chunk::<4>() {
        Some((length @ [0, ..], rest)) if u32::from_be_bytes(*length) as usize == rest.len() => rest,
        _ => body,
    }
}
