//! Peers that ask without end, and what became of every question.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use spoa::agent::BindAddress;
use spoa::spop::FrameType;

use super::{Peer, frames, until};

/// Threads that ask one question after the other.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Tally>>,
}

/// What became of questions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// The NOTIFY and a DISCONNECT met on the way: the protocol cannot avoid it.
    pub(crate) crossed: u64,
    /// Everything else, in words.
    pub(crate) lost: Vec<String>,
}

/// How one question ended.
enum Fate {
    Answered,
    Disconnected,
}

/// How a thread of the load uses connections.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Habit {
    /// A connection per question, closed with DISCONNECT.
    PerQuestion,
    /// One connection until the agent ends it, then another.
    Persistent,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self {
            stop: Arc::default(),
            answered: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Adds threads that ask this address.
    pub(crate) fn add(&mut self, threads: usize, habit: Habit, address: &BindAddress) {
        for _ in 0..threads {
            let (stop, answered) = (Arc::clone(&self.stop), Arc::clone(&self.answered));
            let address = address.clone();
            let run = move || {
                let (mut tally, mut peer) = (Tally::default(), None);
                while !stop.load(Ordering::Relaxed) {
                    match habit.ask(&address, &mut peer) {
                        Ok(Fate::Answered) => {
                            tally.answered += 1;
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        Ok(Fate::Disconnected) => tally.crossed += 1,
                        Err(error) => {
                            peer = None;
                            tally.lost.push(format!("{habit:?}: {error}"));
                        }
                    }
                }
                tally
            };
            self.threads.push(thread::spawn(run));
        }
    }

    /// Waits until this many more questions have been answered.
    pub(crate) fn runs_for(&self, questions: u64) {
        let enough = self.answered.load(Ordering::Relaxed) + questions;
        until("answers under load", || {
            self.answered.load(Ordering::Relaxed) >= enough
        });
    }

    /// Ends all threads and adds up what they saw.
    pub(crate) fn end(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for thread in self.threads {
            let tally = thread.join().unwrap();
            all.answered += tally.answered;
            all.crossed += tally.crossed;
            all.lost.extend(tally.lost);
        }
        all
    }
}

impl Habit {
    fn ask(self, address: &BindAddress, kept: &mut Option<Peer>) -> io::Result<Fate> {
        let open = kept.take().filter(Peer::is_silent);
        let mut peer = match open {
            Some(peer) => peer,
            // Also when the agent has said goodbye since the last answer.
            None => connect(address)?,
        };
        peer.try_send(&frames::notify(7, 1))?;
        let fate = fate(&mut peer)?;
        match (self, &fate) {
            (Self::PerQuestion, Fate::Answered) => {
                peer.try_send(&frames::disconnect(0))?;
                // Its own DISCONNECT comes back, or that of an agent that stops.
                while peer.receive()?.is_some() {}
            }
            (Self::Persistent, Fate::Answered) => *kept = Some(peer),
            (_, Fate::Disconnected) => {}
        }
        Ok(fate)
    }
}

fn connect(address: &BindAddress) -> io::Result<Peer> {
    let mut peer = Peer::try_connect(address)?;
    peer.try_send(&frames::hello())?;
    match peer.receive()? {
        Some(hello) if hello.kind == FrameType::AGENT_HELLO => Ok(peer),
        other => Err(io::Error::other(format!("HELLO answered with {other:?}"))),
    }
}

fn fate(peer: &mut Peer) -> io::Result<Fate> {
    match peer.receive()? {
        Some(ack) if ack.kind == FrameType::ACK => Ok(Fate::Answered),
        Some(goodbye) if goodbye.status() == Some(0) => Ok(Fate::Disconnected),
        other => Err(io::Error::other(format!("NOTIFY answered with {other:?}"))),
    }
}
