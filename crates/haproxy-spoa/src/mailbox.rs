//! How anything reaches a worker: a queue and a waker. The worker looks into it only when woken.

use core::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::mpsc::Sender;
use std::time::Instant;

use mio::Waker;

use super::reply::Answer;
use super::report::WorkerReport;
use super::transport::Transport;

/// What a worker can be told.
#[derive(Debug)]
pub(super) enum Mail {
    /// Serve this connection; its place has been claimed.
    Adopt(Transport),
    /// Send the answer to a NOTIFY that was deferred.
    Answer(Answer),
    /// Copy your counters and your histogram.
    Report(Sender<WorkerReport>),
    /// Let go of what is kept for want of traffic.
    Refresh,
    /// Take what the kernel has queued, answer what is in flight, say goodbye, stop by then.
    Drain(Instant),
    /// Take what has been queued since, close your listeners, and let go of this.
    Close(Sender<Infallible>),
    /// No worker sends connections any more: stop when those that there are have ended.
    ListenersClosed,
    /// Show new connections these certificates, by the number of their bind.
    #[cfg(feature = "tls")]
    Renew(Renewed),
}

/// What the binds with TLS are to use from now on, by the number of the bind.
#[cfg(feature = "tls")]
pub(super) type Renewed = Arc<[Option<Arc<rustls::ServerConfig>>]>;

/// The way to one worker.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    queue: Sender<Mail>,
    waker: Arc<Waker>,
    /// The worker will look before it sleeps, because it has been woken or is awake: so nobody needs to
    /// wake it.
    is_woken: Arc<AtomicBool>,
}

impl Mailbox {
    pub(super) fn new(queue: Sender<Mail>, waker: Arc<Waker>) -> Self {
        Self {
            queue,
            waker,
            is_woken: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The worker is awake, and promises to look after its turns.
    pub(super) fn awake(&self) {
        self.is_woken.store(true, Ordering::Relaxed);
    }

    /// The worker is about to look for the last time before it sleeps: a sender from now on wakes it.
    pub(super) fn opened(&self) {
        self.is_woken.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Delivers and wakes. Gives the mail back if the worker has stopped.
    pub(super) fn send(&self, mail: Mail) -> Result<(), Mail> {
        self.queue.send(mail).map_err(|unsent| unsent.0)?;
        // Either the worker finds the mail, or this finds the flag cleared. A load first: senders of many
        // answers do not take the cache line from each other.
        fence(Ordering::SeqCst);
        if !self.is_woken.load(Ordering::SeqCst) && !self.is_woken.swap(true, Ordering::SeqCst) {
            // A wake-up fails only when the worker's poll is gone, and its queue with it.
            let _ = self.waker.wake();
        }
        Ok(())
    }
}
