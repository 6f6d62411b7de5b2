//! Nodes → JSON text, within limits of depth and size.
//!
//! Values are written where they are met, shared ones again each time. The writer keeps the containers that are
//! open, so a value inside itself is seen at once, and stops early when the output is full: after that each open
//! container writes one marker and closes. Work that shows in no output would escape the limit, so nothing is
//! looked at that is not written, but for a fixed number of members.

use super::arena::{Arena, Id, Node};
use super::numbers;
use super::objects;
use crate::json::{self, MAX_FIELDS};
use crate::record::RecordBuilder;
use crate::{Error, Raw, Record, base64};

/// What stands for a part that is left out because of its size.
const CUT: &str = "<cut>";

/// Names of members and classes are clipped to this many bytes if they are no plain text.
pub(super) const NAME_BYTES: usize = 1024;

/// The pickled dict `top` as a record.
pub(super) fn record(arena: &Arena<'_>, top: Id, depth: usize, output: usize) -> Result<Record, Error> {
    let fields = match arena.get(top) {
        Node::Dict(pairs) => pairs,
        Node::Object(object) if objects::is_dict(arena, object) => &object.pairs,
        _ => return Err(Error::Pickle { at: 0, reason: "a record is a dict" }),
    };
    let mut builder = RecordBuilder::with_capacity(1024);
    let mut writer = Writer { arena, depth: 1, deepest: depth, full: output, open: vec![top] };
    for (key, value) in fields {
        let last = fields.len() > MAX_FIELDS && builder.len() + 1 == MAX_FIELDS;
        if last || builder.size() >= output {
            builder.raw(CUT, Raw::trusted("\"<cut>\""));
            break;
        }
        builder.write(
            &mut writer,
            |writer, out| writer.key(out, *key),
            |writer, out| writer.value(out, *value),
        );
    }
    Ok(builder.finish())
}

/// Writes values; `full` is the size of the output at which it stops.
pub(super) struct Writer<'w, 'a> {
    pub(super) arena: &'w Arena<'a>,
    depth: usize,
    deepest: usize,
    full: usize,
    open: Vec<Id>,
}

impl Writer<'_, '_> {
    pub(super) fn value(&mut self, out: &mut String, id: Id) {
        let arena = self.arena;
        if out.len() >= self.full {
            return out.push_str("\"<cut>\"");
        }
        match arena.get(id) {
            Node::None => out.push_str("null"),
            Node::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Node::Int(value) => out.push_str(&value.to_string()),
            Node::Long(bytes) => self.number(out, &numbers::long_text(self.readable(out, bytes))),
            Node::Digits(digits) => self.number(out, &numbers::text(self.readable(out, digits))),
            Node::Float(value) => out.push_str(&numbers::float_text(*value)),
            Node::Text(bytes) => self.text(out, &numbers::text(self.readable(out, bytes))),
            Node::EscapedText(bytes) => self.text(out, &numbers::escaped_text(self.readable(out, bytes))),
            Node::Bytes(bytes) => self.bytes(out, bytes),
            Node::EscapedBytes(bytes) => self.bytes(out, &numbers::escaped_bytes(self.readable(out, bytes))),
            Node::Sequence(members) => self.nested(out, id, |writer, out| writer.list(out, members)),
            Node::Dict(pairs) => self.nested(out, id, |writer, out| writer.dict(out, pairs)),
            Node::Global(module, name) => objects::write_class(self, out, module, name),
            Node::Object(object) => self.nested(out, id, |writer, out| objects::write(writer, out, object)),
            Node::Opaque => out.push_str("\"<opaque>\""),
        }
    }

    /// A member's name, escaped, without quotes.
    pub(super) fn key(&mut self, out: &mut String, id: Id) {
        if let Node::Text(bytes) = self.arena.get(id) {
            let text = numbers::text(self.readable(out, bytes));
            return self.clipped(out, &text);
        }
        let mut scratch = String::new();
        let full = std::mem::replace(&mut self.full, NAME_BYTES);
        self.value(&mut scratch, id);
        self.full = full;
        let plain = json::unquoted(&scratch);
        let plain = plain.as_deref().unwrap_or(&scratch);
        json::push_escaped(out, plain.get(..plain.floor_char_boundary(NAME_BYTES)).unwrap_or_default());
    }

    /// A JSON array. The caller has opened the value, see [`Self::nested`].
    pub(super) fn list(&mut self, out: &mut String, members: &[Id]) {
        out.push('[');
        for (at, member) in members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            if out.len() >= self.full {
                out.push_str("\"<cut>\"");
                break;
            }
            self.value(out, *member);
        }
        out.push(']');
    }

    /// A JSON object. The caller has opened the value, see [`Self::nested`].
    pub(super) fn dict(&mut self, out: &mut String, pairs: &[(Id, Id)]) {
        out.push('{');
        for (at, (key, value)) in pairs.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            if out.len() >= self.full {
                out.push_str("\"<cut>\":\"<cut>\"");
                break;
            }
            out.push('"');
            self.key(out, *key);
            out.push_str("\":");
            self.value(out, *value);
        }
        out.push('}');
    }

    /// Writes a container unless it is open already or too deep.
    pub(super) fn nested(&mut self, out: &mut String, id: Id, write: impl FnOnce(&mut Self, &mut String)) {
        if self.open.contains(&id) {
            return out.push_str("\"<cycle>\"");
        }
        self.open.push(id);
        self.deeper(out, write);
        self.open.pop();
    }

    /// Writes one more level of brackets unless that is too deep.
    pub(super) fn deeper(&mut self, out: &mut String, write: impl FnOnce(&mut Self, &mut String)) {
        if self.depth >= self.deepest {
            return out.push_str("\"<too deep>\"");
        }
        self.depth += 1;
        write(self, out);
        self.depth -= 1;
    }

    /// Bytes as text if they are, else marked.
    pub(super) fn bytes(&mut self, out: &mut String, bytes: &[u8]) {
        match std::str::from_utf8(self.readable(out, bytes)) {
            Ok(text) => self.text(out, text),
            Err(_) => self.deeper(out, |writer, out| {
                let room = writer.full.saturating_sub(out.len());
                let kept = bytes.get(..room).unwrap_or(bytes);
                out.push_str("{\"$bytes\":\"");
                base64::push(out, kept);
                out.push_str(if kept.len() < bytes.len() { "\",\"<cut>\":\"<cut>\"}" } else { "\"}" });
            }),
        }
    }

    pub(super) fn text(&self, out: &mut String, text: &str) {
        out.push('"');
        self.clipped(out, text);
        out.push('"');
    }

    /// As much of a source as can matter: a character takes at most ten bytes in any of a pickle's forms.
    pub(super) fn readable<'b>(&self, out: &str, source: &'b [u8]) -> &'b [u8] {
        source.get(..self.full.saturating_sub(out.len()).saturating_mul(10) + 16).unwrap_or(source)
    }

    fn clipped(&self, out: &mut String, text: &str) {
        let room = self.full.saturating_sub(out.len());
        match text.get(..text.floor_char_boundary(room)) {
            Some(kept) if kept.len() < text.len() => {
                json::push_escaped(out, kept);
                out.push_str(CUT);
            }
            _ => json::push_escaped(out, text),
        }
    }

    /// Whole numbers are numbers up to 64 bits, text beyond.
    fn number(&self, out: &mut String, text: &str) {
        if numbers::is_plain(text) { out.push_str(text) } else { self.text(out, text) }
    }
}
