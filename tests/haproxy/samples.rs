//! haproxy-conf: the files are accepted as they are, and their scores decide who gets in.

use std::collections::BTreeSet;
use std::process::Command;

use crate::rig::{Oracle, Proxy, Setup, Version, agent, free_port, repository, sources};

const SAMPLES: [&str; 5] = [
    "ip-reputation",
    "check-buffer",
    "behind-proxy",
    "verdict-cache",
    "behavior",
];
/// The configurations of the C example and of a deployment, as they were given.
const SEED: [&str; 2] = ["seed/ip-reputation", "seed/check-buffer"];
/// Scores below are refused.
const LEAST: u32 = 20;

each_version!(accepted, ip_reputation, refuses_below_20, without_agent);

/// What `haproxy -c` says to a sample, with warnings as errors, if it is refused.
fn refusal(version: Version, sample: &str) -> Option<String> {
    let mut haproxy = Command::new(version.program());
    let file = format!("haproxy-conf/{sample}.cfg");
    let checked = haproxy
        .current_dir(repository())
        .args(["-dW", "-c", "-f", &file])
        .output();
    let checked = checked.unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    (!checked.status.success()).then_some(said)
}

fn accepted(version: Version) {
    for sample in SAMPLES.into_iter().chain(SEED) {
        assert_eq!(refusal(version, sample), None, "{sample}");
    }
}

fn ip_reputation(version: Version) {
    let agent = agent();
    let proxy = Setup::sample(version, "ip-reputation")
        .agent(agent.address())
        .start();
    scores_decide(&proxy);
}

/// Clients with a low score are refused and the others let in, on IPv4 and IPv6, until each of
/// these four was seen; the origin is told the score that HAProxy logs.
fn scores_decide(proxy: &Proxy) {
    let (mut scores, mut outcomes, mut visits) = (BTreeSet::new(), BTreeSet::new(), 0);
    // Scores are random: that one of the four does not come up in this many visits is once in 10^9.
    for source in sources().take(400) {
        let visit = proxy.visit(source);
        visits += 1;
        let score = visit.log.score.expect("a score for every client");
        assert!(score <= 100, "{score}");
        assert_eq!(visit.log.error, None);
        let is_served = visit.is_served();
        assert_eq!(is_served, score >= LEAST, "{visit:?}");
        if let Some(response) = visit.response.as_ref().filter(|_| is_served) {
            assert_eq!(
                (response.status, response.number("x-told")),
                (200, Some(score))
            );
        }
        scores.insert(score);
        outcomes.insert((source.is_ipv4(), is_served));
        if outcomes.len() == 4 && visits >= 20 {
            break;
        }
    }
    assert_eq!(
        outcomes.len(),
        4,
        "refused and let in, of both families: {outcomes:?}"
    );
    assert!(scores.len() > 2, "{scores:?}");
    proxy.assert_all_answered(visits);
}

/// The same with scores that are known: 19 is refused, 20 is not.
fn refuses_below_20(version: Version) {
    let oracle = Oracle::start();
    let proxy = Setup::sample(version, "ip-reputation")
        .agent(oracle.address())
        .start();
    for (last, let_in) in [(1, false), (19, false), (20, true), (99, true), (100, true)] {
        let visit = proxy.visit([127, 0, 0, last].into());
        assert_eq!(visit.log.score, Some(last.into()));
        assert_eq!(visit.is_served(), let_in, "score {last}");
    }
    // No client can bring a score along: the origin learns the agent's, and only that.
    let mut client = proxy.connect([127, 0, 0, 50].into());
    let response = client
        .ask("x-ip-score: 100\r\nx-ip-score: 99\r\n", b"")
        .unwrap();
    assert_eq!(response.header("x-told"), "50");
    let asked = oracle.asked();
    assert_eq!(asked.last().unwrap().to_string(), "127.0.0.50");
    proxy.assert_all_answered(asked.len());
}

/// Nobody answers: every client gets in, and the log says why it has no score.
fn without_agent(version: Version) {
    let nobody = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    for sample in SAMPLES {
        let proxy = Setup::exact_sample(version, sample).agent(&nobody).start();
        let visit = proxy.visit([127, 0, 0, 1].into());
        assert_eq!(visit.log.score, None, "{sample}");
        assert!(visit.log.error.is_some(), "{sample}");
        let response = visit.response.expect("no score lets clients in");
        assert_eq!(
            (response.status, response.header("x-told")),
            (200, ""),
            "{sample}"
        );
    }
}
