//! The trait that a policy implements: what to answer to a NOTIFY.
//!
//! It knows no socket, clock, thread or log, and neither does what it is given.

use crate::{Ack, FrameFull, Notify};

/// Answers the NOTIFY frames of the connections of one worker.
///
/// A handler is owned by its worker, so it needs neither a lock nor `Sync`. It runs on the worker's
/// thread: while it works, the worker's other connections wait, so it must not block.
///
/// A closure is a handler:
///
/// ```
/// use haproxy_spop::{Ack, FrameFull, Handler, Notify, Scope};
///
/// fn score() -> impl Handler {
///     |notify: &Notify<'_>, ack: &mut Ack<'_>| -> Result<(), FrameFull> {
///         for message in notify.messages() {
///             if message.name() == b"check-client-ip" {
///                 ack.set_var(Scope::Session, "ip_score", 42_u32)?;
///             }
///         }
///         Ok(())
///     }
/// }
/// # let _ = score();
/// ```
pub trait Handler {
    /// Looks at the messages and adds actions to the ACK.
    ///
    /// The ACK is sent whatever is returned.
    ///
    /// # Errors
    /// With an error the ACK goes out without any action.
    fn notify(&mut self, notify: &Notify<'_>, ack: &mut Ack<'_>) -> Result<(), FrameFull>;

    /// Lets go of what it keeps only because no NOTIFY has come since: a worker may have none for long.
    /// The runtime asks for it. By default there is nothing.
    fn refresh(&mut self) {}

    /// Tells what it has counted, for a report: of what kind, which one, how many. The same name of
    /// the same kind is told once, and the names are few. By default it has counted nothing.
    fn tally(&self, tell: &mut dyn FnMut(&'static str, &str, u64)) {
        let _ = tell;
    }
}

impl<F> Handler for F
where
    F: FnMut(&Notify<'_>, &mut Ack<'_>) -> Result<(), FrameFull>,
{
    #[inline]
    fn notify(&mut self, notify: &Notify<'_>, ack: &mut Ack<'_>) -> Result<(), FrameFull> {
        self(notify, ack)
    }
}
