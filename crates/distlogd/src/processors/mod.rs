//! Processors: where matching records go. One file per kind here, one row per kind in [`REGISTRY`].
//!
//! # Writing one
//!
//! Five parts, always in this order (see `file.rs`): the head with a YAML example; a settings struct; `read`, which
//! asks the [`Section`] for its options; the running struct with `impl Processor`; tests. Then a row in [`REGISTRY`].
//! From the row follow the YAML type, the messages that list what exists, and the conformance test.
//! Another crate hands its own rows to [`crate::main`].
//!
//! # The promise on both sides
//!
//! A processor has a thread of its own, gets one batch at a time, in order, and has nothing to do with cursors, filters,
//! back-off, counters or stopping: those are the runner's ([`crate::runner`]).
//! `Ok` means: taken over, do not send it again. Any failure says how many records from the batch's beginning were
//! taken over; the rest come again.

pub mod exec;
pub mod file;
pub mod python;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use distlog_store::Entry;

use crate::config::Section;
use crate::runner::Stop;
use crate::stats::ProcessorStats;

/// Every kind of processor that comes with the daemon.
pub const REGISTRY: &[Kind] = &[file::KIND, exec::KIND, python::KIND];

/// One kind of processor: a row of the registry.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The value of `type:`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The options of one that works, as YAML in braces: what the conformance test runs.
    pub example: &'static str,
    /// Reads its options. Mistakes are noted in the section; `None` if one of them leaves nothing to build.
    pub read: fn(&Section<'_>, &Surroundings) -> Option<Box<dyn Settings>>,
}

/// Where a processor is configured.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The processor's name in the configuration.
    pub name: String,
    /// The directory of the configuration file, absolute: what relative paths start from.
    pub directory: PathBuf,
}

/// Checked options, from which a running processor is made as often as needed.
pub trait Settings: Send + Sync {
    /// What is promised about a record sent here: one sentence for `distlogd check`.
    fn guarantee(&self) -> String;

    /// Makes the processor. Nothing outside is touched before [`Processor::start`].
    fn build(&self, running: Running) -> Box<dyn Processor>;
}

/// What a running processor is given.
#[derive(Clone)]
pub struct Running {
    /// Set when the daemon stops: whoever waits must look at it.
    pub stop: Arc<Stop>,
    /// Its counters.
    pub stats: Arc<ProcessorStats>,
}

/// A running processor. See the module's head for the promise.
pub trait Processor: Send {
    /// Called before the first batch, again with back-off while it fails.
    fn start(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Takes over a batch, never empty, in order.
    fn process(&mut self, batch: &[Entry]) -> Result<(), Failure>;

    /// Called once, before the processor is dropped, to get out what it holds until the deadline.
    fn flush(&mut self, deadline: Instant) -> Result<(), Failure> {
        let _ = deadline;
        Ok(())
    }
}

/// Why a batch was not taken over as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Not now: the records from `done` on come again after a pause.
    Retry {
        /// How many records from the batch's beginning were taken over.
        done: usize,
        /// For people.
        reason: String,
    },
    /// Never: the record at `done` is refused for good, those after it come again at once.
    Reject {
        /// How many records from the batch's beginning were taken over.
        done: usize,
        /// For people.
        reason: String,
    },
}

impl Failure {
    /// Nothing of the batch was taken over.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { done: 0, reason: reason.into() }
    }
}

/// A record's JSON as one line. Line ends can only be white space between tokens: within text they are escaped.
fn one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}
