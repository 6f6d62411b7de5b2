//! The trees that records describe, put together for tests by the same code as in the daemon's views.

use std::sync::{Mutex, PoisonError};

use distlog::{GoalId, Record, tree};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

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
