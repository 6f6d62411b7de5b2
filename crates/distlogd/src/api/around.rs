//! What a filter can ask about that is not in the record: the goals around it (`within`), the rest of its task (`any`).
//!
//! A task's records are fetched once for all its records that are asked about, and a few tasks are kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use distlog::Fields;
use distlog::filter::{Enclosing, Filter};
use distlog_store::{Entry, Reader};

/// Tasks kept at once.
const MOST_TASKS: usize = 64;
/// Records of one task that are looked at.
const MOST_RECORDS: usize = 20_000;

/// Answers for the records of one store.
pub(super) struct Around {
    reader: Reader,
    tasks: RefCell<HashMap<[u8; 16], Arc<Vec<Entry>>>>,
}

impl Around {
    pub(super) fn new(reader: Reader) -> Self {
        Self { reader, tasks: RefCell::default() }
    }

    /// Whether the record passes the filter, whatever the filter asks about.
    pub(super) fn passes(&self, filter: &Filter, entry: &Entry) -> bool {
        if filter.needs_goals() || filter.needs_task() {
            filter.matches_within(&*entry.record, self)
        } else {
            filter.matches(&*entry.record)
        }
    }

    fn task(&self, row: &dyn Fields) -> Option<Arc<Vec<Entry>>> {
        let root = row.key()?.goal.root();
        let mut tasks = self.tasks.borrow_mut();
        if let Some(task) = tasks.get(&root) {
            return Some(Arc::clone(task));
        }
        if tasks.len() >= MOST_TASKS {
            tasks.clear();
        }
        let task = Arc::new(self.reader.goal(root, MOST_RECORDS).ok()?);
        tasks.insert(root, Arc::clone(&task));
        Some(task)
    }
}

impl Enclosing for Around {
    fn encloses(&self, row: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        let (Some(key), Some(task)) = (row.key(), self.task(row)) else { return matches(row) };
        let begins = task.iter().filter(|entry| {
            entry.record.key().is_some_and(|begin| {
                begin.number == 0
                    && begin.goal.root() == key.goal.root()
                    && key.goal.path().starts_with(begin.goal.path())
            })
        });
        begins.map(|entry| &*entry.record).any(|begin| matches(begin))
    }

    fn some_of_task(&self, row: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
        match self.task(row) {
            Some(task) => task.iter().any(|entry| matches(&*entry.record)),
            None => matches(row),
        }
    }
}
