//! The Rust core of the Python package: what must be quick, or must work without the interpreter.
//!
//! [`handler`] takes records from `logging`; [`encode`] turns them into bytes on the calling thread; [`sender`] hands them to the
//! transport's thread, which never needs the interpreter; [`goals`] is which goal is current and what it logs;
//! [`site`] finds where in the program a record comes from, [`record`] makes records, [`calls`] are the methods of accelerated loggers,
//! [`redact`] sees whether there is something to hide. Everything a user sees is in `python/distlog`.
//!
//! Rules: no lock is held across a call into Python, and nothing that may wait holds the interpreter's lock.

mod calls;
mod encode;
mod goals;
mod handler;
mod once;
mod record;
mod redact;
mod sender;
mod site;
mod teardown;

use pyo3::prelude::*;

/// The module `distlog._distlog`.
#[pymodule]
mod _distlog {
    #[pymodule_export]
    use super::calls::{Levels, forget_logger, register_loggers};
    #[pymodule_export]
    use super::encode::stamp::{register_record, stamp_of};
    #[pymodule_export]
    use super::encode::{describe, encode_json, encode_pickle, render};
    #[pymodule_export]
    use super::goals::flow::{Carried, Later, after_fork, before_fork, current_task, innermost, pop, push};
    #[pymodule_export]
    use super::goals::ids::parse_goal;
    #[pymodule_export]
    use super::goals::logged::uninstalled;
    #[pymodule_export]
    use super::goals::stamp::Stamp;
    #[pymodule_export]
    use super::goals::trees::Forest;
    #[pymodule_export]
    use super::goals::{Ready, Task, imported, task, to};
    #[pymodule_export]
    use super::handler::{Core, settled};
    #[pymodule_export]
    use super::record::{chain_factory, chained_factory, make_record};
    #[pymodule_export]
    use super::redact::Signs;
    #[pymodule_export]
    use super::sender::{Sender, forked};
    #[pymodule_export]
    use super::site::site_of;
    #[pymodule_export]
    use super::teardown::end_begins;

    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        once::prepare(module.py());
        encode::hostname(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
