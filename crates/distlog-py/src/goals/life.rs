//! What changes about a goal while it is open.

use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::Task;
use super::flow::{self, Flow};
use super::logged::{Begun, Place};

/// The part of a goal that changes. Whoever changes it lets go what was there only when it is unlocked again.
pub(super) struct Life {
    /// What was current before.
    pub(super) outer: Option<Py<PyAny>>,
    pub(super) bound: Py<PyDict>,
    /// Numbers of children that were reserved for work elsewhere.
    pub(super) awaited: Vec<u32>,
    pub(super) outcome: Option<Outcome>,
    /// The handlers that know that it began. Held, so that their addresses stay their own.
    pub(super) heard_by: Vec<Py<PyAny>>,
    /// The handlers that took its begin record, by address.
    pub(super) begun_for: Vec<usize>,
    pub(super) begun: Option<Begun>,
    pub(super) place: Option<Place>,
    pub(super) generator: Generator,
    pub(super) flow: Flow,
    pub(super) began: Option<Instant>,
    pub(super) generation: u32,
    /// What a forked child does of it.
    pub(super) in_child: Option<Py<Task>>,
}

/// What its end record is to say.
pub(super) struct Outcome {
    pub(super) failed: bool,
    pub(super) msg: Py<PyAny>,
    pub(super) args: Py<PyTuple>,
    pub(super) fields: Py<PyDict>,
}

/// What is let go when a life is taken apart.
type Remains =
    (Option<Py<PyAny>>, Vec<Py<PyAny>>, Option<Begun>, Generator, Option<Outcome>, Option<Py<Task>>);

/// The frame of a generator, and whether it is an asynchronous one.
pub(super) type Generator = Option<(Py<PyAny>, bool)>;

impl Life {
    pub(super) fn new(bound: Py<PyDict>) -> Self {
        Self {
            outer: None,
            bound,
            awaited: Vec::new(),
            outcome: None,
            heard_by: Vec::new(),
            begun_for: Vec::new(),
            begun: None,
            place: None,
            generator: None,
            flow: (0, 0),
            began: None,
            generation: 0,
            in_child: None,
        }
    }

    pub(super) fn begin(&mut self, outer: Option<Py<PyAny>>, generator: Generator, flow: Flow) {
        self.outer = outer;
        self.generator = generator;
        self.flow = flow;
        self.began = Some(Instant::now());
        self.generation = flow::generation();
    }

    /// What a forked child does of it, and the frame of its generator.
    pub(super) fn end(&mut self) -> (Option<Py<Task>>, Generator) {
        (self.in_child.take(), self.generator.take())
    }

    /// Takes the first outcome. Gives back a later one, and whether the first was a failure.
    pub(super) fn decide(&mut self, outcome: Outcome) -> (Result<(), bool>, Option<Outcome>) {
        match &self.outcome {
            Some(first) => (Err(first.failed), Some(outcome)),
            None => {
                self.outcome = Some(outcome);
                (Ok(()), None)
            }
        }
    }

    /// Whether a handler knows that it began.
    pub(super) fn was_heard_by(&self, handler: &Bound<'_, PyAny>) -> bool {
        self.heard_by.iter().any(|one| one.is(handler))
    }

    pub(super) fn traverse(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.outer)?;
        visit.call(&self.bound)?;
        for handler in &self.heard_by {
            visit.call(handler)?;
        }
        if let Some(outcome) = &self.outcome {
            visit.call(&outcome.msg)?;
            visit.call(&outcome.args)?;
            visit.call(&outcome.fields)?;
        }
        if let Some(begun) = &self.begun {
            begun.traverse(visit)?;
        }
        if let Some((frame, _)) = &self.generator {
            visit.call(frame)?;
        }
        visit.call(&self.in_child)
    }

    /// Everything that may be part of a cycle.
    pub(super) fn take(&mut self) -> Remains {
        (
            self.outer.take(),
            std::mem::take(&mut self.heard_by),
            self.begun.take(),
            self.generator.take(),
            self.outcome.take(),
            self.in_child.take(),
        )
    }
}
