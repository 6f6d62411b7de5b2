//! What can be asked, and the records that answer.
//!
//! A query is answered in three rounds, each cheaper by far than the next: headers rule out blocks (time, level, root);
//! single columns rule out rows (time, level, and the filter's needles, looked for in the column's text as a whole);
//! the filter itself decides about the rows that are left, and only what passes is put together.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use distlog::filter::{Filter, Node};

use crate::block::column::Needle;
use crate::block::{Assembler, Block, NO_LEVEL};
use crate::scan::{Chunk, Prune, Scan, check_patience};
use crate::shared::Shared;
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
    /// The order of answers. What only counts goes by `from` and `order` too, but not by `limit`.
    pub order: Order,
    /// At most so many.
    pub limit: Option<usize>,
    /// The longest that may be spent until the next answer is found, or until everything is counted.
    pub patience: Option<Duration>,
}

impl Query {
    /// Everything that passes the filter, oldest first.
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            since: None,
            until: None,
            from: None,
            order: Order::OldestFirst,
            limit: None,
            patience: None,
        }
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
    shared: Arc<Shared>,
    scan: Scan,
    criteria: Criteria,
    order: Order,
    left: usize,
    patience: Option<Duration>,
    found: VecDeque<Entry>,
}

impl Search {
    pub(crate) fn new(shared: Arc<Shared>, query: &Query) -> Result<Self, Error> {
        let criteria = Criteria::new(query);
        let scan = Scan::new(&shared, criteria.prune(), query.order, query.from)?;
        let left = query.limit.unwrap_or(usize::MAX);
        Ok(Self {
            shared,
            scan,
            criteria,
            order: query.order,
            left,
            patience: query.patience,
            found: VecDeque::new(),
        })
    }

    /// Walks on until something is found.
    fn find_more(&mut self) -> Result<(), Error> {
        let Self { shared, scan, criteria, order, left, patience, found } = self;
        let begun = Instant::now();
        while found.is_empty() && !scan.is_done() {
            check_patience(begun, *patience)?;
            scan.step(shared, &mut |chunk| {
                let mut entries = criteria.entries(chunk, *order, *left)?;
                if *order == Order::NewestFirst {
                    entries.reverse();
                }
                *left -= entries.len();
                found.extend(entries);
                Ok(found.is_empty())
            })?;
        }
        Ok(())
    }
}

impl Iterator for Search {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.found.is_empty()
            && self.left > 0
            && let Err(error) = self.find_more()
        {
            self.left = 0;
            return Some(Err(error));
        }
        self.found.pop_front().map(Ok)
    }
}

/// A query made ready to be put to blocks.
pub(crate) struct Criteria {
    filter: Filter,
    /// Whether the filter passes everything, so that only the times count.
    everything: bool,
    since: Option<i64>,
    until: Option<i64>,
    level: Option<i64>,
    needles: Vec<(&'static [&'static str], Needle)>,
}

impl Criteria {
    pub(crate) fn new(query: &Query) -> Self {
        let filter = query.filter.clone();
        // The context's own text is not in its column: the key has been taken out of it.
        let needles = filter.needles().into_iter().filter(|needle| !needle.columns.contains(&"context"));
        let needles =
            needles.filter_map(|needle| Some((needle.columns, Needle::new(&needle.text)?))).collect();
        Self {
            everything: matches!(filter.ast().node, Node::Everything),
            level: filter.min_level(),
            filter,
            since: query.since,
            until: query.until,
            needles,
        }
    }

    /// What headers can tell.
    pub(crate) fn prune(&self) -> Prune {
        let (first, last) = self.filter.time_bounds();
        Prune {
            since: self.since.max(first),
            until: self.until.into_iter().chain(last.map(|last| last.saturating_add(1))).min(),
            level: self.level,
            root: self.filter.goal_root(),
        }
    }

    /// Whether every record of the block matches, by its header alone.
    pub(crate) fn takes_all(&self, block: &Block<'_>) -> bool {
        self.everything && self.spans_all(block)
    }

    /// Whether the filter leaves nothing to be asked but the time.
    pub(crate) fn is_time_only(&self) -> bool {
        self.everything
    }

    /// Whether that time is asked for.
    pub(crate) fn takes_time(&self, time: i64) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// The matching rows of a block, in order.
    pub(crate) fn rows(&self, block: &Block<'_>, rows: Range<usize>) -> Vec<usize> {
        if self.takes_all(block) {
            return rows.collect();
        }
        let mut left = self.candidates(block, rows);
        if !left.is_empty() && !self.spans_all(block) {
            let times = block.times();
            left.retain(|row| times.get(*row).is_some_and(|time| self.takes_time(*time)));
        }
        if let Some(lowest) = self.level.filter(|_| !left.is_empty()) {
            let levels = block.levels();
            left.retain(|row| levels.get(*row).is_some_and(|level| *level != NO_LEVEL && *level >= lowest));
        }
        if !self.everything {
            left.retain(|row| self.filter.matches(&block.row(*row)));
        }
        left
    }

    /// Whether a single record matches.
    pub(crate) fn takes(&self, entry: &Entry) -> bool {
        self.takes_time(entry.time()) && (self.everything || self.filter.matches(&*entry.record))
    }

    /// The first `limit` matching entries of a chunk in this order, oldest first in any case.
    pub(crate) fn entries(&self, chunk: &Chunk<'_>, order: Order, limit: usize) -> Result<Vec<Entry>, Error> {
        match chunk {
            Chunk::Journal(entries) => {
                let taken: Vec<Entry> = entries.iter().filter(|entry| self.takes(entry)).cloned().collect();
                Ok(cut(taken, order, limit))
            }
            Chunk::Block(block, rows) => {
                let rows = cut(self.rows(block, rows.clone()), order, limit);
                if rows.is_empty() {
                    return Ok(Vec::new());
                }
                let assembler = Assembler::new(block)?;
                rows.into_iter().map(|row| assembler.entry(row)).collect()
            }
        }
    }

    fn spans_all(&self, block: &Block<'_>) -> bool {
        self.takes_time(block.header.times.0) && self.takes_time(block.header.times.1)
    }

    /// Rows that have all needles.
    fn candidates(&self, block: &Block<'_>, rows: Range<usize>) -> Vec<usize> {
        let mut left: Option<Vec<usize>> = None;
        let mut scratch = Vec::new();
        for (columns, needle) in &self.needles {
            let Some(mut hits) = hits(block, columns, needle, &mut scratch) else { continue };
            hits.retain(|row| {
                rows.contains(row) && left.as_ref().is_none_or(|left| left.binary_search(row).is_ok())
            });
            if hits.is_empty() {
                return hits;
            }
            left = Some(hits);
        }
        left.unwrap_or_else(|| rows.collect())
    }
}

/// Rows in which some of the columns has the needle, in order; `None` if the columns cannot tell.
fn hits(block: &Block<'_>, columns: &[&str], needle: &Needle, scratch: &mut Vec<u8>) -> Option<Vec<usize>> {
    if block.header.whole {
        return None;
    }
    let mut hits = Vec::new();
    // Whether every row has the text that people read, so that none is asked for its `msg` in its place.
    let mut worded = false;
    for name in columns {
        if worded && *name == "msg" {
            continue;
        }
        let Some((column, places)) = block.column(name) else { continue };
        if !column.searchable {
            return None;
        }
        let Some(places) = places else {
            column.find(needle, scratch, |row| hits.push(row));
            worded |= *name == "message" && column.strings;
            continue;
        };
        let mut found = Vec::new();
        column.find(needle, scratch, |place| found.push(place as u32));
        if !found.is_empty() {
            let has = |(_, place): &(usize, &u32)| found.binary_search(place).is_ok();
            hits.extend(places.iter().enumerate().filter(has).map(|(row, _)| row));
        }
    }
    hits.sort_unstable();
    hits.dedup();
    Some(hits)
}

/// The first `limit` in this order, of what is in ascending order.
fn cut<T>(mut all: Vec<T>, order: Order, limit: usize) -> Vec<T> {
    match order {
        Order::OldestFirst => all.truncate(limit),
        Order::NewestFirst => drop(all.drain(..all.len().saturating_sub(limit))),
    }
    all
}
