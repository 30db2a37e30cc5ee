//! What changes while clients ask: certificates, and the agent itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use haproxy_spop::FrameType;

use crate::Stage;
use crate::support::{Authority, Client, Life, Program, Signal, frames, own_loopback, until};
#[cfg(feature = "admin")]
use crate::support::{Endpoint, Scratch};

#[test]
fn a_shutdown_answers_says_goodbye_and_closes() {
    let stage = Stage::new(&["-n", "2"]);
    let mut peers: Vec<_> = (0..4)
        .map(|_| stage.client().greeted(stage.agent.address()))
        .collect();
    for peer in &mut peers {
        peer.ask();
    }
    stage.agent.signal(Signal::SIGTERM);
    for peer in &mut peers {
        peer.dismissed(0);
    }
    assert_eq!(stage.agent.wait().code, Some(0));
}

/// Whether this client is served on a new connection.
fn served(client: &Client, agent: &Program) -> io::Result<bool> {
    let mut peer = client.connect(agent.address());
    peer.try_send(&frames::hello())?;
    Ok(peer.receive()?.is_some())
}

#[test]
fn sighup_renews_certificates_and_open_connections_go_on() {
    let stage = Stage::new(&["-n", "2"]);
    let mut old = stage.client().greeted(stage.agent.address());
    // Both sides get another CA: whoever knows only the old ones stays outside.
    let (servers, clients) = (Authority::new("servers-2"), Authority::new("clients-2"));
    let leaf = servers.issue("agent.test");
    stage.folder.tls_bind("", &leaf, &clients);
    let new = Client::new(&servers, Some(&clients.issue("haproxy.test")));
    assert!(served(&new, &stage.agent).is_err());
    stage.agent.signal(Signal::SIGHUP);
    stage.agent.says("certificates reloaded");
    // Each worker hears of it by itself.
    until("the new client is served", || {
        (0..4).all(|_| served(&new, &stage.agent).is_ok_and(|served| served))
    });
    assert!(served(&stage.client(), &stage.agent).is_err());
    old.asks(10);
}

/// The agent is confined, where the kernel can do that.
#[cfg(feature = "admin")]
#[test]
fn a_reload_over_the_admin_endpoint_renews_certificates() {
    let sockets = Scratch::new();
    let address = format!("unix:{}", sockets.path("admin.sock").display());
    let stage = Stage::new(&["-n", "2", "--admin", &address]);
    let endpoint = Endpoint::of(&stage.agent);
    let (servers, clients) = (Authority::new("servers-2"), Authority::new("clients-2"));
    let leaf = servers.issue("agent.test");
    stage.folder.tls_bind("", &leaf, &clients);
    let new = Client::new(&servers, Some(&clients.issue("haproxy.test")));
    let answer = endpoint.post("/reload", &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    until("the new client is served", || {
        (0..4).all(|_| served(&new, &stage.agent).is_ok_and(|served| served))
    });
    assert!(endpoint.metrics().sum("spoa_tls_handshakes_total", &[]) >= 4.0);

    stage.folder.file("clients.pem", "");
    let answer = endpoint.post("/reload", &[]);
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(served(&new, &stage.agent).unwrap());

    stage.agent.signal(Signal::SIGTERM);
    assert_eq!(stage.agent.wait().code, Some(0));
    assert!(!sockets.path("admin.sock").exists());
}

#[test]
fn certificates_that_cannot_be_used_leave_the_old_ones_in_place() {
    let stage = Stage::new(&["-n", "1"]);
    let leaf = stage.servers.issue("agent.test");
    let expired = stage.servers.issue_for("agent.test", Life::Past);
    for (name, text, words) in [
        ("agent.pem", expired.pem(), "has expired"),
        ("agent.pem", leaf.certificate, "no private key"),
        ("clients.pem", String::new(), "no certificate in it"),
    ] {
        let kept = std::fs::read_to_string(stage.folder.path(name)).unwrap();
        stage.folder.file(name, &text);
        stage.agent.signal(Signal::SIGHUP);
        stage.agent.says(words);
        assert!(served(&stage.client(), &stage.agent).unwrap(), "{words}");
        stage.folder.file(name, &kept);
    }
    let said = stage.agent.lines();
    let stay = said
        .iter()
        .filter(|line| line.contains("WARN certificates not reloaded "));
    assert_eq!(stay.count(), 3, "{said:?}");
}

#[test]
fn a_successor_takes_over_and_nobody_is_turned_away() {
    let stage = Stage::new(&["-n", "1"]);
    let line = format!("{}:0", own_loopback());
    let leaf = stage.servers.issue("agent.test");
    let bind = stage.folder.tls_bind(&line, &leaf, &stage.clients);
    let old = Program::start_on(&[&bind], &["-n", "2"]);
    let again = bind.replace(&line, &old.address().to_string());
    let mut peers: Vec<_> = (0..8)
        .map(|_| stage.client().greeted(old.address()))
        .collect();
    let new = Program::start_on(&[&again], &["-n", "2", "--takeover"]);
    old.signal(Signal::SIGTERM);
    for peer in &mut peers {
        peer.dismissed(0);
    }
    for _ in 0..50 {
        stage.client().greeted(new.address()).ask();
    }
    assert_eq!(old.wait().code, Some(0));
    assert_eq!(new.report().all.number("notifies"), 50);
}

/// A short connection: both handshakes, a question, its answer, the end.
fn asks_once(client: &Client, address: &haproxy_spoa::BindAddress) -> io::Result<()> {
    let mut peer = client.connect(address);
    peer.try_send(&frames::hello())?;
    match peer.receive()? {
        Some(hello) if hello.kind == FrameType::AGENT_HELLO => {}
        other => return Err(io::Error::other(format!("HELLO answered with {other:?}"))),
    }
    peer.try_send(&frames::notify(7, 1))?;
    match peer.receive()? {
        Some(ack) if ack.kind == FrameType::ACK => Ok(()),
        other => Err(io::Error::other(format!("NOTIFY answered with {other:?}"))),
    }
}

#[test]
fn ten_takeovers_in_a_row_lose_no_short_connection() {
    let stage = Stage::new(&["-n", "1"]);
    let line = format!("{}:0", own_loopback());
    let leaf = stage.servers.issue("agent.test");
    let bind = stage.folder.tls_bind(&line, &leaf, &stage.clients);
    let mut agent = Program::start_on(&[&bind], &["-n", "2", "--drain-timeout", "25s"]);
    let address = agent.address().clone();
    let again = bind.replace(&line, &address.to_string());
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let client = stage.client();
    let (lost, agent) = thread::scope(|scope| {
        let ask = || {
            let mut lost = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match asks_once(&client, &address) {
                    Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                    Err(error) => lost.push(error.to_string()),
                }
            }
            lost
        };
        let threads = [scope.spawn(ask), scope.spawn(ask)];
        let more = || {
            let enough = answered.load(Ordering::Relaxed) + 20;
            until("answers", || answered.load(Ordering::Relaxed) >= enough);
        };
        more();
        for round in 0..10 {
            let workers = ["1", "3"][round % 2];
            let args = ["-n", workers, "--takeover", "--drain-timeout", "25s"];
            let new = Program::start_on(&[&again], &args);
            more();
            agent.stop();
            more();
            agent = new;
        }
        stop.store(true, Ordering::Relaxed);
        let lost = threads.map(|thread| thread.join().unwrap()).concat();
        (lost, agent)
    });
    assert_eq!(lost, [""; 0], "of {}", answered.into_inner());
    agent.stop();
}
