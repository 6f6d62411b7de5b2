//! JSON strings: text → quoted, quoted → text.
//!
//! What is written has one form only: the quote, the backslash and the control characters are escaped, nothing else.
//! So two names are the same name exactly when their canonical forms are the same bytes.

use std::borrow::Cow;

use super::scan::plain_run;

/// `text` as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    push_escaped(out, text);
    out.push('"');
}

/// Appends `text` escaped, without quotes.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let (plain, from) = rest.split_at_checked(plain_run(rest.as_bytes())).unwrap_or((rest, ""));
        out.push_str(plain);
        let mut characters = from.chars();
        let Some(special) = characters.next() else { return };
        push_special(out, special);
        rest = characters.as_str();
    }
}

/// The text of a JSON string; `None` if it is another kind. Borrowed when nothing is escaped.
pub fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    unescaped(inner)
}

/// The text of a string's inside. Half a surrogate pair, which no scanned text has, reads as U+FFFD.
pub(crate) fn unescaped(inner: &str) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else { return Some(Cow::Borrowed(inner)) };
    let mut out = String::with_capacity(inner.len());
    let (plain, mut rest) = inner.split_at_checked(first)?;
    out.push_str(plain);
    while !rest.is_empty() {
        let (character, length) = escape(rest.as_bytes())?;
        out.push(character);
        rest = rest.get(length..)?;
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        out.push_str(rest.get(..next)?);
        rest = rest.get(next..)?;
    }
    Some(Cow::Owned(out))
}

/// A plain name as it is kept in records.
pub(crate) fn escaped(name: &str) -> Cow<'_, str> {
    if plain_run(name.as_bytes()) == name.len() {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 8);
    push_escaped(&mut out, name);
    Cow::Owned(out)
}

/// A written name as it is kept in records: escaped only where it must be.
pub(super) fn canonical(name: &str) -> Cow<'_, str> {
    match unescaped(name) {
        Some(Cow::Owned(plain)) => Cow::Owned(escaped(&plain).into_owned()),
        _ => Cow::Borrowed(name),
    }
}

/// Reads `\uXXXX` or a pair of them at the start: the character, `None` if it is half a pair, and its length in bytes.
pub(super) fn unicode_escape(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let first = hex4(bytes.get(2..6)?)?;
    if !matches!(first, 0xD800..0xDC00) {
        return Some((char::from_u32(first), 6));
    }
    let second = match bytes.get(6..12) {
        Some([b'\\', b'u', digits @ ..]) => hex4(digits),
        _ => None,
    };
    match second {
        Some(low @ 0xDC00..0xE000) => {
            Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (low - 0xDC00)), 12))
        }
        _ => Some((None, 6)),
    }
}

fn hex4(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// The escape at the start, and its length.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            return unicode_escape(bytes)
                .map(|(character, length)| (character.unwrap_or('\u{fffd}'), length));
        }
        other @ (b'"' | b'\\' | b'/') => char::from(*other),
        _ => return None,
    };
    Some((character, 2))
}

fn push_special(out: &mut String, special: char) {
    match special {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        control => {
            out.push_str("\\u00");
            out.extend(char::from_digit(control as u32 >> 4 & 15, 16));
            out.extend(char::from_digit(control as u32 & 15, 16));
        }
    }
}
