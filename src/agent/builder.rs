//! What an agent is to be: its addresses, its cores, its limits.

use core_affinity::CoreId;

use super::limits::connections_possible;
use super::listener::{self, Bound, UnixRights};
use super::passed::PassedSocket;
use super::{Agent, BindAddress, Limits, Listening, StartError};
use crate::Handler;

#[cfg(feature = "trace")]
use super::trace::TraceSink;

/// What an agent is to be.
#[derive(Default)]
pub struct Builder {
    addresses: Vec<BindAddress>,
    workers: Option<usize>,
    cores: Option<Vec<usize>>,
    pub(super) limits: Limits,
    takeover: bool,
    descriptors_spared: usize,
    passed: Vec<PassedSocket>,
    unix_owner: Option<(u32, u32)>,
    #[cfg(feature = "trace")]
    pub(super) trace: Option<TraceSink>,
}

impl core::fmt::Debug for Builder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder")
            .field("addresses", &self.addresses)
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
    pub fn bind(mut self, address: BindAddress) -> Self {
        self.addresses.push(address);
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
    pub fn spawn<H>(self, handler: impl FnMut(usize) -> H) -> Result<Agent, StartError>
    where
        H: Handler + Send + 'static,
    {
        self.listen()?.spawn(handler)
    }

    /// The first half of [`spawn`](Self::spawn): takes the addresses. The second is
    /// [`Listening::spawn`].
    ///
    /// # Errors
    /// Another process that has an address keeps it.
    pub fn listen(mut self) -> Result<Listening, StartError> {
        let workers = self.workers.unwrap_or(1);
        if workers == 0 {
            return Err(StartError::NoWorkers);
        }
        if self.addresses.is_empty() && self.passed.is_empty() {
            return Err(StartError::NoAddress);
        }
        let cores = self.choose_cores()?;
        let connections_max = self.connections_max(workers)?;
        let bound = self.bind_all(workers)?;
        Ok(Listening {
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

    fn connections_max(&self, workers: usize) -> Result<usize, StartError> {
        let addresses = self.addresses.len() + self.passed.len();
        let (possible, limit) = connections_possible(workers, addresses);
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

    fn bind_all(&mut self, workers: usize) -> Result<Vec<Bound>, StartError> {
        let unix = UnixRights {
            mode: self.limits.unix_mode,
            owner: self.unix_owner,
        };
        let mut passed = core::mem::take(&mut self.passed);
        let mut bound = Vec::with_capacity(self.addresses.len() + passed.len());
        for address in &self.addresses {
            let same = passed.iter().position(|socket| socket.address() == address);
            bound.push(match same {
                Some(same) => listener::adopt(passed.swap_remove(same))?,
                None => listener::bind(address, workers, self.takeover, &unix)?,
            });
        }
        for socket in passed {
            bound.push(listener::adopt(socket)?);
        }
        Ok(bound)
    }
}
