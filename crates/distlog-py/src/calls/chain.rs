//! The handlers that a call reaches: the logger's, its parent's, and so on.
//!
//! If there is one, and it is distlog's own with nothing replaced, the call needs no record.

use std::sync::Arc;

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList};

use super::Call;
use super::logger::{self, Known};
use super::standard::Standard;
use crate::handler::Core;

/// Who is to have the record.
pub(super) enum Reached {
    /// There is no handler at all, on which the standard library has a word.
    Nobody,
    /// Handlers there are, but none that takes this level.
    Deaf,
    /// One of distlog's own, which takes messages in the form of this letter.
    Ours(Py<Core>, u8),
    /// Others, or several.
    Others,
}

/// Looks for handlers as the standard library would.
pub(super) fn reached(call: &Call<'_, '_>, standard: &Standard) -> PyResult<Reached> {
    let py = call.logger.py();
    let mut reached = Reached::Nobody;
    look(standard, &mut reached, call.known.handlers.bind(py), call.levelno)?;
    let mut next = call.known.parent.as_ref().map(|parent| parent.clone_ref(py));
    while let Some(logger) = next {
        if let Reached::Others = reached {
            break;
        }
        let Some(known) = usual(standard, logger.bind(py))? else { return Ok(Reached::Others) };
        look(standard, &mut reached, known.handlers.bind(py), call.levelno)?;
        next = known.parent.as_ref().map(|parent| parent.clone_ref(py));
    }
    Ok(reached)
}

/// What is known of a logger further up, if it is an accelerated one.
fn usual(standard: &Standard, logger: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Known>>> {
    if Standard::of(logger).is_some() { logger::known(standard, logger) } else { Ok(None) }
}

fn look(
    standard: &Standard,
    reached: &mut Reached,
    handlers: &Bound<'_, PyList>,
    levelno: i64,
) -> PyResult<()> {
    for handler in handlers.iter() {
        let level = handler.getattr(intern!(handler.py(), "level"))?;
        let is_deaf = level
            .cast_exact::<PyInt>()
            .is_ok_and(|level| level.extract().is_ok_and(|level: i64| level > levelno));
        *reached = match reached {
            Reached::Nobody | Reached::Deaf if is_deaf => Reached::Deaf,
            Reached::Nobody | Reached::Deaf => ours(standard, handler),
            _ if is_deaf => continue,
            _ => Reached::Others,
        };
    }
    Ok(())
}

fn ours(standard: &Standard, handler: Bound<'_, PyAny>) -> Reached {
    if !standard.is_our_handler(&handler) {
        return Reached::Others;
    }
    match handler.cast_into::<Core>() {
        Ok(core) => match core.get().form(core.py()) {
            Some(form) => Reached::Ours(core.unbind(), form),
            None => Reached::Others,
        },
        Err(_) => Reached::Others,
    }
}
