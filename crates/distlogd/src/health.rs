//! Whether the daemon is well, and if not, why: what `/readyz` answers.
//!
//! Each part of the daemon reports under its own name (`store`, `configuration`, `processor pager`) and takes its
//! report back when it is well again. The daemon is ready while it accepts records and the store commits them. A
//! processor that fails, or a configuration that could not be reloaded, is named but does not make it unready:
//! it changes nothing for those who send.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The store cannot commit.
pub const STORE: &str = "store";
/// The configuration file is broken; the one before it is in force.
pub const CONFIGURATION: &str = "configuration";

/// The state of every part, shared as `Arc<Health>`.
#[derive(Debug, Default)]
pub struct Health {
    accepting: AtomicBool,
    reports: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Whether records are accepted: true between the ready line and the stop.
    pub fn set_accepting(&self, accepting: bool) {
        self.accepting.store(accepting, Ordering::Relaxed);
    }

    /// Reports what is wrong with a part, replacing what was reported before.
    pub fn report(&self, part: &str, what: String) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).insert(part.to_owned(), what);
    }

    /// Takes the part's report back.
    pub fn well(&self, part: &str) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// What is wrong, by part.
    pub fn reports(&self) -> Vec<(String, String)> {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.iter().map(|(part, what)| (part.clone(), what.clone())).collect()
    }

    /// Whether `/readyz` says 200.
    pub fn is_ready(&self) -> bool {
        let reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        !reports.contains_key(STORE) && self.accepting.load(Ordering::Relaxed)
    }
}
