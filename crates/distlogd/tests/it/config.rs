//! Every mistake in a configuration: its place, what it says, what it advises. One case is one text and all its lines.

use std::path::Path;
use std::time::{Duration, Instant};

use distlogd::config::{self, Config};
use distlogd::processors::REGISTRY;

fn parse(text: &str) -> Result<Config, String> {
    config::parse("d.yaml", text, Path::new("/etc/distlog"), REGISTRY).map_err(|refused| refused.to_string())
}

/// All lines, exactly.
#[track_caller]
fn wrong(text: &str, expected: &str) {
    let found = parse(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    assert_eq!(found, expected.trim(), "in:\n{text}");
}

/// The one line begins with this place and says that.
#[track_caller]
fn wrong_at(text: &str, place: &str, says: &str) {
    let found = parse(text).err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    assert!(found.starts_with(&format!("d.yaml:{place}: ")), "{found}\nin:\n{text}");
    assert!(found.contains(says), "{found}\nin:\n{text}");
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[track_caller]
fn right(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}\nin:\n{text}"))
}

#[test]
fn unknown_keys_are_named_with_the_nearest() {
    wrong(
        "rulez: {}\nprocesors: {}\n",
        "d.yaml:1:1: the configuration has no key `rulez`. Did you mean `rules`? Keys here: http, insecure, processors, rules, sources, store, tests.\n\
         d.yaml:2:1: the configuration has no key `procesors`. Did you mean `processors`? Keys here: http, insecure, processors, rules, sources, store, tests.",
    );
    wrong_at(
        "processors:\n  a: {type: file, path: x, rotate: {size: 1MiB, complress: zstd}}\n",
        "2:49",
        "Did you mean `compress`?",
    );
    wrong_at(
        "processors:\n  a: {type: file, pfad: x, path: y}\n",
        "2:19",
        "processor `a` has no key `pfad`. Keys here",
    );
    wrong_at("rules:\n  a: {wenn: x, stop: true}\n", "2:7", "Did you mean `when`?");
    wrong_at("store: {keep: {ages: 7d}}\n", "1:16", "Did you mean `age`?");
    wrong_at("http: {listn: '127.0.0.1:1'}\n", "1:8", "Did you mean `listen`?");
    wrong_at("sources:\n  a: {pul: x}\n", "2:6", "source `a` needs `pull`");
}

#[test]
fn a_rule_that_names_no_processor() {
    wrong(
        "rules:\n  errors: {to: [pagr, archive]}\nprocessors:\n  pager: {type: exec, command: [x]}\n",
        "d.yaml:2:17: there is no processor `pagr`. Did you mean `pager`? Processors: pager.\n\
         d.yaml:2:23: there is no processor `archive`. Processors: pager.",
    );
    wrong("rules:\n  a: {to: b}\n", "d.yaml:2:11: there is no processor `b`. There are no Processors yet.");
}

#[test]
fn rules_that_mean_nothing() {
    wrong_at("rules:\n  a: {when: x}\n", "2:6", "rule `a` does nothing");
    wrong_at(
        "rules:\n  a: {to: [b], drop: true}\nprocessors: {b: {type: exec, command: x}}\n",
        "2:11",
        "cannot send them on",
    );
    wrong_at(
        "rules:\n  a: {drop: yes}\n",
        "2:13",
        "`drop` is `yes`, which is neither true nor false. Write true or false.",
    );
    wrong_at("rules:\n  a: {drop: \"true\"}\n", "2:13", "neither true nor false");
    wrong_at("rules:\n  - {drop: true}\n", "2:3", "`rules` must be a mapping");
    wrong_at("rules:\n  a b: {stop: true}\n", "2:8", "cannot be a name");
}

#[test]
fn a_bad_filter_is_shown_inside_its_text() {
    wrong_at("rules:\n  a: {when: 'level>=error (x', stop: true}\n", "2:27", "never closed");
    let text = "rules:\n  a:\n    when: \"\\x41bc level>=banana\"\n    stop: true\n";
    let found = parse(text).err().unwrap();
    assert!(found.starts_with("d.yaml:3:26: "), "{found}");
    let text = "rules:\n  a:\n    when: |\n      level>=error\n      lvl:::x (\n    stop: true\n";
    let found = parse(text).err().unwrap();
    assert!(found.starts_with("d.yaml:5:"), "{found}");
    let text = "processors:\n  a: {type: file, path: x, when: 'level>=banana'}\n";
    let found = parse(text).err().unwrap();
    assert!(found.starts_with("d.yaml:2:42: "), "{found}");
}

#[test]
fn sizes_and_durations_have_units() {
    wrong_at(
        "store: {keep: {size: 20}}\n",
        "1:22",
        "`size` is `20`, which is no size. A size is a number and a unit",
    );
    wrong_at("store: {keep: {size: 20Gib}}\n", "1:22", "no size");
    wrong_at("store: {keep: {age: 7}}\n", "1:21", "no duration");
    wrong_at("store: {keep: {age: 10:30}}\n", "1:21", "`10:30`");
    wrong_at("store: {keep: {size: 10KiB}}\n", "1:22", "too small");
    wrong_at("processors:\n  a: {type: exec, command: x, timeout: fast}\n", "2:40", "no duration");
    wrong_at("processors:\n  a: {type: exec, command: x, window: 0}\n", "2:39", "from 1 to 512");
    let config = right("store: {keep: {age: 7d, size: 20GiB}}\n");
    assert_eq!((config.store.age, config.store.size), (Some(Duration::from_secs(604_800)), Some(20 << 30)));
}

#[test]
fn processors_that_cannot_be() {
    wrong_at(
        "processors:\n  a: {type: fil, path: x}\n",
        "2:13",
        "there is no processor type `fil`. Did you mean `file`? Types: exec, file, python.",
    );
    wrong_at("processors:\n  a: {path: x}\n", "2:6", "processor `a` needs `type`");
    wrong_at("processors:\n  a: {type: file}\n", "2:6", "processor `a` needs `path`");
    wrong_at("processors:\n  a: {type: exec}\n", "2:6", "needs `command`");
    wrong_at("processors:\n  a: {type: python, plugin: nothing}\n", "2:29", "`package.module:Class`");
    wrong_at("processors:\n  a: {type: file, path: '{logger'}\n", "2:25", "not closed");
    wrong_at(
        "processors:\n  a: {type: file, path: x, format: xml}\n",
        "2:36",
        "`format` cannot be `xml`. Possible: jsonl, text.",
    );
    wrong_at("processors:\n  a: {type: file, path: x, retry: {give_up: 1h, n: 2}}\n", "2:49", "no key `n`");
    wrong_at("processors:\n  a: {type: file, path: {logger}.jsonl}\n", "2:33", "put the text in quotes");
}

#[test]
fn addresses() {
    wrong_at("sources: {a: {pull: 'tcp://0.0.0.0:5010'}}\n", "1:21", "insecure: true");
    wrong_at("http: {listen: '0.0.0.0:5012'}\n", "1:16", "insecure: true");
    wrong_at("http: {listen: '192.168.1.5:5012'}\n", "1:16", "insecure: true");
    wrong_at("sources: {a: {pull: 'tcp://*:5010'}}\n", "1:21", "insecure: true");
    wrong_at("sources: {a: {pull: 'tcp://[::]:5010'}}\n", "1:21", "insecure: true");
    wrong_at("sources: {a: {pull: '127.0.0.1:5010'}}\n", "1:21", "no address to listen on");
    wrong_at("sources: {a: {pull: 'tcp://127.0.0.1:99999'}}\n", "1:21", "no address");
    wrong_at(
        "sources: {a: {jetstream: {url: 'nats://127.0.0.1:4222'}}}\n",
        "1:26",
        "`jetstream` sources are not part of this version",
    );
    wrong_at("sources: {a: {router: 'tcp://0.0.0.0:5011'}}\n", "1:23", "insecure: true");
    wrong_at("sources: {a: {router: '127.0.0.1:5011'}}\n", "1:23", "no address to listen on");
    wrong_at(
        "sources: {a: {pull: 'tcp://127.0.0.1:1', router: 'tcp://127.0.0.1:2'}}\n",
        "1:50",
        "either `pull` or `router`",
    );
    wrong_at(
        "sources:\n  a: {pull: 'tcp://127.0.0.1:1'}\n  b: {router: 'tcp://127.0.0.1:1'}\n",
        "3:6",
        "same address",
    );
    wrong_at(
        "sources:\n  a: {pull: 'tcp://127.0.0.1:1'}\n  b: {pull: 'tcp://127.0.0.1:1'}\n",
        "3:6",
        "same address",
    );
    let config =
        right("insecure: true\nsources: {a: {pull: 'tcp://*:5010'}}\nhttp: {listen: '0.0.0.0:5012'}\n");
    assert_eq!(config.sources.first().unwrap().endpoint, "tcp://*:5010");
    right(
        "sources: {a: {pull: 'tcp://[::1]:5010'}, b: {pull: 'tcp://localhost:*'}}\nhttp: {listen: 'localhost:0'}\n",
    );
    assert!(right("http: false\n").http.is_none());
}

#[test]
fn yaml_that_is_refused() {
    wrong_at("store:\n\tkeep: {}\n", "2:2", "a tab indents this line");
    wrong_at(
        "rules: !!python/object/apply:os.system {}\n",
        "1:8",
        "the tag `!!python/object/apply:os.system` is not allowed",
    );
    wrong_at("rules: {a: {stop: !!bool true}}\n", "1:19", "the tag `!!bool`");
    wrong_at("rules: &a {x: *a}\n", "1:15", "inside its own anchor");
    wrong_at("rules: {a: &a {stop: true}, b: {<<: *a, stop: true}}\n", "1:33", "merge keys");
    wrong_at("rules: {a: *nothing}\n", "1:12", "");
    wrong_at("store: {}\nstore: {}\n", "2:1", "`store` stands here twice; first on line 1");
    wrong_at("store: {}\n---\nstore: {}\n", "2:1", "a second document");
    wrong_at("%YAML 1.1\n---\nstore: {}\n", "1:1", "");
    wrong_at("- a\n", "1:1", "the configuration must be a mapping");
    wrong_at("just text\n", "1:1", "the configuration must be a mapping");
    wrong_at("rules: {[a]: 1}\n", "1:9", "a key must be plain text");
    wrong_at("rules: {a: 'unclosed}\n", "2:1", "Look at the line above");
    wrong_at("rules: {a: {stop: [true]}}\n", "1:19", "one value, not a list");
}

/// What costs much to read is refused before it does.
#[test]
fn bombs_are_refused_at_once() {
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let deep_flow = format!("rules: {}", "[".repeat(50_000));
    let deep_block: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    let sequences = "- ".repeat(20_000);
    let keys = format!("{{{}", "? ".repeat(50_000));
    for (name, bomb) in [
        ("laughs", laughs),
        ("flow", deep_flow),
        ("block", deep_block),
        ("sequences", sequences),
        ("keys", keys),
    ] {
        let begun = Instant::now();
        let found = parse(&bomb).err().unwrap_or_else(|| panic!("{name} was accepted"));
        assert!(begun.elapsed() < Duration::from_secs(1), "{name}: {:?}", begun.elapsed());
        let place =
            found.strip_prefix("d.yaml:").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
        assert!(place.is_some(), "{name}: {found}");
    }
}

#[test]
fn tests_are_checked_too() {
    wrong_at(
        "tests:\n  - {given: {msg: x}, expect: {rules: [errors]}}\n",
        "2:40",
        "there is no rule `errors`",
    );
    wrong_at("tests:\n  - {expect: {to: []}}\n", "2:5", "a test needs `given`");
    wrong_at("tests:\n  - {given: {msg: x}}\n", "2:5", "a test needs `expect`");
    wrong_at("tests: {given: {}}\n", "1:8", "`tests` must be a list");
}

#[test]
fn all_mistakes_of_a_file_are_named_in_one_run() {
    let text = "rules:\n  a: {to: [nobody], wen: x}\n  b: {drop: maybe}\nprocessors:\n  c: {type: nothing}\n  d: {type: file}\nstore: {keep: {age: 7}}\nextra: 1\n";
    let found = parse(text).err().unwrap();
    let places: Vec<&str> = found.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        [
            "d.yaml:2:12",
            "d.yaml:2:21",
            "d.yaml:3:13",
            "d.yaml:5:13",
            "d.yaml:6:6",
            "d.yaml:7:21",
            "d.yaml:8:1"
        ],
        "{found}"
    );
}

#[test]
fn what_is_right_is_understood() {
    let config = right(
        "# everything at once\n\
         sources:\n  apps: {pull: \"tcp://127.0.0.1:5010\"}\n  acked: {router: \"tcp://127.0.0.1:5011\"}\n\
         http: {listen: \"127.0.0.1:5012\"}\n\
         store: {keep: {age: 7d, size: 20GiB}}\n\
         rules:\n\
         \x20 errors: {when: \"level>=error\", to: [pager, errors-file]}\n\
         \x20 noise:  {when: \"logger=urllib3.* level<warning\", drop: true}\n\
         \x20 all:    {to: [archive]}                 # no `when`: every record\n\
         processors:\n\
         \x20 archive:     {type: file, path: \"archive/{logger}.jsonl\", rotate: {size: 256MiB, keep: 30, compress: zstd}}\n\
         \x20 errors-file: {type: file, path: errors.log, format: text, when: \"-logger=audit.*\"}\n\
         \x20 pager:       {type: exec, command: [\"./page\"], retry: {give_up: 1h}}\n\
         \x20 enrich:      {type: python, plugin: \"mypkg.enrich:Enrich\", options: {a: [1, x]}}\n\
         tests:\n\
         \x20 - {given: {levelname: ERROR, name: app.web, msg: boom}, expect: {rules: [errors, all], to: [pager, errors-file, archive]}}\n",
    );
    assert_eq!(
        config.processors.iter().map(|one| one.kind).collect::<Vec<_>>(),
        ["file", "file", "exec", "python"]
    );
    assert_eq!(
        config.sources.iter().map(|one| (one.name.as_str(), one.kind())).collect::<Vec<_>>(),
        [("apps", "pull"), ("acked", "router")]
    );
    assert_eq!(config.processors.get(2).unwrap().give_up, Some(Duration::from_secs(3600)));
    assert_eq!(
        config.rules.list().iter().map(|rule| rule.to.clone()).collect::<Vec<_>>(),
        [vec![2, 1], vec![], vec![0]]
    );
    assert_eq!(config.tests.len(), 1);
    for nothing in ["# only a comment\n", "rules:\nprocessors: ~\n", "{}"] {
        assert_eq!(right(nothing).sources.len(), 2, "{nothing}");
    }
    assert!(right("store: false\n").store.buffer_only);
    // An anchor is fine where it repeats a value.
    right("rules: {a: &x {stop: true}, b: *x}\n");
}

#[test]
fn files_that_are_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str| {
        config::load(Some(&folder.path().join(name)), REGISTRY)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    std::fs::write(folder.path().join("empty"), " \n").unwrap();
    std::fs::write(folder.path().join("binary"), b"\x7fELF\0\0").unwrap();
    std::fs::write(folder.path().join("latin1"), b"rules: {caf\xe9: {stop: true}}").unwrap();
    std::fs::write(folder.path().join("huge"), vec![b'#'; 2 << 20]).unwrap();
    for (name, says) in [
        ("missing", "there is no such file"),
        ("", "it is a directory"),
        ("empty", "it is empty"),
        ("binary", "it is no text"),
        ("latin1", "not UTF-8"),
        ("huge", "larger than 1 MiB"),
    ] {
        let found = load(name);
        assert!(found.contains(says) && found.lines().count() == 1, "{name}: {found}");
    }
}
