//! Ids: of the form that the daemon knows, and new ones.

use std::cell::RefCell;

use crate::once::Once;
use crate::once::intern;
use distlog::GoalId;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::flow::generation;

/// So many ids are made of one call for random bytes.
const BATCH: usize = 32;

static URANDOM: Once<Py<PyAny>> = Once::new();

thread_local! {
    static RANDOM: RefCell<Random> = const { RefCell::new(Random { bytes: Vec::new(), owner: (0, 0) }) };
}

/// Random bytes that are left.
struct Random {
    bytes: Vec<u8>,
    /// The process they are for: a forked child must not have its parent's.
    owner: (u32, u32),
}

/// A goal's id in its one form, or `ValueError` saying what is wrong with it.
#[pyfunction]
pub(crate) fn parse_goal(id: &str) -> PyResult<String> {
    GoalId::parse(id).map(|id| id.to_string()).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// A new root's id: a random UUID.
pub(super) fn new_root(py: Python<'_>) -> PyResult<String> {
    let mut bytes = random(py)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut id = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            id.push('-');
        }
        for digit in [byte >> 4, byte & 0x0f] {
            id.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    Ok(id)
}

fn random(py: Python<'_>) -> PyResult<[u8; 16]> {
    let owner = (distlog_transport::process_id(), generation());
    let kept = RANDOM.with_borrow_mut(|random| {
        if random.owner != owner {
            return None;
        }
        let start = random.bytes.len().checked_sub(16)?;
        random.bytes.split_off(start).try_into().ok()
    });
    if let Some(bytes) = kept {
        return Ok(bytes);
    }
    let urandom = URANDOM.get_or_try_init(py, || py.import("os")?.getattr("urandom").map(Bound::unbind))?;
    let fresh = urandom.bind(py).call1((16 * BATCH,))?;
    let (first, rest) = fresh.cast::<PyBytes>()?.as_bytes().split_at_checked(16).unwrap_or_default();
    RANDOM.with_borrow_mut(|random| *random = Random { bytes: rest.to_vec(), owner });
    first.try_into().map_err(|_| PyValueError::new_err(intern!(py, "no random bytes").to_string()))
}
