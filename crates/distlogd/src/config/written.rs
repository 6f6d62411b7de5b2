//! Reading the configuration as it is written: one [`Section`] per mapping, one typed question per key.
//!
//! Whoever reads a section asks it for the keys he knows. Each answer is checked on the spot, and [`Section::finish`]
//! refuses the keys nobody asked for, with the nearest of those that somebody did. So the list of allowed keys is
//! never written twice, and cannot be wrong. Nothing here stops at a mistake: it is noted, and the answer is `None`.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use distlog::filter::Filter;

use super::problem::{Place, Problems, advice};
use super::units;
use super::yaml::{Node, Scalar, Value};

/// One mapping of the configuration.
pub struct Section<'a> {
    what: String,
    place: Place,
    entries: &'a [(Scalar, Node)],
    asked: RefCell<Vec<&'static str>>,
    finished: Cell<bool>,
    problems: &'a Problems,
}

/// A text and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Its place.
    pub place: Place,
}

impl<'a> Section<'a> {
    /// The node as a section; `what` names it in messages (``rule `errors` ``).
    pub fn new(node: &'a Node, what: impl Into<String>, problems: &'a Problems) -> Option<Self> {
        let what = what.into();
        match &node.value {
            Value::Map(entries) => {
                let asked = RefCell::default();
                Some(Self { what, place: node.place, entries, asked, finished: Cell::new(false), problems })
            }
            // `rules:` with nothing below it is an empty section.
            Value::Scalar(scalar) if scalar.is_nothing() => {
                let asked = RefCell::default();
                Some(Self {
                    what,
                    place: node.place,
                    entries: &[],
                    asked,
                    finished: Cell::new(false),
                    problems,
                })
            }
            _ => {
                problems.add(node.place, format!("{what} must be a mapping: keys and values, `key: value`."));
                None
            }
        }
    }

    /// What the section is called in messages.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it begins.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Where problems are noted.
    pub fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// The names in a section whose keys are names: the rules, the processors.
    pub fn names(&self) -> impl Iterator<Item = (&'a Scalar, &'a Node)> + use<'a> {
        self.finished.set(true);
        self.entries.iter().map(|(name, node)| (name, node))
    }

    /// Whether the key is there and is not nothing.
    pub fn has(&self, key: &'static str) -> bool {
        self.node(key).is_some()
    }

    /// The key's node as it is.
    pub fn node(&self, key: &'static str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key);
        let (_, node) = self.entries.iter().find(|(name, _)| name.text == key)?;
        match &node.value {
            Value::Scalar(scalar) if scalar.is_nothing() => None,
            _ => Some(node),
        }
    }

    /// The key's place, or the section's if it is missing.
    pub fn place_of(&self, key: &str) -> Place {
        self.entries.iter().find(|(name, _)| name.text == key).map_or(self.place, |(_, node)| node.place)
    }

    /// A mapping below this one.
    pub fn section(&self, key: &'static str) -> Option<Section<'a>> {
        Section::new(self.node(key)?, format!("`{key}`"), self.problems)
    }

    /// A text; numbers and the like are taken as they are written.
    pub fn text(&self, key: &'static str) -> Option<Text> {
        let scalar = self.scalar(key)?;
        Some(Text { text: scalar.text.clone(), place: scalar.place })
    }

    /// A text that must be there and not be empty.
    pub fn required_text(&self, key: &'static str) -> Option<Text> {
        if !self.has(key) {
            self.problems.add(self.place, format!("{} needs `{key}`. Add it.", self.what));
            return None;
        }
        let text = self.text(key)?;
        if text.text.trim().is_empty() {
            self.problems.add(text.place, format!("`{key}` is empty. Write something in it."));
            return None;
        }
        Some(text)
    }

    /// One of a few words.
    pub fn choice(&self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text.text).copied();
        if found.is_none() {
            let advice = advice(&text.text, "Possible", words.iter().copied());
            self.problems.add(text.place, format!("`{key}` cannot be `{}`. {advice}", text.text));
        }
        found
    }

    /// `true` or `false`, and nothing that looks like it.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let scalar = self.scalar(key)?;
        let found = as_flag(scalar);
        if found.is_none() {
            let text = format!(
                "`{key}` is `{}`, which is neither true nor false. Write true or false.",
                scalar.text
            );
            self.problems.add(scalar.place, text);
        }
        found
    }

    /// A whole number within bounds.
    pub fn number(&self, key: &'static str, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let scalar = self.scalar(key)?;
        let found = scalar.text.parse().ok().filter(|number| scalar.plain && bounds.contains(number));
        if found.is_none() {
            let (low, high) = (bounds.start(), bounds.end());
            let text = format!("`{key}` is `{}`. Write a whole number from {low} to {high}.", scalar.text);
            self.problems.add(scalar.place, text);
        }
        found
    }

    /// A number of bytes with its unit.
    pub fn size(&self, key: &'static str) -> Option<u64> {
        self.unit(key, "size", units::size)
    }

    /// A length of time with its unit.
    pub fn duration(&self, key: &'static str) -> Option<Duration> {
        self.unit(key, "duration", units::duration)
    }

    /// A list of texts; one text alone counts as a list of one.
    pub fn texts(&self, key: &'static str) -> Option<Vec<Text>> {
        let node = self.node(key)?;
        let items = match &node.value {
            Value::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        let texts = items.into_iter().map(|item| match &item.value {
            Value::Scalar(scalar) => Some(Text { text: scalar.text.clone(), place: scalar.place }),
            _ => {
                self.problems.add(item.place, format!("`{key}` is a list of texts: [first, second]."));
                None
            }
        });
        Some(texts.flatten().collect())
    }

    /// A filter, compiled. A mistake in it is shown at its own line and column.
    pub fn filter(&self, key: &'static str) -> Option<Filter> {
        let scalar = self.scalar(key)?;
        match Filter::parse(&scalar.text) {
            Ok(filter) => Some(filter),
            Err(error) => {
                let place = scalar.place_of(error.at.start, self.problems.source());
                let help = error.help.map(|help| format!(" {}", sentence(&help))).unwrap_or_default();
                self.problems.add(place, format!("bad filter: {}{help}", ending(&error.message)));
                None
            }
        }
    }

    /// Anything, as JSON: what is handed on to plugins, or given in a test.
    pub fn json(&self, key: &'static str) -> Option<serde_json::Value> {
        self.node(key).map(json)
    }

    /// Refuses the keys that nobody asked for; `true` if there are none.
    pub fn finish(&self) -> bool {
        if self.finished.replace(true) {
            return true;
        }
        let asked = self.asked.borrow();
        let unknown = self.entries.iter().filter(|(key, _)| !asked.contains(&key.text.as_str()));
        let mut found = false;
        for (key, _) in unknown {
            found = true;
            let advice = advice(
                &key.text,
                "Keys here",
                asked.iter().copied().collect::<std::collections::BTreeSet<_>>(),
            );
            self.problems.add(key.place, format!("{} has no key `{}`. {advice}", self.what, key.text));
        }
        !found
    }

    fn unit<T>(&self, key: &'static str, kind: &str, read: fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let scalar = self.scalar(key)?;
        match read(&scalar.text) {
            Ok(value) => Some(value),
            Err(form) => {
                self.problems
                    .add(scalar.place, format!("`{key}` is `{}`, which is no {kind}. {form}", scalar.text));
                None
            }
        }
    }

    fn scalar(&self, key: &'static str) -> Option<&'a Scalar> {
        let node = self.node(key)?;
        match &node.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) => {
                self.problems
                    .add(node.place, format!("`{key}` is one value, not a list. Write `{key}: value`."));
                None
            }
            Value::Map(_) => {
                self.problems
                    .add(node.place, format!("`{key}` is one value, not a mapping. Write `{key}: value`."));
                None
            }
        }
    }
}

/// What the node says, as JSON. Plain scalars have YAML 1.2's core types.
pub fn json(node: &Node) -> serde_json::Value {
    use serde_json::Value as Json;
    match &node.value {
        Value::Scalar(scalar) if scalar.is_nothing() => Json::Null,
        Value::Scalar(scalar) => as_flag(scalar)
            .map(Json::Bool)
            .or_else(|| as_number(scalar))
            .unwrap_or_else(|| Json::String(scalar.text.clone())),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect())
        }
    }
}

fn as_flag(scalar: &Scalar) -> Option<bool> {
    match scalar.text.as_str() {
        "true" | "True" | "TRUE" if scalar.plain => Some(true),
        "false" | "False" | "FALSE" if scalar.plain => Some(false),
        _ => None,
    }
}

fn as_number(scalar: &Scalar) -> Option<serde_json::Value> {
    let text = scalar.text.strip_prefix('+').unwrap_or(&scalar.text);
    let based = |prefix, radix| {
        let digits = text
            .strip_prefix(prefix)
            .filter(|digits: &&str| digits.bytes().all(|b| b.is_ascii_alphanumeric()));
        digits.and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    let looks = text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !scalar.plain || !looks {
        return None;
    }
    let whole = text.parse::<i64>().ok().or_else(|| based("0x", 16)).or_else(|| based("0o", 8));
    let number = whole.map(serde_json::Number::from);
    let number = number.or_else(|| serde_json::Number::from_f64(text.parse().ok()?));
    number.map(serde_json::Value::Number)
}

/// Ends a text as a sentence.
fn ending(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

/// Makes a text a sentence.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    ending(&(first + letters.as_str()))
}
