//! How a record comes to belong to a goal: the stamp it gets when it is made.
//!
//! A stamp is made with its record and keeps the goal through queues and threads. Its number in the goal is drawn later and once: when the
//! first handler of distlog, or whoever reads `record.context`, asks for it. Records that a filter drops on the way therefore leave
//! no holes in the sequence.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::once::intern;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::{Task, flow};

/// A record's key, the other fields of its `context`, and its `goal` field.
type Written<'py> = (String, Bound<'py, PyDict>, Option<Bound<'py, PyDict>>);

/// What kind of record is stamped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Begin,
    End,
}

/// A record's place: its goal, the fields bound when it was made, and its number once that is drawn.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Stamp {
    #[pyo3(get)]
    task: Py<Task>,
    #[pyo3(get)]
    fields: Py<PyDict>,
    /// The record's `goal` field, if it is a begin or end record.
    #[pyo3(get)]
    goal: Option<Py<PyDict>>,
    kind: Kind,
    number: OnceLock<u32>,
    /// The handlers that had this end record, by address. Those that had a begin record are known to the goal.
    taken_by: Mutex<Vec<usize>>,
}

#[pymethods]
impl Stamp {
    /// The record's `context` and `goal` fields. Draws the number, and the goal's id, if that was not done yet.
    pub(crate) fn parts<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyDict>, Option<Bound<'py, PyDict>>)> {
        let (key, fields, goal) = self.written(py)?;
        let context = PyDict::new(py);
        context.set_item(intern!(py, "key"), key)?;
        if !fields.is_empty() {
            context.update(fields.as_mapping())?;
        }
        Ok((context, goal))
    }

    /// What a handler calls before it sends the record: sends it the begin records that it has not seen yet.
    ///
    /// `False` if the record is a begin or end record that this handler had already: one may come to it directly and, later,
    /// through a queue.
    pub(crate) fn announce(&self, handler: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = handler.py();
        let task = self.task.bind(py);
        match self.kind {
            Kind::Plain => Task::announce(task, handler)?,
            Kind::Begin => {
                if !task.get().begins_for(handler) {
                    return Ok(false);
                }
                if let Some(parent) = task.get().above(py) {
                    Task::announce(&parent, handler)?;
                }
            }
            Kind::End => {
                {
                    let mut taken_by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
                    let address = handler.as_ptr() as usize;
                    if taken_by.contains(&address) {
                        return Ok(false);
                    }
                    taken_by.push(address);
                }
                Task::announce(task, handler)?;
            }
        }
        Ok(true)
    }

    /// In another process a stamp is what it says.
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let py = slf.py();
        let parts = slf.get().parts(py)?.into_pyobject(py)?;
        Ok((py.get_type::<PyTuple>().into_any(), PyTuple::new(py, [parts])?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.task)?;
        visit.call(&self.fields)?;
        visit.call(&self.goal)
    }
}

impl Stamp {
    /// The record's key, the other fields of its `context`, and its `goal` field. Draws what was not drawn yet.
    pub(crate) fn written<'py>(&self, py: Python<'py>) -> PyResult<Written<'py>> {
        let task = self.task.bind(py);
        let id = Task::id_of(task)?;
        let number = self.number(py);
        let goal = self.goal.as_ref().map(|goal| goal.bind(py).clone());
        if let Some(goal) = goal.as_ref().filter(|_| self.kind == Kind::End) {
            goal.set_item(intern!(py, "count"), number + 1)?;
        }
        let mut key = String::with_capacity(id.len() + 11);
        key.push_str(&number.to_string());
        key.push('@');
        key.push_str(id);
        Ok((key, self.fields.bind(py).clone(), goal))
    }

    pub(super) fn new(
        task: &Bound<'_, Task>,
        fields: Py<PyDict>,
        kind: Kind,
        goal: Option<Py<PyDict>>,
    ) -> Self {
        let number = if kind == Kind::Begin { OnceLock::from(0) } else { OnceLock::new() };
        let taken_by = Mutex::new(Vec::new());
        Self { task: task.clone().unbind(), fields, goal, kind, number, taken_by }
    }

    /// This handler did not get the record after all.
    pub(super) fn take_back(&self, handler: &Bound<'_, PyAny>) {
        let address = handler.as_ptr() as usize;
        self.taken_by.lock().unwrap_or_else(PoisonError::into_inner).retain(|taken| *taken != address);
        if self.kind == Kind::Begin {
            self.task.get().life().begun_for.retain(|taken| *taken != address);
        }
    }

    /// Whether a handler had this end record.
    pub(super) fn was_taken_by(&self, handler: &Bound<'_, PyAny>) -> bool {
        let taken_by = self.taken_by.lock().unwrap_or_else(PoisonError::into_inner);
        taken_by.contains(&(handler.as_ptr() as usize))
    }

    fn number(&self, py: Python<'_>) -> u32 {
        *self.number.get_or_init(|| self.task.get().draw(py))
    }
}

/// A stamp of the goal that is current now.
pub(crate) fn current(py: Python<'_>) -> PyResult<Option<Bound<'_, Stamp>>> {
    let Some(goal) = flow::current_task(py)? else { return Ok(None) };
    let fields = goal.get().bound(py).unbind();
    Bound::new(py, Stamp::new(&goal, fields, Kind::Plain, None)).map(Some)
}
