//! Clients that are right: every answer to them is checked.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::frames;
use crate::peer::{Known, Peer, Target, known};
use crate::shared::Shared;

/// Questions at once of a pipelined client, as HAProxy 3.2 allows itself.
const PIPELINED: u64 = 20;
/// A slow reader asks tens of thousands of questions until it is stopped: the others are to be seen too.
const READER_REST: Duration = Duration::from_secs(15);
/// Questions on a connection before a client opens another.
const KEPT: u64 = 20_000;

/// When a HELLO is certainly late: `--hello-timeout` is 5 s from the accept.
const HELLO_AT_MOST: Duration = Duration::from_secs(4);

/// Questions of the probe in a second.
pub(crate) const PROBES: u64 = 1000;
/// The probe changes its connection so often, so that both workers are seen.
const PROBE_KEPT: Duration = Duration::from_secs(20);

/// Asks so many at once, again and again.
fn asks(shared: &Shared, target: &Target, who: &str, at_once: u64, pause: Duration) {
    let mut kept: Option<(Peer, u64)> = None;
    shared.again(who, pause, || {
        let (mut peer, asked) = match kept.take() {
            Some(kept) => kept,
            None => (Peer::greeted(target)?, 0),
        };
        peer.ask(at_once)?;
        shared.answered.fetch_add(at_once, Relaxed);
        if asked > KEPT {
            return peer.leave();
        }
        kept = Some((peer, asked + at_once));
        Ok(())
    });
}

pub(crate) fn pipelined(shared: &Shared, target: &Target) {
    asks(
        shared,
        target,
        "pipelined",
        PIPELINED,
        Duration::from_millis(20),
    );
}

pub(crate) fn one_in_flight(shared: &Shared, target: &Target) {
    asks(shared, target, "one in flight", 1, Duration::from_millis(4));
}

/// A connection for a few questions, which ends in one of the ways in which connections end.
pub(crate) fn churn(shared: &Shared, target: &Target) {
    let mut round = 0;
    shared.again("churn", Duration::from_millis(20), || {
        round += 1;
        let mut peer = Peer::greeted(target)?;
        peer.ask(round % 4)?;
        shared.answered.fetch_add(round % 4, Relaxed);
        match round % 3 {
            0 => peer.leave(),
            // With a question on its way that nobody waits for.
            1 => peer.send(&frames::notify(99_999, known(0).address)),
            _ => Ok(()),
        }
    });
}

/// A byte at a time.
pub(crate) fn slow_writer(shared: &Shared, target: &Target) {
    let mut kept: Option<Peer> = None;
    let drip = |peer: &mut Peer, bytes: &[u8]| {
        for byte in bytes {
            peer.send(&[*byte])?;
            shared.pause(Duration::from_millis(15));
        }
        Ok::<_, String>(())
    };
    shared.again("slow writer", Duration::ZERO, || {
        let mut peer = match kept.take() {
            Some(peer) => peer,
            None => {
                let began = Instant::now();
                let mut peer = Peer::connect(target)?;
                let sent = drip(&mut peer, &frames::hello());
                // This thread was not let run: the agent may have given up, and rightly so.
                if began.elapsed() >= HELLO_AT_MOST {
                    return Ok(());
                }
                sent?;
                peer.is_greeted()?;
                peer
            }
        };
        let id = peer.next_id();
        let question = known(id);
        drip(&mut peer, &frames::notify(id, question.address))?;
        question.check(&peer.frame()?, id)?;
        shared.answered.fetch_add(1, Relaxed);
        if id < 10 {
            kept = Some(peer);
            return Ok(());
        }
        peer.leave()
    });
}

/// Asks until nothing more can be written, reads nothing for a while, and then all of it: every question
/// that was written has its answer.
pub(crate) fn slow_reader(shared: &Shared, target: &Target) {
    shared.again("slow reader", READER_REST, || {
        let mut peer = Peer::greeted(target)?;
        let mut asked: Vec<(Known, u64)> = Vec::new();
        let mut unsent = Vec::new();
        let began = Instant::now();
        // Both sides' buffers are full in far less.
        while began.elapsed() < Duration::from_secs(3) && asked.len() < 400_000 && !shared.is_over()
        {
            for _ in 0..200 {
                let id = peer.next_id();
                let question = known(id);
                unsent.extend(frames::notify(id, question.address));
                asked.push((question, id));
            }
            while !unsent.is_empty() {
                match peer.send_some(&unsent)? {
                    Some(len) => drop(unsent.drain(..len)),
                    None => break,
                }
            }
            if !unsent.is_empty() {
                break;
            }
        }
        shared.pause(Duration::from_secs(3));
        // The rest goes as answers come.
        let mut reader = peer.reader()?;
        let count = asked.len() as u64;
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || {
                asked
                    .iter()
                    .try_for_each(|(question, id)| question.check(&reader.frame()?, *id))
            });
            let sent = peer.send(&unsent);
            let read = reading
                .join()
                .map_err(|_| "the reader panicked".to_owned())?;
            sent.and(read)
        })?;
        shared.answered.fetch_add(count, Relaxed);
        peer.leave()
    });
}

/// A question in fragments, large enough to be put together from many.
pub(crate) fn fragmented(shared: &Shared, target: &Target) {
    let mut kept: Option<Peer> = None;
    shared.again("fragments", Duration::from_millis(100), || {
        let mut peer = match kept.take() {
            Some(peer) => peer,
            None => Peer::greeted(target)?,
        };
        let id = peer.next_id();
        let question = known(id);
        let len = 20_000 + (id as usize % 20) * 11_000;
        peer.send(&frames::fragments(id, question.address, len))?;
        question.check(&peer.frame()?, id)?;
        shared.answered.fetch_add(1, Relaxed);
        if id < 50 {
            kept = Some(peer);
            return Ok(());
        }
        peer.leave()
    });
}

/// Questions at a fixed rate, whether answers keep up or not. A latency counts from when a question was
/// due, which its number tells, so that a stall cannot hide.
pub(crate) fn probe(shared: &Shared, target: &Target) {
    shared.again("probe", Duration::ZERO, || {
        let mut peer = Peer::greeted(target)?;
        let mut reader = peer.reader()?;
        let period = Duration::from_secs(1) / PROBES as u32;
        let questions = PROBE_KEPT.as_secs() * PROBES;
        let start = Instant::now() + period;
        let due = |id: u64| start + period * id as u32;
        let answered = |id: u64| {
            let ack = reader.frame()?;
            let took = Instant::now().saturating_duration_since(due(id));
            known(id).check(&ack, id)?;
            shared.took(took.as_nanos() as u64);
            shared.answered.fetch_add(1, Relaxed);
            Ok::<_, String>(())
        };
        let asked = std::thread::scope(|scope| {
            let (count, counts) = std::sync::mpsc::channel();
            let reading = scope.spawn(move || {
                let mut answered = answered;
                // A number for every question that was sent.
                counts.into_iter().try_for_each(&mut answered)
            });
            let mut sent = Ok(());
            for id in 1..=questions {
                while let left = due(id).saturating_duration_since(Instant::now())
                    && !left.is_zero()
                {
                    std::thread::park_timeout(left);
                }
                sent = peer.send(&frames::notify(id, known(id).address));
                if sent.is_err() || shared.is_over() || count.send(id).is_err() {
                    break;
                }
            }
            drop(count);
            let read = reading
                .join()
                .map_err(|_| "the reader panicked".to_owned())?;
            sent.and(read)
        });
        peer.shut();
        asked
    });
}
