//! The configuration as it will run: every name resolved, every filter compiled, every size a number.
//!
//! [`read`] consumes the tree ([`super::yaml`]) through sections ([`super::written`]). A [`Config`] exists only if no
//! problem was noted, so nothing after it asks again whether a setting makes sense.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use distlog::filter::Filter;
use distlog_transport::Door;

use super::problem::{Place, Problems, advice};
use super::testcase::{self, TestCase};
use super::written::{Section, Text};
use super::yaml::{Node, Value};
use crate::processors::{Kind, Settings, Surroundings};
use crate::rules::{Rule, Rules};

/// Where applications send, when nothing else is said.
pub const PULL: &str = "tcp://127.0.0.1:5010";
/// Where records arrive that are acknowledged.
const ROUTER: &str = "tcp://127.0.0.1:5011";
/// Where viewers ask, when nothing else is said.
pub const HTTP: &str = "127.0.0.1:5012";
/// With `store: false`, how much is kept so that processors can fall behind.
pub(super) const BUFFER_BYTES: u64 = 256 << 20;

/// What will run.
pub struct Config {
    /// Where records arrive.
    pub sources: Vec<Source>,
    /// The page, the API, health and metrics; `None` with `http: false`.
    pub http: Option<Http>,
    /// How long records are kept.
    pub store: Store,
    /// Which processors want which records.
    pub rules: Rules,
    /// Where records go; [`Rule::to`] counts in this list.
    pub processors: Vec<Processor>,
    /// The cases of `tests:`.
    pub tests: Vec<TestCase>,
}

/// One socket that takes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in the configuration.
    pub name: String,
    /// `pull` or `router`.
    pub door: Door,
    /// `tcp://ADDRESS:PORT`
    pub endpoint: String,
}

impl Source {
    /// What the configuration calls such a socket: `pull` or `router`.
    pub fn kind(&self) -> &'static str {
        door_name(self.door)
    }

    /// What is promised about records that come here.
    pub fn guarantee(&self) -> &'static str {
        match self.door {
            Door::Pull => {
                "at most once: 0MQ PUSH cannot be acknowledged, so what was on its way \
                 when the daemon or its host died is lost; what is in the store was synced to disk"
            }
            Door::Router => {
                "exactly once: a record is acknowledged when the store has it and has synced it to disk; \
                 what was not acknowledged comes again, and is not stored twice"
            }
        }
    }
}

fn door_name(door: Door) -> &'static str {
    match door {
        Door::Pull => "pull",
        Door::Router => "router",
    }
}

/// The HTTP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// `ADDRESS:PORT`
    pub listen: String,
    /// Names a browser may use for this daemon besides its address and `localhost`.
    pub hosts: Vec<String>,
}

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Records received longer ago go.
    pub age: Option<Duration>,
    /// The oldest go while all together are larger.
    pub size: Option<u64>,
    /// `store: false`: a buffer for the processors and nothing more.
    pub buffer_only: bool,
}

/// One processor, ready to be built.
pub struct Processor {
    /// Its name in the configuration.
    pub name: String,
    /// Its type's name.
    pub kind: &'static str,
    /// Its own filter.
    pub when: Filter,
    /// After how long of retrying a batch is counted as failed; never if `None`.
    pub give_up: Option<Duration>,
    /// Its options.
    pub settings: Box<dyn Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sources: vec![
                Source { name: "apps".to_owned(), door: Door::Pull, endpoint: PULL.to_owned() },
                Source { name: "acked".to_owned(), door: Door::Router, endpoint: ROUTER.to_owned() },
            ],
            http: Some(Http { listen: HTTP.to_owned(), hosts: Vec::new() }),
            store: Store { age: None, size: None, buffer_only: false },
            rules: Rules::default(),
            processors: Vec::new(),
            tests: Vec::new(),
        }
    }
}

/// Reads the whole tree. The result counts only if no problem was noted.
pub(super) fn read(root: &Node, directory: &Path, kinds: &[Kind], problems: &Problems) -> Option<Config> {
    let top = Section::new(root, "the configuration", problems)?;
    let insecure = top.flag("insecure").unwrap_or(false);
    let mut config = Config::default();
    if let Some(node) = top.node("sources") {
        config.sources = sources(node, insecure, problems);
    }
    config.http = http(&top, insecure);
    config.store = store(&top);
    let processors = top.section("processors");
    let names: Vec<String> =
        processors.iter().flat_map(Section::names).map(|(name, _)| name.text.clone()).collect();
    for (name, node) in processors.iter().flat_map(Section::names) {
        check_name(&name.text, name.place, problems);
        config.processors.extend(processor(&name.text, node, directory, kinds, problems));
    }
    let rules = top.section("rules");
    let read = rules
        .iter()
        .flat_map(Section::names)
        .filter_map(|(name, node)| rule(&name.text, node, &names, problems));
    config.rules = Rules::new(read.collect());
    if let Some(node) = top.node("tests") {
        let rule_names: Vec<&str> =
            rules.iter().flat_map(Section::names).map(|(name, _)| name.text.as_str()).collect();
        config.tests = testcase::read(node, &rule_names, &names, problems);
    }
    top.finish();
    Some(config)
}

fn sources(node: &Node, insecure: bool, problems: &Problems) -> Vec<Source> {
    let Some(section) = Section::new(node, "`sources`", problems) else { return Default::default() };
    let sources: Vec<Source> =
        section.names().filter_map(|(name, node)| source(&name.text, node, insecure, problems)).collect();
    for (at, source) in sources.iter().enumerate() {
        let twice =
            sources.iter().take(at).find(|other| other.endpoint == source.endpoint && !is_any_port(source));
        if let Some(other) = twice {
            let place = section.place_of(&source.name);
            let text = format!(
                "`{}` and `{}` have the same address {}. Change one.",
                other.name, source.name, source.endpoint
            );
            problems.add(place, text);
        }
    }
    sources
}

/// Port 0, also written `*`, is a free port each time.
fn is_any_port(source: &Source) -> bool {
    source.endpoint.ends_with(":0") || source.endpoint.ends_with(":*")
}

fn source(name: &str, node: &Node, insecure: bool, problems: &Problems) -> Option<Source> {
    check_name(name, node.place, problems);
    let section = Section::new(node, format!("source `{name}`"), problems)?;
    if section.has("jetstream") {
        let text = "`jetstream` sources are not part of this version. Use `pull`, or take the source out.";
        problems.add(section.place_of("jetstream"), text);
        section.finish();
        return None;
    }
    let acked = section.has("router");
    if acked && section.has("pull") {
        let text = "a source is either `pull` or `router`. Make two of it.";
        problems.add(section.place_of("router"), text);
    }
    let (door, usual) = if acked { (Door::Router, ROUTER) } else { (Door::Pull, PULL) };
    let endpoint = section.required_text(door_name(door))?;
    section.finish();
    let address = endpoint.text.strip_prefix("tcp://");
    let Some(address) = address.filter(|address| port(address).is_some()) else {
        let text = format!(
            "`{}` is no address to listen on. Write {usual}, or another address and port.",
            endpoint.text
        );
        problems.add(endpoint.place, text);
        return None;
    };
    refuse_open(address, endpoint.place, insecure, problems);
    Some(Source { name: name.to_owned(), door, endpoint: endpoint.text })
}

fn http(top: &Section<'_>, insecure: bool) -> Option<Http> {
    if top.node("http").is_some_and(is_false) {
        return None;
    }
    let mut http = Http { listen: HTTP.to_owned(), hosts: Vec::new() };
    let Some(section) = top.section("http") else { return Some(http) };
    http.hosts = section.texts("hosts").unwrap_or_default().into_iter().map(|host| host.text).collect();
    if let Some(listen) = section.text("listen") {
        let address = listen.text.strip_prefix("http://").unwrap_or(&listen.text).trim_end_matches('/');
        if port(address).is_none() {
            let text = format!(
                "`{}` is no address to listen on. Write {HTTP}, or another address and port.",
                listen.text
            );
            section.problems().add(listen.place, text);
        }
        refuse_open(address, listen.place, insecure, section.problems());
        http.listen = address.to_owned();
    }
    section.finish();
    Some(http)
}

fn store(top: &Section<'_>) -> Store {
    let mut store = Store { age: None, size: None, buffer_only: false };
    if top.node("store").is_some_and(is_false) {
        return Store { size: Some(BUFFER_BYTES), buffer_only: true, ..store };
    }
    let Some(section) = top.section("store") else { return store };
    if let Some(keep) = section.section("keep") {
        store.age = keep.duration("age");
        store.size = keep.size("size");
        if store.size.is_some_and(|size| size < 1 << 20) {
            section
                .problems()
                .add(keep.place_of("size"), "`size` is too small to keep anything. Write at least 1MiB.");
        }
        keep.finish();
    }
    section.finish();
    store
}

fn processor(
    name: &str,
    node: &Node,
    directory: &Path,
    kinds: &[Kind],
    problems: &Problems,
) -> Option<Processor> {
    let section = Section::new(node, format!("processor `{name}`"), problems)?;
    let kind = section.required_text("type")?;
    let Some(row) = kinds.iter().find(|row| row.name == kind.text) else {
        let advice = advice(&kind.text, "Types", kinds.iter().map(|row| row.name));
        problems.add(kind.place, format!("there is no processor type `{}`. {advice}", kind.text));
        return None;
    };
    let when = section.filter("when").unwrap_or_else(Filter::everything);
    let retry = section.section("retry");
    let give_up = retry.as_ref().and_then(|retry| retry.duration("give_up"));
    if let Some(retry) = retry {
        retry.finish();
    }
    let surroundings = Surroundings { name: name.to_owned(), directory: directory.to_owned() };
    let settings = (row.read)(&section, &surroundings);
    section.finish();
    Some(Processor { name: name.to_owned(), kind: row.name, when, give_up, settings: settings? })
}

fn rule(name: &str, node: &Node, processors: &[String], problems: &Problems) -> Option<Rule> {
    check_name(name, node.place, problems);
    let section = Section::new(node, format!("rule `{name}`"), problems)?;
    let when = section.filter("when").unwrap_or_else(Filter::everything);
    let named = section.texts("to").unwrap_or_default();
    let drop = section.flag("drop").unwrap_or(false);
    let stop = section.flag("stop").unwrap_or(false);
    let said = ["to", "drop", "stop"].iter().any(|key| section.has(key));
    // An unknown key was meant to be one of these.
    if section.finish() && !said {
        problems.add(
            section.place(),
            format!("rule `{name}` does nothing. Give it `to: […]`, `drop: true` or `stop: true`."),
        );
    }
    if drop && !named.is_empty() {
        let text =
            format!("rule `{name}` drops its records, so it cannot send them on. Take out `to` or `drop`.");
        problems.add(section.place_of("to"), text);
    }
    let to = named.iter().filter_map(|text| find(text, processors, problems)).collect();
    Some(Rule { name: name.to_owned(), when, to, drop, stop })
}

/// The place of that name in the list of processors.
fn find(name: &Text, processors: &[String], problems: &Problems) -> Option<usize> {
    let found = processors.iter().position(|processor| *processor == name.text);
    if found.is_none() {
        let advice = advice(&name.text, "Processors", processors.iter().map(String::as_str));
        problems.add(name.place, format!("there is no processor `{}`. {advice}", name.text));
    }
    found
}

/// Names stand in metrics, cursors and messages: short, and nothing that could be mistaken there.
fn check_name(name: &str, place: Place, problems: &Problems) {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        let text = format!(
            "`{}` cannot be a name. Use up to 64 letters, digits, `-`, `_` and `.`.",
            name.escape_debug()
        );
        problems.add(place, text);
    }
}

fn refuse_open(address: &str, place: Place, insecure: bool, problems: &Problems) {
    if !insecure && !is_loopback(address) {
        let text = format!(
            "{address} can be reached from other machines, and nothing is encrypted. \
             Use 127.0.0.1, or say `insecure: true` at the top if the network is trusted."
        );
        problems.add(place, text);
    }
}

/// Whether only this machine can reach that `HOST:PORT`.
fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    ip.map_or(host == "localhost", |ip| ip.is_loopback())
}

/// The port of `HOST:PORT`, if it has that form.
fn port(address: &str) -> Option<u16> {
    if let Ok(address) = address.parse::<SocketAddr>() {
        return Some(address.port());
    }
    let (host, port) = address.rsplit_once(':')?;
    let named = host == "*"
        || (!host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)));
    let port = if port == "*" { "0" } else { port };
    if named { port.parse().ok() } else { None }
}

fn is_false(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.plain && scalar.text == "false")
}
