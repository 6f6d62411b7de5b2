//! What goal a record belongs to: the stamp that `distlog.context` puts on it.
//!
//! The stamp is the record's attribute [`ATTRIBUTE`]: an object with `parts() -> (context, goal or None)`, or that pair itself (what a
//! stamp becomes when it is pickled). Records without it were made by somebody else's record factory: then the goal that is
//! current now is asked for, and the answer is kept on the record so that several handlers agree.

use crate::once::Once;
use crate::once::intern;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::goals;
use crate::goals::stamp::Stamp;

/// The attribute's name.
pub(crate) const ATTRIBUTE: &str = "_distlog";

/// distlog's own class of records.
static RECORD: Once<Py<PyType>> = Once::new();
static STDLIB_RECORD: Once<Py<PyType>> = Once::new();

/// Tells distlog's own class of records; only the first call counts.
#[pyfunction]
pub(crate) fn register_record(py: Python<'_>, record_class: Py<PyType>) {
    RECORD.get_or_init(py, || record_class);
}

/// distlog's own class of records.
pub(crate) fn record_class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    let class =
        RECORD.get(py).ok_or_else(|| PyRuntimeError::new_err("no class of records was registered"))?;
    Ok(class.bind(py).clone())
}

/// A stamp of the goal that is current now.
pub(crate) fn current(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    goals::stamp::current(py).ok()?.map(Bound::into_any)
}

/// The record's stamp, or `None` if it belongs to no goal.
#[pyfunction]
pub(crate) fn stamp_of<'py>(record: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let dict = record.getattr(intern!(record.py(), "__dict__")).ok()?;
    find(record, dict.cast::<PyDict>().ok()?)
}

/// The same for a record with this dict; outside any goal, the dict stays as it is.
pub(crate) fn find<'py>(record: &Bound<'py, PyAny>, dict: &Bound<'py, PyDict>) -> Option<Bound<'py, PyAny>> {
    let py = record.py();
    let name = intern!(py, "_distlog");
    let is_ours = RECORD.get(py).is_some_and(|ours| ours.is(record.get_type()));
    // Others have it in their dict, or not at all: looking there costs no exception.
    let found = if is_ours { record.getattr(name).ok() } else { dict.get_item(name).ok()? };
    if let Some(stamp) = found {
        return Some(stamp).filter(|stamp| !stamp.is_none());
    }
    let stamp = current(py)?;
    // A record that takes no attributes belongs to its goal all the same.
    drop(record.setattr(name, &stamp));
    Some(stamp)
}

/// Lets the goals that the stamp names tell this handler that they began; false if the handler had the record before.
pub(crate) fn announce<'py>(stamp: &Bound<'py, PyAny>, handler: &Bound<'py, PyAny>) -> PyResult<bool> {
    if let Ok(stamp) = stamp.cast_exact::<Stamp>() {
        return stamp.get().announce(handler);
    }
    if stamp.is_instance_of::<PyTuple>() {
        return Ok(true);
    }
    stamp.call_method1(intern!(stamp.py(), "announce"), (handler,))?.is_truthy()
}

/// What a stamp says: the `context` and `goal` fields.
pub(crate) fn parts<'py>(
    stamp: &Bound<'py, PyAny>,
) -> Option<(Bound<'py, PyAny>, Option<Bound<'py, PyAny>>)> {
    if let Ok(stamp) = stamp.cast_exact::<Stamp>() {
        let (context, goal) = stamp.get().parts(stamp.py()).ok()?;
        return Some((context.into_any(), goal.map(Bound::into_any)));
    }
    let pair = match stamp.cast::<PyTuple>() {
        Ok(pair) => pair.clone(),
        Err(_) => stamp.call_method0(intern!(stamp.py(), "parts")).ok()?.cast_into().ok()?,
    };
    let goal = pair.get_item(1).ok().filter(|goal| !goal.is_none());
    Some((pair.get_item(0).ok()?, goal))
}

/// Whether the record is of a class whose `getMessage` is the standard library's.
pub(crate) fn is_ordinary(record: &Bound<'_, PyAny>) -> bool {
    let py = record.py();
    let class = record.get_type();
    if STDLIB_RECORD.get(py).is_some_and(|known| known.is(&class)) {
        return true;
    }
    let stdlib = || {
        py.import("logging")?
            .getattr("LogRecord")?
            .cast_into::<PyType>()
            .map(Bound::unbind)
            .map_err(PyErr::from)
    };
    RECORD.get(py).is_some_and(|ours| ours.is(&class))
        || STDLIB_RECORD.get_or_try_init(py, stdlib).is_ok_and(|known| known.is(&class))
}
