//! `type: exec`: records to a program of yours, as lines of JSON over its standard input and output.
//!
//! ```yaml
//! processors:
//!   pager: {type: exec, command: ["./page", "--team", "web"], timeout: 30s, window: 100, env: {TEAM: web}}
//! ```
//!
//! | direction | line | meaning |
//! |---|---|---|
//! | in | `{"offset":7,"record":{…}}` | a record; offsets grow, with gaps |
//! | out | `{"ack":7}` | all records up to 7 are handled |
//! | out | `{"reject":7,"reason":"…"}` | record 7 is refused for good; says nothing of those before it |
//!
//! What the program writes to stderr goes to the daemon's log. It is started in the configuration file's directory, in a
//! process group of its own, with `DISTLOG_PROCESSOR` set to the processor's name. When its input ends it has
//! five seconds to answer what it still holds and to exit.
//!
//! It is killed and started again, with the runner's pauses, and what it had not acknowledged comes again, when it
//! exits, answers nothing for `timeout` while records wait, answers for a record it was never sent, or writes
//! [`RUBBISH`] lines that are no answer. A kill takes its whole group: nothing it started outlives it.

mod program;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use distlog_store::Entry;

use self::program::{Answer, Program};
use super::{Failure, Kind, Processor, Running, Settings, Surroundings};
use crate::config::Section;
use crate::report::say;

/// Lines that are no answer, before the program counts as broken.
const RUBBISH: u32 = 100;
/// How long an answer is waited for before the stop is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Records sent and not answered, at most.
const WINDOW: u64 = 512;
/// No answer for so long, while records wait, is a hang.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The row of the registry.
pub const KIND: Kind = Kind {
    name: "exec",
    about: "hands records to a program over its standard input",
    example: r#"{type: exec, command: [python3, "-c", "import sys, json\nfor line in sys.stdin:\n    got = json.loads(line)\n    print(got['record']['message'], file=open('delivered', 'a'))\n    print(json.dumps({'ack': got['offset']}), flush=True)"]}"#,
    read,
};

/// What to start and how to treat it. Also used by `type: python`.
#[derive(Debug, Clone)]
pub(super) struct ExecSettings {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) window: u64,
}

fn read(section: &Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Settings>> {
    let command = section.texts("command").unwrap_or_default().into_iter().map(|word| word.text).collect();
    let settings = ExecSettings::read(section, surroundings, command);
    if settings.command.first().is_none_or(|program| program.is_empty()) {
        let text = format!("{} needs `command`. Write it as a list: [program, argument].", section.what());
        section.problems().add(section.place_of("command"), text);
        return None;
    }
    Some(Box::new(settings))
}

impl ExecSettings {
    /// Reads what all programs have in common.
    pub(super) fn read(section: &Section<'_>, surroundings: &Surroundings, command: Vec<String>) -> Self {
        Self {
            name: surroundings.name.clone(),
            directory: surroundings.directory.clone(),
            command,
            environment: environment(section),
            timeout: section.duration("timeout").unwrap_or(TIMEOUT),
            window: section.number("window", 1..=WINDOW).unwrap_or(WINDOW),
        }
    }
}

fn environment(section: &Section<'_>) -> Vec<(String, String)> {
    let Some(names) = section.section("env") else { return Vec::new() };
    let value = |node| match crate::config::json(node) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    names.names().map(|(name, node)| (name.text.clone(), value(node))).collect()
}

/// The path of a program: relative ones start from the configuration file's directory, bare names are looked up in `PATH`.
pub(super) fn program_path(name: &str, directory: &Path) -> PathBuf {
    if name.contains('/') { directory.join(name) } else { PathBuf::from(name) }
}

impl Settings for ExecSettings {
    fn guarantee(&self) -> String {
        let command = self.command.join(" ");
        format!(
            "at least once: a record is done when `{command}` has acknowledged it; until then it comes again"
        )
    }

    fn build(&self, running: Running) -> Box<dyn Processor> {
        Box::new(Exec { settings: self.clone(), running, conversation: None, starts: 0 })
    }
}

/// The running processor.
struct Exec {
    settings: ExecSettings,
    running: Running,
    conversation: Option<Conversation>,
    starts: u64,
}

/// One run of the program, and how far it has come.
struct Conversation {
    program: Program,
    /// The last offset sent.
    sent: Option<u64>,
    /// All up to this one are handled.
    acknowledged: Option<u64>,
    rejected: BTreeMap<u64, String>,
    rubbish: u32,
    /// When it last answered, or was given something after a rest.
    progress: Instant,
}

impl Processor for Exec {
    fn start(&mut self) -> Result<(), Failure> {
        if self.conversation.is_none() {
            self.starts += 1;
            self.running.stats.restarts.add(u64::from(self.starts > 1));
            let program = Program::start(&self.settings).map_err(Failure::retry)?;
            self.conversation = Some(Conversation {
                program,
                sent: None,
                acknowledged: None,
                rejected: BTreeMap::new(),
                rubbish: 0,
                progress: Instant::now(),
            });
        }
        Ok(())
    }

    fn process(&mut self, batch: &[Entry]) -> Result<(), Failure> {
        self.start()?;
        let Some(conversation) = &mut self.conversation else {
            return Err(Failure::retry("it is not running"));
        };
        let outcome = conversation.converse(batch, &self.settings, &self.running);
        if let Err(Failure::Retry { .. }) = outcome {
            // What it was sent and did not answer is unknown: only a fresh one can be trusted to begin there again.
            self.conversation = None;
        }
        outcome
    }

    fn flush(&mut self, deadline: Instant) -> Result<(), Failure> {
        match self.conversation.take() {
            Some(conversation) => conversation.program.finish(deadline).map_err(Failure::retry),
            None => Ok(()),
        }
    }
}

impl Conversation {
    /// Sends a batch and waits until each of its records is settled.
    fn converse(
        &mut self,
        batch: &[Entry],
        settings: &ExecSettings,
        running: &Running,
    ) -> Result<(), Failure> {
        let mut done = 0;
        // The first ones may have been sent before a record among them was refused.
        let mut next =
            batch.iter().take_while(|entry| self.sent.is_some_and(|sent| entry.offset <= sent)).count();
        self.progress = Instant::now();
        loop {
            while let Some(entry) = batch.get(done) {
                if let Some(reason) = self.rejected.remove(&entry.offset) {
                    return Err(Failure::Reject { done, reason });
                }
                if self.acknowledged.is_none_or(|acknowledged| entry.offset > acknowledged) {
                    break;
                }
                done += 1;
            }
            if done == batch.len() {
                return Ok(());
            }
            while let Some(entry) =
                batch.get(next).filter(|_| ((next - done.min(next)) as u64) < settings.window)
            {
                self.program.send(line(entry));
                self.sent = Some(entry.offset);
                next += 1;
            }
            self.listen(settings, running).map_err(|reason| Failure::Retry { done, reason })?;
        }
    }

    /// Waits a moment for an answer. `Err` ends the conversation.
    fn listen(&mut self, settings: &ExecSettings, running: &Running) -> Result<(), String> {
        match self.program.answer(LOOK_EVERY) {
            Some(Answer::Ack(offset)) => {
                self.check_sent(offset)?;
                self.acknowledged = self.acknowledged.max(Some(offset));
                self.progress = Instant::now();
            }
            Some(Answer::Reject(offset, reason)) => {
                self.check_sent(offset)?;
                self.rejected.insert(offset, reason);
                self.progress = Instant::now();
            }
            Some(Answer::Rubbish(line)) => self.count_rubbish(&line, &settings.name)?,
            Some(Answer::Ended) => return Err(self.program.obituary()),
            None if self.progress.elapsed() >= settings.timeout => {
                return Err(format!(
                    "the program answered nothing for {:?} and was killed",
                    settings.timeout
                ));
            }
            None if running.stop.is_due() => return Err("stopped before the program had answered".to_owned()),
            None => {}
        }
        Ok(())
    }

    fn check_sent(&self, offset: u64) -> Result<(), String> {
        if self.sent.is_some_and(|sent| offset <= sent) {
            return Ok(());
        }
        Err(format!("the program answered for record {offset}, which it was never sent, and was killed"))
    }

    fn count_rubbish(&mut self, line: &str, name: &str) -> Result<(), String> {
        self.rubbish += 1;
        if self.rubbish <= 3 {
            let line: String = line.chars().take(200).collect();
            say(&format!("distlogd: processor `{name}` wrote a line that is no answer: {line}"));
        }
        if self.rubbish >= RUBBISH {
            return Err(format!("the program wrote {RUBBISH} lines that are no answers and was killed"));
        }
        Ok(())
    }
}

fn line(entry: &Entry) -> String {
    let record = super::one_line(entry.record.as_json());
    format!("{{\"offset\":{},\"record\":{record}}}\n", entry.offset)
}
