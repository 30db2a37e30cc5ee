//! All connections of a load thread: which are up, which are to be opened, and what follows when one
//! ends.

use std::collections::VecDeque;
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::asker::Asker;
use crate::connection::{Flow, Site};
use crate::control::Clock;
use crate::dialogue::Broken;
use crate::line::Line;
use crate::meter::Meter;
use crate::plan::Plan;

/// How long a connection that failed stays down, in nanoseconds.
const RETRY_NS: u64 = 50_000_000;

/// How long to wait when the agent's queue is full, in nanoseconds.
const QUEUE_FULL_NS: u64 = 1_000_000;

/// Connections that a thread opens at the same time: an agent's queue holds more.
const OPENING_MAX: usize = 64;

/// What every connection of a thread uses in its turn.
#[derive(Debug)]
pub(crate) struct Tools<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) clock: Clock,
    pub(crate) input: Box<[u8]>,
    pub(crate) asker: Asker,
    pub(crate) meter: Meter,
    /// No more questions; connections leave when they are answered.
    pub(crate) draining: bool,
}

#[derive(Debug)]
pub(crate) struct Lines<'a> {
    poll: Poll,
    all: Vec<Line>,
    /// Lines that are down, and when they are to be opened.
    to_open: VecDeque<(u64, usize)>,
    pub(crate) tools: Tools<'a>,
    /// The line whose turn it is.
    turn: usize,
    /// How many can send NOTIFYs.
    open: usize,
    none_open_since: u64,
    /// Connections that ended otherwise than they should.
    pub(crate) broken: u64,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(count: u64, poll: Poll, tools: Tools<'a>) -> Self {
        let all: Vec<_> = (0..count).map(|_| Line::Down).collect();
        Self {
            poll,
            to_open: (0..all.len()).map(|index| (0, index)).collect(),
            all,
            tools,
            turn: 0,
            open: 0,
            none_open_since: 0,
            broken: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// How many can send NOTIFYs.
    pub(crate) const fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn all_down(&self) -> bool {
        self.all.iter().all(Line::is_down)
    }

    pub(crate) fn none_in_flight(&self) -> bool {
        self.all.iter().all(|line| line.in_flight() == 0)
    }

    /// How long not one has been open, in nanoseconds.
    pub(crate) const fn none_open_for(&self, now: u64) -> u64 {
        match self.open {
            0 => now.saturating_sub(self.none_open_since),
            _ => 0,
        }
    }

    /// Waits for events, at most so long.
    pub(crate) fn poll(&mut self, events: &mut Events, nanos: u64) -> std::io::Result<()> {
        let sleep = Duration::from_nanos(nanos);
        match self.poll.poll(events, Some(sleep)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens what is down, a few at a time.
    pub(crate) fn open_some(&mut self) {
        if self.to_open.is_empty() || self.tools.draining {
            return;
        }
        let now = self.tools.clock.now();
        let mut opening = self.all.iter().filter(|line| line.is_opening()).count();
        while opening < OPENING_MAX
            && let Some(&(at, index)) = self.to_open.front()
            && at <= now
        {
            self.to_open.pop_front();
            opening += 1;
            let mut queued = true;
            self.visit(index, |line, site, tools| {
                queued = line.open(site, tools)?;
                Ok(Flow::Open)
            });
            if !queued {
                self.to_open.push_front((now + QUEUE_FULL_NS, index));
                return;
            }
        }
    }

    /// When one is to be opened next. `None` if none is down.
    pub(crate) fn next_to_open(&self) -> Option<u64> {
        let (at, _) = self.to_open.front()?;
        (!self.tools.draining).then_some(*at)
    }

    /// Gives up those that have not got as far as HELLO.
    pub(crate) fn close_opening(&mut self) {
        for line in &mut self.all {
            if line.is_opening() {
                *line = Line::Down;
            }
        }
    }

    /// Looks at every timeout.
    pub(crate) fn check(&mut self, now: u64) {
        for index in 0..self.all.len() {
            self.visit(index, |line, _, tools| line.check(now, tools));
        }
    }

    /// Lets every connection do what it would do next.
    pub(crate) fn go_on(&mut self) {
        for index in 0..self.all.len() {
            self.visit(index, |line, site, tools| match line {
                Line::Up(connection) => connection.go_on(site, tools).map(|()| Flow::Open),
                _ => Ok(Flow::Open),
            });
        }
    }

    /// The next one round that has room for a NOTIFY.
    pub(crate) fn next_with_room(&mut self) -> Option<usize> {
        for _ in 0..self.all.len() {
            let index = self.turn;
            self.turn = (index + 1) % self.all.len();
            if let Some(Line::Up(connection)) = self.all.get(index)
                && connection.has_room(&self.tools)
            {
                return Some(index);
            }
        }
        None
    }

    /// Does something with a line, and what follows from the result.
    pub(crate) fn visit(
        &mut self,
        index: usize,
        what: impl FnOnce(&mut Line, Site<'_>, &mut Tools<'_>) -> Result<Flow, Broken>,
    ) {
        let Some(line) = self.all.get_mut(index) else {
            return;
        };
        let (registry, token) = (self.poll.registry(), Token(index));
        let was_open = line.is_open();
        match what(line, Site { registry, token }, &mut self.tools) {
            Ok(Flow::Open) => {}
            Ok(Flow::Ended) => {
                *line = Line::Down;
                self.to_open.push_front((0, index));
            }
            Err(broken) => {
                let now = self.tools.clock.now();
                line.give_up(broken, now, &mut self.tools);
                self.to_open.push_back((now + RETRY_NS, index));
                self.broken += 1;
            }
        }
        match (was_open, line.is_open()) {
            (false, true) => self.open += 1,
            (true, false) => {
                self.open -= 1;
                self.none_open_since = self.tools.clock.now();
            }
            _ => {}
        }
    }
}
