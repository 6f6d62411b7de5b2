//! The hot half of `ZmqHandler`: from a record to the queue without a Python frame.
//!
//! `logging` calls `handle` of every handler for every record. [`Core`] is the first class that `ZmqHandler` is made of, so the call ends
//! here: with no filter and nothing overridden, the record is encoded and queued at once. `python/distlog/handler.py` tells by `_plan`
//! whether that is so; otherwise `_handle` and `_emit` there do the same, with whatever a subclass, a filter or a foreign formatter adds.
//!
//! Nothing here waits or raises: what goes wrong ends in `handleError`, as with every handler.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::once::intern;
use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyList, PyTuple};

use crate::encode;
use crate::sender::Sender;
use crate::teardown;

/// Set once it is known that nothing ends this process without notice. Until then the handler is asked to let each record leave.
static SETTLED: AtomicBool = AtomicBool::new(false);

/// Says whether records may wait in the queue of this process; false after a fork, until the child knows.
#[pyfunction]
pub(crate) fn settled(may_wait: bool) {
    SETTLED.store(may_wait, Ordering::Relaxed);
    if !may_wait {
        teardown::begins_anew();
    }
}

/// What a handler needs to send without asking Python.
#[pyclass(frozen, subclass, module = "distlog._distlog")]
pub(crate) struct Core {
    sender: OnceLock<Py<Sender>>,
    /// The handler's list of filters: the list itself, since others append to it.
    filters: OnceLock<Py<PyList>>,
    /// The topic's three letters; the last names the form.
    topic: AtomicU32,
    /// `handle` may go the short way, while there is no filter.
    handles: AtomicBool,
    /// `emit` may.
    emits: AtomicBool,
}

#[pymethods]
impl Core {
    #[new]
    #[pyo3(signature = (*_args, **_named))]
    fn new(_args: &Bound<'_, PyTuple>, _named: Option<&Bound<'_, PyDict>>) -> Self {
        Self {
            sender: OnceLock::new(),
            filters: OnceLock::new(),
            topic: AtomicU32::new(0),
            handles: AtomicBool::new(false),
            emits: AtomicBool::new(false),
        }
    }

    /// Filter and emit, without a lock.
    fn handle<'py>(slf: &Bound<'py, Self>, record: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(_inside) = teardown::enter(slf.py()) else {
            return Ok(PyBool::new(slf.py(), false).to_owned().into_any());
        };
        let me = slf.get();
        if !me.handles.load(Ordering::Relaxed) || !me.is_unfiltered(slf.py()) {
            return slf.call_method1(intern!(slf.py(), "_handle"), (record,));
        }
        Self::emit(slf, record)?;
        Ok(passed(record))
    }

    /// Encode the record and queue it. Never waits, never raises.
    fn emit<'py>(slf: &Bound<'py, Self>, record: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let Some(_inside) = teardown::enter(slf.py()) else { return Ok(()) };
        let me = slf.get();
        let sender = me.sender.get().filter(|_| me.emits.load(Ordering::Relaxed));
        let Some(sender) = sender else {
            return slf.call_method1(intern!(py, "_emit"), (record,)).map(drop);
        };
        match me.send(slf, sender.get(), record) {
            Err(error) if error.is_instance_of::<PyException>(py) => {
                slf.call_method1(intern!(py, "_failed"), (error.value(py), record)).map(drop)
            }
            other => other,
        }
    }

    /// Says what the handler is made of now. Only the first sender and the first list of filters count.
    fn _plan(
        &self,
        py: Python<'_>,
        sender: Option<Py<Sender>>,
        filters: Py<PyList>,
        topic: [u8; 3],
        handles: bool,
        emits: bool,
    ) {
        if let Some(sender) = sender {
            self.sender.get_or_init(|| sender);
        }
        let [system, kind, form] = topic;
        self.topic.store(u32::from_be_bytes([0, system, kind, form]), Ordering::Relaxed);
        self.emits.store(emits, Ordering::Relaxed);
        let same = self.filters.get_or_init(|| filters.clone_ref(py)).is(&filters);
        self.handles.store(handles && same, Ordering::Relaxed);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.filters.get().map_or(Ok(()), |filters| visit.call(filters))
    }
}

impl Core {
    /// The letter of the form in which records that come to the handler are sent by nobody but [`Core::queue`].
    pub(crate) fn form(&self, py: Python<'_>) -> Option<u8> {
        let is_plain = self.handles.load(Ordering::Relaxed) && self.emits.load(Ordering::Relaxed);
        if !is_plain || !self.is_unfiltered(py) || self.sender.get().is_none() {
            return None;
        }
        let [.., form] = self.topic.load(Ordering::Relaxed).to_be_bytes();
        Some(form)
    }

    /// Sends a message in that form.
    pub(crate) fn queue(slf: &Bound<'_, Self>, body: &[u8], level: i64) {
        let me = slf.get();
        let [_, system, kind, form] = me.topic.load(Ordering::Relaxed).to_be_bytes();
        if let Some(sender) = me.sender.get() {
            sender.get().queue([system, kind, form], body, level);
        }
    }

    /// After a message was queued: waits for it to leave where processes end without notice.
    pub(crate) fn settle(slf: &Bound<'_, Self>) -> PyResult<()> {
        if SETTLED.load(Ordering::Relaxed) {
            return Ok(());
        }
        slf.call_method0(intern!(slf.py(), "_let_leave")).map(drop)
    }

    fn is_unfiltered(&self, py: Python<'_>) -> bool {
        self.filters.get().is_some_and(|filters| filters.bind(py).is_empty())
    }

    fn send<'py>(&self, slf: &Bound<'py, Self>, sender: &Sender, record: &Bound<'py, PyAny>) -> PyResult<()> {
        let [_, system, kind, form] = self.topic.load(Ordering::Relaxed).to_be_bytes();
        let taken = encode::Taken::of(record);
        if !taken.announce(slf.as_any())? {
            return Ok(());
        }
        let queue = |body: &[u8], level| sender.queue([system, kind, form], body, level);
        if form == b'J' {
            taken.json(queue)
        } else {
            taken.pickle(queue)
        };
        Self::settle(slf)
    }
}

/// What `handle` gives for a record that was not filtered out: since Python 3.12 the record.
fn passed<'py>(record: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    static GIVES_RECORD: OnceLock<bool> = OnceLock::new();
    let py = record.py();
    if *GIVES_RECORD.get_or_init(|| py.version_info() >= (3, 12)) {
        record.clone()
    } else {
        PyBool::new(py, true).to_owned().into_any()
    }
}
