//! Sizes and durations as people write them: `256MiB`, `7d`, `1h30m`. Every one has a unit: a bare number is refused,
//! because what it counts would be anybody's guess.

use std::time::Duration;

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

const DURATIONS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// Bytes. `Err` says what a size looks like.
pub(super) fn size(text: &str) -> Result<u64, &'static str> {
    const FORM: &str = "A size is a number and a unit, such as 512KiB, 256MiB or 20GiB.";
    let mut parts = parts(text).ok_or(FORM)?;
    match (parts.pop(), parts.is_empty()) {
        (Some((count, unit)), true) => multiply(count, unit, &SIZES).ok_or(FORM),
        _ => Err(FORM),
    }
}

/// A length of time. `Err` says what one looks like.
pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "A duration is a number and a unit, such as 500ms, 30s, 15m, 1h30m, 7d or 2w.";
    let parts = parts(text).ok_or(FORM)?;
    let each = parts.into_iter().map(|(count, unit)| multiply(count, unit, &DURATIONS));
    let total = each.reduce(|total, next| total?.checked_add(next?)).flatten();
    total.map(Duration::from_millis).ok_or(FORM)
}

/// `1h30m` → `[("1", "h"), ("30", "m")]`; a blank may stand before a unit.
fn parts(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (count, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let after = after.trim_start();
        let (unit, after) =
            after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        if count.is_empty() || unit.is_empty() {
            return None;
        }
        parts.push((count, unit));
        rest = after.trim_start();
    }
    if parts.is_empty() { None } else { Some(parts) }
}

fn multiply(count: &str, unit: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    match count.split_once('.') {
        None => count.parse::<u64>().ok()?.checked_mul(*factor),
        Some(_) => {
            let exact = count.parse::<f64>().ok()? * *factor as f64;
            if exact < 1e18 { Some(exact as u64) } else { None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0B", 0), ("10MB", 10_000_000), ("10MiB", 10_485_760), ("1.5KiB", 1536), ("20 GiB", 20 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in [
            "",
            "10",
            "MiB",
            "10Mib",
            "10 MiB 5",
            "1KiB2B",
            "-5MiB",
            "1e3",
            "99999999999TiB",
            "1..5KiB",
            "1_000B",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        for (text, seconds) in
            [("0s", 0), ("7d", 604_800), ("1h30m", 5_400), ("2 w", 1_209_600), ("1.5m", 90)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "10", "d", "10:30", "7 days", "1h 30", "-1h", "99999999999999w"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
