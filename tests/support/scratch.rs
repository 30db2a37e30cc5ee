//! Places that a test has for itself.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Tells the places of one process apart.
static NEXT: AtomicU16 = AtomicU16::new(1);

/// A directory, removed with all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("spoa-test-{}-{number}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file in place.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a file and renames it into place.
    pub(crate) fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let beside = self.write(&format!("{name}.new"), text);
        fs::rename(beside, self.path(name)).unwrap();
    }

    /// `unix:PATH`, as `--bind` takes it.
    pub(crate) fn bind(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }

    /// What is in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.0)
    }
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is the temporary directory's business.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A loopback address of this test alone (all of 127.0.0.0/8 is local on Linux), so that a port can
/// be chosen before anything listens on it.
pub(crate) fn own_loopback() -> Ipv4Addr {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = process::id().to_be_bytes();
    let [_, last] = (number % 254 + 1).to_be_bytes();
    // The process in the middle, the test at the end; 127.0.x.y is left to others.
    Ipv4Addr::new(127, high | 0x80, low, last)
}
