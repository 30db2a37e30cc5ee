//! The figures that every page, metric and answer is made of: taken at one moment, at most twenty times
//! a second however many ask.

use core::time::Duration;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use super::history::{History, Sample};
use super::process::{self, Process};
use super::{REPORT_PATIENCE, Subject};
use crate::feeds::status::Status;
use haproxy_spoa::{Report, WorkerReport};

/// How long figures are good enough for the next who asks. It bounds what anybody can cost the workers.
const KEPT: Duration = Duration::from_millis(50);
/// The time between two samples of the history.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// How long samples are taken after somebody has looked.
const WATCHED: Duration = Duration::from_mins(2);

/// How things are at one moment.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) taken: Instant,
    /// Seconds since 1970.
    pub(super) now: u32,
    pub(super) uptime: Duration,
    /// When the process started, in seconds since 1970.
    pub(super) started: f64,
    pub(super) subject: Subject,
    pub(super) report: Report,
    /// All workers put together; none if none answered.
    pub(super) all: Option<WorkerReport>,
    /// Of lists and reloads; none if nothing is read.
    pub(super) status: Option<Status>,
    pub(super) draining: bool,
    pub(super) process: Process,
}

/// Takes figures and keeps them for a moment.
#[derive(Debug)]
pub(super) struct Snapshotter {
    subject: Arc<OnceLock<Subject>>,
    started: Instant,
    started_at: SystemTime,
    book: Mutex<SnapshotCache>,
}

#[derive(Debug, Default)]
struct SnapshotCache {
    latest: Option<Arc<Figures>>,
    history: History,
    watched: Option<Instant>,
}

impl Snapshotter {
    pub(super) fn new(
        subject: Arc<OnceLock<Subject>>,
        started: Instant,
        started_at: SystemTime,
    ) -> Self {
        Self {
            subject,
            started,
            started_at,
            book: Mutex::default(),
        }
    }

    /// What there is to tell of, if the agent is up.
    pub(super) fn subject(&self) -> Option<&Subject> {
        self.subject.get()
    }

    /// The figures; none before the agent is up.
    pub(super) fn figures(&self) -> Option<Arc<Figures>> {
        let subject = self.subject.get()?;
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |it: &&Arc<Figures>| it.taken.elapsed() < KEPT;
        if let Some(latest) = book.latest.as_ref().filter(fresh) {
            return Some(Arc::clone(latest));
        }
        let figures = Arc::new(self.take(subject));
        book.latest = Some(Arc::clone(&figures));
        Some(figures)
    }

    /// What is known is out of date: something was done.
    pub(super) fn forget(&self) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.latest = None;
    }

    /// The figures and the last minutes, for somebody who looks and may go on looking.
    pub(super) fn watch(&self) -> Option<(Arc<Figures>, Vec<Sample>)> {
        let figures = self.figures()?;
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.watched = Some(Instant::now());
        if book.history.is_empty() {
            book.history.add(&figures);
        }
        Some((figures, book.history.samples()))
    }

    /// Takes a sample, if anybody has looked lately.
    pub(super) fn sample(&self) {
        let is_watched = {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.watched.is_some_and(|at| at.elapsed() < WATCHED)
        };
        if !is_watched {
            return;
        }
        let figures = self.figures();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(figures) = figures {
            book.history.add(&figures);
        }
    }

    fn take(&self, subject: &Subject) -> Figures {
        // It waits for the workers, and this thread's other clients with it: for microseconds, or in
        // the worst case for as long as the patience lasts.
        let report = subject.control.report(REPORT_PATIENCE);
        let engine = subject.engine.as_ref();
        Figures {
            taken: Instant::now(),
            now: crate::host::now(),
            uptime: self.started.elapsed(),
            started: process::seconds(self.started_at),
            all: together(&report),
            report,
            status: engine.map(|(remote, _)| remote.status()),
            draining: subject.control.is_draining(),
            process: Process::look(),
            subject: subject.clone(),
        }
    }
}

/// All workers as one.
fn together(report: &Report) -> Option<WorkerReport> {
    let (first, others) = report.workers.split_first()?;
    let mut all = first.clone();
    for worker in others {
        all.open += worker.open;
        all.states.connecting += worker.states.connecting;
        all.states.established += worker.states.established;
        all.states.leaving += worker.states.leaving;
        all.counters.add(&worker.counters);
        all.latency.add(&worker.latency);
        all.refusals.add(&worker.refusals);
        for tally in &worker.tallies {
            let same =
                |own: &&mut haproxy_spoa::Tally| own.kind == tally.kind && own.name == tally.name;
            match all.tallies.iter_mut().find(same) {
                Some(own) => own.count += tally.count,
                None => all.tallies.push(tally.clone()),
            }
        }
    }
    Some(all)
}
