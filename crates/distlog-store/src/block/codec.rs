//! The smallest pieces of a block: varints, decimals and compressed, checked parts.
//!
//! | bytes of a part | meaning |
//! |---|---|
//! | 1 | [`VERSION`] |
//! | rest | one zstd frame that states its content's size and carries its checksum, which zstd verifies |
//!
//! A varint is little-endian base 128. A signed number is zigzagged first.

use crate::Error;

/// The form of parts and headers; a reader refuses others.
pub(crate) const VERSION: u8 = 1;

/// A part claims its own size: more than this is damage, not a reason to ask for memory.
const PART_BYTES: usize = 256 << 20;

/// Powers of ten that fit an i64.
const TENS: [i64; 19] = {
    let mut tens = [1; 19];
    let mut at = 1;
    while at < tens.len() {
        tens[at] = tens[at - 1] * 10;
        at += 1;
    }
    tens
};

/// Compresses parts. Holds its memory between calls.
pub(crate) struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// A packer of that zstd level.
    pub(crate) fn new(level: i32) -> Result<Self, Error> {
        let mut compressor = zstd::bulk::Compressor::new(level).map_err(refused)?;
        compressor.include_checksum(true).map_err(refused)?;
        Ok(Self(compressor))
    }

    /// The bytes of a part that holds `content`.
    pub(crate) fn pack(&mut self, content: &[u8]) -> Result<Vec<u8>, Error> {
        let mut part = vec![0; zstd::zstd_safe::compress_bound(content.len()) + 1];
        let (version, frame) = part.split_at_mut(1);
        version.fill(VERSION);
        let length = self.0.compress_to_buffer(content, frame).map_err(refused)?;
        part.truncate(length + 1);
        Ok(part)
    }
}

/// Uncompresses parts and verifies them. Holds its memory between calls.
pub(crate) struct Unpacker(zstd::bulk::Decompressor<'static>);

impl Unpacker {
    /// An unpacker.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self(zstd::bulk::Decompressor::new().map_err(refused)?))
    }

    /// What the part holds.
    pub(crate) fn unpack(&mut self, part: &[u8]) -> Result<Vec<u8>, Error> {
        let Some((&VERSION, frame)) = part.split_first() else {
            return Err(Error::Damaged { reason: "a part has an unknown version" });
        };
        let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size <= PART_BYTES);
        let Some(size) = size else {
            return Err(Error::Damaged { reason: "a part does not state a sensible size" });
        };
        self.0.decompress(frame, size).map_err(|_| Error::Damaged { reason: "a part fails its checksum" })
    }
}

fn refused(_: std::io::Error) -> Error {
    Error::Damaged { reason: "zstd refused to work" }
}

/// Appends an unsigned varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends the numbers as differences to the one before.
pub(crate) fn put_deltas(out: &mut Vec<u8>, values: impl IntoIterator<Item = i64>) {
    let mut last = 0_i64;
    for value in values {
        let delta = value.wrapping_sub(last);
        put_varint(out, (delta << 1 ^ delta >> 63) as u64);
        last = value;
    }
}

/// Bytes being read; every step says so when they end too early.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    const SHORT: Error = Error::Damaged { reason: "a column ends too early" };

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// The next unsigned varint.
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::Damaged { reason: "a number has no end" })
    }

    /// The next varint as a count of things that take at least a bit each, bounded so that it can be asked of memory.
    pub(crate) fn count(&mut self) -> Result<usize, Error> {
        let count = self.varint()?;
        if count > PART_BYTES as u64 {
            Err(Error::Damaged { reason: "a count is too large" })
        } else {
            Ok(count as usize)
        }
    }

    /// The next `count` numbers that were written as differences.
    pub(crate) fn deltas(&mut self, count: usize) -> Result<Vec<i64>, Error> {
        let mut last = 0_i64;
        let mut values = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            let coded = self.varint()?;
            last = last.wrapping_add((coded >> 1) as i64 ^ -((coded & 1) as i64));
            values.push(last);
        }
        Ok(values)
    }
}

/// Reads a decimal number that [`print_decimal`] would print back byte for byte: digits and scale (digits after the point).
pub(crate) fn parse_decimal(text: &str) -> Option<(i64, u8)> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if digits.len() > 19 || digits.first() == Some(&b'0') && !matches!(digits.get(1), None | Some(b'.')) {
        return None;
    }
    let (mut value, mut point) = (0_i64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    let scale = match point {
        None if digits.is_empty() => return None,
        None => 0,
        Some(at) => digits.len() - at - 1,
    };
    let ends_in_zero = digits.last() == Some(&b'0');
    if (point.is_some() && (scale == 0 || ends_in_zero && scale > 1)) || (negative && value == 0) {
        return None;
    }
    Some((if negative { -value } else { value }, scale as u8))
}

/// The same number with `to` digits after the point.
pub(crate) fn rescale(value: i64, from: u8, to: u8) -> Option<i64> {
    value.checked_mul(*TENS.get(usize::from(to.checked_sub(from)?))?)
}

/// Prints a decimal: with scale 0 as an integer, otherwise with a point and without closing zeros but one.
pub(crate) fn print_decimal(out: &mut Vec<u8>, value: i64, scale: u8) {
    let ten = TENS.get(usize::from(scale)).copied().unwrap_or(1) as u64;
    if value < 0 {
        out.push(b'-');
    }
    print_digits(out, value.unsigned_abs() / ten, 1);
    if scale > 0 {
        out.push(b'.');
        print_digits(out, value.unsigned_abs() % ten, usize::from(scale));
        while out.ends_with(b"0") && !out.ends_with(b".0") {
            out.pop();
        }
    }
}

fn print_digits(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = out.len();
    while value > 0 || out.len() - start < width {
        out.push(b'0' + (value % 10) as u8);
        value /= 10;
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, reads: bool) {
        let parsed = parse_decimal(text);
        assert_eq!(parsed.is_some(), reads, "{text}");
        if let Some((value, scale)) = parsed {
            for wider in [scale, scale.clamp(1, 18)] {
                if scale == 0 && wider > 0 {
                    continue; // An integer column holds integers only.
                }
                let mut out = Vec::new();
                print_decimal(&mut out, rescale(value, scale, wider).unwrap(), wider);
                assert_eq!(String::from_utf8(out).unwrap(), text);
            }
        }
    }

    #[test]
    fn decimals_print_back_or_are_refused() {
        for text in [
            "0",
            "7",
            "-7",
            "0.0",
            "0.5",
            "-0.5",
            "10.0",
            "1790000000.1234567",
            "123.000001",
            "100",
            "-10.25",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "-",
            "-0",
            "-0.0",
            "01",
            "1.",
            ".5",
            "1.50",
            "1.00",
            "1e5",
            "1.5.5",
            "99999999999999999999",
            "\"1\"",
            "null",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn wider_scale_prints_back() {
        let (value, scale) = parse_decimal("2.5").unwrap();
        let mut out = Vec::new();
        print_decimal(&mut out, rescale(value, scale, 7).unwrap(), 7);
        assert_eq!(out, b"2.5");
    }

    #[test]
    fn deltas_come_back() {
        let values = [0, i64::MAX, i64::MIN, -1, 5, 5, 1 << 40];
        let mut out = Vec::new();
        put_deltas(&mut out, values);
        assert_eq!(Input(&out).deltas(values.len()).unwrap(), values);
        assert!(Input(&out).deltas(values.len() + 1).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed() {
        let part = Packer::new(3)
            .unwrap()
            .pack(b"some text that is long enough to be compressed, compressed")
            .unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        assert!(unpacker.unpack(&part).is_ok());
        for at in 0..part.len() {
            let mut bad = part.clone();
            bad[at] ^= 0x10;
            let content = unpacker.unpack(&bad);
            assert!(content.is_err() || content.unwrap().starts_with(b"some text"), "byte {at}");
        }
    }
}
