//! Goals as the vocabulary knows them: ids are checked and trees are built by the same code as in the daemon.
//!
//! And numbers, drawn exactly once: no thread and no signal handler can come between, since no Python code runs meanwhile.
//! A lock in Python would not do: a signal handler that logs while its own thread holds it would wait for ever.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use distlog::{GoalId, Record, tree};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A goal's id in its one form, or `ValueError` saying what is wrong with it.
#[pyfunction]
pub(crate) fn parse_goal(id: &str) -> PyResult<String> {
    GoalId::parse(id).map(|id| id.to_string()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A goal's numbers: 0 is its begin record's, later ones are drawn.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Sequence {
    next: AtomicU32,
}

#[pymethods]
impl Sequence {
    #[new]
    fn new() -> Self {
        Self { next: AtomicU32::new(1) }
    }

    /// The next number.
    fn draw(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// One number, drawn when it is first asked for.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Number {
    value: OnceLock<u32>,
}

#[pymethods]
impl Number {
    #[new]
    #[pyo3(signature = (value=None))]
    fn new(value: Option<u32>) -> Self {
        Self { value: value.map_or_else(OnceLock::new, OnceLock::from) }
    }

    /// The number; drawn from this sequence if it was not drawn yet.
    fn of(&self, sequence: &Sequence) -> u32 {
        *self.value.get_or_init(|| sequence.draw())
    }
}

/// The trees that some records describe.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Forest {
    /// Locked only while the interpreter's lock is held, and never across a call into Python.
    trees: Mutex<(u64, tree::Forest)>,
}

#[pymethods]
impl Forest {
    #[new]
    fn new() -> Self {
        Self { trees: Mutex::new((0, tree::Forest::new())) }
    }

    /// Adds a record given as JSON; `ValueError` if it is none.
    fn add(&self, json: &str) -> PyResult<()> {
        let record = Record::from_json(json).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        let (offset, forest) = &mut *trees;
        forest.add(*offset, &record);
        *offset += 1;
        Ok(())
    }

    /// The ids of the roots.
    fn roots(&self) -> Vec<String> {
        let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        trees.1.roots().map(|id| id.to_string()).collect()
    }

    /// The tree below a goal as JSON, as it stands at `now` (ns); `None` if nothing is known of it.
    fn tree(&self, id: &str, now: i64) -> PyResult<Option<String>> {
        let id = GoalId::parse(id).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(trees.1.build(&id, now).map(|tree| tree.to_json_with_records(0)))
    }
}
