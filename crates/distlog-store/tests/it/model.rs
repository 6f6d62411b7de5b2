//! Random histories against a plain vector: whatever is appended, rolled, merged, removed and opened anew,
//! every question gets the answer that a loop over the vector gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use distlog::filter::Filter;
use distlog::record::{Fields, Raw, Record, RecordBuilder};
use distlog_store::{Bucket, Entry, Error, Mark, Options, Order, Query, Reader, Store};
use proptest::prelude::*;

use crate::scratch::{Scratch, record, root};

const SECOND: i64 = 1_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    /// Records from the generator, and such of odd shape.
    Append {
        count: usize,
        odd: Vec<u8>,
        mark: Option<(u8, u64)>,
    },
    Maintain,
    /// Time passes: far enough for a segment to be closed by age.
    Roll,
    Reopen,
    Ask(Ask),
}

#[derive(Debug, Clone)]
struct Ask {
    filter: usize,
    since: Option<u64>,
    until: Option<u64>,
    from: Option<u64>,
    newest_first: bool,
    limit: Option<usize>,
    width: i64,
}

const FILTERS: [&str; 13] = [
    "",
    "hello",
    "level>=warning",
    "level>=error hello",
    "logger=app.*",
    "logger=app.db -goodbye",
    "number>900",
    "exc_text:\"line 7\"",
    "(hello or level>=error) record",
    "odd:k",
    "message~/record \\d*3 says/",
    "context.job=j1",
    "task:02111111",
];

fn step() -> impl Strategy<Value = Step> {
    let count = prop_oneof![0_usize..5, 0_usize..300, 1000_usize..2500];
    let append = (count, prop::collection::vec(any::<u8>(), 0..4), prop::option::of((0_u8..3, any::<u32>())))
        .prop_map(|(count, odd, mark)| Step::Append {
            count,
            odd,
            mark: mark.map(|(who, next)| (who, u64::from(next))),
        });
    let number = || prop::option::of(0_u64..8000);
    let ask = (
        0..FILTERS.len(),
        number(),
        number(),
        number(),
        any::<bool>(),
        prop::option::of(0_usize..2000),
        1_i64..400,
    );
    let ask = ask.prop_map(|(filter, since, until, from, newest_first, limit, width)| {
        Step::Ask(Ask { filter, since, until, from, newest_first, limit, width: width * SECOND })
    });
    prop_oneof![5 => append, 2 => Just(Step::Maintain), 1 => Just(Step::Roll), 1 => Just(Step::Reopen), 4 => ask]
}

/// Records that no program of ours sends.
fn odd(kind: u8, number: u64) -> Record {
    let mut builder = RecordBuilder::with_capacity(64);
    match kind % 8 {
        0 => {}
        1 => {
            builder.raw("created", Raw::trusted("\"yesterday\"")).raw("levelno", Raw::trusted("null"));
        }
        2 => {
            builder.str("odd", "\u{212a} as in Kelvin").int("levelno", -3);
        }
        3 => {
            builder.raw("odd", Raw::trusted("\"\\u004b\"")).raw("levelno", Raw::trusted("4e1"));
        }
        4 => {
            builder.str("message", "Hello\nworld").int("levelno", 4000);
        }
        5 => {
            builder.raw(
                "context",
                Raw::trusted("{\"job\":\"j1\",\"key\":\"3@0211111111111111111111111111111A\"}"),
            );
        }
        6 => (0..600).for_each(|field| {
            builder.int(&format!("f{number}_{field}"), field);
        }),
        _ => {
            builder.raw("created", Raw::trusted("1.5e9")).str("msg", "only HELLO").int("levelno", 40);
        }
    }
    builder.finish()
}

struct Model {
    scratch: Scratch,
    store: Option<Store>,
    entries: Vec<Entry>,
    marks: BTreeMap<u8, Mark>,
    now: i64,
}

impl Model {
    fn new() -> Self {
        let scratch = Scratch::new();
        let store = Some(Store::open(scratch.path(), options()).unwrap());
        Self { scratch, store, entries: Vec::new(), marks: BTreeMap::new(), now: 1_700_000_000 * SECOND }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append { count, odd: kinds, mark } => self.append(*count, kinds, *mark),
            Step::Maintain => drop(self.store.as_mut().unwrap().maintain(self.now).unwrap()),
            Step::Roll => {
                self.now += 3600 * SECOND;
                let rolled = self.store.as_mut().unwrap().maintain(self.now).unwrap().rolled;
                assert!(rolled || self.scratch.segments().last() == Some(&(self.entries.len() as u64)));
            }
            Step::Reopen => {
                self.store = None;
                self.store = Some(Store::open(self.scratch.path(), options()).unwrap());
                assert_eq!(self.store().waiting(), 0);
            }
            Step::Ask(ask) => {
                let live = self.store().reader();
                self.ask(&live, ask);
                self.ask(&Reader::open(self.scratch.path()).unwrap(), ask);
            }
        }
    }

    fn append(&mut self, count: usize, kinds: &[u8], mark: Option<(u8, u64)>) {
        self.now += SECOND;
        let first = self.entries.len() as u64;
        let mut records: Vec<Record> = (first..).take(count).map(record).collect();
        records.extend(kinds.iter().zip(first..).map(|(kind, number)| odd(*kind, number)));
        let mark = mark.map(|(who, next)| (who, Mark { producer: [who; 16], epoch: 1, next_sequence: next }));
        let marks: Vec<Mark> = mark.iter().map(|(_, mark)| *mark).collect();
        self.marks.extend(mark);
        let now = self.now;
        let range = self.store().append(now, records.clone(), &marks).unwrap();
        assert_eq!(range, first..first + records.len() as u64);
        let entry = |(offset, record)| Entry { offset, received: now, record: Arc::new(record) };
        self.entries.extend((first..).zip(records).map(entry));
        for (who, mark) in &self.marks {
            assert_eq!(self.store.as_ref().unwrap().mark(&[*who; 16]), Some(*mark));
        }
    }

    fn ask(&self, reader: &Reader, ask: &Ask) {
        let time = |number: u64| 1_700_000_000 * SECOND + number as i64 * SECOND / 10;
        let query = Query {
            filter: Filter::parse(FILTERS[ask.filter]).unwrap(),
            since: ask.since.map(time),
            until: ask.until.map(time),
            from: ask.from,
            order: if ask.newest_first { Order::NewestFirst } else { Order::OldestFirst },
            limit: ask.limit,
            patience: None,
        };
        let matching: Vec<&Entry> = self.entries.iter().filter(|entry| passes(&query, entry)).collect();
        assert_eq!(reader.bounds(), 0..self.entries.len() as u64);
        check_search(reader, &query, &matching);
        assert_eq!(reader.count(&query).unwrap(), matching.len() as u64);
        assert_eq!(reader.histogram(&query, ask.width).unwrap(), histogram(&matching, ask.width));
        for field in ["name", "number", "context.job"] {
            assert_eq!(reader.facet(&query, field, 5).unwrap(), facet(&matching, field, 5));
        }
        for number in 0..5 {
            let of_root =
                |entry: &&Entry| entry.record.key().is_some_and(|key| key.goal.root() == root(number));
            let all: Vec<Entry> = self.entries.iter().filter(of_root).cloned().collect();
            assert_eq!(reader.goal(root(number), usize::MAX).unwrap(), all);
            let from = ask.from.unwrap_or(0);
            let page: Vec<Entry> = all.into_iter().filter(|entry| entry.offset >= from).take(7).collect();
            assert_eq!(reader.goal_from(root(number), from, 7).unwrap(), page);
        }
        let mut recent = Vec::new();
        let roots = self.entries.iter().rev().filter_map(|entry| Some(entry.record.key()?.goal.root()));
        roots.for_each(|root| {
            if !recent.contains(&root) {
                recent.push(root)
            }
        });
        assert_eq!(reader.recent_roots(100).unwrap(), recent);
        recent.sort_unstable();
        assert_eq!(reader.roots_with_prefix("", 100).unwrap(), recent);
        recent.retain(|root| root[0] == 2);
        assert_eq!(reader.roots_with_prefix("021", 100).unwrap(), recent);
        let stats = reader.stats().unwrap();
        assert_eq!(
            (stats.records, stats.next_offset, stats.damaged),
            (self.entries.len() as u64, stats.records, 0)
        );
    }
}

fn options() -> Options {
    // A small memory, so that both memory and disk answer.
    let segment_age = Duration::from_secs(3000);
    Options {
        recent_bytes: 100_000,
        segment_age,
        maintain_time: Duration::from_secs(5),
        ..Options::default()
    }
}

fn passes(query: &Query, entry: &Entry) -> bool {
    let start = query.from.unwrap_or(if query.order == Order::OldestFirst { 0 } else { u64::MAX });
    let placed = if query.order == Order::OldestFirst { entry.offset >= start } else { entry.offset < start };
    placed
        && query.since.is_none_or(|since| entry.time() >= since)
        && query.until.is_none_or(|until| entry.time() < until)
        && query.filter.matches(&*entry.record)
}

fn check_search(reader: &Reader, query: &Query, matching: &[&Entry]) {
    let mut expected: Vec<Entry> = matching.iter().map(|entry| (*entry).clone()).collect();
    if query.order == Order::NewestFirst {
        expected.reverse();
    }
    expected.truncate(query.limit.unwrap_or(usize::MAX));
    let found: Vec<Entry> = reader.search(query).unwrap().collect::<Result<_, Error>>().unwrap();
    assert_eq!(found.len(), expected.len());
    assert!(found == expected);
}

fn histogram(matching: &[&Entry], width: i64) -> Vec<Bucket> {
    let mut buckets: BTreeMap<i64, BTreeMap<i64, u64>> = BTreeMap::new();
    for entry in matching {
        let start = entry.time().div_euclid(width) * width;
        *buckets.entry(start).or_default().entry(entry.record.level().unwrap_or(0)).or_default() += 1;
    }
    buckets.into_iter().map(|(start, counts)| Bucket { start, counts }).collect()
}

fn facet(matching: &[&Entry], field: &str, top: usize) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for entry in matching {
        let value = match field.split_once('.') {
            Some((first, rest)) => entry.record.get(first).and_then(|value| value.walk(rest)),
            None => entry.record.get(field),
        };
        if let Some(value) = value {
            let text = value.into_str().unwrap_or(value.text().into());
            *counts.entry(text.into_owned()).or_default() += 1;
        }
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts.truncate(top);
    counts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_answer_is_the_vectors(steps in prop::collection::vec(step(), 1..25)) {
        let mut model = Model::new();
        for step in &steps {
            model.apply(step);
        }
        let from = model.entries.len() as u64 / 3;
        let reader = model.store().reader();
        let mut read = Vec::new();
        let mut follower = reader.follow(from);
        while follower.position() < model.entries.len() as u64 {
            read.extend(follower.next(777, Duration::ZERO).unwrap());
        }
        prop_assert!(read == model.entries[from as usize..]);
    }
}
