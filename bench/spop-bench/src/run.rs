//! One run: load threads, phases, and the agent's process before and after.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Poll, Waker};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::control::{Control, Notice, Phase};
use crate::load::{LoadThread, WAKER};
use crate::meter::Meter;
use crate::plan::{Bound, Load, Plan};
use crate::process::{Process, Usage};
use crate::units;

/// How often the main thread looks up, to say how it goes and to hear Ctrl-C.
const GLANCE: Duration = Duration::from_millis(200);

/// How long idle connections are left alone before memory is looked at, at least.
const SETTLE: Duration = Duration::from_millis(500);

/// What a run has shown.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) meter: Meter,
    /// The measured interval.
    pub(crate) elapsed: Duration,
    pub(crate) agent: Option<Usage>,
    pub(crate) own: Usage,
    /// The agent's memory before the connections were opened, in bytes.
    pub(crate) resident_before: Option<u64>,
    /// Connections that were open when measuring ended.
    pub(crate) open: u64,
    /// Whether it ended before its time.
    pub(crate) cut_short: bool,
}

impl Outcome {
    /// Whether the agent did everything right.
    pub(crate) fn is_clean(&self) -> bool {
        self.meter.tally.total() == 0 && !self.cut_short
    }
}

/// Runs a plan to its end.
pub(crate) fn run(plan: &Plan) -> Result<Outcome, String> {
    allow_descriptors();
    let interrupted = Arc::new(AtomicBool::new(false));
    hear_interrupts(&interrupted).map_err(|error| format!("signals: {error}"))?;
    let resident_before = agent_usage(plan)?.map(|usage| usage.resident);
    let (control, polls) = prepare(plan).map_err(|error| format!("epoll: {error}"))?;
    let (sender, notices) = channel();
    let mut loads = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        loads.push(LoadThread::new(
            plan,
            &control,
            sender.clone(),
            index,
            poll,
        )?);
    }
    drop(sender);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, load) in loads.into_iter().enumerate() {
            threads.push(scope.spawn(move || {
                pin(plan, index);
                load.run()
            }));
        }
        let lead = Lead {
            plan,
            control: &control,
            notices,
            interrupted: &interrupted,
        };
        let conducted = lead.conduct();
        // Whatever happened, the threads must be told to end.
        let told = control.enter(Phase::Draining);
        let mut meter = Meter::new()?;
        for thread in threads {
            meter.merge(thread.join().map_err(|_| "a load thread panicked")??)?;
        }
        told.map_err(|error| format!("waking a load thread: {error}"))?;
        let Conducted {
            elapsed,
            agent,
            own,
            open,
            cut_short,
        } = conducted?;
        Ok(Outcome {
            meter,
            elapsed,
            agent,
            own,
            resident_before,
            open,
            cut_short,
        })
    })
}

fn prepare(plan: &Plan) -> std::io::Result<(Control, Vec<Poll>)> {
    let polls: Vec<_> = (0..plan.threads)
        .map(|_| Poll::new())
        .collect::<Result<_, _>>()?;
    let wakers = polls.iter().map(|poll| Waker::new(poll.registry(), WAKER));
    let control = Control::new(wakers.collect::<Result<_, _>>()?);
    Ok((control, polls))
}

fn pin(plan: &Plan, index: usize) {
    if let Some(cores) = &plan.cores
        && let Some(&id) = cores.get(index % cores.len())
        && !core_affinity::set_for_current(core_affinity::CoreId { id })
    {
        eprintln!("spop-bench: core {id} is not to be had; thread {index} is not pinned");
    }
}

/// A connection is a descriptor: take as many as we may.
fn allow_descriptors() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        // If it fails, the connects that fail say so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The first Ctrl-C ends the run and reports it; the second ends the program.
fn hear_interrupts(interrupted: &Arc<AtomicBool>) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(interrupted))?;
        signal_hook::flag::register(signal, Arc::clone(interrupted))?;
    }
    Ok(())
}

fn agent_usage(plan: &Plan) -> Result<Option<Usage>, String> {
    let usage = |pid| {
        let usage = Process::new(pid).usage();
        usage.map_err(|error| format!("--pid {pid}: {error}"))
    };
    plan.pid.map(usage).transpose()
}

fn own_usage() -> Result<Usage, String> {
    Process::own()
        .usage()
        .map_err(|error| format!("/proc: {error}"))
}

/// The main thread's part while the load runs.
struct Lead<'a> {
    plan: &'a Plan,
    control: &'a Control,
    notices: Receiver<Notice>,
    interrupted: &'a AtomicBool,
}

struct Conducted {
    elapsed: Duration,
    agent: Option<Usage>,
    own: Usage,
    open: u64,
    cut_short: bool,
}

impl Lead<'_> {
    fn conduct(&self) -> Result<Conducted, String> {
        let mut complete = self.until_all(Notice::Opened, "opening");
        if complete && !self.plan.warmup.is_zero() {
            self.enter(Phase::WarmingUp)?;
            complete = self.wait(self.plan.warmup, "warming up");
        }
        if complete && self.plan.load == Load::Idle {
            complete = self.wait(SETTLE, "settling");
        }
        let (agent, own) = (agent_usage(self.plan)?, own_usage()?);
        let begin = Instant::now();
        if complete {
            self.enter(Phase::Measuring)?;
            complete = match self.plan.bound {
                Bound::Duration(duration) => self.wait(duration, "measuring"),
                Bound::Count(_) => self.until_all(Notice::Done, "measuring"),
            };
        }
        let elapsed = begin.elapsed();
        let own = own_usage()?.since(&own);
        // An agent that is gone by now has been counted as such by the load threads.
        let agent = agent.and_then(|before| {
            let after = agent_usage(self.plan).ok().flatten()?;
            Some(after.since(&before))
        });
        let open = self.control.sum(|gauge| &gauge.open);
        self.clear_progress();
        Ok(Conducted {
            elapsed,
            agent,
            own,
            open,
            cut_short: !complete,
        })
    }

    fn enter(&self, phase: Phase) -> Result<(), String> {
        let entered = self.control.enter(phase);
        entered.map_err(|error| format!("waking a load thread: {error}"))
    }

    /// Waits until every thread has given this notice. False if one gave up, or on Ctrl-C.
    fn until_all(&self, notice: Notice, what: &str) -> bool {
        let begin = Instant::now();
        let mut left = self.plan.threads;
        while left > 0 {
            match self.notices.recv_timeout(GLANCE) {
                Ok(received) if received == notice => left -= 1,
                Ok(Notice::GaveUp) | Err(RecvTimeoutError::Disconnected) => return false,
                Ok(_) | Err(RecvTimeoutError::Timeout) => self.progress(what, begin),
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return false;
            }
        }
        true
    }

    /// Waits for a time. False if a thread gave up meanwhile, or on Ctrl-C.
    fn wait(&self, duration: Duration, what: &str) -> bool {
        let begin = Instant::now();
        loop {
            let left = duration.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return true;
            }
            match self.notices.recv_timeout(left.min(GLANCE)) {
                Ok(Notice::GaveUp) | Err(RecvTimeoutError::Disconnected) => return false,
                _ => self.progress(what, begin),
            }
            if self.interrupted.load(Ordering::Relaxed) {
                return false;
            }
        }
    }

    /// A line on a terminal, and nothing elsewhere.
    fn progress(&self, what: &str, begin: Instant) {
        if std::io::stderr().is_terminal() {
            let answered = self.control.sum(|gauge| &gauge.answered);
            let seconds = begin.elapsed().as_secs_f64();
            eprint!(
                "\r\x1b[K{what} {seconds:.1} s: {} connections, {} answered, {} wrong",
                units::thousands(self.control.sum(|gauge| &gauge.open)),
                units::thousands(answered),
                units::thousands(self.control.sum(|gauge| &gauge.wrong)),
            );
        }
    }

    fn clear_progress(&self) {
        if std::io::stderr().is_terminal() && self.plan.threads > 0 {
            eprint!("\r\x1b[K");
        }
    }
}
