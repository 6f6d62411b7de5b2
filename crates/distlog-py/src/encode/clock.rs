//! `created` (seconds since the epoch) as ISO 8601 in local time with its offset: `2026-11-22T14:51:21.123456+01:00`.
//!
//! All but the seconds is written once a minute and thread. The offset is the interpreter's (`time.localtime`): clocks change on whole
//! minutes.

use std::cell::Cell;

use pyo3::prelude::*;

/// A time's text.
pub(crate) type Written = [u8; 32];

thread_local! {
    /// The minute written last, and its text with zeros for the seconds.
    static MINUTE: Cell<(i64, Written)> = const { Cell::new((i64::MIN, [0; 32])) };
}

/// The text, all ASCII, or `None` if `created` is no time of the years 1 to 9999.
pub(crate) fn iso8601(py: Python<'_>, created: f64) -> Option<Written> {
    if !created.is_finite() || !(-62_135_500_000.0..253_402_200_000.0).contains(&created) {
        return None;
    }
    let micros = (created * 1e6).floor() as i64;
    let (minute, micros) = (micros.div_euclid(60_000_000), micros.rem_euclid(60_000_000));
    let (known, mut written) = MINUTE.get();
    if known != minute {
        written = whole(py, minute);
        MINUTE.set((minute, written));
    }
    let (second, mut micro) = (micros / 1_000_000, micros % 1_000_000);
    put(&mut written, 17, second);
    for place in [24, 22, 20] {
        put(&mut written, place, micro % 100);
        micro /= 100;
    }
    Some(written)
}

/// Two digits.
fn put(written: &mut Written, at: usize, number: i64) {
    let digits = [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    if let Some(place) = written.get_mut(at..at + 2) {
        place.copy_from_slice(&digits);
    }
}

#[cold]
fn whole(py: Python<'_>, minute: i64) -> Written {
    // Zones of long ago have seconds, which the form has not: the time then is of the zone that is written.
    let offset = ask(py, minute * 60).unwrap_or_default().div_euclid(60) * 60;
    let local = minute * 60 + offset;
    let (year, month, day) = civil(local.div_euclid(86_400));
    let clock = local.rem_euclid(86_400);
    let (hour, minute) = (clock / 3600, clock / 60 % 60);
    let sign = if offset < 0 { '-' } else { '+' };
    let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
    let text =
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00.000000{sign}{hours:02}:{minutes:02}");
    let mut written = [b'0'; 32];
    for (place, byte) in written.iter_mut().zip(text.bytes()) {
        *place = byte;
    }
    written
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
