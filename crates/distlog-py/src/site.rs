//! Call sites: where in a program a record comes from, found once for each place.
//!
//! The interpreter finds a frame's line by walking the function's line table from its top, which makes a call in a function of 2,000
//! lines cost seven calls in a short one. A place is known by its code object and the offset of the instruction that runs (`f_lasti`), and
//! neither can come to mean another place while the code object lives, which the [`Site`] sees to by holding it. So a place is looked at
//! once, and its part of a record is rendered once for each form:
//!
//! `pathname`, `filename`, `module`, (`exc_info`, `exc_text`, `stack_info`: none), `lineno`, `funcName`, as members of a map, without
//! what stands before the first and behind the last.
//!
//! Bounds: the sites of the last [`GENERATION`] places are kept, and at most as many again. The table is locked only while the
//! interpreter's lock is held and never across a call into Python, so no fork finds it locked, and nobody waits for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::once::Once;
use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::encode::value::Encoder;
use crate::encode::writer::{Json, Pickle, Writer};

/// How many places make a generation.
const GENERATION: usize = 4096;

static SITES: Mutex<Table> = Mutex::new(Table { young: Sites::with_hasher(Build::new()), old: None });
static GET_FRAME: Once<Py<PyAny>> = Once::new();
static NAMES: Once<Names> = Once::new();

/// The innermost Python frame that runs. Native methods have none: called in one, this is the frame that called it.
pub(crate) fn innermost(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    GET_FRAME
        .get_or_try_init(py, || py.import("sys")?.getattr("_getframe").map(Bound::unbind))?
        .bind(py)
        .call0()
}

/// The frame that called this one.
pub(crate) fn outer<'py>(frame: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    frame.getattr(intern!(frame.py(), "f_back")).ok().filter(|outer| !outer.is_none())
}

/// The name of the module that the frame runs in (`__name__` of its globals), if it has one.
pub(crate) fn module_name<'py>(frame: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    let py = frame.py();
    let globals = frame.getattr(intern!(py, "f_globals")).ok()?;
    let name = globals.cast::<PyDict>().ok()?.get_item(intern!(py, "__name__")).ok()??;
    name.cast_into().ok()
}

/// A place in a program, as a record names it. Values are what the standard library would put into the record.
pub(crate) struct Site {
    /// Held so that its address stays its own.
    _code: Py<PyAny>,
    pub(crate) pathname: Py<PyAny>,
    pub(crate) filename: Py<PyAny>,
    pub(crate) module: Py<PyAny>,
    pub(crate) lineno: Py<PyAny>,
    pub(crate) function: Py<PyAny>,
    /// It lies in the standard library's `logging` or (from Python 3.11 on) in the import machinery: logging looks for callers further out.
    pub(crate) is_internal: bool,
    /// `co_flags` of its code, which say what kind of function it is in.
    pub(crate) flags: u32,
    json: OnceLock<Part>,
    pickle: OnceLock<Part>,
}

/// What a site is in a record of one form.
pub(crate) struct Part {
    bytes: Box<[u8]>,
    /// The same with what stands before it in records of the first logger and level that were seen here.
    with_level: OnceLock<WithLevel>,
}

/// `name`, `levelname`, `levelno`, and the site.
struct WithLevel {
    name: Py<PyString>,
    level_name: Py<PyString>,
    level: i64,
    bytes: Box<[u8]>,
}

impl Part {
    /// All members, for a record without exception and stack.
    pub(crate) fn whole(&self) -> &[u8] {
        &self.bytes
    }

    /// The same with `name`, `levelname` and `levelno` before it, if they are kept.
    pub(crate) fn with_level(
        &self,
        name: &Bound<'_, PyString>,
        level_name: &Bound<'_, PyString>,
        level: i64,
    ) -> Option<&[u8]> {
        let kept = self.with_level.get()?;
        let is_same = kept.name.is(name) && kept.level_name.is(level_name) && kept.level == level;
        is_same.then_some(&*kept.bytes)
    }

    /// Keeps what was written of these.
    pub(crate) fn keep(
        &self,
        name: &Bound<'_, PyString>,
        level_name: &Bound<'_, PyString>,
        level: i64,
        bytes: &[u8],
    ) {
        self.with_level.get_or_init(|| WithLevel {
            name: name.clone().unbind(),
            level_name: level_name.clone().unbind(),
            level,
            bytes: bytes.into(),
        });
    }
}

/// A form that sites are rendered in.
pub(crate) trait Form: Writer {
    fn kept(site: &Site) -> &OnceLock<Part>;
}

impl Form for Json {
    fn kept(site: &Site) -> &OnceLock<Part> {
        &site.json
    }
}

impl Form for Pickle {
    fn kept(site: &Site) -> &OnceLock<Part> {
        &site.pickle
    }
}

impl Site {
    /// The place that a frame is at.
    pub(crate) fn of(frame: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = frame.py();
        let code = frame.getattr(intern!(py, "f_code"))?;
        let at: i32 = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
        let key = (code.as_ptr() as usize, at);
        if let Some(site) = SITES.lock().unwrap_or_else(PoisonError::into_inner).find(key) {
            return Ok(site);
        }
        let site = Arc::new(Self::look(frame, code)?);
        let aged = SITES.lock().unwrap_or_else(PoisonError::into_inner).add(key, Arc::clone(&site));
        // Only now that the table is free again: code objects that go may run code of others.
        drop(aged);
        Ok(site)
    }

    /// Its part of a record.
    pub(crate) fn part<W: Form>(&self, py: Python<'_>) -> &Part {
        W::kept(self).get_or_init(|| self.render::<W>(py))
    }

    fn look(frame: &Bound<'_, PyAny>, code: Bound<'_, PyAny>) -> PyResult<Self> {
        let py = frame.py();
        let names = Names::get(py)?;
        let pathname = code.getattr(intern!(py, "co_filename"))?;
        let (filename, module) = names.split(&pathname);
        Ok(Self {
            flags: code.getattr(intern!(py, "co_flags"))?.extract()?,
            is_internal: names.are_internal(&pathname)?,
            filename: filename.unbind(),
            module: module.unbind(),
            pathname: pathname.unbind(),
            lineno: frame.getattr(intern!(py, "f_lineno"))?.unbind(),
            function: code.getattr(intern!(py, "co_name"))?.unbind(),
            _code: code.unbind(),
            json: OnceLock::new(),
            pickle: OnceLock::new(),
        })
    }

    fn render<W: Form>(&self, py: Python<'_>) -> Part {
        let none = &py.None();
        let bytes = members::<W>(
            py,
            &[
                ("pathname", &self.pathname),
                ("filename", &self.filename),
                ("module", &self.module),
                ("exc_info", none),
                ("exc_text", none),
                ("stack_info", none),
                ("lineno", &self.lineno),
                ("funcName", &self.function),
            ],
        );
        Part { bytes, with_level: OnceLock::new() }
    }
}

/// Members of a map, without what opens and closes it.
fn members<W: Form>(py: Python<'_>, members: &[(&str, &Py<PyAny>)]) -> Box<[u8]> {
    let mut encoder = Encoder::<W>::new(py);
    encoder.out.open_map();
    let start = encoder.out.len();
    for (name, value) in members {
        encoder.out.key(name);
        encoder.value(value.bind(py));
    }
    let end = encoder.out.len();
    encoder.finish(|written| written.get(start..end).unwrap_or_default().into())
}

/// What the standard library makes names with.
struct Names {
    basename: Py<PyAny>,
    splitext: Py<PyAny>,
    normcase: Py<PyAny>,
    /// The file of `logging`, as it names it itself.
    logging: String,
    passes_over_imports: bool,
}

impl Names {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        NAMES.get_or_try_init(py, || {
            let path = py.import("os")?.getattr("path")?;
            let logging = py.import("logging")?;
            // Not `_srcfile`, which programs set to None: its code says the same.
            let of_logging = logging.getattr("getLogger")?.getattr("__code__")?.getattr("co_filename")?;
            Ok(Self {
                logging: path.call_method1("normcase", (of_logging,))?.extract()?,
                passes_over_imports: logging.hasattr("_is_internal_frame")?,
                basename: path.getattr("basename")?.unbind(),
                splitext: path.getattr("splitext")?.unbind(),
                normcase: path.getattr("normcase")?.unbind(),
            })
        })
    }

    /// File name and module name of a path.
    fn split<'py>(&self, path: &Bound<'py, PyAny>) -> (Bound<'py, PyAny>, Bound<'py, PyAny>) {
        let py = path.py();
        let split = || {
            let filename = self.basename.bind(py).call1((path,))?;
            let module = self.splitext.bind(py).call1((&filename,))?.get_item(0)?;
            PyResult::Ok((filename, module))
        };
        split().unwrap_or_else(|_| (path.clone(), intern!(py, "Unknown module").clone().into_any()))
    }

    fn are_internal(&self, path: &Bound<'_, PyAny>) -> PyResult<bool> {
        let path = self.normcase.bind(path.py()).call1((path,))?;
        let path = path.cast::<PyString>()?.to_string_lossy();
        Ok(path == self.logging
            || self.passes_over_imports && path.contains("importlib") && path.contains("_bootstrap"))
    }
}

/// For tables that are keyed by addresses.
pub(crate) type Build = BuildHasherDefault<Mixer>;
type Key = (usize, i32);
type Sites = HashMap<Key, Arc<Site>, Build>;

/// The sites that are known, in two generations: when the young one is full it becomes the old one, and the old one goes.
struct Table {
    young: Sites,
    old: Option<Sites>,
}

impl Table {
    fn find(&mut self, key: Key) -> Option<Arc<Site>> {
        if let Some(site) = self.young.get(&key) {
            return Some(Arc::clone(site));
        }
        let site = self.old.as_mut()?.remove(&key)?;
        // The old generation has room for what it gave: the sum of both stays below two generations.
        self.young.insert(key, Arc::clone(&site));
        Some(site)
    }

    /// Gives what went, to be dropped elsewhere.
    fn add(&mut self, key: Key, site: Arc<Site>) -> Option<(Option<Sites>, Option<Arc<Site>>)> {
        let aged = (self.young.len() >= GENERATION).then(|| {
            let full = std::mem::take(&mut self.young);
            self.old.replace(full)
        });
        let same = self.young.insert(key, site);
        Some((aged.flatten(), same))
    }
}

/// Mixes an address and an offset. Nobody outside chooses them, so no more is needed.
#[derive(Default)]
pub(crate) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_i32(&mut self, value: i32) {
        self.write_u64(u64::from(value as u32));
    }
}

/// `(module, pathname, lineno, function)` of the place that a frame is at.
#[pyfunction]
pub(crate) fn site_of<'py>(frame: &Bound<'py, PyAny>) -> PyResult<SiteParts<'py>> {
    let py = frame.py();
    let site = Site::of(frame)?;
    let number = site.lineno.bind(py);
    let lineno = if number.is_none() { 0_i32.into_pyobject(py)?.into_any() } else { number.clone() };
    let module = module_name(frame).unwrap_or_else(|| intern!(py, "root").clone());
    Ok((module, site.pathname.bind(py).clone(), lineno, site.function.bind(py).clone()))
}

type SiteParts<'py> = (Bound<'py, PyString>, Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);
