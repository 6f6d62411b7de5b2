//! Messages ↔ records: what travels over the socket, and what becomes of it.
//!
//! A message is two frames, as clients have sent them since 2017:
//!
//! | frame | bytes | meaning |
//! |---|---|---|
//! | topic | 0 | system: `T` test, `S` staging, `P` production; kept as the field `_system` unless it is `P` |
//! | | 1 | kind: `L`, a log record |
//! | | 2 | encoding: `J` a JSON object, `P` a pickled dict |
//! | body | all | the record |
//!
//! Invariants: every message becomes exactly one record, whatever its bytes. What cannot be read becomes a record that
//! carries the bytes and the reason, so nothing is lost and whoever looks can see who sends rubbish.
//! Nothing a client sends can pass for a field that the daemon adds: such names get one more underscore in front.

use crate::record::{RecordBuilder, SECOND};
use crate::{Error, Raw, Record, base64, json, pickle};

/// Names that only the daemon may give.
const RESERVED: [&str; 4] = ["offset", "received", "rejected", "system"];

/// How many frames an unreadable message's record keeps, and how many bytes of each.
const KEPT_FRAMES: usize = 4;
const KEPT_BYTES: usize = 4096;

/// All codes that say why a message could not be read. They are stable.
pub const REASONS: [&str; 7] = ["frames", "topic", "json", "utf8", "pickle", "limit", BATCH];

/// Of messages to the acked endpoint: no batch, or one that ends too early.
pub const BATCH: &str = "batch";

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The record sent, or the one that tells of the unreadable message.
    pub record: Record,
    /// Why the message could not be read: one of [`REASONS`].
    pub rejected: Option<&'static str>,
}

/// Makes one record of one message. `received` (ns) dates the record if the message cannot be read.
pub fn decode<F: AsRef<[u8]>>(frames: &[F], received: i64) -> Decoded {
    match readable(frames) {
        Ok(record) => Decoded { record, rejected: None },
        Err((reason, detail)) => {
            Decoded { record: unreadable(frames, reason, &detail, received), rejected: Some(reason) }
        }
    }
}

/// The record that stands for a message that cannot be read: its bytes (clipped), their true sizes, and the reason.
pub fn unreadable<F: AsRef<[u8]>>(frames: &[F], reason: &'static str, detail: &str, received: i64) -> Record {
    let mut rejected = format!("{{\"reason\":{},\"detail\":", json::quoted(reason));
    json::push_quoted(&mut rejected, detail);
    rejected.push_str(",\"frames\":[");
    for (at, frame) in frames.iter().take(KEPT_FRAMES).enumerate() {
        let bytes = frame.as_ref();
        rejected.push_str(if at == 0 { "\"" } else { ",\"" });
        base64::push(&mut rejected, bytes.get(..KEPT_BYTES).unwrap_or(bytes));
        rejected.push('"');
    }
    let sizes: Vec<String> = frames.iter().take(KEPT_FRAMES).map(|f| f.as_ref().len().to_string()).collect();
    rejected.push_str(&format!("],\"sizes\":[{}]}}", sizes.join(",")));
    let mut builder = RecordBuilder::with_capacity(rejected.len() + 256);
    builder.str("name", "distlogd").int("levelno", 40).str("levelname", "ERROR");
    builder.raw("created", Raw::trusted(&seconds(received)));
    builder.str("message", &format!("unreadable message: {reason}"));
    builder.raw("_rejected", Raw::trusted(&rejected));
    builder.finish()
}

/// The record that tells of a producer's records which nobody will send any more, from number `first` on; `received` (ns) dates it.
pub fn never_arrived(producer: &[u8; 16], first: u64, count: u64, received: i64) -> Record {
    let id: String = producer.iter().map(|byte| format!("{byte:02x}")).collect();
    let missing = format!("{{\"producer\":\"{id}\",\"first\":{first},\"records\":{count}}}");
    let mut builder = RecordBuilder::with_capacity(256);
    builder.str("name", "distlogd").int("levelno", 30).str("levelname", "WARNING");
    builder.raw("created", Raw::trusted(&seconds(received)));
    let plural = if count == 1 { "" } else { "s" };
    builder.str("message", &format!("{count} record{plural} of a producer never arrived"));
    builder.raw("distlog_missing", Raw::trusted(&missing));
    builder.finish()
}

fn readable<F: AsRef<[u8]>>(frames: &[F]) -> Result<Record, (&'static str, String)> {
    let [topic, body] = frames else {
        return Err(("frames", format!("a message has 2 frames, this one has {}", frames.len())));
    };
    let &[system @ (b'T' | b'S' | b'P'), b'L', encoding @ (b'J' | b'P')] = topic.as_ref() else {
        return Err(("topic", "the first frame is three letters: T, S or P, then L, then J or P".into()));
    };
    let record = match encoding {
        b'J' => json::from_bytes(body.as_ref()),
        _ => pickle::decode(body.as_ref(), &pickle::Limits::default()),
    };
    let record = record.map_err(|error| (code(&error), error.to_string()))?;
    Ok(marked(record, system))
}

fn code(error: &Error) -> &'static str {
    match error {
        Error::Utf8 { .. } => "utf8",
        Error::Pickle { .. } => "pickle",
        Error::Limit { .. } => "limit",
        _ => "json",
    }
}

/// The record with the daemon's names out of the client's reach, and its system. Most records need neither.
fn marked(record: Record, system: u8) -> Record {
    if system == b'P' && !record.fields().any(|(name, _)| is_reserved(name)) {
        return record;
    }
    let mut builder = RecordBuilder::with_capacity(record.as_json().len() + 32);
    for (name, value) in record.fields() {
        if is_reserved(name) {
            builder.raw(&format!("_{name}"), value);
        } else {
            builder.raw(name, value);
        }
    }
    if system != b'P' {
        builder.str("_system", if system == b'T' { "T" } else { "S" });
    }
    builder.finish()
}

/// Whether the name begins like one of the daemon's. Any number of underscores counts,
/// so that two names that differ still differ after each got one more.
fn is_reserved(name: &str) -> bool {
    name.starts_with('_') && {
        let rest = name.trim_start_matches('_');
        RESERVED.iter().any(|reserved| rest.starts_with(reserved))
    }
}

/// Nanoseconds as decimal seconds.
fn seconds(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let second = SECOND.unsigned_abs();
    format!("{sign}{}.{:09}", size / second, size % second)
}
