//! The program `distlogd`.

use std::process::ExitCode;

fn main() -> ExitCode {
    distlogd::main(&[])
}
