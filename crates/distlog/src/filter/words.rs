//! The characters of a filter, one token at a time, as the grammar asks for them.
//!
//! What ends a word depends on where it stands: `a:b` is a field and a value, but the value of `url=http://x:80` may hold
//! colons. So there is no list of tokens; the parser asks for what may come next.

use std::ops::Range;

use super::FilterError;
use super::ast::{Form, Operator, Scalar};

const OPERATORS: [(&str, Operator); 9] = [
    ("!=", Operator::IsNot),
    ("!~", Operator::MatchesNot),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (":", Operator::Has),
    ("=", Operator::Is),
    ("~", Operator::Matches),
    (">", Operator::Above),
    ("<", Operator::Below),
];

/// Where a word stands, which decides what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// A text to search for or a field's name.
    Text,
    /// The value of a test.
    Value,
    /// A value in a list.
    List,
}

/// A place in the text that moves forward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn text(&self, at: Range<usize>) -> &'a str {
        self.text.get(at).unwrap_or_default()
    }

    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Takes `and`, `or` or `not`, in small or capital letters, if the word is exactly that.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.keyword() == Some(keyword);
        if found {
            self.at += keyword.len();
        }
        found
    }

    /// The keyword that stands here.
    pub(super) fn keyword(&self) -> Option<&'static str> {
        let length = self.rest().find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(self.rest().len());
        let (word, after) = self.rest().split_at_checked(length)?;
        let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')'));
        let keyword = match word {
            "and" | "AND" => "and",
            "or" | "OR" => "or",
            "not" | "NOT" => "not",
            _ => return None,
        };
        ends.then_some(keyword)
    }

    pub(super) fn operator(&self) -> Option<Operator> {
        OPERATORS.iter().find(|(symbol, _)| self.rest().starts_with(symbol)).map(|(_, operator)| *operator)
    }

    /// Takes an operator, and refuses what looks like one and is none (`==`, `=~`, `:>=`).
    pub(super) fn take_operator(&mut self) -> Result<Option<Operator>, FilterError> {
        let Some(operator) = self.operator() else {
            return Ok(None);
        };
        let start = self.at;
        self.at += operator.symbol().len();
        let extra = self.rest().len() - self.rest().trim_start_matches(['=', '~', '>', '<', ':', '!']).len();
        if extra == 0 {
            return Ok(Some(operator));
        }
        let at = start..self.at + extra;
        let written = self.text(at.clone());
        let help = match written {
            "==" | "===" => "one = is enough",
            "=~" | ":~" => "a regex is matched by ~ alone",
            "<>" => "not equal is written !=",
            "=>" | ":>=" => "at least is written >=",
            "=<" | ":<=" => "at most is written <=",
            ":>" | ":<" => "leave the colon out",
            ":=" => "the whole value is compared by = alone",
            ":!" | "=!" => "write a minus in front of the field, or !=",
            _ => "the operators are : = != ~ !~ > >= < <=",
        };
        Err(FilterError::new(at.clone(), format!("{written} is no operator")).help(help))
    }

    /// A string, a regex, a star or a word.
    pub(super) fn scalar(&mut self, place: Place) -> Result<Scalar, FilterError> {
        match self.peek() {
            Some('"' | '\'') => self.string(place),
            Some('/') => self.regex(place),
            _ => self.word(place),
        }
    }

    fn string(&mut self, place: Place) -> Result<Scalar, FilterError> {
        let start = self.at;
        let quote = self.peek().unwrap_or('"');
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        let length = loop {
            match characters.next() {
                None => {
                    let error = FilterError::new(start..self.text.len(), "this quote is never closed");
                    return Err(error
                        .help("in YAML, a # after a space cuts the line: write the condition as a block"));
                }
                Some((at, c)) if c == quote => break at + 1,
                Some((_, '\\')) => push_escape(&mut text, characters.next().map_or('\\', |(_, c)| c)),
                Some((_, c)) => text.push(c),
            }
        };
        self.at += length;
        self.must_end(place, "a closing quote")?;
        Ok(Scalar { at: start..self.at, text, form: Form::String })
    }

    /// Only `~` is sure to have a regex: a value of `:` or `=` that starts with a slash may be a path.
    fn regex(&mut self, place: Place) -> Result<Scalar, FilterError> {
        let start = self.at;
        let mut text = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        let length = loop {
            match characters.next() {
                None => {
                    let error = FilterError::new(start..self.text.len(), "this regex is never closed");
                    return Err(error.help("a text that begins with a slash is put in quotes"));
                }
                Some((at, '/')) => break at + 1,
                Some((_, '\\')) => match characters.next() {
                    Some((_, '/')) => text.push('/'),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => text.push('\\'),
                },
                Some((_, c)) => text.push(c),
            }
        };
        self.at += length;
        self.must_end(place, "the slash that closes a regex")
            .map_err(|error| error.help("a path is put in quotes; in a regex a slash is written \\/"))?;
        Ok(Scalar { at: start..self.at, text, form: Form::Regex })
    }

    /// A value of `:` or `=`: a regex if it is closed and nothing follows it, else a word.
    pub(super) fn path_or_regex(&mut self, place: Place) -> Result<Scalar, FilterError> {
        let before = *self;
        match self.regex(place) {
            Ok(regex) => Ok(regex),
            Err(_) => {
                *self = before;
                self.word(place)
            }
        }
    }

    pub(super) fn word(&mut self, place: Place) -> Result<Scalar, FilterError> {
        let start = self.at;
        for c in self.rest().chars() {
            match c {
                ')' => break,
                ',' if place == Place::List => break,
                '(' if place == Place::Text => break,
                '(' | '"' | ',' | '|' | '{' | '}' | '[' | ']' => return Err(self.stray(c, start)),
                _ if place == Place::Text && self.operator().is_some() => break,
                '<' | '>' => return Err(self.stray(c, start)),
                c if c.is_whitespace() => break,
                _ => {}
            }
            self.at += c.len_utf8();
        }
        let at = start..self.at;
        let text = self.text(at.clone()).to_owned();
        let form = if text == "*" { Form::Present } else { Form::Word };
        Ok(Scalar { at, text, form })
    }

    fn stray(&self, c: char, start: usize) -> FilterError {
        let at = self.at..self.at + c.len_utf8();
        let rest = self.rest();
        let end = self.at + rest.find(char::is_whitespace).unwrap_or(rest.len());
        let quoted = || format!("put the text in quotes: \"{}\"", self.text(start..end).replace('"', "\\\""));
        match c {
            '|' | '{' | '}' | '[' | ']' if rest.starts_with("||") => {
                FilterError::new(at.start..at.end + 1, "|| is no operator").help("write or")
            }
            '|' | '{' | '}' | '[' | ']' => FilterError::new(at, format!("{c} is reserved")).help(quoted()),
            ',' => {
                let error = FilterError::new(at, "a comma stands only in a list");
                error.help("a list is put in parentheses, field:(a,b), and a text in quotes")
            }
            _ => FilterError::new(at, format!("{c} stands in the middle of a word")).help(quoted()),
        }
    }

    fn must_end(&self, place: Place, what: &str) -> Result<(), FilterError> {
        let ends = match self.peek() {
            None | Some(')') => true,
            Some(',') => place == Place::List,
            Some(c) => c.is_whitespace() || (place == Place::Text && self.operator().is_some()),
        };
        if ends {
            return Ok(());
        }
        let next = self.peek().map_or(0, char::len_utf8);
        Err(FilterError::new(self.at..self.at + next, format!("a space is missing after {what}")))
    }
}

/// `\*` keeps its backslash: it is the star that stands for itself.
fn push_escape(text: &mut String, c: char) {
    match c {
        'n' => text.push('\n'),
        't' => text.push('\t'),
        'r' => text.push('\r'),
        '"' | '\'' | '\\' => text.push(c),
        _ => text.extend(['\\', c]),
    }
}
