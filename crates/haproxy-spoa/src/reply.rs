//! The answer to a NOTIFY: now, or later from any thread.
//!
//! ```text
//!  handler    Reply    --- drop -----------------------> ACK in the output of this turn
//!               '- defer --> Deferred (any thread)
//!                              '- send or drop --> mailbox --> worker --> ACK, one write per connection
//!                              '- too late ------> worker: ACK without actions at the timeout
//! ```

use core::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use haproxy_spop::{Ack, FrameFull, Scope, TypedData, Variable};

use crate::replies::{Replies, Ticket};

/// Room for a few short actions, so that a deferred answer is one allocation.
const ACTIONS_ROOM: usize = 64;

/// The answer to one NOTIFY. Dropping it completes the ACK.
///
/// An action that does not fit the negotiated max-frame-size is left out and counted
/// ([`Counters::actions_dropped`](crate::Counters::actions_dropped)): set what matters most first.
#[derive(Debug)]
pub struct Reply<'a> {
    ack: Ack<'a>,
    ids: (u64, u64),
    max: u32,
    replies: &'a mut Replies,
    is_deferred: bool,
}

impl<'a> Reply<'a> {
    #[inline]
    pub(crate) fn new(
        output: &'a mut BytesMut,
        ids: (u64, u64),
        max: u32,
        replies: &'a mut Replies,
    ) -> Self {
        Self {
            ack: Ack::begin(output, ids.0, ids.1, max),
            ids,
            max,
            replies,
            is_deferred: false,
        }
    }

    /// Sets a variable. `name` as for [`Ack::set_var`].
    #[inline]
    pub fn set_var<'v>(&mut self, scope: Scope, name: &str, value: impl Into<TypedData<'v>>) {
        let written = self.ack.set_var(scope, name, value);
        self.count(written);
    }

    /// Removes a variable. `name` as for [`Ack::set_var`].
    pub fn unset_var(&mut self, scope: Scope, name: &str) {
        let written = self.ack.unset_var(scope, name);
        self.count(written);
    }

    /// Sets a variable whose name is encoded already.
    #[inline]
    pub fn set<'v>(&mut self, variable: &Variable, value: impl Into<TypedData<'v>>) {
        let written = self.ack.set(variable, value);
        self.count(written);
    }

    /// Removes a variable whose name is encoded already.
    pub fn unset(&mut self, variable: &Variable) {
        let written = self.ack.unset(variable);
        self.count(written);
    }

    /// Whether there is no action yet.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ack.is_empty()
    }

    /// Takes back every action.
    pub fn clear(&mut self) {
        self.ack.clear();
    }

    /// Answers later, from any thread and in any order. Actions that are set already are kept.
    ///
    /// At the limit of deferred replies ([`Limits::deferred_per_connection`],
    /// [`Limits::deferred_per_worker`]) the NOTIFY is answered at once, with no action; what is done
    /// with the returned value has no effect then.
    ///
    /// [`Limits::deferred_per_connection`]: crate::Limits::deferred_per_connection
    /// [`Limits::deferred_per_worker`]: crate::Limits::deferred_per_worker
    #[must_use]
    pub fn defer(mut self) -> Deferred {
        let Some(ticket) = self.replies.admit(self.ids) else {
            self.ack.clear();
            return Deferred {
                frame: BytesMut::new(),
                max: 0,
                is_empty: true,
                dropped: 0,
                way: None,
            };
        };
        // What is written moves out of the output, which the incomplete ACK leaves when it is dropped.
        self.is_deferred = true;
        let written = self.ack.written();
        let mut frame = BytesMut::with_capacity(written.len() + ACTIONS_ROOM);
        frame.extend_from_slice(written);
        Ack::reopen(&mut frame, self.max).finish();
        Deferred {
            frame,
            max: self.max,
            is_empty: self.ack.is_empty(),
            dropped: 0,
            way: Some((ticket, Arc::clone(&self.replies.sink))),
        }
    }

    #[inline]
    fn count(&mut self, written: Result<(), FrameFull>) {
        if written.is_err() {
            self.replies.actions_dropped += 1;
        }
    }
}

impl Drop for Reply<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_deferred {
            return;
        }
        if self.ack.is_empty()
            && let Some(filler) = &self.replies.filler
        {
            // Where it does not fit, the ACK stays empty.
            let _ = self.ack.unset(filler);
        }
        self.ack.complete();
        self.replies.acks += 1;
    }
}

/// Takes the answers to deferred NOTIFYs to their worker.
pub(crate) type Sink = Arc<dyn Fn(Answer) + Send + Sync>;

/// A deferred answer on its way to its worker.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ticket: Ticket,
    /// A complete ACK, or nothing for one without actions.
    pub(crate) frame: BytesMut,
    /// Actions that did not fit.
    pub(crate) dropped: u32,
}

/// An answer that is given later, from any thread. Dropped without [`send`](Self::send), it is an ACK
/// without actions.
pub struct Deferred {
    /// A complete ACK at any time.
    frame: BytesMut,
    max: u32,
    /// It has no action.
    is_empty: bool,
    dropped: u32,
    /// Taken when it is on its way; `None` from the start if the NOTIFY is answered already.
    way: Option<(Ticket, Sink)>,
}

impl Deferred {
    /// Sets a variable. `name` as for [`Ack::set_var`].
    pub fn set_var<'v>(&mut self, scope: Scope, name: &str, value: impl Into<TypedData<'v>>) {
        self.write(|ack| ack.set_var(scope, name, value));
    }

    /// Removes a variable. `name` as for [`Ack::set_var`].
    pub fn unset_var(&mut self, scope: Scope, name: &str) {
        self.write(|ack| ack.unset_var(scope, name));
    }

    /// Sends the answer. If its connection has gone, or the time for it is over
    /// ([`Limits::deferred_timeout`](crate::Limits::deferred_timeout)), the worker drops and counts it.
    pub fn send(mut self) {
        if let Some((ticket, sink)) = self.way.take() {
            let mut frame = core::mem::take(&mut self.frame);
            if self.is_empty {
                // The worker writes what stands for no action.
                frame.clear();
            }
            let dropped = self.dropped;
            sink(Answer {
                ticket,
                frame,
                dropped,
            });
        }
    }

    fn write(&mut self, action: impl FnOnce(&mut Ack<'_>) -> Result<(), FrameFull>) {
        if self.way.is_none() {
            return;
        }
        let mut ack = Ack::reopen(&mut self.frame, self.max);
        let written = action(&mut ack);
        ack.finish();
        self.is_empty &= written.is_err();
        self.dropped += u32::from(written.is_err());
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if let Some((ticket, sink)) = self.way.take() {
            sink(Answer {
                ticket,
                frame: BytesMut::new(),
                dropped: 0,
            });
        }
    }
}

impl fmt::Debug for Deferred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticket = self.way.as_ref().map(|(ticket, _)| ticket);
        f.debug_struct("Deferred")
            .field("ticket", &ticket)
            .finish_non_exhaustive()
    }
}
