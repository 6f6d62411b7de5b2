//! Begin and end records: where they come from, and how they are logged without disturbing anybody.
//!
//! They go through the caller's own logger, as if the caller had logged them. A handler that sees a record of a goal whose begin record the
//! levels hid from it is sent that first; a handler that saw a goal begin sees it end, whatever the levels say.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::once::intern;
use pyo3::exceptions::{PyException, PyGeneratorExit, PyKeyboardInterrupt, PySystemExit};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::Task;
use super::chain::Reach;
use super::direct;
use super::stamp::{Kind, Stamp};
use crate::encode;
use crate::record::{self, Call, Occasion};
use crate::site::{self, Site};

const INFO: i64 = 20;
const WARNING: i64 = 30;
const ERROR: i64 = 40;
/// Modules that stand between a program and its goals.
const PASSED_OVER: [&str; 2] = ["distlog.steps", "contextlib"];
/// The interpreter's marks of generators' code.
const GENERATOR: u32 = 0x20;
const ASYNC_GENERATOR: u32 = 0x200;

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Where a goal begins or ends: what its records name.
pub(super) struct Place {
    pub(super) module: Py<PyAny>,
    file: Py<PyAny>,
    line: Py<PyAny>,
    function: Py<PyAny>,
    /// The place as other records of it know it, unless it is a decorated function.
    pub(super) site: Option<Arc<Site>>,
}

/// Module, file, line and name of a function.
pub(super) type Function = (Py<PyAny>, Py<PyAny>, Py<PyAny>, Py<PyAny>);

impl Place {
    pub(super) fn of_function((module, file, line, function): Function) -> Self {
        Self { module, file, line, function, site: None }
    }

    pub(super) fn of(py: Python<'_>, caller: Option<&Caller<'_>>) -> Self {
        let text = |text: &str| PyString::intern(py, text).into_any().unbind();
        let Some(Caller { site, frame }) = caller else {
            let line = 0_i64.into_pyobject(py).map_or_else(|_| py.None(), |line| line.into_any().unbind());
            return Self {
                module: text("root"),
                file: text("(unknown file)"),
                line,
                function: text("(unknown function)"),
                site: None,
            };
        };
        Self {
            module: site::module_name(frame).map_or_else(|| text("root"), |name| name.into_any().unbind()),
            file: site.pathname.clone_ref(py),
            line: site.lineno.clone_ref(py),
            function: site.function.clone_ref(py),
            site: Some(Arc::clone(site)),
        }
    }

    pub(super) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            module: self.module.clone_ref(py),
            file: self.file.clone_ref(py),
            line: self.line.clone_ref(py),
            function: self.function.clone_ref(py),
            site: self.site.clone(),
        }
    }
}

/// The frame that enters or leaves a goal, and the place that it is at.
pub(super) struct Caller<'py> {
    frame: Bound<'py, PyAny>,
    site: Arc<Site>,
}

impl Caller<'_> {
    /// The frame, if it is a generator's, and whether that is an asynchronous one.
    pub(super) fn generator(&self) -> Option<(Py<PyAny>, bool)> {
        let is_one = self.site.flags & (GENERATOR | ASYNC_GENERATOR) != 0;
        is_one.then(|| (self.frame.clone().unbind(), self.site.flags & ASYNC_GENERATOR != 0))
    }
}

/// The innermost frame from this one outwards that is the program's.
pub(super) fn caller(frame: Bound<'_, PyAny>) -> Option<Caller<'_>> {
    let mut frame = frame;
    loop {
        let module = site::module_name(&frame);
        let passed = module.is_some_and(|module| PASSED_OVER.iter().any(|name| module == *name));
        if !passed {
            let site = Site::of(&frame).ok()?;
            return Some(Caller { frame, site });
        }
        frame = site::outer(&frame)?;
    }
}

/// Installs the record factory before the first goal is entered.
pub(super) fn install(py: Python<'_>) -> PyResult<()> {
    if !INSTALLED.swap(true, Ordering::Relaxed) {
        py.import("distlog.stamp")?.call_method0("install")?;
    }
    Ok(())
}

/// Forgets that the record factory is installed.
#[pyfunction]
pub(crate) fn uninstalled() {
    INSTALLED.store(false, Ordering::Relaxed);
}

/// A begin record, for handlers that have not seen it.
pub(super) struct Begun {
    made: Made,
    fields: Py<PyDict>,
    goal: Py<PyDict>,
}

/// What is kept of a record.
enum Made {
    /// When and where it would have been made: nobody was to have it.
    Not { occasion: Occasion, place: Place },
    /// The attributes of one of distlog's own. Not the record: with its stamp it would be a cycle.
    Attributes(Py<PyDict>),
    /// One of a foreign factory.
    Record(Py<PyAny>),
}

impl Begun {
    pub(super) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.made {
            // Names and numbers.
            Made::Not { .. } => {}
            Made::Attributes(attributes) => visit.call(attributes)?,
            Made::Record(record) => visit.call(record)?,
        }
        visit.call(&self.fields)?;
        visit.call(&self.goal)
    }

    fn clone_ref(&self, py: Python<'_>) -> Self {
        let made = match &self.made {
            Made::Not { occasion, place } => {
                Made::Not { occasion: occasion.clone_ref(py), place: place.clone_ref(py) }
            }
            Made::Attributes(attributes) => Made::Attributes(attributes.clone_ref(py)),
            Made::Record(record) => Made::Record(record.clone_ref(py)),
        };
        Self { made, fields: self.fields.clone_ref(py), goal: self.goal.clone_ref(py) }
    }

    fn record<'py>(self, task: &Bound<'py, Task>) -> PyResult<Bound<'py, PyAny>> {
        let (py, me) = (task.py(), task.get());
        let stamp = Bound::new(py, Stamp::new(task, self.fields, Kind::Begin, Some(self.goal)))?;
        match self.made {
            Made::Record(record) => Ok(record.into_bound(py)),
            Made::Not { occasion, place } => {
                let logger = logger(py, &place.module)?;
                let none = py.None().into_bound(py);
                let (msg, args) = (me.msg.bind(py), me.args.bind(py));
                let (record, _) = make(&logger, &place, INFO, msg, args, &none, stamp)?;
                occasion.put_into(&record)?;
                Ok(record)
            }
            Made::Attributes(attributes) => {
                let record = record::blank(py, attributes.bind(py).copy()?)?;
                record.setattr(intern!(py, "_distlog"), stamp)?;
                Ok(record)
            }
        }
    }
}

/// Logs the begin record.
pub(super) fn begin(task: &Bound<'_, Task>, place: Place) -> PyResult<()> {
    let (py, me) = (task.py(), task.get());
    let before = me.life().place.replace(place.clone_ref(py));
    drop(before);
    let logger = logger(py, &place.module)?;
    let reach = Reach::of(&logger, INFO)?;
    if let Reach::Nobody = reach {
        return begin_unheard(task, place);
    }
    let (fields, goal) = (me.bound(py), begun(task)?);
    let stamp = Stamp::new(task, fields.clone().unbind(), Kind::Begin, Some(goal.clone().unbind()));
    let stamp = Bound::new(py, stamp)?;
    let (msg, args) = (me.msg.bind(py), me.args.bind(py));
    if let Some(handler) = direct::handler(&reach, &logger)?
        && let Some(occasion) = direct::say(&handler, &logger, &place, INFO, msg, args, &stamp)?
    {
        let made = Made::Not { occasion, place };
        me.has_begun(Begun { made, fields: fields.unbind(), goal: goal.unbind() });
        return Ok(());
    }
    let none = py.None().into_bound(py);
    let made = make(&logger, &place, INFO, msg, args, &none, stamp);
    let Some((record, is_ours)) = guarded(py, made)? else { return Ok(()) };
    let made = if is_ours {
        Made::Attributes(record.getattr(intern!(py, "__dict__"))?.cast_into::<PyDict>()?.unbind())
    } else {
        Made::Record(record.clone().unbind())
    };
    me.has_begun(Begun { made, fields: fields.unbind(), goal: goal.unbind() });
    send(&logger, reach, INFO, &record)
}

/// Leaves the begin record for those that will see a record of the goal.
pub(super) fn begin_unheard(task: &Bound<'_, Task>, place: Place) -> PyResult<()> {
    let (py, me) = (task.py(), task.get());
    let before = me.life().place.replace(place.clone_ref(py));
    drop(before);
    let Some(occasion) = guarded(py, Occasion::now(py))? else { return Ok(()) };
    let (fields, goal) = (me.bound(py).unbind(), begun(task)?.unbind());
    me.has_begun(Begun { made: Made::Not { occasion, place }, fields, goal });
    Ok(())
}

/// The `goal` field of the begin record.
fn begun<'py>(task: &Bound<'py, Task>) -> PyResult<Bound<'py, PyDict>> {
    let (py, me) = (task.py(), task.get());
    let goal = PyDict::new(py);
    goal.set_item(intern!(py, "event"), intern!(py, "begin"))?;
    goal.set_item(intern!(py, "title"), me.title(py)?)?;
    if let Some(link) = &me.link {
        goal.set_item(intern!(py, "link"), link)?;
    }
    Ok(goal)
}

/// Where the goal began.
pub(super) fn place_of(task: &Bound<'_, Task>) -> Place {
    let py = task.py();
    let known = task.get().life().place.as_ref().map(|place| place.clone_ref(py));
    known.unwrap_or_else(|| Place::of(py, None))
}

/// How a block was left, and what that means.
struct Ending {
    how: &'static str,
    failed: bool,
    level: i64,
    prefix: &'static str,
    error: Option<String>,
    note: Option<&'static str>,
}

impl Ending {
    fn of(error: &Bound<'_, PyAny>) -> Self {
        let succeeded =
            Self { how: "returned", failed: false, level: INFO, prefix: "", error: None, note: None };
        if error.is_none() {
            return succeeded;
        }
        if error.is_instance_of::<PySystemExit>() {
            let code = error.getattr(intern!(error.py(), "code")).ok();
            let fine = code.is_none_or(|code| code.is_none() || code.eq(0).unwrap_or(false));
            return if fine {
                Self { how: "exited", ..succeeded }
            } else {
                Self { how: "exited", ..Self::failed(error) }
            };
        }
        if error.is_instance_of::<PyGeneratorExit>() {
            return Self { how: "closed", note: Some("closed before its end"), ..succeeded };
        }
        if error.is_instance_of::<PyKeyboardInterrupt>() {
            let said = Some("interrupted".to_owned());
            return Self {
                how: "interrupted",
                failed: true,
                level: ERROR,
                prefix: "FAILED ",
                error: said,
                note: None,
            };
        }
        if !error.is_instance_of::<PyException>() && encode::value::type_name(error).contains("Cancel") {
            let said = Some("cancelled".to_owned());
            return Self {
                how: "cancelled",
                failed: true,
                level: WARNING,
                prefix: "CANCELLED ",
                error: said,
                note: None,
            };
        }
        Self::failed(error)
    }

    fn failed(error: &Bound<'_, PyAny>) -> Self {
        let said = Some(encode::describe(error));
        Self { how: "raised", failed: true, level: ERROR, prefix: "FAILED ", error: said, note: None }
    }
}

/// Logs the end record.
pub(super) fn end(
    task: &Bound<'_, Task>,
    error: &Bound<'_, PyAny>,
    caller: Option<Caller<'_>>,
) -> PyResult<()> {
    let (py, me) = (task.py(), task.get());
    let mut ending = Ending::of(error);
    let (mut msg, mut args, mut fields) = (me.msg.bind(py).clone(), me.args.bind(py).clone(), me.bound(py));
    let (outcome, has_begun) = {
        let mut life = me.life();
        (life.outcome.take(), life.begun.is_some())
    };
    if let Some(outcome) = outcome {
        fields = super::merged(&fields, outcome.fields.bind(py))?;
        if outcome.failed {
            let said = Some(encode::render(outcome.msg.bind(py), outcome.args.bind(py).as_any()));
            let level = ending.level.max(ERROR);
            ending = Ending { failed: true, level, prefix: "FAILED ", error: said, ..ending };
        } else if !ending.failed {
            (msg, args) = (outcome.msg.into_bound(py), outcome.args.into_bound(py));
        }
    }
    let mut info = py.None().into_bound(py);
    if ending.failed {
        let text = match msg.cast::<PyString>() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => encode::render(&msg, PyTuple::empty(py).as_any()),
        };
        msg = PyString::new(py, &format!("{}{text}", ending.prefix)).into_any();
        if !error.is_none() {
            // The traceback itself, whatever a class of exceptions makes of the name.
            let trace = PyErr::from_value(error.clone()).traceback(py);
            info = (error.get_type(), error, trace).into_pyobject(py)?.into_any();
        }
    }
    let place = match &caller {
        Some(caller) if has_begun => Place::of(py, Some(caller)),
        _ => place_of(task),
    };
    let level = ending.level;
    let logger = logger(py, &place.module)?;
    let reach = Reach::of(&logger, level)?;
    if matches!(reach, Reach::Nobody) && me.life().heard_by.is_empty() {
        return Ok(());
    }
    let stamp = Stamp::new(task, fields.unbind(), Kind::End, Some(ended(task, ending)?.unbind()));
    let stamp = Bound::new(py, stamp)?;
    if info.is_none()
        && let Some(handler) = direct::handler(&reach, &logger)?
        && me.life().heard_by.iter().all(|heard| heard.is(&handler))
        && direct::say(&handler, &logger, &place, level, &msg, &args, &stamp)?.is_some()
    {
        return Ok(());
    }
    let made = make(&logger, &place, level, &msg, &args, &info, stamp);
    let Some((record, _)) = guarded(py, made)? else { return Ok(()) };
    send(&logger, reach, level, &record)?;
    tell_the_rest(task, &record)
}

/// The `goal` field of the end record. Its `count` is still to come.
fn ended<'py>(task: &Bound<'py, Task>, ending: Ending) -> PyResult<Bound<'py, PyDict>> {
    let (py, me) = (task.py(), task.get());
    let (awaited, began) = {
        let mut life = me.life();
        (std::mem::take(&mut life.awaited), life.began)
    };
    let status = if ending.failed { intern!(py, "failed") } else { intern!(py, "succeeded") };
    let goal = PyDict::new(py);
    goal.set_item(intern!(py, "event"), intern!(py, "end"))?;
    goal.set_item(intern!(py, "title"), me.title(py)?)?;
    goal.set_item(intern!(py, "status"), status)?;
    goal.set_item(intern!(py, "ending"), PyString::intern(py, ending.how))?;
    goal.set_item(intern!(py, "duration"), began.map_or(0.0, |began| began.elapsed().as_secs_f64()))?;
    if let Some(error) = ending.error.filter(|error| !error.is_empty()) {
        goal.set_item(intern!(py, "error"), error)?;
    }
    if let Some(note) = ending.note {
        goal.set_item(intern!(py, "note"), note)?;
    }
    if !awaited.is_empty() {
        goal.set_item(intern!(py, "awaited"), awaited)?;
    }
    Ok(goal)
}

/// Sends the end record to those handlers that saw the goal begin and have not had it.
fn tell_the_rest(task: &Bound<'_, Task>, record: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    let heard: Vec<_> = task.get().life().heard_by.iter().map(|handler| handler.clone_ref(py)).collect();
    if heard.is_empty() {
        return Ok(());
    }
    let stamp = record.getattr(intern!(py, "_distlog"))?;
    let Ok(stamp) = stamp.cast::<Stamp>() else { return Ok(()) };
    let missed: Vec<_> =
        heard.into_iter().filter(|handler| !stamp.get().was_taken_by(handler.bind(py))).collect();
    if missed.is_empty() {
        return Ok(());
    }
    py.import("distlog.site")?.call_method1("send_end", (record, missed)).map(drop)
}

/// A record that the logger makes, and whether it is one of distlog's own.
fn make<'py>(
    logger: &Bound<'py, PyAny>,
    place: &Place,
    level: i64,
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    info: &Bound<'py, PyAny>,
    stamp: Bound<'py, Stamp>,
) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let py = logger.py();
    let name = logger.getattr(intern!(py, "name"))?;
    let level = level.into_pyobject(py)?.into_any();
    let (file, line, function) = (place.file.bind(py), place.line.bind(py), place.function.bind(py));
    let none = py.None().into_bound(py);
    let call = Call {
        name: &name,
        level: &level,
        pathname: file,
        lineno: line,
        msg,
        args: args.as_any(),
        exc_info: info,
        func: function,
        sinfo: &none,
    };
    let (record, is_ours) = if record::is_made_here(py, logger)? {
        (call.record(None)?, true)
    } else {
        let given = (name.clone(), level.clone(), file, line, msg, args, info, function);
        (logger.call_method1(intern!(py, "makeRecord"), given)?, false)
    };
    record.setattr(intern!(py, "_distlog"), stamp)?;
    Ok((record, is_ours))
}

/// The logger of a module.
fn logger<'py>(py: Python<'py>, module: &Py<PyAny>) -> PyResult<Bound<'py, PyAny>> {
    record::logger(py, module.bind(py))
}

/// Gives the record to the logger's handlers, if it is enabled for the level.
fn send(logger: &Bound<'_, PyAny>, reach: Reach<'_>, level: i64, record: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = logger.py();
    match reach {
        Reach::Nobody => {}
        Reach::Handlers(handlers) => {
            for handler in handlers {
                let handled = handler.call_method1(intern!(py, "handle"), (record,));
                if guarded(py, handled)?.is_none() {
                    // As in the standard library, those behind one that raises do not get it.
                    break;
                }
            }
        }
        Reach::Unusual => {
            if logger.call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()? {
                guarded(py, logger.call_method1(intern!(py, "handle"), (record,)))?;
            }
        }
    }
    Ok(())
}

/// What was asked for; what it raised goes where the standard library's handlers put their errors.
fn guarded<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => {
            py.import("distlog.site")?.call_method1("report", (error.value(py),))?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Task {
    fn has_begun(&self, begun: Begun) {
        let before = self.life().begun.replace(begun);
        drop(before);
    }

    /// Sends this handler the begin records of this goal and of those above it that it has not seen, the outermost first.
    pub(super) fn announce(slf: &Bound<'_, Self>, handler: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().life().was_heard_by(handler) {
            return Ok(());
        }
        let mut unheard = vec![slf.clone()];
        while let Some(parent) = unheard.last().and_then(|goal| goal.get().above(py)) {
            if parent.get().life().was_heard_by(handler) {
                break;
            }
            unheard.push(parent);
        }
        for goal in unheard.into_iter().rev() {
            let begun = {
                let mut life = goal.get().life();
                if life.was_heard_by(handler) {
                    None
                } else {
                    life.heard_by.push(handler.clone().unbind());
                    life.begun.as_ref().map(|begun| begun.clone_ref(py))
                }
            };
            if let Some(begun) = begun {
                let handled = begun
                    .record(&goal)
                    .and_then(|record| handler.call_method1(intern!(py, "handle"), (record,)));
                guarded(py, handled)?;
            }
        }
        Ok(())
    }

    /// Whether this handler has not had the begin record yet. From now on it has.
    pub(super) fn begins_for(&self, handler: &Bound<'_, PyAny>) -> bool {
        let address = handler.as_ptr() as usize;
        let mut life = self.life();
        if life.begun_for.contains(&address) {
            return false;
        }
        life.begun_for.push(address);
        if !life.was_heard_by(handler) {
            life.heard_by.push(handler.clone().unbind());
        }
        true
    }
}
