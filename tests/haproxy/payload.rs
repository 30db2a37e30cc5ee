//! `check-buffer` with bodies of 0 to 100,000 bytes, below and above the size of a frame.
//!
//! What HAProxy does with a payload that does not fit a frame:
//!
//! | | the agent reassembles | it does not |
//! |---|---|---|
//! | 2.6, 3.0 | fragments | the stream waits its whole processing timeout: error 1 |
//! | 3.2 | nothing reaches the agent: error 3 (too big) at once | the same |

use core::net::IpAddr;
use core::time::Duration;
use std::time::Instant;

use crate::rig::{Open, Proxy, Response, Version, agent};
use crate::support::{Program, eventually};

each_version!(
    frames_of_16_kb,
    frames_that_hold_everything,
    no_reassembly,
    reassembly_bound
);

/// The address comes after the payload: a score means that the agent has understood both.
const MESSAGES: &str = "\
spoe-message check-buffer
    args buf=req.body ip=src
    event on-frontend-http-request
";
/// What HAProxy offers an agent if nobody changes its configuration.
const FRAME: &str = "messages check-buffer\n    max-frame-size 16380";
/// HAProxy's own code, and that of SPOP's status 3 (256 + 3), which the agent has sent.
const TOO_BIG: Option<u32> = Some(3);
const REFUSED_AS_TOO_BIG: Option<u32> = Some(256 + 3);
/// Less than the time that an answer may take.
const AT_ONCE: Duration = Duration::from_secs(15);
/// HAProxy's own.
const TIMEOUT: Option<u32> = Some(1);
/// Bodies that fit a frame of 16,380 bytes with what else is in it, and bodies that do not.
const FIT: [usize; 4] = [0, 1, 1000, 16_000];
const DO_NOT_FIT: [usize; 3] = [16_380, 40_000, 100_000];

fn open(version: Version, agent: &Program, lines: &str, processing: &str) -> Proxy {
    let open = Open {
        global: "tune.bufsize 163840",
        frontend: "option http-buffer-request",
        agent: lines,
        processing,
        messages: MESSAGES,
        ..Open::default()
    };
    open.setup(version).agent(agent.address()).start()
}

/// A request with a body of so many bytes, and how long it took. No request fails.
fn post(proxy: &Proxy, size: usize) -> (Response, Duration) {
    let mut client = proxy.connect(IpAddr::from([127, 0, 0, 2]));
    let from = Instant::now();
    let response = client.ask("", &vec![0; size]).unwrap();
    assert_eq!(response.status, 200);
    (response, from.elapsed())
}

fn assert_scored(proxy: &Proxy, size: usize) {
    let (response, _) = post(proxy, size);
    let error = response.header("x-error");
    assert!(
        response.number("x-score").is_some(),
        "{size} bytes: error {error}"
    );
    assert_eq!(error, "", "{size} bytes");
}

fn assert_error(proxy: &Proxy, size: usize, error: Option<u32>) -> Duration {
    let (response, took) = post(proxy, size);
    assert_eq!(response.number("x-score"), None, "{size} bytes");
    assert_eq!(response.number("x-error"), error, "{size} bytes");
    took
}

fn frames_of_16_kb(version: Version) {
    let agent = agent();
    let proxy = open(version, &agent, FRAME, "20s");
    for (fits, too_big) in FIT.into_iter().zip(DO_NOT_FIT.into_iter().cycle()) {
        assert_scored(&proxy, fits);
        if version.has_mode_spop() {
            let took = assert_error(&proxy, too_big, TOO_BIG);
            assert!(took < AT_ONCE, "an error at once, not after {took:?}");
        } else {
            assert_scored(&proxy, too_big);
        }
    }
    let counters = agent.report().all;
    let fragmented = if version.has_mode_spop() {
        0
    } else {
        FIT.len() as u64
    };
    assert_eq!(counters.number("reassembled"), fragmented);
    assert_eq!(
        (counters.number("aborted"), counters.number("refused")),
        (0, 0)
    );
}

/// Both sides agree on frames that are large enough: one frame each, whatever the version.
fn frames_that_hold_everything(version: Version) {
    let agent = Program::start(&["-n", "2", "-m", "262144"]);
    let proxy = open(version, &agent, "messages check-buffer", "20s");
    for size in FIT.into_iter().chain(DO_NOT_FIT) {
        assert_scored(&proxy, size);
    }
    let counters = agent.report().all;
    assert_eq!(
        (counters.number("reassembled"), counters.number("refused")),
        (0, 0)
    );
    assert!(counters.number("bytes_in") > 150_000);
    proxy.assert_all_answered(FIT.len() + DO_NOT_FIT.len());
}

fn no_reassembly(version: Version) {
    let agent = Program::start(&["-n", "2", "--max-reassembly", "0"]);
    // A tick less than what is configured: HAProxy counts in whole milliseconds.
    let time = Duration::from_millis(295);
    let waits = if version.has_mode_spop() {
        "20s"
    } else {
        "300ms"
    };
    let proxy = open(version, &agent, FRAME, waits);
    for size in DO_NOT_FIT {
        if version.has_mode_spop() {
            assert_error(&proxy, size, TOO_BIG);
        } else {
            let took = assert_error(&proxy, size, TIMEOUT);
            assert!(took >= time, "{took:?}");
        }
        assert_scored_in_the_end(&proxy);
    }
    let counters = agent.report().all;
    assert_eq!(
        (counters.number("reassembled"), counters.number("refused")),
        (0, 0)
    );
}

/// Fragments beyond the agent's bound: status 3 ends the connection, and the next one serves.
fn reassembly_bound(version: Version) {
    let agent = Program::start(&["-n", "2", "--max-reassembly", "20000"]);
    let proxy = open(version, &agent, FRAME, "20s");
    let error = if version.has_mode_spop() {
        TOO_BIG
    } else {
        REFUSED_AS_TOO_BIG
    };
    for size in [40_000, 100_000] {
        let took = assert_error(&proxy, size, error);
        assert!(took < AT_ONCE, "an error at once, not after {took:?}");
        assert_scored_in_the_end(&proxy);
    }
    let expected = if version.has_mode_spop() { 0 } else { 2 };
    assert_eq!(agent.report().all.number("refused"), expected);
}

/// A small payload is answered. One with a short time for it, or just after its connection has
/// been taken away, may have to try again.
fn assert_scored_in_the_end(proxy: &Proxy) {
    eventually("a score", || post(proxy, 1).0.number("x-score"));
}
