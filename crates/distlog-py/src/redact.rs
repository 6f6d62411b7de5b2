//! Whether a message may have something to hide: the quick look before `distlog.redact` takes it apart.
//!
//! Most messages have nothing, and this is all that redaction costs them. One pass over the bytes, in lower case, looks for *signs*
//! (parts of what patterns match), for *names* (without the marks between their words: `api_key`, `apiKey` and `API-KEY` are `apikey`), and for
//! runs of digits that may be a payment card's. It may find something that is nothing, and never overlooks anything.

use pyo3::prelude::*;

/// Fewest and most digits of a payment card's number.
const CARD: std::ops::RangeInclusive<usize> = 13..=16;

/// What to look for.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Signs {
    signs: Words,
    names: Words,
    cards: bool,
}

#[pymethods]
impl Signs {
    #[new]
    fn new(signs: Vec<String>, names: Vec<String>, cards: bool) -> Self {
        Self { signs: Words::new(signs), names: Words::new(names), cards }
    }

    /// Whether any of it is there.
    fn are_in(&self, body: &[u8]) -> bool {
        let lower = body.to_ascii_lowercase();
        if self.signs.are_in(&lower) || (self.cards && has_card(&lower)) {
            return true;
        }
        let squeezed: Vec<u8> = lower.into_iter().filter(|byte| !is_between(*byte)).collect();
        self.names.are_in(&squeezed)
    }
}

/// Words, by their first two bytes. Shorter ones are not taken.
struct Words {
    words: Vec<Vec<u8>>,
    /// One bit for each pair of bytes.
    starts: Vec<u64>,
}

impl Words {
    fn new(words: Vec<String>) -> Self {
        let words: Vec<Vec<u8>> = words.into_iter().map(|word| word.to_lowercase().into_bytes()).collect();
        let mut starts = vec![0_u64; 1 << 10];
        for word in &words {
            if let [first, second, ..] = word.as_slice()
                && let Some(bits) = starts.get_mut(place(*first, *second) / 64)
            {
                *bits |= 1 << (place(*first, *second) % 64);
            }
        }
        Self { words, starts }
    }

    fn are_in(&self, text: &[u8]) -> bool {
        text.windows(2).enumerate().any(|(at, pair)| {
            let [first, second] = pair else { return false };
            self.may_start(*first, *second) && text.get(at..).is_some_and(|rest| self.begin(rest))
        })
    }

    fn may_start(&self, first: u8, second: u8) -> bool {
        let at = place(first, second);
        self.starts.get(at / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    fn begin(&self, rest: &[u8]) -> bool {
        // Every record has a `processName`, in which `ssn` is no name.
        self.words
            .iter()
            .any(|word| rest.starts_with(word) && !(word == b"ssn" && rest.starts_with(b"ssname")))
    }
}

fn place(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// What stands between the words of a name.
fn is_between(byte: u8) -> bool {
    matches!(byte, b'_' | b'-' | b'.' | b' ')
}

/// Whether there is a run of as many digits as a card has: one that begins as a card's number does, or some groups.
fn has_card(text: &[u8]) -> bool {
    let (mut digits, mut begins, mut grouped, mut before) = (0_usize, false, false, b' ');
    for byte in text.iter().copied().chain([b'x']) {
        match byte {
            b'0'..=b'9' if digits == 0 => {
                (digits, grouped) = (1, false);
                begins = (b'2'..=b'6').contains(&byte) && before != b'.';
            }
            b'0'..=b'9' => {
                digits += 1;
                grouped |= !before.is_ascii_digit();
            }
            b' ' | b'-' if digits > 0 => {}
            _ if grouped && digits >= *CARD.start() || begins && CARD.contains(&digits) => return true,
            _ => digits = 0,
        }
        before = byte;
    }
    false
}
