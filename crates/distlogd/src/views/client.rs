//! The viewer's side of the HTTP API: questions, answers, and the live stream.
//!
//! The stream is read by a thread of its own, which hands over what arrives through a bounded channel: when the output
//! stalls (a pager, a pipe), reading stalls too, and the daemon notices. A broken stream is taken up again after the
//! last offset that was delivered, for as long as it takes, so that nothing is shown twice and nothing is left out.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use distlog::Raw;

use super::Failure;

/// A daemon that is there answers a connection within this time.
const CONNECT: Duration = Duration::from_secs(5);
/// A search that says nothing for so long has stopped.
const SILENCE: Duration = Duration::from_secs(120);
/// The daemon says on each stream that it is alive every five seconds.
const STREAM_SILENCE: Duration = Duration::from_secs(20);
/// Answers that are read as a whole are no larger.
const LARGEST_ANSWER: u64 = 1 << 30;
/// Deliveries that may wait for the output.
const WAITING: usize = 8;

/// Parameters of a question.
pub type Parameters<'a> = Vec<(&'a str, String)>;

/// One daemon.
#[derive(Debug, Clone)]
pub struct Client {
    url: String,
    agent: ureq::Agent,
}

/// An answer whose body is still to be read.
pub struct Answer {
    /// What `/search` looked at: everything before this offset.
    pub next_offset: Option<u64>,
    body: Box<dyn BufRead + Send>,
}

/// What comes through a stream, in order.
#[derive(Debug)]
pub enum Arrival {
    /// Records, each as the JSON the daemon sent, and the offset of the last.
    Records(Vec<String>, u64),
    /// This client was too slow, or these records are no longer kept.
    Gap(Gap),
    /// Everything up to this offset was looked at.
    Position(u64),
    /// The connection broke and is being made again.
    Lost(String),
    /// The stream goes on where it broke.
    Back,
    /// The daemon will not have this stream.
    Refused(Failure),
    /// The user wants to stop.
    Stop,
}

/// Records that were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first offset left out.
    pub from: u64,
    /// The last offset left out.
    pub to: u64,
    /// How many.
    pub count: u64,
}

impl Client {
    /// The daemon at that address.
    pub fn new(url: &str) -> Self {
        let url = url.trim_end_matches('/');
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .build()
            .new_agent();
        Self { url, agent }
    }

    /// The daemon's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks, and gives the answer while it arrives. A refusal becomes [`Failure::Refused`], a 404 [`Failure::NotFound`].
    pub fn ask(&self, path: &str, parameters: &Parameters<'_>) -> Result<Answer, Failure> {
        self.send(path, parameters, None, SILENCE)
    }

    /// Asks, and gives the whole answer.
    pub fn ask_whole(&self, path: &str, parameters: &Parameters<'_>) -> Result<String, Failure> {
        let mut text = String::new();
        let answer = self.ask(path, parameters)?;
        answer.body.take(LARGEST_ANSWER).read_to_string(&mut text).map_err(|error| self.broken(&error))?;
        Ok(text)
    }

    /// Follows the records from that offset on. The receiver gets [`Arrival::Stop`] from whoever holds the sender too.
    pub fn follow(
        &self,
        parameters: Parameters<'static>,
        from: u64,
    ) -> (SyncSender<Arrival>, Receiver<Arrival>) {
        let (sender, receiver) = sync_channel(WAITING);
        let (client, arrivals) = (self.clone(), sender.clone());
        thread::spawn(move || client.keep_following(&parameters, from, &arrivals));
        (sender, receiver)
    }

    fn keep_following(&self, parameters: &Parameters<'_>, from: u64, arrivals: &SyncSender<Arrival>) {
        let mut next = from;
        let mut pause = Duration::from_millis(50);
        let mut is_lost = false;
        loop {
            let why = match self.send_stream(parameters, next) {
                Ok(answer) => {
                    if std::mem::take(&mut is_lost) && arrivals.send(Arrival::Back).is_err() {
                        return;
                    }
                    pause = Duration::from_millis(50);
                    match deliver(answer.body, &mut next, arrivals) {
                        Some(why) => why,
                        None => return,
                    }
                }
                Err(Failure::Unreachable { reason, .. } | Failure::Broken { reason, .. }) => reason,
                Err(refused) => {
                    let _gone = arrivals.send(Arrival::Refused(refused));
                    return;
                }
            };
            if !std::mem::replace(&mut is_lost, true) && arrivals.send(Arrival::Lost(why)).is_err() {
                return;
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    fn send_stream(&self, parameters: &Parameters<'_>, next: u64) -> Result<Answer, Failure> {
        let mut parameters = parameters.clone();
        match next.checked_sub(1) {
            Some(last) => self.send("/api/v1/stream", &parameters, Some(last), STREAM_SILENCE),
            None => {
                parameters.push(("from", "0".to_owned()));
                self.send("/api/v1/stream", &parameters, None, STREAM_SILENCE)
            }
        }
    }

    fn send(
        &self,
        path: &str,
        parameters: &Parameters<'_>,
        last: Option<u64>,
        silence: Duration,
    ) -> Result<Answer, Failure> {
        let mut request = self.agent.get(format!("{}{path}{}", self.url, query(parameters)));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let request = request.config().timeout_per_read(Some(silence)).build();
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        let status = response.status().as_u16();
        if status != 200 {
            let text = response.body_mut().read_to_string().unwrap_or_default();
            return Err(self.refusal(status, &text, parameters));
        }
        let next_offset = response.headers().get("distlog-next-offset").and_then(|value| value.to_str().ok());
        let next_offset = next_offset.and_then(|value| value.parse().ok());
        Ok(Answer {
            next_offset,
            body: Box::new(BufReader::with_capacity(64 << 10, response.into_body().into_reader())),
        })
    }

    fn refusal(&self, status: u16, text: &str, parameters: &Parameters<'_>) -> Failure {
        let error = Raw::trusted(text.trim()).walk("error");
        let word = |name| {
            error.and_then(|error| error.walk(name)).and_then(Raw::into_str).map(|word| word.into_owned())
        };
        let Some(message) = word("message") else {
            let reason = format!("it does not answer as distlogd does (status {status})");
            return Failure::Unreachable { url: self.url.clone(), reason };
        };
        if status == 404 {
            return Failure::NotFound { message };
        }
        let at = error.and_then(|error| error.walk("at"));
        let mut places = at.into_iter().flat_map(Raw::members).filter_map(|(_, place)| place.as_i64());
        let place = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let at = place(places.next())..place(places.next());
        let parameter = word("parameter");
        let sent = parameters.iter().find(|(name, _)| Some(*name) == parameter.as_deref());
        Failure::Refused { message, text: sent.map(|(_, text)| text.clone()), at, help: word("help") }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let reason = match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "connection refused".to_owned()
            }
            other => other.to_string(),
        };
        Failure::Unreachable { url: self.url.clone(), reason }
    }

    fn broken(&self, error: &std::io::Error) -> Failure {
        Failure::Broken { url: self.url.clone(), reason: error.to_string() }
    }
}

impl Answer {
    /// The answer's lines without their ends, as they arrive; empty ones are left out.
    pub fn lines(self, client: &Client) -> impl Iterator<Item = Result<String, Failure>> {
        let lines = self.body.lines().map(|line| line.map_err(|error| client.broken(&error)));
        lines.filter(|line| line.as_ref().map_or(true, |line| !line.is_empty()))
    }
}

/// `?name=value&…`, percent-encoded; empty values are left out.
fn query(parameters: &Parameters<'_>) -> String {
    let mut text = String::new();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(if text.is_empty() { "?" } else { "&" });
        text.push_str(&format!("{name}={}", encoded(value)));
    }
    text
}

/// The text for use in a path or a query.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(byte.into())
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Hands over what the stream says until it breaks (the reason is given) or nobody listens (`None`).
fn deliver(body: impl BufRead, next: &mut u64, arrivals: &SyncSender<Arrival>) -> Option<String> {
    let (mut id, mut kind, mut content) = (None, String::new(), String::new());
    for line in body.lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) => return Some(error.to_string()),
        };
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = value.parse().ok(),
            "event" => value.clone_into(&mut kind),
            "data" => content.push_str(value),
            _ if !line.is_empty() => {}
            _ => {
                let arrival = arrival(&kind, &content, id.take());
                kind.clear();
                content.clear();
                let Some(arrival) = arrival else { continue };
                match &arrival {
                    Arrival::Records(_, last) | Arrival::Position(last) => *next = last + 1,
                    Arrival::Gap(gap) => *next = gap.to + 1,
                    _ => {}
                }
                arrivals.send(arrival).ok()?;
            }
        }
    }
    Some("the daemon closed the stream".to_owned())
}

fn arrival(kind: &str, content: &str, id: Option<u64>) -> Option<Arrival> {
    match kind {
        "r" => {
            let records =
                Raw::trusted(content).members().map(|(_, record)| record.text().to_owned()).collect();
            Some(Arrival::Records(records, id?))
        }
        "gap" => {
            let number = |name| {
                Raw::trusted(content).walk(name).and_then(Raw::as_i64).and_then(|n| u64::try_from(n).ok())
            };
            Some(Arrival::Gap(Gap { from: number("from")?, to: number("to")?, count: number("count")? }))
        }
        _ => id.map(Arrival::Position),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_block_by_block() {
        let text = ": hello\n\nid: 4\nevent: r\ndata: [{\"a\":\"]\"},{\"b\":1}]\n\n: alive\nid: 9\n\n\
                    event: gap\ndata: {\"from\":10,\"to\":12,\"count\":3}\n\nevent: new\ndata: 1\n\nid: 20\nevent: r\ndata: [";
        let (sender, receiver) = sync_channel(10);
        let mut next = 0;
        let end = deliver(text.as_bytes(), &mut next, &sender);
        drop(sender);
        assert_eq!(end.as_deref(), Some("the daemon closed the stream"));
        assert_eq!(next, 13);
        let seen: Vec<String> = receiver.iter().map(|arrival| format!("{arrival:?}")).collect();
        assert_eq!(
            seen,
            [
                r#"Records(["{\"a\":\"]\"}", "{\"b\":1}"], 4)"#,
                "Position(9)",
                "Gap(Gap { from: 10, to: 12, count: 3 })"
            ]
        );
    }

    #[test]
    fn parameters_are_encoded() {
        let parameters = vec![("filter", "level>=error ä&b".to_owned()), ("since", String::new())];
        assert_eq!(query(&parameters), "?filter=level%3E%3Derror%20%C3%A4%26b");
    }
}
