//! Decimal seconds to whole nanoseconds, on the digits themselves.
//!
//! A double has 53 bits and today's time in nanoseconds needs 61: going through one would move
//! records by up to 256 ns, and with that change their order.

/// A decimal number of seconds as nanoseconds; digits after the ninth are cut off.
/// `None` if the text is no number or does not fit.
pub fn decimal_to_ns(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let size = scaled(whole.bytes().chain(fraction.bytes()), point.checked_add(9)?)?;
    i64::try_from(if negative { -size } else { size }).ok()
}

/// The first `places` digits as a number, filled up with zeros.
fn scaled(digits: impl Iterator<Item = u8>, places: i64) -> Option<i128> {
    let mut left = places;
    let mut size = 0_i128;
    for digit in digits {
        if left <= 0 {
            return Some(size);
        }
        left -= 1;
        size = size * 10 + i128::from(digit - b'0');
        if size > i128::from(u64::MAX) {
            return None;
        }
    }
    if size == 0 || left <= 0 {
        return Some(size);
    }
    let zeros = 10_i128.checked_pow(u32::try_from(left).ok().filter(|zeros| *zeros < 20)?)?;
    size.checked_mul(zeros)
}

/// Exponents past any use count as very large ones.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Some(if text.starts_with('-') { -size } else { size })
}
