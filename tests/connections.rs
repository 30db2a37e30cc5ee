//! One connection from its HELLO to its end, over every kind of socket.

#![cfg(test)]

mod support;

use std::time::Duration;

use haproxy_spop::{Capabilities, FrameType, HaproxyHello, Versions};

use support::{Peer, Program, Scratch, frames, throughout};

/// An agent on IPv4, on a UNIX socket, and on IPv6 if the machine has it.
fn everywhere(scratch: &Scratch, args: &[&str]) -> Program {
    let unix = scratch.bind("socket");
    let mut addresses = vec!["127.0.0.1:0", &unix];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        addresses.push("[::1]:0");
    }
    Program::start_on(&addresses, args)
}

#[test]
fn every_kind_of_address_is_served() {
    let scratch = Scratch::new();
    let agent = everywhere(&scratch, &["-n", "2"]);
    for address in agent.addresses() {
        let mut peer = Peer::connect(address);
        peer.send(&frames::hello());
        let (max_frame_size, capabilities) = peer.agent_hello();
        assert_eq!(
            (max_frame_size, &capabilities[..]),
            (16380, "pipelining,fragmentation")
        );
        peer.ask();
        peer.send(&frames::disconnect(0));
        peer.dismissed(0);
    }
    agent.stop();
}

#[test]
fn a_hundred_notifies_in_one_segment_get_a_hundred_acks_in_order() {
    let scratch = Scratch::new();
    let agent = everywhere(&scratch, &["-n", "2"]);
    for address in agent.addresses() {
        let mut peer = Peer::greeted(address);
        let batch: Vec<u8> = (1..=100)
            .flat_map(|id| frames::notify(u64::MAX - id, id))
            .collect();
        peer.send(&batch);
        for id in 1..=100 {
            let ack = peer.frame();
            assert_eq!((ack.kind, ack.ids), (FrameType::ACK, (u64::MAX - id, id)));
            ack.score();
        }
    }
    assert_eq!(
        agent.report().all.number("notifies"),
        100 * agent.addresses().len() as u64
    );
}

#[test]
fn a_conversation_byte_by_byte_is_the_same_conversation() {
    let scratch = Scratch::new();
    let agent = everywhere(&scratch, &["-n", "1"]);
    for address in agent.addresses() {
        let mut peer = Peer::connect(address);
        if let haproxy_spoa::BindAddress::Tcp(_) = address {
            peer.socket.set_tcp_nodelay(true).unwrap();
        }
        let mut conversation = frames::hello().to_vec();
        conversation.extend((1..=10).flat_map(|id| frames::notify(id, id)));
        conversation.extend_from_slice(&frames::disconnect(77));
        for byte in conversation {
            peer.send(&[byte]);
        }
        peer.agent_hello();
        peer.acks(1..11);
        peer.dismissed(77);
    }
}

#[test]
fn a_disconnect_is_answered_with_its_own_status() {
    let agent = Program::start(&["-n", "1"]);
    for status in [0, 1, 2, 99, 4711, u32::MAX] {
        let mut peer = Peer::greeted(agent.address());
        peer.send(&frames::disconnect(status));
        peer.dismissed(status);
    }
    // HAProxy may think better of it before the handshake is over.
    let mut peer = Peer::connect(agent.address());
    peer.send(&frames::disconnect(3));
    peer.dismissed(3);
    let all = agent.report().all;
    assert_eq!(
        (
            all.number("disconnects"),
            all.number("refused"),
            all.number("open")
        ),
        (7, 0, 0)
    );
}

#[test]
fn a_health_check_gets_a_hello_and_the_end() {
    let agent = Program::start(&["-n", "1"]);
    let check = HaproxyHello {
        capabilities: Some(Capabilities(b"")),
        healthcheck: true,
        engine_id: None,
        ..frames::OFFER
    };
    for _ in 0..3 {
        let mut peer = Peer::connect(agent.address());
        peer.send(&frames::offer(&check));
        let (max_frame_size, _) = peer.agent_hello();
        assert_eq!(max_frame_size, 16380);
        peer.ended();
    }
    assert_eq!(agent.report().all.number("health_checks"), 3);
}

#[test]
fn the_agent_agrees_to_its_own_terms() {
    let agent = Program::start(&["-n", "1", "-m", "1024", "--max-reassembly", "0"]);
    let mut peer = Peer::connect(agent.address());
    let versions = Some(Versions(b" 1.0 , 2.7 "));
    peer.send(&frames::offer(&HaproxyHello {
        supported_versions: versions,
        ..frames::OFFER
    }));
    assert_eq!(peer.agent_hello(), (1024, "pipelining".to_owned()));
    peer.ask();
}

#[test]
fn notifies_before_a_half_close_are_answered_and_then_it_ends() {
    let scratch = Scratch::new();
    let agent = everywhere(&scratch, &["-n", "1"]);
    for address in agent.addresses() {
        let mut peer = Peer::connect(address);
        let mut all = frames::hello().to_vec();
        all.extend_from_slice(&frames::empty_notifies(1..1001));
        peer.send(&all);
        peer.half_close();
        peer.agent_hello();
        peer.acks(1..1001);
        peer.ended();
    }
    agent.reports("all closed", |report| report.all.number("open") == 0);
}

#[test]
fn half_a_hello_is_told_of_its_timeout() {
    let agent = Program::start(&["-n", "1", "--hello-timeout", "500ms"]);
    let mut silent = Peer::connect(agent.address());
    let mut half = Peer::connect(agent.address());
    let hello = frames::hello();
    half.send(&hello[..hello.len() / 2]);
    let mut spoken = Peer::greeted(agent.address());
    half.dismissed(2);
    silent.dismissed(2);
    throughout(
        Duration::from_millis(600),
        "the one that spoke stays",
        || spoken.is_silent(),
    );
    spoken.ask();
    assert_eq!(agent.report().all.number("hello_timeouts"), 2);
}

#[test]
fn without_a_hello_timeout_a_silent_peer_may_take_its_time() {
    let agent = Program::start(&["-n", "1", "--hello-timeout", "off"]);
    let mut peer = Peer::connect(agent.address());
    throughout(Duration::from_millis(300), "the silent one stays", || {
        peer.is_silent()
    });
    peer.greet();
    peer.ask();
}

#[test]
fn an_idle_connection_is_closed_only_if_that_was_asked_for() {
    let never = Program::start(&["-n", "1", "--hello-timeout", "500ms"]);
    let soon = Program::start(&["-n", "1", "--idle-timeout", "1s"]);
    let mut kept = Peer::greeted(never.address());
    let mut idle = Peer::greeted(soon.address());
    let mut busy = Peer::greeted(soon.address());
    throughout(
        Duration::from_millis(1500),
        "the busy one is served, the idle one kept",
        || busy.ask() <= 100 && kept.is_silent(),
    );
    idle.dismissed(2);
    busy.dismissed(2);
    kept.ask();
    assert_eq!(soon.report().all.number("idle_timeouts"), 2);
    assert_eq!(never.report().all.number("idle_timeouts"), 0);
}
