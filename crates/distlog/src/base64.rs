//! Bytes as base64 text, for what is no text: frames that cannot be read, `bytes` in pickles. Only the writing side.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the base64 of `bytes`, with padding.
pub(crate) fn push(out: &mut String, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0_u32, |word, at| word << 8 | group.get(at).copied().map_or(0, u32::from));
        for at in 0..4 {
            let six = (word >> (18 - 6 * at) & 63) as usize;
            let digit = ALPHABET.get(six).copied().unwrap_or(b'=');
            out.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
}
