//! The end of the interpreter, for threads that are still at work in here.
//!
//! Once it finalizes, Python up to 3.13 ends every other thread where that asks for the interpreter's lock, by `pthread_exit`. That
//! unwinds the thread's stack, and a frame of Rust that has called into Python does not let it pass: the process would abort. So at the end
//! nobody may be in here in the midst of a call into Python. [`enter`] counts who is, and after [`end_begins`] lets nobody in but the thread
//! that ends the process; the others find nothing done, which is what they would find a moment later anyway.
//!
//! All of this happens while the interpreter's lock is held, so counting needs no more than a load and a store.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

/// How long a thread stands back that is not let in.
const PAUSE: Duration = Duration::from_millis(5);

/// How many calls from Python are in here.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The thread that ends the process.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

/// Somebody is in here, until this is dropped.
pub(crate) struct Inside(());

/// Lets a call from Python in; `None` if the interpreter ends and this is not the thread that ends it.
pub(crate) fn enter(py: Python<'_>) -> Option<Inside> {
    if ENDING.get().is_some_and(|one| *one != thread::current().id()) {
        // Those who are still inside need the interpreter's lock to get out.
        py.detach(|| thread::sleep(PAUSE));
        return None;
    }
    INSIDE.store(INSIDE.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    Some(Inside(()))
}

/// As [`enter`]; but where there is nothing to give back, the thread never comes back.
pub(crate) fn enter_or_stay(py: Python<'_>) -> Inside {
    enter(py).unwrap_or_else(|| {
        py.detach(|| {
            loop {
                thread::park();
            }
        })
    })
}

/// The interpreter ends; only this thread is let in from now on. How many calls are still in here.
#[pyfunction]
pub(crate) fn end_begins() -> usize {
    ENDING.get_or_init(|| thread::current().id());
    INSIDE.load(Ordering::Relaxed)
}

/// In a forked child the other threads are gone, wherever they were.
pub(crate) fn begins_anew() {
    INSIDE.store(0, Ordering::Relaxed);
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.store(INSIDE.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}
