//! Which goal is current: the innermost open one of this flow of execution (thread or asyncio task).
//!
//! It is kept in a context variable, and restored by comparison, never by the variable's token: a goal may end in another context than it
//! began in. What the variable holds is not always current: a goal that has ended out of order, or whose generator is suspended,
//! is passed over.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::once::Once;
use crate::once::intern;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Task;

/// How often this process is a fork's child. A goal of another generation belongs to another process.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static THREADS: AtomicU64 = AtomicU64::new(1);
static VARIABLE: Once<Variable> = Once::new();
static MODULES: Once<Py<PyDict>> = Once::new();
static ASYNCIO: Once<[Py<PyAny>; 2]> = Once::new();
/// Child numbers reserved for the processes that threads are about to fork. Locked only while the interpreter's lock is held, and
/// never across a call into Python.
static RESERVED: Mutex<Option<Reserved>> = Mutex::new(None);

thread_local! {
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// The context variable's methods.
struct Variable {
    get: Py<PyAny>,
    set: Py<PyAny>,
}

/// By thread: the goal, and the number.
type Reserved = HashMap<u64, (Py<Task>, u32)>;
/// A thread, and the asyncio task in it.
pub(super) type Flow = (u64, usize);

/// A goal that was taken elsewhere on purpose: it is current there even when it has ended.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Carried {
    goal: Py<Task>,
    outer: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Carried {
    #[new]
    fn new(goal: Py<Task>) -> Self {
        Self { goal, outer: Mutex::new(None) }
    }

    /// The goal that it stands for in this process.
    fn _here<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Task>> {
        Task::here(self.goal.bind(py))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.goal)?;
        self.outer.try_lock().map_or(Ok(()), |outer| visit.call(&*outer))
    }
}

/// A goal that begins when it is asked for: a function that gives it, or `None` as long as there is none.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Later {
    goal: Py<PyAny>,
    outer: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Later {
    #[new]
    #[pyo3(signature = (goal, outer))]
    fn new(goal: Py<PyAny>, outer: Option<Py<PyAny>>) -> Self {
        Self { goal, outer: Mutex::new(outer) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.goal)?;
        self.outer.try_lock().map_or(Ok(()), |outer| visit.call(&*outer))
    }
}

impl Later {
    /// A function that raises has no goal to give.
    fn asked<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Task>> {
        self.goal.bind(py).call0().ok()?.cast_into::<Task>().ok()
    }
}

/// What is in the context variable: nothing, a goal, one that is carried, or one that may begin.
pub(super) enum Place<'py> {
    Empty,
    Goal(Bound<'py, Task>),
    Carried(Bound<'py, Carried>),
    Later(Bound<'py, Later>),
}

impl<'py> Place<'py> {
    fn of(found: Option<&Bound<'py, PyAny>>) -> Self {
        let Some(found) = found else { return Self::Empty };
        if let Ok(goal) = found.cast_exact::<Task>() {
            return Self::Goal(goal.clone());
        }
        if let Ok(later) = found.cast_exact::<Later>() {
            return Self::Later(later.clone());
        }
        found.cast_exact::<Carried>().map_or(Self::Empty, |carried| Self::Carried(carried.clone()))
    }

    fn outer(&self) -> Option<Bound<'py, PyAny>> {
        match self {
            Self::Empty => None,
            Self::Goal(goal) => goal.get().outer(goal.py()),
            Self::Carried(carried) => outer_in(carried.py(), &carried.get().outer),
            Self::Later(later) => outer_in(later.py(), &later.get().outer),
        }
    }

    fn set_outer(&self, outer: Option<Py<PyAny>>) {
        let before = match self {
            Self::Empty => None,
            Self::Goal(goal) => goal.get().set_outer(outer),
            Self::Carried(carried) => exchanged(&carried.get().outer, outer),
            Self::Later(later) => exchanged(&later.get().outer, outer),
        };
        drop(before);
    }
}

fn outer_in<'py>(py: Python<'py>, place: &Mutex<Option<Py<PyAny>>>) -> Option<Bound<'py, PyAny>> {
    let outer = place.lock().unwrap_or_else(PoisonError::into_inner);
    outer.as_ref().map(|outer| outer.bind(py).clone())
}

fn exchanged(place: &Mutex<Option<Py<PyAny>>>, outer: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
    std::mem::replace(&mut *place.lock().unwrap_or_else(PoisonError::into_inner), outer)
}

/// The number of the present generation.
pub(super) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// What was put into the context variable last, open or not.
#[pyfunction]
pub(crate) fn innermost(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    let found = variable(py)?.get.bind(py).call0()?;
    Ok(if found.is_none() { None } else { Some(found) })
}

/// Makes this goal the innermost.
#[pyfunction]
#[pyo3(signature = (goal))]
pub(crate) fn push(py: Python<'_>, goal: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    variable(py)?.set.bind(py).call1((goal,)).map(drop)
}

/// Goes back to what was there before; a goal that is not the innermost is taken out from between the others.
#[pyfunction]
#[pyo3(signature = (goal, outer))]
pub(crate) fn pop(
    py: Python<'_>,
    goal: Option<&Bound<'_, PyAny>>,
    outer: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let mut inner = innermost(py)?;
    let is_goal = |found: &Option<Bound<'_, PyAny>>| match (found, goal) {
        (Some(found), Some(goal)) => found.is(goal),
        (found, goal) => found.is_none() && goal.is_none(),
    };
    if is_goal(&inner) {
        push(py, outer)?;
    }
    while inner.is_some() && !is_goal(&inner) {
        let place = Place::of(inner.as_ref());
        let next = place.outer();
        if is_goal(&next) {
            place.set_outer(outer.map(|outer| outer.clone().unbind()));
            break;
        }
        inner = next;
    }
    Ok(())
}

/// The innermost open goal, or `None`.
#[pyfunction]
pub(crate) fn current_task(py: Python<'_>) -> PyResult<Option<Bound<'_, Task>>> {
    let mut found = innermost(py)?;
    let mut is_first = true;
    loop {
        let place = Place::of(found.as_ref());
        match &place {
            Place::Empty => return Ok(None),
            Place::Carried(carried) => return Task::here(carried.get().goal.bind(py)).map(Some),
            Place::Later(later) => match later.get().asked(py) {
                Some(goal) => return Task::here(&goal).map(Some),
                None => {
                    is_first = false;
                    found = place.outer();
                }
            },
            Place::Goal(goal) if !has_left(goal)? => return Task::here(goal).map(Some),
            Place::Goal(goal) => {
                let outer = place.outer();
                if is_first && goal.get().has_ended() {
                    push(py, outer.as_ref())?;
                } else {
                    is_first = false;
                }
                found = outer;
            }
        }
    }
}

/// Whether the flow that entered the goal is not inside it now, although the context variable says so.
fn has_left(goal: &Bound<'_, Task>) -> PyResult<bool> {
    let py = goal.py();
    let frame = goal.get().generator(py);
    let Some((frame, is_asynchronous)) = frame else {
        // A thread or asyncio task that inherited the goal may outlive it, and still belongs to it.
        return Ok(goal.get().has_ended() && goal.get().flow() == flow(py)?);
    };
    let suspended = frame.getattr(intern!(py, "f_back"))?.is_none();
    if suspended && !is_asynchronous {
        return Ok(true);
    }
    // What was started inside an asynchronous generator belongs to the goal while that waits.
    Ok((suspended || goal.get().has_ended()) && goal.get().flow() == flow(py)?)
}

/// The flow that runs now.
pub(super) fn flow(py: Python<'_>) -> PyResult<Flow> {
    Ok((thread(), running_task(py)))
}

fn thread() -> u64 {
    THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        thread.get()
    })
}

/// The asyncio task that runs in this thread, as a number; 0 if none does.
fn running_task(py: Python<'_>) -> usize {
    let Some([running_loop, current_task]) = asyncio(py) else { return 0 };
    match running_loop.bind(py).call0() {
        Ok(found) if !found.is_none() => {}
        _ => return 0,
    }
    current_task.bind(py).call0().map_or(0, |task| if task.is_none() { 0 } else { task.as_ptr() as usize })
}

/// The functions of asyncio that tell what runs; nothing before the program has loaded it.
fn asyncio(py: Python<'_>) -> Option<&'static [Py<PyAny>; 2]> {
    if let Some(known) = ASYNCIO.get(py) {
        return Some(known);
    }
    let modules = MODULES.get_or_try_init(py, || {
        PyResult::Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind())
    });
    let asyncio = modules.ok()?.bind(py).get_item(intern!(py, "asyncio")).ok()??;
    let function = |name| asyncio.getattr(name).map(Bound::unbind);
    // While it is being loaded it may not have them yet.
    let found = [function("_get_running_loop").ok()?, function("current_task").ok()?];
    Some(ASYNCIO.get_or_init(py, || found))
}

fn variable(py: Python<'_>) -> PyResult<&'static Variable> {
    VARIABLE.get_or_try_init(py, || {
        let named = PyDict::new(py);
        named.set_item("default", py.None())?;
        let variable =
            py.import("contextvars")?.getattr("ContextVar")?.call(("distlog_goal",), Some(&named))?;
        Ok(Variable { get: variable.getattr("get")?.unbind(), set: variable.getattr("set")?.unbind() })
    })
}

/// Before a fork: the child's records must not draw the parent's numbers, so a child goal is reserved for what it does of the current one.
#[pyfunction]
pub(crate) fn before_fork(py: Python<'_>) -> PyResult<()> {
    if let Some(goal) = current_task(py)? {
        // Drawn now, so that both processes have the same.
        Task::id_of(&goal)?;
        let number = goal.get().reserve();
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        let before = reserved.get_or_insert_default().insert(thread(), (goal.unbind(), number));
        drop(reserved);
        drop(before);
    }
    Ok(())
}

/// After a fork, in the parent or in the child.
#[pyfunction]
pub(crate) fn after_fork(in_child: bool) {
    if in_child {
        GENERATION.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let before = reserved.as_mut().and_then(|reserved| reserved.remove(&thread()));
    drop(reserved);
    drop(before);
}

/// The number that was reserved below this goal for the process that this is.
pub(super) fn reserved(goal: &Bound<'_, Task>) -> Option<u32> {
    let reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let (of, number) = reserved.as_ref()?.get(&thread())?;
    of.is(goal).then_some(*number)
}
