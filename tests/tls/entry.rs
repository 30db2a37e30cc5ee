//! Certificates that count, and those that do not.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use crate::Stage;
use crate::support::{Authority, Client, Life, PASS, PATIENCE, Program, Scratch, frames};

/// Why a client is not served: what TLS told it.
fn refusal(client: &Client, stage: &Stage) -> String {
    let mut peer = client.connect(stage.agent.address());
    let answer = peer
        .try_send(&frames::hello())
        .and_then(|()| peer.receive().map(|answer| assert_eq!(answer, None)));
    answer.unwrap_err().to_string()
}

#[test]
fn a_certificate_of_the_ca_lets_in() {
    let stage = Stage::new(&["-n", "2"]);
    for _ in 0..4 {
        let mut peer = stage.client().greeted(stage.agent.address());
        peer.asks(10);
        peer.send(&frames::disconnect(0));
        peer.dismissed(0);
    }
    let all = stage.agent.report().all;
    for (counter, count) in [
        ("tls_handshakes", 4),
        ("tls_refused", 0),
        ("tls_faults", 0),
        ("disconnects", 4),
        ("notifies", 40),
    ] {
        assert_eq!(all.number(counter), count, "{counter}");
    }
}

#[test]
fn no_certificate_and_wrong_ones_are_refused_and_told_why() {
    let stage = Stage::new(&["-n", "1"]);
    let others = Authority::new("others");
    let leaf = |authority: &Authority, life| authority.issue_for("haproxy.test", life);
    let wrong = [
        (None, "CertificateRequired"),
        (Some(leaf(&others, Life::Now)), "UnknownCA"),
        (Some(leaf(&stage.clients, Life::Past)), "CertificateExpired"),
        (
            Some(leaf(&stage.clients, Life::Future)),
            "CertificateExpired",
        ),
        // Of the CA that the agent's own is of, which is not that of its clients.
        (Some(leaf(&stage.servers, Life::Now)), "UnknownCA"),
    ];
    for (leaf, alert) in &wrong {
        let why = refusal(&Client::new(&stage.servers, leaf.as_ref()), &stage);
        assert!(why.contains(alert), "{alert}: {why}");
    }
    stage.client().greeted(stage.agent.address()).ask();
    let all = stage
        .agent
        .reports("all but one are gone", |it| it.all.number("open") <= 1)
        .all;
    assert_eq!(all.number("tls_refused"), wrong.len() as u64);
    assert_eq!(
        (all.number("notifies"), all.number("tls_handshakes")),
        (1, 1)
    );
}

#[test]
fn a_client_that_does_not_trust_the_agent_leaves() {
    let stage = Stage::new(&["-n", "1"]);
    let others = Authority::new("others");
    let why = refusal(&Client::new(&others, Some(&stage.leaf)), &stage);
    assert!(why.contains("UnknownIssuer"), "{why}");
    // It says goodbye with an alert.
    let all = stage
        .agent
        .reports("it is gone", |it| it.all.number("open") == 0);
    assert_eq!(all.all.number("tls_faults"), 1);
}

#[test]
fn revoked_certificates_are_refused() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (good, bad) = (clients.issue("good.test"), clients.issue("worse.test"));
    let list = folder.file("revoked.pem", &clients.revoke(&[&bad]));
    let bind = folder.tls_bind("127.0.0.1:0", &servers.issue("agent.test"), &clients);
    let agent = Program::start_on(
        &[&format!("{bind} crl-file {}", list.display())],
        &["-n", "1"],
    );
    Client::new(&servers, Some(&good))
        .greeted(agent.address())
        .ask();
    let mut peer = Client::new(&servers, Some(&bad)).connect(agent.address());
    let told = peer
        .try_send(&frames::hello())
        .and_then(|()| peer.receive());
    let why = told.unwrap_err().to_string();
    assert!(why.contains("CertificateRevoked"), "{why}");
}

#[test]
fn without_verification_everybody_is_let_in_and_that_is_said() {
    let folder = Scratch::new();
    let servers = Authority::new("servers");
    let crt = folder.file("agent.pem", &servers.issue("agent.test").pem());
    let line = format!("0.0.0.0:0 ssl crt {} verify none", crt.display());
    let agent = Program::start_on(&[&line], &["-n", "1"]);
    agent.says("WARN address exposed");
    let haproxy_spoa::BindAddress::Tcp(any) = agent.address() else {
        unreachable!()
    };
    let here = haproxy_spoa::BindAddress::Tcp(([127, 0, 0, 1], any.port()).into());
    Client::new(&servers, None).greeted(&here).ask();
}

#[test]
fn with_a_client_ca_nothing_needs_to_be_warned_of() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let bind = folder.tls_bind("0.0.0.0:0", &servers.issue("agent.test"), &clients);
    let agent = Program::start_on(&[&bind], &["-n", "1"]);
    // The report comes after everything that is said at the start.
    agent.report();
    let said = agent.lines().join("\n");
    assert!(!said.contains("WARN address exposed"), "{said}");
}

#[test]
fn debugging_says_why_a_client_was_refused() {
    if !cfg!(feature = "trace") {
        return;
    }
    let stage = Stage::new(&["-n", "1", "-d"]);
    refusal(&Client::new(&stage.servers, None), &stage);
    stage.agent.says("peer sent no certificates");
}

#[test]
fn an_older_version_of_tls_is_refused() {
    use std::io::{Read as _, Write as _};
    let stage = Stage::new(&["-n", "1"]);
    let mut socket = Client::socket(stage.agent.address());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // A ClientHello that offers TLS 1.2 and nothing else.
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![22, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    socket.write_all(&record).unwrap();
    let mut told = Vec::new();
    let read: io::Result<usize> = socket.read_to_end(&mut told);
    assert!(read.is_ok() && told.first() == Some(&21), "{told:?}");
    assert_eq!(stage.agent.report().all.number("tls_faults"), 1);
}

/// A socket that systemd has bound speaks TLS if a bind names its address and says so.
#[test]
fn a_passed_socket_takes_the_certificates_of_the_bind_with_its_address() {
    let folder = Scratch::new();
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let bind = folder.tls_bind(&address, &servers.issue("agent.test"), &clients);
    let command = Program::shell(PASS, &["-n", "2", "--bind", &bind]);
    let socket: OwnedFd = socket.into();
    let agent = Program::started_with(command, socket.into());
    assert_eq!(agent.addresses().len(), 1, "{:?}", agent.addresses());
    let leaf = clients.issue("haproxy.test");
    Client::new(&servers, Some(&leaf))
        .greeted(agent.address())
        .ask();
    // Nobody is let in without.
    let mut peer = Client::new(&servers, None).connect(agent.address());
    let told = peer
        .try_send(&frames::hello())
        .and_then(|()| peer.receive());
    let why = told.unwrap_err().to_string();
    assert!(why.contains("CertificateRequired"), "{why}");
    agent.stop();
}
