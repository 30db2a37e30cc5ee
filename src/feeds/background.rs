//! Work that makes way: lists are read, tables built and old ones freed by a thread with the kernel's idle
//! policy. It leaves its core as soon as a worker wakes up, where one that is merely nice may finish a slice
//! of milliseconds first.
//!
//! While every core is busy such a thread gets next to nothing, and it may not become a better one. Whoever
//! waits for it therefore looks whether it gets on, and does the work himself if it does not: a list
//! comes into force on a machine without a moment to spare, too.

use core::fmt;
use core::time::Duration;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;

use rustix::process::nice;
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};
use tracing::debug;

/// How much the thread steps back if the kernel does not let it make way.
const NICENESS: i32 = 19;
/// How long the thread is left alone.
const LOOK: Duration = Duration::from_secs(1);
/// It gets on if it has had this share of a core: one in so many. One that waits for a disk has not,
/// either, and the list is read twice.
const SHARE: u32 = 5;

type Job = Box<dyn FnOnce() + Send>;

/// The thread, for one who waits for it. Without it he does everything himself.
#[derive(Debug, Default)]
pub(super) struct BackgroundExecutor(Option<Helper>);

struct Helper {
    jobs: Sender<Job>,
    /// Shared with each job that is not over.
    open: Arc<()>,
    /// Where the kernel says how long the thread has run.
    clock: PathBuf,
}

impl fmt::Debug for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helper")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl BackgroundExecutor {
    /// Starts the thread, which ends with this. If there is none to be had, all goes on without.
    pub(super) fn start() -> Self {
        let (jobs, taken) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let work = move || {
            // While nobody keeps it from running.
            let _ = tell.send(clock());
            make_way();
            for job in taken {
                // Whoever waits for it meets the same.
                let _ = panic::catch_unwind(AssertUnwindSafe(job));
            }
        };
        let spawned = thread::Builder::new().name("tables".into()).spawn(work);
        Self(spawned.ok().and_then(|_| {
            Some(Helper {
                jobs,
                open: Arc::default(),
                clock: told.recv().ok()?,
            })
        }))
    }

    /// What comes of the work. It may be done twice, and then counts once.
    pub(super) fn run<T: Send + 'static>(&self, work: impl Fn() -> T + Send + Sync + 'static) -> T {
        let work = Arc::new(work);
        // What is not begun by the time that it is given up is never done.
        let theirs = Arc::downgrade(&work);
        let job = move || theirs.upgrade().map(|work| work());
        self.hand(job).flatten().unwrap_or_else(|| work())
    }

    /// Lets go of what may take a while to free.
    pub(super) fn free<T: Send + 'static>(&self, waste: T) {
        self.hand(move || drop(waste));
    }

    /// Has the thread do it, for as long as it gets on.
    fn hand<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let helper = self.0.as_ref()?;
        if Arc::strong_count(&helper.open) > 1 {
            // It still has what was given up.
            return None;
        }
        let open = Arc::clone(&helper.open);
        let (sender, done) = mpsc::channel();
        let job = move || {
            let came = job();
            drop(open);
            // Nobody may wait any more.
            let _ = sender.send(came);
        };
        helper.jobs.send(Box::new(job)).ok()?;
        helper.wait(&done)
    }
}

impl Helper {
    fn wait<T>(&self, done: &Receiver<T>) -> Option<T> {
        let mut before = self.ran();
        loop {
            match done.recv_timeout(LOOK) {
                Ok(came) => return Some(came),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let ran = self.ran();
            if ran.saturating_sub(before) < LOOK / SHARE {
                debug!("background thread starved");
                return None;
            }
            before = ran;
        }
    }

    /// How long the thread has run; nothing if the kernel does not tell.
    fn ran(&self) -> Duration {
        let text = fs::read_to_string(&self.clock).unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|it| it.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// Where the kernel says how long this thread has run.
fn clock() -> PathBuf {
    let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
    Path::new("/proc").join(thread).join("schedstat")
}

/// Steps back behind every other thread, or as far as it is allowed to.
fn make_way() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle).is_err() {
        let _ = nice(NICENESS);
    }
}

#[cfg(test)]
mod tests;
