//! Law: a session answers a whole conversation as SPOE.txt and the status table foretell it,
//! whatever faults are mixed in and however the bytes are cut.
//!
//! A seed makes up the conversation ([`haproxy`]), a second reading of the table foretells every
//! answer and the byte that brings it forth ([`oracle`]), and the session is driven through it in
//! one piece, byte by byte and in random pieces ([`driver`]). So it shows that
//! - every valid NOTIFY gets exactly one ACK, with its ids, in order, as soon as its last byte is
//!   there;
//! - every fault gets its status code, and nothing follows the close;
//! - any chunking gives the same bytes;
//! - no frame exceeds the negotiated max-frame-size.
//!
//! `SPOA_SIM_SEED=n` runs one seed, `SPOA_SIM_SEEDS=n` as many as that.

#![cfg(test)]

#[path = "model/decode.rs"]
mod decode;
#[path = "model/driver.rs"]
mod driver;
#[path = "model/encode.rs"]
mod encode;
#[path = "model/event.rs"]
mod event;
#[path = "model/haproxy.rs"]
mod haproxy;
#[path = "model/oracle.rs"]
mod oracle;
#[path = "model/policy.rs"]
mod policy;
#[path = "model/seeded.rs"]
mod seeded;

use std::collections::BTreeMap;
use std::env;

use haproxy_spop::Status;

use decode::RawFrame;
use driver::{Driver, Total};
use encode::Value;
use haproxy::{Conversation, Style};
use oracle::{Answer, Due};
use policy::Policy;
use seeded::Seeded;

/// Seeds per style unless the environment says otherwise.
const SEEDS: u64 = 4000;

#[test]
fn conversations_of_haproxy_2_are_answered_as_foretold() {
    let seen = simulate(Style::Two, "haproxy_2");
    let expected = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99];
    assert!(
        seen.covers(&expected, &["reassembled", "aborted"]),
        "{seen:?}"
    );
}

#[test]
fn conversations_of_haproxy_3_are_answered_as_foretold() {
    let seen = simulate(Style::Three, "haproxy_3");
    assert!(
        seen.covers(&[0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], &[]),
        "{seen:?}"
    );
}

/// What the seeds brought up, so that a simulation of nothing does not pass.
#[derive(Debug, Default)]
struct Seen {
    statuses: BTreeMap<u32, u32>,
    answers: BTreeMap<&'static str, u32>,
}

impl Seen {
    fn add(&mut self, conversation: &Conversation) {
        for due in &conversation.oracle.due {
            let name = match &due.answer {
                Answer::Hello { .. } => "hello",
                Answer::Ack { actions, .. } if actions.is_empty() => "empty ack",
                Answer::Ack { .. } => "ack",
                Answer::Skipped => "skipped",
                Answer::Reassembled => "reassembled",
                Answer::Aborted => "aborted",
                Answer::Disconnect { status } => {
                    *self.statuses.entry(*status).or_default() += 1;
                    "disconnect"
                }
            };
            *self.answers.entry(name).or_default() += 1;
        }
    }

    /// One seed cannot show everything, the usual number has to.
    fn covers(&self, statuses: &[u32], answers: &[&str]) -> bool {
        seeds().count() < 1000
            || statuses
                .iter()
                .all(|status| self.statuses.contains_key(status))
                && answers
                    .iter()
                    .all(|answer| self.answers.contains_key(answer))
                && ["hello", "ack", "empty ack", "skipped"]
                    .iter()
                    .all(|answer| self.answers.get(answer) > Some(&100))
    }
}

fn seeds() -> core::ops::Range<u64> {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match (number("SPOA_SIM_SEED"), number("SPOA_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(SEEDS),
    }
}

fn simulate(style: Style, test: &'static str) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds() {
        let mut seeded = Seeded::new(seed);
        let conversation = haproxy::converse(&mut seeded, style);
        seen.add(&conversation);
        let culprit = Culprit {
            seed,
            test,
            conversation: &conversation,
        };
        check(&conversation, &mut seeded);
        drop(culprit);
    }
    seen
}

/// Says how to come back to a failure.
struct Culprit<'a> {
    seed: u64,
    test: &'static str,
    conversation: &'a Conversation,
}

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self {
                seed,
                test,
                conversation,
            } = self;
            let oracle = &conversation.oracle;
            eprintln!("\n{:?}", oracle.terms);
            for (end, event) in &conversation.events {
                let event = format!("{event:?}");
                eprintln!("{end}: {}", event.get(..160).unwrap_or(&event));
            }
            eprintln!(
                "shutdown: {:?}, {} bytes",
                conversation.shutdown,
                oracle.bytes.len()
            );
            eprintln!("again: SPOA_SIM_SEED={seed} cargo test --test simulation {test}\n");
        }
    }
}

fn check(conversation: &Conversation, seeded: &mut Seeded) {
    let len = conversation.oracle.bytes.len();
    let whole = drive(conversation, &[len], 0);
    let frames = decode::frames(&whole.sent).expect("whole frames only");
    is_foretold(conversation, &frames, whole.total);

    let mut chunkings = vec![random_cuts(seeded, len, 40), random_cuts(seeded, len, 700)];
    if len < 3000 {
        chunkings.push((1..=len).collect());
    }
    for cuts in chunkings {
        let pieces = drive(conversation, &cuts, seeded.pick(&[0, 100, usize::MAX]));
        assert!(
            pieces.sent == whole.sent,
            "cut into pieces, it answers something else"
        );
        assert_eq!(pieces.total, whole.total);
        is_prompt(conversation, &frames, &pieces.progress);
    }
}

/// Ends of pieces, the last of which is the end of the input.
fn random_cuts(seeded: &mut Seeded, len: usize, most: usize) -> Vec<usize> {
    let (mut cuts, mut at) = (Vec::new(), 0);
    while at < len {
        at = len.min(at + seeded.below(most + 1));
        cuts.push(at);
    }
    cuts
}

/// A conversation that has taken place.
struct Run {
    sent: Vec<u8>,
    total: Total,
    /// After so many bytes of input, so many bytes were answered.
    progress: Vec<(usize, usize)>,
}

fn drive(conversation: &Conversation, cuts: &[usize], hold: usize) -> Run {
    let oracle = &conversation.oracle;
    let mut policy = Policy::default();
    let mut driver = Driver::new(oracle.terms, hold);
    let (mut from, mut progress, mut shutdown) = (0, Vec::new(), conversation.shutdown);
    for &to in cuts {
        if let Some((at, status)) = shutdown.filter(|(at, _)| *at <= to) {
            driver.feed(&oracle.bytes[from..at], &mut policy);
            driver.disconnect(Status(status));
            (from, shutdown) = (at, None);
        }
        driver.feed(&oracle.bytes[from..to], &mut policy);
        from = to;
        progress.push((to, driver.sent().len()));
    }
    if let Some((_, status)) = shutdown {
        driver.disconnect(Status(status));
    }
    assert_eq!(policy.calls, driver.total().acks, "one call per ACK");
    Run {
        sent: driver.sent().to_vec(),
        total: driver.total(),
        progress,
    }
}

/// The frames are those that the oracle foretold, and so is the end.
fn is_foretold(conversation: &Conversation, frames: &[RawFrame], total: Total) {
    let oracle = &conversation.oracle;
    let count = |wanted: fn(&Answer) -> bool| {
        u32::try_from(oracle.due.iter().filter(|due| wanted(&due.answer)).count()).unwrap()
    };
    let mut rest = frames.iter();
    for due in oracle.due.iter().filter(|due| is_frame(due)) {
        let frame = rest
            .next()
            .unwrap_or_else(|| panic!("nothing sent for {due:?}"));
        assert_eq!(Some(&due.answer), meaning(frame).as_ref());
        let max = oracle.max() as usize;
        assert!(
            frame.size - 4 <= max,
            "a frame of {} bytes, agreed on {max}",
            frame.size
        );
    }
    assert_eq!(rest.next(), None, "sent without need");
    assert_eq!(
        total.acks,
        count(|answer| matches!(answer, Answer::Ack { .. }))
    );
    assert_eq!(total.skipped, count(|answer| *answer == Answer::Skipped));
    assert_eq!(
        total.reassembled,
        count(|answer| *answer == Answer::Reassembled)
    );
    assert_eq!(total.aborted, count(|answer| *answer == Answer::Aborted));
    assert_eq!(total.close, oracle.end.map(|end| Status(end.status)));
    assert_eq!(
        total.refusal.is_some(),
        oracle.end.is_some_and(|end| end.refused)
    );
}

const fn is_frame(due: &Due) -> bool {
    !matches!(
        due.answer,
        Answer::Skipped | Answer::Reassembled | Answer::Aborted
    )
}

/// What a frame of the agent says, if it is one that an agent may send.
fn meaning(frame: &RawFrame) -> Option<Answer> {
    assert_eq!(frame.flags, 1, "FIN, and nothing else");
    if frame.kind == 103 {
        assert!(decode::actions(&frame.payload).is_some());
        return Some(Answer::Ack {
            ids: frame.ids,
            actions: frame.payload.clone(),
        });
    }
    assert_eq!(frame.ids, (0, 0));
    let items: BTreeMap<_, _> = decode::kv_list(&frame.payload)?.into_iter().collect();
    let item = |key: &str| items.get(key.as_bytes());
    match (frame.kind, items.len()) {
        (101, 3) => {
            assert_eq!(item("version"), Some(&Value::String(b"2.0".to_vec())));
            let Value::String(capabilities) = item("capabilities")? else {
                return None;
            };
            let has = |name: &&str| {
                capabilities
                    .split(|&byte| byte == b',')
                    .any(|is| is == name.as_bytes())
            };
            let known = ["pipelining", "fragmentation"]
                .into_iter()
                .filter(has)
                .collect::<Vec<_>>();
            assert_eq!(known.join(",").as_bytes(), capabilities);
            Some(Answer::Hello {
                max_frame_size: event::number(item("max-frame-size")?)?,
                capabilities: known,
            })
        }
        (102, 2) => {
            let Value::String(message) = item("message")? else {
                return None;
            };
            assert!(message.len() <= 255);
            Some(Answer::Disconnect {
                status: event::number(item("status-code")?)?,
            })
        }
        _ => None,
    }
}

/// After every piece, exactly the answers that are due have been sent: none is held back, none is
/// early.
fn is_prompt(conversation: &Conversation, frames: &[RawFrame], progress: &[(usize, usize)]) {
    let due = conversation.oracle.due.iter().filter(|due| is_frame(due));
    let ends: Vec<_> = due
        .map(|due| due.at)
        .zip(frames.iter().map(|frame| frame.size))
        .collect();
    let (mut next, mut answered) = (0, 0);
    for &(input, output) in progress {
        while let Some((_, size)) = ends.get(next).filter(|(at, _)| *at <= input) {
            answered += size;
            next += 1;
        }
        assert_eq!(output, answered, "after {input} bytes of input");
    }
}
