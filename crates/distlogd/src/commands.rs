//! `distlogd check`, `test` and `explain`: what a configuration means, without running it.

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use distlog::{Record, json};

use crate::config::{Config, TestCase, testcase};
use crate::error::Error;
use crate::rules::Route;

/// Says that the configuration is good, and what it promises.
pub(crate) fn check(name: &str, config: &Config, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "{name}: good")?;
    for source in &config.sources {
        writeln!(out, "source {} ({}): {}.", source.name, source.endpoint, source.guarantee())?;
    }
    for (place, processor) in config.processors.iter().enumerate() {
        writeln!(
            out,
            "processor {} ({}): {}.",
            processor.name,
            processor.kind,
            processor.settings.guarantee()
        )?;
        if !config.rules.list().iter().any(|rule| rule.to.contains(&place)) {
            writeln!(out, "    but no rule sends it anything: name it in the `to` of one.")?;
        }
        if let Some(limit) = processor.give_up {
            writeln!(out, "    and given up, counted as failed, after {limit:?} of retrying.")?;
        }
    }
    if config.store.buffer_only {
        writeln!(
            out,
            "store: false: records are kept as a buffer of 256 MiB for the processors; a processor that falls further behind misses some, counted."
        )?;
    }
    match config.tests.len() {
        0 => Ok(()),
        count => writeln!(out, "tests: {count}; run them with `distlogd test`."),
    }
}

/// Runs the cases of `tests:`; `true` if all hold.
pub(crate) fn test(name: &str, config: &Config, out: &mut impl Write) -> std::io::Result<bool> {
    let mut failed = 0;
    for case in &config.tests {
        let differences = differences(case, config);
        if !differences.is_empty() {
            failed += 1;
            writeln!(
                out,
                "{name}:{}:{}: {} failed: {}",
                case.place.line,
                case.place.column,
                case.name,
                differences.join("; ")
            )?;
        }
    }
    let count = config.tests.len();
    writeln!(out, "{name}: {} of {count} tests passed", count - failed)?;
    Ok(failed == 0)
}

/// Reads records, one line of JSON each, and says what becomes of every one.
pub(crate) fn explain(
    config: &Config,
    input: &mut impl BufRead,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::Other(format!("distlogd: cannot go on: {error}"));
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if input.read_line(&mut line).map_err(failed)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        let record = Record::from_json(line.trim()).map_err(|error| {
            Error::Other(format!("line {number} is no record: {error}. Write one JSON object a line."))
        })?;
        let fate = Fate::of(&testcase::complete(&record), config);
        let written = if as_json { fate.write_json(number, out) } else { fate.write_text(number, out) };
        written.map_err(failed)?;
    }
}

/// What becomes of a record, in names.
struct Fate<'a> {
    rules: Vec<&'a str>,
    to: Vec<&'a str>,
    /// Sent there by a rule, but turned away by the processor's own `when`.
    turned_away: Vec<&'a str>,
    dropped: bool,
}

impl<'a> Fate<'a> {
    fn of(record: &Record, config: &'a Config) -> Self {
        let Route { rules, to, dropped } = config.rules.route(record);
        let rules = rules
            .iter()
            .filter_map(|at| config.rules.list().get(*at))
            .map(|rule| rule.name.as_str())
            .collect();
        let (mut taken, mut turned_away) = (Vec::new(), Vec::new());
        for processor in to.iter().filter_map(|at| config.processors.get(*at)) {
            let list = if processor.when.matches(record) { &mut taken } else { &mut turned_away };
            list.push(processor.name.as_str());
        }
        Self { rules, to: taken, turned_away, dropped }
    }

    fn write_text(&self, number: usize, out: &mut impl Write) -> std::io::Result<()> {
        let rules = if self.rules.is_empty() {
            "no rule matches".to_owned()
        } else {
            format!("rules {}", self.rules.join(", "))
        };
        let mut fate = if self.dropped {
            "dropped".to_owned()
        } else if self.to.is_empty() {
            "the store only".to_owned()
        } else {
            self.to.join(", ")
        };
        if !self.turned_away.is_empty() {
            fate.push_str(&format!(" (turned away by their own `when`: {})", self.turned_away.join(", ")));
        }
        writeln!(out, "line {number}: {rules} → {fate}")
    }

    fn write_json(&self, number: usize, out: &mut impl Write) -> std::io::Result<()> {
        let list = |names: &[&str]| names.iter().map(|name| json::quoted(name)).collect::<Vec<_>>().join(",");
        let (rules, to, away) = (list(&self.rules), list(&self.to), list(&self.turned_away));
        let dropped = self.dropped;
        writeln!(
            out,
            "{{\"line\":{number},\"rules\":[{rules}],\"to\":[{to}],\"turned_away\":[{away}],\"dropped\":{dropped}}}"
        )
    }
}

/// What was expected and is not so.
fn differences(case: &TestCase, config: &Config) -> Vec<String> {
    let fate = Fate::of(&case.given, config);
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: &Option<Vec<String>>, found: &[&str]| {
        if let Some(expected) = expected {
            let wanted: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
            if wanted != found.iter().copied().collect() {
                differences.push(format!(
                    "expected {what} [{}], got [{}]",
                    expected.join(", "),
                    found.join(", ")
                ));
            }
        }
    };
    compare("rules", &case.rules, &fate.rules);
    compare("to", &case.to, &fate.to);
    if let Some(expected) = case.dropped.filter(|expected| *expected != fate.dropped) {
        differences.push(format!("expected dropped {expected}, got {}", fate.dropped));
    }
    differences
}
