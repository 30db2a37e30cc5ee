//! The worker: turns completions into answers, and everything of a turn into one submission.
//!
//! ```text
//!  completions --> received   session over the buffer in place --> output of the turn
//!                  not sent   keep the rest, stop receiving, wait until the socket takes more
//!                  writable   the rest, and what was received meanwhile
//! ```
//!
//! A connection has one send in a turn. What it receives after that waits for the next turn.

use std::io;
use std::time::Instant;

use bytes::BytesMut;
use slab::Slab;
use haproxy_spoa::{Handler, Latency, Replies};
use haproxy_spop::session::{Session, SessionConfig};

use crate::ring::{Done, Key, Kind, Ring, Send};

struct Connection {
    session: Session,
    socket: u32,
    serial: u32,
    /// The head of a frame, or what came while nothing could be answered.
    leftover: Vec<u8>,
    /// Answers that the socket did not take.
    unsent: Vec<u8>,
    /// Nothing is answered before the socket is writable.
    blocked: bool,
    /// A receive is with the kernel.
    receiving: bool,
    /// The peer sends nothing more.
    eof: bool,
    /// In the queue for the next turn.
    waiting: bool,
    /// The close is submitted.
    closing: bool,
    /// The turn of the last send, and what it sent.
    turn: u64,
    sent: (usize, usize),
}

/// One thread's connections, and what it has one of.
pub struct Worker<H> {
    ring: Ring,
    handler: H,
    replies: Replies,
    connections: Slab<Connection>,
    output: BytesMut,
    sends: Vec<Send>,
    waiting: Vec<Key>,
    turn: u64,
    serial: u32,
    accepting: bool,
    /// If latencies are recorded: all answers of a turn begin and end together.
    latency: Option<Latency>,
    acks: u32,
}

impl<H: Handler> Worker<H> {
    pub fn new(ring: Ring, handler: H, latency: Option<Latency>) -> Self {
        Self {
            ring,
            handler,
            replies: Replies::detached(),
            connections: Slab::new(),
            output: BytesMut::with_capacity(256 * 1024),
            sends: Vec::new(),
            waiting: Vec::new(),
            turn: 0,
            serial: 0,
            accepting: false,
            latency,
            acks: 0,
        }
    }

    /// Serves for ever.
    pub fn run(mut self) -> io::Result<()> {
        let mut done = Vec::new();
        let mut began = Instant::now();
        loop {
            if !self.accepting {
                self.ring.accept()?;
                self.accepting = true;
            }
            let wait = self.waiting.is_empty();
            let acks = std::mem::take(&mut self.acks);
            let latency = self.latency.as_mut().filter(|_| acks > 0);
            let sent = latency.map(|latency| || latency.record(began.elapsed(), acks));
            self.ring
                .turn(&self.output, &mut self.sends, sent, wait, &mut done)?;
            if self.latency.is_some() {
                began = Instant::now();
            }
            for done in done.iter().filter(|done| done.kind == Kind::Send) {
                self.not_sent(done)?;
            }
            self.output.clear();
            self.turn += 1;
            for key in std::mem::take(&mut self.waiting) {
                if let Some(connection) = find(&mut self.connections, key) {
                    connection.waiting = false;
                    self.answer(key, None)?;
                }
            }
            for done in &done {
                self.event(done)?;
            }
        }
    }

    fn event(&mut self, done: &Done) -> io::Result<()> {
        match done.kind {
            Kind::Accept => self.accepted(done),
            Kind::Receive => self.received(done),
            Kind::Writable => self.writable(done),
            Kind::Close if done.result >= 0 => {
                self.connections.try_remove(done.key.place as usize);
                Ok(())
            }
            Kind::Close | Kind::Send | Kind::Other => Ok(()),
        }
    }

    fn accepted(&mut self, done: &Done) -> io::Result<()> {
        // Without a place for another socket, the queue of the kernel is as good as any.
        self.accepting = done.more();
        let Ok(socket) = u32::try_from(done.result) else {
            return Ok(());
        };
        self.serial = self.serial.wrapping_add(1) & 0xff_ffff;
        let place = self.connections.insert(Connection {
            session: Session::new(SessionConfig::default()),
            socket,
            serial: self.serial,
            leftover: Vec::new(),
            unsent: Vec::new(),
            blocked: false,
            receiving: true,
            eof: false,
            waiting: false,
            closing: false,
            turn: 0,
            sent: (0, 0),
        });
        let key = Key {
            place: place as u32,
            serial: self.serial,
        };
        self.ring.receive(key, socket)
    }

    fn received(&mut self, done: &Done) -> io::Result<()> {
        if let Some(connection) = find(&mut self.connections, done.key) {
            connection.receiving = done.more();
            // Out of buffers: some are given back in this very turn. Cancelled: by ourselves.
            let goes_on =
                done.result > 0 || [-libc::ENOBUFS, -libc::ECANCELED].contains(&done.result);
            connection.eof |= !goes_on;
            self.answer(done.key, Some(done))?;
        }
        self.ring.give_back(done);
        Ok(())
    }

    /// The socket has not taken all of it: nothing more is received until it has.
    fn not_sent(&mut self, done: &Done) -> io::Result<()> {
        let Some(connection) = find(&mut self.connections, done.key) else {
            return Ok(());
        };
        let (from, to) = connection.sent;
        match usize::try_from(done.result) {
            Err(_) if done.result != -libc::EAGAIN => connection.eof = true,
            sent => connection
                .unsent
                .extend_from_slice(&self.output[from + sent.unwrap_or(0)..to]),
        }
        connection.closing = false;
        connection.blocked = true;
        if connection.receiving {
            self.ring.stop_receiving(done.key)?;
        }
        self.ring.watch_writable(done.key, connection.socket)
    }

    fn writable(&mut self, done: &Done) -> io::Result<()> {
        if let Some(connection) = find(&mut self.connections, done.key) {
            connection.blocked = false;
        }
        self.answer(done.key, None)
    }

    /// Runs the session over what there is, and sees to what the connection waits for then.
    fn answer(&mut self, key: Key, received: Option<&Done>) -> io::Result<()> {
        let Some(connection) = find(&mut self.connections, key).filter(|it| !it.closing) else {
            return Ok(());
        };
        let input = received.map_or(&[][..], |done| self.ring.input(done));
        let has_sent = connection.turn == self.turn;
        let is_last = self.sends.last().is_some_and(|send| send.key == key);
        if connection.blocked || connection.waiting || (has_sent && !is_last) {
            connection.leftover.extend_from_slice(input);
            if !connection.blocked && !connection.waiting {
                connection.waiting = true;
                self.waiting.push(key);
            }
            return Ok(());
        }
        let from = self.output.len();
        self.output.extend_from_slice(&connection.unsent);
        connection.unsent.clear();
        let (output, replies) = (&mut self.output, &mut self.replies);
        self.acks += connection.serve(input, output, replies, &mut self.handler);
        let to = self.output.len();
        let ends = connection.eof || connection.session.is_closed();
        if to > from || ends {
            let from = match self.sends.pop_if(|_| has_sent) {
                Some(send) => send.from,
                None => from,
            };
            connection.turn = self.turn;
            connection.sent = (from, to);
            connection.closing = ends;
            self.sends.push(Send {
                key,
                socket: connection.socket,
                from,
                to,
                close: ends.then_some(connection.receiving),
            });
        }
        if !ends && !connection.receiving {
            connection.receiving = true;
            self.ring.receive(key, connection.socket)?;
        }
        Ok(())
    }
}

impl Connection {
    /// Answers all whole frames, in place unless a frame was cut. How many answers they have.
    fn serve(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
        replies: &mut Replies,
        handler: &mut impl Handler,
    ) -> u32 {
        if self.leftover.is_empty() {
            let (consumed, acks) = self.receive(input, output, replies, handler);
            self.leftover.extend_from_slice(&input[consumed..]);
            return acks;
        }
        let mut whole = std::mem::take(&mut self.leftover);
        whole.extend_from_slice(input);
        let (consumed, acks) = self.receive(&whole, output, replies, handler);
        whole.drain(..consumed);
        self.leftover = whole;
        acks
    }

    fn receive(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
        replies: &mut Replies,
        handler: &mut impl Handler,
    ) -> (usize, u32) {
        let (mut consumed, mut acks) = (0, 0);
        loop {
            let session = &mut self.session;
            let step = replies.serve(session, &input[consumed..], output, handler);
            consumed += step.consumed;
            acks += step.acks;
            if !step.paused {
                return (consumed, acks);
            }
        }
    }
}

fn find(connections: &mut Slab<Connection>, key: Key) -> Option<&mut Connection> {
    let connection = connections.get_mut(key.place as usize)?;
    (connection.serial == key.serial).then_some(connection)
}
