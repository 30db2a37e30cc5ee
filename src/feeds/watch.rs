//! Sees that files change: by watching folders, since a file that is renamed into place is another one.
//!
//! ```text
//!  /etc/lists/bad.txt ──▶ ..data/bad.txt ──▶ ..2026_11_21/bad.txt      as Kubernetes mounts it
//!  watched: "lists" in /etc, "bad.txt" and "..data" in /etc/lists, …   every name on the way
//! ```
//!
//! In scope: when it is time to look again. Out of scope: what has changed; whoever is told compares.

mod settle;
mod trail;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tracing::{info, warn};

use settle::{Kind, Settle};
use trail::trail;

/// The names that matter in each folder that is watched.
type Names = HashMap<WatchDescriptor, HashSet<OsString>>;

/// Watches files until the process ends.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Arc<Inotify>,
    names: Arc<Mutex<Names>>,
    /// Whether the kernel had no room for all of them.
    is_short: bool,
}

impl Watch {
    /// Starts watching nothing. `touched` is called, on a thread of its own, when something about the
    /// files has changed and nobody is writing to them any more.
    ///
    /// # Errors
    /// If the kernel has no more room for watches or threads.
    pub(super) fn start(touched: impl Fn() + Send + 'static) -> io::Result<Self> {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Arc::new(Inotify::init(flags)?);
        let names = Arc::<Mutex<Names>>::default();
        let (events, wanted) = (Arc::clone(&inotify), Arc::clone(&names));
        thread::Builder::new()
            .name("watch".into())
            .spawn(move || look(&events, &wanted, &touched))?;
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
        let mut wanted: HashMap<PathBuf, HashSet<OsString>> = HashMap::new();
        for (folder, name) in files.into_iter().flat_map(|file| trail(file)) {
            wanted.entry(folder).or_default().insert(name);
        }
        let old = core::mem::take(&mut *names);
        for (folder, wanted) in wanted {
            match self.inotify.add_watch(&folder, EVENTS) {
                Ok(watch) => names.entry(watch).or_default().extend(wanted),
                Err(error) => is_short |= matches!(error, Errno::ENOSPC | Errno::ENOMEM),
            }
        }
        for gone in old.into_keys().filter(|watch| !names.contains_key(watch)) {
            // Its folder may be gone, and the watch with it.
            let _ = self.inotify.rm_watch(gone);
        }
        match (core::mem::replace(&mut self.is_short, is_short), is_short) {
            (false, true) => warn!(
                "files cannot be watched (no more inotify watches; raise fs.inotify.max_user_watches); \
                 SIGHUP and intervals still work"
            ),
            (true, false) => info!("files are watched again"),
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
fn look(inotify: &Inotify, names: &Mutex<Names>, touched: &impl Fn()) {
    let mut settle = Settle::default();
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
            // Nothing that this thread could mend; SIGHUP and intervals are left.
            Err(_) => return,
        }
        for event in inotify.read_events().unwrap_or_default() {
            if let Some(kind) = relevant(&event, names) {
                settle.note((event.wd, event.name), kind, Instant::now());
            }
        }
        if settle.due().is_some_and(|due| due <= Instant::now()) {
            settle = Settle::default();
            touched();
        }
    }
}

/// What an event means, if it is about a file that matters.
fn relevant(event: &InotifyEvent, names: &Mutex<Names>) -> Option<Kind> {
    if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
        return Some(Kind::Done);
    }
    let names = names.lock().ok()?;
    let name = event.name.as_ref()?;
    names.get(&event.wd)?.contains(name).then(|| {
        if event.mask.contains(AddWatchFlags::IN_MODIFY) {
            Kind::Writing
        } else {
            Kind::Done
        }
    })
}
