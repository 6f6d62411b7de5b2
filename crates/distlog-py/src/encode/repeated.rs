//! What record after record says again, written once: where in the program it comes from, and in which thread.
//!
//! `name` … `funcName` are the same for every record of a call, and `thread` … `process` for every record of a thread, so their members
//! are kept as they were written and copied. That they are the same is known by identity, of texts that are kept here so that no other
//! can come to lie where they lay; numbers, and texts that the standard library makes anew for each record, are compared.
//!
//! All tables have a fixed size and one place for each hash: what comes later takes it. They are locked only while the interpreter's
//! lock is held, and never across a call into Python, so no fork finds them locked and nobody waits for them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use super::writer::Writer;

/// Places of the tables; powers of two.
const SITES: usize = 1024;
const THREADS: usize = 64;
/// Longer texts, in bytes, are not kept.
const MAX_TEXT: usize = 512;

/// Spreads what addresses have in common.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

static BY_SITE: Table = Table::new();
static BY_FAILURE: Table = Table::new();
static BY_THREAD: Table = Table::new();

/// The values that make two records of one call the same. The first four texts are compared by identity.
pub(crate) struct Origin<'a, 'py> {
    /// `name`, `levelname`, `pathname`, `funcName`; or `threadName`, `processName`.
    pub(crate) same: [Option<&'a Bound<'py, PyAny>>; 4],
    /// `filename`, `module`.
    pub(crate) equal: [Option<&'a Bound<'py, PyAny>>; 2],
    /// `levelno`, `lineno`; or `thread`, `process`.
    pub(crate) numbers: [&'a Bound<'py, PyAny>; 2],
}

/// Which table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    Site,
    /// A site, for records with an exception.
    Raised,
    Thread,
}

/// What is kept of one origin.
struct Kept {
    same: [Option<Py<PyAny>>; 4],
    equal: [String; 2],
    numbers: [i64; 2],
    /// The members, in each form that was asked for.
    written: [Option<Box<[u8]>>; 2],
}

struct Table {
    places: Mutex<Vec<Option<Kept>>>,
}

impl Table {
    const fn new() -> Self {
        Self { places: Mutex::new(Vec::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Kept>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'py> Origin<'_, 'py> {
    /// The two numbers, if that is what they are.
    pub(crate) fn numbers(&self) -> Option<[i64; 2]> {
        let [first, second] = self.numbers;
        let number = |value: &Bound<'py, PyAny>| {
            if value.is_exact_instance_of::<PyInt>() { value.extract::<i64>().ok() } else { None }
        };
        Some([number(first)?, number(second)?])
    }

    /// Copies the members to `out`, if they are kept.
    pub(crate) fn copy<W: Writer>(&self, kind: Repeated, numbers: [i64; 2], out: &mut W) -> bool {
        let (table, place) = self.place(kind, numbers);
        let places = table.lock();
        let Some(Some(kept)) = places.get(place) else { return false };
        let Some(Some(written)) = kept.written.get(W::FORM) else { return false };
        if !self.is(kept, numbers) {
            return false;
        }
        out.members(written);
        true
    }

    /// Keeps the members that were just written for this.
    #[cold]
    pub(crate) fn keep<W: Writer>(&self, kind: Repeated, numbers: [i64; 2], written: &[u8]) {
        if written.len() > MAX_TEXT * 4 || self.texts().any(|text| !text.is_exact_instance_of::<PyString>()) {
            return;
        }
        let text = |value: &Option<&Bound<'py, PyAny>>| {
            value.map_or(Some(String::new()), |value| value.extract::<String>().ok())
        };
        let [filename, module] = &self.equal;
        let (Some(filename), Some(module)) = (text(filename), text(module)) else { return };
        let (table, place) = self.place(kind, numbers);
        let mut places = table.lock();
        if places.is_empty() {
            let count = if kind == Repeated::Thread { THREADS } else { SITES };
            places.resize_with(count, || None);
        }
        let Some(here) = places.get_mut(place) else { return };
        let fresh = || Kept {
            same: self.same.map(|value| value.map(|value| value.clone().unbind())),
            equal: [filename, module],
            numbers,
            written: [None, None],
        };
        let mut gone = None;
        if !here.as_ref().is_some_and(|kept| self.is(kept, numbers)) {
            gone = here.replace(fresh());
        }
        if let Some(form) = here.as_mut().and_then(|kept| kept.written.get_mut(W::FORM)) {
            *form = Some(written.into());
        }
        drop(places);
        // Objects that go may run code: only now that the table is free again.
        drop(gone);
    }

    fn is(&self, kept: &Kept, numbers: [i64; 2]) -> bool {
        kept.numbers == numbers
            && kept.same.iter().zip(&self.same).all(|(kept, value)| match (kept, value) {
                (Some(kept), Some(value)) => kept.is(*value),
                (None, None) => true,
                _ => false,
            })
            && kept.equal.iter().zip(&self.equal).all(|(kept, value)| {
                value.is_none_or(|value| {
                    value
                        .cast_exact::<PyString>()
                        .is_ok_and(|text| text.to_cow().is_ok_and(|text| text == kept.as_str()))
                })
            })
    }

    fn place(&self, kind: Repeated, [first, second]: [i64; 2]) -> (&'static Table, usize) {
        let mut mixed = (first as u64) ^ (second as u64).rotate_left(17);
        for value in self.same.iter().flatten() {
            mixed = (mixed.rotate_left(5) ^ (value.as_ptr() as usize as u64 >> 4)).wrapping_mul(MIX);
        }
        let mixed = (mixed >> 40) as usize;
        match kind {
            Repeated::Site => (&BY_SITE, mixed % SITES),
            Repeated::Raised => (&BY_FAILURE, mixed % SITES),
            Repeated::Thread => (&BY_THREAD, mixed % THREADS),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &Bound<'py, PyAny>> {
        self.same.iter().chain(&self.equal).flatten().copied()
    }
}
