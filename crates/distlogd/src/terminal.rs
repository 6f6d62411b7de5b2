//! What may reach a terminal, and how it is laid out there.
//!
//! Records are written by strangers. A terminal obeys control characters, so a message could clear the screen, rename
//! the window, fill the clipboard, or turn a line around so that it reads as another. Therefore:
//!
//! - every text of a record passes through [`escape`] before it is written, names of fields included;
//!   afterwards no C0, DEL, C1, bidi control, zero-width character or line separator is left in it;
//! - our own colours are added after that, by [`Look::paint`], and only when colours are on.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use anstyle::{Ansi256Color, AnsiColor, Color, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A field is cut after so many bytes on the screen; `--json` shows all of it.
pub const LONGEST_FIELD: usize = 8 << 10;
/// More marks than this on one letter are not writing, but a try to smear over the lines above.
const MOST_MARKS: usize = 8;

/// How the output should look: decided once, then passed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal; `None` when the output is no terminal, then nothing is padded or cut.
    pub width: Option<usize>,
    /// Whether colours are written.
    pub colours: bool,
    /// Whether only ASCII symbols are used.
    pub ascii: bool,
}

impl Look {
    /// For pipes and files.
    pub const PLAIN: Self = Self { width: None, colours: false, ascii: false };

    /// The text in that style, if colours are on. `text` must be escaped already.
    pub fn paint<'a>(&self, style: Style, text: &'a str) -> Cow<'a, str> {
        if self.colours && !text.is_empty() && style != Style::new() {
            Cow::Owned(format!("{style}{text}{style:#}"))
        } else {
            Cow::Borrowed(text)
        }
    }
}

/// The colour of a level, of the terminal's own theme.
pub fn level_style(level: i64) -> Style {
    let style = Style::new();
    match level {
        ..20 => style.dimmed(),
        20..30 => style.fg_color(Some(Color::Ansi(AnsiColor::Cyan))),
        30..40 => style.fg_color(Some(Color::Ansi(AnsiColor::Yellow))),
        40..50 => style.fg_color(Some(Color::Ansi(AnsiColor::Red))),
        _ => style.fg_color(Some(Color::Ansi(AnsiColor::Red))).bold().invert(),
    }
}

/// A colour that always stands for the same name. Red and green are not among them: they mean failed and succeeded.
pub fn name_style(name: &str) -> Style {
    const COLOURS: [u8; 12] = [33, 37, 67, 75, 80, 97, 110, 135, 141, 173, 178, 180];
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    name.hash(&mut hasher);
    let chosen = COLOURS.get((hasher.finish() % 12) as usize).copied().unwrap_or(33);
    Style::new().fg_color(Some(Color::Ansi256(Ansi256Color(chosen))))
}

/// The text with everything a terminal would obey made visible, on one line.
pub fn escape(text: &str) -> Cow<'_, str> {
    let harmless = text.len() <= LONGEST_FIELD && text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if harmless { Cow::Borrowed(text) } else { Cow::Owned(escape_slowly(text)) }
}

/// The lines of a message, each escaped; tabs become spaces, since a message may be a table.
pub fn escape_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.trim_end_matches(['\n', '\r']).split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains('\t') {
            Cow::Owned(escape(&line.replace('\t', "    ")).into_owned())
        } else {
            escape(line)
        }
    })
}

/// How many columns the text takes. It must be escaped already.
pub fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// How many columns a line takes that may have our own colours in it.
pub fn columns_shown(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let first = columns(parts.next().unwrap_or_default());
    first + parts.map(|part| part.split_once('m').map_or(0, |(_, text)| columns(text))).sum::<usize>()
}

/// The text in exactly `width` columns: filled with spaces, or cut with `…` (`~` in ASCII).
pub fn fit(text: &str, width: usize, look: &Look) -> String {
    let has = columns(text);
    if has <= width {
        return format!("{text}{:1$}", "", width - has);
    }
    let mut cut = cut(text, width.saturating_sub(1)).to_owned();
    if width > 0 {
        cut.push(if look.ascii { '~' } else { '…' });
    }
    let missing = width.saturating_sub(columns(&cut));
    cut.extend(std::iter::repeat_n(' ', missing));
    cut
}

/// As much of the text as goes into `width` columns.
pub fn cut(text: &str, width: usize) -> &str {
    let mut used = 0;
    for (at, letter) in text.char_indices() {
        used += letter.width().unwrap_or(0);
        if used > width {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// A mistake in a text the user wrote, pointed at:
///
/// ```text
/// a value is missing here
///   | level>=
///   |        ^
///   = write a level, as in level>=error
/// ```
pub fn pointer(message: &str, text: &str, at: &Range<usize>, help: Option<&str>) -> String {
    let (start, end) = (floor(text, at.start), floor(text, at.end.max(at.start)));
    let before = columns(&escape(text.get(..start).unwrap_or_default()));
    let marked = columns(&escape(text.get(start..end).unwrap_or_default())).max(1);
    let mut picture = escape(message).into_owned();
    picture.push_str(&format!("\n  | {}\n  | {:before$}{:^<marked$}", escape(text), "", ""));
    if let Some(help) = help {
        picture.push_str(&format!("\n  = {}", escape(help)));
    }
    picture
}

/// Whether a terminal would obey this character, or show nothing where it stands.
fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escape_slowly(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(LONGEST_FIELD) + 16);
    let mut marks = 0;
    for (at, letter) in text.char_indices() {
        if at >= LONGEST_FIELD {
            shown.push_str(&format!("… (+{} bytes)", text.len() - at));
            break;
        }
        let is_mark = letter.width() == Some(0);
        marks = if is_mark { marks + 1 } else { 0 };
        match letter {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            _ if letter.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(letter))),
            _ if is_dangerous(letter) => shown.push_str(&format!("<U+{:04X}>", u32::from(letter))),
            _ if is_mark && marks > MOST_MARKS => {}
            _ => shown.push(letter),
        }
    }
    shown
}

/// The nearest place at or before `at` where a character starts.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The standard hasher may change between releases; a process should keep its colour.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_filter_is_pointed_at() {
        let picture = pointer("this list is never closed", "ä:(500, 502", &(3..4), Some("close it"));
        assert_eq!(picture, "this list is never closed\n  | ä:(500, 502\n  |   ^\n  = close it");
    }

    #[test]
    fn a_pointer_outside_the_text_points_at_its_end() {
        assert_eq!(pointer("more", "ab", &(9..12), None), "more\n  | ab\n  |   ^");
    }

    #[test]
    fn fit_fills_and_cuts_by_columns() {
        let look = Look::PLAIN;
        assert_eq!(fit("ab", 4, &look), "ab  ");
        assert_eq!(fit("abcdef", 4, &look), "abc…");
        assert_eq!(fit("漢字漢字", 4, &look), "漢… ");
    }

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        assert_eq!(escape("\u{1b}]0;x\u{7}\u{9b}2J"), "\\x1b]0;x\\x07\\x9b2J");
        assert_eq!(escape("a\u{202e}b\u{200b}c\u{2028}"), "a<U+202E>b<U+200B>c<U+2028>");
        assert_eq!(escape(&format!("a{}", "\u{301}".repeat(50))).chars().count(), 1 + MOST_MARKS);
        assert_eq!(escape_lines("a\r\n\tb\rc\n").collect::<Vec<_>>(), ["a", "    b\\rc"]);
        assert!(escape(&"x".repeat(9000)).ends_with("… (+808 bytes)"));
    }
}
