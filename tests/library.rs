//! An agent of one's own, with nothing but the library.

#![cfg(test)]

mod support;

use std::io::Read as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use haproxy_spoa::Agent;
use haproxy_spoa::{BindAddress, Builder, Limits, StartError, WorkerError, WorkerReport};
use haproxy_spoa::{Handler, Notify, Reply, Scope, TypedData, handler};
use haproxy_spop::session::SessionConfig;
use haproxy_spop::{Frame, FrameType};

use support::{PATIENCE, Peer, frames, own_loopback, until};

/// Answers every NOTIFY with this score.
fn always(score: u32) -> impl Handler + Send + 'static {
    handler(move |_, mut reply| reply.set_var(Scope::Session, "ip_score", score))
}

fn builder() -> Builder {
    Agent::builder().bind(BindAddress::parse("127.0.0.1", 0).unwrap())
}

/// Stops an agent as its user would.
fn stop(agent: Agent) {
    agent.control().drain();
    agent.join().unwrap();
}

#[test]
fn a_closure_is_an_agent() {
    let agent = builder()
        .workers(2)
        .spawn(|worker| always([40, 41][worker]))
        .unwrap();
    let (address, control) = (agent.addresses()[0].clone(), agent.control());
    assert!(
        matches!(&address, BindAddress::Tcp(tcp) if tcp.port() > 0),
        "{address}"
    );
    assert_eq!(agent.cores().len(), 2);
    assert!(agent.cores().iter().all(Option::is_some));
    assert!(agent.connections_max() > 0);

    let mut peers = [Peer::greeted(&address), Peer::greeted(&address)];
    assert_eq!(control.open(), [1, 1]);
    let mut scores = [peers[0].ask(), peers[1].ask()];
    scores.sort_unstable();
    assert_eq!(
        scores,
        [40, 41],
        "each worker has the handler that was made for it"
    );

    let report = control.report(PATIENCE);
    let counted = |it: &WorkerReport| (it.worker, it.open, it.latency.count());
    let counts: Vec<_> = report.workers.iter().map(counted).collect();
    assert_eq!(
        (counts, report.silent),
        (vec![(0, 1, 1), (1, 1, 1)], vec![])
    );

    control.drain();
    control.drain();
    for peer in &mut peers {
        peer.dismissed(0);
    }
    drop(peers);
    agent.join().unwrap();
    assert!(
        Peer::try_connect(&address).is_err(),
        "nobody listens any more"
    );
    assert_eq!(control.open(), [0, 0]);
    assert_eq!(control.report(PATIENCE).silent, [0, 1]);
}

#[test]
fn an_action_that_does_not_fit_is_left_out_and_counted() {
    let greedy = |_| {
        handler(|_, mut reply| {
            let large = vec![7; 20_000];
            reply.set_var(Scope::Session, "large", TypedData::Binary(&large));
            reply.set_var(Scope::Session, "ip_score", 1_u32);
        })
    };
    let agent = builder().spawn(greedy).unwrap();
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    peer.send(&frames::notify(3, 4));
    let ack = peer.frame();
    assert_eq!(
        (ack.kind, ack.ids, ack.score()),
        (FrameType::ACK, (3, 4), 1)
    );
    let report = agent.control().report(PATIENCE);
    assert_eq!(report.workers[0].counters.actions_dropped, 1);
    drop(peer);
    stop(agent);
}

#[test]
fn a_handler_that_panics_ends_the_agent_with_its_workers_number() {
    let panics = |worker: usize| {
        handler(move |notify, _| {
            assert!(worker != 1 || notify.frame_id != 2, "a bug in the handler");
        })
    };
    let agent = builder().workers(2).spawn(panics).unwrap();
    let (address, control) = (agent.addresses()[0].clone(), agent.control());
    let mut peers = [Peer::greeted(&address), Peer::greeted(&address)];
    for peer in &mut peers {
        peer.send(&frames::empty_notifies(1..2));
        peer.acks(1..2);
    }
    let joined = std::thread::spawn(move || agent.join());
    // One of the two is with worker 1, which has seen that it does not answer.
    for peer in &mut peers {
        peer.send(&frames::empty_notifies(2..3));
    }
    let error = joined.join().unwrap().unwrap_err();
    assert!(
        matches!(error, WorkerError::Panicked { worker: 1 }),
        "{error}"
    );
    let answers = peers.each_mut().map(|peer| peer.receive().ok().flatten());
    assert_eq!(
        answers.iter().filter(|answer| answer.is_some()).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(control.report(PATIENCE).silent, [1]);
    control.drain();
    drop(peers);
    until("the other worker has ended", || {
        control.report(PATIENCE).silent == [0, 1]
    });
}

#[test]
fn an_agent_that_cannot_start_leaves_nothing_behind() {
    assert!(matches!(
        Agent::builder().spawn(|_| always(1)),
        Err(StartError::NoAddress)
    ));
    assert!(matches!(
        builder().workers(0).spawn(|_| always(1)),
        Err(StartError::NoWorkers)
    ));
    let no_core = builder().cores(vec![4095]).spawn(|_| always(1));
    assert!(matches!(no_core, Err(StartError::NoCores)), "{no_core:?}");

    let taken = builder().spawn(|_| always(1)).unwrap();
    let free = BindAddress::Tcp((own_loopback(), 12345).into());
    let both = || {
        Agent::builder()
            .bind(free.clone())
            .bind(taken.addresses()[0].clone())
    };
    for workers in [1, 3] {
        let failed = both().workers(workers).spawn(|_| always(1));
        assert!(
            matches!(failed, Err(StartError::InUse { .. })),
            "{failed:?}"
        );
        assert!(Peer::try_connect(&free).is_err());
    }
    stop(Agent::builder().bind(free).spawn(|_| always(1)).unwrap());
    stop(taken);
}

#[test]
fn limits_of_next_to_nothing_change_no_answer() {
    let limits = Limits {
        turn_bytes: 1,
        terms: SessionConfig {
            output_high_water: 1,
            max_frame_size: 256,
            ..SessionConfig::default()
        },
        ..Limits::default()
    };
    let agent = builder().limits(limits).spawn(|_| always(9)).unwrap();
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    let all: Vec<u8> = (1..=200).flat_map(|id| frames::notify(id, id)).collect();
    peer.send(&all);
    peer.half_close();
    for id in 1..=200 {
        let ack = peer.frame();
        assert_eq!((ack.ids, ack.score()), ((id, id), 9));
    }
    peer.ended();
    stop(agent);
}

/// Without time for a turn, two connections that each have thousands of NOTIFYs waiting are answered in
/// turns of 4 KiB, whatever a NOTIFY costs. (It can be a few turns until the worker learns of the other.)
#[test]
fn costly_notifies_of_one_connection_do_not_delay_the_others() {
    const NOTIFIES: u64 = 2000;
    let limits = Limits {
        turn_time: Some(Duration::ZERO),
        ..Limits::default()
    };
    let (seen, order) = mpsc::channel();
    let (start, started) = mpsc::channel::<()>();
    let mut gate = Some((seen, started));
    let agent = builder()
        .limits(limits)
        .workers(1)
        .spawn(move |_| {
            let (seen, started) = gate.take().unwrap();
            let mut is_waiting = true;
            move |notify: &Notify<'_>, _: Reply<'_>| {
                seen.send(notify.stream_id).unwrap();
                if core::mem::take(&mut is_waiting) {
                    // Until both connections have sent everything.
                    started.recv().unwrap();
                }
            }
        })
        .unwrap();
    let mut peers: Vec<_> = (0..2)
        .map(|_| Peer::greeted(&agent.addresses()[0]))
        .collect();
    for (peer, stream_id) in peers.iter_mut().zip(0..) {
        let all: Vec<u8> = (0..NOTIFIES)
            .flat_map(|id| frames::notify(stream_id, id))
            .collect();
        peer.send(&all);
    }
    start.send(()).unwrap();
    let order: Vec<u64> = order.iter().take(2 * NOTIFIES as usize).collect();
    let runs: Vec<_> = order
        .chunk_by(|one, other| one == other)
        .map(<[u64]>::len)
        .collect();
    let longest_while_both_wait = runs[..runs.len() - 2].iter().max();
    assert!(longest_while_both_wait < Some(&640), "{runs:?}");
    drop(peers);
    stop(agent);
}

/// Two answers that leave one after the other, to a peer that acknowledges late, as it may: without
/// `TCP_NODELAY` the second one waits for the acknowledgement of the first, about 40 ms.
#[test]
fn an_answer_does_not_wait_for_the_one_before_to_be_acknowledged() {
    let pair = |id| frames::empty_notifies(id..id + 2);
    // A turn for each of the two.
    let limits = Limits {
        turn_bytes: pair(0).len() / 2,
        ..Limits::default()
    };
    let agent = builder().limits(limits).spawn(|_| always(1)).unwrap();
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    let mut round = |id| {
        peer.socket.set_tcp_quickack(false).unwrap();
        let before = Instant::now();
        peer.send(&pair(id));
        peer.acks(id..id + 2);
        before.elapsed()
    };
    // The machine may be slow now and then; the delay would be in every round.
    let mut quick = |id: u64| round(2 * id) < Duration::from_millis(20);
    assert!((0..200).any(&mut quick));
    drop(peer);
    stop(agent);
}

/// `HAProxy` 3.2 resets a connection whose AGENT-HELLO arrives in two segments. What is written at once
/// is read at once over the loopback.
#[test]
fn the_hello_and_what_came_with_it_are_answered_with_one_write() {
    let agent = builder().spawn(|_| always(5)).unwrap();
    for notifies in [0, 1, 8] {
        let mut input = frames::hello().to_vec();
        for id in 0..notifies {
            input.extend_from_slice(&frames::notify(1, id));
        }
        for _ in 0..20 {
            let mut peer = Peer::connect(&agent.addresses()[0]);
            peer.send(&input);
            let mut bytes = [0; 4096];
            let read = peer.socket.read(&mut bytes).unwrap();
            let (mut rest, mut kinds) = (&bytes[..read], Vec::new());
            while let Some((frame, behind)) = Frame::split_first(rest, 16_380).unwrap() {
                kinds.push(frame.kind);
                rest = behind;
            }
            assert!(rest.is_empty(), "a frame in two pieces");
            assert_eq!(kinds[0], FrameType::AGENT_HELLO);
            assert_eq!(kinds.len() as u64, 1 + notifies);
        }
    }
    stop(agent);
}

#[test]
fn an_error_is_a_sentence_also_where_main_returns_it() {
    let error = Agent::bind("localhost").unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("cannot listen on \"localhost\": "),
        "{text}"
    );
    assert_eq!(format!("{error:?}"), text);
    let taken = builder().spawn(|_| always(1)).unwrap();
    let address = taken.addresses()[0].to_string();
    let error = Agent::bind(&address).unwrap().run(|_, _| {}).unwrap_err();
    let text = format!("{error:?}");
    assert_eq!(text, format!("{address} is in use by another process"));
    stop(taken);
}

#[test]
fn an_empty_ack_is_filled_if_it_is_asked_for() {
    let builder = builder().fill_empty_acks(Scope::Response, "none");
    let agent = builder.spawn(|_| {
        handler(|notify, reply| {
            if notify.frame_id == 2 {
                drop(reply.defer());
            }
        })
    });
    let agent = agent.unwrap();
    let mut peer = Peer::greeted(&agent.addresses()[0]);
    for id in 1..3 {
        peer.send(&frames::empty_notifies(id..id + 1));
        let ack = peer.frame();
        assert_eq!(ack.payload, b"\x02\x02\x04\x04none");
    }
    drop(peer);
    stop(agent);
}
