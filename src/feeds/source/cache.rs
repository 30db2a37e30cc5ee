//! The last good copy of what a URL gave or a file had, on disk.
//!
//! ```text
//!  FOLDER/NAME-HASH.feed    the bytes as they came
//!  FOLDER/NAME-HASH.meta    their number and hash, when they came, their age, ETag, Last-Modified
//! ```
//!
//! Both are written beside and renamed into place. The hash is that of name and URL or path, so that a
//! copy never stands for another place; the URL itself, which may hold a key, is not written.

use core::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Stamp;

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The longest sidecar, in bytes.
const META_MAX: u64 = 64 * 1024;

/// The place of one feed's copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    data: PathBuf,
    meta: PathBuf,
}

/// What is known of a copy beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// When it was fetched or last confirmed, in seconds since 1970.
    pub fetched: u32,
    /// When the data was made: the server's Last-Modified, else when these bytes first came, in seconds
    /// since 1970.
    pub as_of: Option<u32>,
    /// What the bytes are known by.
    pub digest: Option<Digest>,
    /// The server's ETag.
    pub etag: Option<String>,
    /// The server's Last-Modified.
    pub last_modified: Option<String>,
}

/// The length and the hash of some bytes. It tells a list from the next one, not from a forged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    len: u64,
    hash: u64,
}

/// The digest of bytes: the same in every version of everything, for it is written to disk.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    let rest = rest.iter().map(|byte| u64::from(*byte));
    let hash = words.chain(rest).fold(FNV_START, |hash, word| {
        (hash ^ word).wrapping_mul(FNV_PRIME).rotate_left(29)
    });
    Digest {
        len: bytes.len() as u64,
        hash,
    }
}

impl Copy {
    /// The copy of a feed in a folder.
    #[must_use]
    pub fn new(folder: &Path, feed: &str, url: &str) -> Self {
        let readable: String = feed
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .take(64)
            .collect();
        let hash = fnv(feed.bytes().chain([0]).chain(url.bytes()));
        let at = |ending: &str| folder.join(format!("{readable}-{hash:016x}.{ending}"));
        Self {
            data: at("feed"),
            meta: at("meta"),
        }
    }

    /// Whether there is a copy.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.data.is_file()
    }

    /// The file with the bytes.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What is known of the copy; `None` if that cannot be read, or is that of other bytes.
    #[must_use]
    pub fn meta(&self) -> Option<Meta> {
        let is_short = fs::metadata(&self.meta).is_ok_and(|about| about.len() <= META_MAX);
        let text = is_short.then(|| fs::read_to_string(&self.meta).ok())??;
        let (mut meta, mut len, mut hash) = (Meta::default(), None, None);
        for line in text.lines() {
            match line.split_once(' ')? {
                ("bytes", value) => len = value.parse::<u64>().ok(),
                ("fetched", value) => meta.fetched = value.parse().ok()?,
                ("as-of", value) => meta.as_of = Some(value.parse().ok()?),
                ("hash", value) => hash = Some(u64::from_str_radix(value, 16).ok()?),
                ("etag", value) => meta.etag = Some(value.to_owned()),
                ("last-modified", value) => meta.last_modified = Some(value.to_owned()),
                _ => return None,
            }
        }
        let bytes = fs::metadata(&self.data).ok()?.len();
        meta.digest = hash.map(|hash| Digest { len: bytes, hash });
        (len == Some(bytes)).then_some(meta)
    }

    /// Replaces the copy.
    ///
    /// # Errors
    /// If the folder or a file cannot be written. The copy is then the old one, or the new one
    /// without what is known of it.
    pub fn store(&self, bytes: &[u8], meta: &Meta) -> io::Result<()> {
        self.make_folder()?;
        replace(&self.data, bytes)?;
        self.store_meta(bytes.len() as u64, meta)
    }

    fn make_folder(&self) -> io::Result<()> {
        let Some(folder) = self.data.parent() else {
            return Ok(());
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)
    }

    /// Replaces the copy with the bytes of a file, unless the file changes meanwhile.
    ///
    /// # Errors
    /// If the folder or a file cannot be read or written. The copy is then the old one, or the new one
    /// without what is known of it.
    pub fn store_file(&self, file: &Path, stamp: &Stamp, fetched: u32) -> io::Result<()> {
        let as_of = stamp.modified();
        let known = self.meta();
        let is_there = known.is_some_and(|meta| meta.as_of == as_of)
            && fs::metadata(&self.data).is_ok_and(|about| about.len() == stamp.size());
        if is_there {
            return Ok(());
        }
        self.make_folder()?;
        let is_copied = replace_with(&self.data, |path| {
            let mut from = fs::File::open(file)?;
            let mut to = create(path)?;
            io::copy(&mut from, &mut to)?;
            to.sync_all()?;
            Ok(Stamp::at(file).as_ref() == Some(stamp))
        })?;
        let meta = Meta {
            fetched,
            as_of,
            ..Meta::default()
        };
        if is_copied {
            return self.store_meta(stamp.size(), &meta);
        }
        Ok(())
    }

    /// Notes that the server still has the same bytes.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn confirm(&self, meta: &Meta) -> io::Result<()> {
        self.store_meta(fs::metadata(&self.data)?.len(), meta)
    }

    fn store_meta(&self, len: u64, meta: &Meta) -> io::Result<()> {
        let mut text = format!("bytes {len}\nfetched {}\n", meta.fetched);
        // Writing to a String cannot fail.
        if let Some(as_of) = meta.as_of {
            let _ = writeln!(text, "as-of {as_of}");
        }
        if let Some(Digest { hash, .. }) = meta.digest {
            let _ = writeln!(text, "hash {hash:016x}");
        }
        let validators = [("etag", &meta.etag), ("last-modified", &meta.last_modified)];
        for (key, value) in validators {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} {value}");
            }
        }
        replace(&self.meta, text.as_bytes())
    }
}

/// Writes a file beside the one at `path` and renames it into its place.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let write = |beside: &Path| {
        let mut file = create(beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(true)
    };
    replace_with(path, write).map(|_| ())
}

/// The same with what a function writes, if it says that this is what was meant.
fn replace_with(path: &Path, write: impl FnOnce(&Path) -> io::Result<bool>) -> io::Result<bool> {
    let beside = path.with_extension(format!("tmp{}", std::process::id()));
    let written = write(&beside).and_then(|is_meant| {
        if is_meant {
            fs::rename(&beside, path)?;
        }
        Ok(is_meant)
    });
    if !matches!(written, Ok(true)) {
        // It may never have come to be.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Creates a file that only its owner can read.
fn create(path: &Path) -> io::Result<fs::File> {
    // A process of the same number may have left one. A link that somebody else made is not followed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// Fowler, Noll and Vo's hash: the same in every version of everything.
fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(FNV_START, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_at_the_temporary_name_is_not_followed() {
        let folder = std::env::temp_dir().join(format!("spoa-cache-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let outside = folder.join("outside");
        fs::write(&outside, "kept").unwrap();
        let copy = Copy::new(&folder, "a", "http://192.0.2.1/");
        let beside = copy
            .data
            .with_extension(format!("tmp{}", std::process::id()));
        std::os::unix::fs::symlink(&outside, beside).unwrap();
        copy.store(b"new", &Meta::default()).unwrap();
        assert_eq!(fs::read(&outside).unwrap(), b"kept");
        assert_eq!(fs::read(copy.data()).unwrap(), b"new");
        assert!(fs::symlink_metadata(copy.data()).unwrap().is_file());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_copy_belongs_to_a_name_and_a_url() {
        let folder = Path::new("/c");
        let one = Copy::new(folder, "a/b", "http://192.0.2.1/");
        assert_eq!(one, Copy::new(folder, "a/b", "http://192.0.2.1/"));
        assert_ne!(one, Copy::new(folder, "a_b", "http://192.0.2.1/"));
        assert_ne!(one, Copy::new(folder, "a/b", "http://192.0.2.2/"));
        assert_eq!(one.data.parent(), Some(folder));
    }
}
