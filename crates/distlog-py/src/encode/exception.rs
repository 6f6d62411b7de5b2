//! Exceptions as data and as text.
//!
//! Data: `{"type","module","message","frames":[{"file","line","function"}],"cause","context","notes","exceptions"}`, the last four where
//! there are any. Causes, contexts and groups may form rings and go on without end: each exception is written once, and
//! [`MAX_EXCEPTIONS`] and [`MAX_FRAMES`] bound the rest.
//!
//! Text: what the interpreter prints, without the carets under the source lines: finding their places costs ten times the rest.
//! Groups and syntax errors have forms of their own; for them the interpreter is asked.

use std::collections::HashSet;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

use super::kind::{Kind, kind};
use super::value::{Encoder, plain_text, type_name};
use super::writer::Writer;

/// Most exceptions written for one.
const MAX_EXCEPTIONS: usize = 32;
/// Most frames written of one traceback: the outermost and the innermost half.
const MAX_FRAMES: usize = 64;
/// Deepest nesting of causes, contexts and groups.
const MAX_NESTING: usize = 12;
/// A line that is repeated more often than this is counted, not printed: recursion.
const MAX_REPEATS: usize = 3;

/// One line of a traceback.
#[derive(PartialEq)]
struct Frame {
    file: String,
    line: i64,
    function: String,
}

impl<'py, W: Writer> Encoder<'py, W> {
    /// Writes an exception as data.
    pub(crate) fn exception(&mut self, exception: &Bound<'py, PyAny>) {
        self.one(exception, &mut HashSet::new(), 0);
    }

    fn one(&mut self, exception: &Bound<'py, PyAny>, seen: &mut HashSet<usize>, depth: usize) {
        if !seen.insert(exception.as_ptr() as usize) {
            return self.out.text("<cycle>");
        }
        if depth >= MAX_NESTING || seen.len() > MAX_EXCEPTIONS || self.is_full() {
            return self.out.text("…<clipped>");
        }
        self.out.open_map();
        self.out.key("type");
        self.out.text(&type_name(exception));
        self.out.key("module");
        let module = module(exception);
        self.text(&module, 0);
        self.out.key("message");
        let message = self.said_by(exception);
        self.text(&message, 0);
        self.out.key("frames");
        self.frames(exception);
        if let Some(notes) = notes(exception) {
            self.out.key("notes");
            self.value(&notes);
        }
        let (cause, context) = behind(exception);
        for (name, other) in [("cause", cause), ("context", context)] {
            if let Some(other) = other {
                self.out.key(name);
                self.one(&other, seen, depth + 1);
            }
        }
        if let Some(members) = members(exception) {
            self.out.key("exceptions");
            self.out.open_list();
            for member in members.iter().take(MAX_EXCEPTIONS) {
                self.out.item();
                self.one(&member, seen, depth + 1);
            }
            self.out.close_list();
        }
        self.out.close_map();
    }

    fn frames(&mut self, exception: &Bound<'py, PyAny>) {
        let (frames, cut) = frames(exception);
        self.out.open_list();
        for (at, frame) in frames.iter().enumerate() {
            if cut > 0 && at == MAX_FRAMES / 2 {
                self.out.item();
                self.out.text(&format!("…<clipped {cut}>"));
            }
            self.out.item();
            self.out.open_map();
            self.out.key("file");
            self.text(&frame.file, 0);
            self.out.key("line");
            self.out.int(frame.line);
            self.out.key("function");
            self.text(&frame.function, 0);
            self.out.close_map();
        }
        self.out.close_list();
    }

    /// `str(exception)`, or what stands for it.
    pub(crate) fn said_by(&self, exception: &Bound<'py, PyAny>) -> String {
        if self.careful {
            return format!("<{}>", type_name(exception));
        }
        match exception.str() {
            Ok(text) => plain_text(&text),
            Err(error) => self.unrepresentable(&type_name(exception), &error),
        }
    }

    /// The traceback as text, as the interpreter prints it.
    pub(crate) fn traceback(&self, exception: &Bound<'py, PyAny>) -> String {
        let chain = chain(exception);
        let special = chain.iter().any(|(link, _)| has_own_form(link));
        if special
            && !self.careful
            && let Ok(text) = self.asked(exception)
        {
            return text;
        }
        let mut text = String::new();
        for (link, is_cause) in chain.iter().rev() {
            self.print(link, &mut text);
            match is_cause {
                Some(true) => text
                    .push_str("\n\nThe above exception was the direct cause of the following exception:\n\n"),
                Some(false) => text
                    .push_str("\n\nDuring handling of the above exception, another exception occurred:\n\n"),
                None => {}
            }
        }
        text
    }

    fn asked(&self, exception: &Bound<'py, PyAny>) -> PyResult<String> {
        let tuple = (exception.get_type(), exception, exception.getattr("__traceback__")?);
        let lines = self.py.import("traceback")?.call_method1("format_exception", tuple)?;
        let text = PyString::new(self.py, "").call_method1("join", (lines,))?;
        Ok(plain_text(text.cast()?).trim_end_matches('\n').to_owned())
    }

    fn print(&self, exception: &Bound<'py, PyAny>, text: &mut String) {
        let (frames, cut) = frames(exception);
        if !frames.is_empty() {
            text.push_str("Traceback (most recent call last):\n");
        }
        let mut repeats = 0;
        let mut previous: Option<&Frame> = None;
        for (at, frame) in frames.iter().enumerate() {
            let same = previous == Some(frame);
            repeats = if same { repeats + 1 } else { 0 };
            if repeats < MAX_REPEATS {
                text.push_str(&format!(
                    "  File \"{}\", line {}, in {}\n",
                    frame.file, frame.line, frame.function
                ));
                self.source(frame, text);
            }
            if cut > 0 && at == MAX_FRAMES / 2 - 1 {
                text.push_str(&format!("  [{cut} lines left out]\n"));
            }
            let next = frames.get(at + 1);
            if repeats >= MAX_REPEATS && next != Some(frame) {
                let more = repeats + 1 - MAX_REPEATS;
                text.push_str(&format!(
                    "  [Previous line repeated {more} more time{}]\n",
                    if more > 1 { "s" } else { "" }
                ));
            }
            previous = Some(frame);
        }
        text.push_str(&full_name(exception));
        let message = self.said_by(exception);
        if !message.is_empty() {
            text.push_str(": ");
            text.push_str(&message);
        }
        for note in notes(exception).into_iter().flat_map(|notes| notes.iter().collect::<Vec<_>>()) {
            text.push('\n');
            text.push_str(&self.name(&note));
        }
    }

    fn source(&self, frame: &Frame, text: &mut String) {
        let line = (self.py.import("linecache"))
            .and_then(|cache| cache.call_method1("getline", (&frame.file, frame.line)))
            .and_then(|line| Ok(plain_text(line.cast()?)))
            .inspect_err(|error| self.pass_on(error))
            .unwrap_or_default();
        let line = line.trim();
        if !line.is_empty() {
            text.push_str(&format!("    {line}\n"));
        }
    }
}

/// The exception and those behind it, each with the way it led to the one before (`true`: as its cause).
fn chain<'py>(exception: &Bound<'py, PyAny>) -> Vec<(Bound<'py, PyAny>, Option<bool>)> {
    let mut seen = HashSet::new();
    let mut chain = vec![(exception.clone(), None)];
    seen.insert(exception.as_ptr() as usize);
    while chain.len() < MAX_NESTING
        && let Some((last, _)) = chain.last()
    {
        let (cause, context) = behind(last);
        let is_cause = cause.is_some();
        match cause.or(context) {
            Some(next) if seen.insert(next.as_ptr() as usize) => chain.push((next, Some(is_cause))),
            _ => break,
        }
    }
    chain
}

/// The cause, or else the context unless it is suppressed.
fn behind<'py>(exception: &Bound<'py, PyAny>) -> (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>) {
    let other = |name| exception.getattr(name).ok().filter(is_exception);
    let cause = other("__cause__");
    let hidden =
        || exception.getattr("__suppress_context__").and_then(|flag| flag.extract()).unwrap_or(false);
    let context = if cause.is_some() || hidden() { None } else { other("__context__") };
    (cause, context)
}

pub(crate) fn is_exception(value: &Bound<'_, PyAny>) -> bool {
    !value.is_none() && kind(&value.get_type()) == Kind::Exception
}

fn has_own_form(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<pyo3::exceptions::PySyntaxError>() || members(exception).is_some()
}

fn members<'py>(exception: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let members = exception.getattr("exceptions").ok()?.cast_into::<PyTuple>().ok()?;
    members.iter().all(|member| is_exception(&member)).then_some(members)
}

fn notes<'py>(exception: &Bound<'py, PyAny>) -> Option<Bound<'py, PyList>> {
    exception.getattr("__notes__").ok()?.cast_into::<PyList>().ok().filter(|notes| !notes.is_empty())
}

fn module(exception: &Bound<'_, PyAny>) -> String {
    exception.get_type().getattr("__module__").and_then(|name| name.extract()).unwrap_or_default()
}

fn full_name(exception: &Bound<'_, PyAny>) -> String {
    let name =
        exception.get_type().qualname().map_or_else(|_| type_name(exception), |name| plain_text(&name));
    match module(exception).as_str() {
        "" | "builtins" | "__main__" => name,
        module => format!("{module}.{name}"),
    }
}

/// The traceback's frames, outermost first, and how many were left out in the middle.
fn frames(exception: &Bound<'_, PyAny>) -> (Vec<Frame>, usize) {
    let mut links = Vec::new();
    let mut next = exception.getattr("__traceback__").ok();
    while let Some(link) = next.filter(|link| !link.is_none()) {
        next = link.getattr("tb_next").ok();
        links.push(link);
    }
    let cut = links.len().saturating_sub(MAX_FRAMES);
    if cut > 0 {
        links.drain(MAX_FRAMES / 2..MAX_FRAMES / 2 + cut);
    }
    (links.iter().filter_map(|link| frame(link).ok()).collect(), cut)
}

fn frame(link: &Bound<'_, PyAny>) -> PyResult<Frame> {
    let code = link.getattr("tb_frame")?.getattr("f_code")?;
    let text =
        |name| code.getattr(name).map(|text| text.cast::<PyString>().map(plain_text).unwrap_or_default());
    // A traceback's line is None where the compiler left none.
    let line = link.getattr("tb_lineno")?.extract().unwrap_or_default();
    Ok(Frame { file: text("co_filename")?, line, function: text("co_name")? })
}
