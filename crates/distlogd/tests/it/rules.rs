//! Rules: the table of the manual, and a property that ties the three ways of asking together.

use distlog::Record;
use distlog::filter::Filter;
use distlogd::rules::{Route, Rule, Rules};
use proptest::prelude::*;

fn rule(when: &str, to: &[usize], drop: bool, stop: bool) -> Rule {
    Rule { name: "r".to_owned(), when: Filter::parse(when).unwrap(), to: to.to_vec(), drop, stop }
}

fn record(level: i64, name: &str) -> Record {
    Record::from_json(&format!(r#"{{"levelno":{level},"name":"{name}","message":"m"}}"#)).unwrap()
}

#[test]
fn union_once_each_drop_and_stop() {
    let rules = Rules::new(vec![
        rule("level>=error", &[0, 1], false, false),
        rule("logger=urllib3.* level<warning", &[], true, false),
        rule("logger=audit.*", &[2], false, true),
        rule("", &[1, 3], false, false),
    ]);
    for (record, matched, to, dropped) in [
        (record(40, "app"), vec![0, 3], vec![0, 1, 3], false),
        (record(10, "urllib3.pool"), vec![1], vec![], true),
        (record(40, "urllib3.pool"), vec![0, 3], vec![0, 1, 3], false),
        (record(40, "audit.x"), vec![0, 2], vec![0, 1, 2], false),
        (record(20, "app"), vec![3], vec![1, 3], false),
    ] {
        assert_eq!(rules.route(&record), Route { rules: matched, to, dropped }, "{}", record.as_json());
    }
}

#[test]
fn a_stop_before_a_drop_keeps_the_record() {
    let rules =
        Rules::new(vec![rule("level>=error", &[0], false, true), rule("logger=noise", &[], true, false)]);
    assert!(rules.dropped_by(&record(40, "noise")).is_none());
    assert!(rules.dropped_by(&record(10, "noise")).is_some());
}

proptest! {
    /// The quick answers of writer and runners are those of the whole route.
    #[test]
    fn quick_answers_are_the_whole_answer(
        shapes in prop::collection::vec((0_usize..4, prop::collection::vec(0_usize..3, 0..3), any::<bool>(), any::<bool>()), 0..7),
        level in 0_i64..50,
    ) {
        let filters = ["", "level>=warning", "level<error", "logger=b"];
        let rules = Rules::new(shapes.iter().map(|(filter, to, drop, stop)| {
            let to: &[usize] = if *drop { &[] } else { to };
            rule(filters.get(*filter).unwrap(), to, *drop, *stop)
        }).collect());
        for name in ["a", "b"] {
            let record = record(level, name);
            let route = rules.route(&record);
            prop_assert_eq!(rules.dropped_by(&record).is_some(), route.dropped);
            for processor in 0..3 {
                prop_assert_eq!(rules.sends(processor, &record), route.to.contains(&processor), "{:?}", route);
            }
        }
    }
}
