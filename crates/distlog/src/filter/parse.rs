//! Text → [`Ast`], by recursive descent: one function a rule of the grammar.
//!
//! ```text
//! filter = [ or ] ;                              or    = and { "or" and } ;
//! and    = unary { [ "and" ] unary } ;           unary = ( "not" | "-" | "!" ) unary | atom ;
//! atom   = "(" or ")" | call | test | text ;     call  = ( "within" | "any" ) "(" or ")" ;
//! test   = field op value ;                      op    = ":" | "=" | "!=" | "~" | "!~" | ">" | ">=" | "<" | "<=" ;
//! value  = scalar | "(" scalar { ( "," | "or" ) scalar } ")" ;
//! scalar = string | regex | word | "*" ;         text  = word | string | regex ;      field = word | string ;
//! ```
//!
//! Written by hand, because a misreading is worse than an error: an unclosed quote must never turn into a word,
//! and every error says where it is and what may have been meant.

use std::ops::Range;

use super::ast::{Ast, Field, Form, Node, Operator, Scalar, Test};
use super::nearest::nearest;
use super::words::{Place, Words};
use super::{FilterError, MAX_BYTES, MAX_DEPTH};

/// The structure of a text, and the places where a reader may have meant something else.
pub(super) struct Parsed {
    pub(super) ast: Ast,
    /// What stands where `or` and space are mixed without parentheses, written for the other meaning.
    pub(super) otherwise: Vec<String>,
}

pub(super) fn parse(text: &str) -> Result<Parsed, FilterError> {
    if text.len() > MAX_BYTES {
        let end = text.ceil_char_boundary(MAX_BYTES);
        return Err(FilterError::new(end..text.len(), format!("a filter has at most {MAX_BYTES} bytes")));
    }
    let mut parser = Parser { words: Words::new(text), depth: 0, otherwise: Vec::new() };
    parser.words.skip_space();
    if parser.words.peek().is_none() {
        return Ok(Parsed { ast: Ast { at: 0..0, node: Node::Everything }, otherwise: Vec::new() });
    }
    let ast = parser.or()?;
    if parser.words.peek().is_some() {
        let at = parser.words.at();
        return Err(FilterError::new(at..at + 1, "this parenthesis closes nothing"));
    }
    Ok(Parsed { ast, otherwise: parser.otherwise })
}

struct Parser<'a> {
    words: Words<'a>,
    depth: usize,
    otherwise: Vec<String>,
}

impl Parser<'_> {
    /// Leaves the place at the end of the text or at a closing parenthesis.
    fn or(&mut self) -> Result<Ast, FilterError> {
        let mut choices = vec![self.and()?];
        while self.words.take_keyword("or") {
            self.need_operand("or")?;
            choices.push(self.and()?);
        }
        if choices.len() > 1 && choices.iter().any(|(_, mixed)| *mixed) {
            self.otherwise.push(self.other_reading(&choices));
        }
        Ok(joined(choices.into_iter().map(|(choice, _)| choice).collect(), Node::Or))
    }

    /// The conjunction, and whether it has several parts that no parentheses hold together.
    fn and(&mut self) -> Result<(Ast, bool), FilterError> {
        let mut parts = Vec::new();
        loop {
            parts.push(self.unary()?);
            self.words.skip_space();
            if self.words.take_keyword("and") {
                self.need_operand("and")?;
            } else if matches!(self.words.peek(), None | Some(')')) || self.words.keyword() == Some("or") {
                break;
            }
        }
        let mixed = parts.len() > 1;
        Ok((joined(parts, Node::And), mixed))
    }

    fn unary(&mut self) -> Result<Ast, FilterError> {
        self.words.skip_space();
        let start = self.words.at();
        let sign = self.words.peek().filter(|c| matches!(c, '-' | '!') && self.words.operator().is_none());
        if let Some(sign) = sign {
            self.words.take(sign.encode_utf8(&mut [0; 4]));
            if self.words.peek().is_none_or(char::is_whitespace) {
                let error = FilterError::new(start..start + 1, format!("nothing follows this {sign}"));
                return Err(error.help(format!(
                    "{sign} stands right before what it negates; to search for it, write \"{sign}\""
                )));
            }
        } else if self.words.take_keyword("not") {
            self.need_operand("not")?;
        } else {
            return self.atom();
        }
        let inner = self.deeper(start, Self::unary)?;
        Ok(Ast { at: start..inner.at.end, node: Node::Not(Box::new(inner)) })
    }

    fn atom(&mut self) -> Result<Ast, FilterError> {
        let start = self.words.at();
        if let Some(keyword) = self.words.keyword() {
            let error = FilterError::new(
                start..start + keyword.len(),
                format!("nothing stands before this {keyword}"),
            );
            return Err(error.help(format!("to search for the word, put it in quotes: \"{keyword}\"")));
        }
        match self.words.peek() {
            Some('(') => self.parentheses(),
            Some(')') => {
                Err(FilterError::new(start..start + 1, "a condition is missing before this parenthesis"))
            }
            None => Err(FilterError::new(start..start, "a condition is missing here")),
            Some('&') if self.words.rest().starts_with("&&") => {
                Err(FilterError::new(start..start + 2, "&& is no operator").help("a space means and"))
            }
            _ => match self.words.take_operator()? {
                Some(operator) => {
                    let error = FilterError::new(
                        start..self.words.at(),
                        format!("a field is missing before {operator}"),
                    );
                    Err(error.help(format!("write it as field{operator}value")))
                }
                None => self.test_or_text(start),
            },
        }
    }

    fn parentheses(&mut self) -> Result<Ast, FilterError> {
        let start = self.words.at();
        self.words.take("(");
        self.words.skip_space();
        if self.words.take(")") {
            return Err(FilterError::new(
                start..self.words.at(),
                "there is nothing between these parentheses",
            ));
        }
        let inner = self.deeper(start, Self::or)?;
        if !self.words.take(")") {
            return Err(FilterError::new(start..start + 1, "this parenthesis is never closed"));
        }
        Ok(Ast { at: start..self.words.at(), node: inner.node })
    }

    fn test_or_text(&mut self, start: usize) -> Result<Ast, FilterError> {
        let scalar = self.words.scalar(Place::Text)?;
        if scalar.form == Form::Word && self.words.peek() == Some('(') {
            return self.call(&scalar);
        }
        let end = self.words;
        self.words.skip_space();
        if scalar.form != Form::Regex
            && let Some(operator) = self.words.take_operator()?
        {
            self.must_be_field(&scalar, operator)?;
            let field = Field { at: scalar.at, name: scalar.text, quoted: scalar.form == Form::String };
            let values = self.values(operator, start)?;
            let node = Node::Test(Test { field, operator, values });
            return Ok(Ast { at: start..self.words.at(), node });
        }
        self.words = end;
        let node = if scalar.form == Form::Present { Node::Everything } else { Node::Text(scalar) };
        Ok(Ast { at: start..self.words.at(), node })
    }

    /// `12:30` and `http://x` are texts that happen to hold a colon: read as tests they would silently find nothing.
    fn must_be_field(&self, name: &Scalar, operator: Operator) -> Result<(), FilterError> {
        let address = operator == Operator::Has && self.words.rest().starts_with("//");
        let digit = name.text.starts_with(|c: char| c.is_ascii_digit());
        let named = name.form == Form::Word && !digit && !address;
        if named || name.form == Form::String {
            return Ok(());
        }
        let rest = self.words.rest();
        let end = self.words.at() + rest.find(|c: char| c.is_whitespace() || c == ')').unwrap_or(rest.len());
        let text = self.words.text(name.at.start..end);
        let error = FilterError::new(name.at.clone(), format!("{} is no name of a field", name.text));
        Err(error.help(format!("a text is put in quotes, \"{text}\", and so is such a name")))
    }

    fn call(&mut self, name: &Scalar) -> Result<Ast, FilterError> {
        let make = match name.text.as_str() {
            "within" => Node::Within,
            "any" => Node::Any,
            other => {
                let error = FilterError::new(name.at.clone(), format!("there is no call {other}(…)"));
                return Err(error.help(match nearest(other, &["within", "any"]) {
                    Some(near) => format!("did you mean {near}(…)?"),
                    None => "the calls are within(…) and any(…); a text with parentheses is put in quotes"
                        .to_owned(),
                }));
            }
        };
        let inner = self.parentheses()?;
        Ok(Ast { at: name.at.start..self.words.at(), node: make(Box::new(inner)) })
    }

    /// `from` is where the whole test begins.
    fn values(&mut self, operator: Operator, from: usize) -> Result<Vec<Scalar>, FilterError> {
        self.words.skip_space();
        let at = self.words.at();
        match self.words.peek() {
            Some('(') if operator.is_order() => {
                Err(FilterError::new(at..at + 1, format!("{operator} takes one value, no list")))
            }
            Some('(') => self.list(from),
            _ => Ok(vec![self.value(operator.symbol(), Place::Value)?]),
        }
    }

    fn list(&mut self, from: usize) -> Result<Vec<Scalar>, FilterError> {
        let start = self.words.at();
        self.words.take("(");
        let (mut values, mut before) = (Vec::new(), "(");
        loop {
            self.words.skip_space();
            values.push(self.value(before, Place::List)?);
            self.words.skip_space();
            if self.words.take(")") {
                return Ok(values);
            }
            if self.words.take(",") {
                before = ",";
            } else if self.words.take_keyword("or") {
                before = "or";
            } else {
                return Err(
                    self.unclosed_list(from, start..values.last().map_or(start, |value| value.at.end))
                );
            }
        }
    }

    fn unclosed_list(&self, from: usize, at: Range<usize>) -> FilterError {
        let (test, rest) = (self.words.text(from..at.end), self.words.rest());
        let space = if rest.is_empty() { "" } else { " " };
        let error = FilterError::new(at, "this list is never closed: after a value comes , or )");
        error.help(format!("did you mean {test}){space}{rest}"))
    }

    fn value(&mut self, after: &str, place: Place) -> Result<Scalar, FilterError> {
        let at = self.words.at();
        let scalar = match self.words.peek() {
            Some('(') => return Err(FilterError::new(at..at + 1, "a list holds no list")),
            Some('/') if matches!(after, "~" | "!~") => self.words.scalar(place)?,
            Some('/') => self.words.path_or_regex(place)?,
            _ => self.words.scalar(place)?,
        };
        if scalar.at.is_empty() {
            let error = FilterError::new(at..at, format!("a value is missing after {after}"));
            return Err(error.help("that the field is there is written field:*"));
        }
        Ok(scalar)
    }

    fn need_operand(&mut self, keyword: &str) -> Result<(), FilterError> {
        let end = self.words.at();
        self.words.skip_space();
        if !matches!(self.words.peek(), None | Some(')')) {
            return Ok(());
        }
        let error = FilterError::new(end - keyword.len()..end, format!("nothing follows this {keyword}"));
        Err(error.help(format!("to search for the word, put it in quotes: \"{keyword}\"")))
    }

    fn deeper<T>(
        &mut self,
        start: usize,
        rule: impl FnOnce(&mut Self) -> Result<T, FilterError>,
    ) -> Result<T, FilterError> {
        if self.depth >= MAX_DEPTH {
            let error =
                FilterError::new(start..start + 1, format!("this is nested more than {MAX_DEPTH} deep"));
            return Err(error);
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// `A or B C` as `(A or B) C`: the parts that touch an `or` are held together.
    fn other_reading(&self, choices: &[(Ast, bool)]) -> String {
        let text = |part: &Ast| self.words.text(part.at.clone());
        let mut groups: Vec<Vec<&str>> = vec![Vec::new()];
        for (choice, mixed) in choices {
            let parts: Vec<&str> = match &choice.node {
                Node::And(parts) if *mixed => parts.iter().map(text).collect(),
                _ => vec![text(choice)],
            };
            for (at, part) in parts.into_iter().enumerate() {
                match groups.last_mut() {
                    Some(group) if at == 0 => group.push(part),
                    _ => groups.push(vec![part]),
                }
            }
        }
        let written = groups.iter().map(|group| match group.as_slice() {
            [one] => (*one).to_owned(),
            several => format!("({})", several.join(" or ")),
        });
        written.collect::<Vec<_>>().join(" ")
    }
}

fn joined(mut parts: Vec<Ast>, node: impl FnOnce(Vec<Ast>) -> Node) -> Ast {
    let start = parts.first().map_or(0, |part| part.at.start);
    let end = parts.last().map_or(0, |part| part.at.end);
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            Ast { at: start..end, node: node(parts) }
        }
    }
}
