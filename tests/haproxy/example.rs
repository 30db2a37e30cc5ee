//! The examples with real HAProxy.

use core::net::IpAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use crate::rig::{Open, Proxy, Version, free_port};
use crate::support::{Program, Signal, until};

each_version!(ip_rep, slow_lookup);

/// Cargo builds examples together with tests, unless it is told which tests.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let build = "cargo build --examples, with the profile of this test";
    assert!(
        program.exists(),
        "no {}: {build} makes it",
        program.display()
    );
    program
}

fn started(name: &str) -> (Program, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program(name));
    command.arg(&address);
    let mut example = Program::spawn(command);
    until("the example listens", || {
        assert!(!example.has_ended(), "{:?}", example.lines());
        TcpStream::connect(&address).is_ok()
    });
    (example, address)
}

fn proxy(version: Version, address: &str) -> Proxy {
    let open = Open {
        agent: "messages ip-rep",
        messages: "\
spoe-message ip-rep
    args ip=src
    event on-client-session
",
        ..Open::default()
    };
    open.setup(version).agent(&address.parse().unwrap()).start()
}

fn asks(proxy: &Proxy, source: &str, reputation: u32) {
    let mut client = proxy.connect(source.parse::<IpAddr>().unwrap());
    let response = client.ask("", b"").unwrap();
    assert_eq!(
        response.number("x-reputation"),
        Some(reputation),
        "{source}"
    );
    assert_eq!(
        (response.header("x-score"), response.header("x-error")),
        ("", "")
    );
}

/// It stops on SIGTERM, and well.
fn stops(example: Program) {
    example.signal(Signal::SIGTERM);
    let ended = example.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

fn ip_rep(version: Version) {
    let (example, address) = started("ip_rep");
    let proxy = proxy(version, &address);
    for source in ["127.0.0.2", "127.0.0.3", "::1"] {
        asks(&proxy, source, 1);
    }
    proxy.assert_all_answered(3);
    drop(proxy);
    stops(example);
}

/// Clients at once, each with a connection per question: every one of them waits for the slow answer
/// and none for HAProxy's timeout.
fn slow_lookup(version: Version) {
    const CLIENTS: usize = 8;
    const QUESTIONS: usize = 10;
    let (example, address) = started("slow_lookup");
    let proxy = proxy(version, &address);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| (0..QUESTIONS).for_each(|_| asks(&proxy, "127.0.0.2", 1)));
        }
    });
    proxy.assert_all_answered(CLIENTS * QUESTIONS);
    drop(proxy);
    stops(example);
}
