//! The HTTP API over real sockets, on a real store in a temporary directory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use distlog::json::quoted;
use distlog::{Raw, Record};
use distlog_store::{Options, Store};
use distlogd::api::{State, serve};
use distlogd::health::Health;
use distlogd::stats::Stats;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// 22 November 2026, 13:02:07 UTC.
const BEGAN: i64 = 1_795_352_527;
const ROOT: &str = "7f3a2c1e-0000-4000-8000-000000000001";
const OTHER: &str = "7f3a2c1e-0000-4000-8000-000000000002";

/// A store, an API that reads it, and what keeps both alive.
struct Server {
    store: Store,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: std::sync::mpsc::Receiver<()>,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

/// Status, head and body of one answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    fn start(records: Vec<Record>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path(), Options::default()).unwrap();
        store.append(1, records, &[]).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let health = Arc::new(Health::default());
        health.set_accepting(true);
        let state = State {
            reader: store.reader(),
            stats: Arc::new(Stats::default()),
            health,
            allowed_hosts: vec!["logs.example".to_owned()],
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            serve(listener, state, async move { drop(stopped.await) }).await;
            end.send(()).unwrap();
        });
        Self { store, address, stop: Some(stop), ended, _runtime: runtime, _folder: folder }
    }

    fn append(&mut self, records: Vec<Record>) {
        self.store.append(2, records, &[]).unwrap();
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket
    }

    fn ask(&self, request: &str) -> Answer {
        let mut text = String::new();
        self.send(request).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body =
            if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }

    fn get(&self, path: &str) -> Answer {
        let path = path.replace(' ', "%20").replace('>', "%3E");
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    fn body(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    fn stream(&self, path: &str, header: &str) -> Blocks {
        let request = format!("GET /api/v1/stream{path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n");
        Blocks { lines: BufReader::new(self.send(&request)) }
    }
}

/// What a stream says, without the envelope of HTTP.
struct Blocks {
    lines: BufReader<TcpStream>,
}

impl Blocks {
    /// The next `id`, kind and content; comments are passed over, but a stream that says nothing else has failed.
    fn next(&mut self) -> (u64, String, String) {
        let (mut id, mut kind, mut content) = (0, String::new(), String::new());
        let mut silence = 0;
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the stream has ended");
            silence += usize::from(line == ": alive\n");
            assert!(silence < 3, "nothing came for ten seconds");
            match line.trim_end().split_once(": ") {
                Some(("id", value)) => id = value.parse().unwrap(),
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("data", value)) => value.clone_into(&mut content),
                None if line.trim().is_empty() && !kind.is_empty() => return (id, kind, content),
                _ => {}
            }
        }
    }

    /// The field `n` of so many records, from as many batches as it takes; and the last id.
    fn records(&mut self, count: usize) -> (Vec<i64>, u64) {
        let (mut seen, mut last) = (Vec::new(), 0);
        while seen.len() < count {
            let (id, kind, content) = self.next();
            assert_eq!(kind, "r", "{content}");
            seen.extend(
                Raw::trusted(&content)
                    .members()
                    .map(|(_, record)| record.walk("n").unwrap().as_i64().unwrap()),
            );
            let offset =
                Raw::trusted(&content).members().last().unwrap().1.walk("_offset").unwrap().as_i64().unwrap();
            assert!(id >= u64::try_from(offset).unwrap());
            last = id;
        }
        (seen, last)
    }
}

fn unchunked(body: &str) -> String {
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = &after[size + 2..];
        if size == 0 {
            break;
        }
    }
    whole
}

/// Records with `n` from a range, a second apart, every tenth an error.
fn numbered(range: std::ops::Range<i64>) -> Vec<Record> {
    let text = |n: i64| {
        let level = if n % 10 == 0 { 40 } else { 20 };
        format!(
            r#"{{"name":"app.{}","levelno":{level},"created":{}.5,"message":"number {n}","n":{n}}}"#,
            n % 3,
            BEGAN + n
        )
    };
    range.map(|n| Record::from_json(&text(n)).unwrap()).collect()
}

/// A task of two goals: begin, a warning, a sub-goal that fails, and the end.
fn task(root: &str) -> Vec<Record> {
    let record = |number: u32, path: &str, level: i64, goal: &str| {
        let text = format!(
            r#"{{"name":"shop","levelno":{level},"created":{BEGAN}.{number},"message":"m{number}","process":7,"hostname":"h","context":{{"key":"{number}@{root}{path}"}}{goal}}}"#
        );
        Record::from_json(&text).unwrap()
    };
    let begin = |title: &str| format!(r#","goal":{{"event":"begin","title":"{title}"}}"#);
    let end = |title: &str, status: &str, count: u32| {
        format!(
            r#","goal":{{"event":"end","title":"{title}","status":"{status}","duration":0.5,"count":{count}}}"#
        )
    };
    vec![
        record(0, "", 20, &begin("outer")),
        record(1, "", 30, ""),
        record(0, "/2", 20, &begin("inner")),
        record(1, "/2", 40, &end("inner", "failed", 2)),
        record(3, "", 20, &end("outer", "succeeded", 4)),
    ]
}

fn numbers(ndjson: &str) -> Vec<i64> {
    ndjson.lines().map(|line| Raw::trusted(line).walk("n").unwrap().as_i64().unwrap()).collect()
}

#[test]
fn search_gives_records_with_their_places() {
    let server = Server::start(numbered(0..1000));
    let answer = server.get("/api/v1/search?filter=level>=error");
    assert!(
        answer.head.contains("distlog-next-offset: 1000") && answer.head.contains("application/x-ndjson")
    );
    assert_eq!(numbers(&answer.body), (0..1000).step_by(10).collect::<Vec<_>>());
    assert!(
        answer.body.lines().next().unwrap().ends_with(r#""n":0,"_offset":0,"_received":1}"#),
        "{}",
        answer.body
    );
}

#[test]
fn search_takes_limits_orders_and_places() {
    let server = Server::start(numbered(0..1000));
    for (parameters, expected) in [
        ("limit=3", vec![997, 998, 999]),
        ("limit=3&order=desc", vec![999, 998, 997]),
        ("limit=3&from=5", vec![5, 6, 7]),
        ("limit=3&to=5", vec![2, 3, 4]),
        ("from=997", vec![997, 998, 999]),
        ("from=3&to=5", vec![3, 4]),
        ("from=3&to=5&order=desc", vec![4, 3]),
        ("limit=2&filter=level>=error", vec![980, 990]),
        ("limit=0", vec![]),
        ("filter=nothing", vec![]),
        ("since=@1795353525", vec![998, 999]),
        ("since=2026-11-22T13:02:07Z&until=2026-11-22T13:02:09Z", vec![0, 1]),
        ("from=5000", vec![]),
    ] {
        assert_eq!(numbers(&server.body(&format!("/api/v1/search?{parameters}"))), expected, "{parameters}");
    }
    assert_eq!(server.body("/api/v1/search?count=true&filter=level>=error"), "{\"count\":100}\n");
    assert_eq!(server.body("/api/v1/search?count=true&from=995"), "{\"count\":5}\n");
}

#[test]
fn the_newest_of_very_many_come_in_order() {
    let server = Server::start(numbered(0..12_000));
    assert_eq!(numbers(&server.body("/api/v1/search?limit=11000")), (1000..12_000).collect::<Vec<_>>());
}

#[test]
fn a_wrong_question_is_answered_with_the_place() {
    let server = Server::start(numbered(0..1));
    let answer = server.get("/api/v1/search?filter=a%20level%3E%3D");
    assert_eq!(answer.status, 400);
    let error = Raw::trusted(answer.body.trim()).walk("error").unwrap();
    assert_eq!(error.walk("parameter").unwrap().text(), "\"filter\"");
    assert!(
        error.walk("message").is_some() && error.walk("at").unwrap().members().count() == 2,
        "{}",
        answer.body
    );
    for path in [
        "search?since=soon",
        "search?limit=x",
        "search?order=up",
        "stream?filter=(",
        "stream?slow=no",
        "facets",
    ] {
        let answer = server.get(&format!("/api/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}");
        assert!(Raw::trusted(answer.body.trim()).walk("error.message").is_some(), "{}", answer.body);
    }
    assert_eq!(server.get("/api/v1/search?since=1m&until=1h").status, 400);
    assert_eq!(server.get("/api/v2/search").status, 404);
    assert_eq!(server.get("/%2e%2e/etc/passwd").status, 404);
    let post =
        "POST /api/v1/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(server.ask(post).status, 405);
}

#[test]
fn a_filter_need_not_be_encoded() {
    let server = Server::start(numbered(0..20));
    let ask = |filter: &str| {
        let path = format!("/api/v1/search?count=1&filter={filter}");
        server
            .ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX: <>\r\nConnection: close\r\n\r\n"))
            .body
    };
    assert_eq!(ask("level>=error"), "{\"count\":2}\n");
    assert_eq!(ask("n<3+level<error"), "{\"count\":2}\n");
    assert_eq!(ask(&format!("n>17+-{}", "x".repeat(3000))), "{\"count\":2}\n");
}

#[test]
fn only_this_machines_names_are_answered() {
    let server = Server::start(numbered(0..1));
    let status =
        |head: &str| server.ask(&format!("GET /healthz HTTP/1.1\r\n{head}Connection: close\r\n\r\n")).status;
    let port = server.address.port();
    assert_eq!(status("Host: localhost\r\n"), 200);
    assert_eq!(status(&format!("Host: 127.0.0.1:{port}\r\n")), 200);
    assert_eq!(status("Host: [::1]:5012\r\n"), 200);
    assert_eq!(status("Host: LOGS.example\r\n"), 200);
    assert_eq!(status("Host: evil.example\r\n"), 421);
    assert_eq!(status("Host: 10.0.0.1\r\n"), 421);
    assert_eq!(status("Host: localhost.evil.example\r\n"), 421);
    assert_eq!(status(""), 421);
    assert_eq!(status("Host: localhost\r\nHost: evil.example\r\n"), 421);
    assert_eq!(status("Host: localhost:5012\r\nOrigin: http://localhost:5012\r\n"), 200);
    assert_eq!(status("Host: localhost:5012\r\nOrigin: http://localhost:3000\r\n"), 403);
    assert_eq!(status("Host: localhost:5012\r\nOrigin: https://evil.example\r\n"), 403);
    assert_eq!(status("Host: localhost\r\nOrigin: null\r\n"), 403);
}

#[test]
fn every_answer_carries_the_headers_that_protect_the_page() {
    let server = Server::start(numbered(0..1));
    for path in ["/", "/nothing", "/api/v1/search", "/metrics"] {
        let head = server.get(path).head;
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(header), "{path} without {header}: {head}");
        }
        assert!(!head.contains("access-control"), "{head}");
    }
    assert!(server.body("/").contains("distlog tail") && !server.body("/").contains("<script"));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(numbered(0..1));
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let mut socket = TcpStream::connect(server.address).unwrap();
    // The server may close before all of it is sent.
    let _partly = socket.write_all(request.as_bytes());
    let mut start = [0; 12];
    if socket.read_exact(&mut start).is_ok() {
        assert_eq!(&start, b"HTTP/1.1 431");
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_task_is_found_by_id_and_by_its_beginning() {
    let server = Server::start(task(ROOT));
    let whole = server.body(&format!("/api/v1/task/{ROOT}"));
    let tree = Raw::trusted(whole.trim());
    assert_eq!(tree.walk("status").unwrap().text(), "\"succeeded\"");
    assert_eq!(tree.walk("records").unwrap().text(), "5");
    assert_eq!(tree.walk("missing").unwrap().text(), "[]");
    assert_eq!(server.body("/api/v1/task/7f3a"), whole);
    for path in [format!("{ROOT}/2"), format!("{ROOT}%2F2"), "7f3a/2".to_owned()] {
        let child = server.body(&format!("/api/v1/task/{path}"));
        assert_eq!(Raw::trusted(child.trim()).walk("status").unwrap().text(), "\"failed\"", "{path}");
    }
    let records = server.body("/api/v1/task/7f3a?records=warning");
    assert!(records.contains(r#""own_records":[{"number":1"#), "{records}");
}

#[test]
fn a_task_that_is_not_there_or_not_clear_is_an_error() {
    let mut server = Server::start(task(ROOT));
    assert_eq!(server.get("/api/v1/task/8").status, 404);
    assert_eq!(server.get(&format!("/api/v1/task/{ROOT}/9")).status, 404);
    assert_eq!(server.get("/api/v1/task/xyz").status, 400);
    server.append(task(OTHER));
    let answer = server.get("/api/v1/task/7f3a");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains(ROOT) && answer.body.contains(OTHER), "{}", answer.body);
}

#[test]
fn tasks_are_listed_newest_first_and_by_filter() {
    let mut server = Server::start(task(ROOT));
    server.append(task(OTHER)[..3].to_vec());
    let ids = |body: String| -> Vec<String> {
        let id = |line: &str| Raw::trusted(line).walk("id").unwrap().into_str().unwrap().into_owned();
        body.lines().map(id).collect()
    };
    let all = ids(server.body("/api/v1/tasks"));
    assert_eq!(all.len(), 2);
    assert_eq!(ids(server.body("/api/v1/tasks?limit=1")).len(), 1);
    assert_eq!(ids(server.body("/api/v1/tasks?filter=goal.status=failed")), [ROOT]);
    assert_eq!(ids(server.body("/api/v1/tasks?filter=any(level>=error)")), [ROOT]);
    assert_eq!(ids(server.body("/api/v1/tasks?filter=nothing")), Vec::<String>::new());
    let line = server.body("/api/v1/tasks?filter=goal.status=failed");
    assert!(line.contains(r#""status":"succeeded","duration":0.5,"records":5,"missing":0"#), "{line}");
}

#[test]
fn filters_may_ask_for_the_rest_of_the_task() {
    let mut server = Server::start(task(ROOT));
    server.append(task(OTHER)[..3].to_vec());
    let count = |filter: &str| server.body(&format!("/api/v1/search?count=true&filter={filter}"));
    assert_eq!(count("any(level>=error)"), "{\"count\":5}\n");
    assert_eq!(count("any(level>=error) level>=warning"), "{\"count\":2}\n");
    assert_eq!(count("within(goal=inner)"), "{\"count\":3}\n");
    let answer = server.get("/api/v1/stream?filter=any(level>=error)");
    assert_eq!(answer.status, 400, "{}", answer.body);
}

#[test]
fn counts() {
    let server = Server::start(numbered(0..120));
    let histogram = server.body("/api/v1/histogram?interval=60s&filter=level>=error");
    assert_eq!(
        histogram,
        "{\"buckets\":[{\"levels\":{\"40\":6},\"start\":1795352520.0,\"total\":6},\
         {\"levels\":{\"40\":6},\"start\":1795352580.0,\"total\":6}],\"interval\":60.0}\n"
    );
    let buckets = server.body("/api/v1/histogram?buckets=4");
    assert_eq!(Raw::trusted(buckets.trim()).walk("interval").unwrap().text(), "30.0", "{buckets}");
    assert_eq!(server.get("/api/v1/histogram?interval=1us").status, 400);
    let facets = server.body("/api/v1/facets?field=name&limit=2&filter=level>=error");
    assert_eq!(
        facets,
        "{\"field\":\"name\",\"values\":[{\"count\":4,\"value\":\"app.0\"},{\"count\":4,\"value\":\"app.1\"}]}\n"
    );
    for (field, expected) in [
        ("tenant", r#"[{"count":2,"value":"acme"}]"#),
        ("user.name", r#"[{"count":2,"value":"ann"}]"#),
        ("task", &format!(r#"[{{"count":5,"value":"{ROOT}"}}]"#)),
        ("goal", r#"[{"count":2,"value":"inner"},{"count":2,"value":"outer"}]"#),
        ("host", r#"[{"count":5,"value":"h"}]"#),
        ("none", "[]"),
    ] {
        let mut server = Server::start(numbered(0..3));
        server.append(task(ROOT));
        let bound = |n: u32| {
            format!(
                r#"{{"name":"b","created":{BEGAN},"none":null,"context":{{"key":"","tenant":"acme","user":{{"name":"ann"}}}},"n":{n}}}"#
            )
        };
        server.append((0..2).map(|n| Record::from_json(&bound(n)).unwrap()).collect());
        let facets = server.body(&format!("/api/v1/facets?field={field}"));
        assert_eq!(facets, format!("{{\"field\":\"{field}\",\"values\":{expected}}}\n"));
    }
    assert!(server.body("/api/v1/fields").contains(r#""levelno","message","n","name""#));
    let stats = server.body("/api/v1/stats");
    assert!(stats.contains(r#""next_offset":120"#) && stats.contains(r#""records":120"#), "{stats}");
    assert!(server.body("/metrics").contains("distlog_received_total"));
    assert_eq!(server.body("/readyz"), "ready\n");
}

#[test]
fn filters_are_checked() {
    let server = Server::start(numbered(0..1));
    let check = |body: &str| {
        let length = body.len();
        server.ask(&format!("POST /api/v1/filter/check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"))
    };
    for body in ["level>=error x", r#"{"filter":"level>=error x"}"#] {
        let answer = check(body);
        assert!(answer.body.contains("\"ok\":true") && answer.body.contains("reads_as"), "{}", answer.body);
    }
    let answer = check("level>=");
    assert!(answer.body.contains("\"ok\":false") && answer.body.contains("\"at\":["), "{}", answer.body);
    assert_eq!(check(&"x".repeat(9000)).status, 413);
    assert_eq!(check(r#"{"filtre":"x"}"#).status, 400);
}

#[test]
fn a_stream_begins_now_unless_told_otherwise() {
    let mut server = Server::start(numbered(0..10));
    let (mut now, mut from) = (server.stream("", ""), server.stream("?from=4", ""));
    let mut resumed = server.stream("?from=4", "Last-Event-ID: 7\r\n");
    let mut filtered = server.stream("?filter=level>=error&from=0".replace('>', "%3E").as_str(), "");
    assert_eq!(from.records(6).0, [4, 5, 6, 7, 8, 9]);
    assert_eq!(resumed.records(2).0, [8, 9]);
    std::thread::sleep(Duration::from_millis(100));
    server.append(numbered(10..13));
    assert_eq!(now.records(3), (vec![10, 11, 12], 12));
    assert_eq!(from.records(3).0, [10, 11, 12]);
    assert_eq!(resumed.records(3).0, [10, 11, 12]);
    assert_eq!(filtered.records(2).0, [0, 10]);
}

#[test]
fn across_reconnections_every_offset_comes_once() {
    let mut server = Server::start(numbered(0..3000));
    let (mut seen, mut last, mut stored) = (Vec::new(), None, 3000);
    for round in 0..8 {
        let header = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let mut stream = server.stream("?from=0", &header);
        for _batch in 0..=round % 2 {
            server.append(numbered(stored..stored + 170));
            stored += 170;
            let (records, id) = stream.records(1);
            seen.extend(records);
            last = Some(id);
        }
    }
    let left = usize::try_from(stored).unwrap() - seen.len();
    seen.extend(server.stream("", &format!("Last-Event-ID: {}\r\n", last.unwrap())).records(left).0);
    assert_eq!(seen, (0..stored).collect::<Vec<_>>());
}

#[test]
fn an_id_of_another_store_starts_from_the_beginning() {
    let server = Server::start(numbered(0..3));
    assert_eq!(server.stream("", "Last-Event-ID: 5000\r\n").records(3).0, [0, 1, 2]);
    let answer = server.ask(
        "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: x\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(answer.status, 400);
}

/// Records so large that some ten thousand fill every buffer between the two ends, of which the kernel's are the largest.
fn large(range: std::ops::Range<i64>) -> Vec<Record> {
    let filling = quoted(&"x".repeat(4000));
    range.map(|n| Record::from_json(&format!(r#"{{"message":{filling},"n":{n}}}"#)).unwrap()).collect()
}

#[test]
fn a_slow_client_gets_a_gap_and_stays_connected() {
    let mut server = Server::start(numbered(0..1));
    let mut slow = server.stream("", "");
    let mut patient = server.stream("?slow=wait", "");
    std::thread::sleep(Duration::from_millis(200));
    for round in 0..30 {
        server.append(large(1 + round * 1000..1 + (round + 1) * 1000));
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut next, mut gaps) = (1_u64, 0);
    while next < 30_001 {
        let (id, kind, content) = slow.next();
        let content = Raw::trusted(&content);
        if kind == "gap" {
            let number = |name| u64::try_from(content.walk(name).unwrap().as_i64().unwrap()).unwrap();
            assert_eq!((number("from"), number("to"), number("count")), (next, id, id + 1 - next));
            gaps += 1;
        } else {
            let first = content.members().next().unwrap().1.walk("n").unwrap().as_i64().unwrap();
            assert_eq!(u64::try_from(first).unwrap(), next, "no record is left out without a gap");
        }
        next = id + 1;
    }
    assert!(gaps >= 1, "the client was never too slow");
    server.append(large(30_001..30_002));
    assert_eq!(slow.records(1).0, [30_001]);
    assert_eq!(patient.records(30_001).0, (1..30_002).collect::<Vec<_>>());
}

#[test]
fn streams_are_limited_in_number_and_freed_again() {
    let server = Server::start(numbered(0..1));
    let mut streams: Vec<Blocks> = (0..64).map(|_| server.stream("?from=0", "")).collect();
    for stream in &mut streams {
        assert_eq!(stream.records(1).0, [0]);
    }
    // Only the first line: a stream that is granted by mistake would never end.
    let mut refused = String::new();
    let socket = server.send("GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    BufReader::new(socket).read_line(&mut refused).unwrap();
    assert!(refused.contains(" 503 "), "{refused}");
    assert_eq!(server.get("/healthz").status, 200);
    drop(streams);
    let deadline = std::time::Instant::now() + Duration::from_secs(15);
    while !server.body("/api/v1/stats").contains("\"streams\":0") {
        assert!(std::time::Instant::now() < deadline, "streams stay taken after their clients have gone");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_stop_ends_streams() {
    let mut server = Server::start(numbered(0..1));
    let mut stream = server.stream("?from=0", "");
    assert_eq!(stream.records(1).0, [0]);
    server.stop.take().unwrap().send(()).unwrap();
    server.ended.recv_timeout(Duration::from_secs(10)).unwrap();
    let mut rest = String::new();
    stream.lines.read_to_string(&mut rest).unwrap();
    assert!(TcpStream::connect(server.address).is_err());
}
