//! Objects: the plain kinds that some classes resemble, and the general form of all others.

use super::arena::{Arena, Id, Node, Object};
use super::classes;
use super::numbers;
use super::render::{NAME_BYTES, Writer};

/// An object after the detours of the older protocols: what class it has, and what it was made of.
pub(super) struct Shape<'w, 'a> {
    pub(super) module: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) class: Id,
    pub(super) arguments: &'w [Id],
    named_arguments: Option<Id>,
    pub(super) object: &'w Object,
}

/// Whether the object is a dict in all but name.
pub(super) fn is_dict(arena: &Arena<'_>, object: &Object) -> bool {
    matches!(global(arena, object.class), Some((b"collections", b"OrderedDict" | b"defaultdict")))
}

/// Writes an object; the caller has opened it.
pub(super) fn write(writer: &mut Writer<'_, '_>, out: &mut String, object: &Object) {
    let shape = Shape::of(writer.arena, object);
    if classes::write(writer, out, &shape) {
        return;
    }
    out.push_str("{\"$class\":");
    write_class_of(writer, out, shape.class);
    if !shape.arguments.is_empty() {
        out.push_str(",\"$args\":");
        writer.deeper(out, |writer, out| writer.list(out, shape.arguments));
    }
    if let Some(named) = shape.named_arguments {
        out.push_str(",\"$kwargs\":");
        writer.value(out, named);
    }
    if !object.items.is_empty() {
        out.push_str(",\"$items\":");
        writer.deeper(out, |writer, out| writer.list(out, &object.items));
    }
    if !object.pairs.is_empty() {
        out.push_str(",\"$pairs\":");
        writer.deeper(out, |writer, out| writer.dict(out, &object.pairs));
    }
    if let Some(state) = object.state {
        out.push_str(",\"$state\":");
        writer.value(out, state);
    }
    out.push('}');
}

/// Writes a class that is itself the value.
pub(super) fn write_class(writer: &mut Writer<'_, '_>, out: &mut String, module: &[u8], name: &[u8]) {
    writer.deeper(out, |writer, out| {
        out.push_str("{\"$class\":");
        writer.text(out, &class_text(module, name));
        out.push('}');
    });
}

/// `module.name`, clipped.
pub(super) fn class_text(module: &[u8], name: &[u8]) -> String {
    let (module, name) = todays(module, name);
    let clip = |bytes: &[u8]| numbers::text(bytes.get(..NAME_BYTES).unwrap_or(bytes)).into_owned();
    format!("{}.{}", clip(module), clip(name))
}

impl<'w, 'a> Shape<'w, 'a> {
    /// Looks through `copyreg`'s functions, which protocols 0 and 1 put in front of the class.
    pub(super) fn of(arena: &'w Arena<'a>, object: &'w Object) -> Self {
        let arguments = match object.arguments {
            Some(id) if matches!(arena.get(id), Node::Sequence(_)) => arena.sequence(id),
            _ => object.arguments.as_slice(),
        };
        let called = global(arena, object.class).unwrap_or_default();
        let (class, arguments, named_arguments) = match (called, arguments) {
            ((b"copyreg", b"_reconstructor"), [class, _, value]) if is_none(arena, *value) => {
                (*class, &[][..], None)
            }
            ((b"copyreg", b"_reconstructor"), [class, kind, value]) if is_tuple(arena, *kind) => {
                (*class, arena.sequence(*value), None)
            }
            ((b"copyreg", b"_reconstructor"), [class, _, value @ ..]) => (*class, value, None),
            ((b"copyreg", b"__newobj__"), [class, rest @ ..]) => (*class, rest, None),
            ((b"copyreg", b"__newobj_ex__"), [class, rest, named]) => {
                (*class, arena.sequence(*rest), Some(*named))
            }
            _ => (object.class, arguments, object.named_arguments),
        };
        let (module, name) = global(arena, class).unwrap_or_default();
        Self { module, name, class, arguments, named_arguments, object }
    }
}

/// Module and name, if the value is a class or function. Names of Python 2, which the older protocols use, are today's.
pub(super) fn global<'a>(arena: &Arena<'a>, id: Id) -> Option<(&'a [u8], &'a [u8])> {
    match arena.get(id) {
        Node::Global(module, name) => Some(todays(module, name)),
        _ => None,
    }
}

fn is_none(arena: &Arena<'_>, id: Id) -> bool {
    matches!(arena.get(id), Node::None)
}

fn is_tuple(arena: &Arena<'_>, id: Id) -> bool {
    global(arena, id) == Some((b"builtins", b"tuple"))
}

fn todays<'a>(module: &'a [u8], name: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    match (module, name) {
        (b"__builtin__", b"xrange") => (b"builtins", b"range"),
        (b"__builtin__", b"long") => (b"builtins", b"int"),
        (b"__builtin__", b"unicode") => (b"builtins", b"str"),
        (b"__builtin__" | b"exceptions", name) => (b"builtins", name),
        (b"copy_reg", name) => (b"copyreg", name),
        as_it_is => as_it_is,
    }
}

fn write_class_of(writer: &mut Writer<'_, '_>, out: &mut String, class: Id) {
    match global(writer.arena, class) {
        Some((module, name)) => writer.text(out, &class_text(module, name)),
        None => writer.value(out, class),
    }
}
