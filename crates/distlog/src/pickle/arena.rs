//! The values of one pickle, side by side: whoever means a value names its place.
//!
//! That is what makes sharing and cycles free, and dropping a deep value no deep recursion.

use crate::Error;

/// The place of a value in its arena.
pub(super) type Id = u32;

/// One value. Text and bytes stay where they are in the pickle.
#[derive(Debug)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// Two's complement, little endian, any length.
    Long(&'a [u8]),
    /// Decimal digits as protocol 0 writes them.
    Digits(&'a [u8]),
    Float(f64),
    /// UTF-8 that may have encoded surrogates.
    Text(&'a [u8]),
    /// Latin-1 with `\uXXXX` escapes: protocol 0's text.
    EscapedText(&'a [u8]),
    Bytes(&'a [u8]),
    /// The inside of a quoted string of Python 2: escaped bytes.
    EscapedBytes(&'a [u8]),
    /// List, tuple, set and frozenset.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function by module and name. Only named, never looked up.
    Global(&'a [u8], &'a [u8]),
    Object(Box<Object>),
    /// What lies outside of the pickle.
    Opaque,
}

/// The number of values bounds memory: 200,000 of them take 8 MB and what their members take, 4 bytes each.
const _: () = assert!(size_of::<Node<'_>>() <= 40);

/// What would have been called, and what would have been done to the result.
#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) class: Id,
    pub(super) arguments: Option<Id>,
    pub(super) named_arguments: Option<Id>,
    pub(super) state: Option<Id>,
    pub(super) items: Vec<Id>,
    pub(super) pairs: Vec<(Id, Id)>,
}

/// All values of one pickle.
pub(super) struct Arena<'a> {
    nodes: Vec<Node<'a>>,
    limit: usize,
}

impl<'a> Arena<'a> {
    /// An empty arena for at most `limit` values from a pickle of `bytes`.
    pub(super) fn new(limit: usize, bytes: usize) -> Self {
        Self { nodes: Vec::with_capacity((bytes / 8).clamp(16, 1024)), limit }
    }

    pub(super) fn add(&mut self, node: Node<'a>) -> Result<Id, Error> {
        if self.nodes.len() >= self.limit {
            return Err(Error::Limit { reason: "the pickle has too many values" });
        }
        self.nodes.push(node);
        Ok((self.nodes.len() - 1) as Id)
    }

    pub(super) fn get(&self, id: Id) -> &Node<'a> {
        self.nodes.get(id as usize).unwrap_or(&Node::None)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Node<'a>> {
        self.nodes.get_mut(id as usize)
    }

    /// The members of a sequence; none for other kinds.
    pub(super) fn sequence(&self, id: Id) -> &[Id] {
        match self.get(id) {
            Node::Sequence(members) => members,
            _ => &[],
        }
    }

    /// A small whole number.
    pub(super) fn int(&self, id: Id) -> Option<i64> {
        match self.get(id) {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            Node::Digits(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The letters of a plain text, as they stand in the pickle. Python 2's are bytes.
    pub(super) fn letters(&self, id: Id) -> Option<&'a [u8]> {
        match self.get(id) {
            Node::Text(text) | Node::EscapedText(text) | Node::EscapedBytes(text) | Node::Bytes(text) => {
                Some(text)
            }
            _ => None,
        }
    }
}
