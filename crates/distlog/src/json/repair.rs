//! What Python's `json.dumps` writes beyond the standard, made standard: see the table in [`super`].
//!
//! Only called on text that the strict scan refused, and what comes out is scanned strictly again:
//! a wrong repair can therefore lose nothing and admit nothing.

use super::MAX_DIGITS;
use super::scan::plain_run;
use super::text::unicode_escape;

/// The text made standard, or `None` if there is nothing to repair.
pub(super) fn repaired(text: &str) -> Option<String> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut out = String::with_capacity(body.len() + 16);
    let (mut kept, mut at) = (0, 0);
    while let Some(byte) = body.as_bytes().get(at) {
        let rest = body.as_bytes().get(at..).unwrap_or_default();
        if *byte == b'"' {
            at += 1;
            at = repair_string(body, at, &mut kept, &mut out);
        } else if let Some(length) = constant(rest).or_else(|| endless_number(rest)) {
            out.push_str(body.get(kept..at)?);
            out.push('"');
            out.push_str(body.get(at..at + length)?);
            out.push('"');
            at += length;
            kept = at;
        } else {
            at += number_length(rest).max(1);
        }
    }
    if kept == 0 && body.len() == text.len() {
        return None;
    }
    out.push_str(body.get(kept..)?);
    Some(out)
}

fn constant(rest: &[u8]) -> Option<usize> {
    ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| rest.starts_with(word.as_bytes())).map(str::len)
}

/// The length of a number that has more digits than readers take.
fn endless_number(rest: &[u8]) -> Option<usize> {
    Some(number_length(rest)).filter(|length| *length > MAX_DIGITS)
}

fn number_length(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count()
}

/// Goes through a string from behind its opening quote to behind the closing one.
/// Copies all before a lone surrogate and the surrogate's text to `out`; `kept` is how far copying got.
fn repair_string(body: &str, from: usize, kept: &mut usize, out: &mut String) -> usize {
    let mut at = from;
    loop {
        let rest = body.as_bytes().get(at..).unwrap_or_default();
        at += plain_run(rest);
        let rest = body.as_bytes().get(at..).unwrap_or_default();
        match rest {
            [b'"', ..] => return at + 1,
            [b'\\', b'u', ..] => match unicode_escape(rest) {
                Some((None, length)) => {
                    out.push_str(body.get(*kept..at).unwrap_or_default());
                    out.push('\\');
                    *kept = at;
                    at += length;
                }
                Some((Some(_), length)) => at += length,
                None => at += 2,
            },
            [b'\\', _, ..] => at += 2,
            [_, _, ..] => at += 1,
            _ => return body.len(),
        }
    }
}
