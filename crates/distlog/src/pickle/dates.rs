//! Dates and times. Python pickles them as packed bytes:
//!
//! | class | bytes |
//! |---|---|
//! | `date` | year (2, big endian), month, day |
//! | `time` | hour, minute, second, microsecond (3, big endian); 128 is added to the hour for the second pass of a fold |
//! | `datetime` | those two in turn; there the month carries the fold |

use super::arena::{Arena, Id, Node};
use super::classes::{bytes_of, short_text};
use super::objects::{Shape, class_text, global};

/// The value in ISO 8601, or as Python prints it; `None` if it is none of this module's classes.
pub(super) fn text(arena: &Arena<'_>, class: &[u8], arguments: &[Id]) -> Option<String> {
    match (class, arguments) {
        (b"date", [packed]) => match *bytes_of(arena, *packed, 10)? {
            [high, low, month, day] => Some(date(high, low, month, day)),
            _ => None,
        },
        (b"time", [packed, zone @ ..]) => match *bytes_of(arena, *packed, 10)? {
            [hour, minute, second, a, b, c] => {
                Some(time(hour & 0x7f, minute, second, [a, b, c]) + &zone_suffix(arena, zone))
            }
            _ => None,
        },
        (b"datetime", [packed, zone @ ..]) => match *bytes_of(arena, *packed, 10)? {
            [high, low, month, day, hour, minute, second, a, b, c] => Some(format!(
                "{}T{}{}",
                date(high, low, month & 0x7f, day),
                time(hour, minute, second, [a, b, c]),
                zone_suffix(arena, zone)
            )),
            _ => None,
        },
        (b"timedelta", [days, seconds, microseconds]) => {
            timedelta(arena.int(*days)?, arena.int(*seconds)?, arena.int(*microseconds)?)
        }
        (b"timezone", [delta, name @ ..]) => match name.first() {
            Some(name) => short_text(arena, *name),
            None => Some(format!("UTC{}", offset(delta_seconds(arena, *delta)?))),
        },
        _ => None,
    }
}

/// The name of a time zone object of `zoneinfo` or `pytz`.
pub(super) fn zone_name(arena: &Arena<'_>, shape: &Shape<'_, '_>) -> Option<String> {
    match (shape.module, shape.name, shape.arguments) {
        (b"zoneinfo", b"ZoneInfo._unpickle" | b"ZoneInfo", [name, ..]) => short_text(arena, *name),
        (b"pytz", b"_UTC", []) => Some("UTC".into()),
        (b"pytz", b"_p", [name, ..]) => short_text(arena, *name),
        (b"", b"", [name, ..]) if calls_zone_info(arena, shape.class) => short_text(arena, *name),
        _ => None,
    }
}

fn date(high: u8, low: u8, month: u8, day: u8) -> String {
    format!("{:04}-{month:02}-{day:02}", u16::from_be_bytes([high, low]))
}

fn time(hour: u8, minute: u8, second: u8, [a, b, c]: [u8; 3]) -> String {
    let whole = format!("{hour:02}:{minute:02}:{second:02}");
    match u32::from_be_bytes([0, a, b, c]) {
        0 => whole,
        microseconds => format!("{whole}.{microseconds:06}"),
    }
}

/// What stands behind a time: its distance from UTC if that is known, else its zone's name in brackets.
fn zone_suffix(arena: &Arena<'_>, zone: &[Id]) -> String {
    let Some(zone) = zone.first() else { return String::new() };
    let Node::Object(object) = arena.get(*zone) else { return String::new() };
    let shape = Shape::of(arena, object);
    match (shape.module, shape.name, shape.arguments) {
        (b"datetime", b"timezone", [delta, ..]) => {
            delta_seconds(arena, *delta).map_or_else(String::new, offset)
        }
        (b"pytz", b"_UTC", _) => offset(0),
        (b"pytz", b"_p", [_, seconds, ..]) => arena.int(*seconds).map_or_else(String::new, offset),
        (module, name, _) => {
            let name = zone_name(arena, &shape).unwrap_or_else(|| class_text(module, name));
            format!("[{name}]")
        }
    }
}

/// `ZoneInfo._unpickle` is named by `getattr(ZoneInfo, "_unpickle")`.
fn calls_zone_info(arena: &Arena<'_>, class: Id) -> bool {
    let Node::Object(called) = arena.get(class) else { return false };
    let shape = Shape::of(arena, called);
    match (shape.module, shape.name, shape.arguments) {
        (b"builtins", b"getattr", [owner, _]) => global(arena, *owner) == Some((b"zoneinfo", b"ZoneInfo")),
        _ => false,
    }
}

fn delta_seconds(arena: &Arena<'_>, delta: Id) -> Option<i64> {
    let Node::Object(object) = arena.get(delta) else { return None };
    let shape = Shape::of(arena, object);
    match (shape.name, shape.arguments) {
        (b"timedelta", [days, seconds, ..]) => {
            arena.int(*days)?.checked_mul(86400)?.checked_add(arena.int(*seconds)?)
        }
        _ => None,
    }
}

/// `+01:00`, with seconds only if there are some.
fn offset(seconds: i64) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let size = seconds.unsigned_abs();
    let minutes = format!("{sign}{:02}:{:02}", size / 3600, size / 60 % 60);
    if size.is_multiple_of(60) { minutes } else { format!("{minutes}:{:02}", size % 60) }
}

/// As Python prints it: `1 day, 2:03:04.000005`.
fn timedelta(days: i64, seconds: i64, microseconds: i64) -> Option<String> {
    if !(0..86400).contains(&seconds) || !(0..1_000_000).contains(&microseconds) {
        return None;
    }
    let days = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    let fraction = if microseconds == 0 { String::new() } else { format!(".{microseconds:06}") };
    Some(format!("{days}{}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}
