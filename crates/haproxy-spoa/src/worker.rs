//! One worker: a pinned thread, its poll loop, its listeners and its connections.
//!
//! ```text
//!  poll --> events: listener   accept, place: keep, or mail to the emptiest worker
//!                   waker      mail: adopt, report, drain
//!                   connection a turn
//!      --> pending: connections whose socket was not emptied, a turn each
//!      --> due:     listeners that rested, connections past their deadline
//! ```
//!
//! A token is a connection's place in the slab with its serial number: an event for a connection
//! that has gone does not reach the one that has its place now.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use bytes::BytesMut;
use mio::event::Event;
use mio::{Events, Poll, Token};
use slab::Slab;

use super::connection::Connection;
use super::context::WorkerContext;
use super::lifecycle::{ConnectionEnd, WaitFor};
use super::limits::{ACCEPT_ALL, ACCEPT_BATCH, EVENTS, SWEEP_INTERVAL};
use super::listener::Listener;
#[cfg(feature = "tls")]
use super::mailbox::Renewed;
use super::mailbox::{Mail, Mailbox};
use super::placement::Placement;
use super::replies::LateAnswer;
use super::reply::Answer;
use super::report::{States, Tally, WorkerReport};
use super::sources::Sources;
use super::transport::Transport;
use crate::{Handler, WorkerHooks};

/// The token of the waker.
pub(super) const WAKER: Token = Token(usize::MAX);
/// From here on tokens are listeners.
const LISTENERS: usize = 1 << 63;
/// Serial numbers stay below the bit that marks a listener.
const SERIAL_MASK: u32 = 0x7fff_ffff;

/// A worker, before and while it runs.
#[derive(Debug)]
pub(super) struct Worker<H> {
    pub(super) number: usize,
    pub(super) core: Option<usize>,
    pub(super) poll: Poll,
    pub(super) mail: Receiver<Mail>,
    pub(super) placement: Arc<Placement>,
    /// The open connections of each source, shared by all workers.
    pub(super) sources: Arc<Sources>,
    /// The way to every worker, this one included.
    pub(super) workers: Arc<[Mailbox]>,
    pub(super) listeners: Vec<Listener>,
    pub(super) connections: Slab<Connection>,
    pub(super) context: WorkerContext<H>,
    /// Connections to be given another turn.
    pub(super) pending: VecDeque<Token>,
    pub(super) serial: u32,
    /// In a shutdown: no worker has a listener any more, so none sends a connection here.
    pub(super) listeners_closed: bool,
    /// When a moment was seen to have come that has not been acted on yet.
    pub(super) overdue: Option<Instant>,
    /// The mail is to be read after the turns.
    pub(super) has_mail: bool,
    /// Deferred answers that came together, for one write per connection.
    pub(super) answers: Vec<LateAnswer>,
}

fn token(place: usize, serial: u32) -> Token {
    Token((serial as usize) << 32 | place)
}

fn place_of(token: Token) -> (usize, u32) {
    let place = token.0 & 0xffff_ffff;
    (place, u32::try_from(token.0 >> 32).unwrap_or(u32::MAX))
}

impl<H: Handler + WorkerHooks> Worker<H> {
    /// Makes the kernel tell of new connections.
    pub(super) fn register_listeners(&mut self) -> io::Result<()> {
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            listener.register(self.poll.registry(), Token(LISTENERS | index))?;
        }
        Ok(())
    }

    /// Serves until a shutdown is complete.
    ///
    /// # Errors
    /// If the kernel takes the poll away, which is no state to go on in.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_over() {
            match self.poll(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            self.begin_turns();
            for event in &events {
                self.event(event);
            }
            self.pending();
            if self.has_mail {
                self.read_mail();
            }
            self.due();
        }
        self.cut_off();
        Ok(())
    }

    /// Waits for events: at first without sleeping, if that is asked for.
    fn poll(&mut self, events: &mut Events) -> io::Result<()> {
        let busy = self.context.limits.busy_poll;
        if !busy.is_zero() {
            let until = Instant::now() + self.timeout().map_or(busy, |timeout| timeout.min(busy));
            loop {
                self.poll.poll(events, Some(Duration::ZERO))?;
                if !events.is_empty() {
                    return Ok(());
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        self.poll.poll(events, self.timeout())
    }

    /// While answers are outstanding they may come at any time: then the mail is read after the turns in
    /// any case, and their senders need not wake this thread with a system call.
    fn begin_turns(&mut self) {
        self.has_mail = self.context.replies.has_outstanding();
        if self.has_mail
            && let Some(own) = self.workers.get(self.number)
        {
            own.awake();
        }
    }

    fn event(&mut self, event: &Event) {
        match event.token() {
            WAKER => self.has_mail = true,
            Token(listener) if listener & LISTENERS != 0 => self.accept(listener & !LISTENERS),
            token => {
                let (place, serial) = place_of(token);
                let current = self
                    .connections
                    .get_mut(place)
                    .filter(|it| it.serial == serial);
                // A connection that has gone, and whose last events were in the same batch.
                let Some(connection) = current else { return };
                connection.is_read_closed |= event.is_read_closed();
                self.turn(place);
            }
        }
    }

    /// Gives a connection its turn, and sees to what it waits for then.
    fn turn(&mut self, place: usize) {
        if let Some(connection) = self.connections.get_mut(place) {
            let next = connection.turn(&mut self.context);
            self.settle(place, next);
        }
    }

    pub(super) fn settle(&mut self, place: usize, next: Result<WaitFor, ConnectionEnd>) {
        let Some(connection) = self.connections.get_mut(place) else {
            return;
        };
        let token = token(place, connection.serial);
        match next {
            Ok(WaitFor::Event) => {}
            Ok(WaitFor::Turn) => {
                if !connection.is_queued {
                    connection.is_queued = true;
                    self.pending.push_back(token);
                }
            }
            Ok(WaitFor::Writable) => {
                if connection.watch_write(self.poll.registry()).is_err() {
                    self.close(place, ConnectionEnd::Unregistered);
                }
            }
            Err(gone) => self.close(place, gone),
        }
    }

    fn close(&mut self, place: usize, gone: ConnectionEnd) {
        let Some(connection) = self.connections.try_remove(place) else {
            return;
        };
        let counters = &mut self.context.counters;
        counters.closed += 1;
        match gone {
            ConnectionEnd::Ended => {}
            ConnectionEnd::Eof => counters.eof += 1,
            ConnectionEnd::Reset => counters.reset += 1,
            ConnectionEnd::Unread => counters.write_timeouts += 1,
            ConnectionEnd::Unregistered => counters.register_failed += 1,
        }
        #[cfg(feature = "trace")]
        if let Some(trace) = &self.context.trace {
            trace.closed(connection.serial, gone);
        }
        drop(connection);
        self.placement.release(self.number);
    }

    /// A turn for each connection that waits for one now; who needs yet another waits again.
    fn pending(&mut self) {
        for _ in 0..self.pending.len() {
            let Some(token) = self.pending.pop_front() else {
                return;
            };
            let (place, serial) = place_of(token);
            if let Some(it) = self
                .connections
                .get_mut(place)
                .filter(|it| it.serial == serial)
            {
                it.is_queued = false;
                self.turn(place);
            }
        }
        for index in 0..self.listeners.len() {
            if self
                .listeners
                .get(index)
                .is_some_and(|listener| listener.pending)
            {
                self.accept(index);
            }
        }
    }

    fn read_mail(&mut self) {
        self.has_mail = false;
        if let Some(own) = self.workers.get(self.number) {
            own.opened();
        }
        while let Ok(mail) = self.mail.try_recv() {
            match mail {
                Mail::Answer(answer) => self.collect(answer),
                Mail::Adopt(stream) => self.adopt(stream),
                // Whoever asked may have stopped waiting.
                Mail::Report(to) => drop(to.send(self.report())),
                Mail::Refresh => self.context.handler.refresh(),
                Mail::Drain(until) => self.drain(until),
                Mail::Close(done) => {
                    self.accept_all();
                    self.close_listeners(|_| true);
                    drop(done);
                }
                Mail::ListenersClosed => self.listeners_closed = true,
                #[cfg(feature = "tls")]
                Mail::Renew(renewed) => self.renew(&renewed),
            }
        }
        self.deliver();
    }

    /// Keeps a deferred answer for the write that is due when the mailbox is empty.
    fn collect(&mut self, answer: Answer) {
        match self.context.replies.take(answer.ticket) {
            Some(outstanding) => self.answers.push(LateAnswer {
                outstanding,
                frame: answer.frame,
                dropped: answer.dropped,
            }),
            None => self.context.counters.late += 1,
        }
    }

    /// Sends the deferred answers that have been collected, with one write per connection.
    pub(super) fn deliver(&mut self) {
        let mut answers = core::mem::take(&mut self.answers);
        // The order of the ACKs of one connection does not matter.
        answers.sort_unstable_by_key(|answer| answer.outstanding.token);
        for of_one in
            answers.chunk_by(|one, other| one.outstanding.token == other.outstanding.token)
        {
            let Some(first) = of_one.first() else {
                continue;
            };
            let (place, serial) = place_of(first.outstanding.token);
            let current = self
                .connections
                .get_mut(place)
                .filter(|connection| connection.serial == serial && connection.takes_answers());
            match current {
                Some(connection) => {
                    let next = connection.answer_later(of_one, &mut self.context);
                    self.settle(place, next);
                }
                None => self.context.counters.dropped += of_one.len() as u64,
            }
        }
        answers.clear();
        self.answers = answers;
    }

    /// New connections get these certificates; those that are open keep what they have.
    #[cfg(feature = "tls")]
    fn renew(&mut self, renewed: &Renewed) {
        for listener in &mut self.listeners {
            if let Some(Some(config)) = renewed.get(listener.door.bind) {
                listener.door.tls = Some(Arc::clone(config));
            }
        }
    }

    fn report(&self) -> WorkerReport {
        let mut states = States::default();
        for (_, connection) in &self.connections {
            connection.count_state(&mut states);
        }
        let mut tallies = Vec::new();
        self.context.handler.tally(&mut |kind, name, count| {
            tallies.push(Tally {
                kind,
                name: name.to_owned(),
                count,
            });
        });
        WorkerReport {
            worker: self.number,
            core: self.core,
            open: self.connections.len(),
            states,
            counters: self.context.counters,
            refusals: self.context.refusals.clone(),
            over_source_limit: self.context.over_source_limit,
            unread: self.context.unread,
            tallies,
            latency: self.context.latency.clone(),
        }
    }

    /// Serves a connection whose place has been claimed.
    pub(super) fn adopt(&mut self, stream: Transport) {
        self.serial = self.serial.wrapping_add(1) & SERIAL_MASK;
        self.context.counters.adopted += 1;
        #[cfg(feature = "trace")]
        if let Some(trace) = &self.context.trace {
            trace.opened(self.serial, &stream);
        }
        let entry = self.connections.vacant_entry();
        let (place, token) = (entry.key(), token(entry.key(), self.serial));
        let connection = entry.insert(Connection::new(
            stream,
            token,
            self.serial,
            &mut self.context,
        ));
        if connection.register(self.poll.registry()).is_err() {
            self.close(place, ConnectionEnd::Unregistered);
        }
    }

    /// Takes everything off the kernel's queues, tells every connection, and stops by `until`.
    fn drain(&mut self, until: Instant) {
        if self.context.timer.is_draining() {
            return;
        }
        self.context.timer.drain_by(until);
        // Other processes take what is queued there.
        self.close_listeners(|listener| listener.shared.has_others());
        for (_, connection) in &mut self.connections {
            connection.drain(&mut self.context);
        }
        self.accept_all();
    }

    /// Closes these listeners without taking what is queued at them.
    fn close_listeners(&mut self, which: impl Fn(&Listener) -> bool) {
        for listener in &mut self.listeners {
            if which(listener) {
                listener.close(self.poll.registry());
            }
        }
    }

    /// Takes what is queued, but not for ever from peers who queue up as fast.
    fn accept_all(&mut self) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPT_ALL / ACCEPT_BATCH {
                self.accept(index);
                if !self
                    .listeners
                    .get(index)
                    .is_some_and(|listener| listener.pending)
                {
                    break;
                }
            }
        }
    }

    /// A shutdown's time is up: whoever is still there is told, as far as that is possible at once.
    fn cut_off(&mut self) {
        for (_, connection) in &mut self.connections {
            connection.cut_off(&mut self.context);
        }
    }

    /// How long poll may sleep.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if self.overdue.is_some()
            || !self.pending.is_empty()
            || self.listeners.iter().any(|listener| listener.pending)
        {
            return Some(Duration::ZERO);
        }
        let earliest = self.context.timer.earliest()?;
        Some(earliest.saturating_duration_since(Instant::now()))
    }

    /// Acts on the deadlines that have passed. In the steady state there are none, and the clock is
    /// not read.
    ///
    /// Between the latest poll and now this thread may have been delayed for any time, by a stop of the
    /// process or by other processes. What peers have sent by the time that is read here counts, so the
    /// deadlines are acted on after another poll.
    pub(super) fn due(&mut self) {
        let Some(earliest) = self.context.timer.earliest() else {
            return;
        };
        let Some(now) = self.overdue.take() else {
            let now = Instant::now();
            self.overdue = (earliest <= now).then_some(now);
            return;
        };
        self.context.timer.reset();
        self.due_listeners(now);
        let mut next: Option<Instant> = self.context.timer.drain();
        for place in self.due_connections(now, &mut next) {
            if let Some(connection) = self.connections.get_mut(place) {
                let expired = connection.expire(now, &mut self.context);
                self.settle(place, expired);
            }
        }
        self.give_up(now);
        let waiting = next
            .into_iter()
            .chain(self.context.replies.deadline())
            .chain(self.context.timer.earliest())
            .min();
        // However close together the deadlines are, all of them are looked at only so often.
        if let Some(at) = waiting {
            self.context.timer.reset();
            self.context.timer.watch(at.max(now + SWEEP_INTERVAL));
        }
    }

    /// The connections whose deadline has passed; `next` becomes the earliest of the others.
    fn due_connections(&self, now: Instant, next: &mut Option<Instant>) -> Vec<usize> {
        let mut due = Vec::new();
        for (place, connection) in &self.connections {
            match connection.deadline() {
                Some(at) if at <= now => due.push(place),
                Some(at) => *next = Some(next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        due
    }

    /// Answers the deferred NOTIFYs whose time is over without an action.
    fn give_up(&mut self, now: Instant) {
        let expired = self.context.replies.expire(now);
        self.context.counters.expired += expired.len() as u64;
        let empty = expired.into_iter().map(|outstanding| LateAnswer {
            outstanding,
            frame: BytesMut::new(),
            dropped: 0,
        });
        self.answers.extend(empty);
        self.deliver();
    }

    fn due_listeners(&mut self, now: Instant) {
        for index in 0..self.listeners.len() {
            let Some(listener) = self.listeners.get_mut(index) else {
                return;
            };
            match listener.retry_at {
                Some(at) if at <= now => {
                    listener.retry_at = None;
                    self.accept(index);
                }
                Some(at) => self.context.timer.watch(at),
                None => {}
            }
        }
    }

    fn is_over(&self) -> bool {
        let done = self.listeners_closed && self.connections.is_empty();
        self.context
            .timer
            .drain()
            .is_some_and(|until| done || Instant::now() >= until)
    }
}
