//! A listener in a process of its own, so that its memory can be seen and its death survived.
//!
//! The process is this test binary again, told by its arguments to run nothing but the ignored
//! test [`listener_process`]. It prints its endpoint on stderr (libtest keeps stdout for itself) and
//! counts until it is killed; its counts are asked for by a line on stdin.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use distlog_transport::{Door, Limits, Listener, Sender, SenderOptions};

const ENDPOINT: &str = "DISTLOG_TEST_ENDPOINT";

/// A listener in another process; killed when dropped.
pub(crate) struct Peer {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStderr>,
    pub(crate) endpoint: String,
}

impl Peer {
    pub(crate) fn start(endpoint: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "peer::listener_process", "--nocapture", "--test-threads=1"])
            .env(ENDPOINT, endpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        Self { child, ask, answers, endpoint: line.trim().to_owned() }
    }

    /// Messages received so far, handshakes that failed, connections cut over size or otherwise.
    pub(crate) fn counts(&mut self) -> [u64; 4] {
        self.ask.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let numbers: Vec<u64> = line.split_whitespace().map(|text| text.parse().unwrap()).collect();
        numbers.try_into().expect("four numbers")
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    /// Whether an honest client's records arrive, within a time no one would notice much.
    pub(crate) fn serves(&mut self, records: u64) {
        let [before, ..] = self.counts();
        let sender = sender(&self.endpoint);
        for number in 0..records {
            sender.push(*b"PLJ", number.to_string().as_bytes(), 20);
        }
        assert!(sender.close(Duration::from_secs(5)), "an honest client is served: {:?}", sender.stats());
        self.await_messages(before + records);
    }

    pub(crate) fn await_messages(&mut self, count: u64) {
        wait_for("messages", || self.counts()[0] >= count);
        assert_eq!(self.counts()[0], count, "neither lost nor doubled");
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn sender(endpoint: &str) -> Sender {
    Sender::new(SenderOptions { endpoint: endpoint.to_owned(), ..SenderOptions::default() }).unwrap()
}

pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "not a test: the process behind Peer"]
fn listener_process() {
    let Ok(endpoint) = std::env::var(ENDPOINT) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut listener = Listener::bind(&endpoint, Door::Pull, Limits::default()).await.unwrap();
        eprintln!("{}", listener.local_endpoint());
        let (asked, mut questions) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            for _ in std::io::stdin().lock().lines() {
                asked.blocking_send(()).unwrap();
            }
            std::process::exit(0);
        });
        loop {
            tokio::select! {
                batch = listener.next_batch(4096) => drop(batch.unwrap()),
                _ = questions.recv() => {
                    let counts = listener.counters();
                    let of_end = counts.oversized;
                    eprintln!("{} {} {of_end} {}", counts.messages, counts.handshakes_failed, counts.broken);
                }
            }
        }
    });
}
