//! The transport's sender for Python: encoded and queued in one call, and whole again after a fork.
//!
//! A forked child has neither the parent's thread nor, perhaps, its locks. So every call first looks whether the process is still the
//! same; in a child the parent's sender is left untouched and a new one made of the same options. What the parent
//! had queued is the parent's to send.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use distlog::json;
use distlog_transport as transport;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::encode;

/// The longest wait that is a number of seconds and not a mistake.
const MAX_WAIT: f64 = 86_400.0;

/// The interpreter was forked, and this is the child: senders made before belong to the parent.
#[pyfunction]
pub(crate) fn forked() {
    transport::forked();
}

/// A bounded queue and a thread that empties it into a 0MQ PUSH socket, or a DEALER that is answered.
#[pyclass(frozen, module = "distlog._distlog")]
pub(crate) struct Sender {
    first: Generation,
    /// What is closed stays so in a forked child.
    closed: AtomicBool,
}

/// The sender of one process, and of the child that it forked, if it was forked from.
struct Generation {
    sender: transport::Sender,
    /// Filled while the interpreter's lock is held, and nothing in Python runs meanwhile: so never half filled during a fork.
    child: OnceLock<Box<Generation>>,
}

#[pymethods]
impl Sender {
    #[new]
    #[pyo3(signature = (endpoint, *, acks, queue_bytes, notice, gap_topic, gap_fields))]
    fn new(
        endpoint: String,
        acks: Option<bool>,
        queue_bytes: usize,
        notice: Option<String>,
        gap_topic: [u8; 3],
        gap_fields: String,
    ) -> PyResult<Self> {
        let gap: transport::GapRecord =
            Arc::new(move |gap| (gap_topic, gap_record(gap, &gap_fields).into_bytes()));
        let options = transport::SenderOptions {
            endpoint,
            acks: match acks {
                Some(true) => transport::Acks::Always,
                Some(false) => transport::Acks::Never,
                None => transport::Acks::IfOffered,
            },
            queue_bytes,
            notice,
            gap: Some(gap),
            ..transport::SenderOptions::default()
        };
        let sender =
            transport::Sender::new(options).map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(Self { first: Generation::new(sender), closed: AtomicBool::new(false) })
    }

    /// Encodes a record as JSON and queues it; false if it was dropped.
    fn send_json(&self, topic: &[u8], record: &Bound<'_, PyAny>) -> bool {
        encode::Taken::of(record).json(|body, level| self.push(topic, body, level))
    }

    /// Encodes a record as a pickled dict and queues it; false if it was dropped.
    fn send_pickle(&self, topic: &[u8], record: &Bound<'_, PyAny>) -> bool {
        encode::Taken::of(record).pickle(|body, level| self.push(topic, body, level))
    }

    /// Queues a message that is encoded already; false if it was dropped.
    fn send(&self, topic: &[u8], body: &[u8], level: i64) -> bool {
        self.push(topic, body, level)
    }

    /// Waits until all was handed to the kernel, or answered; false if `timeout` seconds were not enough.
    fn flush(&self, py: Python<'_>, timeout: f64) -> bool {
        let sender = self.here();
        py.detach(|| sender.flush(wait(timeout)))
    }

    /// Takes no more, and waits as `flush` does.
    fn close(&self, py: Python<'_>, timeout: f64) -> bool {
        let sender = self.here();
        self.closed.store(true, Ordering::Relaxed);
        py.detach(|| sender.close(wait(timeout)))
    }

    /// What it has done so far.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.here().stats();
        let dropped = PyDict::new(py);
        dropped.set_item("full", stats.dropped_full)?;
        dropped.set_item("closed", stats.dropped_closed)?;
        dropped.set_item("oversized", stats.dropped_oversized)?;
        dropped.set_item("refused", stats.dropped_refused)?;
        let all = PyDict::new(py);
        all.set_item("queued", stats.queued)?;
        all.set_item("sent", stats.sent)?;
        all.set_item("acked", stats.acked)?;
        all.set_item("dropped", dropped)?;
        all.set_item("bytes", stats.bytes)?;
        all.set_item("answers", stats.answers)?;
        all.set_item("connected", stats.connected)?;
        all.set_item("reconnects", stats.reconnects)?;
        all.set_item("last_error", stats.last_error)?;
        let failing = stats.failing_since.and_then(|since| since.elapsed().ok());
        all.set_item("failing_seconds", failing.map(|time| time.as_secs_f64()))?;
        Ok(all)
    }
}

impl Sender {
    /// Queues a message; false if it was dropped.
    pub(crate) fn queue(&self, topic: [u8; 3], body: &[u8], level: i64) -> bool {
        self.here().push(topic, body, level) == transport::Pushed::Queued
    }

    fn push(&self, topic: &[u8], body: &[u8], level: i64) -> bool {
        // The handler makes the topic, of three letters.
        topic.try_into().is_ok_and(|topic| self.queue(topic, body, level))
    }

    /// The sender of this process.
    fn here(&self) -> &transport::Sender {
        let mut here = &self.first;
        while !here.sender.is_of_this_process() {
            let Some(child) = here.child(self.closed.load(Ordering::Relaxed)) else { break };
            here = child;
        }
        &here.sender
    }
}

impl Generation {
    fn new(sender: transport::Sender) -> Self {
        Self { sender, child: OnceLock::new() }
    }

    #[cold]
    fn child(&self, is_closed: bool) -> Option<&Self> {
        if self.child.get().is_none() {
            // The endpoint was read once already, so this cannot fail.
            let sender = transport::Sender::new(self.sender.options().clone()).ok()?;
            if is_closed {
                sender.close(Duration::ZERO);
            }
            self.child.get_or_init(|| Box::new(Self::new(sender)));
        }
        self.child.get().map(Box::as_ref)
    }
}

fn wait(seconds: f64) -> Duration {
    Duration::from_secs_f64(if seconds > 0.0 { seconds.min(MAX_WAIT) } else { 0.0 })
}

/// The record that tells of dropped ones, without help from Python: it is made in the sender's thread.
fn gap_record(gap: &transport::Gap, fields: &str) -> String {
    let seconds =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let plural = if gap.records == 1 { "" } else { "s" };
    let message = json::quoted(&format!("{} record{plural} dropped (queue full)", gap.records));
    format!(
        "{{\"message\":{message},\"name\":\"distlog\",\"msg\":{message},\"args\":null,\"levelname\":\"WARNING\",\"levelno\":30,\
         \"created\":{:?},\"distlog_dropped\":{{\"reason\":\"full\",\"records\":{},\"important\":{},\"first\":{:?},\"last\":{:?}}},\
         \"process\":{},{}}}",
        seconds(gap.last),
        gap.records,
        gap.important,
        seconds(gap.first),
        seconds(gap.last),
        std::process::id(),
        fields
    )
}
