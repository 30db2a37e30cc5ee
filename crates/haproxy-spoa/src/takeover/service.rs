//! The thread that hands sockets over.
//!
//! It sleeps until another process requests them. No worker and no connection is touched.

use core::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::SharedAddress;
use super::wire::{self, Asked, Request};
use crate::BindAddress;

/// Processes that have the sockets of one address and came for them here.
const MAX_LEASES: usize = 16;

/// What happened to the sockets of an address in a takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeoverEvent {
    /// Another process has them as well, and starts.
    HandedOver {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// The other process serves. This one may stop.
    Serving {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
    },
    /// The other process is gone. This one goes on.
    Ended {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
        /// Whether it had served.
        had_served: bool,
    },
    /// A process of another user requested them, and did not get them.
    Refused {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// A process requested them and does not take them from this user.
    Declined {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
        /// Its user.
        uid: u32,
    },
    /// Handing them over failed.
    Failed {
        /// The address.
        address: BindAddress,
        /// The other process.
        pid: i32,
        /// Why, in words.
        why: String,
    },
}

/// Receives what happens in takeovers, on a thread of its own.
pub(crate) type EventSink = Arc<dyn Fn(TakeoverEvent) + Send + Sync>;

/// Hands sockets over until it is stopped.
pub struct HandoverService {
    stop: OwnedFd,
    thread: JoinHandle<()>,
}

impl fmt::Debug for HandoverService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverService").finish_non_exhaustive()
    }
}

impl HandoverService {
    /// Starts the thread for these addresses.
    ///
    /// # Errors
    /// If there are no descriptors or there is no thread to be had.
    pub fn start(
        addresses: Vec<Arc<SharedAddress>>,
        events: Arc<dyn Fn(TakeoverEvent) + Send + Sync>,
    ) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let stopped = stop.try_clone()?;
        let mut entries = Vec::with_capacity(addresses.len());
        for shared in addresses {
            let name = match shared
                .offer()
                .as_ref()
                .and_then(|offer| offer.name.as_ref())
            {
                Some(name) => name.try_clone()?,
                None => continue,
            };
            entries.push(Entry {
                shared,
                name,
                leases: Vec::new(),
            });
        }
        let thread = thread::Builder::new()
            .name("takeover".into())
            .spawn(move || run(&mut entries, &stopped, &events))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread. The name of an address is free when no other process has it.
    pub fn stop(self) {
        // The counter cannot be full.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        // A sink that panicked has been reported by the panic itself.
        let _ = self.thread.join();
    }
}

/// An address, and who came for it.
struct Entry {
    shared: Arc<SharedAddress>,
    name: OwnedFd,
    leases: Vec<Lease>,
}

struct Lease {
    connection: OwnedFd,
    pid: i32,
    serves: bool,
}

/// What a descriptor that is ready belongs to.
#[derive(Debug, Clone, Copy)]
enum Ready {
    Stop,
    Name(usize),
    Lease(usize, usize),
}

fn run(entries: &mut [Entry], stop: &OwnedFd, events: &EventSink) {
    loop {
        let Ok(ready) = wait(entries, stop) else {
            // Out of memory for now.
            thread::park_timeout(core::time::Duration::from_millis(100));
            continue;
        };
        // From the end, so that indices stay valid while leases are removed.
        for ready in ready.into_iter().rev() {
            match ready {
                Ready::Stop => return,
                Ready::Name(entry) => {
                    if let Some(entry) = entries.get_mut(entry) {
                        entry.accept(events);
                    }
                }
                Ready::Lease(entry, lease) => {
                    if let Some(entry) = entries.get_mut(entry) {
                        entry.read_lease(lease, events);
                    }
                }
            }
        }
    }
}

/// Waits for requests where this process is the newest, for what the others report, and for the end.
fn wait(entries: &[Entry], stop: &OwnedFd) -> rustix::io::Result<Vec<Ready>> {
    let mut polled = vec![PollFd::new(stop, PollFlags::IN)];
    let mut meaning = vec![Ready::Stop];
    for (index, entry) in entries.iter().enumerate() {
        if !entry.leases.iter().any(|lease| lease.serves) {
            polled.push(PollFd::new(&entry.name, PollFlags::IN));
            meaning.push(Ready::Name(index));
        }
        for (number, lease) in entry.leases.iter().enumerate() {
            polled.push(PollFd::new(&lease.connection, PollFlags::IN));
            meaning.push(Ready::Lease(index, number));
        }
    }
    match poll(&mut polled, None) {
        Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
        ready => ready?,
    };
    let meaning = polled.iter().zip(meaning);
    Ok(meaning
        .filter(|(polled, _)| !polled.revents().is_empty())
        .map(|(_, ready)| ready)
        .collect())
}

impl Entry {
    fn accept(&mut self, events: &EventSink) {
        let Some(request) = Request::accept(&self.name) else {
            return;
        };
        let address = self.shared.address.clone();
        let (pid, uid) = (request.pid, request.uid);
        match request.read() {
            Asked::Nothing => {}
            Asked::OtherUser => events(TakeoverEvent::Refused { address, pid, uid }),
            Asked::Declined => events(TakeoverEvent::Declined { address, pid, uid }),
            // It is told by the end of the connection.
            Asked::Sockets if self.leases.len() >= MAX_LEASES => {}
            Asked::Sockets => match self.hand_over(&request) {
                // This process is leaving; the other one binds the address.
                None => {}
                Some(Ok(())) => {
                    self.leases.push(Lease {
                        connection: request.connection,
                        pid,
                        serves: false,
                    });
                    events(TakeoverEvent::HandedOver { address, pid, uid });
                }
                Some(Err(error)) => events(TakeoverEvent::Failed {
                    address,
                    pid,
                    why: error.to_string(),
                }),
            },
        }
    }

    fn hand_over(&self, request: &Request) -> Option<io::Result<()>> {
        let offer = self.shared.offer();
        let offer = offer.as_ref()?;
        let first = [&self.shared.members, &offer.membership, &self.name];
        Some(request.answer(first, &offer.sockets))
    }

    fn read_lease(&mut self, index: usize, events: &EventSink) {
        let Some(lease) = self.leases.get_mut(index) else {
            return;
        };
        let (address, pid) = (self.shared.address.clone(), lease.pid);
        if let Some(serves) = wire::read_serving(&lease.connection) {
            if serves && !lease.serves {
                lease.serves = true;
                events(TakeoverEvent::Serving { address, pid });
            }
        } else {
            let had_served = self.leases.swap_remove(index).serves;
            events(TakeoverEvent::Ended {
                address,
                pid,
                had_served,
            });
        }
    }
}
