//! Trees and summaries as JSON, in the form the API and `distlog tree --json` print.
//!
//! A tree: `{"id","title","status","duration","processes":[…],"records":n,"missing":[…],"children":[…]}`, then
//! `"begin","end","last","process","logger","error","link"` and, when asked for, `"own_records":[…]`. Times are seconds.
//! `records` counts the whole subtree; `missing` names the goal's own gaps, each goal below names its own.

use std::fmt::Write;

use super::{Part, RecordRef, Summary, Tree};
use crate::json::quoted;
use crate::record::SECOND;

impl Tree {
    /// The tree as one line of JSON, without the goals' own records.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    /// The tree as one line of JSON, each goal with those of its own records that are at or above that level.
    pub fn to_json_with_records(&self, min_level: i64) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(min_level));
        out
    }

    fn write(&self, out: &mut String, min_level: Option<i64>) {
        text(out, "{\"id\":", &self.id.to_string());
        text(out, ",\"title\":", &self.title);
        text(out, ",\"status\":", self.status.name());
        seconds(out, ",\"duration\":", self.duration);
        texts(out, ",\"processes\":", &self.processes);
        put(out, format_args!(",\"records\":{}", self.records));
        texts(out, ",\"missing\":", &self.missing);
        out.push_str(",\"children\":");
        list(out, &self.children, |out, child| child.write(out, min_level));
        time(out, ",\"begin\":", self.begin);
        time(out, ",\"end\":", self.end);
        time(out, ",\"last\":", self.last);
        optional(out, ",\"process\":", self.process.as_deref());
        optional(out, ",\"logger\":", self.logger.as_deref());
        optional(out, ",\"error\":", self.error.as_deref());
        optional(out, ",\"link\":", self.link.as_deref());
        if let Some(min_level) = min_level {
            out.push_str(",\"own_records\":");
            let shown: Vec<_> = self.own_records.iter().filter(|record| record.level >= min_level).collect();
            list(out, &shown, |out, record| record.write(out));
        }
        out.push('}');
    }
}

impl RecordRef {
    fn write(&self, out: &mut String) {
        put(
            out,
            format_args!("{{\"number\":{},\"offset\":{},\"level\":{}", self.number, self.offset, self.level),
        );
        time(out, ",\"created\":", self.created);
        text(out, ",\"message\":", &self.message);
        optional(out, ",\"logger\":", self.logger.as_deref());
        optional(out, ",\"process\":", self.process.as_deref());
        let part = match self.part {
            Part::Begin => "begin",
            Part::Inner => "inner",
            Part::End => "end",
        };
        text(out, ",\"part\":", part);
        out.push('}');
    }
}

impl Summary {
    /// The summary as one line of JSON:
    /// `{"id","title","status","duration","records","missing","open","failed","begin","last","processes"}`.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        text(&mut out, "{\"id\":", &self.id.to_string());
        text(&mut out, ",\"title\":", &self.title);
        text(&mut out, ",\"status\":", self.status.name());
        seconds(&mut out, ",\"duration\":", self.duration);
        let Self { records, missing, open, failed, .. } = self;
        let counts =
            format_args!(",\"records\":{records},\"missing\":{missing},\"open\":{open},\"failed\":{failed}");
        put(&mut out, counts);
        time(&mut out, ",\"begin\":", self.begin);
        time(&mut out, ",\"last\":", self.last);
        texts(&mut out, ",\"processes\":", &self.processes);
        out.push('}');
        out
    }
}

fn put(out: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _written = out.write_fmt(words);
}

fn text(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str(&quoted(value));
}

fn optional(out: &mut String, name: &str, value: Option<&str>) {
    out.push_str(name);
    match value {
        Some(value) => out.push_str(&quoted(value)),
        None => out.push_str("null"),
    }
}

fn texts(out: &mut String, name: &str, values: &[String]) {
    out.push_str(name);
    list(out, values, |out, value| out.push_str(&quoted(value)));
}

fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn seconds(out: &mut String, name: &str, value: Option<f64>) {
    out.push_str(name);
    match value.filter(|value| value.is_finite()) {
        Some(value) => put(out, format_args!("{value}")),
        None => out.push_str("null"),
    }
}

/// Nanoseconds as seconds, to the last digit.
fn time(out: &mut String, name: &str, value: Option<i64>) {
    out.push_str(name);
    let Some(value) = value else {
        return out.push_str("null");
    };
    let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let second = SECOND.unsigned_abs();
    let digits = format!("{sign}{}.{:09}", value / second, value % second);
    let trimmed = digits.trim_end_matches('0');
    put(out, format_args!("{trimmed}{}", if trimmed.ends_with('.') { "0" } else { "" }));
}
