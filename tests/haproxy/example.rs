//! `examples/ip_rep.rs` with real HAProxy: the Go library's example in this one.

use core::net::IpAddr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use crate::rig::{Open, Version, free_port};
use crate::support::{Program, until};

each_version!(ip_rep);

/// Cargo builds examples together with tests, unless it is told which tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/ip_rep");
    let build = "cargo build --examples, with the profile of this test";
    assert!(
        program.exists(),
        "no {}: {build} makes it",
        program.display()
    );
    program
}

fn ip_rep(version: Version) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(program());
    command.arg(&address);
    let mut example = Program::spawn(command);
    until("the example listens", || {
        assert!(!example.has_ended(), "{:?}", example.lines());
        TcpStream::connect(&address).is_ok()
    });
    let open = Open {
        agent: "messages ip-rep",
        messages: "\
spoe-message ip-rep
    args ip=src
    event on-client-session
",
        ..Open::default()
    };
    let proxy = open.setup(version).agent(&address.parse().unwrap()).start();
    for source in ["127.0.0.2", "127.0.0.3", "::1"] {
        let mut client = proxy.connect(source.parse::<IpAddr>().unwrap());
        let response = client.ask("", b"").unwrap();
        assert_eq!(response.number("x-reputation"), Some(1), "{source}");
        assert_eq!(
            (response.header("x-score"), response.header("x-error")),
            ("", "")
        );
    }
    proxy.assert_all_answered(3);
}
