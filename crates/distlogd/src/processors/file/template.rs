//! The path of a record's file: `archive/{logger}/{time:%Y-%m-%d}.jsonl`.
//!
//! - `{name}` is a field; dots walk into it (`{user.id}`). `{logger}`, `{level}`, `{host}`, `{process}` and `{message}` mean
//!   what they mean in filters.
//! - `{time}` or `{time:FORMAT}` is when the daemon received the record, in UTC; `%Y-%m-%d` if no format is given.
//!   Not `created`: a sender could name any time, and so make any number of files.
//! - `{{` and `}}` are braces.
//!
//! A value never gets further than one name. `/`, `%`, control and direction characters, and a dot in front are written
//! as `%2F` and so on; an absent or empty value is `_`; a name too long is cut and told apart by a checksum.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use distlog::record::JsonKind;
use distlog::{Fields, Raw, Record};
use distlog_store::Entry;

use super::line::misleads;

/// A value takes no more bytes of a name.
const VALUE_BYTES: usize = 100;
/// A name takes no more bytes; file systems allow 255, and rotation adds a few.
const NAME_BYTES: usize = 200;

/// A path with placeholders, below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Field(String),
    Time(String),
}

/// Divides a path into its fixed directory and the rest, which may have placeholders.
pub(super) fn split(start: &Path, path: &str) -> Result<(PathBuf, Template), String> {
    let fixed = path.find('{').map_or(path, |brace| path.get(..brace).unwrap_or_default());
    let (folder, rest) = path.split_at(fixed.rfind('/').map_or(0, |slash| slash + 1));
    if folder.contains('\0') || rest.contains('\0') {
        return Err("a path cannot contain a NUL character.".to_owned());
    }
    if rest.is_empty() {
        return Err(format!(
            "`{path}` names a directory. Add a file name, such as `{path}{{logger}}.jsonl`."
        ));
    }
    let template = parse(rest)?;
    let literal =
        |value: &Piece| matches!(value, Piece::Literal(text) if text.split('/').any(|name| name == ".."));
    if template.0.iter().any(literal) {
        return Err("`..` cannot stand after a placeholder. Put it into `root`.".to_owned());
    }
    if rest.split('/').any(str::is_empty) {
        return Err(format!("`{rest}` has an empty name in it. Take out the extra `/`."));
    }
    Ok((start.join(folder), template))
}

fn parse(text: &str) -> Result<Template, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let doubled = rest.starts_with("{{") || rest.starts_with("}}");
        if character == '{' && !doubled {
            let (inside, after) = rest
                .get(1..)
                .and_then(|inside| inside.split_once('}'))
                .ok_or_else(|| "a `{` is not closed. Add `}`, or write `{{` for a brace.".to_owned())?;
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(placeholder(inside)?);
            rest = after;
            continue;
        }
        if character == '}' && !doubled {
            return Err("a `}` closes nothing. Write `}}` for a brace.".to_owned());
        }
        literal.push(character);
        rest = rest.get(character.len_utf8() * if doubled { 2 } else { 1 }..).unwrap_or_default();
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Template(pieces))
}

fn placeholder(inside: &str) -> Result<Piece, String> {
    let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!(
            "`{{{inside}}}` is no placeholder. Write a field's name, such as {{logger}} or {{user.id}}."
        ));
    }
    if name == "time" {
        let format = if format.is_empty() { "%Y-%m-%d" } else { format };
        return match format_time(format, 0) {
            Some(text) if !text.is_empty() => Ok(Piece::Time(format.to_owned())),
            _ => Err(format!("`{format}` is no time format. Write one such as {{time:%Y-%m-%d}}.")),
        };
    }
    if !format.is_empty() {
        return Err(format!("`{{{inside}}}`: only {{time:…}} takes a format. Take out `:{format}`."));
    }
    Ok(Piece::Field(name.to_owned()))
}

impl Template {
    /// Whether the path depends on the time.
    pub(super) fn has_times(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Time(_)))
    }

    /// The record's path below the root. Without times, it is what the number of different files is counted by.
    pub(super) fn render(&self, entry: &Entry, times: bool) -> String {
        let mut path = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Field(name) => path.push_str(&encode(&value(&entry.record, name))),
                Piece::Time(format) if times => {
                    path.push_str(&encode(&format_time(format, entry.received).unwrap_or_default()));
                }
                Piece::Time(_) => {}
            }
        }
        if path.split('/').all(|name| name.len() <= NAME_BYTES) {
            return path;
        }
        let names: Vec<Cow<'_, str>> = path.split('/').map(|name| clip(name, NAME_BYTES)).collect();
        names.join("/")
    }
}

fn value<'a>(record: &'a Record, name: &str) -> Cow<'a, str> {
    let (field, below) = name.split_once('.').unwrap_or((name, ""));
    let raw = match field {
        "logger" => record.get("name"),
        "level" => record.get("levelname"),
        "host" => record.get("hostname"),
        "message" => return record.message().unwrap_or_default(),
        "process" if below.is_empty() => {
            return distlog::record::process_label(record).unwrap_or_default().into();
        }
        _ => record.get(field),
    };
    match raw.and_then(|raw| if below.is_empty() { Some(raw) } else { raw.walk(below) }) {
        Some(raw) if matches!(raw.kind(), JsonKind::Number | JsonKind::Bool) => raw.text().into(),
        Some(raw) => Raw::into_str(raw).unwrap_or_default(),
        None => Cow::Borrowed(""),
    }
}

/// One value as a part of one name.
fn encode(value: &str) -> String {
    let mut name = String::with_capacity(value.len());
    for (at, character) in value.chars().enumerate() {
        let hides = at == 0 && (character == '.' || value.starts_with(super::OVERFLOW));
        if hides || matches!(character, '/' | '%' | '\\') || misleads(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                name.push_str(&format!("%{byte:02X}"));
            }
        } else {
            name.push(character);
        }
        if name.len() > VALUE_BYTES {
            break;
        }
    }
    if name.is_empty() {
        return "_".to_owned();
    }
    if name.len() > VALUE_BYTES { cut(&name, VALUE_BYTES, checksum(value)) } else { name }
}

fn clip(name: &str, limit: usize) -> Cow<'_, str> {
    if name.len() <= limit { Cow::Borrowed(name) } else { Cow::Owned(cut(name, limit, checksum(name))) }
}

/// A name's beginning and the checksum of the whole, `limit` bytes together.
fn cut(name: &str, limit: usize, checksum: u32) -> String {
    let mut end = limit - 9;
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{checksum:08x}", name.get(..end).unwrap_or_default())
}

/// FNV-1a: the same in every version, since names on disk depend on it.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A time in UTC; `None` for a format or a time that is none.
fn format_time(format: &str, nanoseconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?;
    jiff::fmt::strtime::format(format, &time.to_zoned(jiff::tz::TimeZone::UTC)).ok()
}

#[cfg(test)]
mod tests;
