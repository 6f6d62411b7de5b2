//! What a text is compared with: contains, is, matches.

use regex::Regex;

use super::search::{Finder, in_order};

/// A compiled comparison with a text.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// Contains this, ignoring case.
    Has(Finder),
    /// Contains these, in this order, ignoring case.
    HasInOrder(Vec<Finder>),
    /// Is exactly this.
    Is(Box<str>),
    /// Is this, ignoring the case of ASCII letters.
    IsLike(Box<str>),
    /// Begins, goes on and ends with these; anything may stand between.
    Glob(Vec<Box<str>>),
    /// Has a place that matches.
    Regex(Regex),
}

impl Pattern {
    /// `*` in it stands for anything, `\*` for a star.
    pub(super) fn whole(text: &str) -> Self {
        let mut pieces = pieces(text);
        match pieces.pop() {
            Some(only) if pieces.is_empty() => Self::Is(only.into()),
            last => Self::Glob(pieces.into_iter().chain(last).map(String::into_boxed_str).collect()),
        }
    }

    /// `*` in it stands for anything, unless it is `quoted`.
    pub(super) fn has(text: &str, quoted: bool) -> Self {
        if quoted {
            return Self::Has(Finder::new(&text.replace("\\*", "*")));
        }
        match pieces(text).as_slice() {
            [only] => Self::Has(Finder::new(only)),
            pieces => {
                let pieces = pieces.iter().filter(|piece| !piece.is_empty());
                Self::HasInOrder(pieces.map(|piece| Finder::new(piece)).collect())
            }
        }
    }

    /// Whether `text` fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Has(part) => part.is_in(text),
            Self::HasInOrder(pieces) => in_order(pieces, text),
            Self::Is(whole) => text == &**whole,
            Self::IsLike(whole) => text.eq_ignore_ascii_case(whole),
            Self::Glob(pieces) => glob(pieces, text),
            Self::Regex(regex) => regex.is_match(text),
        }
    }

    /// Whether the text of a number or `true`, `false` fits: there, to contain is to be.
    pub(super) fn fits_atom(&self, text: &str) -> bool {
        match self {
            Self::Has(whole) => text.eq_ignore_ascii_case(whole.text()),
            Self::Is(whole) => text.eq_ignore_ascii_case(whole),
            _ => self.fits(text),
        }
    }

    /// Lower-case texts that are in all that fits.
    pub(super) fn needles(&self) -> Vec<String> {
        let lower = |text: &str| Finder::new(text).text().to_owned();
        let needles: Vec<String> = match self {
            Self::Has(part) => vec![part.text().to_owned()],
            Self::HasInOrder(pieces) => pieces.iter().map(|piece| piece.text().to_owned()).collect(),
            Self::Is(whole) | Self::IsLike(whole) => vec![lower(whole)],
            Self::Glob(pieces) => pieces.iter().map(|piece| lower(piece)).collect(),
            Self::Regex(_) => Vec::new(),
        };
        needles.into_iter().filter(|needle| !needle.is_empty()).collect()
    }
}

/// The texts between the stars.
fn pieces(text: &str) -> Vec<String> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.next_if_eq(&'*').is_some() => piece.push('*'),
            '*' => pieces.push(std::mem::take(&mut piece)),
            _ => piece.push(c),
        }
    }
    pieces.push(piece);
    pieces
}

/// Each piece at its first place after the one before is enough: only the ends are fixed.
fn glob(pieces: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = pieces else {
        return false;
    };
    let Some(rest) = text.strip_prefix(&**first) else {
        return false;
    };
    let rest = middle.iter().try_fold(rest, |rest, piece| rest.split_once(&**piece).map(|(_, after)| after));
    rest.is_some_and(|rest| rest.ends_with(&**last))
}
