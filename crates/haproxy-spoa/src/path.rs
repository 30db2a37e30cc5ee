//! The paths of UNIX sockets: under which name one listens first, when it gets its own, and who may take
//! that away again.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{BindAddress, StartError};

/// A name that no other socket of this process has, and that hides from a plain `ls`.
pub fn temporary_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        ".{}.{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A UNIX socket that listens under its temporary name.
#[derive(Debug)]
pub(super) struct Unpublished {
    pub(super) temporary: PathBuf,
    pub(super) path: PathBuf,
    pub(super) takeover: bool,
}

impl Unpublished {
    /// Renames it into place. Of two processes that try at once, the second finds the first.
    pub(super) fn publish(self) -> Result<(), StartError> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let published =
            fs::File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| {
                // Held until the end of this scope. A file system without locks is no reason to stop.
                let _ = folder.lock();
                if !self.takeover && is_live(&self.path)? {
                    return Err(io::ErrorKind::AddrInUse.into());
                }
                fs::rename(&self.temporary, &self.path)
            });
        published.map_err(|error| {
            StartError::bind(BindAddress::Unix(self.path.clone()), error, self.takeover)
        })
    }
}

impl Drop for Unpublished {
    /// Nothing is there any more once it is published.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Whether a process listens at this path. What is there and no socket, or only points to one, is left
/// alone.
pub fn is_live(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Connected, or its queue is full: somebody is there.
        _ => Ok(true),
    }
}

/// A socket's path, to be removed only while it is still ours.
#[derive(Debug)]
pub struct OwnPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnPath {
    /// Remembers which file `temporary` is, before or after it is renamed to `path`.
    ///
    /// # Errors
    /// If the file cannot be examined.
    pub fn new(path: &Path, temporary: &Path) -> io::Result<Self> {
        let found = fs::metadata(temporary)?;
        Ok(Self {
            path: path.into(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    pub(super) fn remove(&self) {
        let found = fs::metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == (self.device, self.inode)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for OwnPath {
    fn drop(&mut self) {
        self.remove();
    }
}
