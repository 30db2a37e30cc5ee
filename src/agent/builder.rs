//! Putting an agent together: addresses, cores, threads.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use core_affinity::CoreId;
use mio::{Poll, Waker};
use slab::Slab;

#[cfg(feature = "tls")]
use super::TlsFiles;
use super::desk::Desk;
use super::limits::connections_possible;
use super::listener::{self, Bound, Door, Listener};
use super::mailbox::Mailbox;
#[cfg(feature = "tls")]
use super::mailbox::Renewed;
use super::placement::Placement;
use super::worker::{WAKER, Worker};
use super::{Agent, Bind, BindAddress, Control, Exit, Limits, StartError};
use crate::Handler;

#[cfg(feature = "trace")]
use super::trace::{Trace, TraceSink};

/// What an agent is to be.
#[derive(Default)]
pub struct Builder {
    binds: Vec<Bind>,
    workers: Option<usize>,
    cores: Option<Vec<usize>>,
    limits: Limits,
    takeover: bool,
    #[cfg(feature = "trace")]
    trace: Option<TraceSink>,
}

impl core::fmt::Debug for Builder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder")
            .field("binds", &self.binds)
            .field("workers", &self.workers)
            .field("cores", &self.cores)
            .field("limits", &self.limits)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}

/// The cores that this process may use, as the operating system numbers them.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().map(|core| core.id).collect()
}

impl Builder {
    /// Adds an address to listen on. SPOP has no authentication: whoever reaches an address may ask.
    #[must_use]
    pub fn bind(self, address: BindAddress) -> Self {
        self.bind_with(address.into())
    }

    /// Adds an address to listen on, and says who may come in by it.
    #[must_use]
    pub fn bind_with(mut self, bind: Bind) -> Self {
        self.binds.push(bind);
        self
    }

    /// The number of workers, one thread each. Default 1.
    #[must_use]
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The cores to pin workers to, in turn; those that the process may not use are passed over.
    /// Default: all that it may use.
    #[must_use]
    pub fn cores(mut self, cores: Vec<usize>) -> Self {
        self.cores = Some(cores);
        self
    }

    /// The limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Shares the addresses with a process that has them, until that one is told to stop. Without
    /// it an address that is in use is an error.
    #[must_use]
    pub const fn takeover(mut self, takeover: bool) -> Self {
        self.takeover = takeover;
        self
    }

    /// A line for every frame and connection goes to `sink`, on the workers' threads.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(mut self, sink: TraceSink) -> Self {
        self.trace = Some(sink);
        self
    }

    /// Takes the addresses and starts the workers. `handler` makes each worker's own handler, given
    /// the worker's number.
    ///
    /// # Errors
    /// What was started by then is told to stop; another process that has an address keeps it.
    pub fn spawn<H>(self, mut handler: impl FnMut(usize) -> H) -> Result<Agent, StartError>
    where
        H: Handler + Send + 'static,
    {
        let count = self.workers.unwrap_or(1);
        if count == 0 {
            return Err(StartError::NoWorkers);
        }
        if self.binds.is_empty() {
            return Err(StartError::NoAddress);
        }
        let cores = self.choose_cores()?;
        let connections_max = self.connections_max(count)?;
        // Before anything is taken: what is wrong with a certificate is seen without a trace.
        #[cfg(feature = "tls")]
        let renewed = self.load_tls()?;
        let mut bound = self.bind_all(count)?;
        #[cfg(feature = "tls")]
        furnish(&mut bound, &renewed);
        let exposed = self.exposed(&bound);
        let unpublished: Vec<_> = bound
            .iter_mut()
            .filter_map(|bound| bound.unpublished.take())
            .collect();
        let groups = bound
            .iter_mut()
            .filter_map(|bound| bound.group.take())
            .collect();
        let addresses = bound.iter().map(|bound| bound.address.clone()).collect();

        let placement = Arc::new(Placement::new(count, connections_max));
        let (polls, workers, mails) = mailboxes(count).map_err(StartError::Worker)?;
        let workers: Arc<[Mailbox]> = workers.into();
        let (exit, exits) = mpsc::channel();
        let mut listeners = deal(bound, count).into_iter();
        let control = Control {
            workers: Arc::clone(&workers),
            placement: Arc::clone(&placement),
            drain_timeout: self.limits.drain_timeout,
            groups: Arc::new(Mutex::new(groups)),
            #[cfg(feature = "tls")]
            tls: self.binds.iter().map(|bind| bind.tls.clone()).collect(),
        };
        let mut pinned = Vec::with_capacity(count);
        for ((number, poll), mail) in polls.into_iter().enumerate().zip(mails) {
            let core = cores.get(number % cores.len().max(1)).copied();
            pinned.push(core.map(|core| core.id));
            #[cfg_attr(
                not(any(feature = "trace", feature = "tls")),
                expect(unused_mut, reason = "only features set a field")
            )]
            let mut desk = Desk::new(handler(number), self.limits.clone());
            #[cfg(feature = "tls")]
            if renewed.iter().any(Option::is_some) {
                desk.expect_tls();
            }
            #[cfg(feature = "trace")]
            {
                desk.trace = self.trace.clone().map(|sink| Trace::new(number, sink));
            }
            let worker = Worker {
                number,
                core: core.map(|core| core.id),
                poll,
                mail,
                placement: Arc::clone(&placement),
                workers: Arc::clone(&workers),
                listeners: listeners.next().unwrap_or_default(),
                connections: Slab::new(),
                desk,
                pending: VecDeque::new(),
                serial: 0,
                listeners_until: None,
            };
            if let Err(error) = start(worker, core, exit.clone()) {
                control.drain();
                return Err(error);
            }
        }
        for socket in unpublished {
            socket.publish().inspect_err(|_| control.drain())?;
        }
        Ok(Agent {
            control,
            exits,
            addresses,
            exposed,
            cores: pinned,
            connections_max,
        })
    }

    fn choose_cores(&self) -> Result<Vec<CoreId>, StartError> {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        let chosen: Vec<_> = match &self.cores {
            None => allowed,
            Some(wanted) => {
                let usable = |id: &usize| allowed.iter().find(|core| core.id == *id).copied();
                wanted.iter().filter_map(usable).collect()
            }
        };
        if chosen.is_empty() {
            Err(StartError::NoCores)
        } else {
            Ok(chosen)
        }
    }

    fn connections_max(&self, workers: usize) -> Result<usize, StartError> {
        let (possible, limit) = connections_possible(workers, self.binds.len());
        let wanted = self.limits.connections_max;
        if possible == 0 || wanted.is_some_and(|wanted| wanted > possible) {
            return Err(StartError::Descriptors {
                connections: wanted.unwrap_or(0),
                limit,
            });
        }
        Ok(wanted.unwrap_or(possible))
    }

    fn bind_all(&self, workers: usize) -> Result<Vec<Bound>, StartError> {
        let mode = self.limits.unix_mode;
        let mut all = Vec::with_capacity(self.binds.len());
        for bind in &self.binds {
            let mut bound = listener::bind(&bind.address, workers, self.takeover, mode)?;
            for listener in &mut bound.listeners {
                listener.door = Door::new(bind);
            }
            all.push(bound);
        }
        Ok(all)
    }

    /// The addresses by which any machine may come in.
    fn exposed(&self, bound: &[Bound]) -> Vec<BindAddress> {
        let binds = bound.iter().zip(&self.binds);
        let open = binds.filter(|(_, bind)| bind.is_open());
        open.map(|(bound, _)| bound.address.clone()).collect()
    }

    #[cfg(feature = "tls")]
    fn load_tls(&self) -> Result<Renewed, StartError> {
        let load = |bind: &Bind| bind.tls.as_ref().map(TlsFiles::load).transpose();
        let loaded: Result<_, _> = self.binds.iter().map(load).collect();
        loaded.map_err(StartError::Tls)
    }
}

/// Gives the listeners of binds with TLS what they need for it.
#[cfg(feature = "tls")]
fn furnish(bound: &mut [Bound], loaded: &Renewed) {
    for (number, (bound, tls)) in bound.iter_mut().zip(loaded.iter()).enumerate() {
        for listener in &mut bound.listeners {
            listener.door.bind = number;
            listener.door.tls.clone_from(tls);
        }
    }
}

/// A poll, a mailbox and its other end for each worker.
type Mailboxes = (Vec<Poll>, Vec<Mailbox>, Vec<Receiver<super::mailbox::Mail>>);

fn mailboxes(count: usize) -> std::io::Result<Mailboxes> {
    let (mut polls, mut workers, mut mails) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let (queue, mail) = mpsc::channel();
        workers.push(Mailbox::new(queue, Arc::new(waker)));
        polls.push(poll);
        mails.push(mail);
    }
    Ok((polls, workers, mails))
}

/// Gives each worker its listeners: one of every TCP address, and each UNIX socket to one of them.
fn deal(bound: Vec<Bound>, workers: usize) -> Vec<Vec<Listener>> {
    let mut hands: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut single = 0;
    for bound in bound {
        let alone = bound.listeners.len() == 1;
        for (number, listener) in bound.listeners.into_iter().enumerate() {
            let to = if alone {
                single % workers.max(1)
            } else {
                number
            };
            if let Some(hand) = hands.get_mut(to) {
                hand.push(listener);
            }
        }
        single += usize::from(alone);
    }
    hands
}

/// Starts a worker's thread and waits until it is pinned and listening.
fn start<H>(
    mut worker: Worker<H>,
    core: Option<CoreId>,
    exit: Sender<Exit>,
) -> Result<(), StartError>
where
    H: Handler + Send + 'static,
{
    let number = worker.number;
    let (ready, started) = mpsc::channel();
    let run = move || {
        let alarm = Alarm { number, exit };
        if let Some(core) = core
            && !core_affinity::set_for_current(core)
        {
            let _ = ready.send(Err(StartError::Pin {
                worker: number,
                core: core.id,
            }));
            return;
        }
        let registered = worker.register_listeners().map_err(StartError::Worker);
        let failed = registered.is_err();
        // The starter waits for it.
        let _ = ready.send(registered);
        if !failed && worker.run().is_err() {
            alarm.ring();
        }
    };
    let spawned = thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(run);
    spawned.map_err(StartError::Worker)?;
    let gone = || StartError::Worker(std::io::Error::other("its thread ended at once"));
    started.recv().map_err(|_| gone())?
}

/// Says how a worker's thread ended, whichever way it ends.
struct Alarm {
    number: usize,
    exit: Sender<Exit>,
}

impl Alarm {
    fn ring(&self) {
        // Whoever does not wait for the agent any more does not want to know.
        let _ = self.exit.send(Exit::Panicked(self.number));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if thread::panicking() {
            self.ring();
        } else {
            let _ = self.exit.send(Exit::Done);
        }
    }
}
