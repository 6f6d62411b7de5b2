//! Logging calls: the methods `debug` … `log` of a logger, for those calls that are as nearly all calls are.
//!
//! [`Levels`] holds the methods; `distlog.accelerate` puts them into two classes below the standard library's `Logger` and
//! `RootLogger`, and [`register_loggers`] tells of those. A call does what the standard library's own method would do, without its frames.
//! What it cannot do itself it leaves to that method, before anything has happened: so there is one meaning, and two ways to it.
//!
//! What is left to it: other keywords than `exc_info` and `extra`, arguments of unusual types, subclasses, filters on the logger, foreign
//! record factories, and everything that has been replaced in the standard library ([`standard`] looks, at each call).

mod chain;
mod logger;
mod standard;

use std::convert::Infallible;
use std::sync::Arc;

use crate::once::intern;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString, PyTuple};

use crate::encode::call::{Running, Said};
use crate::encode::stamp;
use crate::handler::Core;
use crate::record::{self, Sources};
use crate::site::{self, Site};
use crate::teardown;
use chain::Reached;
use logger::Known;
use standard::{Factory, Standard};

pub(crate) use logger::forget_logger;
pub(crate) use standard::register_loggers;

/// The methods of loggers. It has no attributes of its own, so that a class with it is laid out as one without.
#[pyclass(frozen, subclass, module = "distlog._distlog")]
pub(crate) struct Levels;

/// A method that logs at a level of its own.
#[derive(Clone, Copy)]
pub(crate) struct Method {
    /// Which of [`standard::LEVELS`] it is.
    place: usize,
    /// The one that the standard library's calls in its turn.
    through: Option<usize>,
    level: Option<i64>,
    with_exception: bool,
}

macro_rules! methods {
    ($($name:ident: $method:expr,)*) => {
        #[pymethods]
        impl Levels {
            $(
                #[pyo3(
                    signature = (msg=Given(None), a=Given(None), b=Given(None), c=Given(None), d=Given(None), /, *rest,
                                 extra=Given(None), exc_info=Given(None), stack_info=Given(None), stacklevel=Given(None),
                                 **kwargs),
                    text_signature = "($self, msg, *args, **kwargs)"
                )]
                #[expect(clippy::too_many_arguments, reason = "the standard library's keywords")]
                fn $name<'py>(
                    slf: &Bound<'py, Self>,
                    msg: Given<'_, 'py>,
                    a: Given<'_, 'py>,
                    b: Given<'_, 'py>,
                    c: Given<'_, 'py>,
                    d: Given<'_, 'py>,
                    rest: &Bound<'py, PyTuple>,
                    extra: Given<'_, 'py>,
                    exc_info: Given<'_, 'py>,
                    stack_info: Given<'_, 'py>,
                    stacklevel: Given<'_, 'py>,
                    kwargs: Option<&Bound<'py, PyDict>>,
                ) -> PyResult<Option<Bound<'py, PyAny>>> {
                    let args = Args { first: [a.0, b.0, c.0, d.0], rest };
                    let given = Arguments { level: Given(None), msg, args, exc_info, extra, stack_info, stacklevel, kwargs };
                    call(slf.as_any(), &const { $method }, &given)
                }
            )*

            #[pyo3(
                signature = (level=Given(None), msg=Given(None), a=Given(None), b=Given(None), c=Given(None), d=Given(None),
                             /, *rest, extra=Given(None), exc_info=Given(None), stack_info=Given(None),
                             stacklevel=Given(None), **kwargs),
                text_signature = "($self, level, msg, *args, **kwargs)"
            )]
            #[expect(clippy::too_many_arguments, reason = "the standard library's keywords")]
            fn log<'py>(
                slf: &Bound<'py, Self>,
                level: Given<'_, 'py>,
                msg: Given<'_, 'py>,
                a: Given<'_, 'py>,
                b: Given<'_, 'py>,
                c: Given<'_, 'py>,
                d: Given<'_, 'py>,
                rest: &Bound<'py, PyTuple>,
                extra: Given<'_, 'py>,
                exc_info: Given<'_, 'py>,
                stack_info: Given<'_, 'py>,
                stacklevel: Given<'_, 'py>,
                kwargs: Option<&Bound<'py, PyDict>>,
            ) -> PyResult<Option<Bound<'py, PyAny>>> {
                let args = Args { first: [a.0, b.0, c.0, d.0], rest };
                let given = Arguments { level, msg, args, exc_info, extra, stack_info, stacklevel, kwargs };
                call(slf.as_any(), &Method { place: 7, through: None, level: None, with_exception: false }, &given)
            }
        }
    };
}

methods! {
    debug: Method { place: 0, through: None, level: Some(10), with_exception: false },
    info: Method { place: 1, through: None, level: Some(20), with_exception: false },
    warning: Method { place: 2, through: None, level: Some(30), with_exception: false },
    error: Method { place: 3, through: None, level: Some(40), with_exception: false },
    exception: Method { place: 4, through: Some(3), level: Some(40), with_exception: true },
    critical: Method { place: 5, through: None, level: Some(50), with_exception: false },
    fatal: Method { place: 6, through: Some(5), level: Some(50), with_exception: false },
}

/// An argument, if it was given.
#[derive(Clone, Copy)]
struct Given<'a, 'py>(Option<Borrowed<'a, 'py, PyAny>>);

impl<'a, 'py> FromPyObject<'a, 'py> for Given<'a, 'py> {
    type Error = Infallible;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> Result<Self, Self::Error> {
        Ok(Self(Some(given)))
    }
}

/// The arguments of the message. No tuple is made for the few that most calls have.
#[derive(Clone, Copy)]
struct Args<'a, 'py> {
    first: [Option<Borrowed<'a, 'py, PyAny>>; 4],
    rest: &'a Bound<'py, PyTuple>,
}

impl<'py> Args<'_, 'py> {
    fn tuple(&self) -> PyResult<Bound<'py, PyTuple>> {
        let first = self.first.into_iter().flatten().map(|it| it.to_owned());
        if self.rest.is_empty() {
            let all: Vec<_> = first.collect();
            return PyTuple::new(self.rest.py(), all);
        }
        PyTuple::new(self.rest.py(), first.chain(self.rest.iter()).collect::<Vec<_>>())
    }
}

/// The arguments of a call.
struct Arguments<'a, 'py> {
    level: Given<'a, 'py>,
    msg: Given<'a, 'py>,
    args: Args<'a, 'py>,
    exc_info: Given<'a, 'py>,
    extra: Given<'a, 'py>,
    stack_info: Given<'a, 'py>,
    stacklevel: Given<'a, 'py>,
    kwargs: Option<&'a Bound<'py, PyDict>>,
}

/// A call that is as nearly all are, of a logger that is enabled for it.
struct Call<'a, 'py> {
    logger: &'a Bound<'py, PyAny>,
    known: &'a Known,
    level: Bound<'py, PyAny>,
    levelno: i64,
    msg: Borrowed<'a, 'py, PyAny>,
    args: Args<'a, 'py>,
    /// As the standard library's method would hand it to the record.
    exc_info: Option<Bound<'py, PyAny>>,
    extra: Option<Borrowed<'a, 'py, PyDict>>,
}

/// What became of a call.
enum Outcome {
    Done,
    /// Nothing happened; the standard library's method is to do it.
    Unusual,
}

fn call<'py>(
    logger: &Bound<'py, PyAny>,
    method: &Method,
    given: &Arguments<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(_inside) = teardown::enter(logger.py()) else { return Ok(None) };
    match attempt(logger, method, given)? {
        Outcome::Done => Ok(None),
        Outcome::Unusual => given.hand_over(logger, method).map(Some),
    }
}

fn attempt<'py>(
    logger: &Bound<'py, PyAny>,
    method: &Method,
    given: &Arguments<'_, 'py>,
) -> PyResult<Outcome> {
    let py = logger.py();
    let Some((standard, class)) = Standard::of(logger) else { return Ok(Outcome::Unusual) };
    // Other keywords may be wrong at any level.
    let Some(msg) = given.msg.0.filter(|_| given.kwargs.is_none()) else { return Ok(Outcome::Unusual) };
    let Some((level, levelno)) = given.level(py, method) else { return Ok(Outcome::Unusual) };
    if !class.is_as_it_came(py, standard, method)? {
        return Ok(Outcome::Unusual);
    }
    let Some(known) = logger::known(standard, logger)? else { return Ok(Outcome::Unusual) };
    match known.enabled(&level)? {
        Some(true) => {}
        Some(false) => return Ok(Outcome::Done),
        None if logger.call_method1(intern!(py, "isEnabledFor"), (&level,))?.is_truthy()? => {}
        None => return Ok(Outcome::Done),
    }
    if !given.are_usual() || !known.has_no_filters(py) || !standard.finds_callers(py)? {
        return Ok(Outcome::Unusual);
    }
    let Some(exc_info) = given.exception(method, standard)? else { return Ok(Outcome::Unusual) };
    let extra = given.extra.0.filter(|extra| !extra.is_none());
    let extra = match extra.map(|extra| extra.cast_exact::<PyDict>()) {
        None => None,
        Some(Ok(extra)) if standard.may_be_extra(&extra)? => Some(extra),
        Some(_) => return Ok(Outcome::Unusual),
    };
    let call = Call { logger, known: &known, level, levelno, msg, args: given.args, exc_info, extra };
    call.perform(standard)
}

impl<'py> Call<'_, 'py> {
    fn perform(&self, standard: &Standard) -> PyResult<Outcome> {
        let py = self.logger.py();
        let reached = chain::reached(self, standard)?;
        if let Reached::Deaf = reached {
            return Ok(Outcome::Done);
        }
        let factory = standard.factory(py)?;
        if let Factory::Foreign = factory {
            return Ok(Outcome::Unusual);
        }
        let Some(site) = caller(py) else { return Ok(Outcome::Unusual) };
        if let (Reached::Ours(handler, form), Factory::Ours, None) = (&reached, &factory, &self.exc_info) {
            let stamp = stamp::current(py);
            return match self.write(&site, stamp.as_ref(), handler.bind(py), *form) {
                Ok(Some(())) => Ok(Outcome::Done),
                // The record that is made instead has the number that was drawn.
                _ => self.with_record(&site, Some(stamp), factory),
            };
        }
        self.with_record(&site, None, factory)
    }

    /// The message is written and sent without a record; `None` if it cannot be.
    fn write(
        &self,
        site: &Site,
        stamp: Option<&Bound<'py, PyAny>>,
        handler: &Bound<'py, Core>,
        form: u8,
    ) -> PyResult<Option<()>> {
        let py = self.logger.py();
        let sources = Sources::get(py)?;
        let (Some(level_name), true) = (sources.level_name(&self.level)?, sources.switched_on(py)) else {
            return Ok(None);
        };
        let (Ok(level_name), true) = (level_name.cast_into_exact::<PyString>(), self.args.rest.is_empty())
        else {
            return Ok(None);
        };
        let Some(moment) = sources.moment(py)? else { return Ok(None) };
        let (thread, thread_name) = sources.thread(py)?;
        let process_name = sources.process_name(py)?;
        let (mut args, mut count) = ([self.msg; 4], 0);
        for (place, arg) in args.iter_mut().zip(self.args.first.into_iter().flatten()) {
            *place = arg;
            count += 1;
        }
        let said = Said {
            name: self.known.name.bind(py),
            level_name: &level_name,
            levelno: self.levelno,
            msg: &self.msg,
            args: args.get(..count).unwrap_or_default(),
            extra: self.extra,
            site,
            stamp,
            moment,
            running: Running {
                thread: &thread,
                thread_name: &thread_name,
                process_name: &process_name,
                process: distlog_transport::process_id(),
                task_name: sources.has_task_name.then(|| sources.task_name(py)),
            },
        };
        if let Some(stamp) = stamp
            && !stamp::announce(stamp, handler.as_any())?
        {
            return Ok(Some(()));
        }
        if said.write(form, |body| Core::queue(handler, body, self.levelno)).is_none() {
            return Ok(None);
        }
        // The message is on its way, whatever waiting for it comes to.
        drop(Core::settle(handler));
        Ok(Some(()))
    }

    /// A record is made, with this stamp if there is one already, and goes where records go.
    fn with_record(
        &self,
        site: &Site,
        stamp: Option<Option<Bound<'py, PyAny>>>,
        factory: Factory,
    ) -> PyResult<Outcome> {
        let py = self.logger.py();
        let (none, args) = (py.None().into_bound(py), self.args.tuple()?);
        let call = record::Call {
            name: self.known.name.bind(py).as_any(),
            level: &self.level,
            pathname: site.pathname.bind(py),
            lineno: site.lineno.bind(py),
            msg: &self.msg,
            args: args.as_any(),
            exc_info: self.exc_info.as_ref().unwrap_or(&none),
            func: site.function.bind(py),
            sinfo: &none,
        };
        let record = match (factory, stamp) {
            (Factory::Standard(factory), _) => call.given_to(factory.bind(py), None)?,
            (_, None) => call.stamped(None)?,
            (_, Some(stamp)) => {
                let record = call.record(None)?;
                record.setattr(intern!(py, "_distlog"), stamp)?;
                record
            }
        };
        if let Some(extra) = self.extra {
            let fields = record.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?;
            fields.update(extra.as_mapping())?;
        }
        self.logger.call_method1(intern!(py, "handle"), (record,))?;
        Ok(Outcome::Done)
    }
}

/// The place of the innermost frame outside the standard library's logging.
fn caller(py: Python<'_>) -> Option<Arc<Site>> {
    let mut frame = site::innermost(py).ok()?;
    loop {
        let site = Site::of(&frame).ok()?;
        if !site.is_internal {
            return Some(site);
        }
        frame = site::outer(&frame)?;
    }
}

impl<'a, 'py> Arguments<'a, 'py> {
    fn level(&self, py: Python<'py>, method: &Method) -> Option<(Bound<'py, PyAny>, i64)> {
        match method.level {
            Some(number) => Some((number.into_pyobject(py).ok()?.into_any(), number)),
            None => {
                let level = self.level.0?;
                Some((level.to_owned(), level.cast_exact::<PyInt>().ok()?.extract().ok()?))
            }
        }
    }

    fn are_usual(&self) -> bool {
        self.stack_info.0.is_none_or(|it| it.is_none() || is_false(it))
            && self.stacklevel.0.is_none_or(|it| {
                it.cast_exact::<PyInt>().is_ok_and(|it| it.extract::<i64>().is_ok_and(|it| it == 1))
            })
    }

    /// What the record's `exc_info` will be; the outer `None` for what only the standard library knows.
    fn exception(&self, method: &Method, standard: &Standard) -> PyResult<Option<Option<Bound<'py, PyAny>>>> {
        let py = self.args.rest.py();
        let wanted = match self.exc_info.0 {
            None if method.with_exception => true,
            None => return Ok(Some(None)),
            Some(it) if it.is_none() => return Ok(Some(None)),
            Some(it) if it.is_exact_instance_of::<PyTuple>() => return Ok(Some(Some(it.to_owned()))),
            Some(it) => match it.cast_exact::<PyBool>() {
                Ok(truth) if truth.is_true() => true,
                Ok(_) => return Ok(Some(Some(it.to_owned()))),
                Err(_) => false,
            },
        };
        if wanted {
            return Ok(Some(Some(standard.exception(py)?)));
        }
        match self.exc_info.0 {
            Some(it) if it.is_instance_of::<PyBaseException>() && it.is_truthy()? => {
                let trace = it.getattr(intern!(py, "__traceback__"))?;
                Ok(Some(Some((it.get_type(), it, trace).into_pyobject(py)?.into_any())))
            }
            _ => Ok(None),
        }
    }

    /// The standard library's own method, with the same arguments.
    fn hand_over(&self, logger: &Bound<'py, PyAny>, method: &Method) -> PyResult<Bound<'py, PyAny>> {
        let py = logger.py();
        let own = standard::inherited(logger, method.place)?;
        let first = [self.level.0, self.msg.0].into_iter().flatten().map(|it| it.to_owned());
        let all: Vec<_> = first.chain(self.args.tuple()?.iter()).collect();
        let kwargs = match self.kwargs {
            Some(kwargs) => kwargs.copy()?,
            None => PyDict::new(py),
        };
        for (name, value) in [
            ("exc_info", self.exc_info),
            ("extra", self.extra),
            ("stack_info", self.stack_info),
            ("stacklevel", self.stacklevel),
        ] {
            if let Some(value) = value.0 {
                kwargs.set_item(name, value)?;
            }
        }
        own.call(PyTuple::new(py, all)?, Some(&kwargs))
    }
}

fn is_false(value: Borrowed<'_, '_, PyAny>) -> bool {
    value.cast_exact::<PyBool>().is_ok_and(|truth| !truth.is_true())
}
