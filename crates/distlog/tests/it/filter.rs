//! The filter language against its test vectors, and what holds for every filter.

use distlog::filter::{Enclosing, Filter, MAX_BYTES, MAX_DEPTH, MAX_REGEXES, Needle, nearest};
use distlog::record::SECOND;
use distlog::{Fields, GoalId, Record};
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/filter/vectors.json");

fn vectors() -> Value {
    serde_json::from_str(&std::fs::read_to_string(VECTORS).unwrap()).unwrap()
}

fn record(json: &str) -> Record {
    Record::from_json(json).unwrap()
}

fn matches(filter: &str, json: &str) -> bool {
    Filter::parse(filter).unwrap().matches(&record(json))
}

/// The record a vector speaks of, as JSON with everything beyond ASCII escaped if `escaped`, as Python sends it.
fn vector_record(all: &Value, vector: &Value, escaped: bool) -> Record {
    let text = all["records"][vector["record"].as_str().unwrap()].to_string();
    if !escaped {
        return record(&text);
    }
    let mut ascii = String::new();
    for c in text.chars() {
        let mut units = [0; 2];
        match c.is_ascii() {
            true => ascii.push(c),
            false => c.encode_utf16(&mut units).iter().for_each(|unit| ascii += &format!("\\u{unit:04x}")),
        }
    }
    record(&ascii)
}

#[test]
fn filters_mean_what_the_vectors_say() {
    let all = vectors();
    let now = all["now"].as_i64().unwrap();
    let list = all["vectors"].as_array().unwrap();
    assert!(list.len() >= 150, "{} vectors", list.len());
    let mut wrong = Vec::new();
    for vector in list {
        let text = vector["filter"].as_str().unwrap();
        let expect = vector["expect"].as_bool().unwrap();
        match Filter::parse_at(text, now) {
            Err(error) => wrong.push(format!("{text}: {}", error.drawn(text))),
            Ok(filter) => {
                for escaped in [false, true] {
                    if filter.matches(&vector_record(&all, vector, escaped)) != expect {
                        wrong.push(format!("{} {text} escaped={escaped}: {}", vector["record"], !expect));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn bounds_hold_for_every_row_that_passes() {
    let all = vectors();
    let now = all["now"].as_i64().unwrap();
    for vector in all["vectors"].as_array().unwrap() {
        let text = vector["filter"].as_str().unwrap();
        let filter = Filter::parse_at(text, now).unwrap();
        let row = vector_record(&all, vector, false);
        if filter.matches(&row) {
            assert_bounds(text, &filter, &row);
        }
    }
}

fn assert_bounds(text: &str, filter: &Filter, row: &Record) {
    if let Some(level) = filter.min_level() {
        assert!(row.level().unwrap() >= level, "{text}: level {level}");
    }
    if let Some(root) = filter.goal_root() {
        assert_eq!(row.key().unwrap().goal.root(), root, "{text}");
    }
    let (since, until) = filter.time_bounds();
    assert!(since.is_none_or(|since| row.created().unwrap() >= since), "{text}: since");
    assert!(until.is_none_or(|until| row.created().unwrap() <= until), "{text}: until");
    for Needle { columns, text: needle } in filter.needles() {
        let has = |column: &&str| {
            let raw = row.get(column)?;
            let text = if *column == "goal" { raw.walk("title")?.into_str()? } else { raw.into_str()? };
            Some(distlog::filter::Finder::new(&needle).is_in(&text))
        };
        assert!(columns.iter().any(|column| has(column) == Some(true)), "{text}: {needle}");
    }
}

#[test]
fn errors_point_and_help() {
    let all = vectors();
    let now = all["now"].as_i64().unwrap();
    let list = all["errors"].as_array().unwrap();
    assert!(list.len() >= 30, "{} errors", list.len());
    let mut wrong = Vec::new();
    for vector in list {
        let (text, expect) = (vector["filter"].as_str().unwrap(), &vector["error"]);
        let Err(error) = Filter::parse_at(text, now) else {
            wrong.push(format!("{text}: accepted"));
            continue;
        };
        let at = [&expect["at"][0], &expect["at"][1]].map(|place| place.as_u64().unwrap() as usize);
        let help = expect["help"].as_str().unwrap_or_default();
        let fits = error.message.contains(expect["message"].as_str().unwrap())
            && error.help.as_deref().unwrap_or_default().contains(help);
        if at != [error.at.start, error.at.end] || !fits {
            wrong.push(format!("{text}: expected {expect}\n{:?} {}", error.at, error.drawn(text)));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_error_is_drawn_under_its_place() {
    let check = |text: &str, expect: &str| assert_eq!(Filter::parse(text).unwrap_err().drawn(text), expect);
    check("level>=eror", "there is no level eror\n  | level>=eror\n  |        ^^^^\n  = did you mean error?");
    check(
        "status:(500, 502 level>=error",
        "this list is never closed: after a value comes , or )\n  | status:(500, 502 level>=error\n  \
         |        ^^^^^^^^^\n  = did you mean status:(500, 502) level>=error",
    );
    check(
        "größe\nlogger>x y",
        "logger is text: it has no order\n  | logger>x y\n  | ^^^^^^\n  = > compares levels, numbers, durations, sizes and times",
    );
    check(
        "a and",
        "nothing follows this and\n  | a and\n  |   ^^^\n  = to search for the word, put it in quotes: \"and\"",
    );
}

#[test]
fn relative_times_need_a_now() {
    for text in ["time>-15m", "time:today", "created>=yesterday", "time<now"] {
        let error = Filter::parse(text).unwrap_err();
        assert!(error.message.contains("depends on when it is read"), "{text}: {error}");
        assert!(Filter::parse_at(text, 0).is_ok(), "{text}");
    }
    assert!(Filter::parse("time>2026-11-22").is_ok());
}

#[test]
fn what_is_too_large_is_refused() {
    let parse = |text: &str| Filter::parse(text).map(|_| ()).map_err(|error| error.message);
    assert_eq!(parse(&"x".repeat(MAX_BYTES)), Ok(()));
    assert_eq!(parse(&"x".repeat(MAX_BYTES + 1)), Err("a filter has at most 4096 bytes".to_owned()));
    for (open, close) in [("(", ")"), ("-", ""), ("not ", ""), ("any(", ")")] {
        let nested = |depth: usize| format!("{}x{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(parse(&nested(MAX_DEPTH)), Ok(()), "{open}");
        let error = Err("this is nested more than 64 deep".to_owned());
        assert_eq!(parse(&nested(MAX_DEPTH + 1)), error, "{open}");
        assert_eq!(parse(&nested(500)), error, "{open}");
    }
    assert_eq!(parse(&"/x/ ".repeat(MAX_REGEXES)), Ok(()));
    assert_eq!(parse(&"m~x ".repeat(MAX_REGEXES + 1)), Err("a filter has at most 64 regexes".to_owned()));
    assert_eq!(parse("m~/(\\w{99}){99}/"), Err("this regex is too large".to_owned()));
    assert_eq!(parse("m~/[\\w-]{36}/"), Ok(()));
}

#[test]
fn time_is_linear_in_the_message() {
    let message = format!("{{\"message\":\"{}\"}}", "a".repeat(1 << 20));
    let row = record(&message);
    let started = std::time::Instant::now();
    for text in [
        "a".repeat(4000) + "b",
        format!("{}b", "a*".repeat(1000)),
        "/(a+)+b/".to_owned(),
        "a".repeat(31) + "b",
    ] {
        assert!(!Filter::parse(&text).unwrap().matches(&row), "{text}");
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn what_must_hold_is_found() {
    let bounds = |text: &str| {
        let filter = Filter::parse(text).unwrap();
        let texts: Vec<String> = filter.needles().into_iter().map(|needle| needle.text).collect();
        (texts, filter.min_level(), filter.time_bounds())
    };
    let texts = |text: &str| bounds(text).0.join(" ");
    assert_eq!(texts("TimeOut"), "timeout");
    assert_eq!(texts("a*b \"c d\" logger=x.*.Y"), "a b c d x. .y");
    assert_eq!(texts("(a b) c"), "a b c");
    assert_eq!(texts("a or b"), "");
    assert_eq!(texts("-a /b/ status:c process:d level:TRACE"), "trace");
    let level = |text: &str| bounds(text).1;
    assert_eq!(level("level>=error x"), Some(40));
    assert_eq!(level("level>info"), Some(21));
    assert_eq!(level("level:(warning,critical)"), Some(30));
    assert_eq!(level("level:warning.."), Some(30));
    assert_eq!(level("level>=error or level:10"), Some(10));
    assert_eq!(level("level>=error or x"), None);
    assert_eq!(level("-level>=error"), None);
    assert_eq!(level("level<error"), None);
    let day = 1_795_305_600 * SECOND;
    assert_eq!(bounds("time>=2026-11-22 x").2, (Some(day), None));
    assert_eq!(bounds("time:2026-11-22").2, (Some(day), Some(day + 86400 * SECOND - 1)));
    assert_eq!(bounds("time>2026-11-22 time<2026-11-23").2, (Some(day + 1), Some(day + 86400 * SECOND - 1)));
    let root = |text: &str| Filter::parse(text).unwrap().goal_root();
    let id = GoalId::parse("7f3a2c1e-0b1d-4c5e-8f90-a1b2c3d4e5f6").unwrap();
    assert_eq!(root(&format!("x task:{id}/2")), Some(id.root()));
    assert_eq!(root("task:7f3a"), None);
    assert_eq!(root(&format!("x or task:{id}")), None);
}

#[test]
fn needs_are_told() {
    let needs = |text: &str| {
        let filter = Filter::parse(text).unwrap();
        (filter.needs_goals(), filter.needs_task())
    };
    assert_eq!(needs("a"), (false, false));
    assert_eq!(needs("a or -within(b)"), (true, false));
    assert_eq!(needs("any(a)"), (false, true));
    assert_eq!(needs("within(any(a))"), (true, true));
    assert_eq!(needs("goal.status:silent"), (false, true));
}

#[test]
fn within_and_any_ask_what_surrounds_the_row() {
    struct Task(Vec<Record>);
    impl Enclosing for Task {
        fn encloses(&self, _: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
            self.0.iter().any(|goal| matches(goal))
        }
        fn some_of_task(&self, _: &dyn Fields, matches: &mut dyn FnMut(&dyn Fields) -> bool) -> bool {
            self.0.iter().any(|other| matches(other))
        }
    }
    let around = Task(vec![record(r#"{"goal":{"event":"begin","title":"charge card"}}"#)]);
    let row = record(r#"{"message":"ask bank"}"#);
    let holds = |text: &str| Filter::parse(text).unwrap().matches_within(&row, &around);
    assert!(holds("ask within(goal:\"charge card\")"));
    assert!(!holds("within(ask)"));
    assert!(holds("any(goal:charge)"));
    assert!(!holds("any(goal:refund)"));
    assert!(!Filter::parse("within(goal:charge)").unwrap().matches(&row));
}

#[test]
fn readings_are_explained() {
    let check = |text: &str, expect: &str| assert_eq!(Filter::parse(text).unwrap().explain(), expect);
    check("", "reads as  every record");
    check("timeout -x", "reads as  message has \"timeout\"  and  not message has \"x\"");
    check(
        "level>=warning or timeout -x",
        "reads as  level >= warning  or  (message has \"timeout\"  and  not message has \"x\")\n\
         note      the space binds tighter than \"or\"; for the other meaning write  (level>=warning or timeout) -x",
    );
    check(
        "a b or c d or e",
        "reads as  (message has \"a\"  and  message has \"b\")  or  (message has \"c\"  and  message has \"d\")  or  \
         message has \"e\"\nnote      the space binds tighter than \"or\"; for the other meaning write  a (b or c) (d or e)",
    );
    check("(a b) or c", "reads as  (message has \"a\"  and  message has \"b\")  or  message has \"c\"");
    check(
        "status:500..599 level:error user:* logger=(a,b) x!=1 task:7f3a msg!~/a b/",
        "reads as  status is from 500 to 599  and  level is error  and  user is there  and  logger is one of a, b  and  \
         x is not 1  and  task begins with 7f3a  and  msg does not match /a b/",
    );
    check(
        "within(goal:pay) any(level:error..)",
        "reads as  some enclosing goal has (goal has pay)  and  \
         some record of the task has (level is error or more)",
    );
}

#[test]
fn the_other_meaning_is_the_other_meaning() {
    let filter = Filter::parse("a b or c d").unwrap();
    let explained = filter.explain();
    let other = Filter::parse(explained.rsplit("  ").next().unwrap()).unwrap();
    let row = |text: &str| record(&format!("{{\"message\":\"{text}\"}}"));
    assert!(filter.matches(&row("a b")) && !other.matches(&row("a b")));
    assert!(!filter.matches(&row("a c")) && !other.matches(&row("a c")));
    assert!(filter.matches(&row("a b d")) && other.matches(&row("a b d")));
}

#[test]
fn names_near_each_other_are_found() {
    assert_eq!(nearest("eror", &["error", "debug"]), Some("error"));
    assert_eq!(nearest("lvel", &["level"]), Some("level"));
    assert_eq!(nearest("Wanring", &["warn", "warning"]), Some("warning"));
    assert_eq!(nearest("abc", &["xyz"]), None);
    assert_eq!(nearest("a", &["bcd"]), None);
}

#[test]
fn the_structure_is_public_and_knows_its_places() {
    use distlog::filter::{Node, Operator};
    let text = "a (b or user.id:(1, 2..3)) -c~/x y/";
    let filter = Filter::parse(text).unwrap();
    let Node::And(parts) = &filter.ast().node else { panic!("{:?}", filter.ast()) };
    let places: Vec<&str> = parts.iter().map(|part| &text[part.at.clone()]).collect();
    assert_eq!(places, ["a", "(b or user.id:(1, 2..3))", "-c~/x y/"]);
    let Node::Or(choices) = &parts[1].node else { panic!("{:?}", parts[1]) };
    let Node::Test(test) = &choices[1].node else { panic!("{:?}", choices[1]) };
    assert_eq!((test.field.name.as_str(), test.operator, test.values.len()), ("user.id", Operator::Has, 2));
    assert_eq!(&text[test.values[1].at.clone()], "2..3");
}

#[test]
fn a_key_is_found_wherever_it_stands() {
    let id = "7f3a2c1e-0b1d-4c5e-8f90-a1b2c3d4e5f6/1";
    for context in [
        r#"{"key":"3@ID"}"#,
        r#"{"key": "3@ID", "a": 1}"#,
        r#"{"a":{"key":"x"},"key":"3@ID"}"#,
        r#"{ "key" : "3@ID"}"#,
        r#"{"key":"9@80","key":"3@ID"}"#,
        r#"{"key":"9@80","k\u0065y":"3@ID"}"#,
        r#"{"k\u0065y":"3@ID"}"#,
        r#"{"key":"\u0033@ID"}"#,
        r#"{"key":"3@ID","b":"key"}"#,
    ] {
        let row = format!("{{\"context\":{}}}", context.replace("ID", id));
        assert!(matches("task:7f3a/1 depth:1", &row), "{row}");
    }
    assert!(matches("a.b:1 user:x", r#"{"context":{"a":{"b":1},"us\u0065r":"x"}}"#));
}

#[test]
fn a_bad_record_key_is_no_goal() {
    for key in ["", "@", "3", "x@y", "3@", "3@7f3a/"] {
        assert!(!matches("task:7f3a depth:0", &format!("{{\"context\":{{\"key\":\"{key}\"}}}}")), "{key}");
    }
}

proptest! {
    /// Whatever comes over the network is read or refused, and an error's place lies in the text.
    #[test]
    fn no_text_breaks_the_parser(text in "[a-z0-9 ()\"'/:=!~<>.,*|\\\\äß-]{0,60}") {
        match Filter::parse_at(&text, 0) {
            Ok(filter) => {
                let row = record(r#"{"message":"a b","a":1,"b":"x","levelno":20}"#);
                let twice = Filter::parse_at(filter.text(), 0).unwrap();
                prop_assert_eq!(filter.matches(&row), twice.matches(&row));
                filter.explain();
            }
            Err(error) => {
                prop_assert!(text.get(error.at.clone()).is_some(), "{:?} in {:?}", error, text);
                error.drawn(&text);
            }
        }
    }

    /// De Morgan, double negation, and that a note's other reading is a filter too.
    #[test]
    fn negation_is_two_valued(a in condition(), b in condition(), row in 0..ROWS.len()) {
        let holds = |text: &str| matches(text, ROWS[row]);
        prop_assert_eq!(holds(&format!("-({a} {b})")), holds(&format!("-({a}) or -({b})")));
        prop_assert_eq!(holds(&format!("-({a} or {b})")), holds(&format!("-({a}) -({b})")));
        prop_assert_eq!(holds(&format!("not not ({a})")), holds(&a));
        prop_assert_eq!(holds(&format!("-({a})")), !holds(&a));
        let filter = Filter::parse(&format!("{a} or {b} {a}")).unwrap();
        let other = filter.explain().rsplit("write  ").next().unwrap().to_owned();
        prop_assert_eq!(Filter::parse(&other).unwrap().matches(&record(ROWS[row])), (holds(&a) || holds(&b)) && holds(&a));
    }

    /// The search agrees with the definition: the lower case of one contains the lower case of the other.
    #[test]
    fn contains_is_contains_in_lower_case(text in "[aAbB xXäÄΣσ]{0,40}", needle in "[aAbB xXäÄΣσ]{1,36}") {
        let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
        let part: String = text.chars().skip(needle.len() % 7).take(needle.len()).collect();
        for needle in [needle, part] {
            let expect = lower(&text).contains(&lower(&needle));
            prop_assert_eq!(distlog::filter::Finder::new(&needle).is_in(&text), expect, "{} in {}", needle, text);
        }
    }
}

const ROWS: [&str; 4] = [
    r#"{}"#,
    r#"{"message":"alpha beta","levelno":40,"status":500,"name":"app.db"}"#,
    r#"{"message":"beta","levelno":10,"status":"500","user":null}"#,
    r#"{"message":"alpha","levelname":"INFO","status":[200,500],"user":{"id":1}}"#,
];

fn condition() -> impl Strategy<Value = String> {
    let tests = [
        "alpha",
        "beta",
        "level>=error",
        "level:info",
        "status:500",
        "status>300",
        "status!=500",
        "user:*",
        "user.id=1",
        "logger=app.*",
        "logger!=app.*",
        "/al/",
        "message~/^b/",
        "message!~/^b/",
        "nothing:x",
    ];
    proptest::sample::select(tests.to_vec()).prop_map(str::to_owned)
}

/// What a test of one record costs. Prints figures and judges nothing:
/// `cargo test -p distlog --release filter::speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let row = record(crate::speed::RECORD.trim_end());
    println!("{} fields, {} bytes", row.len(), row.as_json().len());
    let texts = [
        "",
        "level>=warning",
        "level>=info",
        "logger=app.db.*",
        "logger:db",
        "message:timeout",
        "timeout",
        "/(?i)timeout/",
        "-healthcheck",
        "status>=500",
        "nothing:x",
        "duration>500ms",
        "task:7f3a",
        "goal.status=failed",
        "level>=error logger=app.db.* -healthcheck duration>500ms",
    ];
    for text in texts {
        let filter = Filter::parse(text).unwrap();
        let mut rounds: Vec<f64> = (0..15)
            .map(|_| {
                let started = std::time::Instant::now();
                (0..20_000).for_each(|_| {
                    std::hint::black_box(filter.matches(std::hint::black_box(&row)));
                });
                started.elapsed().as_nanos() as f64 / 20_000.0
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("{:6.1} ns  {text}", rounds[0]);
    }
}
