//! Records in any order, any of them missing, give the right tree: against a model that knows the whole story.

use std::collections::BTreeSet;
use std::time::Instant;

use distlog::record::SECOND;
use distlog::tree::{Forest, Liveness, MAX_TEXT, Part, Status, Tree};
use distlog::{GoalId, Record};
use proptest::prelude::*;

const ROOTS: [[u8; 16]; 2] = [[0x7f; 16], [0x80; 16]];
const NOW: i64 = 2_000 * SECOND;

/// What one record tells, as the model sees it.
#[derive(Debug, Clone)]
struct Told {
    goal: GoalId,
    number: u32,
    part: Part,
    failed: bool,
    count: u32,
    awaited: Vec<u32>,
    process: u8,
}

impl Told {
    fn row(&self) -> Record {
        let Self { goal, number, part, process, count, .. } = self;
        let says = match part {
            Part::Begin => format!(r#","goal":{{"event":"begin","title":"goal {goal}"}}"#),
            Part::Inner => String::new(),
            Part::End => {
                let (status, awaited) = (if self.failed { "failed" } else { "succeeded" }, &self.awaited);
                format!(
                    r#","goal":{{"event":"end","title":"goal {goal}","status":"{status}","duration":1.5,"count":{count},"awaited":{awaited:?}}}"#
                )
            }
        };
        let created = 1000 + number;
        let text = format!(
            r#"{{"name":"shop","message":"m{number}","levelno":20,"created":{created},"process":{process},"processName":"web","context":{{"key":"{number}@{goal}"}}{says}}}"#
        );
        Record::from_json(&text).unwrap()
    }
}

/// What a goal does, in order.
#[derive(Debug, Clone)]
struct Plan {
    steps: Vec<Step>,
    ends: bool,
    fails: bool,
    process: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Record,
    Goal(Plan),
    HandOver,
}

impl Plan {
    fn tell(&self, goal: &GoalId, told: &mut Vec<Told>) {
        let says = |number, part, count, awaited| {
            let (failed, process) = (self.fails, self.process);
            Told { goal: goal.clone(), number, part, failed, count, awaited, process }
        };
        told.push(says(0, Part::Begin, 0, vec![]));
        let (mut number, mut awaited) = (0, Vec::new());
        for step in &self.steps {
            number += 1;
            match step {
                Step::Record => told.push(says(number, Part::Inner, 0, vec![])),
                Step::Goal(plan) => plan.tell(&goal.child(number), told),
                Step::HandOver => awaited.push(number),
            }
        }
        if self.ends {
            told.push(says(number + 1, Part::End, number + 2, awaited));
        }
    }

    fn is_closed(&self) -> bool {
        self.ends
            && self.steps.iter().all(|step| match step {
                Step::Record => true,
                Step::Goal(plan) => plan.is_closed(),
                Step::HandOver => false,
            })
    }
}

fn plan(always_closed: bool) -> impl Strategy<Value = Plan> {
    let open = if always_closed { 0 } else { 1 };
    let make = move |step: BoxedStrategy<Step>| {
        (
            prop::collection::vec(step, 0..5),
            prop::bool::weighted(1.0 - 0.3 * f64::from(open)),
            any::<bool>(),
            1..4_u8,
        )
            .prop_map(|(steps, ends, fails, process)| Plan { steps, ends, fails, process })
    };
    let leaf = prop_oneof![4 => Just(Step::Record), open => Just(Step::HandOver)].boxed();
    make(leaf.clone()).prop_recursive(4, 24, 5, move |inner| {
        make(prop_oneof![2 => leaf.clone(), 2 => inner.prop_map(Step::Goal)].boxed())
    })
}

fn told(plans: &[Plan]) -> Vec<Told> {
    let mut told = Vec::new();
    for (plan, root) in plans.iter().zip(ROOTS) {
        plan.tell(&GoalId::from_root(root), &mut told);
    }
    told
}

/// The trees of these records; the first number is the place in the store.
fn trees(rows: &[(u64, Told)]) -> Vec<Tree> {
    let mut forest = Forest::new();
    for (offset, told) in rows {
        forest.add(*offset, &told.row());
    }
    forest.roots().map(|root| forest.build(&root, NOW).unwrap()).collect()
}

/// The model: says of one goal, from the records alone and by brute force, what its tree must show.
fn check(tree: &Tree, seen: &[Told]) {
    let own: Vec<&Told> = seen.iter().filter(|told| told.goal == tree.id).collect();
    let below = seen.iter().filter(|told| told.goal.is_within(&tree.id));
    assert_eq!(tree.records, below.clone().count() as u64);
    assert_eq!(tree.own_records.len(), own.len());
    let end = own.iter().find(|told| told.part == Part::End);
    let begun = own.iter().any(|told| told.part == Part::Begin);
    let depth = tree.id.depth();
    let with_records: BTreeSet<u32> =
        below.clone().filter_map(|told| told.goal.path().get(depth)).copied().collect();
    let handed: BTreeSet<u32> = end.map(|end| end.awaited.iter().copied().collect()).unwrap_or_default();
    let children: BTreeSet<u32> = with_records.union(&handed).copied().collect();
    let shown: BTreeSet<u32> = tree.children.iter().map(|child| *child.id.path().last().unwrap()).collect();
    assert_eq!(shown, children);
    assert_eq!(shown.len(), tree.children.len());
    let accounted = |number: u32| children.contains(&number) || own.iter().any(|told| told.number == number);
    let highest = (0..100).filter(|number| accounted(*number)).max().map_or(0, |number| number + 1);
    let missing: Vec<u32> =
        (0..end.map_or(highest, |end| end.count)).filter(|number| !accounted(*number)).collect();
    assert_eq!(numbers(&tree.missing, &tree.id), missing, "{}", tree.id);
    assert_eq!(tree.missing_count, missing.len() as u64);
    let status = match end {
        Some(end) if end.failed => Status::Failed,
        Some(_) => Status::Succeeded,
        None if !own.is_empty() => Status::Silent,
        None if below.clone().count() > 0 => Status::Unknown,
        None => Status::Awaited,
    };
    // The records are from second 1000 on; now is 2000, and the usual rule is 600.
    assert_eq!(tree.status, status);
    let title = if begun || end.is_some() { format!("goal {}", tree.id) } else { String::new() };
    assert_eq!(tree.title, title);
    let processes: BTreeSet<String> = below.map(|told| format!("web/{}", told.process)).collect();
    assert_eq!(tree.processes.iter().cloned().collect::<BTreeSet<_>>(), processes);
    assert_eq!(tree.processes.len(), processes.len());
    tree.children.iter().for_each(|child| check(child, seen));
}

/// The numbers that entries like `5-6@<id>` stand for.
fn numbers(missing: &[String], id: &GoalId) -> Vec<u32> {
    let mut numbers = Vec::new();
    for entry in missing {
        let (run, goal) = entry.split_once('@').unwrap();
        assert_eq!(goal, id.to_string());
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        numbers.extend(first.parse::<u32>().unwrap()..=last.parse::<u32>().unwrap());
    }
    numbers
}

fn numbered(told: &[Told]) -> Vec<(u64, Told)> {
    (0..).zip(told.iter().cloned()).collect()
}

proptest! {
    #[test]
    fn any_order_gives_the_same_tree(
        (told, shuffled) in prop::collection::vec(plan(false), 1..3).prop_flat_map(|plans| {
            let told = numbered(&told(&plans));
            (Just(told.clone()), Just(told).prop_shuffle())
        }),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut shuffled = shuffled;
        for index in &again {
            // A resend is stored again, later; which of the two is met first is chance.
            let (offset, twice) = shuffled[index.index(told.len())].clone();
            shuffled.insert(index.index(shuffled.len()), (offset + 1000, twice));
        }
        let (expect, built) = (trees(&told), trees(&shuffled));
        prop_assert_eq!(&expect, &built);
        let json = |trees: &[Tree]| trees.iter().map(|tree| tree.to_json_with_records(0)).collect::<Vec<_>>();
        prop_assert_eq!(json(&expect), json(&built));
    }

    #[test]
    fn any_subset_gives_a_tree_that_names_what_is_missing(
        plans in prop::collection::vec(plan(false), 1..3),
        kept in prop::collection::vec(prop::bool::weighted(0.6), 400),
    ) {
        let told = told(&plans);
        let seen: Vec<Told> = told.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(told, _)| told.clone()).collect();
        let trees = trees(&numbered(&seen));
        let roots: BTreeSet<[u8; 16]> = seen.iter().map(|told| told.goal.root()).collect();
        prop_assert_eq!(trees.iter().map(|tree| tree.id.root()).collect::<BTreeSet<_>>(), roots);
        trees.iter().for_each(|tree| check(tree, &seen));
    }

    #[test]
    fn complete_means_that_nothing_is_missing(plan in plan(true), dropped in any::<prop::sample::Index>(), more in any::<u64>()) {
        prop_assert!(plan.is_closed());
        let all = numbered(&told(&[plan]));
        prop_assert!(trees(&all)[0].complete());
        prop_assert_eq!(trees(&all)[0].missing_total(), 0);
        let first = dropped.index(all.len());
        let some: Vec<_> =
            all.iter().filter(|(at, _)| *at != first as u64 && (more >> (at % 64)) & 1 == 0).cloned().collect();
        for rest in [all.iter().filter(|(at, _)| *at != first as u64).cloned().collect(), some] {
            prop_assert!(trees(&rest).iter().all(|tree| !tree.complete()));
        }
    }

    #[test]
    fn an_open_or_awaited_goal_is_never_complete(plan in plan(false)) {
        let closed = plan.is_closed();
        prop_assert_eq!(trees(&numbered(&told(&[plan])))[0].complete(), closed);
    }
}

fn forest(rows: &[&str]) -> Forest {
    let mut forest = Forest::new();
    for (offset, row) in (0..).zip(rows) {
        forest.add(offset, &Record::from_json(&row.replace("ROOT", ID)).unwrap());
    }
    forest
}

const ID: &str = "7f3a2c1e-0b1d-4c5e-8f90-a1b2c3d4e5f6";

fn only(forest: &Forest, liveness: &Liveness) -> Tree {
    let root = forest.roots().next().unwrap();
    forest.build_with(&root, liveness).unwrap()
}

const BEGIN: &str = r#"{"name":"shop","message":"checkout","levelno":20,"created":10.5,"process":1,"hostname":"web",
    "context":{"key":"0@ROOT"},"goal":{"event":"begin","title":"checkout"}}"#;
const CHILD: &str = r#"{"message":"charge","levelno":20,"created":11,"process":2,"hostname":"pay",
    "context":{"key":"0@ROOT/2"},"goal":{"event":"begin","title":"charge","link":"a/1"}}"#;
const FAILED: &str = r#"{"message":"FAILED charge","levelno":40,"created":12.25,"process":2,"hostname":"pay",
    "context":{"key":"3@ROOT/2"},"goal":{"event":"end","title":"charge","status":"failed","count":4,"error":"declined"}}"#;
const END: &str = r#"{"message":"done","levelno":20,"created":13,"process":1,"hostname":"web",
    "context":{"key":"6@ROOT"},"goal":{"event":"end","title":"checkout","status":"succeeded","duration":2.75,"count":7,"awaited":[3,2]}}"#;

#[test]
fn json_has_the_promised_form() {
    let tree = only(&forest(&[BEGIN, CHILD, FAILED, END]), &Liveness::at(0));
    let child = format!(
        "{{\"id\":\"{ID}/2\",\"title\":\"charge\",\"status\":\"failed\",\"duration\":1.25,\"processes\":[\"pay/2\"],\"records\":2,\
         \"missing\":[\"1-2@{ID}/2\"],\"children\":[],\"begin\":11.0,\"end\":12.25,\"last\":12.25,\"process\":\"pay/2\",\
         \"logger\":null,\"error\":\"declined\",\"link\":\"a/1\"}}"
    );
    let awaited = format!(
        "{{\"id\":\"{ID}/3\",\"title\":\"\",\"status\":\"awaited\",\"duration\":null,\"processes\":[],\"records\":0,\
         \"missing\":[],\"children\":[],\"begin\":null,\"end\":null,\"last\":null,\"process\":null,\
         \"logger\":null,\"error\":null,\"link\":null}}"
    );
    let expect = format!(
        "{{\"id\":\"{ID}\",\"title\":\"checkout\",\"status\":\"succeeded\",\"duration\":2.75,\
         \"processes\":[\"web/1\",\"pay/2\"],\"records\":4,\"missing\":[\"1@{ID}\",\"4-5@{ID}\"],\"children\":[{child},{awaited}],\
         \"begin\":10.5,\"end\":13.0,\"last\":13.0,\"process\":\"web/1\",\"logger\":\"shop\",\"error\":null,\"link\":null}}"
    );
    assert_eq!(tree.to_json(), expect);
    let summary = format!(
        "{{\"id\":\"{ID}\",\"title\":\"checkout\",\"status\":\"succeeded\",\"duration\":2.75,\"records\":4,\"missing\":5,\
         \"open\":1,\"failed\":1,\"begin\":10.5,\"last\":13.0,\"processes\":[\"web/1\",\"pay/2\"]}}"
    );
    assert_eq!(tree.summary().to_json(), summary);
    let value: serde_json::Value = serde_json::from_str(&tree.to_json_with_records(30)).unwrap();
    assert_eq!(value["own_records"], serde_json::json!([]));
    let warned = &value["children"][0]["own_records"];
    let expect = serde_json::json!([{"number": 3, "offset": 2, "level": 40, "created": 12.25, "message": "FAILED charge",
        "logger": null, "process": "pay/2", "part": "end"}]);
    assert_eq!(*warned, expect);
}

#[test]
fn an_open_goal_runs_until_it_is_silent() {
    let begun = forest(&[BEGIN]);
    let at = |seconds: i64| Liveness::at(seconds * SECOND);
    let state = |liveness: &Liveness| {
        let tree = only(&begun, liveness);
        (tree.status, tree.duration)
    };
    assert_eq!(state(&at(11)), (Status::Running, Some(0.5)));
    assert_eq!(state(&at(10)), (Status::Running, Some(0.0)), "a clock behind");
    assert_eq!(state(&at(610)), (Status::Running, Some(599.5)));
    assert_eq!(state(&at(611)), (Status::Silent, Some(0.0)));
    assert_eq!(state(&Liveness { silent_after: None, ..at(611) }), (Status::Running, Some(600.5)));
    assert_eq!(state(&Liveness { silent_after: Some(SECOND), ..at(12) }), (Status::Silent, Some(0.0)));
    let gone = |label: &str| Liveness { gone: [label.to_owned()].into(), ..at(11) };
    assert_eq!(state(&gone("web/1")).0, Status::Silent);
    assert_eq!(state(&gone("web/2")).0, Status::Running);
    // What goes on below is a sign of life.
    let working = forest(&[BEGIN, &CHILD.replace(":11,", ":600,")]);
    assert_eq!(only(&working, &at(650)).status, Status::Running);
}

#[test]
fn only_what_is_below_was_seen() {
    let below = forest(&[FAILED]);
    let tree = only(&below, &Liveness::at(0));
    assert_eq!((tree.status, tree.title.as_str(), tree.records), (Status::Unknown, "", 1));
    assert_eq!(tree.missing, [format!("0-1@{ID}")]);
    assert_eq!(tree.children[0].title, "charge");
    assert_eq!(tree.children[0].missing, [format!("0-2@{ID}/2")]);
    assert_eq!((tree.missing_total(), tree.open()), (5, 0));
    assert!(below.goal(&GoalId::parse(&format!("{ID}/3")).unwrap()).is_none());
    let child = GoalId::parse(&format!("{ID}/2")).unwrap();
    assert!(below.goal(&child).unwrap().has_ended());
    assert_eq!(below.build(&child, 0).unwrap().status, Status::Failed);
    assert_eq!(below.summary(&child, &Liveness::at(0)).unwrap().missing, 3);
}

#[test]
fn numbers_drawn_by_lot_make_no_gap() {
    let strange = CHILD.replace("0@ROOT/2", "0@ROOT/3/2894736182");
    let again = CHILD.replace("0@ROOT/2", "0@ROOT/4294967294");
    let open = forest(&[BEGIN, &strange, &again]);
    let tree = only(&open, &Liveness::at(0));
    let ids: Vec<String> = tree.children.iter().map(|child| child.id.to_string()).collect();
    assert_eq!(ids, [format!("{ID}/3"), format!("{ID}/4294967294")]);
    assert_eq!(tree.missing, [format!("1-2@{ID}")]);
    assert_eq!((tree.children[0].status, tree.children[0].missing.len()), (Status::Unknown, 0));
    assert_eq!(open.summary(&tree.id, &Liveness::at(0)).unwrap().missing, 2);
    let ended = forest(&[BEGIN, END, &again]);
    assert_eq!(only(&ended, &Liveness::at(0)).missing, [format!("1@{ID}"), format!("4-5@{ID}")]);
}

#[test]
fn processes_come_in_the_order_of_the_goals_numbers() {
    let row = |key: &str, process: &str| {
        format!(r#"{{"process":{process},"hostname":"h","context":{{"key":"{key}"}}}}"#)
    };
    let rows = [
        row("9@ROOT", "3"),
        row("4@ROOT/5", "1"),
        row("0@ROOT/5", "2"),
        row("5@ROOT/2", "1"),
        row("1@ROOT", "4"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let tree = only(&forest(&rows), &Liveness::at(0));
    assert_eq!(tree.processes, ["h/4", "h/1", "h/2", "h/3"]);
    assert_eq!(tree.process.as_deref(), Some("h/4"));
}

#[test]
fn a_record_counts_once_and_others_not_at_all() {
    let mut forest = Forest::new();
    let row = |message: &str| {
        Record::from_json(&format!("{{\"message\":\"{message}\",\"context\":{{\"key\":\"1@{ID}\"}}}}"))
            .unwrap()
    };
    assert!(forest.add(7, &row("first stored")));
    assert!(!forest.add(9, &row("second stored")));
    assert_eq!(
        &*forest.roots().map(|root| forest.build(&root, 0).unwrap()).next().unwrap().own_records[0].message,
        "first stored"
    );
    assert!(!forest.add(3, &row("before both")));
    let tree = only(&forest, &Liveness::at(0));
    assert_eq!((tree.records, &*tree.own_records[0].message), (1, "before both"));
    assert!(!forest.add(1, &Record::from_json(r#"{"message":"of no goal"}"#).unwrap()));
    assert!(!forest.add(2, &Record::from_json(r#"{"context":{"key":"1@nonsense"}}"#).unwrap()));
    assert_eq!((forest.len(), forest.is_empty()), (1, false));
}

#[test]
fn nonsense_in_records_is_harmless() {
    let long = "ä".repeat(MAX_TEXT);
    let end = |goal: &str| format!(r#"{{"message":"{long}","context":{{"key":"4@ROOT"}},"goal":{goal}}}"#);
    let check = |goal: &str, status: Status, missing: u64| {
        let tree = only(&forest(&[&end(goal)]), &Liveness { silent_after: None, ..Liveness::at(0) });
        assert_eq!((tree.status, tree.missing_total()), (status, missing), "{goal}");
        assert_eq!(tree.own_records[0].message.len(), MAX_TEXT);
        assert!(serde_json::from_str::<serde_json::Value>(&tree.to_json()).is_ok());
    };
    check(r#"{"event":"end","status":"failed","count":5}"#, Status::Failed, 4);
    check(r#"{"event":"end","status":"failed","count":4294967295}"#, Status::Failed, 4_294_967_294);
    check(r#"{"event":"end","status":"odd","count":-1,"duration":"x"}"#, Status::Succeeded, 4);
    check(r#"{"event":"end","count":2,"duration":1e999,"awaited":[1,1,-3,"x",4,99]}"#, Status::Succeeded, 1);
    check(r#"{"event":"start"}"#, Status::Running, 4);
    check(r#"[1]"#, Status::Running, 4);
    check(r#"{"event":"end","title":5,"error":[],"awaited":{}}"#, Status::Succeeded, 4);
}

#[test]
fn the_deepest_chain_and_the_widest_goal_are_built() {
    let mut forest = Forest::new();
    let deepest = (0..256).fold(GoalId::from_root(ROOTS[0]), |goal, _| goal.child(1));
    let told = |goal: GoalId, part, number| Told {
        goal,
        number,
        part,
        failed: false,
        count: 2,
        awaited: vec![],
        process: 1,
    };
    forest.add(0, &told(deepest, Part::Begin, 0).row());
    let chain = forest.build(&GoalId::from_root(ROOTS[0]), NOW).unwrap();
    assert_eq!((chain.goals().count(), chain.open(), chain.missing_total()), (257, 256, 256));
    assert!(chain.to_json().contains("\"status\":\"unknown\""));

    let root = GoalId::from_root(ROOTS[1]);
    // Reading the records takes most of the time, and ten times more of it in a debug build.
    let pairs = if cfg!(debug_assertions) { 5_000 } else { 50_000 };
    for number in 1..=pairs {
        for goal in [root.child(number), root.child(number).child(1)] {
            forest.add(u64::from(number), &told(goal, Part::Begin, 0).row());
        }
    }
    let started = Instant::now();
    let wide = forest.build(&root, NOW).unwrap();
    let took = started.elapsed();
    println!("{} goals built in {took:?}", 2 * pairs);
    assert_eq!((wide.records, wide.goals().count()), (2 * u64::from(pairs), 2 * pairs as usize + 1));
    assert!(took.as_secs() < 5, "{took:?}");
    assert_eq!(wide.summary().open, 2 * u64::from(pairs));
}
