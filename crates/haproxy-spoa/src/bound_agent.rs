//! Putting an agent together once it has its addresses: mailboxes, listeners, threads.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use core_affinity::CoreId;
use mio::{Poll, Waker};
use slab::Slab;

use super::builder::Builder;
use super::context::WorkerContext;
use super::listener::{Bound, Listener};
use super::mailbox::Mailbox;
#[cfg(feature = "tls")]
use super::mailbox::Renewed;
use super::placement::Placement;
use super::sources::Sources;
use super::takeover::{HandoverService, SharedAddress};
use super::worker::{WAKER, Worker};
use super::{Agent, BindAddress, Control, Exit, Replies, StartError, WorkerError};
use crate::handler::Plain;
use crate::mailbox::Mail;
use crate::reply::Sink;
use crate::{Handler, WorkerHooks};

#[cfg(feature = "trace")]
use super::trace::Trace;

/// An agent that has its addresses, and no thread yet: the moment to give up rights that nothing but
/// taking an address needs.
pub struct BoundAgent {
    pub(super) builder: Builder,
    pub(super) workers: usize,
    pub(super) cores: Vec<CoreId>,
    pub(super) connections_max: usize,
    pub(super) bound: Vec<Bound>,
    pub(super) exposed: Vec<BindAddress>,
    #[cfg(feature = "tls")]
    pub(super) renewed: Renewed,
}

impl core::fmt::Debug for BoundAgent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BoundAgent")
            .field("builder", &self.builder)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl BoundAgent {
    /// The addresses, with the ports that the kernel gave.
    pub fn addresses(&self) -> impl Iterator<Item = &BindAddress> {
        self.bound.iter().map(|bound| &bound.address)
    }

    /// Starts the workers. `handler` makes each worker's own handler, given the worker's number.
    ///
    /// # Errors
    /// What was started by then is told to stop.
    pub fn spawn<H>(self, mut handler: impl FnMut(usize) -> H) -> Result<Agent, StartError>
    where
        H: Handler + Send + 'static,
    {
        self.spawn_with_hooks(|worker| Plain(handler(worker)))
    }

    /// As [`spawn`](Self::spawn), with handlers that have hooks.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with_hooks<H>(
        self,
        mut handler: impl FnMut(usize) -> H,
    ) -> Result<Agent, StartError>
    where
        H: Handler + WorkerHooks + Send + 'static,
    {
        let Self {
            builder,
            workers: count,
            cores,
            connections_max,
            mut bound,
            exposed,
            #[cfg(feature = "tls")]
            renewed,
        } = self;
        let publications: Vec<_> = bound
            .iter_mut()
            .filter_map(|bound| bound.publication.take())
            .collect();
        let shared: Arc<[_]> = bound
            .iter()
            .map(|bound| Arc::clone(&bound.shared))
            .collect();
        let addresses = bound.iter().map(|bound| bound.address.clone()).collect();
        let taken_over = bound.iter().filter(|bound| bound.is_taken_over);
        let taken_over = taken_over.map(|bound| bound.address.clone()).collect();

        let placement = Arc::new(Placement::new(count, connections_max));
        let sources = Sources::new(builder.limits.connections_per_source);
        let (polls, workers, mails) = mailboxes(count).map_err(StartError::Worker)?;
        let workers: Arc<[Mailbox]> = workers.into();
        let (exit, exits) = mpsc::channel();
        let mut listeners = deal(bound, count).into_iter();
        let control = Control {
            workers: Arc::clone(&workers),
            placement: Arc::clone(&placement),
            drain_timeout: builder.limits.drain_timeout,
            drain_grace: builder.limits.drain_grace,
            shared: Arc::clone(&shared),
            handover: Arc::default(),
            #[cfg(feature = "tls")]
            tls: builder.binds.iter().map(|bind| bind.tls.clone()).collect(),
        };
        let mut pinned = Vec::with_capacity(count);
        for ((number, poll), mail) in polls.into_iter().enumerate().zip(mails) {
            let core = cores.get(number % cores.len().max(1)).copied();
            pinned.push(core.map(|core| core.id));
            #[cfg_attr(
                not(any(feature = "trace", feature = "tls")),
                expect(unused_mut, reason = "only features set a field")
            )]
            let mut context = {
                let limits = builder.limits.clone();
                let mailbox = workers.get(number).cloned();
                let replies = Replies::new(&limits, builder.filler.clone(), sink(mailbox));
                WorkerContext::new(handler(number), replies, limits)
            };
            #[cfg(feature = "tls")]
            if renewed.iter().any(Option::is_some) {
                context.expect_tls();
            }
            #[cfg(feature = "trace")]
            {
                context.trace = builder.trace.clone().map(|sink| Trace::new(number, sink));
            }
            let worker = Worker {
                number,
                core: core.map(|core| core.id),
                poll,
                mail,
                placement: Arc::clone(&placement),
                sources: Arc::clone(&sources),
                workers: Arc::clone(&workers),
                listeners: listeners.next().unwrap_or_default(),
                connections: Slab::new(),
                context,
                pending: VecDeque::new(),
                serial: 0,
                listeners_closed: false,
                has_mail: false,
                answers: Vec::new(),
                overdue: None,
            };
            if let Err(error) = start(worker, core, exit.clone()) {
                control.drain();
                return Err(error);
            }
        }
        for publication in publications {
            publication.publish().inspect_err(|_| control.drain())?;
        }
        offer(&builder, &shared, &control).inspect_err(|_| control.drain())?;
        Ok(Agent {
            control,
            exits,
            addresses,
            taken_over,
            exposed,
            cores: pinned,
            connections_max,
        })
    }
}

/// Offers the sockets to the next process, and reports to the previous one that they are served here.
fn offer(
    builder: &Builder,
    shared: &[Arc<SharedAddress>],
    control: &Control,
) -> Result<(), StartError> {
    let events = builder.takeover_events.clone();
    let events = events.unwrap_or_else(|| Arc::new(|_| {}));
    let service = HandoverService::start(shared.to_vec(), events).map_err(StartError::Worker)?;
    control.set_handover(service);
    for shared in shared {
        shared.serve();
    }
    Ok(())
}

/// A poll, a mailbox and its other end for each worker.
type Mailboxes = (Vec<Poll>, Vec<Mailbox>, Vec<Receiver<Mail>>);

fn mailboxes(count: usize) -> io::Result<Mailboxes> {
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

/// The way of a deferred answer to a worker.
fn sink(mailbox: Option<Mailbox>) -> Sink {
    Arc::new(move |answer| {
        if let Some(mailbox) = &mailbox {
            // A worker that has stopped has no connection any more.
            let _ = mailbox.send(Mail::Answer(answer));
        }
    })
}

/// Gives each worker its listeners, all in turn: one of every TCP address that was bound for them, each
/// UNIX socket to one of them, and those that were taken over as they come. A worker may get several or
/// none; placement gives it its connections.
fn deal(bound: Vec<Bound>, workers: usize) -> Vec<Vec<Listener>> {
    let mut hands: Vec<Vec<Listener>> = (0..workers).map(|_| Vec::new()).collect();
    let listeners = bound.into_iter().flat_map(|bound| bound.listeners);
    for (number, listener) in listeners.enumerate() {
        if let Some(hand) = hands.get_mut(number % workers.max(1)) {
            hand.push(listener);
        }
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
    H: Handler + WorkerHooks + Send + 'static,
{
    let number = worker.number;
    let (ready, started) = mpsc::channel();
    let run = move || {
        let mut alarm = ExitGuard {
            number,
            exit,
            error: None,
        };
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
        if !failed {
            alarm.error = worker.run().err();
        }
    };
    let spawned = thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(run);
    spawned.map_err(StartError::Worker)?;
    let gone = || StartError::Worker(io::Error::other("its thread ended at once"));
    started.recv().map_err(|_| gone())?
}

/// Says how a worker's thread ended, whichever way it ends.
struct ExitGuard {
    number: usize,
    exit: Sender<Exit>,
    /// The error that ended the worker.
    error: Option<io::Error>,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        let worker = self.number;
        let exit = match self.error.take() {
            _ if thread::panicking() => Exit::Failed(WorkerError::Panicked { worker }),
            Some(error) => Exit::Failed(WorkerError::Poll { worker, error }),
            None => Exit::Done,
        };
        // The caller may not wait for the agent any more.
        let _ = self.exit.send(exit);
    }
}
