//! What an agent is to be: its addresses, its cores, its limits.

use std::sync::Arc;

use core_affinity::CoreId;

#[cfg(feature = "tls")]
use super::TlsFiles;
use super::limits::connections_possible;
use super::listener::{self, AccessControl, Bound, Taking};
#[cfg(feature = "tls")]
use super::mailbox::Renewed;
use super::passed::PassedSocket;
use super::takeover::{EventSink, Purpose, TakeoverEvent};
use super::{Agent, Bind, BindAddress, BoundAgent, Error, Limits, Reply, StartError};
use crate::{Handler, WorkerHooks};
use haproxy_spop::{Notify, Scope, Variable};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

#[cfg(feature = "trace")]
use super::trace::TraceSink;

/// What an agent is to be.
#[derive(Default)]
pub struct Builder {
    pub(super) binds: Vec<Bind>,
    workers: Option<usize>,
    cores: Option<Vec<usize>>,
    pub(super) limits: Limits,
    takeover: bool,
    pub(super) takeover_events: Option<EventSink>,
    descriptors_spared: usize,
    passed: Vec<PassedSocket>,
    unix_owner: Option<(u32, u32)>,
    pub(super) filler: Option<Variable>,
    stops_on_signals: bool,
    #[cfg(feature = "trace")]
    pub(super) trace: Option<TraceSink>,
}

impl core::fmt::Debug for Builder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder")
            .field("binds", &self.binds)
            .field("workers", &self.workers)
            .field("cores", &self.cores)
            .field("limits", &self.limits)
            .field("takeover", &self.takeover)
            .field("descriptors_spared", &self.descriptors_spared)
            .field("passed", &self.passed)
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

    /// Has a process that listens on one of the addresses hand its sockets over. Both serve them until
    /// one is told to stop; nothing that is queued is lost. That process has to be an agent of this
    /// library, of the same user or of root. An address that no process has is bound. Without it an
    /// address that is in use is an error.
    #[must_use]
    pub const fn takeover(mut self, takeover: bool) -> Self {
        self.takeover = takeover;
        self
    }

    /// Reports what happens when other processes take the addresses over. It is called on a thread of
    /// its own.
    #[must_use]
    pub fn takeover_events(
        mut self,
        events: impl Fn(TakeoverEvent) + Send + Sync + 'static,
    ) -> Self {
        self.takeover_events = Some(Arc::new(events));
        self
    }

    /// Leaves room for this many more open files than the agent's own. Default 0.
    #[must_use]
    pub const fn spare_descriptors(mut self, descriptors: usize) -> Self {
        self.descriptors_spared = descriptors;
        self
    }

    /// Adds a socket that listens already. It stands for the address of [`bind`](Self::bind) that is
    /// the same; one that no such address names is listened on as well.
    #[must_use]
    pub fn socket(mut self, socket: PassedSocket) -> Self {
        self.passed.push(socket);
        self
    }

    /// Gives UNIX sockets to this user and group, as numbers. Default: those of the process.
    #[must_use]
    pub const fn unix_owner(mut self, user: u32, group: u32) -> Self {
        self.unix_owner = Some((user, group));
        self
    }

    /// Unsets this variable in every ACK that would have no action. `HAProxy` 3.1 and early 3.2 do not
    /// wake a stream for an ACK without actions: it waits for its whole processing timeout. Name a
    /// variable that no rule reads. Default: none.
    #[must_use]
    pub fn fill_empty_acks(mut self, scope: Scope, name: &str) -> Self {
        self.filler = Some(Variable::new(scope, name));
        self
    }

    /// Has [`run`](Self::run) drain and return on SIGTERM and SIGINT. Default: the signals keep their
    /// meaning.
    #[must_use]
    pub const fn stop_on_signals(mut self) -> Self {
        self.stops_on_signals = true;
        self
    }

    /// A line for every frame and connection goes to `sink`, on the workers' threads.
    #[cfg(feature = "trace")]
    #[must_use]
    pub fn trace(mut self, sink: TraceSink) -> Self {
        self.trace = Some(sink);
        self
    }

    /// Takes the addresses, answers with a copy of the handler in each worker, and returns when the
    /// agent has stopped: see [`stop_on_signals`](Self::stop_on_signals).
    ///
    /// ```no_run
    /// use haproxy_spoa::{Agent, Error, Scope};
    ///
    /// fn main() -> Result<(), Error> {
    ///     Agent::bind("127.0.0.1:9000")?.stop_on_signals().run(|notify, mut reply| {
    ///         for message in notify.messages() {
    ///             if let Some(ip) = message.ip("ip") {
    ///                 reply.set_var(Scope::Session, "is_local", ip.is_loopback());
    ///             }
    ///         }
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// If the agent does not start, or when a worker panics.
    pub fn run<F>(self, handler: F) -> Result<(), Error>
    where
        F: FnMut(&Notify<'_>, Reply<'_>) + Clone + Send + 'static,
    {
        // Before the addresses are taken: a signal that comes meanwhile is not lost.
        let signals = if self.stops_on_signals {
            Some(Signals::new([SIGTERM, SIGINT]).map_err(Error::Signals)?)
        } else {
            None
        };
        let agent = self.spawn(|_worker| handler.clone())?;
        let Some(mut signals) = signals else {
            return Ok(agent.join()?);
        };
        let (control, handle) = (agent.control(), signals.handle());
        let waiting = std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                if signals.forever().next().is_some() {
                    control.drain();
                }
            })
            .map_err(Error::Signals)?;
        let joined = agent.join();
        handle.close();
        // It only waits, and has nothing to panic over.
        let _ = waiting.join();
        Ok(joined?)
    }

    /// Takes the addresses and starts the workers. `handler` makes each worker's own handler, given
    /// the worker's number.
    ///
    /// # Errors
    /// What was started by then is told to stop; another process that has an address keeps it.
    pub fn spawn<H>(self, handler: impl FnMut(usize) -> H) -> Result<Agent, StartError>
    where
        H: Handler + Send + 'static,
    {
        self.listen()?.spawn(handler)
    }

    /// As [`spawn`](Self::spawn), with handlers that have hooks.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_with_hooks<H>(self, handler: impl FnMut(usize) -> H) -> Result<Agent, StartError>
    where
        H: Handler + WorkerHooks + Send + 'static,
    {
        self.listen()?.spawn_with_hooks(handler)
    }

    /// The first half of [`spawn`](Self::spawn): takes the addresses. The second is
    /// [`BoundAgent::spawn`].
    ///
    /// # Errors
    /// Another process that has an address keeps it.
    pub fn listen(mut self) -> Result<BoundAgent, StartError> {
        let workers = self.workers.unwrap_or(1);
        if workers == 0 {
            return Err(StartError::NoWorkers);
        }
        let passed = self.name_passed();
        if self.binds.is_empty() {
            return Err(StartError::NoAddress);
        }
        let cores = self.choose_cores()?;
        // Before anything is taken: what is wrong with a certificate is seen without a trace.
        #[cfg(feature = "tls")]
        let renewed = self.load_tls()?;
        let bound = self.bind_all(workers, passed)?;
        let sockets = bound.iter().map(|bound| bound.listeners.len()).sum();
        let connections_max = self.connections_max(workers, sockets)?;
        #[cfg(feature = "tls")]
        let bound = install_tls(bound, &renewed);
        Ok(BoundAgent {
            exposed: self.exposed(&bound),
            #[cfg(feature = "tls")]
            renewed,
            builder: self,
            workers,
            cores,
            connections_max,
            bound,
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

    fn connections_max(&self, workers: usize, sockets: usize) -> Result<usize, StartError> {
        let (possible, limit) = connections_possible(workers, self.binds.len(), sockets);
        let possible = possible.saturating_sub(self.descriptors_spared);
        let wanted = self.limits.connections_max;
        if possible == 0 || wanted.is_some_and(|wanted| wanted > possible) {
            return Err(StartError::Descriptors {
                connections: wanted.unwrap_or(0),
                limit,
            });
        }
        Ok(wanted.unwrap_or(possible))
    }

    /// Takes what was passed out, and has a bind for each.
    fn name_passed(&mut self) -> Vec<PassedSocket> {
        let passed = core::mem::take(&mut self.passed);
        for socket in &passed {
            let address = socket.address();
            if !self.binds.iter().any(|bind| bind.address == *address) {
                self.binds.push(address.clone().into());
            }
        }
        passed
    }

    /// As many as there are binds, in their order.
    fn bind_all(
        &self,
        workers: usize,
        mut passed: Vec<PassedSocket>,
    ) -> Result<Vec<Bound>, StartError> {
        let taking = Taking {
            purpose: Purpose::Spop,
            sockets: workers,
            takeover: self.takeover,
            unix_mode: self.limits.unix_mode,
            unix_owner: self.unix_owner,
        };
        let mut all = Vec::with_capacity(self.binds.len());
        for bind in &self.binds {
            let address = &bind.address;
            let same = passed.iter().position(|socket| socket.address() == address);
            let mut bound = match same {
                Some(same) => listener::adopt(passed.swap_remove(same))?,
                None => listener::take(address, &taking)?.into(),
            };
            for listener in &mut bound.listeners {
                listener.door = AccessControl::new(bind);
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
fn install_tls(mut bound: Vec<Bound>, loaded: &Renewed) -> Vec<Bound> {
    for (number, (bound, tls)) in bound.iter_mut().zip(loaded.iter()).enumerate() {
        for listener in &mut bound.listeners {
            listener.door.bind = number;
            listener.door.tls.clone_from(tls);
        }
    }
    bound
}
