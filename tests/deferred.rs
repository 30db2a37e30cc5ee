//! Answers that are given later: exactly one ACK per NOTIFY, whenever, from wherever and in whatever
//! order it is sent.

#![cfg(test)]

mod support;

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use haproxy_spoa::{Agent, Counters, Deferred, Limits, Scope, handler};
use haproxy_spop::FrameType;

use support::{PATIENCE, Peer, frames, throughout, until};

/// Long enough never to be over in a test.
const NEVER: Duration = Duration::from_hours(1);

fn limits() -> Limits {
    Limits {
        deferred_timeout: NEVER,
        ..Limits::default()
    }
}

/// An agent of one worker that hands every deferred answer, with its frame-id, to the test.
fn agent(limits: Limits) -> (Agent, Receiver<(u64, Deferred)>) {
    let (to, from): (Sender<_>, _) = mpsc::channel();
    let builder = Agent::bind("127.0.0.1:0").unwrap().limits(limits);
    let agent = builder.spawn(|_| {
        let to = to.clone();
        handler(move |notify, mut reply| {
            reply.set_var(Scope::Session, "early", true);
            // Nobody waits any more when a test is over.
            let _ = to.send((notify.frame_id, reply.defer()));
        })
    });
    (agent.unwrap(), from)
}

fn counters(agent: &Agent) -> Counters {
    let mut all = Counters::default();
    for worker in agent.control().report(PATIENCE).workers {
        all.add(&worker.counters);
    }
    all
}

fn send(mut deferred: Deferred, score: u64) {
    deferred.set_var(Scope::Session, "ip_score", score);
    deferred.send();
}

/// The frame-ids of the next ACKs, and whether each has actions.
fn acks(peer: &mut Peer, count: usize) -> Vec<(u64, bool)> {
    let mut acks = Vec::new();
    for _ in 0..count {
        let ack = peer.frame();
        assert_eq!(ack.kind, FrameType::ACK);
        acks.push((ack.ids.1, !ack.payload.is_empty()));
    }
    acks
}

#[test]
fn answers_in_any_order_from_many_threads_are_one_ack_each() {
    const COUNT: u32 = 400;
    let (agent, deferred) = agent(limits());
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    peer.send(&frames::empty_notifies(0..COUNT.into()));
    let mut all: Vec<_> = (0..COUNT)
        .map(|_| deferred.recv_timeout(PATIENCE).unwrap())
        .collect();
    assert!(peer.is_silent());
    // Backwards, by four threads, some of them unsent.
    all.reverse();
    thread::scope(|scope| {
        while !all.is_empty() {
            let part = all.split_off(all.len().saturating_sub(COUNT as usize / 4));
            scope.spawn(|| {
                for (frame_id, answer) in part {
                    match frame_id % 7 {
                        0 => drop(answer),
                        _ => send(answer, frame_id),
                    }
                }
            });
        }
    });
    let mut seen = acks(&mut peer, COUNT as usize);
    seen.sort_unstable();
    let ids: Vec<_> = seen.iter().map(|(frame_id, _)| *frame_id).collect();
    assert!(ids.into_iter().eq(0..COUNT.into()));
    for (frame_id, has_actions) in seen {
        assert_eq!(has_actions, frame_id % 7 != 0, "{frame_id}");
    }
    assert!(peer.is_silent(), "no ACK twice");
    let counted = counters(&agent);
    let count = u64::from(COUNT);
    assert_eq!((counted.deferred, counted.notifies), (count, count));
    agent.control().drain();
    drop(peer);
    agent.join().unwrap();
}

#[test]
fn an_answer_that_is_too_late_was_given_up_and_is_not_sent_again() {
    let (agent, deferred) = agent(Limits {
        deferred_timeout: Duration::from_millis(50),
        ..limits()
    });
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    peer.send(&frames::empty_notifies(1..3));
    assert!(
        acks(&mut peer, 2)
            .iter()
            .all(|(_, has_actions)| !has_actions)
    );
    for _ in 0..2 {
        let (frame_id, answer) = deferred.recv_timeout(PATIENCE).unwrap();
        send(answer, frame_id);
    }
    until("both are counted", || counters(&agent).late == 2);
    assert!(peer.is_silent());
    let counted = counters(&agent);
    assert_eq!((counted.expired, counted.notifies), (2, 2));
    agent.control().drain();
    drop(peer);
    agent.join().unwrap();
}

#[test]
fn an_answer_whose_connection_has_gone_reaches_no_other() {
    let (agent, deferred) = agent(limits());
    let address = agent.addresses()[0].clone();
    let mut gone = Peer::greeted(&address);
    gone.send(&frames::empty_notifies(1..2));
    let (_, answer) = deferred.recv_timeout(PATIENCE).unwrap();
    drop(gone);
    until("it has gone", || counters(&agent).closed == 1);
    // This one gets the slot that the other one had.
    let mut peer = Peer::greeted(&address);
    send(answer, 1);
    until("the answer is counted", || counters(&agent).dropped == 1);
    assert!(peer.is_silent());
    peer.send(&frames::empty_notifies(5..6));
    let (_, answer) = deferred.recv_timeout(PATIENCE).unwrap();
    send(answer, 5);
    assert_eq!(acks(&mut peer, 1).len(), 1);
    agent.control().drain();
    drop(peer);
    agent.join().unwrap();
}

#[test]
fn at_a_limit_the_answer_is_an_empty_ack_at_once() {
    let per_connection = Limits {
        deferred_per_connection: 3,
        ..limits()
    };
    let per_worker = Limits {
        deferred_per_worker: 3,
        ..limits()
    };
    for limits in [per_connection, per_worker] {
        let (agent, deferred) = agent(limits);
        let mut peer = Peer::greeted(&agent.addresses()[0]);
        peer.send(&frames::empty_notifies(0..5));
        let at_once = acks(&mut peer, 2);
        assert!(at_once.iter().all(|(_, has_actions)| !has_actions));
        assert!(peer.is_silent());
        let counted = counters(&agent);
        assert_eq!((counted.deferred, counted.deferred_refused), (3, 2));
        for _ in 0..5 {
            let (frame_id, answer) = deferred.recv_timeout(PATIENCE).unwrap();
            send(answer, frame_id);
        }
        assert!(
            acks(&mut peer, 3)
                .iter()
                .all(|(_, has_actions)| *has_actions)
        );
        assert!(peer.is_silent());
        // There is room again.
        peer.send(&frames::empty_notifies(5..6));
        let (frame_id, answer) = deferred.recv_timeout(PATIENCE).unwrap();
        send(answer, frame_id);
        assert!(acks(&mut peer, 1)[0].1);
        agent.control().drain();
        drop(peer);
        agent.join().unwrap();
    }
}

#[test]
fn a_shutdown_waits_for_deferred_answers() {
    let (agent, deferred) = agent(Limits {
        drain_timeout: NEVER,
        drain_grace: Duration::from_millis(10),
        ..limits()
    });
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    peer.send(&frames::empty_notifies(0..2));
    let [first, second] = [0, 1].map(|_| deferred.recv_timeout(PATIENCE).unwrap());
    agent.control().drain();
    throughout(Duration::from_millis(150), "it waits", || peer.is_silent());
    send(second.1, 2);
    assert_eq!(acks(&mut peer, 1), [(second.0, true)]);
    throughout(Duration::from_millis(100), "it waits", || peer.is_silent());
    send(first.1, 1);
    assert_eq!(acks(&mut peer, 1), [(first.0, true)]);
    peer.dismissed(0);
    drop(peer);
    agent.join().unwrap();
}

#[test]
fn answers_after_the_agent_has_stopped_go_nowhere() {
    let (agent, deferred) = agent(Limits {
        drain_timeout: Duration::from_millis(50),
        ..limits()
    });
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    peer.send(&frames::empty_notifies(0..1));
    let (frame_id, answer) = deferred.recv_timeout(PATIENCE).unwrap();
    agent.control().drain();
    agent.join().unwrap();
    send(answer, frame_id);
}

/// Answers that the socket does not take wait in order behind what is unsent.
#[test]
fn a_peer_that_does_not_read_gets_every_answer_when_it_does() {
    let limits = Limits {
        deferred_per_connection: 100_000,
        ..limits()
    };
    let (agent, deferred) = agent(limits);
    let (socket, to) = Peer::socket(&agent.addresses()[0]);
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&to).unwrap();
    let mut peer = Peer::over(socket);
    peer.greet();
    let (mut next, large) = (0_u32, vec![7; 4000]);
    // Every answer is sent, until the socket takes no more.
    while counters(&agent).paused == 0 {
        peer.send(&frames::empty_notifies(next.into()..u64::from(next) + 100));
        let fresh = deferred.try_iter();
        for (_, mut answer) in fresh {
            answer.set_var(
                Scope::Session,
                "large",
                haproxy_spoa::TypedData::Binary(&large),
            );
            answer.send();
        }
        next += 100;
        assert!(next < 100_000, "no socket holds so much");
    }
    let rest = thread::spawn(move || {
        while let Ok((frame_id, answer)) = deferred.recv() {
            send(answer, frame_id);
        }
    });
    let mut seen: Vec<_> = acks(&mut peer, next as usize);
    seen.sort_unstable();
    let ids: Vec<_> = seen.into_iter().map(|(frame_id, _)| frame_id).collect();
    assert!(ids.into_iter().eq(0..next.into()));
    assert!(peer.is_silent());
    agent.control().drain();
    drop(peer);
    agent.join().unwrap();
    rest.join().unwrap();
}
