//! Every row of the registry, run from its own example: what all processors promise.
//!
//! A new kind of processor gets its line in [`delivered`], which reads back what its example has delivered.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use distlogd::config;
use distlogd::processors::{Kind, REGISTRY};

use crate::runner::Bed;

const RECORDS: usize = 1_500;

#[test]
fn every_kind_delivers_in_order_once_and_goes_on_where_it_stopped() {
    for kind in REGISTRY {
        let folder = tempfile::tempdir().unwrap();
        prepare(kind, folder.path());
        let mut bed = Bed::new(folder.path());
        let first = bed.append(0..RECORDS);
        bed.run_until(example(kind, folder.path()), first);
        assert_eq!(delivered(kind, folder.path()), expected(RECORDS), "{}: order", kind.name);
        let second = bed.append(RECORDS..RECORDS + 10);
        bed.run_until(example(kind, folder.path()), second);
        assert_eq!(delivered(kind, folder.path()), expected(RECORDS + 10), "{}: from its cursor", kind.name);
        let stats = bed.stats.processor("it");
        assert_eq!(stats.read.get(), (RECORDS + 10) as u64, "{}", kind.name);
        assert_eq!(
            stats.read.get(),
            stats.handled.get() + stats.filtered.get() + stats.failed.get(),
            "{}",
            kind.name
        );
    }
}

#[test]
fn every_kind_refuses_an_option_it_does_not_know() {
    for kind in REGISTRY {
        let folder = tempfile::tempdir().unwrap();
        let text = written(kind, folder.path()).replace("{type:", "{retrry: {}, type:");
        let error = config::parse("d.yaml", &text, folder.path(), REGISTRY).err().unwrap().to_string();
        assert!(error.contains("has no key `retrry`. Did you mean `retry`?"), "{}: {error}", kind.name);
    }
}

#[test]
fn every_kind_says_what_it_guarantees() {
    for kind in REGISTRY {
        let folder = tempfile::tempdir().unwrap();
        let said = example(kind, folder.path()).settings.guarantee();
        assert!(said.contains("at least once") || said.contains("at most once"), "{}: {said}", kind.name);
    }
}

/// The processor `it` of that kind.
fn example(kind: &Kind, folder: &Path) -> config::Processor {
    let text = written(kind, folder);
    let config = config::parse("d.yaml", &text, folder, REGISTRY)
        .unwrap_or_else(|error| panic!("{}: {error}", kind.name));
    config.processors.into_iter().next().unwrap()
}

fn written(kind: &Kind, folder: &Path) -> String {
    let path = format!(", path: [{}]}}", folder.display());
    let example = if kind.name == "python" {
        kind.example.replacen("}}", &format!("}}{path}"), 1)
    } else {
        kind.example.to_owned()
    };
    format!("processors:\n  it: {example}\n")
}

/// What an example needs to run.
fn prepare(kind: &Kind, folder: &Path) {
    if kind.name == "python" {
        // The real plugin runner, without the package around it: that one needs its compiled half.
        let package = folder.join("distlog");
        std::fs::create_dir(&package).unwrap();
        std::fs::write(package.join("__init__.py"), "").unwrap();
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../python/distlog/plugin.py");
        std::fs::copy(source, package.join("plugin.py")).unwrap();
        let plugin = "def initialize(options):\n    global out\n    out = open(options['file'], 'a', buffering=1)\n\n\
             class Deliver:\n    def handle(self, data):\n        print('a print does not disturb')\n        out.write(data['message'] + '\\n')\n";
        std::fs::write(folder.join("deliver.py"), plugin).unwrap();
    }
}

fn delivered(kind: &Kind, folder: &Path) -> Vec<String> {
    let lines = |name: &str| -> Vec<String> {
        std::fs::read_to_string(folder.join(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    match kind.name {
        "exec" | "python" => lines("delivered"),
        "file" => lines("app.jsonl")
            .iter()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["message"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect(),
        other => panic!("add a line for `{other}` here: how to read back what its example delivered"),
    }
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

/// Used by [`Bed`]: waits for something, but not for ever.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
