//! Answers with a shape of their own: lines of JSON, names of fields, limits, cursors.

use std::time::Duration;

use distlog::filter::Filter;
use distlog_store::{Error, Options, Order, Query, Store};

use crate::scratch::{Scratch, record, records};

#[test]
fn an_entry_prints_its_place() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    let empty = distlog::Record::from_json("{}").unwrap();
    store.append(77, vec![distlog::Record::from_json("{\"msg\":\"x\"}").unwrap(), empty], &[]).unwrap();
    let entries = store.reader().read(0, 10).unwrap();
    assert_eq!(entries[0].to_json(), "{\"msg\":\"x\",\"_offset\":0,\"_received\":77}");
    assert_eq!(entries[1].to_json(), "{\"_offset\":1,\"_received\":77}");
}

#[test]
fn the_newest_come_without_a_walk_over_all() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options { recent_bytes: 0, ..Options::default() }).unwrap();
    store.append(1, records(0..20_000), &[]).unwrap();
    let query = Query { order: Order::NewestFirst, limit: Some(3), ..Query::new(Filter::everything()) };
    let found: Result<Vec<_>, Error> = store.reader().search(&query).unwrap().collect();
    assert_eq!(found.unwrap().iter().map(|entry| entry.offset).collect::<Vec<_>>(), [19_999, 19_998, 19_997]);
}

#[test]
fn a_search_goes_on_while_blocks_merge_under_it() {
    let scratch = Scratch::new();
    let options = Options { segment_age: Duration::from_secs(1), recent_bytes: 0, ..Options::default() };
    let mut store = Store::open(scratch.path(), options).unwrap();
    store.append(1, records(0..20_000), &[]).unwrap();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let query = Query { order, ..Query::new(Filter::parse("level>=error").unwrap()) };
        let mut search = store.reader().search(&query).unwrap();
        let mut found: Vec<u64> = search.by_ref().take(500).map(|entry| entry.unwrap().offset).collect();
        while store.maintain(i64::MAX / 2).unwrap().more {}
        found.extend(search.map(|entry| entry.unwrap().offset));
        found.sort_unstable();
        let expected: Vec<u64> = (0..20_000).filter(|number| number % 6 == 5).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn names_of_fields_and_absurd_widths() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    let mut many = records(0..2000);
    many.push(distlog::Record::from_json("{\"rare\":1}").unwrap());
    store.append(1, many, &[]).unwrap();
    let names = ["context", "created", "exc_text", "levelno", "message", "name", "number", "rare"];
    assert_eq!(store.reader().field_names().unwrap(), names);
    let query = Query::new(Filter::everything());
    assert_eq!(store.reader().histogram(&query, 0).unwrap().len(), 2001);
    let per_record = distlog::Record::from_json;
    let spread =
        (0..100_001).map(|number| per_record(&format!("{{\"created\":{number}}}")).unwrap()).collect();
    store.append(1, spread, &[]).unwrap();
    assert!(matches!(store.reader().histogram(&query, 1), Err(Error::TooMany { .. })));
}

#[test]
fn a_question_ends_with_the_patience_of_who_asks() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options::default()).unwrap();
    store.append(1, records(0..20_000), &[]).unwrap();
    let reader = store.reader();
    let rare = Filter::parse("number=19999").unwrap();
    let hurried = Query { patience: Some(Duration::ZERO), ..Query::new(rare.clone()) };
    let is_up = |error: &Error| matches!(error, Error::TimeUp { .. });
    assert!(reader.count(&hurried).is_err_and(|error| is_up(&error)));
    assert!(reader.histogram(&hurried, 1000).is_err_and(|error| is_up(&error)));
    assert!(reader.facet(&hurried, "name", 5).is_err_and(|error| is_up(&error)));
    let answers: Vec<_> = reader.search(&hurried).unwrap().collect();
    assert!(matches!(answers.as_slice(), [Err(error)] if is_up(error)));
    let patient = Query { patience: Some(Duration::from_secs(60)), ..Query::new(rare) };
    assert_eq!((reader.count(&patient).unwrap(), reader.search(&patient).unwrap().count()), (1, 1));
}

#[test]
fn cursors_are_kept_by_name() {
    let scratch = Scratch::new();
    let store = Store::open(scratch.path(), Options::default()).unwrap();
    let cursors = store.cursors();
    assert_eq!(cursors.load("archive").unwrap(), None);
    cursors.save("archive", 5).unwrap();
    cursors.save("pager", 7).unwrap();
    cursors.clone().save("archive", 6).unwrap();
    drop((store, cursors));
    let cursors = Store::open(scratch.path(), Options::default()).unwrap().cursors();
    assert_eq!(cursors.list().unwrap(), [("archive".to_owned(), 6), ("pager".to_owned(), 7)]);
    cursors.remove("pager").unwrap();
    assert_eq!(cursors.load("pager").unwrap(), None);
}

#[test]
fn records_are_the_same_from_memory_and_from_disk() {
    let scratch = Scratch::new();
    let mut store =
        Store::open(scratch.path(), Options { recent_bytes: 20_000, ..Options::default() }).unwrap();
    store.append(1, records(0..3000), &[]).unwrap();
    let entries = store.reader().read(0, 5000).unwrap();
    let tail = store.reader().read(2990, 100).unwrap();
    assert_eq!(entries[2990..], tail);
    assert!(entries.iter().all(|entry| *entry.record == record(entry.offset)));
}

#[test]
fn a_task_is_found_by_its_text_even_where_a_key_has_no_form() {
    let scratch = Scratch::new();
    let mut store = Store::open(scratch.path(), Options { recent_bytes: 0, ..Options::default() }).unwrap();
    let id = "aaaaaaaa-0000-4000-8000-000000000001";
    let mut all = records(0..1021);
    for key in [format!("x@{id}"), format!("1@{id}/y"), format!("2@{id}/1")] {
        all.push(distlog::Record::from_json(&format!("{{\"context\":{{\"key\":\"{key}\"}}}}")).unwrap());
    }
    let filter = Filter::parse(&format!("task:{id}")).unwrap();
    let expected = all.iter().filter(|record| filter.matches(*record)).count() as u64;
    store.append(1, all, &[]).unwrap();
    assert!(expected >= 2);
    assert_eq!(store.reader().stats().unwrap().blocks, 1);
    assert_eq!(store.reader().count(&Query::new(filter)).unwrap(), expected);
}
