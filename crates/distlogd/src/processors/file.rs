//! `type: file`: records as lines in files, one file or one per value of a field.
//!
//! ```yaml
//! processors:
//!   archive: {type: file, path: "archive/{logger}.jsonl", rotate: {size: 256MiB, keep: 30, compress: zstd}}
//!   errors:  {type: file, path: /var/log/app/errors.log, format: text}
//! ```
//!
//! - `path`: placeholders are explained in [`template`]. Relative paths start from `root`, else from the configuration
//!   file's directory. Whatever a record says, its file stays below the part of the path before the first placeholder
//!   ([`folder`]).
//! - `format`: `jsonl` (the record with `_offset` and `_received`, as the viewer prints it) or `text` ([`line`]).
//! - `rotate`: see [`rotation`].
//! - At most [`NAMES`] different files; what would need more goes to `_overflow` beside them. At most [`OPEN`] are
//!   kept open. A file that was moved or deleted by somebody else is made anew.
//!
//! A batch is taken over when the operating system has it. If a write fails in the middle, the part of a line that went
//! out is cut off again, and what was written of the batch is not written twice.

mod folder;
mod line;
mod rotation;
mod template;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use distlog_store::Entry;

use self::folder::Folder;
use self::rotation::Rotation;
use self::template::Template;
use super::{Failure, Kind, Processor, Running, Settings, Surroundings};
use crate::config::Section;

/// How many different files one processor makes.
pub const NAMES: usize = 1_000;
/// How many of them are kept open.
pub const OPEN: usize = 64;
/// Where the rest goes.
const OVERFLOW: &str = "_overflow";

/// The row of the registry.
pub const KIND: Kind = Kind {
    name: "file",
    about: "writes records as lines to files",
    example: r#"{type: file, path: "{logger}.jsonl"}"#,
    read,
};

/// How a record becomes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jsonl,
    Text,
}

#[derive(Debug, Clone)]
struct FileSettings {
    root: PathBuf,
    template: Template,
    format: Format,
    rotation: Option<Rotation>,
}

fn read(section: &Section<'_>, surroundings: &Surroundings) -> Option<Box<dyn Settings>> {
    let path = section.required_text("path");
    let root = section
        .text("root")
        .map_or_else(|| surroundings.directory.clone(), |root| surroundings.directory.join(root.text));
    let format = match section.choice("format", &["jsonl", "text"]) {
        Some("text") => Format::Text,
        _ => Format::Jsonl,
    };
    let rotation = section.section("rotate").and_then(|section| rotation::read(&section));
    let path = path?;
    match template::split(&root, &path.text) {
        Ok((root, template)) => Some(Box::new(FileSettings { root, template, format, rotation })),
        Err(reason) => {
            section.problems().add(path.place, reason);
            None
        }
    }
}

impl Settings for FileSettings {
    fn guarantee(&self) -> String {
        let root = self.root.display();
        format!(
            "at least once, below {root}: a record is done when the operating system has its line; \
             a power cut can lose the last lines"
        )
    }

    fn build(&self, _running: Running) -> Box<dyn Processor> {
        Box::new(Files {
            settings: self.clone(),
            folder: None,
            open: HashMap::new(),
            names: HashSet::new(),
            turn: 0,
            written: HashSet::new(),
        })
    }
}

/// The running processor.
struct Files {
    settings: FileSettings,
    /// The root, once it could be opened.
    folder: Option<Folder>,
    open: HashMap<String, OpenFile>,
    /// Every name made so far, times left out: the hours that pass use up nothing.
    names: HashSet<String>,
    /// Counts uses, to find the file not used for longest.
    turn: u64,
    /// Offsets of the present batch that are in their files already: not empty only after a failure.
    written: HashSet<u64>,
}

/// A file that is being written.
struct OpenFile {
    file: File,
    folder: Folder,
    name: String,
    bytes: u64,
    used: u64,
}

impl Processor for Files {
    fn start(&mut self) -> Result<(), Failure> {
        if self.folder.is_none() {
            let root = &self.settings.root;
            let reason =
                |error| Failure::retry(format!("cannot open the directory {}: {error}", root.display()));
            self.folder = Some(Folder::root(root).map_err(reason)?);
        }
        Ok(())
    }

    fn process(&mut self, batch: &[Entry]) -> Result<(), Failure> {
        for (path, lines) in self.sort(batch) {
            let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
            let reason = |error: io::Error| Failure::retry(format!("cannot write {path}: {error}"));
            self.write(&path, text.as_bytes()).map_err(reason)?;
            self.written.extend(lines.into_iter().map(|(offset, _)| offset));
        }
        self.written.clear();
        Ok(())
    }

    fn flush(&mut self, _deadline: Instant) -> Result<(), Failure> {
        for open in self.open.values() {
            open.file
                .sync_data()
                .map_err(|error| Failure::retry(format!("cannot sync {}: {error}", open.name)))?;
        }
        Ok(())
    }
}

/// A file's path below the root, and the lines that go there with their records' offsets.
type Lines = (String, Vec<(u64, String)>);

impl Files {
    /// Sorts a batch by file, in the order the files occur; order within a file is the batch's.
    fn sort(&mut self, batch: &[Entry]) -> Vec<Lines> {
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut sorted: Vec<Lines> = Vec::new();
        for entry in batch.iter().filter(|entry| !self.written.contains(&entry.offset)) {
            let path = name(&self.settings.template, entry, &mut self.names);
            let at = *places.entry(path.clone()).or_insert(sorted.len());
            if at == sorted.len() {
                sorted.push((path, Vec::new()));
            }
            let line = match self.settings.format {
                Format::Jsonl => super::one_line(&entry.to_json()).into_owned() + "\n",
                Format::Text => line::text(entry),
            };
            if let Some((_, lines)) = sorted.get_mut(at) {
                lines.push((entry.offset, line));
            }
        }
        sorted
    }

    fn write(&mut self, path: &str, text: &[u8]) -> io::Result<()> {
        self.turn += 1;
        let turn = self.turn;
        let rotation = self.settings.rotation;
        let open = self.opened(path)?;
        open.used = turn;
        if let Some(rotation) =
            rotation.filter(|rotation| open.bytes > 0 && open.bytes + text.len() as u64 > rotation.size)
        {
            rotation.rotate(&open.folder, &open.name)?;
            (open.file, open.bytes) = open.folder.append(&open.name)?;
        }
        if let Err(error) = open.file.write_all(text) {
            // Half a line may be out. If cutting it off fails as well, the next try starts on a line of its own anyway.
            drop(open.file.set_len(open.bytes));
            self.open.remove(path);
            return Err(error);
        }
        open.bytes += text.len() as u64;
        Ok(())
    }

    /// The file at that path, opened or made if need be, and surely still the one that stands there.
    fn opened(&mut self, path: &str) -> io::Result<&mut OpenFile> {
        let still = self.open.get(path).is_some_and(|open| open.folder.holds(&open.name, &open.file));
        if !still {
            self.open.remove(path);
            self.close_longest_unused();
            let root = self.folder.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
            let (folder, name) = root.descend(path)?;
            let (file, bytes) = folder.append(&name)?;
            self.open.insert(path.to_owned(), OpenFile { file, folder, name, bytes, used: self.turn });
        }
        self.open.get_mut(path).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn close_longest_unused(&mut self) {
        if self.open.len() >= OPEN
            && let Some(path) =
                self.open.iter().min_by_key(|(_, open)| open.used).map(|(path, _)| path.clone())
        {
            self.open.remove(&path);
        }
    }
}

/// The record's file; `_overflow` for a new name when there are too many.
fn name(template: &Template, entry: &Entry, names: &mut HashSet<String>) -> String {
    let timeless = template.render(entry, false);
    let known = names.contains(&timeless);
    if known || names.len() < NAMES {
        let path = if template.has_times() { template.render(entry, true) } else { timeless.clone() };
        if !known {
            names.insert(timeless);
        }
        return path;
    }
    OVERFLOW.to_owned()
}
