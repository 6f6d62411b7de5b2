//! The record factory: the standard library's records, made in a fraction of its time.
//!
//! `logging.LogRecord.__init__` is the dearest part of a logging call, and most of what it finds out is the same each time.
//! [`make_record`] is for `logging.setLogRecordFactory`: it gives records with the same attributes, in the same order, with the same values
//! as the interpreter's own, and the stamp of the goal that is current.
//!
//! The first record of a place is made by the interpreter, and its attributes are kept as a [`Template`]. Later records are copies of it
//! with what varies put in: message, arguments, exception, time, and whatever else turns out to be different. What a program may have
//! replaced or switched off (`time.time`, `threading.get_ident`, the flags of `logging`, names of levels, threads and processes) is looked at
//! each time. All that is unusual is left to the interpreter's own `__init__`, errors included.
//!
//! A factory that was there before is chained: it makes the record, and the stamp is put on it.

use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::once::Once;
use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString, PyTuple, PyType};

use crate::encode::call::Moment;
use crate::encode::stamp;
use crate::goals;
use crate::teardown;

/// How many places are remembered; a power of two.
const PLACES: usize = 1024;

/// The attributes of a record; from 3.12 on also `taskName`.
const ATTRIBUTES: [&str; 20] = [
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
];

/// Locked only while the interpreter's lock is held, and never across a call into Python: so never locked during a fork.
static TEMPLATES: Mutex<Vec<Option<Arc<Template>>>> = Mutex::new(Vec::new());
/// The factory that makes the records, if it is not this one. Locked as the templates are.
static PREVIOUS: Mutex<Option<Py<PyAny>>> = Mutex::new(None);
static SOURCES: Once<Sources> = Once::new();

thread_local! {
    /// The thread's ident as Python has it.
    static IDENT: OnceCell<Py<PyAny>> = const { OnceCell::new() };
}

/// A record as the interpreter's own factory makes it, with the stamp of the current goal.
#[pyfunction]
#[pyo3(signature = (name, level, pathname, lineno, msg, args, exc_info, func=None, sinfo=None, **kwargs))]
#[expect(clippy::too_many_arguments, reason = "the standard library's signature")]
pub(crate) fn make_record<'py>(
    name: &Bound<'py, PyAny>,
    level: &Bound<'py, PyAny>,
    pathname: &Bound<'py, PyAny>,
    lineno: &Bound<'py, PyAny>,
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyAny>,
    exc_info: &Bound<'py, PyAny>,
    func: Option<&Bound<'py, PyAny>>,
    sinfo: Option<&Bound<'py, PyAny>>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = name.py();
    let _inside = teardown::enter_or_stay(py);
    let none = py.None().into_bound(py);
    let (func, sinfo) = (func.unwrap_or(&none), sinfo.unwrap_or(&none));
    Call { name, level, pathname, lineno, msg, args, exc_info, func, sinfo }.stamped(kwargs)
}

/// Whether another factory makes the records.
pub(crate) fn is_chained() -> bool {
    PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// From now on this factory makes the records, and [`make_record`] only puts its stamp on them; `None`: its own.
#[pyfunction]
#[pyo3(signature = (factory))]
pub(crate) fn chain_factory(factory: Option<Py<PyAny>>) {
    let old = {
        let mut previous = PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *previous, factory)
    };
    // Only now that nothing is locked: what goes may run code of its own.
    drop(old);
}

/// Whether this logger's records are made here and nowhere else.
pub(crate) fn is_made_here(py: Python<'_>, logger: &Bound<'_, PyAny>) -> PyResult<bool> {
    if PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        return Ok(false);
    }
    let sources = Sources::get(py)?;
    let factory = sources.logging.bind(py).get_item(intern!(py, "_logRecordFactory"))?;
    let name = intern!(py, "makeRecord");
    Ok(factory.is_some_and(|factory| factory.is(&sources.factory))
        && logger.get_type().getattr(name)?.is(&sources.logger_makes)
        && !logger.getattr(intern!(py, "__dict__"))?.contains(name)?)
}

/// The logger of this name.
pub(crate) fn logger<'py>(py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let sources = Sources::get(py)?;
    let loggers = sources.manager.bind(py).getattr(intern!(py, "loggerDict"))?;
    if let Ok(loggers) = loggers.cast_exact::<PyDict>()
        && let Some(found) = loggers.get_item(name)?
        && found.is_instance(sources.logger_class.bind(py))?
    {
        return Ok(found);
    }
    sources.get_logger.bind(py).call1((name,))
}

/// A record of distlog's class with these attributes and without a stamp.
pub(crate) fn blank<'py>(py: Python<'py>, attributes: Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let sources = Sources::get(py)?;
    let record = sources.new.bind(py).call1(sources.new_arguments.bind(py))?;
    // Not `PyObject_GenericSetDict`: since 3.13 it has no effect on an object whose attributes lie inside it.
    record.setattr(intern!(py, "__dict__"), attributes)?;
    Ok(record)
}

/// The factory that makes the records, if it is not this one.
#[pyfunction]
pub(crate) fn chained_factory(py: Python<'_>) -> Option<Py<PyAny>> {
    PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|it| it.clone_ref(py))
}

/// The arguments of a record.
pub(crate) struct Call<'a, 'py> {
    pub(crate) name: &'a Bound<'py, PyAny>,
    pub(crate) level: &'a Bound<'py, PyAny>,
    pub(crate) pathname: &'a Bound<'py, PyAny>,
    pub(crate) lineno: &'a Bound<'py, PyAny>,
    pub(crate) msg: &'a Bound<'py, PyAny>,
    pub(crate) args: &'a Bound<'py, PyAny>,
    pub(crate) exc_info: &'a Bound<'py, PyAny>,
    pub(crate) func: &'a Bound<'py, PyAny>,
    pub(crate) sinfo: &'a Bound<'py, PyAny>,
}

impl<'py> Call<'_, 'py> {
    /// What [`make_record`] gives.
    pub(crate) fn stamped(&self, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.name.py();
        let stamp = goals::stamp::current(py)?;
        let record = match chained_factory(py) {
            Some(factory) => self.given_to(factory.bind(py), kwargs)?,
            None => self.record(kwargs)?,
        };
        record.setattr(intern!(py, "_distlog"), stamp)?;
        Ok(record)
    }

    /// A record of distlog's class, without a stamp.
    pub(crate) fn record(&self, kwargs: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.name.py();
        let sources = Sources::get(py)?;
        let usual = self.usual(sources);
        if let Some(usual) = &usual
            && let Ok(Some(fields)) = self.fields(usual, sources)
        {
            return blank(py, fields);
        }
        // Whatever it is, the interpreter knows what to do about it.
        let record = self.given_to(sources.record.bind(py).as_any(), kwargs)?;
        if let Some(usual) = usual {
            usual.keep(self, &record)?;
        }
        Ok(record)
    }

    /// What this factory makes of the arguments.
    pub(crate) fn given_to(
        &self,
        factory: &Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let origin = [self.name, self.level, self.pathname, self.lineno];
        let said = [self.msg, self.args, self.exc_info, self.func, self.sinfo];
        let all = origin.into_iter().chain(said).collect::<Vec<_>>();
        factory.call(PyTuple::new(self.name.py(), all)?, kwargs)
    }

    /// The call, if it is like those that loggers make.
    fn usual(&self, sources: &Sources) -> Option<Usual<'_, 'py>> {
        let path = self.pathname.cast_exact::<PyString>().ok()?;
        let line: u32 = self.lineno.cast_exact::<PyInt>().ok()?.extract().ok()?;
        self.level.cast_exact::<PyInt>().ok()?;
        let args = arguments(self.args, sources).ok()??;
        sources.switched_on(path.py()).then_some(Usual { path, line, args })
    }

    /// The attributes of the record; `None` if no record of this place was seen yet.
    fn fields(&self, usual: &Usual<'_, 'py>, sources: &Sources) -> PyResult<Option<Bound<'py, PyDict>>> {
        let py = self.name.py();
        let Some(template) = usual.template(self.func) else { return Ok(None) };
        let Some(time) = Time::now(sources, py)? else { return Ok(None) };
        let Some(level_name) = sources.level_names.bind(py).get_item(self.level)? else { return Ok(None) };
        let fields = template.fields.bind(py).copy()?;
        fields.set_item(intern!(py, "msg"), self.msg)?;
        fields.set_item(intern!(py, "args"), &usual.args)?;
        fields.set_item(intern!(py, "created"), time.created)?;
        fields.set_item(intern!(py, "msecs"), time.msecs)?;
        fields.set_item(intern!(py, "relativeCreated"), time.relative)?;
        let differs = |name: &Bound<'py, PyString>, value: &Bound<'py, PyAny>, known: &Py<PyAny>| {
            if value.is(known) { Ok(()) } else { fields.set_item(name, value) }
        };
        differs(intern!(py, "name"), self.name, &template.name)?;
        differs(intern!(py, "levelno"), self.level, &template.level)?;
        differs(intern!(py, "levelname"), &level_name, &template.level_name)?;
        let none = &sources.none;
        differs(intern!(py, "exc_info"), self.exc_info, none)?;
        differs(intern!(py, "stack_info"), self.sinfo, none)?;
        let (ident, thread_name) = sources.thread(py)?;
        differs(intern!(py, "thread"), &ident, &template.thread)?;
        differs(intern!(py, "threadName"), &thread_name, &template.thread_name)?;
        differs(intern!(py, "processName"), &sources.process_name(py)?, &template.process_name)?;
        if distlog_transport::process_id() != template.process {
            fields.set_item(intern!(py, "process"), distlog_transport::process_id())?;
        }
        if let Some(name) = sources.task_name(py) {
            fields.set_item(intern!(py, "taskName"), name)?;
        }
        Ok(Some(fields))
    }
}

/// A dict as the only argument is the arguments. `None` for what no logger gives.
fn arguments<'py>(args: &Bound<'py, PyAny>, sources: &Sources) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Ok(tuple) = args.cast_exact::<PyTuple>() else { return Ok(args.is_none().then(|| args.clone())) };
    if tuple.len() == 1 {
        let only = tuple.get_item(0)?;
        let plain = only.is_exact_instance_of::<PyString>() || only.is_exact_instance_of::<PyInt>();
        if !plain && only.is_instance(sources.mapping.bind(args.py()))? && only.is_truthy()? {
            return Ok(Some(only));
        }
    }
    Ok(Some(args.clone()))
}

/// What is special about a usual call.
struct Usual<'a, 'py> {
    path: &'a Bound<'py, PyString>,
    line: u32,
    args: Bound<'py, PyAny>,
}

impl<'py> Usual<'_, 'py> {
    fn slot(&self) -> usize {
        // The low bits are the same for all objects.
        (self.path.as_ptr() as usize >> 4).wrapping_add(self.line as usize) & (PLACES - 1)
    }

    /// What is known of the place.
    fn template(&self, function: &Bound<'py, PyAny>) -> Option<Arc<Template>> {
        let templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        let template = templates.get(self.slot())?.as_ref()?;
        let same =
            template.line == self.line && template.path.is(self.path) && template.function.is(function);
        same.then(|| Arc::clone(template))
    }

    /// Remembers what the interpreter made of the call.
    fn keep(&self, call: &Call<'_, 'py>, record: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = record.py();
        let all = record.getattr(intern!(py, "__dict__"))?;
        let fields = all.cast::<PyDict>()?.copy()?;
        for name in ["msg", "args", "exc_info", "stack_info", "taskName"] {
            if fields.contains(name)? {
                fields.set_item(PyString::intern(py, name), py.None())?;
            }
        }
        let value = |name| PyResult::Ok(all.get_item(name)?.unbind());
        let template = Template {
            path: self.path.clone().unbind(),
            line: self.line,
            function: call.func.clone().unbind(),
            name: call.name.clone().unbind(),
            level: call.level.clone().unbind(),
            level_name: value("levelname")?,
            thread: value("thread")?,
            thread_name: value("threadName")?,
            process_name: value("processName")?,
            process: all.get_item("process")?.extract()?,
            fields: fields.unbind(),
        };
        let forgotten = {
            let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
            templates.resize_with(PLACES, || None);
            templates.get_mut(self.slot()).and_then(|slot| slot.replace(Arc::new(template)))
        };
        drop(forgotten);
        Ok(())
    }
}

/// A record of a place, and the values by which it is known whether another one has the same.
struct Template {
    /// Held, as all others, so that its address stays its own.
    path: Py<PyString>,
    line: u32,
    function: Py<PyAny>,
    name: Py<PyAny>,
    level: Py<PyAny>,
    level_name: Py<PyAny>,
    thread: Py<PyAny>,
    thread_name: Py<PyAny>,
    process_name: Py<PyAny>,
    process: u32,
    /// Never changed.
    fields: Py<PyDict>,
}

/// The three attributes that say when.
struct Time<'py> {
    created: Bound<'py, PyAny>,
    msecs: Bound<'py, PyAny>,
    relative: Bound<'py, PyAny>,
}

impl<'py> Time<'py> {
    /// Now, as whatever is in the place of the clock says; `None` if that is no time.
    fn now(sources: &Sources, py: Python<'py>) -> PyResult<Option<Self>> {
        let clock = sources.time.bind(py);
        let float = |value: f64| PyFloat::new(py, value).into_any();
        if let Clock::Nanoseconds { .. } = sources.clock {
            let Some(now) = clock.get_item(intern!(py, "time_ns"))? else { return Ok(None) };
            let Moment { created, msecs, relative } = sources.clock.moment(now.call0()?.extract()?);
            return Ok(Some(Self {
                created: float(created),
                msecs: float(msecs),
                relative: float(relative),
            }));
        }
        let Some(now) = clock.get_item(intern!(py, "time"))? else { return Ok(None) };
        let created = now.call0()?;
        let Ok(now) = created.cast_exact::<PyFloat>().map(|now| now.value()) else { return Ok(None) };
        let msecs = (now - now.trunc()) * 1000.0;
        let (msecs, start) = match sources.clock {
            Clock::Fractional { start } => (msecs, start),
            Clock::Whole { start } => (msecs.trunc() + 0.0, start),
            Clock::Nanoseconds { .. } => return Ok(None),
        };
        Ok(Some(Self { created, msecs: float(msecs), relative: float((now - start) * 1000.0) }))
    }
}

/// When and where a record is made.
pub(crate) struct Occasion {
    pub(crate) moment: Moment,
    pub(crate) thread: Py<PyAny>,
    pub(crate) thread_name: Py<PyAny>,
    task_name: Option<Py<PyAny>>,
}

impl Occasion {
    pub(crate) fn now(py: Python<'_>) -> PyResult<Self> {
        let sources = Sources::get(py)?;
        let moment = match sources.moment(py)? {
            Some(moment) => moment,
            None => said_by(&sources.sample(py)?)?,
        };
        let (thread, thread_name) = sources.thread(py)?;
        let task_name = sources.task_name(py).map(Bound::unbind);
        Ok(Self { moment, thread: thread.unbind(), thread_name: thread_name.unbind(), task_name })
    }

    /// The outer `None` where records have no such attribute.
    pub(crate) fn task_name<'py>(&self, py: Python<'py>) -> PyResult<Option<Option<Bound<'py, PyAny>>>> {
        let name = || self.task_name.as_ref().map(|name| name.bind(py).clone());
        Ok(Sources::get(py)?.has_task_name.then(name))
    }

    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            moment: self.moment,
            thread: self.thread.clone_ref(py),
            thread_name: self.thread_name.clone_ref(py),
            task_name: self.task_name.as_ref().map(|name| name.clone_ref(py)),
        }
    }

    /// Makes this record one of then.
    pub(crate) fn put_into(&self, record: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = record.py();
        let fields = record.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
        fields.set_item(intern!(py, "created"), self.moment.created)?;
        fields.set_item(intern!(py, "msecs"), self.moment.msecs)?;
        fields.set_item(intern!(py, "relativeCreated"), self.moment.relative)?;
        // None where they are switched off.
        for (name, value) in
            [(intern!(py, "thread"), &self.thread), (intern!(py, "threadName"), &self.thread_name)]
        {
            if fields.get_item(name)?.is_some_and(|present| !present.is_none()) {
                fields.set_item(name, value)?;
            }
        }
        if fields.contains(intern!(py, "taskName"))? {
            fields.set_item(intern!(py, "taskName"), &self.task_name)?;
        }
        Ok(())
    }
}

/// When a record says that it was made.
fn said_by(record: &Bound<'_, PyAny>) -> PyResult<Moment> {
    let said = |name| record.getattr(name)?.extract::<f64>();
    Ok(Moment { created: said("created")?, msecs: said("msecs")?, relative: said("relativeCreated")? })
}

/// What the interpreter's own records make of the time, and when `logging` was loaded.
enum Clock {
    /// 3.9: milliseconds with a fraction.
    Fractional { start: f64 },
    /// 3.10 to 3.12: whole milliseconds.
    Whole { start: f64 },
    /// From 3.13 on: nanoseconds.
    Nanoseconds { start: i64 },
}

impl Clock {
    /// What records say of this time, in nanoseconds since the epoch.
    fn moment(&self, now: i64) -> Moment {
        let created = now as f64 / 1e9;
        let fraction = (created - created.trunc()) * 1000.0;
        match *self {
            Self::Fractional { start } => {
                Moment { created, msecs: fraction, relative: (created - start) * 1000.0 }
            }
            Self::Whole { start } => {
                Moment { created, msecs: fraction.trunc() + 0.0, relative: (created - start) * 1000.0 }
            }
            Self::Nanoseconds { start } => {
                let millis = now.rem_euclid(1_000_000_000) / 1_000_000;
                // 999 where the conversion rounded up to the next second.
                let is_next = millis == 999 && created.trunc() as i64 != now.div_euclid(1_000_000_000);
                let msecs = if is_next { 0.0 } else { millis as f64 };
                Moment { created, msecs, relative: now.saturating_sub(start) as f64 / 1e6 }
            }
        }
    }
}

/// Where the values of a record come from.
pub(crate) struct Sources {
    none: Py<PyAny>,
    logging: Py<PyDict>,
    level_names: Py<PyDict>,
    time: Py<PyDict>,
    /// `time.time` or, where records are made of that, `time.time_ns`, as it was.
    get_time: Py<PyAny>,
    clock: Clock,
    threading: Py<PyDict>,
    /// `threading.get_ident` as it was, by which it is known whether it still is.
    get_ident: Py<PyAny>,
    threads: Py<PyDict>,
    /// The classes of threads whose name is their `_name`.
    plain_threads: [Py<PyAny>; 3],
    modules: Py<PyDict>,
    mapping: Py<PyAny>,
    /// `object.__new__`
    new: Py<PyAny>,
    new_arguments: Py<PyTuple>,
    record: Py<PyType>,
    /// [`make_record`], and what a logger makes records with.
    factory: Py<PyAny>,
    logger_makes: Py<PyAny>,
    logger_class: Py<PyAny>,
    get_logger: Py<PyAny>,
    manager: Py<PyAny>,
    pub(crate) has_task_name: bool,
    /// Whether this interpreter's records have the attributes that are known here.
    is_known: bool,
}

impl Sources {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        SOURCES.get_or_try_init(py, || Self::find(py))
    }

    /// What `getLevelName` says.
    pub(crate) fn level_name<'py>(&self, level: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.level_names.bind(level.py()).get_item(level)
    }

    /// What records say of the time, without Python's numbers between; `None` if the clock was replaced.
    pub(crate) fn moment(&self, py: Python<'_>) -> PyResult<Option<Moment>> {
        let name = match self.clock {
            Clock::Nanoseconds { .. } => intern!(py, "time_ns"),
            _ => intern!(py, "time"),
        };
        let present = self.time.bind(py).get_item(name)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
        let now = now.and_then(|now| i64::try_from(now.as_nanos()).ok());
        let now = now.filter(|_| present.is_some_and(|present| present.is(&self.get_time)));
        Ok(now.map(|now| self.clock.moment(now)))
    }

    fn find(py: Python<'_>) -> PyResult<Self> {
        let logging = py.import("logging")?;
        let threading = py.import("threading")?;
        let version = (py.version_info().major, py.version_info().minor);
        let start = logging.getattr("_startTime")?;
        let has_task_name = version >= (3, 12);
        let sample = logging.getattr("LogRecord")?.call1(("", 0, "", 0, "", (), py.None()))?;
        let newest = has_task_name.then_some("taskName");
        let known: Vec<&str> = ATTRIBUTES.iter().copied().chain(newest).collect();
        let class = |name| threading.getattr(name).map(Bound::unbind);
        let record = stamp::record_class(py)?;
        Ok(Self {
            none: py.None(),
            logging: logging.dict().unbind(),
            level_names: logging.getattr("_levelToName")?.cast_into::<PyDict>()?.unbind(),
            time: py.import("time")?.dict().unbind(),
            get_time: py
                .import("time")?
                .getattr(if version < (3, 13) { "time" } else { "time_ns" })?
                .unbind(),
            clock: match version {
                (3, ..=9) => Clock::Fractional { start: start.extract()? },
                (3, ..=12) => Clock::Whole { start: start.extract()? },
                _ => Clock::Nanoseconds { start: start.extract()? },
            },
            get_ident: threading.getattr("get_ident")?.unbind(),
            threads: threading.getattr("_active")?.cast_into::<PyDict>()?.unbind(),
            plain_threads: [class("_MainThread")?, class("Thread")?, class("_DummyThread")?],
            threading: threading.dict().unbind(),
            modules: py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind(),
            mapping: py.import("collections.abc")?.getattr("Mapping")?.unbind(),
            new: py.get_type::<PyAny>().getattr("__new__")?.unbind(),
            new_arguments: PyTuple::new(py, [&record])?.unbind(),
            record: record.unbind(),
            factory: py.import("distlog._distlog")?.getattr("make_record")?.unbind(),
            logger_makes: logging.getattr("Logger")?.getattr("makeRecord")?.unbind(),
            logger_class: logging.getattr("Logger")?.unbind(),
            get_logger: logging.getattr("getLogger")?.unbind(),
            manager: logging.getattr("Logger")?.getattr("manager")?.unbind(),
            has_task_name,
            is_known: sample.getattr("__dict__")?.cast::<PyDict>()?.keys().eq(known)?,
        })
    }

    /// A record of no meaning, as the interpreter makes it.
    fn sample<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.record.bind(py).call1(("", 0, "", 0, "", (), py.None()))
    }

    /// Whether records have all their attributes.
    pub(crate) fn switched_on(&self, py: Python<'_>) -> bool {
        let logging = self.logging.bind(py);
        let on = |flag| {
            let flag = logging.get_item(flag).ok().flatten();
            flag.is_some_and(|flag| flag.is(PyBool::new(py, true)))
        };
        self.is_known
            && on(intern!(py, "logThreads"))
            && on(intern!(py, "logMultiprocessing"))
            && on(intern!(py, "logProcesses"))
            && (!self.has_task_name || on(intern!(py, "logAsyncioTasks")))
    }

    /// The thread's ident and name.
    pub(crate) fn thread<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let threading = self.threading.bind(py);
        let get_ident = threading.get_item(intern!(py, "get_ident"))?;
        let ident = match get_ident {
            Some(other) if !other.is(&self.get_ident) => other.call0()?,
            _ => self.ident(py)?,
        };
        let thread = match self.threads.bind(py).get_item(&ident)? {
            Some(thread) => thread,
            None => py.import("threading")?.call_method0("current_thread")?,
        };
        let class = thread.get_type();
        let name = if self.plain_threads.iter().any(|plain| plain.is(&class)) {
            intern!(py, "_name")
        } else {
            intern!(py, "name")
        };
        Ok((ident, thread.getattr(name)?))
    }

    fn ident<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        IDENT.with(|known| {
            if let Some(ident) = known.get() {
                return Ok(ident.bind(py).clone());
            }
            let ident = self.get_ident.bind(py).call0()?;
            Ok(known.get_or_init(|| ident.unbind()).bind(py).clone())
        })
    }

    pub(crate) fn process_name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let multiprocessing = self.modules.bind(py).get_item(intern!(py, "multiprocessing"))?;
        let name = multiprocessing.filter(|module| !module.is_none()).and_then(|module| {
            let process = module.call_method0(intern!(py, "current_process")).ok()?;
            process.getattr(intern!(py, "name")).ok()
        });
        Ok(name.unwrap_or_else(|| intern!(py, "MainProcess").clone().into_any()))
    }

    pub(crate) fn task_name<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        if !self.has_task_name {
            return None;
        }
        let asyncio = self.modules.bind(py).get_item(intern!(py, "asyncio")).ok()??;
        // Without a loop that runs, asking for the task costs an exception.
        let running = asyncio.call_method0(intern!(py, "_get_running_loop")).ok()?;
        if running.is_none() {
            return None;
        }
        asyncio.call_method0(intern!(py, "current_task")).ok()?.call_method0(intern!(py, "get_name")).ok()
    }
}
