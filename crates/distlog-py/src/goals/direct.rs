//! Begin and end records without records: where the only handler that gets one is distlog's own, with nothing replaced, the message is
//! written at once. It is the one that the record would have made.

use crate::once::Once;
use crate::once::intern;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use super::chain::Reach;
use super::logged::Place;
use super::stamp::Stamp;
use crate::encode::call::{Running, Said};
use crate::handler::Core;
use crate::record::{self, Occasion, Sources};

/// The methods of handlers that must not have been replaced.
static METHODS: Once<[Py<PyAny>; 2]> = Once::new();

/// The only handler that gets the record, if it can do without one.
pub(super) fn handler<'py>(
    reach: &Reach<'py>,
    logger: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, Core>>> {
    let py = logger.py();
    let Reach::Handlers(handlers) = reach else { return Ok(None) };
    let [handler] = handlers.as_slice() else { return Ok(None) };
    let Ok(core) = handler.cast::<Core>() else { return Ok(None) };
    if core.get().form(py).is_none() || !is_untouched(handler)? || !record::is_made_here(py, logger)? {
        return Ok(None);
    }
    Ok(Some(core.clone()))
}

fn is_untouched(handler: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = handler.py();
    let own = handler.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    let class = handler.get_type();
    let [handle, emit] = METHODS.get_or_try_init(py, || {
        let core = py.get_type::<Core>();
        PyResult::Ok([core.getattr("handle")?.unbind(), core.getattr("emit")?.unbind()])
    })?;
    let (handle_name, emit_name) = (intern!(py, "handle"), intern!(py, "emit"));
    Ok(class.getattr(handle_name)?.is(handle)
        && class.getattr(emit_name)?.is(emit)
        && !own.contains(handle_name)?
        && !own.contains(emit_name)?)
}

/// Writes and sends the message. `None` if that cannot be done: then a record with the same stamp is to be made.
pub(super) fn say<'py>(
    handler: &Bound<'py, Core>,
    logger: &Bound<'py, PyAny>,
    place: &Place,
    levelno: i64,
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    stamp: &Bound<'py, Stamp>,
) -> PyResult<Option<Occasion>> {
    match attempt(handler, logger, place, levelno, msg, args, stamp) {
        Err(error) if error.is_instance_of::<PyException>(logger.py()) => Ok(None),
        other => other,
    }
}

fn attempt<'py>(
    handler: &Bound<'py, Core>,
    logger: &Bound<'py, PyAny>,
    place: &Place,
    levelno: i64,
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    stamp: &Bound<'py, Stamp>,
) -> PyResult<Option<Occasion>> {
    let py = logger.py();
    let sources = Sources::get(py)?;
    let (Some(site), true) = (&place.site, sources.switched_on(py)) else { return Ok(None) };
    let Some(form) = handler.get().form(py) else { return Ok(None) };
    let name = logger.getattr(intern!(py, "name"))?;
    let level = PyInt::new(py, levelno).into_any();
    let (Ok(name), Some(level_name)) = (name.cast_exact::<PyString>(), sources.level_name(&level)?) else {
        return Ok(None);
    };
    let Ok(level_name) = level_name.cast_exact::<PyString>() else { return Ok(None) };
    let occasion = Occasion::now(py)?;
    let process_name = sources.process_name(py)?;
    let given: Vec<_> = args.iter_borrowed().collect();
    let said = Said {
        name,
        level_name,
        levelno,
        msg,
        args: &given,
        extra: None,
        site,
        stamp: Some(stamp.as_any()),
        moment: occasion.moment,
        running: Running {
            thread: occasion.thread.bind(py),
            thread_name: occasion.thread_name.bind(py),
            process_name: &process_name,
            process: distlog_transport::process_id(),
            task_name: occasion.task_name(py)?,
        },
    };
    if !stamp.get().announce(handler.as_any())? {
        return Ok(Some(occasion));
    }
    if said.write(form, |body| Core::queue(handler, body, levelno)).is_none() {
        // The record that is made instead will be announced once more.
        stamp.get().take_back(handler.as_any());
        return Ok(None);
    }
    // The message is on its way, whatever waiting for it comes to.
    drop(Core::settle(handler));
    Ok(Some(occasion))
}
