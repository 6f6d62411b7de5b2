//! What is known of a block without unpacking it: enough to leave it out of a query.
//!
//! The column `block.meta`, little-endian, beside `block.id` = the block's first offset:
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | [`VERSION`] |
//! | 1 | bit 0: some records are stored whole (see the block's head) |
//! | 2 | which parts exist, bit n = part n |
//! | 4 | number of records |
//! | 8 + 8 | lowest and highest time of a record (its `created`, else when it was received), ns |
//! | 8 + 8 | lowest and highest time received, ns |
//! | 8 | levels: bit n = some record has `levelno` n; bit 63 = some level is below 0 or above 62 |
//! | 8 | bytes of its records' JSON |

use super::codec::VERSION;
use crate::{Entry, Error};

const LENGTH: usize = 56;

/// Offsets stay below this, so that the ids of parts fit an i64.
pub(crate) const MAX_OFFSET: u64 = 1 << 58;

/// No block has more records.
const MAX_RECORDS: u32 = 1 << 20;

/// Levels that have no bit of their own share this one.
const OTHER_LEVELS: u64 = 1 << 63;

/// The header of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// The offset of its first record; its id.
    pub(crate) first: u64,
    /// How many records it has.
    pub(crate) count: u32,
    /// Whether some records are stored whole, beside the columns.
    pub(crate) whole: bool,
    /// Bit n: part n exists.
    pub(crate) parts: u16,
    /// Lowest and highest time of a record, ns.
    pub(crate) times: (i64, i64),
    /// Lowest and highest time received, ns.
    pub(crate) received: (i64, i64),
    /// Bit n: some record has level n.
    pub(crate) levels: u64,
    /// Bytes of its records' JSON.
    pub(crate) bytes: u64,
}

impl Header {
    /// The header of these entries, but for `parts` and `whole`.
    pub(crate) fn of(entries: &[Entry]) -> Self {
        use distlog::record::Fields;
        let first = entries.first().map_or(0, |entry| entry.offset);
        let widest = (i64::MAX, i64::MIN);
        let mut header = Self {
            first,
            count: entries.len() as u32,
            whole: false,
            parts: 0,
            times: widest,
            received: widest,
            levels: 0,
            bytes: 0,
        };
        for entry in entries {
            header.times = widen(header.times, entry.time());
            header.received = widen(header.received, entry.received);
            header.levels |= entry.record.level().map_or(0, level_bit);
            header.bytes += entry.record.as_json().len() as u64;
        }
        header
    }

    /// The offset after its last record.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Whether a record of that level or a higher one may be in it.
    pub(crate) fn has_level(&self, lowest: i64) -> bool {
        let below = if lowest <= 0 {
            0
        } else {
            1_u64.checked_shl(lowest.min(63) as u32).unwrap_or(0).wrapping_sub(1)
        };
        self.levels & (!below | OTHER_LEVELS) != 0
    }

    /// The bytes of `block.meta`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LENGTH);
        out.extend([VERSION, u8::from(self.whole)]);
        out.extend(self.parts.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        for number in [
            self.times.0,
            self.times.1,
            self.received.0,
            self.received.1,
            self.levels as i64,
            self.bytes as i64,
        ] {
            out.extend(number.to_le_bytes());
        }
        out
    }

    /// Reads `block.meta`.
    pub(crate) fn decode(first: u64, meta: &[u8]) -> Result<Self, Error> {
        let meta: &[u8; LENGTH] =
            meta.try_into().map_err(|_| Error::Damaged { reason: "a block header has the wrong length" })?;
        if meta[0] != VERSION {
            return Err(Error::Damaged { reason: "a block header has an unknown version" });
        }
        let count = u32::from_le_bytes([meta[4], meta[5], meta[6], meta[7]]);
        if first > MAX_OFFSET || count > MAX_RECORDS {
            return Err(Error::Damaged { reason: "a block header makes no sense" });
        }
        let (words, _) = meta.as_chunks::<8>();
        let mut numbers = words.iter().skip(1).map(|word| i64::from_le_bytes(*word));
        let mut next = || numbers.next().unwrap_or_default();
        Ok(Self {
            first,
            count,
            whole: meta[1] & 1 == 1,
            parts: u16::from_le_bytes([meta[2], meta[3]]),
            times: (next(), next()),
            received: (next(), next()),
            levels: next() as u64,
            bytes: next() as u64,
        })
    }
}

/// The bit of a level.
fn level_bit(level: i64) -> u64 {
    if (0..=62).contains(&level) { 1 << level } else { OTHER_LEVELS }
}

fn widen((low, high): (i64, i64), value: i64) -> (i64, i64) {
    (low.min(value), high.max(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(levels: u64) -> Header {
        Header {
            first: 7,
            count: 3,
            whole: true,
            parts: 0x8005,
            times: (-1, 2),
            received: (3, 4),
            levels,
            bytes: 9,
        }
    }

    #[test]
    fn comes_back() {
        let header = header(1 << 20 | OTHER_LEVELS);
        assert_eq!(Header::decode(7, &header.encode()).unwrap(), header);
        assert!(Header::decode(7, &header.encode()[1..]).is_err());
    }

    #[test]
    fn levels_at_the_bound() {
        for (levels, lowest, has) in [
            (1 << 20, 20, true),
            (1 << 20, 21, false),
            (1 << 20, 0, true),
            (1 << 20, -5, true),
            (1 << 62, 62, true),
            (1 << 62, 63, false),
            (1 << 62, i64::MAX, false),
            (OTHER_LEVELS, i64::MAX, true),
            (0, 0, false),
        ] {
            assert_eq!(header(levels).has_level(lowest), has, "{levels:x} {lowest}");
        }
    }
}
