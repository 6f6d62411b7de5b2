//! Counting without putting records together: count, histogram, facet, names of fields.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use distlog::GoalId;
use distlog::record::{Fields, JsonKind, Raw};

use crate::block::directory::WHOLE;
use crate::block::{Block, NO_LEVEL};
use crate::query::Criteria;
use crate::scan::{Chunk, Prune, Scan};
use crate::shared::Shared;
use crate::{Bucket, Entry, Error, Order, Query};

/// More stretches than this are not counted: the width was a mistake.
const MAX_BUCKETS: usize = 100_000;

/// More different values than this are not told apart; those met first are.
const MAX_VALUES: usize = 100_000;

/// The name under which the goal tree of a record is counted.
const TASK: &str = "task";

/// Blocks that are asked for their field names.
const NAMED_BLOCKS: usize = 64;

/// How many records match.
pub(crate) fn count(shared: &Shared, query: &Query) -> Result<u64, Error> {
    let criteria = Criteria::new(query);
    let mut total = 0;
    Scan::new(shared, criteria.prune(), query.order, query.from)?.within(query.patience).walk(
        shared,
        |chunk| {
            total += match chunk {
                Chunk::Journal(entries) => entries.iter().filter(|entry| criteria.takes(entry)).count(),
                Chunk::Block(block, rows) if criteria.takes_all(block) => rows.len(),
                Chunk::Block(block, rows) => {
                    let found = criteria.rows(block, rows.clone()).len();
                    block.fault()?;
                    found
                }
            } as u64;
            Ok(true)
        },
    )?;
    Ok(total)
}

/// Levels over time.
pub(crate) fn histogram(shared: &Shared, query: &Query, width: i64) -> Result<Vec<Bucket>, Error> {
    let criteria = Criteria::new(query);
    let mut histogram = Histogram::new(width);
    Scan::new(shared, criteria.prune(), query.order, query.from)?.within(query.patience).walk(
        shared,
        |chunk| {
            match chunk {
                Chunk::Journal(entries) => {
                    let taken = entries.iter().filter(|entry| criteria.takes(entry));
                    taken.for_each(|entry| histogram.add(entry.time(), entry.record.level().unwrap_or(0)));
                }
                Chunk::Block(block, rows) => histogram.add_block(block, rows.clone(), &criteria)?,
            }
            if histogram.buckets.len() > MAX_BUCKETS {
                return Err(Error::TooMany { what: "stretches of time", limit: MAX_BUCKETS });
            }
            Ok(true)
        },
    )?;
    Ok(histogram.finish())
}

/// The most frequent values of a field (dotted names walk into it), as text: strings without quotes, others as JSON.
pub(crate) fn facet(
    shared: &Shared,
    query: &Query,
    field: &str,
    top: usize,
) -> Result<Vec<(String, u64)>, Error> {
    let criteria = Criteria::new(query);
    let mut values = Values::default();
    Scan::new(shared, criteria.prune(), query.order, query.from)?.within(query.patience).walk(
        shared,
        |chunk| {
            match chunk {
                Chunk::Journal(entries) => {
                    let taken = entries.iter().filter(|entry| criteria.takes(entry));
                    taken.for_each(|entry| values.add(find(&*entry.record, field), 1));
                }
                Chunk::Block(block, rows) => {
                    values.add_block(block, &criteria.rows(block, rows.clone()), field)?
                }
            }
            Ok(true)
        },
    )?;
    let mut values: Vec<(String, u64)> = values.0.into_iter().collect();
    values.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    values.truncate(top);
    Ok(values)
}

/// Names of the fields that the newest records have.
pub(crate) fn field_names(shared: &Shared) -> Result<Vec<String>, Error> {
    let mut names = BTreeSet::new();
    let mut blocks = 0;
    Scan::new(shared, Prune::default(), Order::NewestFirst, None)?.walk(shared, |chunk| {
        match chunk {
            Chunk::Journal(entries) => entries.iter().for_each(|entry| add_names(&mut names, entry)),
            Chunk::Block(block, _) => {
                let columns = block.directory().map_or(&[][..], |directory| &directory.columns);
                let named = columns.iter().map(|(name, _)| name).filter(|name| !name.starts_with('\n'));
                names.extend(named.cloned());
                if let Some((wholes, _)) = block.column(WHOLE) {
                    let texts = (0..wholes.count).filter_map(|at| wholes.get(at));
                    names.extend(
                        texts.flat_map(|text| Raw::trusted(text).members()).map(|(name, _)| name.to_owned()),
                    );
                }
                blocks += 1;
            }
        }
        Ok(blocks < NAMED_BLOCKS)
    })?;
    Ok(names.into_iter().collect())
}

fn add_names(names: &mut BTreeSet<String>, entry: &Entry) {
    for (name, _) in entry.record.fields() {
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }
}

/// Counts by stretch and level. Records come nearly in order of time, so the stretch of the last one is kept at hand.
struct Histogram {
    width: i64,
    buckets: BTreeMap<i64, BTreeMap<i64, u64>>,
    current: Range<i64>,
    /// Counts of the current stretch by level, for levels below its length.
    at_hand: [u64; 64],
}

impl Histogram {
    fn new(width: i64) -> Self {
        Self { width: width.max(1), buckets: BTreeMap::new(), current: 0..0, at_hand: [0; 64] }
    }

    fn add(&mut self, time: i64, level: i64) {
        if !self.current.contains(&time) {
            self.put_away();
            let start = time.div_euclid(self.width).saturating_mul(self.width);
            self.current = start..start.saturating_add(self.width);
        }
        match usize::try_from(level).ok().and_then(|level| self.at_hand.get_mut(level)) {
            Some(count) => *count += 1,
            None => *self.buckets.entry(self.current.start).or_default().entry(level).or_default() += 1,
        }
    }

    fn add_block(&mut self, block: &Block<'_>, rows: Range<usize>, criteria: &Criteria) -> Result<(), Error> {
        let whole_block = criteria.is_time_only();
        let some = if whole_block { Vec::new() } else { criteria.rows(block, rows.clone()) };
        if !whole_block && some.is_empty() {
            return block.fault();
        }
        let (times, levels) = (block.times(), block.levels());
        // Before a single row is counted: a damaged block counts not at all.
        block.fault()?;
        let level = |row: usize| levels.get(row).copied().filter(|level| *level != NO_LEVEL).unwrap_or(0);
        if whole_block {
            let times = times.get(rows.clone()).unwrap_or_default();
            let taken = times.iter().zip(rows).filter(|(time, _)| criteria.takes_time(**time));
            taken.for_each(|(time, row)| self.add(*time, level(row)));
        } else {
            some.into_iter().for_each(|row| self.add(times.get(row).copied().unwrap_or(0), level(row)));
        }
        Ok(())
    }

    fn put_away(&mut self) {
        for (level, count) in self.at_hand.iter_mut().enumerate().filter(|(_, count)| **count > 0) {
            let counts = self.buckets.entry(self.current.start).or_default();
            *counts.entry(level as i64).or_default() += std::mem::take(count);
        }
    }

    fn finish(mut self) -> Vec<Bucket> {
        self.put_away();
        self.buckets.into_iter().map(|(start, counts)| Bucket { start, counts }).collect()
    }
}

/// Counts by value.
#[derive(Default)]
struct Values(HashMap<String, u64>);

impl Values {
    fn add(&mut self, text: Option<Cow<'_, str>>, times: u64) {
        let Some(text) = text.filter(|_| times > 0) else { return };
        if let Some(count) = self.0.get_mut(text.as_ref()) {
            *count += times;
        } else if self.0.len() < MAX_VALUES {
            self.0.insert(text.into_owned(), times);
        }
    }

    fn add_block(&mut self, block: &Block<'_>, rows: &[usize], field: &str) -> Result<(), Error> {
        let column = if block.header.whole || field == TASK { None } else { block.column(field) };
        let dictionary = column.and_then(|(column, places)| column.dictionary().filter(|_| places.is_none()));
        // A null is an absent value: such a row may have a bound one instead.
        let dictionary = dictionary.filter(|(texts, _)| !texts.contains(&"null"));
        let Some((texts, codes)) = dictionary else {
            let found: Vec<_> = rows.iter().map(|row| block.row(*row)).collect();
            let values: Vec<_> = found.iter().map(|row| find(row, field)).collect();
            block.fault()?;
            values.into_iter().for_each(|value| self.add(value, 1));
            return Ok(());
        };
        let mut counts = vec![0; texts.len()];
        for code in rows.iter().filter_map(|row| codes.get(*row)) {
            if let Some(count) = counts.get_mut(usize::from(*code)) {
                *count += 1;
            }
        }
        block.fault()?;
        texts
            .into_iter()
            .zip(counts)
            .for_each(|(text, count)| self.add(Some(shown(Raw::trusted(text))), count));
        Ok(())
    }
}

/// The value under that name, as filters see it: the field, what a dotted name leads to, or what is bound to the goal.
fn find<'r>(row: &'r dyn Fields, field: &str) -> Option<Cow<'r, str>> {
    if field == TASK {
        return Some(GoalId::from_root(row.key()?.goal.root()).to_string().into());
    }
    let there = |value: &Raw<'r>| value.kind() != JsonKind::Null;
    let stepped = || {
        let (first, rest) = field.split_once('.')?;
        row.get(first)?.walk(rest)
    };
    let bound = || row.get("context")?.walk(field);
    let found = row.get(field).filter(there).or_else(|| stepped().filter(there));
    found.or_else(|| bound().filter(there)).map(shown)
}

/// Strings without quotes, others as JSON.
fn shown(value: Raw<'_>) -> Cow<'_, str> {
    value.into_str().unwrap_or(value.text().into())
}
