//! The classes whose values have a form of their own in a record. Everything about a class that is known by name is here.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::borrow::Cow;

use super::arena::{Arena, Id, Node};
use super::objects::{Shape, class_text, global};
use super::render::Writer;
use super::{dates, numbers};

/// Members of a state or parts of a path that are looked at; more is no such class.
const LOOKED_AT: usize = 64;

/// Writes the object if its class is known and its parts are as that class has them. Writes nothing otherwise.
pub(super) fn write(writer: &mut Writer<'_, '_>, out: &mut String, shape: &Shape<'_, '_>) -> bool {
    let arena = writer.arena;
    let (items, pairs) = (&shape.object.items, &shape.object.pairs);
    match (shape.module, shape.name, shape.arguments) {
        (b"builtins", b"set" | b"frozenset", []) => writer.list(out, items),
        (b"builtins", b"set" | b"frozenset", [members]) => match arena.get(*members) {
            Node::Sequence(members) => writer.list(out, members),
            _ => return false,
        },
        (b"collections", b"deque", _) => writer.list(out, items),
        (b"collections", b"OrderedDict" | b"defaultdict", _) => writer.dict(out, pairs),
        (b"collections", b"Counter", [counts]) => match arena.get(*counts) {
            Node::Dict(counts) => writer.dict(out, counts),
            _ => return false,
        },
        (b"decimal" | b"_decimal" | b"_pydecimal", b"Decimal", [text])
        | (b"fractions", b"Fraction", [text])
        | (b"ipaddress", _, [text])
            if arena.letters(*text).is_some() =>
        {
            writer.value(out, *text);
        }
        (b"_codecs", b"encode", _) | (b"builtins", b"bytes" | b"bytearray", _) => {
            let Some(bytes) = called_bytes(arena, shape, usize::MAX) else { return false };
            writer.bytes(out, &bytes);
        }
        (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"scalar", [kind, bytes]) => {
            let Some(text) = numpy_scalar(arena, *kind, *bytes) else { return false };
            out.push_str(&text);
        }
        _ => match text(arena, shape) {
            Some(text) => writer.text(out, &text),
            None => return false,
        },
    }
    true
}

/// The bytes of a value that is `bytes` in whatever protocol, if they are at most `most`.
pub(super) fn bytes_of<'a>(arena: &Arena<'a>, id: Id, most: usize) -> Option<Cow<'a, [u8]>> {
    match arena.get(id) {
        Node::Bytes(bytes) if bytes.len() <= most => Some(Cow::Borrowed(bytes)),
        Node::Object(object) => {
            let shape = Shape::of(arena, object);
            match (shape.module, shape.name) {
                (b"_codecs", b"encode") => called_bytes(arena, &shape, most),
                _ => None,
            }
        }
        _ => plain_bytes(arena, id, most),
    }
}

/// The value under a text key of a dict, looked for among its first members.
pub(super) fn member(arena: &Arena<'_>, dict: Id, key: &[u8]) -> Option<Id> {
    let Node::Dict(pairs) = arena.get(dict) else { return None };
    pairs.iter().take(LOOKED_AT).find(|(name, _)| arena.letters(*name) == Some(key)).map(|(_, value)| *value)
}

/// The plain text of a value that is short text.
pub(super) fn short_text(arena: &Arena<'_>, id: Id) -> Option<String> {
    match arena.get(id) {
        Node::Text(text) if text.len() <= 256 => Some(numbers::text(text).into_owned()),
        Node::EscapedText(text) if text.len() <= 256 => Some(numbers::escaped_text(text).into_owned()),
        Node::Bytes(bytes) | Node::EscapedBytes(bytes) if bytes.len() <= 256 => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        _ => None,
    }
}

fn called_bytes<'a>(arena: &Arena<'a>, shape: &Shape<'_, 'a>, most: usize) -> Option<Cow<'a, [u8]>> {
    match (shape.name, shape.arguments) {
        (_, []) => Some(Cow::Borrowed(&[])),
        (b"bytearray", [bytes]) => bytes_of(arena, *bytes, most),
        (_, [text, ..]) => plain_bytes(arena, *text, most),
    }
}

/// Text whose characters are bytes.
fn plain_bytes<'a>(arena: &Arena<'a>, id: Id, most: usize) -> Option<Cow<'a, [u8]>> {
    match arena.get(id) {
        Node::Bytes(bytes) if bytes.len() <= most => Some(Cow::Borrowed(bytes)),
        Node::EscapedBytes(bytes) if bytes.len() / 4 <= most => Some(numbers::escaped_bytes(bytes).into()),
        Node::Text(text) if text.len() / 2 <= most => numbers::latin1(&numbers::text(text)).map(Cow::Owned),
        Node::EscapedText(text) if text.len() / 6 <= most => {
            numbers::latin1(&numbers::escaped_text(text)).map(Cow::Owned)
        }
        _ => None,
    }
}

/// Classes that read best as short text.
fn text(arena: &Arena<'_>, shape: &Shape<'_, '_>) -> Option<String> {
    match (shape.module, shape.name, shape.arguments) {
        (b"datetime", name, arguments) => dates::text(arena, name, arguments),
        (b"uuid", b"UUID", []) => Some(uuid(unsigned(arena, member(arena, shape.object.state?, b"int")?)?)),
        (b"builtins", b"complex", [real, imaginary]) => complex(arena, *real, *imaginary),
        (b"builtins", b"getattr", [owner, name]) => {
            let (module, class) = global(arena, *owner)?;
            Some(format!("{}.{}", class_text(module, class), short_text(arena, *name)?))
        }
        (b"fractions", b"Fraction", [above, below]) => {
            Some(format!("{}/{}", arena.int(*above)?, arena.int(*below)?))
        }
        (b"pathlib" | b"pathlib._local", name, parts) if name.ends_with(b"Path") => path(arena, name, parts),
        (b"ipaddress", b"IPv4Address", [int]) => {
            Some(Ipv4Addr::from(u32::try_from(unsigned(arena, *int)?).ok()?).to_string())
        }
        (b"ipaddress", b"IPv6Address", [int]) => Some(Ipv6Addr::from(unsigned(arena, *int)?).to_string()),
        _ => dates::zone_name(arena, shape),
    }
}

fn uuid(value: u128) -> String {
    let digits = format!("{value:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// A whole number of 128 bits without sign.
fn unsigned(arena: &Arena<'_>, id: Id) -> Option<u128> {
    match arena.get(id) {
        Node::Int(value) => u128::try_from(*value).ok(),
        Node::Digits(digits) if digits.len() <= 39 => std::str::from_utf8(digits).ok()?.parse().ok(),
        Node::Long(bytes) if bytes.len() <= 17 => {
            let (low, high) = bytes.split_at_checked(16).unwrap_or((bytes, &[]));
            let mut word = [0; 16];
            word.get_mut(..low.len())?.copy_from_slice(low);
            let negative = bytes.last().is_some_and(|top| top & 0x80 != 0);
            if negative || high.iter().any(|byte| *byte != 0) {
                None
            } else {
                Some(u128::from_le_bytes(word))
            }
        }
        _ => None,
    }
}

/// As Python prints it.
fn complex(arena: &Arena<'_>, real: Id, imaginary: Id) -> Option<String> {
    let (Node::Float(real), Node::Float(imaginary)) = (arena.get(real), arena.get(imaginary)) else {
        return None;
    };
    let sign = if imaginary.is_sign_negative() { "" } else { "+" };
    Some(format!("({real}{sign}{imaginary}j)"))
}

fn path(arena: &Arena<'_>, class: &[u8], parts: &[Id]) -> Option<String> {
    if parts.len() > LOOKED_AT {
        return None;
    }
    let between = if class.ends_with(b"WindowsPath") { '\\' } else { '/' };
    let mut out = String::new();
    for part in parts {
        if !out.is_empty() && !out.ends_with(between) {
            out.push(between);
        }
        out.push_str(&short_text(arena, *part)?);
    }
    Some(if out.is_empty() { ".".into() } else { out })
}

/// A numpy scalar as JSON text: its bytes read as its dtype says.
fn numpy_scalar(arena: &Arena<'_>, kind: Id, bytes: Id) -> Option<String> {
    let Node::Object(kind) = arena.get(kind) else { return None };
    let shape = Shape::of(arena, kind);
    let code = short_text(arena, *shape.arguments.first()?)?;
    let order = kind.state.and_then(|state| arena.sequence(state).get(1).copied());
    let big = order.and_then(|order| arena.letters(order)) == Some(b">");
    let mut bytes = bytes_of(arena, bytes, 4096)?.into_owned();
    if big {
        let size = if code.starts_with('U') { 4 } else { bytes.len().max(1) };
        bytes.chunks_mut(size).for_each(<[u8]>::reverse);
    }
    let mut word = [0; 8];
    match code.split_at_checked(1)? {
        ("U", _) => {
            let points = bytes.chunks_exact(4).filter_map(|point| point.first_chunk::<4>());
            let text: Option<String> =
                points.map(|point| char::from_u32(u32::from_le_bytes(*point))).collect();
            return Some(crate::json::quoted(text?.trim_end_matches('\0')));
        }
        ("b", _) => return Some((bytes.first()? != &0).to_string()),
        ("f", "4") => {
            return Some(numbers::float_text(f32::from_le_bytes(*bytes.first_chunk()?).into()).into_owned());
        }
        ("f", "8") => {
            return Some(numbers::float_text(f64::from_le_bytes(*bytes.first_chunk()?)).into_owned());
        }
        ("i", _) if bytes.last().is_some_and(|top| top & 0x80 != 0) => word = [0xff; 8],
        ("i" | "u", _) => {}
        _ => return None,
    }
    word.get_mut(..bytes.len())?.copy_from_slice(&bytes);
    Some(if code.starts_with('i') {
        i64::from_le_bytes(word).to_string()
    } else {
        u64::from_le_bytes(word).to_string()
    })
}
