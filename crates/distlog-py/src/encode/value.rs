//! Any Python value → a written one. Total: whatever a value is or does, something readable comes out, and nothing is raised.
//!
//! Values that JSON does not have are written as what people would write: dates in ISO 8601, durations in seconds, an enumeration's
//! member as its value, bytes as text, sets as lists, dataclasses and the like as objects, and everything else as its clipped `repr`.
//!
//! Bounds, each of which leaves a mark where it cut: [`MAX_TEXT`], [`MAX_ITEMS`], [`MAX_DEPTH`] and the room given to the field.
//! Values are never changed and lazy ones never consumed. A value inside itself is `<cycle>`; the same value twice is written twice.
//!
//! Values may run code of their own (`__str__`, `__repr__`, properties). If that raises, the mark is `<unrepresentable Name: Error>`.
//! If it logs, the record inside is written by a *careful* encoder, which runs no such code and so cannot recurse. All of it together
//! has [`MAX_TIME`] for a record; whose turn comes later is written in the careful form, with a mark that says so.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PySlice, PyString, PyTuple, PyType,
};

use super::exception::Trace;
use super::kind::{Kind, kind};
use super::number::{Big, MAX_BITS};
use super::writer::Writer;

/// Longest text, in characters before and bytes after encoding.
pub(crate) const MAX_TEXT: usize = 65_536;
/// Most members of one container.
pub(crate) const MAX_ITEMS: usize = 1_000;
/// Deepest nesting of containers.
pub(crate) const MAX_DEPTH: usize = 32;
/// How long code of the values may take, all values of a record together. What is under way when it is over cannot be stopped.
const MAX_TIME: Duration = Duration::from_millis(100);
/// Longest name in a mapping, in characters.
const MAX_NAME: usize = 256;

/// Memory of more bytes than this is given back once the message is written.
const MAX_KEPT: usize = 256 * 1024;
/// Below this length of the message, plain values are written without asking how much room there is.
const ROOMY: usize = 256 * 1024;
/// Most members of a tuple of plain values.
const MAX_PLAIN: usize = 16;

thread_local! {
    /// How many encoders are at work in this thread: more than one if a value's own code logs.
    static AT_WORK: Cell<u32> = const { Cell::new(0) };
    /// The memory of the last message: the next one is written there.
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes values with a writer, within bounds.
pub(crate) struct Encoder<'py, W> {
    pub(crate) py: Python<'py>,
    pub(crate) out: W,
    /// Values may run no code of their own.
    careful: bool,
    /// When code of a value ran first.
    began: Cell<Option<Instant>>,
    /// The length of the message that the present field may not pass.
    limit: usize,
    /// The containers that are being written, outermost first.
    open: Vec<usize>,
    /// The exceptions that were looked at.
    pub(crate) traces: Vec<Rc<Trace<'py>>>,
    /// Ctrl-C arrived while a value was looked at.
    interrupted: Cell<bool>,
}

impl<W> Drop for Encoder<'_, W> {
    fn drop(&mut self) {
        AT_WORK.set(AT_WORK.get().saturating_sub(1));
        if self.interrupted.get() {
            // It comes again now that the record is written. Nothing to do if even this fails: there is no main thread any more.
            drop(self.py.import("_thread").and_then(|thread| thread.call_method0("interrupt_main")));
        }
    }
}

impl<'py, W: Writer> Encoder<'py, W> {
    pub(crate) fn new(py: Python<'py>) -> Self {
        let others = AT_WORK.get();
        AT_WORK.set(others + 1);
        Self {
            py,
            // While the thread's own memory is taken down, there is always new one.
            out: W::over(MEMORY.try_with(Cell::take).unwrap_or_default()),
            careful: others > 0,
            began: Cell::new(None),
            limit: usize::MAX,
            open: Vec::new(),
            traces: Vec::new(),
            interrupted: Cell::new(false),
        }
    }

    /// Gives the message to `take`.
    pub(crate) fn finish<T>(mut self, take: impl FnOnce(&[u8]) -> T) -> T {
        let memory = std::mem::replace(&mut self.out, W::over(Vec::new())).finish();
        // No value is looked at any more.
        drop(self);
        let taken = take(&memory);
        if memory.capacity() <= MAX_KEPT {
            MEMORY.try_with(|kept| kept.set(memory)).ok();
        }
        taken
    }

    /// Whether values may run no code of their own (any more).
    pub(crate) fn is_careful(&self) -> bool {
        self.careful || self.is_late()
    }

    /// Whether a value may run code of its own now; if so, the time runs.
    pub(crate) fn may_run(&self) -> bool {
        if self.is_careful() {
            return false;
        }
        if self.began.get().is_none() {
            self.began.set(Some(Instant::now()));
        }
        true
    }

    /// What is written for a value of this type that may not.
    pub(crate) fn passed_over(&self, name: &str) -> String {
        if self.careful { format!("<{name}>") } else { format!("<{name}: no time left>") }
    }

    /// Why a message was not rendered.
    pub(crate) fn excuse(&self) -> &'static str {
        if self.careful { "its arguments log" } else { "no time left for its arguments" }
    }

    fn is_late(&self) -> bool {
        self.began.get().is_some_and(|began| began.elapsed() > MAX_TIME)
    }

    /// Writes a value of the plainest kinds, which run no code of their own; otherwise nothing is written.
    pub(crate) fn plain(&mut self, value: &Bound<'py, PyAny>) -> bool {
        if let Ok(text) = value.cast_exact::<PyString>() {
            return self.plain_string(text);
        } else if value.is_none() {
            self.out.none();
        } else if value.is_exact_instance_of::<PyInt>() {
            let Ok(number) = value.extract::<i64>() else { return false };
            self.out.int(number);
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.out.float(number.value());
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.boolean(truth.is_true());
        } else if let Ok(tuple) = value.cast_exact::<PyTuple>() {
            return self.plain_tuple(tuple);
        } else {
            return false;
        }
        true
    }

    fn plain_string(&mut self, text: &Bound<'py, PyString>) -> bool {
        // Asked first: reading a long text that is not ASCII takes a copy of it.
        let length = text.len().unwrap_or(usize::MAX);
        if length > MAX_TEXT || self.out.len().saturating_add(length.saturating_mul(6)) > ROOMY {
            return false;
        }
        match text.to_cow() {
            Ok(plain) => self.out.text(&plain),
            Err(_) => return false,
        }
        true
    }

    fn plain_tuple(&mut self, tuple: &Bound<'py, PyTuple>) -> bool {
        if tuple.len() > MAX_PLAIN {
            return false;
        }
        let start = self.out.len();
        self.out.open_tuple();
        for item in tuple.iter_borrowed() {
            self.out.item();
            if item.is_exact_instance_of::<PyTuple>() || !self.plain(&item) {
                self.out.cut(start);
                return false;
            }
        }
        self.out.close_tuple();
        true
    }

    /// Whether the message has come to its limit.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= self.limit
    }

    /// Lets the values that follow use at most `quota` bytes, and the message as a whole `total`.
    pub(crate) fn allow(&mut self, quota: usize, total: usize) {
        self.limit = (self.out.len() + quota).min(total);
    }

    /// Writes any value.
    pub(crate) fn value(&mut self, value: &Bound<'py, PyAny>) {
        if let Ok(text) = value.cast_exact::<PyString>() {
            self.string(text);
        } else if value.is_none() {
            self.out.none();
        } else if let Ok(number) = value.cast_exact::<PyInt>() {
            self.int(number.as_any());
        } else if let Ok(number) = value.cast_exact::<PyFloat>() {
            self.out.float(number.value());
        } else if let Ok(truth) = value.cast_exact::<PyBool>() {
            self.out.boolean(truth.is_true());
        } else if let Err(error) = self.container_or_other(value) {
            self.failed(value, &error);
        }
    }

    fn container_or_other(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let known = if value.is_exact_instance_of::<PyDict>() {
            Kind::Dict
        } else if value.is_exact_instance_of::<PyTuple>() {
            Kind::Tuple
        } else if value.is_exact_instance_of::<PyList>() {
            Kind::List
        } else {
            kind(&value.get_type())
        };
        match known {
            Kind::Text => {
                let exact = self.py.get_type::<PyString>().call_method1("__str__", (value,))?;
                self.string(exact.cast()?);
            }
            Kind::Int => self.int(value),
            Kind::Float => self.out.float(value.cast::<PyFloat>()?.value()),
            Kind::Bytes => self.bytes(value)?,
            Kind::Moment => self.called(value, "isoformat")?,
            Kind::Duration => self.called(value, "total_seconds")?,
            _ if self.is_full() => self.out.text("…<clipped>"),
            Kind::Dict => self.within(value, |me| me.dict(&value.cast::<PyDict>()?.copy()?))?,
            Kind::Tuple => self.within(value, |me| me.tuple(value.cast()?))?,
            Kind::List if value.is_instance_of::<PyList>() => {
                self.within(value, |me| me.list(value.cast()?))?
            }
            Kind::Exception => self.within(value, |me| {
                me.exception(value);
                Ok(())
            })?,
            _ if !self.may_run() => {
                let mark = self.passed_over(&type_name(value));
                self.out.text(&mark);
            }
            Kind::List | Kind::Set => self.within(value, |me| me.iterable(value))?,
            Kind::Mapping => self.within(value, |me| me.mapping(value))?,
            Kind::NamedTuple => {
                self.within(value, |me| me.attributes(value, &names(&value.get_type().getattr("_fields")?)?))?
            }
            Kind::Dataclass => {
                let fields = value.get_type().getattr("__dataclass_fields__")?;
                self.within(value, |me| me.attributes(value, &names(&fields)?))?;
            }
            Kind::Attrs => self.within(value, |me| me.attributes(value, &attrs(value)?))?,
            Kind::Model => self.within(value, |me| me.called(value, "model_dump"))?,
            Kind::Member => self.within(value, |me| {
                let inner = value.getattr("value")?;
                me.value(&inner);
                Ok(())
            })?,
            Kind::Scalar => self.within(value, |me| me.scalar(value))?,
            Kind::Array if value.getattr("size")?.extract::<usize>()? <= MAX_ITEMS => {
                self.within(value, |me| me.called(value, "tolist"))?;
            }
            Kind::Array | Kind::Frame | Kind::Series => self.within(value, |me| me.summary(value, known))?,
            Kind::Named => self.string(&value.str()?),
            Kind::Other => self.string(&value.repr()?),
        }
        Ok(())
    }

    /// Writes a container with `write`, unless it is inside itself or too deep.
    fn within(
        &mut self,
        value: &Bound<'py, PyAny>,
        write: impl FnOnce(&mut Self) -> PyResult<()>,
    ) -> PyResult<()> {
        let place = value.as_ptr() as usize;
        if self.open.contains(&place) {
            self.out.text("<cycle>");
            return Ok(());
        }
        if self.open.len() >= MAX_DEPTH {
            self.out.text("…<too deep>");
            return Ok(());
        }
        self.open.push(place);
        let result = write(self);
        self.open.pop();
        result
    }

    fn called(&mut self, value: &Bound<'py, PyAny>, method: &str) -> PyResult<()> {
        let result = value.call_method0(method)?;
        self.value(&result);
        Ok(())
    }

    fn scalar(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let item = value.call_method0("item")?;
        // A long double's item is a long double again.
        if item.get_type().is(value.get_type()) {
            let text = value.str()?;
            self.string(&text);
        } else {
            self.value(&item);
        }
        Ok(())
    }

    fn int(&mut self, value: &Bound<'py, PyAny>) {
        match value.extract::<i64>() {
            Ok(small) => self.out.int(small),
            Err(_) => match self.big(value) {
                Ok(Some(big)) if big.is_readable() => self.out.big(&big),
                Ok(Some(big)) => self.out.text(&big.decimal()),
                Ok(None) => self.out.text("…<clipped int>"),
                Err(error) => self.failed(value, &error),
            },
        }
    }

    fn big(&self, value: &Bound<'py, PyAny>) -> PyResult<Option<Big>> {
        let class = self.py.get_type::<PyInt>();
        let bits: u64 = class.call_method1("bit_length", (value,))?.extract()?;
        if bits > MAX_BITS || self.is_full() {
            return Ok(None);
        }
        let text = class.call_method1("__format__", (value, "#x"))?;
        Ok(Big::from_hex(&text.cast::<PyString>()?.to_cow()?))
    }

    fn bytes(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let length = value.len()?;
        let slice = PySlice::new(self.py, 0, MAX_TEXT as isize, 1);
        let part = if length > MAX_TEXT { value.get_item(slice)? } else { value.clone() };
        let bytes = if let Ok(bytes) = part.cast::<PyBytes>() {
            bytes.as_bytes().to_vec()
        } else if let Ok(array) = part.cast::<PyByteArray>() {
            array.to_vec()
        } else {
            part.call_method0("tobytes")?.extract()?
        };
        let cut = length.saturating_sub(MAX_TEXT);
        match String::from_utf8(bytes) {
            Ok(text) => self.text(&text, cut),
            Err(error) => self.text(&escaped(error.as_bytes()), cut),
        }
        Ok(())
    }

    /// Writes a `str`, clipped.
    pub(crate) fn string(&mut self, value: &Bound<'py, PyString>) {
        let length = value.len().unwrap_or_default();
        let slice = || value.get_item(PySlice::new(self.py, 0, MAX_TEXT as isize, 1)).ok()?.cast_into().ok();
        let part = if length > MAX_TEXT { slice() } else { None };
        let text = part.as_ref().unwrap_or(value);
        let cut = length.saturating_sub(MAX_TEXT);
        match text.to_cow() {
            Ok(plain) => self.text(&plain, cut),
            Err(_) => self.text(&plain_text(text), cut),
        }
    }

    /// Writes text of which `cut` more characters were left out already.
    pub(crate) fn text(&mut self, text: &str, cut: usize) {
        let room = self.limit.saturating_sub(self.out.len());
        // Six bytes are what a control character takes in JSON.
        if cut == 0 && text.len() <= MAX_TEXT && text.len().saturating_mul(6) <= room {
            self.out.text(text);
            return;
        }
        let kept = prefix(text, MAX_TEXT, room);
        let cut = cut + text.get(kept.len()..).unwrap_or_default().chars().count();
        if cut == 0 {
            self.out.text(kept);
        } else {
            self.out.text(&format!("{kept}…<clipped {cut}>"));
        }
    }

    fn list(&mut self, list: &Bound<'py, PyList>) -> PyResult<()> {
        self.out.open_list();
        self.items(list.iter().map(Ok), list.len(), false);
        self.out.close_list();
        Ok(())
    }

    fn tuple(&mut self, tuple: &Bound<'py, PyTuple>) -> PyResult<()> {
        self.out.open_tuple();
        self.items(tuple.iter().map(Ok), tuple.len(), false);
        self.out.close_tuple();
        Ok(())
    }

    fn iterable(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let length = value.len().unwrap_or_default();
        let items = value.try_iter()?;
        self.out.open_list();
        self.items(items, length, true);
        self.out.close_list();
        Ok(())
    }

    fn items(
        &mut self,
        items: impl Iterator<Item = PyResult<Bound<'py, PyAny>>>,
        length: usize,
        lasts: bool,
    ) {
        for (at, item) in items.enumerate() {
            self.out.item();
            if at >= MAX_ITEMS || self.is_full() {
                self.out.text(&format!("…<clipped {}>", length.saturating_sub(at)));
                break;
            }
            match item {
                // Going on may be what takes long.
                Ok(item) if !lasts || !self.is_late() => self.value(&item),
                Ok(_) => {
                    let mark = self.passed_over("items");
                    self.out.text(&mark);
                    break;
                }
                Err(error) => {
                    self.broken("item", &error);
                    break;
                }
            }
        }
    }

    /// Writes a dict that nobody else changes meanwhile: a copy.
    pub(crate) fn dict(&mut self, copy: &Bound<'py, PyDict>) -> PyResult<()> {
        self.out.open_map();
        for (at, (name, value)) in copy.iter().enumerate() {
            if at >= MAX_ITEMS || self.is_full() {
                self.clipped_names(copy.len() - at);
                break;
            }
            let name = self.name(&name);
            self.out.key(&name);
            self.value(&value);
        }
        self.out.close_map();
        Ok(())
    }

    fn mapping(&mut self, value: &Bound<'py, PyAny>) -> PyResult<()> {
        let copy = PyDict::new(self.py);
        for (at, name) in value.try_iter()?.enumerate() {
            let name = name?;
            // One more than allowed, so that the clipping shows.
            if at > MAX_ITEMS || self.is_late() {
                break;
            }
            let item = value.get_item(&name)?;
            copy.set_item(name, item)?;
        }
        self.dict(&copy)
    }

    fn attributes(&mut self, value: &Bound<'py, PyAny>, names: &[String]) -> PyResult<()> {
        self.out.open_map();
        for (at, name) in names.iter().enumerate() {
            if at >= MAX_ITEMS || self.is_full() {
                self.clipped_names(names.len() - at);
                break;
            }
            self.out.key(name);
            if !self.may_run() {
                let mark = self.passed_over(name);
                self.out.text(&mark);
                continue;
            }
            match value.getattr(name.as_str()) {
                Ok(item) => self.value(&item),
                Err(error) => self.broken(name, &error),
            }
        }
        self.out.close_map();
        Ok(())
    }

    /// The mark for names left out of a mapping.
    pub(crate) fn clipped_names(&mut self, cut: usize) {
        self.out.key("…");
        self.out.text(&format!("<clipped {cut}>"));
    }

    /// A mapping's key as a name.
    pub(crate) fn name(&self, key: &Bound<'py, PyAny>) -> String {
        if let Ok(text) = key.cast_exact::<PyString>() {
            return clipped_name(&plain_text(text));
        }
        if key.is_none() {
            return "null".to_owned();
        }
        if let Ok(truth) = key.cast_exact::<PyBool>() {
            return truth.is_true().to_string();
        }
        let kind = kind(&key.get_type());
        if kind == Kind::Bytes
            && let Ok(bytes) = key.cast::<PyBytes>()
        {
            return clipped_name(&escaped(bytes.as_bytes()));
        }
        if !matches!(kind, Kind::Int | Kind::Float) && !self.may_run() {
            return self.passed_over(&type_name(key));
        }
        match key.str() {
            Ok(text) => clipped_name(&plain_text(&text)),
            Err(error) => self.unrepresentable(&type_name(key), &error),
        }
    }

    fn failed(&mut self, value: &Bound<'py, PyAny>, error: &PyErr) {
        self.broken(&type_name(value), error);
    }

    fn broken(&mut self, name: &str, error: &PyErr) {
        let mark = self.unrepresentable(name, error);
        self.out.text(&mark);
    }

    /// The mark for what raised when it was looked at.
    pub(crate) fn unrepresentable(&self, name: &str, error: &PyErr) -> String {
        self.pass_on(error);
        format!("<unrepresentable {name}: {}>", error_name(self.py, error))
    }

    /// Keeps Ctrl-C for later if this is it; other errors are only shown.
    pub(crate) fn pass_on(&self, error: &PyErr) {
        if error.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(self.py) {
            self.interrupted.set(true);
        }
    }
}

/// The text of a `str`; lone surrogates are written as `\udc80`.
pub(crate) fn plain_text(text: &Bound<'_, PyString>) -> String {
    match text.to_cow() {
        Ok(plain) => plain.into_owned(),
        Err(_) => text
            .call_method1("encode", ("utf-8", "backslashreplace"))
            .and_then(|bytes| bytes.extract::<Vec<u8>>())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default(),
    }
}

/// The name of a value's type.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    class_name(&value.get_type())
}

/// The name of a type.
pub(crate) fn class_name(class: &Bound<'_, PyType>) -> String {
    class.name().map_or_else(|_| "object".to_owned(), |name| clipped_name(&plain_text(&name)))
}

/// The name of an error's type.
pub(crate) fn error_name(py: Python<'_>, error: &PyErr) -> String {
    type_name(error.value(py).as_any())
}

fn clipped_name(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        None => name.to_owned(),
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()),
    }
}

fn names(fields: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    fields.try_iter()?.map(|name| name?.extract()).collect()
}

/// The fields of an attrs class.
fn attrs(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    let fields = value.get_type().getattr("__attrs_attrs__")?;
    fields.try_iter()?.map(|field| field?.getattr("name")?.extract()).collect()
}

/// Bytes that are no UTF-8, each bad one as `\xff`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// As much of the text as fits into `most` bytes, and into `room` bytes once written.
fn prefix(text: &str, most: usize, room: usize) -> &str {
    let mut written = 0;
    for (at, char) in text.char_indices() {
        written += match char {
            '\0'..='\x1f' => 6,
            '"' | '\\' => 2,
            other => other.len_utf8(),
        };
        if at + char.len_utf8() > most || written > room {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}
