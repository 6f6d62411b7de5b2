//! What a filter text says, before any name, number or unit in it is understood.
//!
//! Every part carries its place in the text (bytes), so that errors, highlighting and a translation
//! to another engine's language can point at what they talk about. The meaning is given by `evaluate.rs` alone.

use std::fmt;
use std::ops::Range;

/// One node of a parsed filter and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Ast {
    /// Bytes of the filter's text, parentheses around the node included.
    pub at: Range<usize>,
    /// What stands there.
    pub node: Node,
}

/// The kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The empty filter, and a `*` on its own: every record.
    Everything,
    /// All of these; at least two.
    And(Vec<Ast>),
    /// Some of these; at least two.
    Or(Vec<Ast>),
    /// Not this.
    Not(Box<Ast>),
    /// A text on its own: searched in message, exception text and goal title.
    Text(Scalar),
    /// `field op value`.
    Test(Test),
    /// `within(…)`: some enclosing goal matches.
    Within(Box<Ast>),
    /// `any(…)`: some record of the same task matches.
    Any(Box<Ast>),
}

/// A field, an operator and the values it may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The field's name.
    pub field: Field,
    /// How it is compared.
    pub operator: Operator,
    /// One value, or those of a list: one of them suffices.
    pub values: Vec<Scalar>,
}

/// A field's name as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Bytes of the filter's text, quotes included.
    pub at: Range<usize>,
    /// The name, unquoted.
    pub name: String,
    /// A quoted name is always a field of that name, never one of the language's own names.
    pub quoted: bool,
}

/// A value or a text to search for, as written.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// Bytes of the filter's text, quotes or slashes included.
    pub at: Range<usize>,
    /// Its content without quotes or slashes, escapes resolved.
    pub text: String,
    /// How it was written.
    pub form: Form,
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Without quotes: may be a number, a name, a range, and `*` stands for anything.
    Word,
    /// In quotes.
    String,
    /// Between slashes.
    Regex,
    /// A `*` alone: the field is there.
    Present,
}

/// How a field is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `:` contains, ignoring case; on numbers, levels and times: is.
    Has,
    /// `=`
    Is,
    /// `!=`
    IsNot,
    /// `~`
    Matches,
    /// `!~`
    MatchesNot,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
}

impl Operator {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Has => ":",
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Matches => "~",
            Self::MatchesNot => "!~",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }

    /// Whether it asks for more or less, which only numbers, levels, durations, sizes and times answer.
    pub fn is_order(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast | Self::Below | Self::AtMost)
    }

    /// Whether the test is the negation of another: `!=` of `=`, `!~` of `~`.
    pub fn is_negated(self) -> bool {
        matches!(self, Self::IsNot | Self::MatchesNot)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}
