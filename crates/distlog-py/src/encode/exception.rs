//! Exceptions as data and as text.
//!
//! Data: `{"type","module","message","frames":[{"file","line","function"}],"cause","context","notes","exceptions"}`, the last four where
//! there are any. Causes, contexts and groups may form rings and go on without end: each exception is written once, and
//! [`MAX_EXCEPTIONS`] and [`MAX_FRAMES`] bound the rest.
//!
//! Text: what the interpreter prints, without the carets under the source lines: finding their places costs ten times the rest.
//! Groups and syntax errors have forms of their own; for them the interpreter is asked.

use std::rc::Rc;
use std::sync::Arc;

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::frames::Frame;
use super::kind::{Kind, Names, has_members, kind, names};
use super::value::{Encoder, plain_text, type_name};
use super::writer::{Key, Writer, key};

const TYPE: Key = key!("type");
const MODULE: Key = key!("module");
const MESSAGE: Key = key!("message");
const FRAMES: Key = key!("frames");
const FILE: Key = key!("file");
const LINE: Key = key!("line");
const FUNCTION: Key = key!("function");

/// Longest name of a file or function, in bytes.
const MAX_NAME: usize = 4096;
/// Most exceptions written for one.
const MAX_EXCEPTIONS: usize = 32;
/// Most frames written of one traceback: the outermost and the innermost half.
const MAX_FRAMES: usize = 64;
/// Deepest nesting of causes, contexts and groups.
const MAX_NESTING: usize = 12;
/// A line that is repeated more often than this is counted, not printed: recursion.
const MAX_REPEATS: usize = 3;

/// What is looked at once for each exception of a record: its frames, its class and what it says.
pub(crate) struct Trace<'py> {
    exception: Bound<'py, PyAny>,
    /// Outermost first, and how many were left out in the middle.
    frames: Vec<Arc<Frame>>,
    cut: usize,
    said: String,
    names: Arc<Names>,
    /// Where instances may have attributes that the class knows nothing of.
    own: Option<Bound<'py, PyDict>>,
}

impl<'py, W: Writer> Encoder<'py, W> {
    /// Writes an exception as data.
    pub(crate) fn exception(&mut self, exception: &Bound<'py, PyAny>) {
        self.one(exception, &mut Vec::new(), 0);
    }

    fn one(&mut self, exception: &Bound<'py, PyAny>, seen: &mut Vec<usize>, depth: usize) {
        let place = exception.as_ptr() as usize;
        if seen.contains(&place) {
            return self.out.text("<cycle>");
        }
        seen.push(place);
        if depth >= MAX_NESTING || seen.len() > MAX_EXCEPTIONS || self.is_full() {
            return self.out.text("…<clipped>");
        }
        let trace = self.trace(exception);
        self.out.open_map();
        self.out.known(&TYPE);
        self.text(&trace.names.name, 0);
        self.out.known(&MODULE);
        self.text(&trace.names.module, 0);
        self.out.known(&MESSAGE);
        self.text(&trace.said, 0);
        self.out.known(&FRAMES);
        self.frames(&trace);
        if let Some(notes) = notes(&trace) {
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

    fn frames(&mut self, trace: &Trace<'py>) {
        self.out.open_list();
        for (at, frame) in trace.frames.iter().enumerate() {
            if trace.cut > 0 && at == MAX_FRAMES / 2 {
                self.out.item();
                self.out.text(&format!("…<clipped {}>", trace.cut));
            }
            if self.is_full() {
                self.out.item();
                self.out.text("…<clipped>");
                break;
            }
            self.out.item();
            match frame.written.get(W::FORM) {
                Some(kept) => {
                    if kept.get().is_none() {
                        kept.get_or_init(|| written::<W>(frame));
                    }
                    self.out.ready(kept.get().map_or(&[], |written| written));
                }
                None => self.out.none(),
            }
        }
        self.out.close_list();
    }

    /// What there is to know of an exception.
    fn trace(&mut self, exception: &Bound<'py, PyAny>) -> Rc<Trace<'py>> {
        if let Some(known) = self.traces.iter().find(|known| known.exception.is(exception)) {
            return Rc::clone(known);
        }
        let (frames, cut) = frames(exception);
        let own = exception.getattr(intern!(self.py, "__dict__")).ok();
        let trace = Rc::new(Trace {
            frames,
            cut,
            said: self.said_by(exception),
            names: names(&exception.get_type()).unwrap_or_default(),
            own: own.and_then(|own| own.cast_into().ok()),
            exception: exception.clone(),
        });
        self.traces.push(Rc::clone(&trace));
        trace
    }

    /// `str(exception)`, or what stands for it.
    pub(crate) fn said_by(&self, exception: &Bound<'py, PyAny>) -> String {
        if !self.may_run() {
            return self.passed_over(&type_name(exception));
        }
        match exception.str() {
            Ok(text) => plain_text(&text),
            Err(error) => self.unrepresentable(&type_name(exception), &error),
        }
    }

    /// The traceback as text, as the interpreter prints it.
    pub(crate) fn traceback(&mut self, exception: &Bound<'py, PyAny>) -> String {
        let chain = chain(exception);
        let special = chain.iter().any(|(link, _)| has_own_form(link));
        if special
            && self.may_run()
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

    fn print(&mut self, exception: &Bound<'py, PyAny>, text: &mut String) {
        let trace = self.trace(exception);
        let (frames, cut) = (&trace.frames, trace.cut);
        if !frames.is_empty() {
            text.push_str("Traceback (most recent call last):\n");
        }
        let mut repeats = 0;
        let mut previous: Option<&Arc<Frame>> = None;
        for (at, frame) in frames.iter().enumerate() {
            let same = previous == Some(frame);
            repeats = if same { repeats + 1 } else { 0 };
            if repeats < MAX_REPEATS {
                text.push_str(&frame.text);
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
        text.push_str(&trace.names.full);
        if !trace.said.is_empty() {
            text.push_str(": ");
            text.push_str(&trace.said);
        }
        for note in notes(&trace).into_iter().flat_map(|notes| notes.iter().collect::<Vec<_>>()) {
            text.push('\n');
            text.push_str(&self.name(&note));
        }
    }
}

/// The exception and those behind it, each with the way it led to the one before (`true`: as its cause).
fn chain<'py>(exception: &Bound<'py, PyAny>) -> Vec<(Bound<'py, PyAny>, Option<bool>)> {
    let mut chain = vec![(exception.clone(), None)];
    while chain.len() < MAX_NESTING
        && let Some((last, _)) = chain.last()
    {
        let (cause, context) = behind(last);
        let is_cause = cause.is_some();
        match cause.or(context) {
            Some(next) if !chain.iter().any(|(known, _)| known.is(&next)) => {
                chain.push((next, Some(is_cause)));
            }
            _ => break,
        }
    }
    chain
}

/// The cause, or else the context unless it is suppressed.
fn behind<'py>(exception: &Bound<'py, PyAny>) -> (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>) {
    let py = exception.py();
    let other = |name| exception.getattr(name).ok().filter(is_exception);
    let cause = other(intern!(py, "__cause__"));
    let hidden = || {
        exception
            .getattr(intern!(py, "__suppress_context__"))
            .and_then(|flag| flag.extract())
            .unwrap_or(false)
    };
    let context =
        if cause.is_some() { None } else { other(intern!(py, "__context__")).filter(|_| !hidden()) };
    (cause, context)
}

pub(crate) fn is_exception(value: &Bound<'_, PyAny>) -> bool {
    !value.is_none() && kind(&value.get_type()) == Kind::Exception
}

fn has_own_form(exception: &Bound<'_, PyAny>) -> bool {
    exception.is_instance_of::<pyo3::exceptions::PySyntaxError>() || members(exception).is_some()
}

fn members<'py>(exception: &Bound<'py, PyAny>) -> Option<Bound<'py, PyTuple>> {
    let py = exception.py();
    // Asking for what is not there is dear: the class says whether it may be.
    let name = intern!(py, "exceptions");
    let own = exception.getattr(intern!(py, "__dict__")).ok().and_then(|own| own.cast_into::<PyDict>().ok());
    if !own.is_some_and(|own| own.contains(name).unwrap_or(true)) && !has_members(&exception.get_type()) {
        return None;
    }
    let members = exception.getattr(name).ok()?.cast_into::<PyTuple>().ok()?;
    members.iter().all(|member| is_exception(&member)).then_some(members)
}

fn notes<'py>(trace: &Trace<'py>) -> Option<Bound<'py, PyList>> {
    let own = trace.own.as_ref()?.get_item(intern!(trace.exception.py(), "__notes__")).ok()??;
    own.cast_into::<PyList>().ok().filter(|notes| !notes.is_empty())
}

/// A frame as data.
fn written<W: Writer>(frame: &Frame) -> Box<[u8]> {
    let mut out = W::over(Vec::new());
    let start = out.len();
    out.open_map();
    out.known(&FILE);
    out.text(prefix(&frame.file));
    out.known(&LINE);
    out.int(frame.line);
    out.known(&FUNCTION);
    out.text(prefix(&frame.function));
    out.close_map();
    out.since(start).into()
}

fn prefix(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_NAME)).unwrap_or_default()
}

/// The traceback's frames, outermost first, and how many were left out in the middle.
fn frames(exception: &Bound<'_, PyAny>) -> (Vec<Arc<Frame>>, usize) {
    let py = exception.py();
    let mut links = Vec::new();
    let mut next = exception.getattr(intern!(py, "__traceback__")).ok();
    while let Some(link) = next.filter(|link| !link.is_none()) {
        next = link.getattr(intern!(py, "tb_next")).ok();
        links.push(link);
    }
    let cut = links.len().saturating_sub(MAX_FRAMES);
    if cut > 0 {
        links.drain(MAX_FRAMES / 2..MAX_FRAMES / 2 + cut);
    }
    (links.iter().filter_map(|link| Frame::of(link).ok()).collect(), cut)
}
