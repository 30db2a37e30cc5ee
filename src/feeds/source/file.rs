//! A feed in a file: opened so that nothing that stands at the path can make it hang.

use std::fs::{self, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;

use super::{Input, SourceError};

/// How often a file is read that is written to meanwhile.
pub const TRIES_MAX: usize = 3;

/// An open file, and what it looked like when it was opened.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    handle: fs::File,
    stamp: Stamp,
}

/// What differs when a file has been written to: place, length, times of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    place: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The length of the file, in bytes.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.len
    }

    /// When it was last written to, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> Option<u32> {
        u32::try_from(self.modified.0).ok()
    }

    /// What stands at a path now, if anything does.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().as_ref().map(Self::of)
    }

    fn of(about: &Metadata) -> Self {
        Self {
            place: (about.dev(), about.ino()),
            len: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl File {
    /// Opens a regular file of at most `max_size` bytes. A FIFO, a device or a folder is refused
    /// without waiting for it.
    ///
    /// # Errors
    /// If it cannot be opened, is no regular file, or is too big.
    pub fn open(path: &Path, max_size: u64) -> Result<Self, SourceError> {
        let failed = |error| SourceError::Io {
            path: path.to_owned(),
            error,
        };
        // Opening the writing end of nothing: a FIFO without a writer does not hold us up, a device
        // is not read from, and the end of a symbolic link is what counts.
        let options = OpenOptions::new()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path);
        let file = options.map_err(|error| match error.kind() {
            ErrorKind::NotFound => failed(error),
            _ => named(path).unwrap_or_else(|| failed(error)),
        })?;
        let about = file.metadata().map_err(failed)?;
        if let Some(what) = other_than_file(&about) {
            return Err(SourceError::NotAFile {
                path: path.to_owned(),
                what,
            });
        }
        if about.len() > max_size {
            return Err(SourceError::TooBig { max: max_size });
        }
        Ok(Self {
            path: path.to_owned(),
            stamp: Stamp::of(&about),
            handle: file,
        })
    }

    /// Reads its first byte: a file system may open what it cannot read.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn touch(&self) -> Result<(), SourceError> {
        let read = self.handle.read_at(&mut [0], 0);
        read.map(drop).map_err(|error| SourceError::Io {
            path: self.path.clone(),
            error,
        })
    }

    /// Its bytes, from the current position on.
    ///
    /// # Errors
    /// If the first of them cannot be read.
    pub fn input(&self, max_size: u64) -> Result<Input<'_>, SourceError> {
        Input::new(&self.handle, max_size).map_err(|error| SourceError::Io {
            path: self.path.clone(),
            error,
        })
    }

    /// Whether nobody has written to it since it was opened.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.handle
            .metadata()
            .is_ok_and(|about| Stamp::of(&about) == self.stamp)
    }

    /// What it looked like when it was opened.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// When it was last written to, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> Option<u32> {
        self.stamp.modified()
    }
}

/// What stands at a path that cannot be opened, if that is no file.
fn named(path: &Path) -> Option<SourceError> {
    let what = fs::metadata(path).ok().as_ref().and_then(other_than_file)?;
    Some(SourceError::NotAFile {
        path: path.to_owned(),
        what,
    })
}

fn other_than_file(about: &Metadata) -> Option<&'static str> {
    let kind = about.file_type();
    let kinds = [
        (kind.is_file(), None),
        (kind.is_dir(), Some("a folder")),
        (kind.is_fifo(), Some("a FIFO")),
        (kind.is_socket(), Some("a socket")),
        (
            kind.is_char_device() || kind.is_block_device(),
            Some("a device"),
        ),
    ];
    let known = kinds.into_iter().find(|(is, _)| *is);
    known.map_or(Some("something else"), |(_, what)| what)
}
