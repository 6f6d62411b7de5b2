//! The stack machine: opcodes in, nodes in the arena.
//!
//! The stack holds places in the arena, a mark is a height of the stack, and the memo is a list of places.
//! Declared lengths are compared with what is left before anything is done with them.

use super::arena::{Arena, Id, Node, Object};
use crate::Error;

/// Runs the pickle to its `STOP`; returns the arena and the place of the result.
pub(super) fn run<'a>(body: &'a [u8], arena: Arena<'a>) -> Result<(Arena<'a>, Id), Error> {
    let mut machine = Machine {
        body,
        at: 0,
        opcode_at: 0,
        arena,
        stack: Vec::with_capacity(128),
        marks: Vec::with_capacity(16),
        memo: Vec::with_capacity(128),
    };
    loop {
        machine.opcode_at = machine.at;
        let opcode = machine.byte()?;
        if opcode == b'.' {
            let top = machine.pop()?;
            return Ok((machine.arena, top));
        }
        machine.step(opcode)?;
    }
}

/// A place of the memo that nothing was put in.
const EMPTY: Id = Id::MAX;

struct Machine<'a> {
    body: &'a [u8],
    at: usize,
    opcode_at: usize,
    arena: Arena<'a>,
    stack: Vec<Id>,
    marks: Vec<u32>,
    memo: Vec<Id>,
}

impl<'a> Machine<'a> {
    /// Opcodes by family; each family hands on what is not its own.
    fn step(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            b'X' => self.text4(),
            0x8c => self.text1(),
            0x94 => self.memoize(self.memo.len()),
            b'q' => self.byte().and_then(|index| self.memoize(usize::from(index))),
            b'h' => self.byte().and_then(|index| self.recall(usize::from(index))),
            b'K' => self.byte().and_then(|value| self.push(Node::Int(i64::from(value)))),
            b'N' => self.push(Node::None),
            b'(' => {
                self.marks.push(self.stack.len() as u32);
                Ok(())
            }
            _ => self.number(opcode),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), Error> {
        let node = match opcode {
            0x88 => Node::Bool(true),
            0x89 => Node::Bool(false),
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'G' => Node::Float(f64::from_be_bytes(self.array()?)),
            0x8a => {
                let length = usize::from(self.byte()?);
                long(self.take(length)?)
            }
            0x8b => {
                let length = self.signed_length()?;
                long(self.take(length)?)
            }
            b'I' => match self.line()? {
                b"00" => Node::Bool(false),
                b"01" => Node::Bool(true),
                digits => self.digits(digits)?,
            },
            b'L' => {
                let digits = self.line()?;
                self.digits(digits.strip_suffix(b"L").unwrap_or(digits))?
            }
            b'F' => {
                let text = std::str::from_utf8(self.line()?).unwrap_or_default();
                Node::Float(text.trim().parse().map_err(|_| self.bad("no float"))?)
            }
            _ => return self.letters(opcode),
        };
        self.push(node)
    }

    fn letters(&mut self, opcode: u8) -> Result<(), Error> {
        let node = match opcode {
            0x8d => Node::Text(self.sized8()?),
            0x8e | 0x96 => Node::Bytes(self.sized8()?),
            b'B' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                Node::Bytes(self.take(length)?)
            }
            b'T' => {
                let length = self.signed_length()?;
                Node::Bytes(self.take(length)?)
            }
            b'C' | b'U' => {
                let length = usize::from(self.byte()?);
                Node::Bytes(self.take(length)?)
            }
            b'V' => Node::EscapedText(self.line()?),
            b'S' => {
                let line = self.line()?.trim_ascii();
                let inside = match line {
                    [b'\'', inside @ .., b'\''] | [b'"', inside @ .., b'"'] => inside,
                    _ => return Err(self.bad("a string without quotes")),
                };
                Node::EscapedBytes(inside)
            }
            _ => return self.container(opcode),
        };
        self.push(node)
    }

    fn container(&mut self, opcode: u8) -> Result<(), Error> {
        let node = match opcode {
            b')' | b']' | 0x8f => Node::Sequence(Vec::new()),
            b'}' => Node::Dict(Vec::new()),
            b't' | b'l' | 0x91 => Node::Sequence(self.pop_to_mark()?),
            b'd' => Node::Dict(pairs(&self.pop_to_mark()?)),
            0x85 => Node::Sequence(vec![self.pop()?]),
            0x86 => {
                let second = self.pop()?;
                Node::Sequence(vec![self.pop()?, second])
            }
            0x87 => {
                let (third, second) = (self.pop()?, self.pop()?);
                Node::Sequence(vec![self.pop()?, second, third])
            }
            b'a' => {
                let member = self.pop()?;
                return self.append(&[member]);
            }
            b'e' | 0x90 => {
                let members = self.pop_to_mark()?;
                return self.append(&members);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                return self.set_items(&[key, value]);
            }
            b'u' => {
                let members = self.pop_to_mark()?;
                return self.set_items(&members);
            }
            _ => return self.object(opcode),
        };
        self.push(node)
    }

    fn object(&mut self, opcode: u8) -> Result<(), Error> {
        let object = match opcode {
            b'c' => {
                let global = Node::Global(self.line()?, self.line()?);
                return self.push(global);
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Some(module), Some(name)) = (self.arena.letters(module), self.arena.letters(name))
                else {
                    return Err(self.bad("a class is named by two strings"));
                };
                return self.push(Node::Global(module, name));
            }
            b'R' | 0x81 => {
                let arguments = Some(self.pop()?);
                Object { class: self.pop()?, arguments, ..Object::default() }
            }
            0x92 => {
                let named_arguments = Some(self.pop()?);
                let arguments = Some(self.pop()?);
                Object { class: self.pop()?, arguments, named_arguments, ..Object::default() }
            }
            b'i' => {
                let class = Node::Global(self.line()?, self.line()?);
                let arguments = Node::Sequence(self.pop_to_mark()?);
                let class = self.arena.add(class)?;
                Object { class, arguments: Some(self.arena.add(arguments)?), ..Object::default() }
            }
            b'o' => {
                let mut members = self.pop_to_mark()?.into_iter();
                let class = members.next().ok_or_else(|| self.bad("an object without a class"))?;
                let arguments = self.arena.add(Node::Sequence(members.collect()))?;
                Object { class, arguments: Some(arguments), ..Object::default() }
            }
            b'b' => {
                let state = self.pop()?;
                let top = self.top()?;
                if let Some(Node::Object(object)) = self.arena.get_mut(top) {
                    object.state = Some(state);
                }
                return Ok(());
            }
            _ => return self.housekeeping(opcode),
        };
        self.push(Node::Object(Box::new(object)))
    }

    fn housekeeping(&mut self, opcode: u8) -> Result<(), Error> {
        match opcode {
            0x80 => match self.byte()? {
                0..=5 => Ok(()),
                _ => Err(self.bad("an unknown protocol")),
            },
            0x95 => self.take(8).map(drop),
            b'r' => self.array().and_then(|index| self.memoize(u32::from_le_bytes(index) as usize)),
            b'j' => self.array().and_then(|index| self.recall(u32::from_le_bytes(index) as usize)),
            b'p' => self.line_number().and_then(|index| self.memoize(index)),
            b'g' => self.line_number().and_then(|index| self.recall(index)),
            b'0' if self.marks.last().is_some_and(|mark| *mark as usize == self.stack.len()) => {
                self.marks.pop();
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => {
                let height = self.mark()?;
                self.stack.truncate(height);
                Ok(())
            }
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'P' => self.line().and_then(|_| self.push(Node::Opaque)),
            b'Q' => self.pop().and_then(|_| self.push(Node::Opaque)),
            0x82 => self.take(1).and_then(|_| self.push(Node::Opaque)),
            0x83 => self.take(2).and_then(|_| self.push(Node::Opaque)),
            0x84 => self.take(4).and_then(|_| self.push(Node::Opaque)),
            0x97 => self.push(Node::Opaque),
            0x98 => Ok(()),
            _ => Err(self.bad("an unknown opcode")),
        }
    }

    fn text1(&mut self) -> Result<(), Error> {
        let length = usize::from(self.byte()?);
        let text = self.take(length)?;
        self.push(Node::Text(text))
    }

    fn text4(&mut self) -> Result<(), Error> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let text = self.take(length)?;
        self.push(Node::Text(text))
    }

    fn append(&mut self, members: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Some(Node::Sequence(list)) => list.extend_from_slice(members),
            Some(Node::Object(object)) => object.items.extend_from_slice(members),
            _ => return Err(self.bad("only lists are appended to")),
        }
        Ok(())
    }

    fn set_items(&mut self, members: &[Id]) -> Result<(), Error> {
        let target = self.top()?;
        match self.arena.get_mut(target) {
            Some(Node::Dict(dict)) => dict.extend(members.chunks_exact(2).filter_map(pair)),
            Some(Node::Object(object)) => object.pairs.extend(members.chunks_exact(2).filter_map(pair)),
            _ => return Err(self.bad("only dicts have items")),
        }
        Ok(())
    }

    /// The memo numbers its values in turn, so a number beyond the pickle's size is a lie.
    fn memoize(&mut self, index: usize) -> Result<(), Error> {
        let top = self.top()?;
        if index > self.body.len() {
            return Err(self.bad("a memo number beyond the pickle"));
        }
        if index >= self.memo.len() {
            self.memo.resize(index + 1, EMPTY);
        }
        if let Some(slot) = self.memo.get_mut(index) {
            *slot = top;
        }
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Result<(), Error> {
        match self.memo.get(index) {
            Some(id) if *id != EMPTY => self.stack.push(*id),
            _ => return Err(self.bad("nothing in the memo there")),
        }
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) -> Result<(), Error> {
        let id = self.arena.add(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// Nothing below the last mark may be taken.
    fn pop(&mut self) -> Result<Id, Error> {
        let floor = self.marks.last().map_or(0, |mark| *mark as usize);
        if self.stack.len() <= floor {
            return Err(self.bad("nothing on the stack"));
        }
        self.stack.pop().ok_or_else(|| self.bad("nothing on the stack"))
    }

    fn top(&self) -> Result<Id, Error> {
        self.stack.last().copied().ok_or_else(|| self.bad("nothing on the stack"))
    }

    fn mark(&mut self) -> Result<usize, Error> {
        self.marks.pop().map(|mark| mark as usize).ok_or_else(|| self.bad("no mark"))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Error> {
        let height = self.mark()?;
        Ok(self.stack.drain(height.min(self.stack.len())..).collect())
    }

    fn digits(&self, digits: &'a [u8]) -> Result<Node<'a>, Error> {
        let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
        if unsigned.is_empty() || !unsigned.iter().all(u8::is_ascii_digit) {
            return Err(self.bad("no number"));
        }
        let small = std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok());
        Ok(small.map_or(Node::Digits(digits), Node::Int))
    }

    fn line_number(&mut self) -> Result<usize, Error> {
        let line = self.line()?;
        let number = std::str::from_utf8(line).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| self.bad("no number"))
    }

    fn line(&mut self) -> Result<&'a [u8], Error> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let end = memchr::memchr(b'\n', rest).ok_or_else(|| self.bad("the line does not end"))?;
        self.at += end + 1;
        let line = rest.get(..end).unwrap_or_default();
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    fn sized8(&mut self) -> Result<&'a [u8], Error> {
        let length = u64::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn signed_length(&mut self) -> Result<usize, Error> {
        usize::try_from(i32::from_le_bytes(self.array()?)).map_err(|_| self.bad("a negative length"))
    }

    fn byte(&mut self) -> Result<u8, Error> {
        let byte = self.body.get(self.at).copied().ok_or_else(|| self.bad("the pickle is cut short"))?;
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk::<N>().ok_or_else(|| self.bad("the pickle is cut short"))?;
        self.at += N;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let rest = self.body.get(self.at..).unwrap_or_default();
        let bytes = rest.get(..length).ok_or_else(|| self.bad("the pickle is cut short"))?;
        self.at += length;
        Ok(bytes)
    }

    fn bad(&self, reason: &'static str) -> Error {
        Error::Pickle { at: self.opcode_at, reason }
    }
}

/// An integer of any length, without bytes that only repeat its sign; small ones become plain ones.
fn long(bytes: &[u8]) -> Node<'_> {
    let mut rest = bytes;
    while let [before @ .., second, top] = rest
        && *top == (if second & 0x80 != 0 { 0xff } else { 0 })
    {
        rest = rest.get(..before.len() + 1).unwrap_or_default();
    }
    if rest.len() > 8 {
        return Node::Long(rest);
    }
    let negative = rest.last().is_some_and(|top| top & 0x80 != 0);
    let mut word = [if negative { 0xff } else { 0 }; 8];
    word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    Node::Int(i64::from_le_bytes(word))
}

fn pairs(members: &[Id]) -> Vec<(Id, Id)> {
    members.chunks_exact(2).filter_map(pair).collect()
}

fn pair(two: &[Id]) -> Option<(Id, Id)> {
    if let [key, value] = two { Some((*key, *value)) } else { None }
}
