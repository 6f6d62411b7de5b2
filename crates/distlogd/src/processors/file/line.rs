//! One record as one line of text, for people and their old tools:
//! `2026-11-22T14:05:06.789012Z ERROR app.web [7@9f0c…/2] payment failed | Traceback (most recent call last):\n  File …`
//!
//! Nothing in a record can make a second line or change how the first one looks: line ends, control characters,
//! direction marks and invisible characters are written as `\n`, `\x1b`, `\u202e`, and a backslash is doubled, so that
//! what was escaped can be told from what was written so. The store keeps the text as it was sent.

use distlog::{Fields, Raw};
use distlog_store::Entry;

/// The record as a line, its line end included.
pub(super) fn text(entry: &Entry) -> String {
    let record = &*entry.record;
    let mut line = String::with_capacity(256);
    line.push_str(&time(record.created().unwrap_or(entry.received)));
    let level = record.get("levelname").and_then(Raw::into_str).unwrap_or_default();
    let logger = record.get("name").and_then(Raw::into_str).unwrap_or_default();
    for word in [level, logger] {
        line.push(' ');
        escape(if word.is_empty() { "-" } else { &word }, &mut line);
    }
    if let Some(key) = record.key() {
        line.push_str(&format!(" [{key}]"));
    }
    line.push(' ');
    escape(&record.message().unwrap_or_default(), &mut line);
    if let Some(exception) = record.get("exc_text").and_then(Raw::into_str).filter(|text| !text.is_empty()) {
        line.push_str(" | ");
        escape(&exception, &mut line);
    }
    line.push('\n');
    line
}

fn time(nanoseconds: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)) {
        Ok(time) => format!("{time:.6}"),
        Err(_) => "-".to_owned(),
    }
}

fn escape(text: &str, line: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            _ if !misleads(character) => line.push(character),
            _ if (character as u32) < 0x100 => line.push_str(&format!("\\x{:02x}", character as u32)),
            _ if (character as u32) < 0x1_0000 => line.push_str(&format!("\\u{:04x}", character as u32)),
            _ => line.push_str(&format!("\\U{:08x}", character as u32)),
        }
    }
}

/// Characters that end a line, steer a terminal, turn the direction of writing, or cannot be seen.
pub(super) fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut line = String::new();
        escape(text, &mut line);
        line
    }

    #[test]
    fn nothing_that_steers_or_hides_gets_through() {
        assert_eq!(escaped("a\nb\r\tc\\n"), "a\\nb\\r\\tc\\\\n");
        assert_eq!(escaped("\u{1b}[31m\u{9b}1m\0"), "\\x1b[31m\\x9b1m\\x00");
        assert_eq!(escaped("\u{202e}txt\u{2028}\u{85}"), "\\u202etxt\\u2028\\x85");
        assert_eq!(escaped("\u{e0041}"), "\\U000e0041");
        assert_eq!(escaped("größe 測試 🎉"), "größe 測試 🎉");
    }

    #[test]
    fn different_texts_stay_different() {
        let texts = ["\n", "\\n", "\\\\n", "\u{1b}", "\\x1b"];
        let lines: std::collections::HashSet<String> = texts.iter().map(|text| escaped(text)).collect();
        assert_eq!(lines.len(), texts.len());
    }
}
