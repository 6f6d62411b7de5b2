//! The program `distlog`: the viewer. See the library's `views`.

use std::process::ExitCode;

use clap::Parser as _;
use distlogd::views;

fn main() -> ExitCode {
    ExitCode::from(views::run(views::Command::parse_from(views::words(std::env::args_os()))))
}
