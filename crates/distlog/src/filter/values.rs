//! What the words of a filter stand for: levels, numbers with units, ranges, and times.
//!
//! Durations are numbers of seconds, sizes numbers of bytes, times nanoseconds since the epoch.
//! The zone of a time without one is UTC: this crate knows no other.

use std::cmp::Ordering;

use crate::Raw;
use crate::record::SECOND;

/// The names Python gives to levels, and their numbers.
pub(super) const LEVELS: [(&str, i64); 8] = [
    ("debug", 10),
    ("info", 20),
    ("warning", 30),
    ("error", 40),
    ("critical", 50),
    ("warn", 30),
    ("fatal", 50),
    ("notset", 0),
];

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Units of time in nanoseconds, units of size in bytes: so every factor is exact.
const UNITS: [(&str, f64, Unit); 19] = [
    ("ns", 1.0, Unit::Time),
    ("us", 1e3, Unit::Time),
    ("µs", 1e3, Unit::Time),
    ("ms", 1e6, Unit::Time),
    ("s", 1e9, Unit::Time),
    ("m", 60e9, Unit::Time),
    ("min", 60e9, Unit::Time),
    ("h", 3600e9, Unit::Time),
    ("d", 86_400e9, Unit::Time),
    ("w", 604_800e9, Unit::Time),
    ("b", 1.0, Unit::Size),
    ("kb", 1e3, Unit::Size),
    ("mb", 1e6, Unit::Size),
    ("gb", 1e9, Unit::Size),
    ("tb", 1e12, Unit::Size),
    ("kib", 1024.0, Unit::Size),
    ("mib", 1_048_576.0, Unit::Size),
    ("gib", 1_073_741_824.0, Unit::Size),
    ("tib", 1_099_511_627_776.0, Unit::Size),
];

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    Time,
    Size,
}

/// A number; whole numbers are compared exactly where both are whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    whole: Option<i64>,
    float: f64,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quantity {
    number: Number,
    factor: f64,
    pub(super) unit: Unit,
}

/// From here to there; each end may be open, and may or may not belong to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    pub(super) low: Option<(Number, bool)>,
    pub(super) high: Option<(Number, bool)>,
}

impl Number {
    pub(super) fn whole(value: i64) -> Self {
        Self { whole: Some(value), float: value as f64 }
    }

    pub(super) fn float(value: f64) -> Self {
        Self { whole: None, float: value }
    }

    pub(super) fn of(raw: Raw<'_>) -> Option<Self> {
        raw.as_i64().map(Self::whole).or_else(|| raw.as_f64().map(Self::float))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits == "." {
            return None;
        }
        let whole = text.parse().ok().map(Self::whole);
        whole.or_else(|| text.parse().ok().filter(|value: &f64| value.is_finite()).map(Self::float))
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self.whole, other.whole) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => self.float.partial_cmp(&other.float),
        }
    }
}

impl Span {
    pub(super) fn exactly(number: Number) -> Self {
        Self { low: Some((number, true)), high: Some((number, true)) }
    }

    pub(super) fn holds(&self, number: Number) -> bool {
        let within = |bound: Option<(Number, bool)>, side: Ordering| {
            bound.is_none_or(|(bound, included)| match number.compare(bound) {
                Some(Ordering::Equal) => included,
                order => order == Some(side),
            })
        };
        within(self.low, Ordering::Greater) && within(self.high, Ordering::Less)
    }
}

impl Quantity {
    /// `500`, `1.5h`, `10KiB`. Letters of units may be small or capital.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(number) = Number::parse(text) {
            return Some(Self { number, factor: 1.0, unit: Unit::None });
        }
        let split = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
        let (digits, name) = text.split_at_checked(split)?;
        let name = name.to_lowercase();
        let (_, factor, unit) = UNITS.iter().find(|(known, _, _)| *known == name)?;
        Some(Self { number: Number::parse(digits)?, factor: *factor, unit: *unit })
    }

    /// A length of time in units of so many nanoseconds, a size in bytes, a plain number as it is.
    pub(super) fn counted_in(self, nanoseconds: f64) -> Number {
        let unit = if self.unit == Unit::Time { nanoseconds } else { 1.0 };
        if self.factor == unit { self.number } else { Number::float(self.number.float * self.factor / unit) }
    }
}

/// The two sides of `low..high`; either may be empty, but not both.
pub(super) fn range(text: &str) -> Option<(&str, &str)> {
    text.split_once("..").filter(|(low, high)| !(low.is_empty() && high.is_empty()))
}

/// The number of a level that Python names, or of a number.
pub(super) fn level(text: &str) -> Option<i64> {
    let named = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok())
}

/// The first and last nanosecond that a text names: a moment to the precision written, a day, an age.
/// `Err` if it is relative to now and now is not known; `Ok(None)` if it is no time.
pub(super) fn moment(text: &str, now: Option<i64>) -> Result<Option<(i64, i64)>, Relative> {
    let day = |days_back: i64| {
        let today = now.ok_or(Relative)?.div_euclid(DAY) * DAY;
        let start = today.saturating_sub(days_back * DAY);
        Ok(Some((start, start.saturating_add(DAY - 1))))
    };
    match text {
        "now" => return now.ok_or(Relative).map(|now| Some((now, now))),
        "today" => return day(0),
        "yesterday" => return day(1),
        _ => {}
    }
    if let Some(age) = text.strip_prefix('-').and_then(Quantity::parse).filter(|age| age.unit == Unit::Time) {
        // A cast of a float that is too large gives the largest number: older than everything.
        let then = now.ok_or(Relative)?.saturating_sub(age.counted_in(1.0).float as i64);
        return Ok(Some((then, then)));
    }
    if let Some(seconds) = Number::parse(text).and_then(|_| Raw::trusted(text).seconds_to_ns()) {
        return Ok(Some((seconds, seconds)));
    }
    Ok(iso(text))
}

/// The text names a time relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relative;

/// `2026-11-22`, `2026-11-22T14:02`, `…:07.25`, with `Z` or `+01:00` behind a time of day.
fn iso(text: &str) -> Option<(i64, i64)> {
    let (date, rest) = text.split_at_checked(10)?;
    let start_of_day = day_start(date)?;
    if rest.is_empty() {
        return Some((start_of_day, start_of_day.checked_add(DAY - 1)?));
    }
    let rest = rest.strip_prefix(['T', 't'])?;
    let (clock, zone) = rest.split_at_checked(rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len()))?;
    let (since_midnight, precision) = clock_time(clock)?;
    let start = start_of_day.checked_add(since_midnight)?.checked_sub(zone_offset(zone)?)?;
    Some((start, start.checked_add(precision - 1)?))
}

fn day_start(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=length).contains(&day) {
        return None;
    }
    // Days since 1970-01-01, with years that begin in March: leap days then fall on the end of a year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    (days + (153 * month + 2) / 5 + day - 1 - 719_468).checked_mul(DAY)
}

/// Nanoseconds since midnight, and how long the smallest part that was written takes.
fn clock_time(clock: &str) -> Option<(i64, i64)> {
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (seconds, precision) = match parts.next() {
        None => (0, MINUTE),
        Some(text) => {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
            let precision = SECOND / 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let fraction = if fraction.is_empty() { 0 } else { digits(fraction, fraction.len())? };
            let second = digits(whole, 2).filter(|second| *second < 60)?;
            (second * SECOND + fraction * precision, precision.max(1))
        }
    };
    let valid = parts.next().is_none() && hour < 24 && minute < 60 && precision > 0;
    valid.then_some((hour * HOUR + minute * MINUTE + seconds, precision))
}

fn zone_offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.chars().next() {
        None => return Some(0),
        Some('Z' | 'z') => return (zone.len() == 1).then_some(0),
        Some('-') => (-1, zone.get(1..)?),
        _ => (1, zone.get(1..)?),
    };
    let (hours, minutes) = rest.split_at_checked(2)?;
    let minutes = minutes.strip_prefix(':').unwrap_or(minutes);
    let minutes = if minutes.is_empty() { 0 } else { digits(minutes, 2)? };
    Some(sign * (digits(hours, 2)? * HOUR + minutes * MINUTE))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let plain = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
