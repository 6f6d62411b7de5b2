//! `msg % args`: the text of a record.
//!
//! What nearly every call is made of, `%s` and `%d` with texts and numbers, is written straight into the message. Everything else is
//! rendered by Python, which knows all of it; where that raises, the text is `msg` and `format_error` says why.

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyInt, PySlice, PyString, PyTuple};

use super::stamp;
use super::value::{Encoder, MAX_TEXT, error_name, plain_text, type_name};
use super::writer::Writer;

/// Templates and arguments of more bytes than this are Python's, and so is a message of more than [`MAX_QUICK`].
const MAX_PART: usize = 2_048;
pub(super) const MAX_QUICK: usize = 8_192;

/// `msg % args` as a logging call means it, and what went wrong with it.
pub(crate) fn render<W: Writer>(
    encoder: &Encoder<'_, W>,
    msg: &Bound<'_, PyAny>,
    args: Option<&Bound<'_, PyAny>>,
) -> (String, Option<String>) {
    let text = match msg.cast_exact::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) if !encoder.may_run() => return (encoder.passed_over(&type_name(msg)), None),
        Err(_) => match msg.str() {
            Ok(text) => text,
            Err(error) => {
                return (encoder.unrepresentable(&type_name(msg), &error), Some(told(encoder, &error)));
            }
        },
    };
    let Some(args) = args.filter(|args| args.is_truthy().unwrap_or(true)) else {
        return (plain_text(&text), None);
    };
    if !are_plain(args) && !encoder.may_run() {
        return (plain_text(&text), Some(encoder.excuse().to_owned()));
    }
    let args = &clipped(args);
    match text.as_any().rem(args).and_then(|rendered| Ok(plain_text(&rendered.str()?))) {
        Ok(rendered) => (rendered, None),
        Err(error) => (plain_text(&text), Some(told(encoder, &error))),
    }
}

/// The message of a record that renders it in a way of its own.
pub(crate) fn own(record: &Bound<'_, PyAny>) -> Option<String> {
    let text = record.call_method0(intern!(record.py(), "getMessage")).ok()?;
    text.cast::<PyString>().ok().map(plain_text)
}

impl<'py, W: Writer> Encoder<'py, W> {
    /// Writes the message as text, if it is of the usual kind; otherwise nothing is written.
    pub(crate) fn usual_message(
        &mut self,
        record: &Bound<'py, PyAny>,
        msg: &Bound<'py, PyAny>,
        args: &Bound<'py, PyAny>,
    ) -> bool {
        let (Ok(msg), Ok(args)) = (msg.cast_exact::<PyString>(), args.cast_exact::<PyTuple>()) else {
            return false;
        };
        if !stamp::is_ordinary(record) {
            return false;
        }
        self.plain_message(msg, args.iter_borrowed())
    }

    /// The same for a text and its arguments.
    pub(super) fn plain_message<'a>(
        &mut self,
        msg: &Bound<'py, PyString>,
        args: impl ExactSizeIterator<Item = Borrowed<'a, 'py, PyAny>>,
    ) -> bool
    where
        'py: 'a,
    {
        let Some(template) = self.short(msg) else { return false };
        let start = self.out.len();
        let opened = self.out.open_text();
        if args.len() == 0 {
            self.out.part(&template);
        } else if self.formatted(&template, args).is_none() {
            self.out.cut(start);
            return false;
        }
        self.out.close_text(opened);
        true
    }

    fn formatted<'a>(
        &mut self,
        template: &str,
        mut args: impl Iterator<Item = Borrowed<'a, 'py, PyAny>>,
    ) -> Option<()>
    where
        'py: 'a,
    {
        let start = self.out.len();
        let mut rest = template;
        while let Some(at) = rest.bytes().position(|byte| byte == b'%') {
            self.out.part(rest.get(..at)?);
            match rest.as_bytes().get(at + 1)? {
                b'%' => self.out.part("%"),
                kind @ (b's' | b'd') => {
                    let value = args.next()?;
                    self.argument(&value, *kind == b's')?;
                }
                _ => return None,
            }
            if self.out.len() - start > MAX_QUICK {
                return None;
            }
            rest = rest.get(at + 2..)?;
        }
        self.out.part(rest);
        args.next().is_none().then_some(())
    }

    /// An argument of `%s` or, without `any`, of `%d`.
    fn argument(&mut self, value: &Bound<'py, PyAny>, any: bool) -> Option<()> {
        if value.is_exact_instance_of::<PyInt>() {
            self.out.part(itoa::Buffer::new().format(value.extract::<i64>().ok()?));
        } else if !any {
            return None;
        } else if let Ok(text) = value.cast_exact::<PyString>() {
            let text = self.short(text)?;
            self.out.part(&text);
        } else if value.is_none() {
            self.out.part("None");
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.part(if truth.is_true() { "True" } else { "False" });
        } else {
            return None;
        }
        Some(())
    }

    /// The text, unless it is long or has lone surrogates.
    fn short<'a>(&self, text: &'a Bound<'py, PyString>) -> Option<std::borrow::Cow<'a, str>> {
        if text.len().ok()? > MAX_PART { None } else { text.to_cow().ok() }
    }
}

fn told<W: Writer>(encoder: &Encoder<'_, W>, error: &PyErr) -> String {
    encoder.pass_on(error);
    format!("{}: {}", error_name(encoder.py, error), encoder.said_by(error.value(encoder.py).as_any()))
}

/// The arguments, with long texts clipped: the message will be, and rendering it takes a copy of each.
fn clipped<'py>(args: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    let py = args.py();
    let long = |value: &Bound<'py, PyAny>| {
        let text = value.cast_exact::<PyString>().ok()?;
        let cut = text.len().ok()?.checked_sub(MAX_TEXT).filter(|cut| *cut > 0)?;
        let kept = text.get_item(PySlice::new(py, 0, MAX_TEXT as isize, 1)).ok()?;
        kept.add(format!("…<clipped {cut}>")).ok()
    };
    match args.cast_exact::<PyTuple>() {
        Ok(all) if all.iter().any(|value| long(&value).is_some()) => {
            let all: Vec<_> = all.iter().map(|value| long(&value).unwrap_or(value)).collect();
            PyTuple::new(py, all).map_or_else(|_| args.clone(), Bound::into_any)
        }
        _ => args.clone(),
    }
}

/// Whether rendering these arguments runs no code of theirs.
fn are_plain(args: &Bound<'_, PyAny>) -> bool {
    let Ok(args) = args.cast::<PyTuple>() else { return false };
    args.iter().all(|arg| {
        let module = arg.get_type().module().map(|name| plain_text(&name)).unwrap_or_default();
        let name = arg.get_type().name().map(|name| plain_text(&name)).unwrap_or_default();
        module == "builtins"
            && matches!(name.as_str(), "str" | "int" | "float" | "bool" | "NoneType" | "bytes")
    })
}
