//! What can be asked, and the records that answer.

use std::collections::{BTreeMap, VecDeque};

use distlog::filter::Filter;

use crate::{Entry, Error};

/// Which records, from where, in which order, how many.
#[derive(Clone)]
pub struct Query {
    /// The condition.
    pub filter: Filter,
    /// Only records of this time (ns) and later. A record's time is `created`, else when it was received.
    pub since: Option<i64>,
    /// Only records before this time (ns).
    pub until: Option<i64>,
    /// Where to start: oldest first begins at this offset, newest first just below it.
    pub from: Option<u64>,
    /// The order of answers.
    pub order: Order,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Query {
    /// Everything that passes the filter, oldest first.
    pub fn new(filter: Filter) -> Self {
        Self { filter, since: None, until: None, from: None, order: Order::OldestFirst, limit: None }
    }
}

/// The order of answers, by offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they came.
    OldestFirst,
    /// The newest first: what a person looks for.
    NewestFirst,
}

/// One stretch of a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Its first nanosecond: a multiple of the width.
    pub start: i64,
    /// Records by `levelno`; those without a level count as 0.
    pub counts: BTreeMap<i64, u64>,
}

/// Records that match, as they are found. Holds no lock and no transaction between two answers.
pub struct Search {
    found: VecDeque<Entry>,
}

impl Iterator for Search {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.found.pop_front().map(Ok)
    }
}
