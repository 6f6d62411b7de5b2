//! Which handlers a record of a logger reaches, found without Python code where that is the standard library's own.

use crate::once::Once;
use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// What decides that a record reaches a handler.
const METHODS: [&str; 4] = ["isEnabledFor", "handle", "callHandlers", "filter"];
/// Deepest nesting of loggers that is followed; more is left to Python.
const MAX_DEPTH: usize = 64;

static STANDARD: Once<Option<Vec<Method>>> = Once::new();

/// A method's name, and the standard library's own.
type Method = (Py<PyString>, Py<PyAny>);

/// Who gets a record.
pub(super) enum Reach<'py> {
    /// The logger is not enabled for the level.
    Nobody,
    Handlers(Vec<Bound<'py, PyAny>>),
    /// Only Python can tell.
    Unusual,
}

impl<'py> Reach<'py> {
    /// Of a record of this level.
    pub(super) fn of(logger: &Bound<'py, PyAny>, level: i64) -> PyResult<Self> {
        let py = logger.py();
        let Some(attributes) = usual(logger)? else { return Ok(Self::Unusual) };
        let attribute = |name: &Bound<'py, PyString>| attributes.get_item(name);
        if attribute(intern!(py, "disabled"))?.is_none_or(|disabled| disabled.is_truthy().unwrap_or(true)) {
            return Ok(Self::Nobody);
        }
        let known = attribute(intern!(py, "_cache"))?;
        let known = known.and_then(|cache| cache.cast_into_exact::<PyDict>().ok()?.get_item(level).ok()?);
        let enabled = match known {
            Some(known) => known,
            None => logger.call_method1(intern!(py, "isEnabledFor"), (level,))?,
        };
        if !enabled.is_truthy()? {
            return Ok(Self::Nobody);
        }
        let filters = attribute(intern!(py, "filters"))?;
        if !filters.is_some_and(|it| it.cast_exact::<PyList>().is_ok_and(|it| it.is_empty())) {
            return Ok(Self::Unusual);
        }
        Self::along(logger, level)
    }

    fn along(logger: &Bound<'py, PyAny>, level: i64) -> PyResult<Self> {
        let py = logger.py();
        let (mut reached, mut found) = (Vec::new(), 0);
        let mut next = logger.clone();
        for depth in 0.. {
            if depth == MAX_DEPTH {
                return Ok(Self::Unusual);
            }
            let handlers = next.getattr(intern!(py, "handlers"))?;
            let Ok(handlers) = handlers.cast_exact::<PyList>() else { return Ok(Self::Unusual) };
            for handler in handlers.iter() {
                found += 1;
                if handler.getattr(intern!(py, "level"))?.le(level)? {
                    reached.push(handler);
                }
            }
            if !next.getattr(intern!(py, "propagate"))?.is_truthy()? {
                break;
            }
            next = next.getattr(intern!(py, "parent"))?;
            if next.is_none() {
                break;
            }
        }
        // Where there is no handler at all, the standard library has a last resort.
        Ok(if found == 0 { Self::Unusual } else { Self::Handlers(reached) })
    }
}

/// The attributes of a logger with nothing but the standard library's methods.
fn usual<'py>(logger: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyDict>>> {
    let py = logger.py();
    let Some(standard) = STANDARD.get_or_try_init(py, || standard(py))? else { return Ok(None) };
    let class = logger.get_type();
    let attributes = logger.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
    for (name, method) in standard {
        if !class.getattr(name)?.is(method) || attributes.contains(name)? {
            return Ok(None);
        }
    }
    Ok(Some(attributes))
}

/// The methods as they came with the interpreter; nothing if one was replaced already, or if they do more than is known here.
fn standard(py: Python<'_>) -> PyResult<Option<Vec<Method>>> {
    let logging = py.import("logging")?;
    let logger = logging.getattr("Logger")?;
    // Interpreters that keep loggers from being called by their own handlers do so in these methods.
    if logger.hasattr("_is_disabled")? {
        return Ok(None);
    }
    let origin = logging.getattr("getLogger")?.getattr("__code__")?.getattr("co_filename")?;
    let mut methods = Vec::new();
    for name in METHODS {
        let method = logger.getattr(name)?;
        let file = method.getattr("__code__").and_then(|code| code.getattr("co_filename"));
        if !file.is_ok_and(|file| file.eq(&origin).unwrap_or(false)) {
            return Ok(None);
        }
        methods.push((PyString::intern(py, name).unbind(), method.unbind()));
    }
    Ok(Some(methods))
}
