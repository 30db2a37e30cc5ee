//! What the process may still touch once it serves: a Landlock domain (landlock(7)).
//!
//! A right belongs to a folder and what is below it, not to a file: lists and configurations are
//! replaced by renaming another file into their place, and the new one has to be readable as well.
//!
//! ```text
//!  reads    the folders of the configured files, and those that their links lead to
//!  writes   the folders of UNIX sockets (make, rename, remove sockets) and the cache
//!  /proc    the process's own part
//!  execute  nothing
//! ```
//!
//! What is open already stays open; sockets are not touched; signals reach only the process itself. The
//! kernel confines the thread that asks and those that it starts later.

use core::fmt;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, PathBeneath, PathFd, RestrictionStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags,
};

/// What the domain speaks about: the file system as of Linux 6.10, and signals. A kernel that knows
/// less confines less.
const KNOWN: ABI = ABI::V5;

/// What looking up a name and checking a certificate read.
const NETWORK: [&str; 8] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/pki",
    "/usr/share/ca-certificates",
    "/usr/lib",
    "/lib64",
];

/// What this process left open, once it has confined itself.
static APPLIED: OnceLock<Confinement> = OnceLock::new();

/// The folders that stay open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confinement {
    reads: BTreeSet<PathBuf>,
    sockets: BTreeSet<PathBuf>,
    writes: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
}

/// A process that is confined, as far as the kernel can. To be kept as long as it runs.
#[derive(Debug)]
pub struct Confined {
    folders: Confinement,
    status: RulesetStatus,
    /// The kernel forgets which folder of `/proc` was meant when nobody has it open.
    _process: Option<File>,
}

impl Confinement {
    /// Nothing but the process's own part of `/proc`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A file that is read again and again, whoever replaces it.
    pub fn reads_file(&mut self, file: &Path) {
        self.files.push(file.into());
        self.reads.extend(folder_of(file));
        if let Ok(target) = fs::canonicalize(file) {
            self.reads.extend(folder_of(&target));
        }
    }

    /// A folder that is read with all that is in it.
    pub fn reads_folder(&mut self, folder: &Path) {
        self.reads.extend(existing(folder));
    }

    /// Names that are looked up and certificates that are checked.
    pub fn reads_network(&mut self) {
        for path in NETWORK {
            // A link leads elsewhere, such as into /run/systemd/resolve.
            self.reads.extend(fs::canonicalize(path));
        }
    }

    /// The folder of a UNIX socket.
    pub fn listens(&mut self, socket: &Path) {
        self.sockets.extend(folder_of(socket));
    }

    /// A folder whose files are made, replaced and removed.
    pub fn writes_folder(&mut self, folder: &Path) {
        self.writes.extend(existing(folder));
    }

    /// The first of the files to be read that is there and cannot be opened any more. To be asked
    /// when nothing more is given up: a reload would find out otherwise.
    #[must_use]
    pub fn unreadable(&self) -> Option<(&Path, io::Error)> {
        self.files.iter().find_map(|file| {
            let error = File::open(file).err()?;
            (error.kind() == io::ErrorKind::PermissionDenied).then_some((file.as_path(), error))
        })
    }

    /// The first of the folders to be read that this process shut off at its start, and that no
    /// configuration brings back; none if it is not confined.
    #[must_use]
    pub fn shut_off(&self) -> Option<&Path> {
        let open = APPLIED.get()?;
        let within = |folder: &&PathBuf| {
            let open = open.reads.iter().chain(&open.writes);
            open.into_iter().any(|open| folder.starts_with(open))
        };
        let wanted = self.reads.iter().chain(&self.writes);
        wanted
            .into_iter()
            .find(|folder| !within(folder))
            .map(PathBuf::as_path)
    }

    /// Shuts everything else off, for this thread and those that it starts. A kernel without Landlock
    /// shuts off nothing, which the result tells.
    ///
    /// # Errors
    /// If the kernel has Landlock, and refuses.
    pub fn apply(self) -> Result<Confined, ConfineError> {
        let handled = AccessFs::from_all(KNOWN);
        let created = Ruleset::default()
            .handle_access(handled)?
            .scope(Scope::Signal)?
            .create()?;
        let process = File::open("/proc/self").ok();
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let mut rules = created;
        if let Some(process) = &process {
            rules = rules.add_rule(PathBeneath::new(process, read))?;
        }
        let socket = make_bitflags!(AccessFs::{ReadDir | MakeSock | RemoveFile});
        let write = make_bitflags!(AccessFs::{
            ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir
            | Refer
        });
        for (folders, rights) in [
            (&self.reads, read),
            (&self.sockets, socket),
            (&self.writes, write),
        ] {
            for folder in folders {
                rules = allow(rules, folder, rights)?;
            }
        }
        let RestrictionStatus { ruleset, .. } = rules.restrict_self()?;
        if ruleset != RulesetStatus::NotEnforced {
            // The first counts: whoever confines a thread further has asked for less.
            let _ = APPLIED.set(self.clone());
        }
        Ok(Confined {
            folders: self,
            status: ruleset,
            _process: process,
        })
    }
}

type Rules = landlock::RulesetCreated;

fn allow(rules: Rules, path: &Path, rights: BitFlags<AccessFs>) -> Result<Rules, ConfineError> {
    // Gone since it was named: nothing to allow.
    let Ok(open) = PathFd::new(path) else {
        return Ok(rules);
    };
    let rights = if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(KNOWN)
    };
    Ok(rules.add_rule(PathBeneath::new(open, rights))?)
}

/// The folder that a file is in or will be in.
fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    existing(folder.unwrap_or_else(|| Path::new(".")))
}

/// The folder, or the nearest above it that is there; never the root of everything.
fn existing(folder: &Path) -> Option<PathBuf> {
    let found = folder.ancestors().find_map(|it| fs::canonicalize(it).ok());
    found.filter(|folder| folder.parent().is_some())
}

impl Confined {
    /// Returns how much of the request the kernel enforces.
    #[must_use]
    pub fn extent(&self) -> Extent {
        match self.status {
            RulesetStatus::FullyEnforced => Extent::Full,
            RulesetStatus::PartiallyEnforced => Extent::Partial,
            RulesetStatus::NotEnforced => Extent::None,
        }
    }

    /// Returns the directories that can be read, separated by spaces.
    #[must_use]
    pub fn reads(&self) -> String {
        joined(self.folders.reads.iter())
    }

    /// Returns the directories that can be written to, separated by spaces.
    #[must_use]
    pub fn writes(&self) -> String {
        joined(self.folders.writes.union(&self.folders.sockets))
    }
}

/// How much of a request for confinement the kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Full,
    /// What this kernel knows of it.
    Partial,
    /// Nothing: the kernel has no Landlock.
    None,
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "confined",
            Self::Partial => "this kernel can confine in part only",
            Self::None => "this kernel has no Landlock",
        })
    }
}

fn joined<'a>(dirs: impl Iterator<Item = &'a PathBuf>) -> String {
    let dirs: Vec<_> = dirs.map(|dir| dir.display().to_string()).collect();
    dirs.join(" ")
}

/// The kernel has Landlock, and refused.
#[derive(Debug)]
pub struct ConfineError(io::Error);

impl From<RulesetError> for ConfineError {
    fn from(error: RulesetError) -> Self {
        Self(io::Error::other(error))
    }
}

impl fmt::Display for ConfineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot confine the process: {}", self.0)
    }
}

impl core::error::Error for ConfineError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_yet_has_the_nearest_folder_that_is() {
        let temporary = fs::canonicalize(std::env::temp_dir()).unwrap();
        let mut confinement = Confinement::new();
        confinement.reads_file(&temporary.join("no such folder/no such file"));
        assert_eq!(confinement.reads, [temporary].into());
    }

    #[test]
    fn the_root_of_everything_is_never_opened() {
        let mut confinement = Confinement::new();
        confinement.reads_folder(Path::new("/no such folder"));
        confinement.listens(Path::new("/no such socket"));
        confinement.writes_folder(Path::new("/"));
        assert_eq!(confinement, Confinement::new());
    }

    #[test]
    fn both_kinds_of_directories_are_listed() {
        let mut folders = Confinement::new();
        folders.sockets = BTreeSet::from(["/run/spoa".into()]);
        folders.writes = BTreeSet::from(["/var/cache".into()]);
        folders.reads = BTreeSet::from(["/etc/spoa".into(), "/srv".into()]);
        let confined = Confined {
            folders,
            status: RulesetStatus::FullyEnforced,
            _process: None,
        };
        assert_eq!(confined.reads(), "/etc/spoa /srv");
        assert_eq!(confined.writes(), "/run/spoa /var/cache");
        assert_eq!(confined.extent(), Extent::Full);
    }
}
