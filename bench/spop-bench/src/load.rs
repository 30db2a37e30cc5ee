//! A load thread: its poll loop, its phases, its schedule.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;

use mio::event::Event;
use mio::{Events, Poll, Token};

use crate::addresses::Draw;
use crate::asker::Asker;
use crate::connection::Flow;
use crate::control::{Control, Notice, Phase};
use crate::line::Line;
use crate::lines::{Lines, Tools};
use crate::meter::Meter;
use crate::outstanding::Waiting;
use crate::pace::Pace;
use crate::plan::{Bound, Load, Plan};
use crate::units;

/// The token of the waker.
pub(crate) const WAKER: Token = Token(usize::MAX);

const EVENTS: usize = 1024;

/// The most that is read at once, besides the head of a frame.
const INPUT_LEN: usize = 128 * 1024;

/// How often timeouts are looked at, in nanoseconds.
const SWEEP_NS: u64 = 100_000_000;

/// How often to see whether a connection can be opened, in nanoseconds.
const OPENING_NS: u64 = 1_000_000;

/// NOTIFYs that are sent in one turn at most, when an open loop has fallen behind.
const DUE_PER_TURN: usize = 1024;

/// An open loop sleeps only if the next NOTIFY is further away: a sleep is whole milliseconds.
const SLEEP_NS_LEAST: u64 = 3_000_000;

#[derive(Debug)]
pub(crate) struct LoadThread<'a> {
    plan: &'a Plan,
    control: &'a Control,
    notices: Sender<Notice>,
    index: usize,
    lines: Lines<'a>,
    pace: Option<Pace>,
    /// Connections with something to send.
    dirty: Vec<usize>,
    phase: Phase,
    next_sweep: u64,
    /// What was told last.
    told: Option<Notice>,
}

impl<'a> LoadThread<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        control: &'a Control,
        notices: Sender<Notice>,
        index: usize,
        poll: Poll,
    ) -> Result<Self, String> {
        let input_len = INPUT_LEN + 2 * plan.max_frame_size as usize;
        let seed = plan.seed.wrapping_add(index as u64);
        let tools = Tools {
            plan,
            clock: control.clock,
            input: vec![0; input_len].into_boxed_slice(),
            asker: Asker::new(plan.question.clone(), Draw::new(&plan.addresses, seed)),
            meter: Meter::new()?,
            draining: false,
        };
        let connections = plan.share(plan.connections as u64, index);
        Ok(Self {
            plan,
            control,
            notices,
            index,
            lines: Lines::new(connections, poll, tools),
            pace: None,
            dirty: Vec::new(),
            phase: Phase::Opening,
            next_sweep: 0,
            told: None,
        })
    }

    /// Runs through all phases and gives what was measured.
    pub(crate) fn run(mut self) -> Result<Meter, String> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let phase = self.control.phase();
            if phase != self.phase {
                self.enter(phase);
            }
            self.lines.open_some();
            self.send_due();
            self.report();
            if self.is_over() {
                break;
            }
            let sleep = self.sleep_ns();
            let polled = self.lines.poll(&mut events, sleep);
            polled.map_err(|error| format!("poll: {error}"))?;
            for event in &events {
                self.ready(event);
            }
            self.sweep();
        }
        let mut meter = self.lines.tools.meter;
        meter.flush();
        Ok(meter)
    }

    fn enter(&mut self, phase: Phase) {
        let tools = &mut self.lines.tools;
        let now = tools.clock.now();
        if self.pace.is_none()
            && let Load::Open { rate, .. } = self.plan.load
        {
            self.pace = Some(Pace::new(rate, self.index, self.plan.threads, now));
        }
        self.phase = phase;
        match (phase, self.plan.bound) {
            (Phase::Opening, _) => return,
            (Phase::WarmingUp, _) => tools.asker.allow(u64::MAX),
            (Phase::Measuring, Bound::Duration(_)) => {
                tools.asker.allow(u64::MAX);
                tools.meter.start(now, false);
            }
            (Phase::Measuring, Bound::Count(count)) => {
                tools.asker.allow(self.plan.share(count, self.index));
                tools.meter.start(now, true);
            }
            (Phase::Draining, _) => self.begin_to_drain(now),
        }
        self.lines.go_on();
    }

    fn begin_to_drain(&mut self, now: u64) {
        self.lines.close_opening();
        let Tools {
            asker,
            meter,
            draining,
            ..
        } = &mut self.lines.tools;
        asker.allow(0);
        *draining = true;
        if meter.stop()
            && let (Bound::Duration(_), Some(pace)) = (self.plan.bound, &mut self.pace)
        {
            while pace.next() < now {
                meter.give_up(pace.next(), now);
                meter.unsent += 1;
                pace.advance();
            }
        }
    }

    /// Sends what is due in an open loop, round the connections that have room.
    fn send_due(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        let sent = self.lines.tools.clock.now();
        for _ in 0..DUE_PER_TURN {
            let due = pace.next();
            if due > sent || !self.lines.tools.asker.may_ask() {
                break;
            }
            let Some(index) = self.lines.next_with_room() else {
                break;
            };
            pace.advance();
            let mut dirty = false;
            self.lines.visit(index, |line, _, tools| {
                if let Line::Up(connection) = line {
                    dirty = connection.ask(Waiting { due, sent }, tools)?;
                }
                Ok(Flow::Open)
            });
            if dirty {
                self.dirty.push(index);
            }
        }
        while let Some(index) = self.dirty.pop() {
            self.lines.visit(index, |line, site, _| match line {
                Line::Up(connection) => connection.flush(site).map(|()| Flow::Open),
                _ => Ok(Flow::Open),
            });
        }
    }

    fn ready(&mut self, event: &Event) {
        if event.token() != WAKER {
            let index = event.token().0;
            self.lines
                .visit(index, |line, site, tools| line.ready(event, site, tools));
        }
    }

    /// Looks at timeouts and gauges now and then.
    fn sweep(&mut self) {
        let now = self.lines.tools.clock.now();
        if now < self.next_sweep {
            return;
        }
        // If it is this thread that was held up, answers may be waiting: they come first.
        let held_up = now.saturating_sub(self.next_sweep) > SWEEP_NS;
        self.next_sweep = now + SWEEP_NS;
        if !held_up {
            self.lines.check(now);
        }
        self.publish();
    }

    /// Shows what is counted so far.
    fn publish(&self) {
        if let Some(gauge) = self.control.gauges.get(self.index) {
            let meter = &self.lines.tools.meter;
            gauge.open.store(self.lines.open() as u64, Relaxed);
            gauge.answered.store(meter.answered, Relaxed);
            gauge.wrong.store(meter.tally.total(), Relaxed);
        }
    }

    /// Tells the main thread what it waits for, once.
    fn report(&mut self) {
        let lines = &self.lines;
        let limits = &self.plan.timeouts;
        let patience = units::nanos(limits.connect.saturating_add(limits.hello));
        let opening = self.phase == Phase::Opening;
        let gave_up = if opening {
            lines.broken > 0
        } else {
            lines.open() == 0 && lines.none_open_for(lines.tools.clock.now()) > patience
        };
        let done = self.phase == Phase::Measuring && !lines.tools.asker.may_ask();
        let notice = match () {
            () if gave_up => Notice::GaveUp,
            () if opening && lines.open() == lines.len() => Notice::Opened,
            () if done && lines.none_in_flight() => Notice::Done,
            () => return,
        };
        if self.told != Some(notice) {
            self.told = Some(notice);
            self.publish();
            // The main thread is gone only if it has failed; there is nobody to tell then.
            let _ = self.notices.send(notice);
        }
    }

    fn is_over(&self) -> bool {
        let draining = self.lines.tools.draining;
        self.told == Some(Notice::GaveUp) || (draining && self.lines.all_down())
    }

    /// How long to wait for events, in nanoseconds.
    fn sleep_ns(&self) -> u64 {
        let now = self.lines.tools.clock.now();
        let mut nanos = self.next_sweep.saturating_sub(now);
        if let Some(at) = self.lines.next_to_open() {
            // What should be open by now waits for others to be.
            nanos = nanos.min(at.saturating_sub(now).max(OPENING_NS));
        }
        match &self.pace {
            Some(pace) if self.lines.tools.asker.may_ask() => {
                let due = pace.next().saturating_sub(now);
                nanos.min(due.saturating_sub(SLEEP_NS_LEAST))
            }
            _ => nanos,
        }
    }
}
