//! Peers that ask without end, and what became of every question.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use haproxy_spoa::BindAddress;
use haproxy_spop::FrameType;

use super::{Peer, Received, frames, until};

/// A shutdown gives a connection 50 ms to speak up, by the agent's clock.
const GRACE: Duration = Duration::from_millis(45);

/// After its goodbye an agent waits this long for the peer to close.
const LINGER: Duration = Duration::from_secs(2);

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
    /// Met a DISCONNECT on the way, after a silence: the protocol cannot avoid it.
    pub(crate) crossed: u64,
    /// Everything else, in words.
    pub(crate) lost: Vec<String>,
}

/// How one question ended.
enum Fate {
    Answered,
    Crossed,
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
                        Ok(Fate::Crossed) => tally.crossed += 1,
                        Err(error) => {
                            peer = None;
                            tally.lost.push(format!("{habit:?} to {address}: {error}"));
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

/// A connection, and when it was opened or last asked a question that was answered.
type Kept = Option<(Peer, Instant)>;

impl Habit {
    fn ask(self, address: &BindAddress, kept: &mut Kept) -> io::Result<Fate> {
        let began = Instant::now();
        match self.try_ask(address, kept) {
            // A thread that did not get to run for so long finds that the agent waits no more.
            Err(error) if began.elapsed() > LINGER && is_over(&error) => Ok(Fate::Crossed),
            result => result,
        }
    }

    fn try_ask(self, address: &BindAddress, kept: &mut Kept) -> io::Result<Fate> {
        // Unless the agent has said goodbye since the last answer.
        let open = kept.take().filter(|(peer, _)| peer.is_silent());
        let (mut peer, heard) = match open {
            Some(open) => open,
            None => match connect(address)? {
                Some(open) => open,
                None => return Ok(Fate::Crossed),
            },
        };
        // Not when the answer is seen: on a busy machine that may be long after it came.
        let asked = Instant::now();
        told("NOTIFY", asked, peer.try_send(&frames::notify(7, 1)))?;
        match (self, told("ACK", asked, peer.receive())?) {
            (_, Some(goodbye)) if goodbye.status() == Some(0) => crossed(heard),
            (_, other) if other.as_ref().is_none_or(|it| it.kind != FrameType::ACK) => {
                Err(wrong("NOTIFY", asked, other.as_ref()))
            }
            (Self::Persistent, _) => {
                *kept = Some((peer, asked));
                Ok(Fate::Answered)
            }
            (Self::PerQuestion, _) => {
                told("DISCONNECT", asked, peer.try_send(&frames::disconnect(0)))?;
                // Its own DISCONNECT comes back, or that of an agent that stops.
                while told("the end", asked, peer.receive())?.is_some() {}
                // Both sides have closed. A reset now takes from the kernel what it would keep of the
                // connection for a minute more, thousands of times.
                peer.reset();
                Ok(Fate::Answered)
            }
        }
    }
}

/// What came of a step. An error says at which step, and how long after the beginning.
fn told<T>(step: &str, since: Instant, came: io::Result<T>) -> io::Result<T> {
    let after = since.elapsed();
    came.map_err(|error| io::Error::new(error.kind(), format!("{step}, {after:?}: {error}")))
}

fn is_over(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// None if a goodbye met our HELLO.
fn connect(address: &BindAddress) -> io::Result<Kept> {
    let opened = Instant::now();
    let mut peer = told("connecting", opened, Peer::try_connect(address))?;
    told("HELLO", opened, peer.try_send(&frames::hello()))?;
    match told("AGENT-HELLO", opened, peer.receive())? {
        Some(hello) if hello.kind == FrameType::AGENT_HELLO => Ok(Some((peer, opened))),
        Some(goodbye) if goodbye.status() == Some(0) => crossed(opened).map(|_| None),
        other => Err(wrong("HELLO", opened, other.as_ref())),
    }
}

/// A goodbye instead of an answer. Nobody can do anything about it if the peer was silent for as long
/// as a shutdown waits; to one that had just been heard of it must not happen.
fn crossed(heard: Instant) -> io::Result<Fate> {
    let silent = heard.elapsed();
    if silent < GRACE {
        return Err(io::Error::other(format!("goodbye after {silent:?}")));
    }
    Ok(Fate::Crossed)
}

fn wrong(question: &str, since: Instant, answer: Option<&Received>) -> io::Error {
    let after = since.elapsed();
    io::Error::other(format!(
        "{question} answered after {after:?} with {answer:?}"
    ))
}
