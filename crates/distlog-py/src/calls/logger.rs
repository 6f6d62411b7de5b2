//! What a logger has: read once from its `__dict__`, and again when one of its attributes is set.
//!
//! The accelerated classes report each attribute that is set or deleted ([`forget_logger`]); what gets into the `__dict__` in other ways
//! shows in its length. Lists and dicts are held themselves, since they change in place: handlers, filters, and the logger's
//! answers to `isEnabledFor`.
//!
//! The table is locked only while the interpreter's lock is held, and never across a call into Python.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyString};

use super::standard::Standard;
use crate::site::Build;

/// Loggers that are known at most; then all are read again.
const MAX_KNOWN: usize = 4096;

static KNOWN: Mutex<Table> = Mutex::new(Table::with_hasher(Build::new()));

type Table = HashMap<usize, Arc<Known>, Build>;

/// A logger's attributes, of the types that they always have.
pub(super) struct Known {
    /// Held so that its address stays its own.
    _logger: Py<PyAny>,
    dict: Py<PyDict>,
    length: usize,
    disabled: bool,
    /// Which levels are wanted, as far as anybody asked.
    levels: Py<PyDict>,
    filters: Py<PyList>,
    pub(super) name: Py<PyString>,
    pub(super) handlers: Py<PyList>,
    /// The next one whose handlers are asked.
    pub(super) parent: Option<Py<PyAny>>,
}

/// An attribute of the logger was set, or deleted.
#[pyfunction]
pub(crate) fn forget_logger(logger: &Bound<'_, PyAny>) {
    let known = table().remove(&(logger.as_ptr() as usize));
    drop(known);
}

/// What is known of a logger; `None` if it is an unusual one, which has something of its own instead of a method, for example.
pub(super) fn known(standard: &Standard, logger: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Known>>> {
    let py = logger.py();
    let key = logger.as_ptr() as usize;
    let found = table().get(&key).map(Arc::clone);
    if let Some(known) = found.filter(|known| known.dict.bind(py).len() == known.length) {
        return Ok(Some(known));
    }
    let Some(fresh) = Known::read(standard, logger)?.map(Arc::new) else { return Ok(None) };
    let mut table = table();
    let old = if table.len() < MAX_KNOWN { Table::default() } else { std::mem::take(&mut *table) };
    let same = table.insert(key, Arc::clone(&fresh));
    // What goes may run code of others.
    drop(table);
    drop((old, same));
    Ok(Some(fresh))
}

impl Known {
    /// Whether records of this level are wanted; `None` if nobody asked yet.
    pub(super) fn enabled(&self, level: &Bound<'_, PyAny>) -> PyResult<Option<bool>> {
        if self.disabled {
            return Ok(Some(false));
        }
        let known = self.levels.bind(level.py()).get_item(level)?;
        known.map(|known| known.is_truthy()).transpose()
    }

    pub(super) fn has_no_filters(&self, py: Python<'_>) -> bool {
        self.filters.bind(py).is_empty()
    }

    fn read<'py>(standard: &Standard, logger: &Bound<'py, PyAny>) -> PyResult<Option<Self>> {
        let py = logger.py();
        let Ok(dict) = logger.getattr(intern!(py, "__dict__"))?.cast_into_exact::<PyDict>() else {
            return Ok(None);
        };
        if standard.stands_before_a_method(&dict)? {
            return Ok(None);
        }
        let field = |name: &Bound<'py, PyString>| dict.get_item(name).ok().flatten();
        let list = |name| Some(field(name)?.cast_into_exact::<PyList>().ok()?.unbind());
        let flag = |name| Some(field(name)?.cast_exact::<PyBool>().ok()?.is_true());
        let read = || {
            let parent = field(intern!(py, "parent"))?;
            // Handlers stop where this is false, and some write 0 for that.
            let propagate = field(intern!(py, "propagate"))?.is_truthy().ok()?;
            Some(Self {
                disabled: flag(intern!(py, "disabled"))?,
                levels: field(intern!(py, "_cache"))?.cast_into_exact::<PyDict>().ok()?.unbind(),
                filters: list(intern!(py, "filters"))?,
                name: field(intern!(py, "name"))?.cast_into_exact::<PyString>().ok()?.unbind(),
                handlers: list(intern!(py, "handlers"))?,
                parent: (propagate && !parent.is_none()).then(|| parent.unbind()),
                length: dict.len(),
                dict: dict.clone().unbind(),
                _logger: logger.clone().unbind(),
            })
        };
        Ok(read())
    }
}

fn table() -> std::sync::MutexGuard<'static, Table> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}
