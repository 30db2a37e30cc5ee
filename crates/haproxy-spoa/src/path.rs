//! The paths of UNIX sockets: under which name one listens first, when it gets its own, and who may take
//! that away again.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{BindAddress, StartError};

/// A name that no other socket of this process has, and that hides from a plain `ls`.
pub(super) fn temporary_name() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        ".{}.{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Sets mode and owner of a UNIX socket that this process has just bound. A user that can write its
/// directory may have replaced it: anything but a socket with one name is an error, and is not changed.
/// The file is opened once, without following links, and changed by its descriptor.
///
/// # Errors
/// If there is something else at `path`, or the system refuses.
pub(super) fn set_rights(path: &Path, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::PATH | OFlags::NOFOLLOW).bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    if !found.file_type().is_socket() || found.nlink() != 1 {
        let what = format!("{} was replaced while it was bound", path.display());
        return Err(io::Error::other(what));
    }
    let descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(&descriptor, fs::Permissions::from_mode(mode))?;
    if let Some((user, group)) = owner {
        chown(&descriptor, Some(user), Some(group))?;
    }
    Ok(())
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
                if is_live(&self.path)? {
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
pub(super) fn is_live(path: &Path) -> io::Result<bool> {
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
pub(super) struct OwnPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OwnPath {
    /// Remembers which file `temporary` is, before or after it is renamed to `path`.
    pub(super) fn new(path: &Path, temporary: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(temporary)?;
        Ok(Self {
            path: path.into(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    pub(super) fn remove(&self) {
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if found.is_ok_and(|found| found == (self.device, self.inode)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn rights_are_those_of_a_socket_and_of_nothing_that_took_its_place() {
        let folder = std::env::temp_dir().join(temporary_name());
        fs::create_dir(&folder).unwrap();
        let [socket, file, link, second] =
            ["socket", "file", "link", "second"].map(|name| folder.join(name));
        let _listener = UnixListener::bind(&socket).unwrap();
        set_rights(&socket, 0o600, None).unwrap();
        assert_eq!(mode(&socket), 0o600);

        fs::write(&file, "of another user").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        for target in [&file, &socket] {
            symlink(target, &link).unwrap();
            assert!(set_rights(&link, 0o666, None).is_err(), "{target:?}");
            fs::remove_file(&link).unwrap();
        }
        assert!(set_rights(&file, 0o666, None).is_err());
        fs::hard_link(&socket, &second).unwrap();
        assert!(set_rights(&second, 0o666, None).is_err());
        assert_eq!((mode(&file), mode(&socket)), (0o640, 0o600));
        fs::remove_dir_all(&folder).unwrap();
    }
}
