//! The handlers that a call reaches: the logger's, its parent's, and so on.

use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

use super::Call;
use super::logger::{self, Known};
use super::standard::Standard;

/// Who is to have the record.
#[derive(PartialEq)]
pub(super) enum Reached {
    /// There is no handler at all, on which the standard library has a word.
    Nobody,
    /// Handlers there are, but none that takes this level.
    Deaf,
    /// Others than distlog's own.
    Others,
}

/// Looks for handlers as the standard library would.
pub(super) fn reached(call: &Call<'_, '_>, standard: &Standard) -> PyResult<Reached> {
    let py = call.logger.py();
    let mut reached = look(call.known.handlers.bind(py), call.levelno)?;
    let mut next = call.known.parent.as_ref().map(|parent| parent.clone_ref(py));
    while let Some(logger) = next {
        if reached == Reached::Others {
            break;
        }
        let Some(known) = usual(standard, logger.bind(py))? else { return Ok(Reached::Others) };
        let here = look(known.handlers.bind(py), call.levelno)?;
        if here != Reached::Nobody {
            reached = here;
        }
        next = known.parent.as_ref().map(|parent| parent.clone_ref(py));
    }
    Ok(reached)
}

/// What is known of a logger further up, if it is an accelerated one.
fn usual(standard: &Standard, logger: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Known>>> {
    if Standard::of(logger).is_some() { logger::known(standard, logger) } else { Ok(None) }
}

fn look(handlers: &Bound<'_, PyList>, levelno: i64) -> PyResult<Reached> {
    let mut reached = Reached::Nobody;
    for handler in handlers.iter() {
        let level = handler.getattr(intern!(handler.py(), "level"))?;
        if !level
            .cast_exact::<PyInt>()
            .is_ok_and(|level| level.extract().is_ok_and(|level: i64| level > levelno))
        {
            return Ok(Reached::Others);
        }
        reached = Reached::Deaf;
    }
    Ok(reached)
}
