//! The standard library's logging as it came, and whether it still is so.
//!
//! Programs replace parts of it: libraries that report errors their `callHandlers`, tests anything. A call may do without a method of the
//! standard library only if that is the one that came with the interpreter, in the class and in the logger itself, and its module's
//! switches are as they were.
//!
//! That no class of a logger has changed, interpreters up to 3.12 tell in one word: they mark a class when its methods are looked up for
//! the first time, and unmark it and all below it when one of them changes. So a class below the loggers' that nobody else knows is
//! marked while all is as it came. Where marks do not work like this, which is tried out once, each method is looked at, at each call.

use crate::once::Once;
use crate::once::intern;
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyString, PySuper, PyType};

use super::Method;
use crate::record;

/// What a call goes through between the level's method and the handlers, and what `isEnabledFor` asks.
const METHODS: [&str; 6] = ["isEnabledFor", "_log", "findCaller", "makeRecord", "handle", "callHandlers"];
/// What it asks of the module.
const FUNCTIONS: [&str; 2] = ["currentframe", "_is_internal_frame"];
/// The methods that log at a level of their own, or at any.
pub(super) const LEVELS: [&str; 8] =
    ["debug", "info", "warning", "error", "exception", "critical", "fatal", "log"];
static STANDARD: Once<Standard> = Once::new();

/// A name, and what it stood for.
type Original = (Py<PyString>, Option<Py<PyAny>>);

/// A class whose instances are called.
pub(super) struct Class {
    class: Py<PyType>,
    /// What it has itself, and what the others above it have but `Logger`; the last has the methods at levels.
    names: Vec<Names>,
    /// The methods at levels, as it has them.
    levels: Vec<Original>,
    /// A class below it, for its mark.
    marked: Option<Py<PyType>>,
}

/// `Py_TPFLAGS_VALID_VERSION_TAG`, the mark.
const MARK: u64 = 1 << 19;

/// What a class has itself.
struct Names {
    names: Py<PyDict>,
    length: usize,
    /// Methods that calls go through, and that it has not.
    absent: Vec<Py<PyString>>,
}

/// The standard library as it came.
pub(super) struct Standard {
    classes: [Class; 2],
    logging: Py<PyDict>,
    logger: Py<PyDict>,
    filterer: Py<PyDict>,
    levels: Vec<Original>,
    methods: Vec<Original>,
    filter: Original,
    functions: Vec<Original>,
    /// Methods that an attribute of a logger would stand before.
    sensitive: Vec<Py<PyString>>,
    /// Names that `extra` may not have.
    reserved: Py<PyDict>,
    record: Py<PyAny>,
    /// The module `sys`: at the very end it cannot be imported.
    system: Py<PyAny>,
    /// distlog's record factory.
    ours: Py<PyAny>,
    /// distlog's handler.
    handler: Py<PyType>,
    /// What the handler's class has itself. Whatever is put before a native method of it makes this longer.
    handlers_own: Names,
}

/// Who makes records.
pub(super) enum Factory {
    Ours,
    Standard(Py<PyAny>),
    /// It may look at who calls it.
    Foreign,
}

/// Tells of the two classes whose instances are called, one below `Logger` and one below `RootLogger`, and of distlog's handler. Only the first call counts.
#[pyfunction]
pub(crate) fn register_loggers(
    logger: &Bound<'_, PyType>,
    root: &Bound<'_, PyType>,
    handler: &Bound<'_, PyType>,
) -> PyResult<()> {
    STANDARD.get_or_try_init(logger.py(), || Standard::find(logger, root, handler))?;
    Ok(())
}

/// The method at this place of [`LEVELS`] that the logger would have without the fast ones.
pub(super) fn inherited<'py>(logger: &Bound<'py, PyAny>, place: usize) -> PyResult<Bound<'py, PyAny>> {
    let py = logger.py();
    let name = LEVELS.get(place).copied().unwrap_or_default();
    let missing = || PyAttributeError::new_err(format!("no method {name} of loggers"));
    let standard = STANDARD.get(py).ok_or_else(missing)?;
    for known in &standard.classes {
        let class = known.class.bind(py);
        if logger.is_instance(class)? {
            let method = PySuper::new(class, logger)?.getattr(name)?;
            // Only if somebody deleted the standard library's: then this would lead here again.
            return if method.is_instance_of::<PyCFunction>() { Err(missing()) } else { Ok(method) };
        }
    }
    Err(missing())
}

impl Standard {
    /// Of a logger whose class is one of the two, and the class.
    pub(super) fn of(logger: &Bound<'_, PyAny>) -> Option<(&'static Self, &'static Class)> {
        let standard = STANDARD.get(logger.py())?;
        let class = logger.get_type();
        Some((standard, standard.classes.iter().find(|known| known.class.is(&class))?))
    }

    /// Whether a logger with these attributes has one instead of a method that calls go through.
    pub(super) fn stands_before_a_method(&self, attributes: &Bound<'_, PyDict>) -> PyResult<bool> {
        for name in &self.sensitive {
            if attributes.contains(name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the module finds callers as ever.
    pub(super) fn finds_callers(&self, py: Python<'_>) -> PyResult<bool> {
        are_still(self.logging.bind(py), &self.functions)
    }

    /// What is being handled now, as `exc_info=True` means it.
    pub(super) fn exception<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.system.bind(py).call_method0(intern!(py, "exc_info"))
    }

    /// Whether no name of `extra` is a record's own.
    pub(super) fn may_be_extra(&self, extra: &Bound<'_, PyDict>) -> PyResult<bool> {
        let reserved = self.reserved.bind(extra.py());
        for (name, _) in extra.iter() {
            if !name.is_exact_instance_of::<PyString>() || reserved.contains(name)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether this is distlog's handler, and of a class that nobody has touched.
    pub(super) fn is_our_handler(&self, handler: &Bound<'_, PyAny>) -> bool {
        self.handler.is(handler.get_type())
            && self.handlers_own.names.bind(handler.py()).len() == self.handlers_own.length
    }

    /// Who makes records.
    pub(super) fn factory(&self, py: Python<'_>) -> PyResult<Factory> {
        let factory = self.logging.bind(py).get_item(intern!(py, "_logRecordFactory"))?;
        Ok(match factory {
            Some(factory) if factory.is(&self.ours) && !record::is_chained() => Factory::Ours,
            Some(factory) if factory.is(&self.record) => Factory::Standard(factory.unbind()),
            _ => Factory::Foreign,
        })
    }

    fn find(
        logger: &Bound<'_, PyType>,
        root: &Bound<'_, PyType>,
        handler: &Bound<'_, PyType>,
    ) -> PyResult<Self> {
        let py = logger.py();
        let logging = py.import("logging")?;
        let globals = logging.dict();
        let origin = logging.getattr("getLogger")?.getattr("__code__")?.getattr("co_filename")?;
        let of_logger = names_of(logging.getattr("Logger")?.cast()?)?;
        let of_filterer = names_of(logging.getattr("Filterer")?.cast()?)?;
        let root_logger = logging.getattr("RootLogger")?.cast_into::<PyType>()?;
        let method = |names: &Bound<'_, PyDict>, name: &str| original(names, name, &origin);
        let sensitive = METHODS.iter().chain(&LEVELS).chain(&["filter"]);
        let sample = logging.getattr("LogRecord")?.call1(("", 0, "", 0, "", (), py.None()))?;
        let reserved = sample.getattr("__dict__")?.cast_into::<PyDict>()?.copy()?;
        reserved.set_item("message", ())?;
        reserved.set_item("asctime", ())?;
        Ok(Self {
            classes: [Class::find(logger, &[])?, Class::find(root, &[&root_logger, logger])?],
            levels: LEVELS.iter().map(|name| method(&of_logger, name)).collect::<PyResult<_>>()?,
            methods: METHODS.iter().map(|name| method(&of_logger, name)).collect::<PyResult<_>>()?,
            filter: method(&of_filterer, "filter")?,
            functions: functions(&globals, &origin)?,
            sensitive: sensitive.map(|name| PyString::intern(py, name).unbind()).collect(),
            reserved: reserved.unbind(),
            record: logging.getattr("LogRecord")?.unbind(),
            system: py.import("sys")?.into_any().unbind(),
            handler: handler.clone().unbind(),
            handlers_own: Names::of(handler)?,
            ours: py.import("distlog._distlog")?.getattr("make_record")?.unbind(),
            logging: globals.unbind(),
            logger: of_logger.unbind(),
            filterer: of_filterer.unbind(),
        })
    }
}

impl Class {
    /// Whether a call of this method of a logger of this class goes through what came with the interpreter.
    pub(super) fn is_as_it_came(
        &self,
        py: Python<'_>,
        standard: &Standard,
        method: &Method,
    ) -> PyResult<bool> {
        let Some(marked) = self.marked.as_ref().map(|marked| marked.bind(py)) else {
            return self.has_all(py, standard, &[Some(method.place), method.through]);
        };
        if is_marked(marked)? {
            return Ok(true);
        }
        let is_fine = self.has_all(py, standard, &std::array::from_fn::<_, { LEVELS.len() }, _>(Some))?;
        if is_fine {
            mark(marked)?;
        }
        Ok(is_fine)
    }

    fn has_all(&self, py: Python<'_>, standard: &Standard, levels: &[Option<usize>]) -> PyResult<bool> {
        let logger = standard.logger.bind(py);
        let own = self.names.last().map(|own| own.names.bind(py));
        for place in levels.iter().flatten() {
            if !is_still_at(logger, &standard.levels, *place)?
                || !own.map_or(Ok(false), |own| is_still_at(own, &self.levels, *place))?
            {
                return Ok(false);
            }
        }
        Ok(are_still(logger, &standard.methods)?
            && is_still(standard.filterer.bind(py), &standard.filter)?
            && self.is_untouched(py)?)
    }

    /// Whether it is as it was made, as far as calls are concerned. Programs may add methods of their own.
    fn is_untouched(&self, py: Python<'_>) -> PyResult<bool> {
        for known in &self.names {
            let names = known.names.bind(py);
            if names.len() != known.length {
                for name in &known.absent {
                    if names.contains(name)? {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// `above`: other classes that must stay as they are.
    fn find(class: &Bound<'_, PyType>, above: &[&Bound<'_, PyType>]) -> PyResult<Self> {
        let py = class.py();
        let names: Vec<Names> =
            [class].iter().chain(above).map(|class| Names::of(class)).collect::<PyResult<_>>()?;
        let own = names_of(above.last().unwrap_or(&class))?;
        let level =
            |name: &&str| Ok((PyString::intern(py, name).unbind(), own.get_item(*name)?.map(Bound::unbind)));
        let levels = LEVELS.iter().map(level).collect::<PyResult<_>>()?;
        let marked = if marks_tell(py)? { Some(below(class)?.unbind()) } else { None };
        Ok(Self { class: class.clone().unbind(), names, levels, marked })
    }
}

impl Names {
    fn of(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let py = class.py();
        let names = names_of(class)?;
        let mut absent = Vec::new();
        for name in METHODS.iter().chain(&LEVELS).chain(&["filter"]) {
            if !names.contains(*name)? {
                absent.push(PyString::intern(py, name).unbind());
            }
        }
        Ok(Self { length: names.len(), absent, names: names.unbind() })
    }
}

fn is_marked(class: &Bound<'_, PyType>) -> PyResult<bool> {
    let flags: u64 = class.getattr(intern!(class.py(), "__flags__"))?.extract()?;
    Ok(flags & MARK != 0)
}

/// Has the interpreter look a method up.
fn mark(class: &Bound<'_, PyType>) -> PyResult<()> {
    class.getattr(intern!(class.py(), "__init__")).map(drop)
}

fn below<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyType>> {
    let py = class.py();
    let name = class.name()?;
    Ok(py.get_type::<PyType>().call1((name, (class,), PyDict::new(py)))?.cast_into()?)
}

/// Whether the interpreter marks classes, and unmarks them when something above them changes.
fn marks_tell(py: Python<'_>) -> PyResult<bool> {
    let above = below(&py.get_type::<PyAny>())?;
    let class = below(&below(&above)?)?;
    let mut tells = true;
    for change in ["first", "first", "second"] {
        mark(&class)?;
        tells &= is_marked(&class)?;
        above.setattr(change, 0)?;
        tells &= !is_marked(&class)?;
    }
    mark(&class)?;
    above.delattr("first")?;
    Ok(tells && !is_marked(&class)?)
}

/// The functions of the module, and the name of its file, which says where calls come from.
fn functions(globals: &Bound<'_, PyDict>, origin: &Bound<'_, PyAny>) -> PyResult<Vec<Original>> {
    let py = globals.py();
    let mut found = Vec::new();
    for name in FUNCTIONS {
        // The latter came with 3.11.
        if globals.contains(name)? {
            found.push(original(globals, name, origin)?);
        }
    }
    let file = py.import("os.path")?.call_method1("normcase", (origin,))?;
    let name = PyString::intern(py, "_srcfile");
    let present = globals.get_item(&name)?.filter(|present| present.eq(&file).unwrap_or(false));
    found.push((name.unbind(), present.map(Bound::unbind)));
    Ok(found)
}

/// The dict behind a class's `__dict__`.
fn names_of<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyDict>> {
    let shown = class.getattr("__dict__")?;
    let behind = class.py().import("gc")?.call_method1("get_referents", (shown,))?;
    Ok(behind.get_item(0)?.cast_into::<PyDict>()?)
}

/// What a name stands for, if that came with the interpreter: `None`, which nothing is, for what was replaced already.
fn original(names: &Bound<'_, PyDict>, name: &str, origin: &Bound<'_, PyAny>) -> PyResult<Original> {
    let py = names.py();
    let value = names.get_item(name)?.filter(|value| {
        let file = value.getattr("__code__").and_then(|code| code.getattr("co_filename"));
        file.is_ok_and(|file| file.eq(origin).unwrap_or(false))
            && !value.hasattr("__wrapped__").unwrap_or(true)
    });
    Ok((PyString::intern(py, name).unbind(), value.map(Bound::unbind)))
}

fn is_still(names: &Bound<'_, PyDict>, (name, value): &Original) -> PyResult<bool> {
    let present = names.get_item(name)?;
    Ok(present.zip(value.as_ref()).is_some_and(|(present, value)| value.is(&present)))
}

fn is_still_at(names: &Bound<'_, PyDict>, originals: &[Original], place: usize) -> PyResult<bool> {
    originals.get(place).map_or(Ok(false), |original| is_still(names, original))
}

fn are_still(names: &Bound<'_, PyDict>, originals: &[Original]) -> PyResult<bool> {
    for original in originals {
        if !is_still(names, original)? {
            return Ok(false);
        }
    }
    Ok(true)
}
