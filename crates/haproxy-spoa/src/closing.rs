//! The end of the listeners: they close when nobody can be queued at them any more.
//!
//! The kernel resets whoever is queued at a listener that closes, and whoever is in the middle of the
//! handshake with it. And the first of a group to close takes the order of the others away, so that
//! connections that were steered elsewhere come to the rest of them again. Hence:
//!
//! ```text
//!  steer    new connections go to others, if there are any          at once
//!  deafen   those that come here all the same are not heard         after the grace
//!  wait     until the handshakes that had begun are over            nearly always none
//!  close    workers take what is queued and let go of theirs, then all end in one go
//! ```

use core::convert::Infallible;
use core::time::Duration;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use super::limits::{HANDSHAKE, SWEEP_INTERVAL};
use super::mailbox::{Mail, Mailbox};
use super::steer;

/// The listeners that share a TCP address.
#[derive(Debug)]
pub(super) struct Group {
    address: SocketAddr,
    /// A second handle on each of them. As long as it is there the kernel queues connections.
    handles: Vec<TcpListener>,
    /// Those of other processes that were there before, by their inodes.
    before: Vec<u64>,
    own: Vec<u64>,
}

impl Group {
    pub(super) fn new(
        address: SocketAddr,
        sockets: &[TcpListener],
        before: Vec<u64>,
    ) -> io::Result<Self> {
        let handles: Vec<_> = sockets
            .iter()
            .map(TcpListener::try_clone)
            .collect::<io::Result<_>>()?;
        let own = handles.iter().map(inode).collect::<io::Result<_>>()?;
        Ok(Self {
            address,
            handles,
            before,
            own,
        })
    }

    /// Turns new connections away to whoever shares the address, if anybody does. What is queued
    /// here stays. Reading who that is takes long on a busy machine, so no worker does it.
    pub(super) fn turn_away(&self) {
        let Some(now) = steer::listening_on(self.address) else {
            return;
        };
        if let (Some(others), Some(any)) = (
            steer::choose(&now, &self.before, &self.own),
            self.handles.first(),
        ) {
            // On a kernel that refuses, connections go on coming here until the end.
            let _ = steer::spread_over(any, others);
        }
    }

    /// Closes all, each after new connections have been steered to where others are before and after.
    fn close(self) {
        let now = steer::listening_on(self.address).unwrap_or_default();
        let earlier = now.iter().filter(|it| self.before.contains(it)).count();
        let later = now.len().saturating_sub(earlier + self.own.len());
        let mut open: Vec<_> = self.handles.into_iter().map(Some).collect();
        let own = (0..open.len()).map(Some);
        let mut group: Vec<_> = core::iter::repeat_n(None, earlier).chain(own).collect();
        group.resize(group.len() + later, None);
        while let Some(place) = group.iter().position(Option::is_some) {
            let stay = steer::staying(&group);
            // The kernel fills the place with the last one, too.
            let number = group.swap_remove(place).unwrap_or_default();
            let handle = open.get_mut(number).and_then(Option::take);
            if let (Some(handle), Some(stay)) = (&handle, stay) {
                let _ = steer::spread_over(handle, stay);
            }
            drop(handle);
        }
    }

    /// Hears nobody new, and knows who is in the middle of a handshake with somebody here.
    fn deafen(&self, by: Instant) -> HashSet<String> {
        for handle in &self.handles {
            // Where that is not allowed (it may take a capability), steering has to do.
            let _ = steer::deafen(handle);
        }
        steer::half_open_at(self.address, by)
    }
}

fn inode(socket: &TcpListener) -> io::Result<u64> {
    let descriptor = OwnedFd::from(socket.try_clone()?);
    Ok(fs::File::from(descriptor).metadata()?.ino())
}

/// What is left to be done about listeners once a shutdown has begun. It waits and reads files, so it
/// has a thread of its own.
pub(super) struct Closing {
    pub(super) workers: Arc<[Mailbox]>,
    pub(super) groups: Vec<Group>,
    /// How long they stay open at least.
    pub(super) grace: Duration,
    /// By then the shutdown is over.
    pub(super) until: Instant,
}

impl Closing {
    pub(super) fn run(self) {
        // Workers need some time to take what came last.
        let latest = self.until.checked_sub(self.grace).unwrap_or(self.until);
        let now = Instant::now();
        let grace = now.checked_add(self.grace).unwrap_or(latest);
        rest(grace.min(self.until));
        // Whoever only knocks and never comes in does not hold it up.
        let latest = latest.min(Instant::now() + HANDSHAKE);
        for group in &self.groups {
            let mut begun = group.deafen(latest);
            while !begun.is_empty() && Instant::now() < latest {
                rest(latest.min(Instant::now() + SWEEP_INTERVAL));
                let still = steer::half_open_at(group.address, latest);
                begun.retain(|ends| still.contains(ends));
            }
        }
        self.close();
    }

    fn close(self) {
        let (done, closed) = mpsc::channel::<Infallible>();
        for worker in self.workers.iter() {
            // One that has stopped has no listener.
            let _ = worker.send(Mail::Close(done.clone()));
        }
        drop(done);
        let left = self.until.saturating_duration_since(Instant::now());
        // When the last worker has let go, or when the time is up.
        let (Ok(_) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) =
            closed.recv_timeout(left);
        self.groups.into_iter().for_each(Group::close);
        for worker in self.workers.iter() {
            // One that has stopped has left.
            let _ = worker.send(Mail::ListenersClosed);
        }
    }
}

fn rest(until: Instant) {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}
