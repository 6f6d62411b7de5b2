//! Rotation by size: `errors.log` becomes `errors.log.1` (`.1.zst` when compressed), `.1` becomes `.2`, and so on; of
//! these, `keep` stay.
//!
//! A crash in between leaves an uncompressed `.1`, or a number missing, and nothing worse: numbers only ever move up, and
//! a compressed file gets its name when it is complete.

use std::io;

use super::folder::Folder;
use crate::config::Section;

/// When and how to rotate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rotation {
    /// A file is not made larger than this, unless one batch is.
    pub(super) size: u64,
    /// How many old ones stay.
    pub(super) keep: u64,
    /// Whether old ones are compressed.
    pub(super) zstd: bool,
}

/// Reads `rotate:`.
pub(super) fn read(section: &Section<'_>) -> Option<Rotation> {
    let size = section.size("size");
    if !section.has("size") {
        section.problems().add(section.place(), "`rotate` needs `size`. Write one such as `size: 256MiB`.");
    }
    let keep = section.number("keep", 0..=10_000).unwrap_or(30);
    let zstd = section.choice("compress", &["zstd", "none"]) == Some("zstd");
    section.finish();
    Some(Rotation { size: size?, keep, zstd })
}

impl Rotation {
    /// Moves the file out of the way; its name is free afterwards.
    pub(super) fn rotate(&self, folder: &Folder, name: &str) -> io::Result<()> {
        if self.keep == 0 {
            return folder.remove(name);
        }
        for end in ["", ".zst"] {
            folder.remove(&format!("{name}.{}{end}", self.keep))?;
        }
        for number in (1..self.keep).rev() {
            for end in ["", ".zst"] {
                folder.rename(&format!("{name}.{number}{end}"), &format!("{name}.{}{end}", number + 1))?;
            }
        }
        let first = format!("{name}.1");
        folder.rename(name, &first)?;
        if self.zstd { compress(folder, &first) } else { Ok(()) }
    }
}

fn compress(folder: &Folder, name: &str) -> io::Result<()> {
    let unfinished = format!("{name}.zst.tmp");
    let mut writer = zstd::stream::Encoder::new(folder.create(&unfinished)?, 3)?;
    io::copy(&mut folder.open(name)?, &mut writer)?;
    writer.finish()?.sync_data()?;
    folder.rename(&unfinished, &format!("{name}.zst"))?;
    folder.remove(name)
}
