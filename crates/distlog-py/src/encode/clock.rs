//! `created` (seconds since the epoch) as ISO 8601 in local time with its offset: `2026-11-22T14:51:21.123456+01:00`.
//!
//! The offset is the interpreter's (`time.localtime`), asked once a minute and thread: clocks change on whole minutes.

use std::cell::Cell;

use pyo3::prelude::*;

thread_local! {
    /// The minute asked for last, and its offset in seconds.
    static OFFSET: Cell<(i64, i64)> = const { Cell::new((i64::MIN, 0)) };
}

/// The text, or `None` if `created` is no time of the years 1 to 9999.
pub(crate) fn iso8601(py: Python<'_>, created: f64) -> Option<String> {
    if !created.is_finite() || !(-62_135_500_000.0..253_402_200_000.0).contains(&created) {
        return None;
    }
    let micros = (created * 1e6).floor() as i64;
    let (second, micro) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let offset = offset(py, second);
    let local = second + offset;
    let (year, month, day) = civil(local.div_euclid(86_400));
    let clock = local.rem_euclid(86_400);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}{sign}{hours:02}:{minutes:02}"
    ))
}

fn offset(py: Python<'_>, second: i64) -> i64 {
    let minute = second.div_euclid(60);
    let (known, offset) = OFFSET.get();
    if known == minute {
        return offset;
    }
    let asked = ask(py, minute * 60).unwrap_or_default();
    OFFSET.set((minute, asked));
    asked
}

fn ask(py: Python<'_>, second: i64) -> PyResult<i64> {
    let time = py.import("time")?.call_method1("localtime", (second,))?;
    time.getattr("tm_gmtoff")?.extract()
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are counted from March, so that the leap day is a year's last; 719,468 days lie before 1970 in this count.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}
