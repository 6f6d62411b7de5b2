//! Whether a text contains another, ignoring case, at the speed of memory.
//!
//! The one meaning of "contains" in filters, shared with the store's scans:
//! an ASCII text is found by comparing ASCII letters without case and everything else exactly; a text with other
//! letters is found by comparing the lower case of both, letter by letter, with the two small sigmas as one.

use std::borrow::Cow;

use memchr::{memchr2_iter, memmem};

/// Longer texts are found by a method that cannot be slowed down by repetition.
const SHORT: usize = 32;

/// Letters and signs by how seldom they are in log messages: the search looks for the first of these.
const SELDOM: &[u8] = b"~`^#$%&|{}[]<>\\!;?@zqxj*+\"'kvwybfgphmcudlrnostiae,()=:/_-.0123456789 ";

/// A text to find.
#[derive(Debug, Clone)]
pub struct Finder {
    lower: String,
    method: Method,
}

#[derive(Debug, Clone)]
enum Method {
    /// The byte that is sought first, in both cases, and its place in the text.
    Ascii { small: u8, capital: u8, place: usize },
    /// Search in the folded haystack.
    Folded(Box<memmem::Finder<'static>>),
}

impl Finder {
    /// Prepares the search for `text`, in whatever case.
    pub fn new(text: &str) -> Self {
        let lower = folded(text).into_owned();
        let seldom = |byte: u8| SELDOM.iter().position(|known| *known == byte).unwrap_or_default();
        let rarest = lower.bytes().enumerate().min_by_key(|(_, byte)| seldom(*byte));
        let method = match rarest {
            Some((place, small)) if lower.is_ascii() && lower.len() <= SHORT => {
                Method::Ascii { small, capital: small.to_ascii_uppercase(), place }
            }
            _ => Method::Folded(Box::new(memmem::Finder::new(lower.as_bytes()).into_owned())),
        };
        Self { lower, method }
    }

    /// The text in lower case.
    pub fn text(&self) -> &str {
        &self.lower
    }

    /// Whether `text` contains it.
    pub fn is_in(&self, text: &str) -> bool {
        match &self.method {
            Method::Ascii { small, capital, place } => {
                ascii_end(text.as_bytes(), self.lower.as_bytes(), *small, *capital, *place).is_some()
            }
            Method::Folded(_) if text.is_ascii() && !self.lower.is_ascii() => false,
            Method::Folded(finder) => finder.find(folded_for(text, &self.lower).as_bytes()).is_some(),
        }
    }

    /// What stands behind its first place in `text`, which is in lower case already.
    fn after<'a>(&self, text: &'a str) -> Option<&'a str> {
        let end = match &self.method {
            Method::Ascii { small, capital, place } => {
                ascii_end(text.as_bytes(), self.lower.as_bytes(), *small, *capital, *place)?
            }
            Method::Folded(finder) => finder.find(text.as_bytes())? + self.lower.len(),
        };
        text.get(end..)
    }
}

/// Whether `text` contains all the pieces in their order, ignoring case.
pub(super) fn in_order(pieces: &[Finder], text: &str) -> bool {
    let ascii = pieces.iter().all(|piece| piece.lower.is_ascii());
    let text = if ascii { Cow::Owned(text.to_ascii_lowercase()) } else { folded(text) };
    pieces.iter().try_fold(&*text, |rest, piece| piece.after(rest)).is_some()
}

/// In lower case, letter by letter, the way both sides of a comparison are.
fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    let lower = text.chars().flat_map(char::to_lowercase);
    Cow::Owned(lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect())
}

/// An ASCII text is never found in a letter that is none, whatever its lower case: so only ASCII letters are folded for it.
fn folded_for<'a>(text: &'a str, lower: &str) -> Cow<'a, str> {
    if lower.is_ascii() { Cow::Owned(text.to_ascii_lowercase()) } else { folded(text) }
}

fn ascii_end(text: &[u8], lower: &[u8], small: u8, capital: u8, place: usize) -> Option<usize> {
    let last = text.len().checked_sub(lower.len())?;
    let sought = text.get(place..=last + place)?;
    let mut starts = memchr2_iter(small, capital, sought);
    starts.find_map(|start| {
        let end = start + lower.len();
        text.get(start..end)?.eq_ignore_ascii_case(lower).then_some(end)
    })
}
