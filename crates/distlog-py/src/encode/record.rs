//! A `LogRecord` → one message, in one walk over its `__dict__`. The record stays as it is: other handlers see it untouched.
//!
//! Order of the fields: `message`, `format_error` (only where `msg % args` failed), `hostname`, `context`, `goal`, and then
//! everything the record has, `asctime` after `created`. No name occurs twice: a custom field with one of these names gets a `_` at
//! its end. `message` and `asctime` in the record are another formatter's cache, and left out.
//!
//! Standard fields have interned names and nearly always a fixed order, so place and identity tell which is which. Code of the values
//! may change the dict: before any of it runs, the fields that are left are taken out ([`Fields::settle`]).
//!
//! `exc_info` is written as data and `exc_text` as text (the one cached there, if there is one).
//!
//! A message stays below [`MAX_BODY`]: the fields of the standard library and of distlog have a quota each, which leaves room for all of
//! them, and custom fields have the rest.

use std::vec::IntoIter;

use crate::goals::stamp::Stamp;
use crate::once::Once;
use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::iter::BoundDictIterator;
use pyo3::types::{PyDict, PyFloat, PyString, PyTuple};

use super::clock::iso8601;
use super::exception::is_exception;
use super::message;
use super::repeated::{Origin, Repeated};
use super::stamp;
use super::value::{Encoder, MAX_ITEMS, MAX_TEXT, plain_text};
use super::writer::{Json, Key, Pickle, Writer, key};

/// Longest message body in bytes; the daemon refuses messages over 1 MiB.
const MAX_BODY: usize = 960 * 1024;
/// Most bytes for one field of the standard library or of distlog.
const MAX_FIELD: usize = 96 * 1024;
/// Most fields of a goal, and longest name of one in bytes, that are written the short way.
const MAX_PLAIN_MEMBERS: usize = 64;
const MAX_PLAIN_NAME: usize = 100;
/// How much of a clipped traceback is its beginning; the rest is its end, which says more.
const TRACEBACK_HEAD: usize = MAX_TEXT / 4;

pub(super) const MESSAGE: Key = key!("message");
const FORMAT_ERROR: Key = key!("format_error");
pub(super) const ASCTIME: Key = key!("asctime");
pub(super) const HOSTNAME: Key = key!("hostname");
const CONTEXT: Key = key!("context");
const GOAL: Key = key!("goal");
const KEY: Key = key!("key");
/// Names that distlog gives.
pub(super) const OURS: [Key; 6] = [MESSAGE, FORMAT_ERROR, ASCTIME, HOSTNAME, CONTEXT, GOAL];

/// The names of the standard library, in the order in which a record has them.
const STANDARD: [Key; 23] = [
    key!("name"),
    key!("msg"),
    key!("args"),
    key!("levelname"),
    key!("levelno"),
    key!("pathname"),
    key!("filename"),
    key!("module"),
    key!("exc_info"),
    key!("exc_text"),
    key!("stack_info"),
    key!("lineno"),
    key!("funcName"),
    key!("created"),
    key!("msecs"),
    key!("relativeCreated"),
    key!("thread"),
    key!("threadName"),
    key!("processName"),
    key!("process"),
    key!("taskName"),
    key!("message"),
    key!("asctime"),
];
/// Places in [`STANDARD`] of fields that are more than their value.
const MSG: usize = 1;
const ARGS: usize = 2;
const LEVELNO: usize = 4;
const EXC_INFO: usize = 8;
const EXC_TEXT: usize = 9;
const STACK_INFO: usize = 10;
const CREATED: usize = 13;
const THREAD: usize = 16;
const CACHED: usize = 21;

static NAMES: Once<[Py<PyString>; 23]> = Once::new();
static HOST: Once<String> = Once::new();

type Field<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

/// The fields of a record, and how far the walk has come.
struct Fields<'a, 'py> {
    dict: &'a Bound<'py, PyDict>,
    names: &'a [Py<PyString>; 23],
    rest: Rest<'py>,
    /// The standard name that is expected next.
    expected: usize,
    /// Custom names that were changed.
    renamed: Vec<String>,
}

/// The fields that are left.
enum Rest<'py> {
    Live(BoundDictIterator<'py>),
    Taken(IntoIter<Field<'py>>),
}

/// A record that is about to be written: its dict and its stamp.
pub(crate) struct Taken<'a, 'py> {
    record: &'a Bound<'py, PyAny>,
    dict: Bound<'py, PyDict>,
    stamp: Option<Bound<'py, PyAny>>,
}

impl<'a, 'py> Taken<'a, 'py> {
    pub(crate) fn of(record: &'a Bound<'py, PyAny>) -> Self {
        let py = record.py();
        let dict = record.getattr(intern!(py, "__dict__")).ok();
        let dict = dict.and_then(|dict| dict.cast_into::<PyDict>().ok()).unwrap_or_else(|| PyDict::new(py));
        Self { stamp: stamp::find(record, &dict), record, dict }
    }

    /// Lets the record's goals tell this handler that they began; false if the handler had this record before.
    pub(crate) fn announce(&self, handler: &Bound<'py, PyAny>) -> PyResult<bool> {
        self.stamp.as_ref().map_or(Ok(true), |stamp| stamp::announce(stamp, handler))
    }

    /// Gives the record as JSON, and its level, to `take`.
    pub(crate) fn json<T>(&self, take: impl FnOnce(&[u8], i64) -> T) -> T {
        self.write::<Json, T>(take)
    }

    /// Gives the record as a pickled dict of builtins, and its level, to `take`.
    pub(crate) fn pickle<T>(&self, take: impl FnOnce(&[u8], i64) -> T) -> T {
        self.write::<Pickle, T>(take)
    }

    /// Total: see [`super::value`].
    fn write<W: Writer, T>(&self, take: impl FnOnce(&[u8], i64) -> T) -> T {
        let mut encoder = Encoder::<W>::new(self.record.py());
        let level = encoder.record(self);
        encoder.finish(|body| take(body, level))
    }
}

impl<'a, 'py> Fields<'a, 'py> {
    fn new(dict: &'a Bound<'py, PyDict>) -> Self {
        let py = dict.py();
        let interned = || STANDARD.each_ref().map(|key| PyString::intern(py, key.name).unbind());
        let names = NAMES.get_or_init(py, interned);
        Self { dict, names, rest: Rest::Live(dict.iter()), expected: 0, renamed: Vec::new() }
    }

    /// All standard fields but `taskName`, which not every Python has, if each is where it is expected; the walk then stands behind them.
    fn ordinary(&mut self) -> Option<[Bound<'py, PyAny>; 20]> {
        let Rest::Live(fields) = &mut self.rest else { return None };
        let mut take = |place: usize| {
            let (name, value) = fields.next()?;
            self.names.get(place)?.is(&name).then_some(value)
        };
        let values = [
            take(0)?,
            take(1)?,
            take(2)?,
            take(3)?,
            take(4)?,
            take(5)?,
            take(6)?,
            take(7)?,
            take(8)?,
            take(9)?,
            take(10)?,
            take(11)?,
            take(12)?,
            take(13)?,
            take(14)?,
            take(15)?,
            take(16)?,
            take(17)?,
            take(18)?,
            take(19)?,
        ];
        self.expected = values.len();
        Some(values)
    }

    fn next(&mut self) -> Option<Field<'py>> {
        match &mut self.rest {
            Rest::Live(fields) => fields.next(),
            Rest::Taken(fields) => fields.next(),
        }
    }

    fn len(&self) -> usize {
        match &self.rest {
            Rest::Live(fields) => fields.len(),
            Rest::Taken(fields) => fields.len(),
        }
    }

    /// From now on the dict may change.
    fn settle(&mut self) {
        if let Rest::Live(fields) = &mut self.rest {
            let taken: Vec<Field<'py>> = fields.collect();
            self.rest = Rest::Taken(taken.into_iter());
        }
    }

    /// Which standard name this is.
    fn place(&mut self, name: &Bound<'py, PyAny>) -> Option<usize> {
        let is = |known: &Py<PyString>| known.is(name);
        if self.names.get(self.expected).is_some_and(is) {
            self.expected += 1;
            return Some(self.expected - 1);
        }
        let found = self.names.iter().position(is).or_else(|| {
            // Not interned: a custom one, or of records made of what came over a wire.
            let text = name.cast_exact::<PyString>().ok()?.to_cow().ok()?;
            STANDARD.iter().position(|key| key.name == text)
        })?;
        self.expected = found + 1;
        Some(found)
    }

    /// A standard field, wherever it is.
    fn get(&self, place: usize) -> Option<Bound<'py, PyAny>> {
        let name = self.names.get(place)?;
        self.dict.get_item(name).ok().flatten()
    }
}

impl<'py, W: Writer> Encoder<'py, W> {
    /// Writes a record; gives its level.
    fn record(&mut self, taken: &Taken<'_, 'py>) -> i64 {
        let mut level = 0;
        self.out.open_map();
        let mut fields = Fields::new(&taken.dict);
        if let Some(values) = fields.ordinary() {
            self.ordinary(taken, &mut fields, &values, &mut level);
        } else {
            fields = Fields::new(&taken.dict);
            let (msg, args) = (fields.get(MSG), fields.get(ARGS));
            self.message(taken.record, &mut fields, msg.as_ref(), args.as_ref());
            self.place(taken.stamp.as_ref(), &mut fields);
        }
        self.rest(&mut fields, &mut level);
        self.out.close_map();
        level
    }

    /// Writes the standard fields of a record that has them in order.
    fn ordinary(
        &mut self,
        taken: &Taken<'_, 'py>,
        fields: &mut Fields<'_, 'py>,
        values: &[Bound<'py, PyAny>; 20],
        level: &mut i64,
    ) {
        let [name, msg, args, levelname, levelno, pathname, filename, module, .., process] = values;
        let [.., lineno, function, _, _, _, thread, thread_name, process_name, _] = values;
        self.message(taken.record, fields, Some(msg), Some(args));
        self.place(taken.stamp.as_ref(), fields);
        let site = Origin {
            same: [Some(name), Some(levelname), Some(pathname), Some(function)],
            equal: [Some(filename), Some(module)],
            numbers: [levelno, lineno],
        };
        let is_plain =
            values.get(EXC_INFO..=STACK_INFO).is_some_and(|none| none.iter().all(|one| one.is_none()));
        if let Some(numbers) = site.numbers() {
            [*level, _] = numbers;
            self.standard(fields, MSG, msg, level);
            self.standard(fields, ARGS, args, level);
            let all = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
            let (same, own) = all.split_at(if is_plain { all.len() } else { 6 });
            // What is kept of a place differs by whether it has the fields of an exception.
            let kind = if is_plain { Repeated::Site } else { Repeated::Raised };
            self.repeated(fields, &site, kind, numbers, values, same);
            for place in own {
                if let Some(value) = values.get(*place) {
                    self.standard(fields, *place, value, level);
                }
            }
        } else {
            for (place, value) in values.iter().enumerate().take(CREATED) {
                self.standard(fields, place, value, level);
            }
        }
        for (place, value) in values.iter().enumerate().take(THREAD).skip(CREATED) {
            self.standard(fields, place, value, level);
        }
        let flow = Origin {
            same: [Some(thread_name), Some(process_name), None, None],
            equal: [None, None],
            numbers: [thread, process],
        };
        if let Some(numbers) = flow.numbers() {
            self.repeated(fields, &flow, Repeated::Thread, numbers, values, &[16, 17, 18, 19]);
        } else {
            for (place, value) in values.iter().enumerate().skip(THREAD) {
                self.standard(fields, place, value, level);
            }
        }
    }

    /// Writes these of the values: a copy of what they were the last time, if they are the same.
    fn repeated(
        &mut self,
        fields: &mut Fields<'_, 'py>,
        origin: &Origin<'_, 'py>,
        kind: Repeated,
        numbers: [i64; 2],
        values: &[Bound<'py, PyAny>; 20],
        places: &[usize],
    ) {
        if origin.copy(kind, numbers, &mut self.out) {
            return;
        }
        let start = self.out.len();
        for place in places {
            if let Some(value) = values.get(*place) {
                self.standard(fields, *place, value, &mut 0);
            }
        }
        origin.keep::<W>(kind, numbers, self.out.since(start));
    }

    /// Writes the fields that are left.
    fn rest(&mut self, fields: &mut Fields<'_, 'py>, level: &mut i64) {
        let mut count = 0;
        while let Some((name, value)) = fields.next() {
            count += 1;
            let has_room = match fields.place(&name) {
                Some(place) => {
                    self.standard(fields, place, &value, level);
                    true
                }
                None => self.custom(fields, &name, &value),
            };
            if !has_room || count > MAX_ITEMS {
                self.clipped_names(fields.len() + 1);
                break;
            }
        }
    }

    fn message(
        &mut self,
        record: &Bound<'py, PyAny>,
        fields: &mut Fields<'_, 'py>,
        msg: Option<&Bound<'py, PyAny>>,
        args: Option<&Bound<'py, PyAny>>,
    ) {
        self.out.known(&MESSAGE);
        if let (Some(msg), Some(args)) = (msg, args)
            && self.usual_message(record, msg, args)
        {
            return;
        }
        fields.settle();
        let own = if stamp::is_ordinary(record) || !self.may_run() { None } else { message::own(record) };
        let (message, wrong) = match (own, msg) {
            (Some(own), _) => (own, None),
            (None, Some(msg)) => message::render(self, msg, args),
            (None, None) => (String::new(), None),
        };
        self.allow(MAX_FIELD, MAX_BODY);
        self.text(&message, 0);
        if let Some(wrong) = wrong {
            self.allow(MAX_FIELD, MAX_BODY);
            self.out.known(&FORMAT_ERROR);
            self.text(&wrong, 0);
        }
    }

    /// Where it was logged: on which host, in which goal.
    fn place(&mut self, stamp: Option<&Bound<'py, PyAny>>, fields: &mut Fields<'_, 'py>) {
        self.allow(MAX_FIELD, MAX_BODY);
        self.out.known(&HOSTNAME);
        self.text(hostname(self.py), 0);
        let Some(stamp) = stamp else { return };
        if !self.plainly_in_goals(stamp) {
            fields.settle();
            self.in_goals(stamp);
        }
    }

    /// Writes the fields that a stamp gives.
    pub(super) fn in_goals(&mut self, stamp: &Bound<'py, PyAny>) {
        let Some((context, goal)) = stamp::parts(stamp) else { return };
        for (key, value) in [(CONTEXT, Some(context)), (GOAL, goal)] {
            if let Some(value) = value {
                self.allow(MAX_FIELD, MAX_BODY);
                self.out.known(&key);
                self.value(&value);
            }
        }
    }

    /// The same for a stamp of this process whose fields are of the plainest kinds; otherwise nothing is written.
    pub(super) fn plainly_in_goals(&mut self, stamp: &Bound<'py, PyAny>) -> bool {
        let Ok(stamp) = stamp.cast_exact::<Stamp>() else { return false };
        let Ok((key, fields, goal)) = stamp.get().written(self.py) else { return false };
        let start = self.out.len();
        self.out.known(&CONTEXT);
        self.out.open_map();
        self.out.known(&KEY);
        self.out.text(&key);
        let mut is_plain = self.plain_members(&fields);
        self.out.close_map();
        if let Some(goal) = goal.filter(|_| is_plain) {
            self.out.known(&GOAL);
            self.out.open_map();
            is_plain = self.plain_members(&goal);
            self.out.close_map();
        }
        if !is_plain {
            self.out.cut(start);
        }
        is_plain
    }

    fn plain_members(&mut self, members: &Bound<'py, PyDict>) -> bool {
        members.len() <= MAX_PLAIN_MEMBERS
            && members.iter().all(|(name, value)| {
                let Ok(name) = name.cast_exact::<PyString>() else { return false };
                let Some(name) = name.to_cow().ok().filter(|name| name.len() <= MAX_PLAIN_NAME) else {
                    return false;
                };
                self.out.key(&name);
                self.plain(&value)
            })
    }

    /// Writes a standard field.
    fn standard(
        &mut self,
        fields: &mut Fields<'_, 'py>,
        place: usize,
        value: &Bound<'py, PyAny>,
        level: &mut i64,
    ) {
        let Some(key) = STANDARD.get(place).filter(|_| place < CACHED) else { return };
        self.out.known(key);
        let is_more = match place {
            EXC_INFO => !value.is_none(),
            EXC_TEXT => value.is_none(),
            _ => false,
        };
        if !is_more && self.plain(value) {
            match place {
                LEVELNO => *level = value.extract().unwrap_or_default(),
                CREATED => self.asctime(value),
                _ => {}
            }
            return;
        }
        let is_raised = |fields: &Fields<'_, 'py>| fields.get(EXC_INFO).and_then(|info| exception(&info));
        if place == EXC_TEXT && is_raised(fields).is_none() && self.plain(value) {
            return;
        }
        fields.settle();
        self.allow(MAX_FIELD, MAX_BODY - 4096);
        match place {
            EXC_INFO => self.exc_info(value),
            EXC_TEXT => match is_raised(fields).filter(|_| value.is_none()) {
                Some(exception) => {
                    let text = without_middle(self.traceback(&exception));
                    self.text(&text, 0);
                }
                None => self.value(value),
            },
            _ => self.value(value),
        }
    }

    fn asctime(&mut self, created: &Bound<'py, PyAny>) {
        if let Ok(created) = created.cast::<PyFloat>()
            && let Some(written) = iso8601(self.py, created.value())
            && let Ok(text) = str::from_utf8(&written)
        {
            self.out.known(&ASCTIME);
            self.out.text(text);
        }
    }

    fn exc_info(&mut self, value: &Bound<'py, PyAny>) {
        match exception(value) {
            Some(exception) => self.exception(&exception),
            None if says_nothing(value) => self.out.none(),
            None => self.value(value),
        }
    }

    fn custom(
        &mut self,
        fields: &mut Fields<'_, 'py>,
        key: &Bound<'py, PyAny>,
        value: &Bound<'py, PyAny>,
    ) -> bool {
        if let Ok(text) = key.cast_exact::<PyString>()
            && let Ok(name) = text.to_cow()
            && name.len() <= 256
            && OURS.iter().all(|key| key.name != name)
        {
            if name == stamp::ATTRIBUTE {
                return true;
            }
            self.allow(MAX_BODY, MAX_BODY - 4096);
            if self.is_full() {
                return false;
            }
            self.out.key(&name);
        } else {
            fields.settle();
            self.allow(MAX_BODY, MAX_BODY - 4096);
            if self.is_full() {
                return false;
            }
            let name = self.renamed(fields, key);
            self.out.key(&name);
        }
        if !self.plain(value) {
            fields.settle();
            self.value(value);
        }
        true
    }

    /// A name that no other field has.
    fn renamed(&self, fields: &mut Fields<'_, 'py>, key: &Bound<'py, PyAny>) -> String {
        let mut name = self.name(key);
        // Names that were no plain text may have become the same as others: 1 and "1".
        let changed = key.cast_exact::<PyString>().map_or(true, |key| plain_text(key) != name);
        let is_ours = |name: &str| OURS.iter().any(|key| key.name == name);
        if changed || is_ours(&name) {
            while is_ours(&name)
                || STANDARD.iter().any(|key| key.name == name)
                || fields.renamed.contains(&name)
                || fields.dict.contains(&name).unwrap_or(false)
            {
                name.push('_');
            }
            fields.renamed.push(name.clone());
        }
        name
    }
}

/// The exception that a record's `exc_info` holds.
fn exception<'py>(info: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    if let Ok(parts) = info.cast::<PyTuple>() {
        return parts.get_item(1).ok().filter(is_exception);
    }
    Some(info.clone()).filter(is_exception)
}

/// `None`, `False`, `(None, None, None)`: there was no exception.
fn says_nothing(info: &Bound<'_, PyAny>) -> bool {
    match info.cast::<PyTuple>() {
        Ok(parts) => parts.iter().all(|part| part.is_none()),
        Err(_) => info.is_none() || info.is(pyo3::types::PyBool::new(info.py(), false)),
    }
}

fn without_middle(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let head = text.floor_char_boundary(TRACEBACK_HEAD);
    let tail = text.ceil_char_boundary(text.len() - (MAX_TEXT - TRACEBACK_HEAD - 64));
    let cut = text.get(head..tail).unwrap_or_default().chars().count();
    format!(
        "{}\n…<clipped {cut}>\n{}",
        text.get(..head).unwrap_or_default(),
        text.get(tail..).unwrap_or_default()
    )
}

/// Asked for when the module is imported, before anything can come between.
pub(crate) fn hostname(py: Python<'_>) -> &'static str {
    // A host that has no name is not worth losing a record for.
    HOST.get_or_init(py, || {
        py.import("socket")
            .and_then(|socket| socket.call_method0("gethostname")?.extract())
            .unwrap_or_default()
    })
}
