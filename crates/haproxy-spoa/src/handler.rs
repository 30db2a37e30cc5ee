//! What an author of an agent implements: the answer to a NOTIFY.

use haproxy_spop::Notify;

use crate::Reply;

/// Answers the NOTIFY frames of the connections of one worker.
///
/// A handler is owned by its worker, so it needs neither a lock nor `Sync`. It runs on the worker's
/// thread: while it works, the worker's other connections wait, so it must not block. What takes time
/// is done elsewhere, and answered with [`Reply::defer`].
///
/// A handler that panics ends its worker's thread, and [`Agent::join`](crate::Agent::join) returns
/// [`WorkerError::Panicked`](crate::WorkerError::Panicked) at once. The connections of that worker are closed and
/// `HAProxy` connects again; other workers go on until the process ends.
///
/// A closure is a handler; [`handler`] lets the compiler infer its arguments:
///
/// ```
/// use haproxy_spoa::{Handler, Scope, handler};
///
/// fn score() -> impl Handler {
///     handler(|notify, mut reply| {
///         for message in notify.messages() {
///             if message.name() == b"check-client-ip" {
///                 reply.set_var(Scope::Session, "ip_score", 42_u32);
///             }
///         }
///     })
/// }
/// # let _ = score();
/// ```
pub trait Handler {
    /// Looks at the messages and adds actions to the reply.
    ///
    /// The ACK is complete when `reply` is dropped, unless it is deferred.
    fn notify(&mut self, notify: &Notify<'_>, reply: Reply<'_>);
}

impl<F> Handler for F
where
    F: FnMut(&Notify<'_>, Reply<'_>),
{
    #[inline]
    fn notify(&mut self, notify: &Notify<'_>, reply: Reply<'_>) {
        self(notify, reply);
    }
}

/// Returns the closure as it is. Its arguments need no types here, as they do where only
/// [`Handler`] is asked for.
pub const fn handler<F>(closure: F) -> F
where
    F: FnMut(&Notify<'_>, Reply<'_>),
{
    closure
}

/// What the runtime can ask of a handler apart from answers. Most handlers need none of it; one that
/// does is started with [`Builder::spawn_with_hooks`](crate::Builder::spawn_with_hooks).
pub trait WorkerHooks {
    /// Releases what is kept only because no NOTIFY has come since: a worker may have none for long.
    /// [`Control::refresh`](crate::Control::refresh) has it called.
    fn refresh(&mut self) {}

    /// Reports what was counted: of what kind, which one, how many. The same name of the same kind is
    /// reported once, and the names are few.
    fn tally(&self, report: &mut dyn FnMut(&'static str, &str, u64)) {
        let _ = report;
    }
}

/// A handler without hooks.
#[derive(Debug)]
pub(crate) struct Plain<H>(pub(crate) H);

impl<H: Handler> Handler for Plain<H> {
    #[inline]
    fn notify(&mut self, notify: &Notify<'_>, reply: Reply<'_>) {
        self.0.notify(notify, reply);
    }
}

impl<H> WorkerHooks for Plain<H> {}
