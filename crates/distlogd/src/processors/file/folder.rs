//! Directories and files that cannot be led astray.
//!
//! Every step down is taken from the directory already open, by one name that is neither `..` nor contains `/`, and
//! never through a symbolic link (`O_NOFOLLOW`). So nothing that happens to the tree meanwhile, and nothing in a name,
//! leads out of the root. Only the root itself may be a link: it is the administrator's word.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, openat, renameat, statat, unlinkat};

/// Owner reads and writes, group reads.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
const FOLDER_FLAGS: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

impl Folder {
    /// Opens the root, making it first if need be.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(rustix::fs::open(path, FOLDER_FLAGS, Mode::empty())?))
    }

    /// Goes down a path, making directories; gives the last directory and the file's name in it.
    pub(super) fn descend(&self, path: &str) -> io::Result<(Self, String)> {
        let mut folder = Self(self.0.try_clone()?);
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            refuse_leading_astray(name)?;
            if names.peek().is_none() {
                return Ok((folder, name.to_owned()));
            }
            folder = folder.step(name)?;
        }
        Err(io::Error::from(io::ErrorKind::InvalidInput))
    }

    /// Opens a file to append to, making it if need be; gives its size too.
    pub(super) fn append(&self, name: &str) -> io::Result<(File, u64)> {
        // Without NONBLOCK, opening a named pipe would wait for its reader.
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NONBLOCK;
        let file = File::from(openat(&self.0, name, flags, FILE_MODE)?);
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok((file, about.len()))
    }

    /// Opens a file to read.
    pub(super) fn open(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        Ok(File::from(openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Makes a file anew, empty.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.remove(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(openat(&self.0, name, flags, FILE_MODE)?))
    }

    /// Renames a file within the directory; nothing to do if it is not there.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        absent_is_fine(renameat(&self.0, from, &self.0, to))
    }

    /// Removes a file; nothing to do if it is not there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        absent_is_fine(unlinkat(&self.0, name, AtFlags::empty()))
    }

    /// Whether that name still is that file.
    pub(super) fn holds(&self, name: &str, file: &File) -> bool {
        match (statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW), fstat(file)) {
            (Ok(named), Ok(open)) => named.st_ino == open.st_ino && named.st_dev == open.st_dev,
            _ => false,
        }
    }

    fn step(&self, name: &str) -> io::Result<Self> {
        match mkdirat(&self.0, name, FOLDER_MODE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self(openat(&self.0, name, FOLDER_FLAGS | OFlags::NOFOLLOW, Mode::empty())?))
    }
}

fn absent_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(rustix::io::Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The template makes no such names; this holds whatever becomes of the template.
fn refuse_leading_astray(name: &str) -> io::Result<()> {
    if matches!(name, "" | "." | "..") || name.contains('\0') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a path may not contain an empty name, `.` or `..`",
        ));
    }
    Ok(())
}
