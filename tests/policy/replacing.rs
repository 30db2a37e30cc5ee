//! A policy is replaced while it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use haproxy_spoa::WorkerHooks as _;
use ip_reputation::{Combine, Random, Score, TableBuilder};
use iprep_spoa::policy::{
    ActionRule, Attribute, Policy, PolicyCell, PolicyConfig, PolicyHandler, Source,
};

use crate::ask::Became::Number;
use crate::ask::{address, ask, clock, is, message, text};

/// A policy in which everything says one number.
fn policy(number: u8) -> Policy {
    let score = Score::new(number).unwrap();
    let table = TableBuilder::new(Combine::NoisyOr, score).build(0).unwrap();
    let terms = PolicyConfig {
        messages: vec![
            message("m", &[Attribute::Score, Attribute::Action]),
            message("n", &[Attribute::ShadowScore]),
        ],
        source: Source::Table {
            table: Arc::new(table),
            unknown: score,
        },
        actions: vec![ActionRule {
            name: number.to_string(),
            max_score: Score::BEST,
        }],
        ..PolicyConfig::default()
    };
    Policy::new(terms).unwrap()
}

fn number(judge: &mut PolicyHandler) -> u8 {
    let asked: &[_] = &[("", address("192.0.2.1"))];
    let found = ask(judge, &[("m", asked), ("n", asked)]);
    let Some(Number(number)) = found.get("sess.score") else {
        panic!("{found:?}")
    };
    let all = [
        is("score", Number(*number)),
        is("shadow_score", Number(*number)),
        is("action", text(&number.to_string())),
    ];
    assert_eq!(found, all.into(), "parts of two policies");
    u8::try_from(*number).unwrap()
}

#[test]
fn the_next_notify_is_answered_with_the_new_policy() {
    let published = PolicyCell::new(policy(1));
    let mut judge = PolicyHandler::new(&published, Random::seeded(1, 0), clock);
    assert_eq!(number(&mut judge), 1);
    let old = published.swap(policy(2));
    assert_eq!(number(&mut judge), 2);
    assert_eq!(Arc::strong_count(&old), 1, "nobody else has it any more");
    assert_eq!(
        Arc::strong_count(&published.current()),
        3,
        "published, the judge's, and this one"
    );
}

/// A judge without work keeps what it saw last, and no more, until it is told.
#[test]
fn a_judge_without_work_keeps_one_old_policy() {
    let published = PolicyCell::new(policy(1));
    let mut judge = PolicyHandler::new(&published, Random::seeded(1, 0), clock);
    assert_eq!(number(&mut judge), 1);
    let first = published.swap(policy(2));
    let second = published.swap(policy(3));
    assert_eq!(
        (Arc::strong_count(&first), Arc::strong_count(&second)),
        (2, 1)
    );
    judge.refresh();
    assert_eq!(Arc::strong_count(&first), 1);
    assert_eq!(number(&mut judge), 3);
}

#[test]
fn no_notify_is_answered_by_two_policies() {
    const SWAPS: u8 = 100;
    let published = PolicyCell::new(policy(0));
    let is_over = AtomicBool::new(false);
    let mut retired = Vec::new();
    thread::scope(|scope| {
        let askers: Vec<_> = (0..2)
            .map(|worker| {
                let (published, is_over) = (&published, &is_over);
                scope.spawn(move || {
                    let mut judge = PolicyHandler::new(published, Random::seeded(1, worker), clock);
                    let mut last = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let now = number(&mut judge);
                        assert!(now >= last, "an older policy after a newer one");
                        last = now;
                    }
                    number(&mut judge)
                })
            })
            .collect();
        for number in 1..=SWAPS {
            retired.push(published.swap(policy(number)));
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        for asker in askers {
            assert_eq!(asker.join().unwrap(), SWAPS);
        }
    });
    assert!(retired.iter().all(|old| Arc::strong_count(old) == 1));
}
