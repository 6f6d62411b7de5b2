//! Numbers and texts of a pickle as Rust values and JSON text.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A large integer as plain text: decimal while that is cheap, else hexadecimal.
pub(super) fn long_text(bytes: &[u8]) -> String {
    if let Some(value) = wide(bytes) {
        return value.to_string();
    }
    let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
    let mut out = String::with_capacity(bytes.len() * 2 + 3);
    out.push_str(if negative { "-0x" } else { "0x" });
    let from = out.len();
    let mut carry = negative;
    let size: Vec<u8> =
        bytes.iter().map(|byte| if negative { negated(*byte, &mut carry) } else { *byte }).collect();
    for byte in size.iter().rev() {
        if out.len() > from {
            push_hex(&mut out, *byte);
        } else if *byte != 0 {
            let _infallible = write!(out, "{byte:x}");
        }
    }
    out
}

/// Up to 128 bits, two's complement, little endian, without bytes that only repeat the sign.
fn wide(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
    let mut word = [if negative { 0xff } else { 0 }; 16];
    word.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(word))
}

/// Whether decimal text is a number of at most 64 bits.
pub(super) fn is_plain(text: &str) -> bool {
    text.len() <= 20 && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok())
}

/// A float as JSON.
pub(super) fn float_text(value: f64) -> Cow<'static, str> {
    if value.is_nan() {
        Cow::Borrowed("\"NaN\"")
    } else if value.is_infinite() {
        Cow::Borrowed(if value < 0.0 { "\"-Infinity\"" } else { "\"Infinity\"" })
    } else {
        Cow::Owned(format!("{value:?}"))
    }
}

/// Text that may have encoded surrogates: they become `\udc80`. Bytes that are no text at all become `\xff`.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    let mut rest = bytes;
    while !rest.is_empty() {
        let good = match std::str::from_utf8(rest) {
            Ok(text) => text,
            Err(error) => rest
                .get(..error.valid_up_to())
                .and_then(|good| std::str::from_utf8(good).ok())
                .unwrap_or_default(),
        };
        out.push_str(good);
        rest = rest.get(good.len()..).unwrap_or_default();
        rest = push_odd(&mut out, rest);
    }
    Cow::Owned(out)
}

/// Protocol 0's text: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn escaped_text(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii()
        && !bytes.contains(&b'\\')
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        let digits = match (byte, after.first()) {
            (b'\\', Some(b'u')) => after.get(1..5),
            (b'\\', Some(b'U')) => after.get(1..9),
            _ => None,
        };
        match digits.and_then(|digits| Some((hex(digits)?, digits.len()))) {
            Some((code, length)) => {
                push_code(&mut out, code);
                rest = after.get(1 + length..).unwrap_or_default();
            }
            None => {
                out.push(char::from(*byte));
                rest = after;
            }
        }
    }
    Cow::Owned(out)
}

/// Python 2's quoted strings, the inside: bytes with escapes.
pub(super) fn escaped_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let Some((escape, after)) = rest.split_first() else { break };
        rest = after;
        match escape {
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'x' => match after.get(..2).and_then(hex) {
                Some(code) => {
                    out.push(code as u8);
                    rest = after.get(2..).unwrap_or_default();
                }
                None => out.extend_from_slice(b"\\x"),
            },
            b'\\' | b'\'' | b'"' => out.push(*escape),
            other => out.extend_from_slice(&[b'\\', *other]),
        }
    }
    out
}

/// Text whose characters are bytes: how protocols 0–2 carry `bytes`.
pub(super) fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}

fn negated(byte: u8, carry: &mut bool) -> u8 {
    let (sum, over) = (!byte).overflowing_add(u8::from(*carry));
    *carry = over;
    sum
}

fn push_hex(out: &mut String, byte: u8) {
    out.extend(char::from_digit(u32::from(byte >> 4), 16));
    out.extend(char::from_digit(u32::from(byte & 15), 16));
}

/// An encoded surrogate, or one byte that is no text.
fn push_odd<'a>(out: &mut String, rest: &'a [u8]) -> &'a [u8] {
    match rest {
        [0xed, second @ 0xa0..0xc0, third @ 0x80..0xc0, after @ ..] => {
            push_code(out, 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f));
            after
        }
        [byte, after @ ..] => {
            out.push_str("\\x");
            push_hex(out, *byte);
            after
        }
        [] => rest,
    }
}

/// A character, or the text `\udc80` for half of one.
fn push_code(out: &mut String, code: u32) {
    match char::from_u32(code) {
        Some(character) => out.push(character),
        None => {
            let _infallible = write!(out, "\\u{code:04x}");
        }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}
