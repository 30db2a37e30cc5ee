//! Small files that are read whole: keys, tokens, configurations.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::libc::O_NONBLOCK;

/// Reads a regular file of at most `max` bytes. Refuses a FIFO or a device without waiting for it.
///
/// # Errors
/// If the file cannot be opened or read, is no regular file, or has more bytes.
pub fn read_small(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Without the flag, opening a FIFO waits for a writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    read_at_most(&file, max)
}

fn read_at_most(file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("has more than {max} bytes")));
    }
    Ok(bytes)
}

/// Reads a regular file of at most `max` bytes as UTF-8 text.
///
/// # Errors
/// As [`read_small`], and if it is not UTF-8.
pub fn read_small_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_small(path, max)?).map_err(|_| io::Error::other("is not UTF-8 text"))
}
