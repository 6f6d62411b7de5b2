//! A record with its place in the store.

use std::sync::Arc;

use distlog::Record;
use distlog::record::Fields;

/// One stored record. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place: dense, from 0, for ever.
    pub offset: u64,
    /// When the daemon took it in, ns.
    pub received: i64,
    /// The record.
    pub record: Arc<Record>,
}

impl Entry {
    /// The record as one line of JSON with `_offset` and `_received` added at its end.
    pub fn to_json(&self) -> String {
        let text = self.record.as_json();
        let open = text.strip_suffix('}').unwrap_or(text);
        let comma = if self.record.is_empty() { "" } else { "," };
        format!("{open}{comma}\"_offset\":{},\"_received\":{}}}", self.offset, self.received)
    }

    /// The record's own time, or when it was received if it names none. What queries and headers go by.
    pub fn time(&self) -> i64 {
        self.record.created().unwrap_or(self.received)
    }
}
