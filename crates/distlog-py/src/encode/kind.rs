//! What kind of value a Python type makes, found once per type.
//!
//! Types are known by the names of their ancestors, so that no module is imported only to ask whether a value is of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::value::{class_name, plain_text};
use crate::site::Build;

/// More types than this, and all are forgotten: some programs make types without end.
const MAX_KNOWN: usize = 1024;

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `str` and below.
    Text,
    /// `int` and below.
    Int,
    /// `float` and below.
    Float,
    /// `bytes`, `bytearray`, `memoryview`.
    Bytes,
    /// `dict` and below.
    Dict,
    /// `list` and below, and other sequences.
    List,
    /// `tuple` and below.
    Tuple,
    /// A tuple with named fields.
    NamedTuple,
    /// Anything unordered or lazy but re-iterable: sets, views.
    Set,
    /// A mapping that is no dict.
    Mapping,
    /// An exception.
    Exception,
    /// A member of an enumeration: its value.
    Member,
    /// `isoformat()`.
    Moment,
    /// `total_seconds()`.
    Duration,
    /// `str()` says it all.
    Named,
    /// A dataclass's fields.
    Dataclass,
    /// An attrs class's fields.
    Attrs,
    /// `model_dump()`.
    Model,
    /// numpy's scalars: `item()`.
    Scalar,
    /// numpy's arrays: `tolist()` while they are small, otherwise a summary.
    Array,
    /// A table of pandas: a summary.
    Frame,
    /// A column or index of pandas: a summary.
    Series,
    /// `repr()`.
    Other,
}

/// What is known of a type, which is held so that its address stays its own.
struct Class {
    _class: Py<PyType>,
    kind: Kind,
    /// Its instances have an attribute `exceptions`, as groups do.
    has_members: bool,
    /// Of an exception's class.
    names: Option<Arc<Names>>,
}

/// What an exception's class is called.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) name: String,
    pub(crate) module: String,
    /// As tracebacks print it.
    pub(crate) full: String,
}

type Known = HashMap<usize, Class, Build>;

/// Locked only while the interpreter's lock is held, and never across a call into Python: so never locked during a fork.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// The kind of values of this type.
pub(crate) fn kind(class: &Bound<'_, PyType>) -> Kind {
    known(class, |known| known.kind)
}

/// Whether exceptions of this type may have members.
pub(crate) fn has_members(class: &Bound<'_, PyType>) -> bool {
    known(class, |known| known.has_members)
}

/// What this type of exceptions is called.
pub(crate) fn names(class: &Bound<'_, PyType>) -> Option<Arc<Names>> {
    known(class, |known| known.names.clone())
}

fn known<T>(class: &Bound<'_, PyType>, tell: impl Fn(&Class) -> T) -> T {
    let place = class.as_ptr() as usize;
    {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref().and_then(|known| known.get(&place)) {
            return tell(known);
        }
    }
    let found = Class::of(class);
    let told = tell(&found);
    let mut forgotten = None;
    {
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_some_and(|known| known.len() >= MAX_KNOWN) {
            forgotten = known.take();
        }
        known.get_or_insert_default().insert(place, found);
    }
    drop(forgotten);
    told
}

impl Class {
    fn of(class: &Bound<'_, PyType>) -> Self {
        let kind = find(class);
        Self {
            _class: class.clone().unbind(),
            kind,
            has_members: class.hasattr("exceptions").unwrap_or(true),
            names: (kind == Kind::Exception).then(|| Arc::new(Names::of(class))),
        }
    }
}

impl Names {
    fn of(class: &Bound<'_, PyType>) -> Self {
        let name = class_name(class);
        let module = word(class, "__module__");
        let inner = class.qualname().map_or_else(|_| name.clone(), |name| plain_text(&name));
        let full = match module.as_str() {
            "" | "builtins" | "__main__" => inner,
            module => format!("{module}.{inner}"),
        };
        Self { name, module, full }
    }
}

fn find(class: &Bound<'_, PyType>) -> Kind {
    // Asked for by name: `mro()` panics over a metaclass that refuses to tell.
    let ancestors = class.getattr("__mro__").ok().and_then(|all| all.cast_into::<PyTuple>().ok());
    ancestors
        .and_then(|ancestors| by_name(&ancestors))
        .or_else(|| by_attribute(class))
        .or_else(|| by_abstract_class(class))
        .unwrap_or(Kind::Other)
}

fn by_name(ancestors: &Bound<'_, PyTuple>) -> Option<Kind> {
    let names: Vec<(String, String)> =
        ancestors.iter().map(|class| (word(&class, "__module__"), word(&class, "__name__"))).collect();
    // An IntEnum is an int too, and a named tuple a tuple: the more telling ancestor decides.
    if names.iter().any(|(module, name)| module == "enum" && name == "Enum") {
        return Some(Kind::Member);
    }
    let kind = names.iter().find_map(|(module, name)| named(module, name))?;
    let fields = || ancestors.get_item(0).is_ok_and(|class| class.hasattr("_fields").unwrap_or(false));
    Some(if kind == Kind::Tuple && fields() { Kind::NamedTuple } else { kind })
}

fn named(module: &str, name: &str) -> Option<Kind> {
    Some(match (module.split('.').next().unwrap_or_default(), name) {
        ("builtins", "str") => Kind::Text,
        ("builtins", "int") => Kind::Int,
        ("builtins", "float") => Kind::Float,
        ("builtins", "bytes" | "bytearray" | "memoryview") => Kind::Bytes,
        ("builtins", "dict") => Kind::Dict,
        ("builtins", "list" | "range") | ("collections", "deque") => Kind::List,
        ("builtins", "tuple") => Kind::Tuple,
        ("builtins", "set" | "frozenset" | "dict_keys" | "dict_values" | "dict_items") => Kind::Set,
        ("builtins", "BaseException") => Kind::Exception,
        ("datetime", "datetime" | "date" | "time") => Kind::Moment,
        ("datetime", "timedelta") => Kind::Duration,
        ("decimal", "Decimal") | ("fractions", "Fraction") | ("builtins", "complex") => Kind::Named,
        ("uuid", "UUID") | ("pathlib", "PurePath") | ("ipaddress", "_IPAddressBase") => Kind::Named,
        ("numpy", "generic") => Kind::Scalar,
        ("numpy", "ndarray") => Kind::Array,
        ("pandas", "DataFrame") => Kind::Frame,
        ("pandas", "Series" | "Index") => Kind::Series,
        _ => return None,
    })
}

fn by_attribute(class: &Bound<'_, PyType>) -> Option<Kind> {
    let has = |name| class.hasattr(name).unwrap_or(false);
    if has("__pydantic_fields__") && has("model_dump") {
        Some(Kind::Model)
    } else if has("__dataclass_fields__") {
        Some(Kind::Dataclass)
    } else if has("__attrs_attrs__") {
        Some(Kind::Attrs)
    } else {
        None
    }
}

fn by_abstract_class(class: &Bound<'_, PyType>) -> Option<Kind> {
    let abc = class.py().import("collections.abc").ok()?;
    let is = |name| abc.getattr(name).and_then(|wanted| class.is_subclass(&wanted)).unwrap_or(false);
    if is("Mapping") {
        Some(Kind::Mapping)
    } else if is("Sequence") {
        Some(Kind::List)
    } else if is("Set") {
        Some(Kind::Set)
    } else {
        None
    }
}

fn word(class: &Bound<'_, PyAny>, name: &str) -> String {
    class.getattr(name).and_then(|word| word.extract()).unwrap_or_default()
}
