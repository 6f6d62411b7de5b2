//! One record as one line, for `tail` and `search`:
//!
//! ```text
//! 14:02:09.171 WARN   pay-1  shop.pay.psp  7f3a/2      attempt 1 timed out  timeout=2
//! ```
//!
//! Time, level, process, logger, goal, message (indented by the depth of the goal, with ▸ ✓ ✗ where a goal begins and
//! ends), the fields that are not the library's own. On a terminal the columns are as wide as what was seen so far and
//! as the terminal allows; in a pipe nothing is padded, an empty column is `-`, and the time has its date and offset.
//! Further lines of a message are indented, so that no record can look like two.

use std::borrow::Cow;
use std::collections::HashMap;

use anstyle::Style;
use distlog::record::{JsonKind, process_label};
use distlog::{Fields, Key, Raw, Record};
use jiff::tz::TimeZone;

use crate::terminal::{self, Look, columns, columns_shown, escape, escape_lines, fit};
use crate::time;

/// What every record has, and what has a column of its own: not repeated at the line's end.
const NOT_REPEATED: [&str; 31] = [
    "name",
    "msg",
    "args",
    "levelno",
    "levelname",
    "pathname",
    "filename",
    "module",
    "exc_info",
    "exc_text",
    "stack_info",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
    "message",
    "asctime",
    "hostname",
    "context",
    "goal",
    "_offset",
    "_received",
    "_system",
    "_rejected",
    "format_error",
];
/// Members of one object that are shown as `user.id=42`; larger or deeper ones are shown as JSON.
const MOST_MEMBERS: usize = 8;
/// Goal ids whose short forms are remembered, so that a short form stays unique.
const MOST_SHORT_IDS: usize = 65_536;

/// Writes records as lines; remembers how wide the columns are and which ids it shortened.
#[derive(Debug)]
pub struct Lines {
    look: Look,
    zone: TimeZone,
    whole_trace: bool,
    process: Column,
    logger: Column,
    goal: Column,
    short_ids: HashMap<String, String>,
}

/// A column grows with what is in it, up to its most.
#[derive(Debug)]
struct Column {
    width: usize,
    most: usize,
}

/// What a record is to its goal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Begin,
    Inner,
    Succeeded,
    Failed,
}

impl Lines {
    /// Lines in that look; `whole_trace` shows all of an exception and not only what and where.
    pub fn new(look: Look, zone: TimeZone, whole_trace: bool) -> Self {
        let width = look.width.unwrap_or(0);
        let column = |share: usize, least: usize, most: usize, needs: usize| {
            let most = if width < needs { 0 } else { (width / share).clamp(least, most) };
            Column { width: least.min(most), most }
        };
        Self {
            look,
            zone,
            whole_trace,
            process: column(8, 6, 18, 50),
            logger: column(7, 8, 24, 80),
            goal: column(12, 6, 14, 40),
            short_ids: HashMap::new(),
        }
    }

    /// The record's line, or lines, each with its line end.
    pub fn show(&mut self, record: &Record) -> String {
        let key = record.key();
        let part = part_of(record);
        let mut line = String::with_capacity(160);
        self.put_columns(&mut line, record, key.as_ref());
        let indent = indent(key.as_ref(), part);
        let margin = if self.look.width.is_some() { columns_shown(&line) } else { 0 };
        line.push_str(&format!("{:indent$}{}", "", self.symbol(part)));
        let message = record.message().unwrap_or_default();
        let message =
            if part == Part::Failed { message.strip_prefix("FAILED ").unwrap_or(&message) } else { &message };
        let mut message = escape_lines(message);
        line.push_str(&message.next().unwrap_or_default());
        self.put_fields(&mut line, record);
        line.push('\n');
        let margin = margin + indent + 4;
        for more in message {
            line.push_str(&format!("{:margin$}{more}\n", ""));
        }
        self.put_exception(&mut line, record, margin);
        line
    }

    /// The goal's id, its root shortened to the least that was unique so far, four digits or more.
    pub fn short_id(&mut self, id: &str) -> String {
        let (root, path) = id.split_at(id.find('/').unwrap_or(id.len()));
        if self.short_ids.len() > MOST_SHORT_IDS {
            self.short_ids.clear();
        }
        for length in [4, 6, 8, 12, 18] {
            let Some(short) = root.get(..length) else { break };
            let owner = self.short_ids.entry(short.to_owned()).or_insert_with(|| root.to_owned());
            if owner == root {
                return format!("{short}{path}");
            }
        }
        id.to_owned()
    }

    fn put_columns(&mut self, line: &mut String, record: &Record, key: Option<&Key>) {
        let created = record.created().or_else(|| record.get("_received").and_then(Raw::as_i64)).unwrap_or(0);
        let level = record.level().unwrap_or(0);
        let word = level_word(level, record);
        let process = process_label(record).map_or(Cow::Borrowed("-"), Cow::Owned);
        let logger = record.get("name").and_then(Raw::into_str).unwrap_or(Cow::Borrowed("-"));
        let goal = key.map(|key| self.short_id(&key.goal.to_string())).unwrap_or_else(|| "-".to_owned());
        let look = self.look;
        if look.width.is_none() {
            let stamp = time::show_stamp(created, &self.zone);
            let level = look.paint(terminal::level_style(level), &word).into_owned();
            line.push_str(&format!("{stamp} {level} {} {} {goal} ", word_of(&process), word_of(&logger)));
            return;
        }
        line.push_str(&format!(
            "{} ",
            look.paint(Style::new().dimmed(), &time::show_clock(created, &self.zone))
        ));
        line.push_str(&format!("{}  ", look.paint(terminal::level_style(level), &fit(&word, 5, &look))));
        self.process.put(line, &escape(&process), &look, terminal::name_style(&process));
        self.logger.put(line, &escape(&logger), &look, Style::new());
        let root = key
            .map(|key| key.goal.root())
            .map_or_else(Style::new, |root| terminal::name_style(&format!("{root:?}")));
        self.goal.put(line, if goal == "-" { "" } else { &goal }, &look, root);
    }

    fn symbol(&self, part: Part) -> String {
        let green = Style::new().fg_color(Some(anstyle::AnsiColor::Green.into()));
        let red = Style::new().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let (symbol, ascii, style) = match part {
            Part::Inner => return String::new(),
            Part::Begin => ("▸", ">", Style::new()),
            Part::Succeeded => ("✓", "+", green),
            Part::Failed => ("✗", "x", red),
        };
        format!("{} ", self.look.paint(style, if self.look.ascii { ascii } else { symbol }))
    }

    /// The duration of an ended goal, the bound fields, the extra ones.
    fn put_fields(&self, line: &mut String, record: &Record) {
        let mut fields = String::new();
        if let Some(seconds) = record.get("goal").and_then(|goal| goal.walk("duration")).and_then(Raw::as_f64)
        {
            fields.push_str(&format!(" {}", time::show_duration(seconds)));
        }
        let bound =
            record.get("context").into_iter().flat_map(Raw::members).filter(|(name, _)| *name != "key");
        let extra = record.fields().filter(|(name, _)| !NOT_REPEATED.contains(name));
        for (name, value) in bound.chain(extra) {
            put_field(&mut fields, name, value, true);
        }
        if !fields.is_empty() {
            line.push_str(&format!(" {}", self.look.paint(Style::new().dimmed(), &fields)));
        }
    }

    fn put_exception(&self, line: &mut String, record: &Record, margin: usize) {
        let Some(text) = exception_text(record) else { return };
        if self.whole_trace {
            for more in escape_lines(&text) {
                line.push_str(&format!("{:margin$}{more}\n", ""));
            }
        } else if let Some(brief) = brief_exception(&text) {
            let brief = escape(&brief).into_owned();
            line.push_str(&format!("{:margin$}{}\n", "", self.look.paint(terminal::level_style(40), &brief)));
        }
    }
}

impl Column {
    fn put(&mut self, line: &mut String, text: &str, look: &Look, style: Style) {
        if self.most == 0 {
            return;
        }
        self.width = self.width.max(columns(text)).min(self.most);
        let text = fit(text, self.width, look);
        line.push_str(&format!("{}  ", look.paint(style, &text)));
    }
}

/// The level as a word of at most five letters for the usual ones.
fn level_word(level: i64, record: &Record) -> Cow<'static, str> {
    match level {
        10 => Cow::Borrowed("DEBUG"),
        20 => Cow::Borrowed("INFO"),
        30 => Cow::Borrowed("WARN"),
        40 => Cow::Borrowed("ERROR"),
        50 => Cow::Borrowed("CRIT"),
        _ => {
            let name = record.get("levelname").and_then(Raw::into_str);
            name.map_or_else(|| Cow::Owned(level.to_string()), |name| Cow::Owned(word_of(&name)))
        }
    }
}

/// The text as one word, so that the columns of a pipe can be counted.
fn word_of(text: &str) -> String {
    let word = escape(text).replace(' ', "_");
    if word.is_empty() { "-".to_owned() } else { word }
}

fn part_of(record: &Record) -> Part {
    let goal = record.get("goal");
    let says = |name| goal.and_then(|goal| goal.walk(name)).and_then(Raw::into_str);
    match (says("event").as_deref(), says("status").as_deref()) {
        (Some("begin"), _) => Part::Begin,
        (Some("end"), Some("failed")) => Part::Failed,
        (Some("end"), _) => Part::Succeeded,
        _ => Part::Inner,
    }
}

/// Two columns for each goal above, and for a record within its goal.
fn indent(key: Option<&Key>, part: Part) -> usize {
    key.map_or(0, |key| 2 * (key.goal.path().len().min(20) + usize::from(part == Part::Inner)))
}

/// `name=value`; an object with few members becomes `name.member=value` for each.
fn put_field(fields: &mut String, name: &str, value: Raw<'_>, may_unfold: bool) {
    if may_unfold && value.kind() == JsonKind::Object && (1..=MOST_MEMBERS).contains(&value.members().count())
    {
        for (member, value) in value.members() {
            put_field(fields, &format!("{name}.{member}"), value, false);
        }
        return;
    }
    let text = value.into_str().filter(|text| is_plain(text)).unwrap_or(Cow::Borrowed(value.text()));
    fields.push_str(&format!(" {}={}", escape(&unescaped(name)), escape(&text)));
}

/// Whether a text can stand without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '=' | '{' | '['))
}

/// A member's name is JSON text without its quotes.
fn unescaped(name: &str) -> Cow<'_, str> {
    if name.contains('\\') {
        distlog::json::unquoted(&format!("\"{name}\""))
            .map_or(Cow::Borrowed(name), |name| Cow::Owned(name.into_owned()))
    } else {
        Cow::Borrowed(name)
    }
}

fn exception_text(record: &Record) -> Option<Cow<'_, str>> {
    let text = record.get("exc_text").and_then(Raw::into_str);
    text.or_else(|| record.get("exc_info").and_then(Raw::into_str)).filter(|text| !text.trim().is_empty())
}

/// What and where: the traceback's last line and its innermost place.
fn brief_exception(text: &str) -> Option<String> {
    let what = text.lines().map(str::trim_end).rfind(|line| !line.is_empty() && !line.starts_with(' '))?;
    let places: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("File \"")).collect();
    let Some(place) = places.last() else { return Some(what.to_owned()) };
    let (path, rest) = place.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, ""));
    let short: Vec<&str> = path.rsplit('/').take(3).collect();
    let short = short.into_iter().rev().collect::<Vec<_>>().join("/");
    let more = match places.len() {
        1 => String::new(),
        2 => "  (+1 frame, --trace shows it)".to_owned(),
        count => format!("  (+{} frames, --trace shows all)", count - 1),
    };
    Some(format!("{what}  at {short}:{number} {function}{more}"))
}
