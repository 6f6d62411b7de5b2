//! A `LogRecord` → one message, in one walk over its `__dict__`. The record stays as it is: other handlers see it untouched.
//!
//! Order of the fields: `message`, `format_error` (only where `msg % args` failed), `asctime`, `hostname`, `context`, `goal`, and then
//! everything the record has. No name occurs twice: a custom field with one of these names gets a `_` at its end.
//! `message` and `asctime` in the record are another formatter's cache, and left out.
//!
//! `exc_info` is written as data and `exc_text` as text (the one cached there, if there is one).
//!
//! A message stays below [`MAX_BODY`]: the fields of the standard library and of distlog have a quota each, which leaves room for all of
//! them, and custom fields have the rest.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple};

use super::clock::iso8601;
use super::exception::is_exception;
use super::stamp;
use super::value::{Encoder, MAX_ITEMS, MAX_TEXT, error_name, plain_text};
use super::writer::Writer;

/// Longest message body in bytes; the daemon refuses messages over 1 MiB.
const MAX_BODY: usize = 960 * 1024;
/// Most bytes for one field of the standard library or of distlog.
const MAX_FIELD: usize = 96 * 1024;
/// How much of a clipped traceback is its beginning; the rest is its end, which says more.
const TRACEBACK_HEAD: usize = MAX_TEXT / 4;

/// Names that distlog gives.
const OURS: [&str; 6] = ["message", "format_error", "asctime", "hostname", "context", "goal"];

/// The names of the standard library, in the order in which a record has them.
const STANDARD: [&str; 23] = [
    "name",
    "msg",
    "args",
    "levelname",
    "levelno",
    "pathname",
    "filename",
    "module",
    "exc_info",
    "exc_text",
    "stack_info",
    "lineno",
    "funcName",
    "created",
    "msecs",
    "relativeCreated",
    "thread",
    "threadName",
    "processName",
    "process",
    "taskName",
    "message",
    "asctime",
];

static NAMES: PyOnceLock<Vec<Py<PyString>>> = PyOnceLock::new();
static HOSTNAME: PyOnceLock<String> = PyOnceLock::new();

/// Writes the record. Total: see [`super::value`].
pub(crate) fn encode<W: Writer>(record: &Bound<'_, PyAny>) -> Vec<u8> {
    let py = record.py();
    let mut encoder = Encoder::<W>::new(py);
    encoder.out.open_map();
    let fields = record
        .getattr(intern!(py, "__dict__"))
        .ok()
        .and_then(|fields| fields.cast_into::<PyDict>().ok()?.copy().ok());
    let fields = fields.unwrap_or_else(|| PyDict::new(py));
    encoder.added(record, &fields);
    encoder.own(&fields);
    encoder.out.close_map();
    encoder.finish()
}

/// `msg % args` as a logging call means it, and what went wrong with it.
pub(crate) fn render<W: Writer>(
    encoder: &Encoder<'_, W>,
    msg: &Bound<'_, PyAny>,
    args: Option<&Bound<'_, PyAny>>,
) -> (String, Option<String>) {
    let text = match msg.cast_exact::<PyString>() {
        Ok(text) => text.clone(),
        Err(_) if encoder.careful => return (format!("<{}>", super::value::type_name(msg)), None),
        Err(_) => match msg.str() {
            Ok(text) => text,
            Err(error) => {
                return (
                    encoder.unrepresentable(&super::value::type_name(msg), &error),
                    Some(told(encoder, &error)),
                );
            }
        },
    };
    let Some(args) = args.filter(|args| args.is_truthy().unwrap_or(true)) else {
        return (plain_text(&text), None);
    };
    if encoder.careful && !are_plain(args) {
        return (plain_text(&text), Some("its arguments log".to_owned()));
    }
    match text.as_any().rem(args).and_then(|rendered| Ok(plain_text(&rendered.str()?))) {
        Ok(rendered) => (rendered, None),
        Err(error) => (plain_text(&text), Some(told(encoder, &error))),
    }
}

fn told<W: Writer>(encoder: &Encoder<'_, W>, error: &PyErr) -> String {
    encoder.pass_on(error);
    format!("{}: {}", error_name(encoder.py, error), encoder.said_by(error.value(encoder.py).as_any()))
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

impl<'py, W: Writer> Encoder<'py, W> {
    /// The fields that the record does not have itself.
    fn added(&mut self, record: &Bound<'py, PyAny>, fields: &Bound<'py, PyDict>) {
        self.allow(MAX_FIELD, MAX_BODY);
        let (message, wrong) = self.message(record, fields);
        self.out.key("message");
        self.text(&message, 0);
        if let Some(wrong) = wrong {
            self.allow(MAX_FIELD, MAX_BODY);
            self.out.key("format_error");
            self.text(&wrong, 0);
        }
        let created = fields.get_item(intern!(self.py, "created")).ok().flatten();
        if let Some(created) =
            created.and_then(|created| created.cast::<PyFloat>().ok().map(|created| created.value()))
            && let Some(text) = iso8601(self.py, created)
        {
            self.out.key("asctime");
            self.out.text(&text);
        }
        self.allow(MAX_FIELD, MAX_BODY);
        self.out.key("hostname");
        let hostname = hostname(self.py);
        self.text(hostname, 0);
        if let Some((context, goal)) = stamp::parts(record) {
            for (name, value) in [("context", Some(context)), ("goal", goal)] {
                if let Some(value) = value {
                    self.allow(MAX_FIELD, MAX_BODY);
                    self.out.key(name);
                    self.value(&value);
                }
            }
        }
    }

    fn message(
        &mut self,
        record: &Bound<'py, PyAny>,
        fields: &Bound<'py, PyDict>,
    ) -> (String, Option<String>) {
        let py = self.py;
        if !stamp::is_ordinary(record) {
            // Some records render their message in a way of their own.
            let own = if self.careful { None } else { record.call_method0(intern!(py, "getMessage")).ok() };
            if let Some(Ok(text)) = own.map(|own| own.cast_into::<PyString>()) {
                return (plain_text(&text), None);
            }
        }
        let field = |name| fields.get_item(name).ok().flatten();
        let Some(msg) = field(intern!(py, "msg")) else { return (String::new(), None) };
        render(self, &msg, field(intern!(py, "args")).as_ref())
    }

    /// The fields that the record has.
    fn own(&mut self, fields: &Bound<'py, PyDict>) {
        let names = NAMES.get_or_init(self.py, || {
            STANDARD.iter().map(|name| PyString::intern(self.py, name).unbind()).collect()
        });
        let mut expected = 0;
        let mut renamed: Vec<String> = Vec::new();
        for (at, (name, value)) in fields.iter().enumerate() {
            let found = position(names, &name, expected);
            if let Some((found, standard)) = found.and_then(|found| Some((found, *STANDARD.get(found)?))) {
                expected = found + 1;
                self.allow(MAX_FIELD, MAX_BODY - 4096);
                self.standard(standard, &value, fields);
                continue;
            }
            self.allow(MAX_BODY, MAX_BODY - 4096);
            if at >= MAX_ITEMS || self.is_full() {
                self.clipped_names(fields.len() - at);
                break;
            }
            self.custom(&name, &value, fields, &mut renamed);
        }
    }

    fn standard(&mut self, name: &str, value: &Bound<'py, PyAny>, fields: &Bound<'py, PyDict>) {
        match name {
            "message" | "asctime" => {}
            "exc_info" => {
                self.out.key(name);
                match exception(value) {
                    Some(exception) => self.exception(&exception),
                    None if says_nothing(value) => self.out.none(),
                    None => self.value(value),
                }
            }
            "exc_text" => {
                self.out.key(name);
                let exception = || {
                    fields
                        .get_item(intern!(self.py, "exc_info"))
                        .ok()
                        .flatten()
                        .and_then(|info| exception(&info))
                };
                match value.is_none().then(exception).flatten() {
                    Some(exception) => {
                        let text = self.traceback(&exception);
                        let text = without_middle(text);
                        self.text(&text, 0);
                    }
                    None => self.value(value),
                }
            }
            _ => {
                self.out.key(name);
                self.value(value);
            }
        }
    }

    fn custom(
        &mut self,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
        fields: &Bound<'py, PyDict>,
        renamed: &mut Vec<String>,
    ) {
        let mut name = self.name(key);
        if name == stamp::ATTRIBUTE {
            return;
        }
        // Names that were no plain text may have become the same as others: 1 and "1".
        let changed = key.cast_exact::<PyString>().map_or(true, |key| plain_text(key) != name);
        if changed || OURS.contains(&name.as_str()) {
            while OURS.contains(&name.as_str())
                || STANDARD.contains(&name.as_str())
                || renamed.contains(&name)
                || fields.contains(&name).unwrap_or(false)
            {
                name.push('_');
            }
            renamed.push(name.clone());
        }
        self.out.key(&name);
        self.value(value);
    }
}

/// Which standard name this is, by identity. Attribute names are interned, and nearly always in order.
fn position(names: &[Py<PyString>], name: &Bound<'_, PyAny>, expected: usize) -> Option<usize> {
    let is = |known: &&Py<PyString>| known.is(name);
    if names.get(expected).as_ref().is_some_and(is) {
        return Some(expected);
    }
    names.iter().position(|known| known.is(name)).or_else(|| {
        // Not interned: records made of what came over a wire.
        let text = name.cast::<PyString>().map(plain_text).ok()?;
        STANDARD.iter().position(|known| *known == text)
    })
}

/// The exception that a record's `exc_info` holds.
fn exception<'py>(info: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(parts) = info.cast::<PyTuple>() {
        return parts.get_item(1).ok().filter(is_exception);
    }
    Some(info.clone()).filter(is_exception)
}

/// `None`, `False`, `(None, None, None)`: there was no exception.
fn says_nothing(info: &Bound<'_, PyAny>) -> bool {
    match info.cast::<PyTuple>() {
        Ok(parts) => parts.iter().all(|part| part.is_none()),
        Err(_) => info.is_none() || info.is(pyo3::types::PyBool::new(info.py(), false)),
    }
}

fn without_middle(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let head = text.floor_char_boundary(TRACEBACK_HEAD);
    let tail = text.ceil_char_boundary(text.len() - (MAX_TEXT - TRACEBACK_HEAD - 64));
    let cut = text.get(head..tail).unwrap_or_default().chars().count();
    format!(
        "{}\n…<clipped {cut}>\n{}",
        text.get(..head).unwrap_or_default(),
        text.get(tail..).unwrap_or_default()
    )
}

/// Asked for when the module is imported, before anything can come between.
pub(crate) fn hostname(py: Python<'_>) -> &'static str {
    // A host that has no name is not worth losing a record for.
    HOSTNAME.get_or_init(py, || {
        py.import("socket")
            .and_then(|socket| socket.call_method0("gethostname")?.extract())
            .unwrap_or_default()
    })
}
