//! Goals: pieces of work with an end, and the records that belong to them.
//!
//! Entering and leaving a goal writes two records, so it costs what a logging call costs; everything that is needed for that is
//! here. What is needed rarely (decorating, ids from elsewhere) is in `python/distlog`.
//!
//! Numbers: records and children of a goal draw from one sequence. The begin record is 0, the end record draws last and says how many
//! were drawn. Ids and numbers are drawn when they are first needed, and exactly once: no thread and no signal handler can come between,
//! since no Python code runs meanwhile. A lock in Python would not do: a signal handler that logs while its own thread holds
//! it would wait for ever. For the same reason no lock here is held across a call into Python, nor while an object is made or let go.

mod chain;
mod direct;
pub(crate) mod flow;
pub(crate) mod ids;
mod life;
pub(crate) mod logged;
pub(crate) mod stamp;
pub(crate) mod trees;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::once::intern;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::site;
use crate::teardown;
use flow::Flow;
use life::{Life, Outcome};
use logged::{Function, Place};

const NEW: u8 = 0;
const OPEN: u8 = 1;
const ENDED: u8 = 2;

/// A goal: a piece of work with an end, and the records that belong to it.
///
/// It is a context manager (`with`, `async with`) to be entered once, and a decorator: then each call is a goal of its own.
#[pyclass(frozen, weakref, module = "distlog")]
pub(crate) struct Task {
    #[pyo3(get)]
    msg: Py<PyAny>,
    #[pyo3(get)]
    args: Py<PyTuple>,
    own: Py<PyDict>,
    origin: Origin,
    link: Option<String>,
    /// Where the function is that it decorates.
    decorated: Option<Place>,
    entered: AtomicBool,
    left: AtomicBool,
    state: AtomicU8,
    id: OnceLock<String>,
    number: OnceLock<u32>,
    numbers: AtomicU32,
    parent: OnceLock<Py<Task>>,
    /// Locked for a moment only: see the head of this file.
    life: Mutex<Life>,
}

/// Where a goal stands in its tree.
#[derive(Clone)]
enum Origin {
    Root,
    /// Below the goal that is current when it is entered.
    Below,
    /// This goal, which another process reserved.
    Reserved(String),
}

/// A root goal.
#[pyfunction]
#[pyo3(signature = (msg, /, *args, **fields))]
pub(crate) fn task<'py>(
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    fields: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Task>> {
    Bound::new(msg.py(), Task::of(Origin::Root, None, msg, args, fields)?)
}

/// A goal below the one that is current when it is entered; a root where there is none.
#[pyfunction]
#[pyo3(signature = (msg, /, *args, **fields))]
pub(crate) fn to<'py>(
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    fields: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, Task>> {
    Bound::new(msg.py(), Task::of(Origin::Below, None, msg, args, fields)?)
}

/// The goal with this id, or a root that names it as its link.
#[pyfunction]
pub(crate) fn imported<'py>(
    id: String,
    trust: bool,
    msg: &Bound<'py, PyAny>,
    args: &Bound<'py, PyTuple>,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, Task>> {
    let (origin, link) = if trust { (Origin::Reserved(id), None) } else { (Origin::Root, Some(id)) };
    Bound::new(msg.py(), Task::of(origin, link, msg, args, Some(fields))?)
}

#[pymethods]
impl Task {
    #[new]
    #[pyo3(signature = (msg, /, *args, **fields))]
    fn new(
        msg: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::of(Origin::Root, None, msg, args, fields)
    }

    /// `<uuid>`, or `<uuid>/2/1` below a root.
    #[getter]
    fn id<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a str> {
        Self::id_of(slf)
    }

    /// The id of the goal above, or `None` for a root.
    #[getter]
    fn parent<'a>(slf: &'a Bound<'_, Self>) -> PyResult<Option<&'a str>> {
        Ok(Self::id_of(slf)?.rsplit_once('/').map(|(parent, _)| parent))
    }

    /// The fields that records of this goal carry: its own, those bound, and those inherited when it began.
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.bound(py).copy()
    }

    /// Whether its end record was written.
    #[getter]
    pub(crate) fn has_ended(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ENDED
    }

    /// A W3C header that names a new child of this goal; each reading reserves one, as `get_foreign_task` does.
    #[getter]
    fn traceparent<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("distlog.traceparent")?.call_method1("encode", (Self::get_foreign_task(slf)?,))
    }

    /// The goal above it in this process.
    #[getter(_parent)]
    pub(crate) fn above<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Self>> {
        self.parent.get().map(|parent| parent.bind(py).clone())
    }

    /// Reserve a child for work elsewhere; its id is for `import_task` there, once.
    fn get_foreign_task(slf: &Bound<'_, Self>) -> PyResult<String> {
        let here = Self::here(slf)?;
        Ok(format!("{}/{}", Self::id_of(&here)?, here.get().reserve()))
    }

    /// Add fields to the goal's later records, and to the goals that begin below it from now on.
    #[pyo3(signature = (**fields))]
    fn bind(slf: &Bound<'_, Self>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
        let here = Self::here(slf)?;
        let merged = merged(&here.get().bound(slf.py()), &renamed(slf.py(), fields)?)?;
        here.get().set_bound(merged);
        Ok(())
    }

    /// Take fields away again.
    #[pyo3(signature = (*names))]
    fn unbind(slf: &Bound<'_, Self>, names: &Bound<'_, PyTuple>) -> PyResult<()> {
        let here = Self::here(slf)?;
        let rest = here.get().bound(slf.py()).copy()?;
        for name in names {
            if rest.contains(&name)? {
                rest.del_item(&name)?;
            }
        }
        here.get().set_bound(rest);
        Ok(())
    }

    /// Say what the end record says when the block ends well.
    #[pyo3(signature = (msg, /, *args, **fields))]
    fn success(
        slf: &Bound<'_, Self>,
        msg: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Self::decide(slf, false, msg, args, fields)
    }

    /// Make the goal a failed one, without an exception; `goal.error` of the end record is this message.
    #[pyo3(signature = (msg, /, *args, **fields))]
    fn fail(
        slf: &Bound<'_, Self>,
        msg: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        Self::decide(slf, true, msg, args, fields)
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::enter(slf, site::innermost(slf.py()).ok())?;
        Ok(slf.clone())
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        Self::exit(slf, error, site::innermost(slf.py()).ok())
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> PyResult<Ready> {
        Self::enter(slf, site::innermost(slf.py()).ok())?;
        Ok(Ready(Mutex::new(Some(slf.clone().into_any().unbind()))))
    }

    fn __aexit__(
        slf: &Bound<'_, Self>,
        _kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<Ready> {
        Self::exit(slf, error, site::innermost(slf.py()).ok())?;
        Ok(Ready(Mutex::new(Some(slf.py().None()))))
    }

    /// Decorate a function, coroutine function, generator or asynchronous generator.
    fn __call__<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if slf.get().state.load(Ordering::Relaxed) != NEW {
            return Err(slf.get().wrong(slf.py(), "was entered, and cannot decorate any more"));
        }
        slf.py().import("distlog.steps")?.call_method1("decorated", (slf, function))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let me = slf.get();
        let given = match &me.origin {
            Origin::Reserved(id) => id,
            _ => "",
        };
        let state = match me.state.load(Ordering::Relaxed) {
            NEW => "new",
            OPEN => "open",
            _ => "ended",
        };
        let id = me.id.get().map_or(given, String::as_str);
        Ok(format!("<Task {} {id} {state}>", me.title(slf.py())?.repr()?))
    }

    /// Enter it on behalf of a decorated function.
    fn _enter(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::enter(slf, None)
    }

    /// End it on behalf of a decorated function.
    #[pyo3(signature = (error))]
    fn _exit(slf: &Bound<'_, Self>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::exit(slf, error, None)
    }

    /// A new goal of the same making, for one call of the function that is at this place.
    #[pyo3(signature = (place))]
    fn _again(&self, py: Python<'_>, place: Option<Function>) -> PyResult<Self> {
        let (mut origin, mut link) = (self.origin.clone(), self.link.clone());
        if let Origin::Reserved(id) = &self.origin
            && self.entered.swap(true, Ordering::Relaxed)
        {
            // One id is one goal: later calls are goals of their own that say where they come from.
            link = Some(id.clone());
            origin = Origin::Root;
        }
        let mut goal =
            Self::of(origin, link, self.msg.bind(py), self.args.bind(py), Some(self.own.bind(py)))?;
        goal.decorated = place.map(Place::of_function);
        Ok(goal)
    }

    /// This goal; in a forked child, what the child does of it.
    fn _here<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        Self::here(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.msg)?;
        visit.call(&self.args)?;
        visit.call(&self.own)?;
        if let Some(parent) = self.parent.get() {
            visit.call(parent)?;
        }
        self.life.try_lock().map_or(Ok(()), |life| life.traverse(visit))
    }

    fn __clear__(&self) {
        let life = self.life.try_lock().map(|mut life| life.take()).ok();
        drop(life);
    }
}

impl Task {
    /// Its id, drawn if that was not done yet.
    pub(crate) fn id_of<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a str> {
        let (py, me) = (slf.py(), slf.get());
        if let Some(id) = me.id.get() {
            return Ok(id);
        }
        let id = match (&me.origin, me.parent.get()) {
            (Origin::Below, None) if me.state.load(Ordering::Relaxed) == NEW => {
                return Err(me.wrong(py, "has no id before it is entered"));
            }
            (_, Some(parent)) => {
                let parent = parent.bind(py);
                let above = Self::id_of(parent)?;
                format!("{above}/{}", me.number.get_or_init(|| parent.get().draw(py)))
            }
            (Origin::Reserved(id), None) => id.clone(),
            (_, None) => ids::new_root(py)?,
        };
        Ok(me.id.get_or_init(|| id))
    }

    /// The next number of its sequence.
    pub(crate) fn draw(&self, _py: Python<'_>) -> u32 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// This goal; in a forked child, what the child does of it.
    pub(crate) fn here<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let py = slf.py();
        let (generation, in_child) = {
            let life = slf.get().life();
            (life.generation, life.in_child.as_ref().map(|goal| goal.clone_ref(py)))
        };
        if generation == flow::generation() || slf.get().state.load(Ordering::Relaxed) == NEW {
            return Ok(slf.clone());
        }
        match in_child {
            Some(goal) => Ok(goal.into_bound(py)),
            None => Self::go_on_in_child(slf),
        }
    }

    fn of(
        origin: Origin,
        link: Option<String>,
        msg: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let own = renamed(msg.py(), fields)?.unbind();
        Ok(Self {
            msg: msg.clone().unbind(),
            args: args.clone().unbind(),
            life: Mutex::new(Life::new(own.clone_ref(msg.py()))),
            own,
            origin,
            link,
            decorated: None,
            entered: AtomicBool::new(false),
            left: AtomicBool::new(false),
            state: AtomicU8::new(NEW),
            id: OnceLock::new(),
            number: OnceLock::new(),
            numbers: AtomicU32::new(1),
            parent: OnceLock::new(),
        })
    }

    fn enter(slf: &Bound<'_, Self>, frame: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(_inside) = teardown::enter(slf.py()) else { return Ok(()) };
        let (py, me) = (slf.py(), slf.get());
        if me.entered.swap(true, Ordering::Relaxed) {
            return Err(me.wrong(py, "was entered already"));
        }
        logged::install(py)?;
        let outer = flow::innermost(py)?;
        let parent = if matches!(me.origin, Origin::Below) { flow::current_task(py)? } else { None };
        if let Some(parent) = &parent {
            let bound = merged(&parent.get().bound(py), me.own.bind(py))?;
            me.parent.get_or_init(|| parent.clone().unbind());
            me.set_bound(bound);
        } else {
            Self::id_of_root(slf)?;
        }
        let caller = frame.and_then(logged::caller);
        let flow = flow::flow(py)?;
        let generator = caller.as_ref().and_then(|caller| caller.generator());
        me.life().begin(outer.as_ref().map(|outer| outer.clone().unbind()), generator, flow);
        me.state.store(OPEN, Ordering::Relaxed);
        flow::push(py, Some(slf))?;
        let place =
            me.decorated.as_ref().map_or_else(|| Place::of(py, caller.as_ref()), |it| it.clone_ref(py));
        logged::begin(slf, place).inspect_err(|_| {
            // The block will not run, so its end would never come.
            me.state.store(ENDED, Ordering::Relaxed);
            drop(flow::pop(py, Some(slf), outer.as_ref()));
        })
    }

    fn id_of_root(slf: &Bound<'_, Self>) -> PyResult<()> {
        let id = match &slf.get().origin {
            Origin::Reserved(id) => id.clone(),
            _ if slf.get().id.get().is_some() => return Ok(()),
            _ => ids::new_root(slf.py())?,
        };
        slf.get().id.get_or_init(|| id);
        Ok(())
    }

    fn exit(
        slf: &Bound<'_, Self>,
        error: &Bound<'_, PyAny>,
        frame: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let Some(_inside) = teardown::enter(slf.py()) else { return Ok(()) };
        let (py, me) = (slf.py(), slf.get());
        if me.state.load(Ordering::Relaxed) == NEW {
            return Err(me.wrong(py, "was not entered"));
        }
        if me.left.swap(true, Ordering::Relaxed) {
            return Err(me.wrong(py, "ended already"));
        }
        me.state.store(ENDED, Ordering::Relaxed);
        let (in_child, frame_held) = me.life().end();
        drop(frame_held);
        let outer = me.outer(py);
        let mut here = slf.clone();
        let generation = me.life().generation;
        if generation != flow::generation() {
            // The block was entered before a fork: its end is the parent's to tell. Here ends what this process did of it.
            here = in_child.map_or(here, |goal| goal.into_bound(py));
            flow::pop(py, Some(&here), outer.as_ref())?;
        }
        flow::pop(py, Some(slf), outer.as_ref())?;
        if here.get().life().generation == flow::generation() {
            here.get().state.store(ENDED, Ordering::Relaxed);
            let caller = frame.filter(|_| me.decorated.is_none()).and_then(logged::caller);
            logged::end(&here, error, caller)?;
        }
        Ok(())
    }

    /// What this process, a fork's child, does of a goal that its parent has entered.
    fn go_on_in_child<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
        let (py, me) = (slf.py(), slf.get());
        let reserved = flow::reserved(slf);
        let msg = PyString::new(py, "%s, in forked process %d").into_any();
        let args = (me.title(py)?, std::process::id()).into_pyobject(py)?;
        let link = if reserved.is_none() { me.id.get().cloned() } else { None };
        let goal = Bound::new(py, Self::of(Origin::Root, link, &msg, &args, None)?)?;
        if let (Some(number), Some(id)) = (reserved, me.id.get()) {
            goal.get().id.get_or_init(|| format!("{id}/{number}"));
        }
        Self::id_of_root(&goal)?;
        goal.get().set_bound(me.bound(py));
        goal.get().entered.store(true, Ordering::Relaxed);
        goal.get().life().begin(None, None, flow::flow(py)?);
        goal.get().state.store(OPEN, Ordering::Relaxed);
        // Before its begin record is made, which asks for the current goal.
        let before = me.life().in_child.replace(goal.clone().unbind());
        drop(before);
        logged::begin_unheard(&goal, logged::place_of(slf))?;
        Ok(goal)
    }

    fn decide(
        slf: &Bound<'_, Self>,
        failed: bool,
        msg: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let here = Self::here(slf)?;
        match slf.get().state.load(Ordering::Relaxed) {
            OPEN => {}
            ENDED => return Err(slf.get().wrong(py, "has ended")),
            _ => return Err(slf.get().wrong(py, "was not entered")),
        }
        let fields = renamed(py, fields)?.unbind();
        let (msg, args) = (msg.clone().unbind(), args.clone().unbind());
        let (taken, refused) = here.get().life().decide(Outcome { failed, msg, args, fields });
        drop(refused);
        taken.map_err(|before| {
            let decided = if before { "failed" } else { "succeeded" };
            slf.get().wrong(py, &format!("was decided already: {decided}"))
        })
    }

    fn wrong(&self, py: Python<'_>, what: &str) -> PyErr {
        let title = self.title(py).and_then(|title| title.repr()).map(|title| title.to_string());
        PyRuntimeError::new_err(format!("goal {} {what}", title.unwrap_or_default()))
    }

    /// Its message with its arguments.
    fn title<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (msg, args) = (self.msg.bind(py), self.args.bind(py));
        if args.is_empty() && msg.is_exact_instance_of::<PyString>() {
            return Ok(msg.clone());
        }
        let only = args.get_item(0).ok().filter(|only| args.len() == 1 && only.is_instance_of::<PyDict>());
        let args =
            only.filter(|only| only.is_truthy().unwrap_or(false)).unwrap_or_else(|| args.clone().into_any());
        Ok(PyString::new(py, &crate::encode::render(msg, &args)).into_any())
    }

    /// The fields that its records carry now. Never changed: others take its place.
    pub(crate) fn bound<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.life().bound.bind(py).clone()
    }

    fn set_bound(&self, bound: Bound<'_, PyDict>) {
        let before = std::mem::replace(&mut self.life().bound, bound.unbind());
        drop(before);
    }

    /// Draws a number for a child elsewhere.
    fn reserve(&self) -> u32 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.life().awaited.push(number);
        number
    }

    pub(crate) fn outer<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.life().outer.as_ref().map(|outer| outer.bind(py).clone())
    }

    pub(crate) fn set_outer(&self, outer: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        std::mem::replace(&mut self.life().outer, outer)
    }

    /// The frame of the generator that it was entered in, and whether that is an asynchronous one.
    pub(crate) fn generator<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, bool)> {
        self.life().generator.as_ref().map(|(frame, is_async)| (frame.bind(py).clone(), *is_async))
    }

    pub(crate) fn flow(&self) -> Flow {
        self.life().flow
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An awaitable that has its result.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Ready(Mutex<Option<Py<PyAny>>>);

#[pymethods]
impl Ready {
    fn __await__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self) -> PyResult<Py<PyAny>> {
        let result = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(PyStopIteration::new_err((result,)))
    }
}

/// A field may have any name; `key` is the record's own in its context. The dict is the caller's own.
fn renamed<'py>(py: Python<'py>, fields: Option<&Bound<'py, PyDict>>) -> PyResult<Bound<'py, PyDict>> {
    let Some(fields) = fields else { return Ok(PyDict::new(py)) };
    if !fields.contains(intern!(py, "key"))? {
        return Ok(fields.clone());
    }
    let renamed = PyDict::new(py);
    for (name, value) in fields {
        let is_key = name.eq(intern!(py, "key"))?;
        let name = if is_key { intern!(py, "key_").clone().into_any() } else { name };
        renamed.set_item(name, value)?;
    }
    Ok(renamed)
}

/// Both together, the latter before the former.
fn merged<'py>(below: &Bound<'py, PyDict>, above: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    if above.is_empty() {
        return Ok(below.clone());
    }
    if below.is_empty() {
        return Ok(above.clone());
    }
    let both = below.copy()?;
    both.update(above.as_mapping())?;
    Ok(both)
}
