//! YAML text → a tree of nodes that know their places. Strict on purpose: a configuration must mean what it seems to mean.
//!
//! - Plain YAML 1.2: `no` is text, not false. What a scalar means is decided by who reads it ([`super::written`]).
//! - Refused, each with its place: tags (`!!python/…`), merge keys (`<<`), directives, duplicate keys, keys that are no
//!   text, a second document, tabs as indentation, nesting past [`DEPTH`].
//! - Anchors and aliases work, but all nodes together, copies included, are bounded by [`NODES`]: a bomb of aliases ends
//!   there, and an alias inside its own anchor is refused.
//!
//! The tree is built from the parser's stream with a stack of our own, so depth costs no call stack.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::problem::{Place, Problems};

/// How deep block and flow collections may each be nested.
pub(super) const DEPTH: usize = 32;
/// How many nodes a configuration may have, counting each use of an alias.
pub(super) const NODES: usize = 100_000;

/// One node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
    nodes: usize,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A single value; what type it has is the reader's business.
    Scalar(Scalar),
    /// `[a, b]`, `- a`
    List(Vec<Node>),
    /// `{a: b}`; keys are unique, order is kept.
    Map(Vec<(Scalar, Node)>),
}

/// A single value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text, quotes and escapes resolved.
    pub text: String,
    /// Where it begins.
    pub place: Place,
    /// Whether it stood without quotes: only then can it be a number, true, false or nothing.
    pub plain: bool,
    style: ScalarStyle,
    bytes: Range<usize>,
}

impl Scalar {
    /// Whether it stands for nothing: `key:`, `key: ~`, `key: null`.
    pub fn is_nothing(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The place in the file of the byte at `at` in [`Self::text`].
    ///
    /// Exact for plain and quoted scalars on one line, escapes included; for others (blocks, folded lines) as near as
    /// the line allows.
    pub fn place_of(&self, at: usize, source: &str) -> Place {
        let written = source.get(self.bytes.clone()).unwrap_or_default();
        match self.style {
            ScalarStyle::Literal | ScalarStyle::Folded => self.place_in_block(at, source),
            _ => Place {
                line: self.place.line,
                column: self.place.column
                    + columns(written, self.style, self.text.get(..at).unwrap_or(&self.text)),
            },
        }
    }

    /// Blocks begin on the line below their `|`; each line of the text is one line of the file, indented.
    fn place_in_block(&self, at: usize, source: &str) -> Place {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let (line, column) = (before.matches('\n').count(), before.rsplit('\n').next().unwrap_or_default());
        let header =
            source.lines().nth(self.place.line - 1).and_then(|line| line.chars().nth(self.place.column - 1));
        let above = self.place.line - usize::from(!matches!(header, Some('|' | '>')));
        let first = source.lines().enumerate().skip(above).find(|(_, text)| !text.trim().is_empty());
        let (top, indent) = first.map_or((above, 0), |(at, text)| (at, text.len() - text.trim_start().len()));
        Place { line: top + 1 + line, column: 1 + indent + column.chars().count() }
    }
}

/// How many columns of the written form the beginning of a text takes, the opening quote included.
fn columns(written: &str, style: ScalarStyle, before: &str) -> usize {
    let mut rest = written.chars();
    let mut taken = 0;
    let mut take = |rest: &mut std::str::Chars<'_>, count: usize| {
        taken += rest.by_ref().take(count).count();
    };
    if matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted) {
        take(&mut rest, 1);
    }
    for _ in before.chars() {
        let escape = match (style, rest.clone().next()) {
            (ScalarStyle::DoubleQuoted, Some('\\')) => match rest.clone().nth(1) {
                Some('x') => 4,
                Some('u') => 6,
                Some('U') => 10,
                _ => 2,
            },
            (ScalarStyle::SingleQuoted, Some('\'')) => 2,
            _ => 1,
        };
        take(&mut rest, escape);
    }
    taken
}

/// Reads the one document of a file. `None` if it cannot be read at all or is empty; every reason is noted.
pub(super) fn read(problems: &Problems) -> Option<Node> {
    let mut options = Options::default();
    options.disallow_directives = true;
    options.strict_indentation = true;
    options.emit_comments = false;
    options.flow_nesting_limit = DEPTH;
    options.block_nesting_limit = DEPTH;
    let mut builder =
        Builder { problems, stack: Vec::new(), anchors: HashMap::new(), nodes: 0, root: None, documents: 0 };
    for next in Parser::new_from_str_with_options(problems.source(), options) {
        match next {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                problems.add(place(error.marker()), explain(&error, problems.source()));
                return None;
            }
        }
    }
    builder.root
}

/// A collection whose end has not come yet.
enum Open {
    List(Vec<Node>),
    Map(Vec<(Scalar, Node)>, Option<Scalar>),
}

struct Builder<'a> {
    problems: &'a Problems,
    stack: Vec<(Open, Place, usize)>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    documents: usize,
}

impl Builder<'_> {
    /// Takes one piece of the stream; `None` stops the reading.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let at = place(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                let bytes = span.byte_range().unwrap_or_default();
                let plain = style == ScalarStyle::Plain;
                self.scalar(Scalar { text: text.into_owned(), place: at, plain, style, bytes }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                self.open(Open::List(Vec::new()), at, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                self.open(Open::Map(Vec::new(), None), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::DocumentStart(..) => self.document(at),
            _ => Some(()),
        }
    }

    fn document(&mut self, at: Place) -> Option<()> {
        self.documents += 1;
        if self.documents > 1 {
            self.problems.add(at, "a second document begins here. Keep one document in the file.");
            return None;
        }
        Some(())
    }

    fn refuse_tag(&self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            let at = place(&span.tag_start().unwrap_or(span.start));
            self.problems.add(at, format!("the tag `{}` is not allowed. Leave it out.", tag.original()));
        }
    }

    fn scalar(&mut self, scalar: Scalar, anchor: usize) -> Option<()> {
        if let Some((Open::Map(entries, key @ None), ..)) = self.stack.last_mut() {
            if scalar.plain && scalar.text == "<<" {
                let advice = "Write the keys out: what is in force then stands in one place.";
                self.problems.add(scalar.place, format!("merge keys (`<<`) are not allowed. {advice}"));
            } else if let Some((first, _)) = entries.iter().find(|(name, _)| name.text == scalar.text) {
                let text = format!(
                    "`{}` stands here twice; first on line {}. Keep one.",
                    scalar.text, first.place.line
                );
                self.problems.add(scalar.place, text);
            }
            *key = Some(scalar);
            return Some(());
        }
        self.count(1, scalar.place)?;
        self.add(Node { place: scalar.place, value: Value::Scalar(scalar), nodes: 1 }, anchor)
    }

    fn alias(&mut self, anchor: usize, at: Place) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.problems.add(at, "this alias stands inside its own anchor. Write the value out.");
            return None;
        };
        match node.value {
            Value::Scalar(scalar) => self.scalar(scalar, 0),
            value => {
                self.refuse_as_key(at)?;
                self.count(node.nodes, at)?;
                self.add(Node { value, ..node }, 0)
            }
        }
    }

    fn open(&mut self, open: Open, at: Place, anchor: usize) -> Option<()> {
        self.refuse_as_key(at)?;
        self.count(1, at)?;
        self.stack.push((open, at, anchor));
        Some(())
    }

    /// A collection cannot be a key.
    fn refuse_as_key(&self, at: Place) -> Option<()> {
        if let Some((Open::Map(_, None), ..)) = self.stack.last() {
            self.problems
                .add(at, "a key must be plain text. If this is a `{…}` placeholder, put it in quotes.");
            return None;
        }
        Some(())
    }

    fn count(&mut self, nodes: usize, at: Place) -> Option<()> {
        self.nodes += nodes;
        if self.nodes > NODES {
            self.problems
                .add(at, format!("the file means more than {NODES} values from here on. Use fewer aliases."));
            return None;
        }
        Some(())
    }

    fn close(&mut self) -> Option<()> {
        let (open, at, anchor) = self.stack.pop()?;
        let node = match open {
            Open::List(items) => {
                let nodes = 1 + items.iter().map(|node| node.nodes).sum::<usize>();
                Node { place: at, value: Value::List(items), nodes }
            }
            Open::Map(entries, _) => {
                let nodes = 1 + entries.iter().map(|(_, node)| 1 + node.nodes).sum::<usize>();
                Node { place: at, value: Value::Map(entries), nodes }
            }
        };
        self.add(node, anchor)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Option<()> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some((Open::List(items), ..)) => items.push(node),
            Some((Open::Map(entries, key), ..)) => {
                let key = key.take()?;
                // A merge key has been refused already; that it is also unknown is no news.
                if !(key.plain && key.text == "<<") {
                    entries.push((key, node));
                }
            }
        }
        Some(())
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// The parser's reason; a tab is named as one, since it cannot be seen.
fn explain(error: &ScanError, source: &str) -> String {
    let line = source.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    if line.get(..indentation).is_some_and(|blank| blank.contains('\t')) {
        return "a tab indents this line. YAML indents with spaces only.".to_owned();
    }
    let advice = "Look at the line above as well; text with `{`, `:` or `#` in it: put the text in quotes.";
    format!("this is not YAML: {}. {advice}", error.info())
}
