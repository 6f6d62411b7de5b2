//! The views: what the program `distlog` shows, each in a file of its own.
//!
//! Every view asks the daemon over the HTTP API and nothing else. Rules that hold for all of them:
//!
//! - found records go to stdout, everything else to stderr;
//! - `--json` prints what the API answered, byte for byte;
//! - a reader that goes away (`| head`) ends the program quietly;
//! - what records say is escaped (see [`crate::terminal`]).

pub mod client;
pub mod export;
pub mod line;
pub mod search;
pub mod tail;
pub mod tasks;
pub mod tree;
pub mod wait;

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::ops::Range;

use clap::{Args, Parser, Subcommand, ValueEnum};
use distlog::filter::Filter;
use jiff::tz::TimeZone;

use crate::terminal::{self, Look};
use crate::time;
use client::Client;

/// Nothing went wrong, and what was looked for was found.
pub const FOUND: u8 = 0;
/// Nothing was found; or what was found had failed.
pub const NONE: u8 = 1;
/// Something went wrong.
pub const TROUBLE: u8 = 2;
/// The goal has not ended.
pub const UNFINISHED: u8 = 3;
/// The time was up first.
pub const TIME_OUT: u8 = 124;

/// What the program was called with.
#[derive(Debug, Parser)]
#[command(
    name = "distlog",
    version,
    about = "Shows what your programs log: live, stored, and as trees of goals."
)]
#[command(
    after_help = "Filters: a word is searched in the message; field:has, field=is, field~/regex/, field>n;\n\
    a space means and, minus means not. Quote `>` on a command line, or use -l LEVEL."
)]
pub struct Command {
    #[command(subcommand)]
    view: View,
    #[command(flatten)]
    style: OutputStyle,
}

#[derive(Debug, Subcommand)]
enum View {
    /// Records as they arrive, the last stored ones first
    Tail(tail::TailOptions),
    /// Stored records that match; exit code 0 found, 1 none, 2 error
    Search(search::SearchOptions),
    /// A goal with everything below it; exit code 0 succeeded, 1 failed, 3 unfinished, 2 not found or error
    Tree(tree::TreeOptions),
    /// The recent root goals
    Tasks(tasks::TasksOptions),
    /// All stored records that match, as JSON, one a line
    Export(export::ExportOptions),
    /// Wait until a record matches; exit code 0 matched, 124 time-out, 2 error
    Wait(wait::WaitOptions),
}

/// Where to ask, and how the answer should look.
#[derive(Debug, Args)]
struct OutputStyle {
    /// The daemon's HTTP address
    #[arg(
        long,
        global = true,
        env = "DISTLOG_URL",
        default_value = "http://127.0.0.1:5012",
        value_name = "URL"
    )]
    url: String,
    /// Print JSON, one object a line, as the daemon answers it
    #[arg(long, global = true)]
    json: bool,
    /// Use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", alias = "colour")]
    color: Colours,
    /// Show times in UTC instead of local time
    #[arg(long, global = true)]
    utc: bool,
    /// Use only ASCII symbols
    #[arg(long, global = true)]
    ascii: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Colours {
    Auto,
    Always,
    Never,
}

/// Which records: the part of the arguments that views have in common.
#[derive(Debug, Clone, Default, Args)]
pub struct Choice {
    /// Which records; several words are joined by spaces
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Only records of that level and above
    #[arg(short, long, value_name = "LEVEL")]
    pub level: Option<String>,
    /// Only records of that goal and the goals below it
    #[arg(long, value_name = "ID")]
    pub task: Option<String>,
}

/// Why a view ends before its end.
#[derive(Debug)]
pub enum Failure {
    /// The output cannot be written; quiet if its reader has gone.
    Output(io::Error),
    /// No daemon there.
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// The connection ended in the middle of an answer.
    Broken {
        /// Whose answer.
        url: String,
        /// What the system said.
        reason: String,
    },
    /// What was asked for is not there.
    NotFound {
        /// What is not there.
        message: String,
    },
    /// What was written cannot be understood.
    Refused {
        /// What is wrong.
        message: String,
        /// The text in which it is wrong, if it is in one.
        text: Option<String>,
        /// Where in it (bytes).
        at: Range<usize>,
        /// What to write instead.
        help: Option<String>,
    },
}

/// Where a view writes, and how.
pub struct Screen {
    out: Box<dyn Write>,
    /// How to write.
    pub look: Look,
    /// Whether to pass on JSON.
    pub json: bool,
    /// The zone times are shown and read in.
    pub zone: TimeZone,
    /// Whether notes on stderr have a reader at a terminal.
    pub has_notes: bool,
}

/// The words of the command line, those marked that begin with a minus and are part of a filter: `-healthcheck`,
/// `-level:debug`, `-(a or b)`. A space in front does not change a filter, and the parser of options passes it by.
pub fn words(words: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    words.map(|word| match word.to_str() {
        Some(text) if is_negation(text) => format!(" {text}").into(),
        _ => word,
    })
}

/// Whether a word is no option: options are one letter, or one letter and its value, or begin with two minuses.
fn is_negation(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.starts_with('-')) else { return false };
    let mut letters = rest.chars();
    let (first, value) = (letters.next(), letters.as_str());
    match first {
        None => false,
        Some(_) if value.is_empty() => false,
        // `-n20`, `-C2`, `-n=20`
        Some('n' | 'C') => !value.trim_start_matches('=').bytes().all(|letter| letter.is_ascii_digit()),
        // `-lerror`, `-l=error`
        Some('l') => Filter::parse(&format!("level>={}", value.trim_start_matches('='))).is_err(),
        // An age: `--since -10m`.
        Some(first) => !first.is_ascii_digit() && first != '.',
    }
}

/// Runs the view that was asked for and gives the exit code.
pub fn run(command: Command) -> u8 {
    let client = Client::new(&command.style.url);
    let mut screen = Screen::of_process(&command.style);
    let ending = match command.view {
        View::Tail(options) => tail::run(&options, &client, &mut screen),
        View::Search(options) => search::run(&options, &client, &mut screen),
        View::Tree(options) => tree::run(&options, &client, &mut screen),
        View::Tasks(options) => tasks::run(&options, &client, &mut screen),
        View::Export(options) => export::run(&options, &client, &mut screen),
        View::Wait(options) => wait::run(&options, &client, &mut screen),
    };
    let ending = ending.and_then(|code| screen.flush().map(|()| code));
    ending.unwrap_or_else(|failure| failure.report())
}

impl Screen {
    /// One that writes there.
    pub fn new(out: Box<dyn Write>, look: Look, zone: TimeZone) -> Self {
        Self { out, look, json: false, zone, has_notes: false }
    }

    fn of_process(style: &OutputStyle) -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let colours = match style.color {
            Colours::Always => true,
            Colours::Never => false,
            // The library trusts a CI's terminal whatever it calls itself; `dumb` is meant.
            Colours::Auto if std::env::var_os("TERM").is_some_and(|term| term == "dumb") => false,
            Colours::Auto => anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        };
        let width = || terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0)).max(20);
        let look = Look {
            width: is_terminal.then(width),
            colours,
            ascii: style.ascii || (is_terminal && !speaks_unicode()),
        };
        let zone = if style.utc { TimeZone::UTC } else { TimeZone::system() };
        let out = Box::new(BufWriter::with_capacity(64 << 10, stdout));
        Self { out, look, json: style.json, zone, has_notes: io::stderr().is_terminal() }
    }

    /// Writes text that is escaped already.
    pub fn put(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes()).map_err(Failure::Output)
    }

    /// Writes a line of JSON as it came.
    pub fn put_line(&mut self, text: &str) -> Result<(), Failure> {
        self.put(text)?;
        self.put("\n")
    }

    /// Shows what was written so far.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    /// A time the user wrote, as the API reads it.
    pub fn time(&self, text: Option<&str>) -> Result<String, Failure> {
        let Some(text) = text else { return Ok(String::new()) };
        let moment = time::parse(text, time::now(), &self.zone);
        moment.map(time::show_exact).map_err(|wrong| Failure::Refused {
            message: wrong.message,
            text: Some(text.to_owned()),
            at: 0..text.len(),
            help: Some(wrong.help.to_owned()),
        })
    }
}

/// Says something beside the output. A stderr that cannot be written is nobody's loss.
pub fn note(text: &str) {
    let _written = writeln!(io::stderr(), "{text}");
}

impl Choice {
    /// The whole filter as one text; each part is checked on its own, so that a mistake is shown where it was made.
    pub fn text(&self) -> Result<String, Failure> {
        let words = self.filter.join(" ");
        let level = self.level.as_ref().map(|level| format!("level>={level}"));
        let task = self.task.as_ref().map(|task| format!("task:{task}"));
        for part in [Some(&words), level.as_ref(), task.as_ref()].into_iter().flatten() {
            Filter::parse_at(part, time::now()).map_err(|wrong| Failure::Refused {
                message: wrong.message,
                text: Some(part.clone()),
                at: wrong.at,
                help: wrong.help,
            })?;
        }
        let words = words.trim();
        let words = match (words.is_empty(), level.is_some() || task.is_some()) {
            (true, _) => None,
            (false, false) => Some(words.to_owned()),
            (false, true) => Some(format!("({words})")),
        };
        Ok([words, level, task].into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

impl Failure {
    /// Says on stderr what went wrong and what to do about it; gives the exit code.
    pub fn report(&self) -> u8 {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            return FOUND;
        }
        note(&format!("distlog: {}", self.sentence()));
        TROUBLE
    }

    fn sentence(&self) -> String {
        match self {
            Self::Output(error) => format!("cannot write the output: {error}"),
            Self::Unreachable { url, reason } => format!(
                "cannot reach distlogd at {}: {}. Start it with `distlogd`, or say where it is with --url or DISTLOG_URL.",
                terminal::escape(url),
                terminal::escape(reason)
            ),
            Self::Broken { url, reason } => format!(
                "{} stopped in the middle of its answer: {}",
                terminal::escape(url),
                terminal::escape(reason)
            ),
            Self::NotFound { message } => terminal::escape(message).into_owned(),
            Self::Refused { message, text: Some(text), at, help } => {
                terminal::pointer(message, text, at, help.as_deref())
            }
            Self::Refused { message, text: None, help, .. } => {
                let help = help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                terminal::escape(&format!("{message}{help}")).into_owned()
            }
        }
    }
}

/// Whether the locale, if one is set, is a UTF-8 one.
fn speaks_unicode() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| std::env::var(name).ok());
    let locale = set.map(|value| value.to_lowercase()).find(|value| !value.is_empty());
    locale.is_none_or(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}
