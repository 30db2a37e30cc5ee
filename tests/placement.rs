//! Which worker serves a connection, on which core, with which scores.

#![cfg(test)]

mod support;

use haproxy_spoa::{BindAddress, allowed_cores};

use support::{Peer, Program, Scratch};

fn spread(counts: &[u64]) -> u64 {
    counts.iter().max().unwrap() - counts.iter().min().unwrap()
}

#[test]
fn connections_are_spread_evenly_over_the_workers() {
    let scratch = Scratch::new();
    for address in ["127.0.0.1:0", &scratch.bind("s")] {
        let agent = Program::start_on(&[address], &["-n", "4"]);
        let mut peers = Vec::new();
        for connections in [1, 6, 16, 64] {
            peers.resize_with(connections, || Peer::greeted(agent.address()));
            let open = agent.report().each("open");
            assert_eq!(open.iter().sum::<u64>(), connections as u64);
            assert!(spread(&open) <= 1, "{connections} on {address}: {open:?}");
        }
        // Each is served where it is.
        Peer::each_asks(&mut peers);
        assert_eq!(agent.report().each("count"), [16; 4]);
    }
}

#[test]
fn room_that_has_become_free_is_filled_first() {
    let agent = Program::start(&["-n", "3"]);
    let mut peers: Vec<_> = (0..30).map(|_| Peer::greeted(agent.address())).collect();
    peers.truncate(12);
    agent.reports("18 closed", |report| report.all.number("open") == 12);
    peers.resize_with(45, || Peer::greeted(agent.address()));
    assert_eq!(agent.report().each("open"), [15; 3]);
}

#[test]
fn every_worker_has_the_core_that_the_report_and_the_first_line_name() {
    let cores = allowed_cores();
    let first = cores[0].to_string();
    let all: Vec<_> = cores.iter().map(usize::to_string).collect();
    for (args, expected) in [
        (
            &["-n", "5"][..],
            (0..5)
                .map(|worker| all[worker % all.len()].clone())
                .collect(),
        ),
        (&["-n", "3", "--cores", &first], vec![first.clone(); 3]),
        (
            &["-n", "2", "--cores", &format!("4000-4095,{first}")],
            vec![first.clone(); 2],
        ),
        (&["-n", "auto"], all.clone()),
    ] {
        let agent = Program::start(args);
        let line = agent.lines().remove(0);
        let named = format!(" workers={} cores={} ", expected.len(), expected.join(","));
        assert!(line.contains(&named), "{line}");

        let report = agent.report();
        let reported: Vec<_> = report
            .workers
            .iter()
            .map(|line| line.text("core"))
            .collect();
        assert_eq!(reported, expected);
        let pinned = agent.process().cores();
        for (worker, core) in expected.iter().enumerate() {
            assert_eq!(pinned[&format!("worker-{worker}")], *core, "{args:?}");
        }
        // The control plane stays out of the way of nobody and may run anywhere.
        assert_eq!(
            pinned
                .keys()
                .filter(|name| name.starts_with("worker-"))
                .count(),
            expected.len()
        );
    }
}

fn scores(args: &[&str], connections: usize) -> Vec<u32> {
    let agent = Program::start(args);
    let mut peers: Vec<_> = (0..connections)
        .map(|_| Peer::greeted(agent.address()))
        .collect();
    (0..30)
        .flat_map(|_| peers.iter_mut().map(Peer::ask).collect::<Vec<_>>())
        .collect()
}

#[test]
fn a_seed_repeats_the_scores_and_without_one_they_differ() {
    let seeded = scores(&["-n", "1", "--seed", "7"], 1);
    assert_eq!(seeded, scores(&["-n", "1", "--seed", "7"], 1));
    assert_ne!(seeded, scores(&["-n", "1", "--seed", "8"], 1));
    let random = scores(&["-n", "1"], 1);
    assert_ne!(random, scores(&["-n", "1"], 1));
    assert_ne!(random, seeded);
    assert!(seeded.iter().any(|score| *score != seeded[0]), "{seeded:?}");
}

#[test]
fn with_one_seed_no_two_workers_say_the_same() {
    let all = scores(&["-n", "2", "--seed", "7"], 2);
    let of = |peer| all.iter().skip(peer).step_by(2).collect::<Vec<_>>();
    assert_ne!(of(0), of(1));
}

#[test]
fn several_addresses_are_served_by_all_workers() {
    let scratch = Scratch::new();
    let addresses = [
        "127.0.0.1:0",
        "127.0.0.1:0",
        &scratch.bind("a"),
        &scratch.bind("b"),
    ];
    let agent = Program::start_on(&addresses, &["-n", "3"]);
    let tcp = |address: &&BindAddress| matches!(address, BindAddress::Tcp(_));
    assert_eq!(agent.addresses().iter().filter(tcp).count(), 2);
    let each = agent.addresses().iter().cycle().take(12);
    let mut peers: Vec<_> = each.map(Peer::greeted).collect();
    assert_eq!(agent.report().each("open"), [4; 3]);
    Peer::each_asks(&mut peers);
}
