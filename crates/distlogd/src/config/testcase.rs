//! `tests:` of the configuration: given this record, these rules match and it goes there. Run by `distlogd test`.
//!
//! ```yaml
//! tests:
//!   - {given: {levelname: ERROR, name: app.web, msg: boom}, expect: {rules: [errors], to: [pager]}}
//! ```
//!
//! A record is given by hand, so what its own program would have filled in is filled in here ([`complete`]).

use distlog::record::RecordBuilder;
use distlog::{Fields, Raw, Record};

use super::problem::{Place, Problems, advice};
use super::written::{Section, Text};
use super::yaml::{Node, Value};

/// One case.
#[derive(Debug, Clone)]
pub struct TestCase {
    /// Its `name`, else its number.
    pub name: String,
    /// Where it stands.
    pub place: Place,
    /// The record given, completed.
    pub given: Record,
    /// The rules that must match, in any order; not looked at if `None`.
    pub rules: Option<Vec<String>>,
    /// The processors it must go to, in any order; not looked at if `None`.
    pub to: Option<Vec<String>>,
    /// Whether it must be dropped; not looked at if `None`.
    pub dropped: Option<bool>,
}

/// Reads the list of cases.
pub fn read(node: &Node, rules: &[&str], processors: &[String], problems: &Problems) -> Vec<TestCase> {
    let Value::List(items) = &node.value else {
        problems.add(node.place, "`tests` must be a list: `- {given: {…}, expect: {…}}`.");
        return Vec::new();
    };
    let processors: Vec<&str> = processors.iter().map(String::as_str).collect();
    let read = |(at, item)| case(at, item, rules, &processors, problems);
    items.iter().enumerate().filter_map(read).collect()
}

fn case(
    at: usize,
    node: &Node,
    rules: &[&str],
    processors: &[&str],
    problems: &Problems,
) -> Option<TestCase> {
    let section = Section::new(node, "a test", problems)?;
    let name = section.text("name").map_or_else(|| format!("test {}", at + 1), |name| name.text);
    let given = given(&section);
    let expect = section.section("expect");
    if !section.has("expect") {
        problems.add(section.place(), "a test needs `expect`. Say `rules`, `to` or `dropped` in it.");
    }
    section.finish();
    let expect = expect?;
    let matched = expect.texts("rules").map(|names| known(names, "rule", "Rules", rules, problems));
    let to = expect.texts("to").map(|names| known(names, "processor", "Processors", processors, problems));
    let dropped = expect.flag("dropped");
    expect.finish();
    Some(TestCase { name, place: node.place, given: given?, rules: matched, to, dropped })
}

fn given(section: &Section<'_>) -> Option<Record> {
    let Some(serde_json::Value::Object(fields)) = section.json("given") else {
        section.problems().add(
            section.place_of("given"),
            "a test needs `given`: the fields of a record, `{name: app, msg: hello}`.",
        );
        return None;
    };
    let record = Record::from_json(&serde_json::Value::Object(fields).to_string()).ok()?;
    Some(complete(&record))
}

fn known(names: Vec<Text>, what: &str, whats: &str, possible: &[&str], problems: &Problems) -> Vec<String> {
    for name in names.iter().filter(|name| !possible.contains(&name.text.as_str())) {
        let advice = advice(&name.text, whats, possible.iter().copied());
        problems.add(name.place, format!("there is no {what} `{}`. {advice}", name.text));
    }
    names.into_iter().map(|name| name.text).collect()
}

/// Fills in what a program's own record would have: the level's number or name, the message.
pub fn complete(record: &Record) -> Record {
    let mut builder = RecordBuilder::with_capacity(record.as_json().len() + 128);
    for (name, value) in record.fields() {
        builder.raw(name, value);
    }
    let level_name = record.get("levelname").and_then(Raw::into_str);
    if let (Some(name), None) = (&level_name, record.level())
        && let Some((_, number)) = LEVELS.iter().find(|(level, _)| name.eq_ignore_ascii_case(level))
    {
        builder.int("levelno", *number);
    }
    if let (None, Some(number)) = (&level_name, record.level())
        && let Some((level, _)) = LEVELS.iter().find(|(_, has)| *has == number)
    {
        builder.str("levelname", level);
    }
    if record.get("message").is_none()
        && let Some(message) = record.message()
    {
        builder.str("message", &message);
    }
    builder.finish()
}

const LEVELS: [(&str, i64); 7] = [
    ("DEBUG", 10),
    ("INFO", 20),
    ("WARNING", 30),
    ("ERROR", 40),
    ("CRITICAL", 50),
    ("WARN", 30),
    ("FATAL", 50),
];
