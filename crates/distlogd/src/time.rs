//! Times as people write and read them.
//!
//! Inside, time is i64 nanoseconds since the epoch. Here, and only here, it becomes a clock on a wall: `--since 10m`,
//! `yesterday`, `14:02`, `2026-11-22T14:02+01:00` on the way in; the reader's own zone, with its offset named, on the
//! way out. "Now" and the zone come as arguments, so that all of this can be tested.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};

const SECOND: i64 = 1_000_000_000;
const HELP: &str =
    "write an age (10m, 1h30m, 2d), a time (14:02, 2026-11-22T14:02+01:00), today or yesterday";

/// Why a text is no time; made for [`crate::terminal::pointer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: &'static str,
}

/// Nanoseconds since the epoch, now.
pub fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// A point in time: an age before `now`, a time of today, a date, or both with or without a zone.
pub fn parse(text: &str, now: i64, zone: &TimeZone) -> Result<i64, TimeError> {
    let wrong = |message: String| TimeError { message, help: HELP };
    let text = text.trim();
    let age = text.strip_prefix('-').unwrap_or(text);
    if let Some(age) = parse_duration(age) {
        return now.checked_sub(age).ok_or_else(|| wrong(format!("{text} is too long ago")));
    }
    if let Some(seconds) = text.strip_prefix('@').or_else(|| is_of_epoch(text).then_some(text)) {
        return distlog::json::decimal_to_ns(seconds).ok_or_else(|| wrong(format!("{text} is out of range")));
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return nanoseconds(moment).ok_or_else(|| wrong(format!("{text} is out of range")));
    }
    let today = at(now, zone).date();
    let civil = match text {
        "now" => return Ok(now),
        "today" => Some(today.at(0, 0, 0, 0)),
        "yesterday" => today.yesterday().ok().map(|day| day.at(0, 0, 0, 0)),
        _ => parse_civil(text, today),
    };
    let civil = civil.ok_or_else(|| wrong(format!("`{text}` is no time")))?;
    let moment = civil.to_zoned(zone.clone()).map_err(|_| wrong(format!("`{text}` is out of range")))?;
    nanoseconds(moment.timestamp()).ok_or_else(|| wrong(format!("`{text}` is out of range")))
}

/// Whether a number alone is long enough to be meant as seconds since the epoch, as in a record's `created`.
fn is_of_epoch(text: &str) -> bool {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|letter| letter.is_ascii_digit());
    (9..=10).contains(&whole.len()) && are_digits(whole) && are_digits(part)
}

/// A length of time: `500ms`, `1h30m`, `1.5h`, `2 days`. In nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0_i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let length = number.parse::<f64>().ok()? * unit_length(unit)? as f64;
        if !(0.0..=i64::MAX as f64 / 2.0).contains(&length) {
            return None;
        }
        total = total.checked_add(length.round() as i64)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// `14:02:07.118` in that zone.
pub fn show_clock(moment: i64, zone: &TimeZone) -> String {
    let time = at(moment, zone).time();
    let milliseconds = time.subsec_nanosecond() / 1_000_000;
    format!("{:02}:{:02}:{:02}.{milliseconds:03}", time.hour(), time.minute(), time.second())
}

/// `2026-11-22T14:02:07.118+01:00` in that zone.
pub fn show_stamp(moment: i64, zone: &TimeZone) -> String {
    let date = at(moment, zone).date();
    format!("{date}T{}{}", show_clock(moment, zone), show_offset(moment, zone))
}

/// `+01:00`: how far that zone is from UTC at that moment.
pub fn show_offset(moment: i64, zone: &TimeZone) -> String {
    let seconds = at(moment, zone).offset().seconds();
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    format!("{}{hours:02}:{minutes:02}", if seconds < 0 { '-' } else { '+' })
}

/// `2026-11-22T13:02:07.118000001Z`: exact, and the same everywhere. For the API.
pub fn show_exact(moment: i64) -> String {
    let moment = Timestamp::from_nanosecond(i128::from(moment)).unwrap_or(Timestamp::UNIX_EPOCH);
    moment.to_string()
}

/// A length of time with three digits that count: `40 ms`, `2.441 s`, `11 m 03 s`, `3 d 04 h`.
pub fn show_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    let (sign, length) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    let whole = length.round() as u64;
    let text = match length {
        ..0.000_999_5 => format!("{:.0} µs", length * 1e6),
        ..0.009_995 => format!("{:.1} ms", length * 1e3),
        ..0.999_5 => format!("{:.0} ms", length * 1e3),
        ..9.999_5 => format!("{length:.3} s"),
        ..59.95 => format!("{length:.1} s"),
        ..3599.5 => format!("{} m {:02} s", whole / 60, whole % 60),
        ..86399.5 => format!("{} h {:02} m", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86400, whole / 3600 % 24),
    };
    format!("{sign}{text}")
}

/// `14:02`, `14:02:07.1`, `2026-11-22`, `2026-11-22T14:02`, `2026-11-22 14:02:07`.
fn parse_civil(text: &str, today: civil::Date) -> Option<civil::DateTime> {
    if let Ok(moment) = text.parse::<civil::DateTime>() {
        return Some(moment);
    }
    if let Ok(date) = text.parse::<civil::Date>() {
        return Some(date.at(0, 0, 0, 0));
    }
    if let Some(time) = text.strip_prefix("yesterday ").and_then(|time| time.parse::<civil::Time>().ok()) {
        return Some(today.checked_sub(1.day()).ok()?.to_datetime(time));
    }
    text.contains(':').then(|| text.parse::<civil::Time>().ok()).flatten().map(|time| today.to_datetime(time))
}

fn unit_length(unit: &str) -> Option<i64> {
    Some(match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => SECOND,
        "m" | "min" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hour" | "hours" => 3600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

fn at(moment: i64, zone: &TimeZone) -> Zoned {
    Timestamp::from_nanosecond(i128::from(moment)).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone())
}

fn nanoseconds(moment: Timestamp) -> Option<i64> {
    i64::try_from(moment.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sunday 22 November 2026, 13:02:07.5 UTC.
    const NOW: i64 = 1_795_352_527_500_000_000;

    fn berlin() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    #[test]
    fn times_are_read_in_the_zone_of_the_reader() {
        for (text, expected) in [
            ("10m", "2026-11-22T12:52:07.5Z"),
            ("-10m", "2026-11-22T12:52:07.5Z"),
            ("1h30m", "2026-11-22T11:32:07.5Z"),
            ("1.5h", "2026-11-22T11:32:07.5Z"),
            ("500ms", "2026-11-22T13:02:07Z"),
            ("2 days", "2026-11-20T13:02:07.5Z"),
            ("now", "2026-11-22T13:02:07.5Z"),
            ("today", "2026-11-21T23:00:00Z"),
            ("yesterday", "2026-11-20T23:00:00Z"),
            ("yesterday 14:00", "2026-11-21T13:00:00Z"),
            ("2026-11-22", "2026-11-21T23:00:00Z"),
            ("14:02", "2026-11-22T13:02:00Z"),
            ("2026-11-22T14:02", "2026-11-22T13:02:00Z"),
            ("2026-11-22 14:02:07.25", "2026-11-22T13:02:07.25Z"),
            ("2026-11-22T14:02:00Z", "2026-11-22T14:02:00Z"),
            ("2026-11-22T14:02-05:00", "2026-11-22T19:02:00Z"),
            ("@1795352527", "2026-11-22T13:02:07Z"),
            ("1795352527", "2026-11-22T13:02:07Z"),
            ("1795352527.25", "2026-11-22T13:02:07.25Z"),
        ] {
            assert_eq!(parse(text, NOW, &berlin()).map(show_exact).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_a_hint() {
        for text in [
            "",
            "soon",
            "10",
            "12345678901",
            "1795352527.",
            "1795352527.2.5",
            "10 parsecs",
            "25:00",
            "2026-13-01",
            "9999999999d",
            "@nan",
            "-",
            "1..5h",
        ] {
            let refused = parse(text, NOW, &berlin()).expect_err(text);
            assert!(refused.help.contains("10m") && !refused.message.is_empty());
        }
    }

    #[test]
    fn times_are_shown_with_their_offset() {
        assert_eq!(show_clock(NOW, &berlin()), "14:02:07.500");
        assert_eq!(show_stamp(NOW, &berlin()), "2026-11-22T14:02:07.500+01:00");
        assert_eq!(show_offset(NOW, &TimeZone::UTC), "+00:00");
        assert_eq!(show_exact(NOW + 1), "2026-11-22T13:02:07.500000001Z");
    }

    #[test]
    fn durations_keep_three_digits() {
        for (seconds, expected) in [
            (0.0, "0 µs"),
            (0.000_412, "412 µs"),
            (0.0041, "4.1 ms"),
            (0.04, "40 ms"),
            (0.9999, "1.000 s"),
            (2.4414, "2.441 s"),
            (12.34, "12.3 s"),
            (663.0, "11 m 03 s"),
            (7260.0, "2 h 01 m"),
            (273_600.0, "3 d 04 h"),
            (-1.5, "-1.500 s"),
            (f64::NAN, "?"),
        ] {
            assert_eq!(show_duration(seconds), expected);
        }
    }
}
