//! A logging call → one message, without a record between: the same bytes that [`super::record`] makes of the call's record.
//!
//! Only for calls whose values are all of the plainest kinds, which run no code of their own, and without exception. Whether a call
//! is one shows on the way; what was written then is thrown away, and the call makes a record after all. Drawing a record's number
//! is not taken back by that, so that record must get the stamp that was used here.
//!
//! What a thread and a place always say is rendered once, and copied: see [`Running`] and [`crate::site`].

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::clock::iso8601;
use super::message;
use super::record::{ASCTIME, HOSTNAME, MESSAGE, OURS, hostname};
use super::stamp;
use super::value::Encoder;
use super::writer::{Json, Key, Pickle, key};
use crate::site::{Form, Site};

const MSG: Key = key!("msg");
const ARGS: Key = key!("args");
const NAME: Key = key!("name");
const LEVEL_NAME: Key = key!("levelname");
const LEVEL: Key = key!("levelno");
const CREATED: Key = key!("created");
const MSECS: Key = key!("msecs");
const RELATIVE: Key = key!("relativeCreated");
const TASK_NAME: Key = key!("taskName");
/// Longest name of an extra field, in bytes.
const MAX_NAME: usize = 256;

/// What a call says, and who says it.
pub(crate) struct Said<'a, 'py> {
    pub(crate) name: &'a Bound<'py, PyString>,
    pub(crate) level_name: &'a Bound<'py, PyString>,
    pub(crate) levelno: i64,
    pub(crate) msg: &'a Bound<'py, PyAny>,
    pub(crate) args: &'a [Borrowed<'a, 'py, PyAny>],
    pub(crate) extra: Option<Borrowed<'a, 'py, PyDict>>,
    pub(crate) site: &'a Site,
    pub(crate) stamp: Option<&'a Bound<'py, PyAny>>,
    pub(crate) moment: Moment,
    pub(crate) running: Running<'a, 'py>,
}

/// When it was said: seconds since the epoch, and milliseconds of the second and since `logging` was loaded.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) created: f64,
    pub(crate) msecs: f64,
    pub(crate) relative: f64,
}

/// Where it runs.
pub(crate) struct Running<'a, 'py> {
    pub(crate) thread: &'a Bound<'py, PyAny>,
    pub(crate) thread_name: &'a Bound<'py, PyAny>,
    pub(crate) process_name: &'a Bound<'py, PyAny>,
    pub(crate) process: u32,
    /// The outer `None` where records have no such attribute.
    pub(crate) task_name: Option<Option<Bound<'py, PyAny>>>,
}

/// The members `thread` … `process` as this thread wrote them last.
struct Kept {
    thread: Py<PyAny>,
    thread_name: Py<PyAny>,
    process_name: Py<PyAny>,
    process: u32,
    written: [Option<Box<[u8]>>; 2],
}

thread_local! {
    static KEPT: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

impl Said<'_, '_> {
    /// Gives the message in the form of this letter to `take`; `None` if the call is not plain.
    pub(crate) fn write<T>(&self, form: u8, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        if form == b'J' { self.written::<Json, T>(take) } else { self.written::<Pickle, T>(take) }
    }

    fn written<W: Form, T>(&self, take: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut encoder = Encoder::<W>::new(self.name.py());
        // Whatever is being written in this thread already may be what logs here.
        let is_plain = !encoder.is_careful() && encoder.call(self).is_some();
        encoder.finish(|body| is_plain.then(|| take(body)))
    }
}

impl<'py, W: Form> Encoder<'py, W> {
    fn call(&mut self, said: &Said<'_, 'py>) -> Option<()> {
        self.out.open_map();
        self.out.known(&MESSAGE);
        self.said(said)?;
        self.out.known(&HOSTNAME);
        self.text(hostname(self.py), 0);
        if let Some(stamp) = said.stamp {
            self.belongs(stamp)?;
        }
        self.out.known(&MSG);
        self.plainly(said.msg)?;
        self.out.known(&ARGS);
        self.args(said.args)?;
        self.origin(said)?;
        self.moment(said.moment);
        self.running(&said.running)?;
        if let Some(extra) = said.extra {
            for (name, value) in extra.iter() {
                self.extra(&name, &value)?;
            }
        }
        self.out.close_map();
        Some(())
    }

    fn plainly(&mut self, value: &Bound<'py, PyAny>) -> Option<()> {
        self.plain(value).then_some(())
    }

    fn said(&mut self, said: &Said<'_, 'py>) -> Option<()> {
        let msg = said.msg.cast_exact::<PyString>().ok()?;
        let start = self.out.len();
        if self.plain_message(msg, said.args.iter().copied()) {
            return Some(());
        }
        self.out.cut(start);
        // Numbers are written by Python in ways of their own.
        let args = PyTuple::new(self.py, said.args).ok()?;
        let (text, wrong) = message::render(self, msg, Some(args.as_any()));
        if wrong.is_some() || text.len() > message::MAX_QUICK {
            return None;
        }
        self.out.text(&text);
        Some(())
    }

    fn belongs(&mut self, stamp: &Bound<'py, PyAny>) -> Option<()> {
        if !self.plainly_in_goals(stamp) {
            self.in_goals(stamp);
        }
        Some(())
    }

    fn args(&mut self, args: &[Borrowed<'_, 'py, PyAny>]) -> Option<()> {
        self.out.open_tuple();
        for arg in args {
            self.out.item();
            if arg.is_exact_instance_of::<PyTuple>() {
                return None;
            }
            self.plainly(arg)?;
        }
        self.out.close_tuple();
        Some(())
    }

    fn origin(&mut self, said: &Said<'_, 'py>) -> Option<()> {
        let site = said.site.part::<W>(self.py);
        if let Some(written) = site.with_level(said.name, said.level_name, said.levelno) {
            self.out.members(written);
            return Some(());
        }
        let start = self.out.len();
        self.out.known(&NAME);
        self.plainly(said.name)?;
        self.out.known(&LEVEL_NAME);
        self.plainly(said.level_name)?;
        self.out.known(&LEVEL);
        self.out.int(said.levelno);
        self.out.members(site.whole());
        site.keep(said.name, said.level_name, said.levelno, self.out.since(start));
        Some(())
    }

    fn moment(&mut self, moment: Moment) {
        self.out.known(&CREATED);
        self.out.float(moment.created);
        if let Some(written) = iso8601(self.py, moment.created)
            && let Ok(text) = str::from_utf8(&written)
        {
            self.out.known(&ASCTIME);
            self.out.text(text);
        }
        self.out.known(&MSECS);
        self.out.float(moment.msecs);
        self.out.known(&RELATIVE);
        self.out.float(moment.relative);
    }

    fn running(&mut self, running: &Running<'_, 'py>) -> Option<()> {
        let is_known = KEPT.try_with(|kept| {
            let kept = kept.borrow();
            let written = kept.as_ref().filter(|kept| kept.is(running))?.written.get(W::FORM)?.as_ref()?;
            self.out.members(written);
            Some(())
        });
        // While the thread's own memory is taken down, nothing is kept.
        if !matches!(is_known, Ok(Some(()))) {
            self.first(running)?;
        }
        match &running.task_name {
            None => {}
            Some(None) => {
                self.out.known(&TASK_NAME);
                self.out.none();
            }
            Some(Some(name)) => {
                self.out.known(&TASK_NAME);
                self.plainly(name)?;
            }
        }
        Some(())
    }

    #[cold]
    fn first(&mut self, running: &Running<'_, 'py>) -> Option<()> {
        let start = self.out.len();
        for (name, value) in [
            ("thread", running.thread),
            ("threadName", running.thread_name),
            ("processName", running.process_name),
        ] {
            self.out.key(name);
            self.plainly(value)?;
        }
        self.out.key("process");
        self.out.int(i64::from(running.process));
        let written: Box<[u8]> = self.out.since(start).into();
        let gone = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            let old = if kept.as_ref().is_some_and(|kept| kept.is(running)) { None } else { kept.take() };
            let kept = kept.get_or_insert_with(|| Kept::of(running));
            if let Some(form) = kept.written.get_mut(W::FORM) {
                *form = Some(written);
            }
            old
        });
        // What goes may run code of its own.
        drop(gone);
        Some(())
    }

    fn extra(&mut self, name: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Option<()> {
        let name = name.cast_exact::<PyString>().ok()?.to_cow().ok()?;
        let is_special =
            OURS.iter().any(|key| key.name == name) || name == stamp::ATTRIBUTE || name == "taskName";
        if is_special || name.len() > MAX_NAME {
            return None;
        }
        self.out.key(&name);
        self.plainly(value)
    }
}

impl Kept {
    fn of(running: &Running<'_, '_>) -> Self {
        Self {
            thread: running.thread.clone().unbind(),
            thread_name: running.thread_name.clone().unbind(),
            process_name: running.process_name.clone().unbind(),
            process: running.process,
            written: [None, None],
        }
    }

    fn is(&self, running: &Running<'_, '_>) -> bool {
        self.thread.is(running.thread)
            && self.thread_name.is(running.thread_name)
            && self.process_name.is(running.process_name)
            && self.process == running.process
    }
}
