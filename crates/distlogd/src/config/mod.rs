//! The configuration: found, read, checked.
//!
//! ```text
//! file ─ yaml ─→ tree with places ─ written ─→ typed answers ─ checked ─→ Config, or every problem there is
//! ```
//!
//! `--config FILE`, else `$DISTLOG_CONFIG`, else `./distlogd.yaml` if it is there, else what is built in: store everything.
//! Relative paths in the file start from the file's own directory, so that it means the same wherever the daemon
//! is started from.

mod checked;
mod problem;
pub mod testcase;
mod units;
mod written;
mod yaml;

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use checked::{Config, HTTP, Http, PULL, Processor, Source, Store};
pub use problem::{Place, Problem, Problems, Refused, advice};
pub use testcase::TestCase;
pub use written::{Section, Text, json};
pub use yaml::{Node, Scalar, Value};

use crate::processors::Kind;

/// No configuration is larger.
const FILE_BYTES: u64 = 1 << 20;
/// Looked for in the working directory.
const FILE_NAME: &str = "distlogd.yaml";

/// The file to read, or `None` for what is built in.
pub fn find(argument: Option<PathBuf>, environment: Option<OsString>) -> Option<PathBuf> {
    let named = argument.or_else(|| environment.filter(|name| !name.is_empty()).map(PathBuf::from));
    named.or_else(|| Some(PathBuf::from(FILE_NAME)).filter(|file| file.exists()))
}

/// Reads and checks a file; without one, gives what is built in.
pub fn load(file: Option<&Path>, kinds: &[Kind]) -> Result<Config, Refused> {
    let Some(file) = file else { return Ok(Config::default()) };
    let name = file.display().to_string();
    let text = read_file(file).map_err(|text| Refused::whole(&name, text))?;
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    parse(&name, &text, directory, kinds)
}

/// Checks a configuration's text; relative paths in it start from `directory`.
pub fn parse(name: &str, text: &str, directory: &Path, kinds: &[Kind]) -> Result<Config, Refused> {
    let problems = Problems::new(name, text);
    let config = match yaml::read(&problems) {
        Some(root) => checked::read(&root, directory, kinds, &problems),
        // Nothing but comments: what is built in.
        None => Some(Config::default()),
    };
    problems.verdict()?;
    config.ok_or_else(|| Refused::whole(name, "it cannot be read."))
}

fn read_file(file: &Path) -> Result<String, String> {
    let kind = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file. Give another with --config.".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "it may not be read. Let the user that runs distlogd read it.".to_owned()
        }
        _ => format!("it cannot be read: {error}."),
    };
    let about = std::fs::metadata(file).map_err(kind)?;
    if about.is_dir() {
        return Err("it is a directory. Name the file in it.".to_owned());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(file).map_err(kind)?.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(kind)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err("it is larger than 1 MiB. A configuration is not: is it the right file?".to_owned());
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("it is empty. Write a configuration in it, or leave --config out for what is built in."
            .to_owned());
    }
    if bytes.contains(&0) {
        return Err("it is no text. Is it the right file?".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text. Is it the right file?".to_owned())
}
