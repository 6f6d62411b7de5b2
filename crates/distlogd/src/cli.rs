//! The command line of `distlogd`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::config::{self, Config};
use crate::daemon::{self, Start};
use crate::error::{EXIT_OTHER, Error};
use crate::processors::{Kind, REGISTRY};
use crate::report::say;

/// The daemon of distlog: takes log records over 0MQ, stores them, and feeds processors and viewers.
#[derive(Parser)]
#[command(name = "distlogd", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Subcommand)]
enum Command {
    /// Run in the foreground (what is done without a command, too).
    Run(Run),
    /// Name every mistake in a configuration, and say what it promises.
    Check(Which),
    /// Run the `tests:` of a configuration.
    Test(Which),
    /// Read records on stdin, one JSON object a line, and say what would become of each.
    Explain {
        #[command(flatten)]
        which: Which,
        /// Answer with one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
struct Run {
    /// The configuration [default: $DISTLOG_CONFIG, ./distlogd.yaml, or what is built in]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where records are kept [default: $DISTLOG_DATA, or ~/.local/share/distlog]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct Which {
    /// The configuration [default: $DISTLOG_CONFIG, ./distlogd.yaml, or what is built in]
    file: Option<PathBuf>,
    /// The same.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
}

/// The whole program: the kinds of processors given here come on top of [`REGISTRY`].
pub fn main(extra: &[Kind]) -> ExitCode {
    let arguments = Arguments::parse();
    let kinds: Vec<Kind> = extra.iter().chain(REGISTRY).copied().collect();
    let result = match arguments.command {
        None => run(arguments.run, kinds),
        Some(Command::Run(run_arguments)) => run(run_arguments, kinds),
        Some(Command::Check(which)) => which.with(&kinds, |name, config, out| {
            commands::check(name, config, out).map_err(cannot_write).map(|()| true)
        }),
        Some(Command::Test(which)) => {
            which.with(&kinds, |name, config, out| commands::test(name, config, out).map_err(cannot_write))
        }
        Some(Command::Explain { which, json }) => which.with(&kinds, |_, config, out| {
            commands::explain(config, &mut std::io::stdin().lock(), json, out).map(|()| true)
        }),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_OTHER),
        Err(error) => {
            error.to_string().lines().for_each(say);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: Run, kinds: Vec<Kind>) -> Result<bool, Error> {
    let file = config::find(arguments.config, std::env::var_os("DISTLOG_CONFIG"));
    let data = arguments.data.map_or_else(data_directory, Ok)?;
    let data = std::path::absolute(&data).unwrap_or(data);
    daemon::run(Start { file, data, kinds }).map(|()| true)
}

impl Which {
    fn with(
        self,
        kinds: &[Kind],
        answer: impl FnOnce(&str, &Config, &mut std::io::StdoutLock<'static>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let file = config::find(self.file.or(self.config), std::env::var_os("DISTLOG_CONFIG"));
        let config = config::load(file.as_deref(), kinds)?;
        let name = file
            .as_deref()
            .map_or_else(|| "what is built in".to_owned(), |file: &Path| file.display().to_string());
        let mut out = std::io::stdout().lock();
        let answer = answer(&name, &config, &mut out)?;
        out.flush().map_err(cannot_write)?;
        Ok(answer)
    }
}

fn cannot_write(error: std::io::Error) -> Error {
    Error::Other(format!("distlogd: cannot write: {error}"))
}

/// `$DISTLOG_DATA`, `$XDG_DATA_HOME/distlog`, `~/.local/share/distlog`.
fn data_directory() -> Result<PathBuf, Error> {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("DISTLOG_DATA")
        .or_else(|| Some(named("XDG_DATA_HOME")?.join("distlog")))
        .or_else(|| Some(named("HOME")?.join(".local/share/distlog")))
        .ok_or_else(|| {
            Error::Other(
                "distlogd: there is no home directory to keep records in. Give one with --data.".to_owned(),
            )
        })
}
