//! Sees that files change: by watching folders, since a file that is renamed into place is another one.
//!
//! ```text
//!  /etc/lists/bad.txt ──▶ ..data/bad.txt ──▶ ..2026_11_21/bad.txt      as Kubernetes mounts it
//!  watched: "lists" in /etc, "bad.txt" and "..data" in /etc/lists, …   every name on the way
//! ```
//!
//! In scope: when it is time to look again. Out of scope: what has changed; whoever is told compares.

mod debounce;
mod resolve_chain;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tracing::{info, warn};

use debounce::{Debounce, Kind, Settled};
use resolve_chain::resolve_chain;

use crate::host::vital;

/// The names that matter in each folder that is watched, and the files whose paths lead over each name.
type Names = HashMap<WatchDescriptor, HashMap<OsString, HashSet<PathBuf>>>;

/// Watches files until the process ends.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Arc<Inotify>,
    names: Arc<Mutex<Names>>,
    /// Whether the kernel had no room for all of them.
    is_short: bool,
}

impl Watch {
    /// Starts watching nothing. `touched` is called, on a thread of its own, when a file has changed and
    /// is worth reading: with the files that have changed and are not worth reading yet.
    ///
    /// # Errors
    /// If the kernel has no more room for watches or threads.
    pub(super) fn start(touched: impl Fn(HashSet<PathBuf>) + Send + 'static) -> io::Result<Self> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Arc::new(Inotify::init(flags)?);
        let names = Arc::<Mutex<Names>>::default();
        let (events, wanted) = (Arc::clone(&inotify), Arc::clone(&names));
        vital::spawn("watch", move || look(&events, &wanted, &touched))?;
        Ok(Self {
            inotify,
            names,
            is_short: false,
        })
    }

    /// Watches these files from now on, and no others. Called again after each change: a symbolic
    /// link may lead elsewhere now. Folders that do not exist are passed over, for their own folder is
    /// watched too. A want of watches is said once, and its end.
    pub(super) fn follow<'a>(&mut self, files: impl IntoIterator<Item = &'a PathBuf>) {
        let Ok(mut names) = self.names.lock() else {
            return;
        };
        let mut is_short = false;
        let mut wanted: HashMap<PathBuf, HashMap<OsString, HashSet<PathBuf>>> = HashMap::new();
        for file in files {
            for (folder, name) in resolve_chain(file) {
                let names = wanted.entry(folder).or_default();
                names.entry(name).or_default().insert(file.clone());
            }
        }
        let old = core::mem::take(&mut *names);
        for (folder, wanted) in wanted {
            match self.inotify.add_watch(&folder, EVENTS) {
                // Two paths of one folder have one watch.
                Ok(watch) => {
                    let names = names.entry(watch).or_default();
                    for (name, files) in wanted {
                        names.entry(name).or_default().extend(files);
                    }
                }
                Err(error) => is_short |= matches!(error, Errno::ENOSPC | Errno::ENOMEM),
            }
        }
        for gone in old.into_keys().filter(|watch| !names.contains_key(watch)) {
            // Its folder may be gone, and the watch with it.
            let _ = self.inotify.rm_watch(gone);
        }
        match (core::mem::replace(&mut self.is_short, is_short), is_short) {
            (false, true) => {
                let hint =
                    "raise fs.inotify.max_user_watches; SIGHUP and refresh-interval still work";
                warn!(
                    error = "no inotify watch left",
                    hint, "file watch unavailable"
                );
            }
            (true, false) => info!("file watch restored"),
            _ => {}
        }
    }
}

const EVENTS: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Waits for events, and for the quiet after them.
///
/// # Errors
/// If the kernel does not let it wait.
fn look(
    inotify: &Inotify,
    names: &Mutex<Names>,
    touched: &impl Fn(HashSet<PathBuf>),
) -> io::Result<()> {
    let mut settle = Debounce::default();
    // Files that were read while a writer had them open. Each is logged once until it settles.
    let mut restless = HashSet::new();
    loop {
        let wait = settle
            .due()
            .map(|due| due.saturating_duration_since(Instant::now()));
        // Rounded up: a time that has not quite come would be asked for again and again.
        let timeout = wait.map_or(PollTimeout::NONE, |wait| {
            PollTimeout::try_from(wait.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        let mut ready = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ready, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in inotify.read_events().unwrap_or_default() {
            for (file, kind) in relevant(&event, names) {
                settle.note(file, kind, Instant::now());
            }
        }
        let settled = settle.take_due(Instant::now());
        for Settled { file, is_written } in &settled {
            if !is_written {
                restless.remove(file);
            } else if restless.insert(file.clone()) {
                warn!(file = %file.display(), "file keeps changing");
            }
        }
        if !settled.is_empty() {
            touched(settle.unsettled().cloned().collect());
        }
    }
}

/// Returns the files that an event is about, and what it means for each.
fn relevant(event: &InotifyEvent, names: &Mutex<Names>) -> Vec<(PathBuf, Kind)> {
    let Ok(names) = names.lock() else {
        return Vec::new();
    };
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        // Events were lost: any file may have changed.
        let files: HashSet<_> = names.values().flat_map(HashMap::values).flatten().collect();
        return files
            .into_iter()
            .map(|file| (file.clone(), Kind::Done))
            .collect();
    }
    let affected = event
        .name
        .as_ref()
        .and_then(|name| names.get(&event.wd)?.get(name));
    let kind = if event.mask.contains(AddWatchFlags::IN_MODIFY) {
        Kind::Writing
    } else {
        Kind::Done
    };
    let files = affected.into_iter().flatten();
    files.map(|file| (file.clone(), kind)).collect()
}
