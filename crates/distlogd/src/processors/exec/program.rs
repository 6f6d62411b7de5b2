//! One run of a program: its three pipes, and its end.
//!
//! Each pipe has a thread, because each can block for ever: the program may not read, may not write, or may hand its
//! pipes on to others. The threads end when the pipes do; nobody waits for them.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use super::{ExecSettings, program_path};
use crate::report::say;

/// A line of an answer is short; one longer than this is rubbish, and not kept.
const LINE_BYTES: u64 = 64 * 1024;
/// Answers that wait to be looked at; then the program waits.
const ANSWERS: usize = 1024;
/// How often a program that shall exit is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a program says.
pub(super) enum Answer {
    /// All up to that offset are handled.
    Ack(u64),
    /// That record is refused, and why.
    Reject(u64, String),
    /// A line that is neither.
    Rubbish(String),
    /// Its output has ended.
    Ended,
}

/// A running program. Dropping it kills its process group.
pub(super) struct Program {
    child: Child,
    /// Lines on their way in; `None` once its input is closed.
    lines: Option<Sender<String>>,
    answers: Receiver<Answer>,
}

impl Program {
    /// Starts it. `Err` is for people.
    pub(super) fn start(settings: &ExecSettings) -> Result<Self, String> {
        let (name, arguments) = settings.command.split_first().ok_or("there is no command")?;
        let mut command = Command::new(program_path(name, &settings.directory));
        command.args(arguments).current_dir(&settings.directory).process_group(0);
        command
            .env("DISTLOG_PROCESSOR", &settings.name)
            .envs(settings.environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("cannot start `{name}`: {error}"))?;
        let (lines, to_write) = channel();
        let (to_answer, answers) = sync_channel(ANSWERS);
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let program = Self { child, lines: Some(lines), answers };
        if let (Some(input), Some(output), Some(errors)) = (input, output, errors) {
            let label = settings.name.clone();
            spawn("in", move || write_lines(input, &to_write))?;
            spawn("out", move || read_answers(output, &to_answer))?;
            spawn("err", move || repeat(errors, &label))?;
        }
        Ok(program)
    }

    /// Hands over a line; if the program is gone, its answers will say so.
    pub(super) fn send(&self, line: String) {
        if let Some(lines) = &self.lines {
            lines.send(line).ok();
        }
    }

    /// The next answer, if one comes in time.
    pub(super) fn answer(&self, wait: Duration) -> Option<Answer> {
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Answer::Ended),
        }
    }

    /// How it ended, for people.
    pub(super) fn obituary(&mut self) -> String {
        // Its output ended, so it is exiting, or has closed its output, which is as good as gone.
        let deadline = Instant::now() + Duration::from_millis(500);
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("the program ended ({status})"),
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Err(error) => return format!("the program is gone: {error}"),
            }
        }
        "the program closed its output".to_owned()
    }

    /// Closes its input and waits for it to exit; kills it at the deadline.
    pub(super) fn finish(mut self, deadline: Instant) -> Result<(), String> {
        self.lines = None;
        while Instant::now() < deadline {
            // Late answers are of no use any more, but a program that waits to write them would not exit.
            while self.answers.try_recv().is_ok() {}
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                _ => return Ok(()),
            }
        }
        Err("the program did not exit when its input ended, and was killed".to_owned())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.child);
        // Not there any more is what is wanted.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = std::thread::Builder::new().name(format!("plugin {name}")).spawn(run);
    thread.map(drop).map_err(|error| format!("cannot start a thread: {error}"))
}

fn write_lines(mut input: ChildStdin, lines: &Receiver<String>) {
    while let Ok(mut text) = lines.recv() {
        // What else is there goes out in the same write.
        while text.len() < 64 * 1024
            && let Ok(more) = lines.try_recv()
        {
            text.push_str(&more);
        }
        if input.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_answers(output: impl Read, answers: &SyncSender<Answer>) {
    let mut output = BufReader::new(output);
    while let Some(line) = read_line(&mut output) {
        if !line.trim().is_empty() && answers.send(parse(&line)).is_err() {
            return;
        }
    }
}

fn repeat(errors: impl Read, name: &str) {
    let mut errors = BufReader::new(errors);
    while let Some(line) = read_line(&mut errors) {
        say(&format!("{name}: {line}"));
    }
}

/// One line without its end; `None` at the end. What is past [`LINE_BYTES`] is left out.
fn read_line(input: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    let read = input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).ok()?;
    if read == 0 {
        return None;
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else {
        input.skip_until(b'\n').ok()?;
    }
    Some(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())
}

fn parse(line: &str) -> Answer {
    let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let offset = |key| value.get(key).and_then(serde_json::Value::as_u64);
    match (offset("ack"), offset("reject")) {
        (Some(offset), None) => Answer::Ack(offset),
        (None, Some(offset)) => {
            let reason = value.get("reason").and_then(serde_json::Value::as_str).unwrap_or("no reason given");
            Answer::Reject(offset, reason.to_owned())
        }
        _ => Answer::Rubbish(line.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_whole() {
        let text = format!("{}\n{{\"ack\":1}}\r\nlast", "x".repeat(200_000));
        let mut input = BufReader::new(text.as_bytes());
        assert_eq!(read_line(&mut input).map(|line| line.len()), Some(LINE_BYTES as usize));
        assert_eq!(read_line(&mut input).as_deref(), Some("{\"ack\":1}"));
        assert_eq!(read_line(&mut input).as_deref(), Some("last"));
        assert_eq!(read_line(&mut input), None);
    }

    #[test]
    fn answers_are_acks_rejects_or_rubbish() {
        assert!(matches!(parse(r#"{"ack":7}"#), Answer::Ack(7)));
        assert!(
            matches!(parse(r#"{"reject":7,"reason":"no"}"#), Answer::Reject(7, reason) if reason == "no")
        );
        for rubbish in [
            "",
            "7",
            "null",
            r#"{"ack":-1}"#,
            r#"{"ack":"7"}"#,
            r#"{"ack":7,"reject":7}"#,
            "{\"ack\":7",
            "[[[[",
        ] {
            assert!(matches!(parse(rubbish), Answer::Rubbish(_)), "{rubbish}");
        }
    }
}
