//! Records to bytes: [`record`] walks a `LogRecord`, [`value`] writes any value, [`writer`] knows the two forms.

pub(crate) mod call;
mod clock;
mod exception;
mod frames;
mod kind;
mod message;
mod number;
mod record;
mod repeated;
pub(crate) mod stamp;
mod summary;
pub(crate) mod value;
pub(crate) mod writer;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::teardown;

pub(crate) use record::hostname;
use writer::Json;

pub(crate) use record::Taken;

/// The record as one JSON object in UTF-8. Never raises, never changes the record.
#[pyfunction]
pub(crate) fn encode_json<'py>(record: &Bound<'py, PyAny>) -> Bound<'py, PyBytes> {
    let Some(_inside) = teardown::enter(record.py()) else { return PyBytes::new(record.py(), b"{}") };
    Taken::of(record).json(|body, _| PyBytes::new(record.py(), body))
}

/// The record as a pickled dict of builtins. Never raises, never changes the record.
#[pyfunction]
pub(crate) fn encode_pickle<'py>(record: &Bound<'py, PyAny>) -> Bound<'py, PyBytes> {
    let Some(_inside) = teardown::enter(record.py()) else { return PyBytes::new(record.py(), b"}.") };
    Taken::of(record).pickle(|body, _| PyBytes::new(record.py(), body))
}

/// `msg % args` as text; where that fails, `msg` as text. Never raises.
#[pyfunction]
pub(crate) fn render(msg: &Bound<'_, PyAny>, args: &Bound<'_, PyAny>) -> String {
    let Some(_inside) = teardown::enter(msg.py()) else { return String::new() };
    message::render(&value::Encoder::<Json>::new(msg.py()), msg, Some(args)).0
}

/// `Type: message` of an exception, on one line or several as it says itself. Never raises.
#[pyfunction]
pub(crate) fn describe(exception: &Bound<'_, PyAny>) -> String {
    let Some(_inside) = teardown::enter(exception.py()) else { return String::new() };
    let encoder = value::Encoder::<Json>::new(exception.py());
    let (name, said) = (value::type_name(exception), encoder.said_by(exception));
    if said.is_empty() { name } else { format!("{name}: {said}") }
}
