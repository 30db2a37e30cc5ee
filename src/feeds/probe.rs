//! Opens files beside each other, each with a deadline: one on a network file system that hangs holds up
//! neither the others nor the thread that waits.
//!
//! ```text
//!  control thread ──▶ jobs ──▶ up to 8 threads: stat, open, first byte ──▶ results
//!                                   └─ hangs: left behind, its file is reported, others go on
//! ```
//!
//! A thread in a system call that hangs cannot be ended. Its file is not opened again until it returns.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::source::{File, SourceError, Stamp};

/// How long a file system may take to open a file and to give its first byte.
pub(super) const TIMEOUT: Duration = Duration::from_secs(2);
/// Files that are opened at the same time.
const THREADS_MAX: usize = 8;

/// Files whose threads have not returned.
static HUNG: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);

/// A file to be opened.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    pub(super) path: PathBuf,
    pub(super) max_size: u64,
    /// What the file looked like when it was last read: if it still does, it is left alone.
    pub(super) known: Option<Stamp>,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Probed {
    /// It looks as it did.
    Unchanged,
    /// It is open.
    Open(File),
    /// It is not, and what stands at its path.
    Failed(SourceError, Option<Stamp>),
}

/// Opens one file.
///
/// # Errors
/// As [`File::open`], and if that hangs.
pub(super) fn open(path: &Path, max_size: u64) -> Result<File, SourceError> {
    let probe = Probe {
        path: path.to_owned(),
        max_size,
        known: None,
    };
    match open_all(&[probe]).pop() {
        Some(Probed::Open(file)) => Ok(file),
        Some(Probed::Failed(error, _)) => Err(error),
        Some(Probed::Unchanged) | None => Err(hung(path)),
    }
}

/// Opens files; the results are in the order of the probes.
pub(super) fn open_all(probes: &[Probe]) -> Vec<Probed> {
    run_all(probes, TIMEOUT, probe)
}

fn hung(path: &Path) -> SourceError {
    SourceError::Hung {
        path: path.to_owned(),
        timeout: TIMEOUT,
    }
}

fn probe(probe: &Probe) -> Probed {
    let stamp = Stamp::at(&probe.path);
    if stamp.is_some() && stamp == probe.known {
        return Probed::Unchanged;
    }
    let opened = File::open(&probe.path, probe.max_size);
    match opened.and_then(|file| file.touch().map(|()| file)) {
        Ok(file) => Probed::Open(file),
        Err(error) => Probed::Failed(error, stamp),
    }
}

/// A job that runs: what it is about, when it began, and whether its thread has returned.
type Begun = (usize, Instant, Arc<AtomicBool>);

fn run_all(
    probes: &[Probe],
    timeout: Duration,
    work: impl Fn(&Probe) -> Probed + Clone + Send + 'static,
) -> Vec<Probed> {
    let mut results: Vec<Option<Probed>> = probes.iter().map(|_| None).collect();
    let is_hung = |probe: &Probe| {
        let hung = HUNG.lock().unwrap_or_else(PoisonError::into_inner);
        hung.contains(&probe.path)
    };
    let mut waiting: VecDeque<(usize, Probe)> = probes.iter().cloned().enumerate().collect();
    let (sender, done) = mpsc::channel();
    let mut begun: Vec<Begun> = Vec::new();
    loop {
        while begun.len() < THREADS_MAX
            && let Some((index, probe)) = waiting.pop_front()
        {
            if is_hung(&probe) {
                set(&mut results, index, failed_by(&probe.path));
            } else if let Some(has_returned) = start(index, &probe, &work, &sender) {
                begun.push((index, Instant::now(), has_returned));
            } else {
                // No thread to be had: better late than never.
                set(&mut results, index, work(&probe));
            }
        }
        let Some((_, first, _)) = begun.first() else {
            break;
        };
        let left = (*first + timeout).saturating_duration_since(Instant::now());
        match done.recv_timeout(left) {
            Ok((index, result)) => {
                begun.retain(|(other, ..)| *other != index);
                set(&mut results, index, result);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let (index, _, has_returned) = begun.remove(0);
                let Some(probe) = probes.get(index) else {
                    continue;
                };
                leave_behind(&probe.path, &has_returned);
                set(&mut results, index, failed_by(&probe.path));
            }
        }
    }
    let results = results.into_iter().zip(probes);
    results
        .map(|(probed, probe)| probed.unwrap_or_else(|| failed_by(&probe.path)))
        .collect()
}

fn failed_by(path: &Path) -> Probed {
    Probed::Failed(hung(path), None)
}

fn set(results: &mut [Option<Probed>], index: usize, probed: Probed) {
    if let Some(result @ None) = results.get_mut(index) {
        *result = Some(probed);
    }
}

/// Starts a thread, if there is one to be had.
fn start(
    index: usize,
    probe: &Probe,
    work: &(impl Fn(&Probe) -> Probed + Clone + Send + 'static),
    sender: &Sender<(usize, Probed)>,
) -> Option<Arc<AtomicBool>> {
    let (probe, work, sender) = (probe.clone(), work.clone(), sender.clone());
    let has_returned = Arc::new(AtomicBool::new(false));
    let returned = Arc::clone(&has_returned);
    let run = move || {
        let probed = work(&probe);
        let mut hung = HUNG.lock().unwrap_or_else(PoisonError::into_inner);
        returned.store(true, Ordering::Relaxed);
        hung.remove(&probe.path);
        drop(hung);
        // The receiver is gone if it took too long.
        let _ = sender.send((index, probed));
    };
    let spawned = thread::Builder::new().name("open".into()).spawn(run);
    spawned.ok().map(|_| has_returned)
}

/// Notes that a file is not to be opened again before its thread has returned.
fn leave_behind(path: &Path, has_returned: &AtomicBool) {
    let mut hung = HUNG.lock().unwrap_or_else(PoisonError::into_inner);
    if !has_returned.load(Ordering::Relaxed) {
        hung.insert(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn named(path: &str) -> Probe {
        Probe {
            path: path.into(),
            max_size: 10,
            known: None,
        }
    }

    #[test]
    fn one_that_hangs_is_left_behind_until_it_returns() {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let work = move |probe: &Probe| {
            if probe.path.ends_with("hangs") {
                let _ = released.lock().unwrap().recv();
            }
            Probed::Unchanged
        };
        let timeout = Duration::from_millis(50);
        let many = (0..20).map(|number| named(&format!("/probe/{number}")));
        let probes: Vec<_> = [named("/probe/hangs")].into_iter().chain(many).collect();
        let results = run_all(&probes, timeout, work.clone());
        let Probed::Failed(error, None) = &results[0] else {
            panic!("{results:?}");
        };
        assert_eq!(
            error.to_string(),
            "/probe/hangs: its file system has not opened it within 2s; it is tried again"
        );
        assert!(error.may_pass());
        let others = &results[1..];
        assert!(others.iter().all(|it| matches!(it, Probed::Unchanged)));
        // It is not tried by a second thread.
        let again = run_all(&[named("/probe/hangs")], timeout, |_| Probed::Unchanged);
        assert!(matches!(again[0], Probed::Failed(..)));
        drop(release);
        let start = Instant::now();
        while !matches!(
            run_all(&[named("/probe/hangs")], timeout, |_| Probed::Unchanged)[0],
            Probed::Unchanged
        ) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it never returns"
            );
            thread::yield_now();
        }
    }

    #[test]
    fn files_are_opened_unless_they_look_as_they_did() {
        let path = std::env::temp_dir().join(format!("spoa-probe-{}", std::process::id()));
        fs::write(&path, "x").unwrap();
        let file = open(&path, 10).unwrap();
        let known = Probe {
            path: path.clone(),
            max_size: 10,
            known: Some(file.stamp()),
        };
        let twice = || named(path.to_str().unwrap());
        let both = open_all(&[twice(), twice()]);
        assert!(
            both.iter().all(|it| matches!(it, Probed::Open(_))),
            "{both:?}"
        );
        let results = open_all(&[known, named("/probe/none"), named("/")]);
        fs::remove_file(&path).unwrap();
        assert!(matches!(results[0], Probed::Unchanged), "{results:?}");
        assert!(matches!(
            &results[1],
            Probed::Failed(SourceError::Io { .. }, None)
        ));
        assert!(matches!(
            &results[2],
            Probed::Failed(SourceError::NotAFile { .. }, Some(_))
        ));
    }
}
