//! The places that tracebacks go through, each looked at and written once.
//!
//! A place is a code object and the offset of an instruction in it (`tb_lasti`); asking the interpreter for its line means walking the
//! function's line table, and its source line means looking at the file. What is kept holds the code object, so the place cannot come to
//! mean another one. At most [`MAX_PLACES`] are kept, and then all are forgotten. The table is locked only while the interpreter's lock
//! is held and never across a call into Python, so no fork finds it locked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::value::plain_text;
use crate::site::Build;

/// Most places that are kept.
const MAX_PLACES: usize = 4096;

static PLACES: Mutex<Option<Places>> = Mutex::new(None);

type Places = HashMap<(usize, i32), Arc<Frame>, Build>;

/// One line of a traceback.
pub(crate) struct Frame {
    /// Held so that its address stays its own.
    _code: Py<PyAny>,
    pub(crate) file: String,
    pub(crate) line: i64,
    pub(crate) function: String,
    /// How a traceback says it, with its source line if there is one.
    pub(crate) text: String,
    /// The frame as data, in each form that was asked for.
    pub(crate) written: [OnceLock<Box<[u8]>>; 2],
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.line == other.line && self.file == other.file && self.function == other.function)
    }
}

impl Frame {
    /// The place of a link of a traceback.
    pub(crate) fn of(link: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = link.py();
        let frame = link.getattr(intern!(py, "tb_frame"))?;
        let code = frame.getattr(intern!(py, "f_code"))?;
        let at: i32 = link.getattr(intern!(py, "tb_lasti"))?.extract()?;
        let place = (code.as_ptr() as usize, at);
        {
            let places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = places.as_ref().and_then(|places| places.get(&place)) {
                return Ok(Arc::clone(known));
            }
        }
        let found = Arc::new(Self::look(link, &frame, code)?);
        let mut forgotten = None;
        {
            let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
            if places.as_ref().is_some_and(|places| places.len() >= MAX_PLACES) {
                forgotten = places.take();
            }
            places.get_or_insert_default().insert(place, Arc::clone(&found));
        }
        // Code objects that go may run code of others: only now that the table is free.
        drop(forgotten);
        Ok(found)
    }

    fn look(link: &Bound<'_, PyAny>, frame: &Bound<'_, PyAny>, code: Bound<'_, PyAny>) -> PyResult<Self> {
        let text =
            |name| code.getattr(name).map(|text| text.cast::<PyString>().map(plain_text).unwrap_or_default());
        // A traceback's line is None where the compiler left none.
        let line = link.getattr("tb_lineno")?.extract().unwrap_or_default();
        let (file, function) = (text("co_filename")?, text("co_name")?);
        let mut written = format!("  File \"{file}\", line {line}, in {function}\n");
        // A file that cannot be read has no source lines, and that is all.
        let source = source(frame, &file, line).unwrap_or_default();
        let source = source.trim();
        if !source.is_empty() {
            written.push_str(&format!("    {source}\n"));
        }
        Ok(Self {
            _code: code.unbind(),
            file,
            line,
            function,
            text: written,
            written: [const { OnceLock::new() }; 2],
        })
    }
}

fn source(frame: &Bound<'_, PyAny>, file: &str, line: i64) -> PyResult<String> {
    let cache = frame.py().import("linecache")?;
    // The file may be another one than when it was read last.
    cache.call_method1("checkcache", (file,))?;
    let found = cache.call_method1("getline", (file, line, frame.getattr("f_globals")?))?;
    Ok(plain_text(found.cast()?))
}
