//! Law: once a connection is warm, nothing is allocated per NOTIFY, whatever it asks; an idle
//! connection costs no heap; fragments never take more than their bound allows.
//!
//! An allocator that counts stands in for the system's. It counts per thread, so that tests which
//! run at the same time do not disturb each other.

#![cfg(test)]
#![allow(
    unsafe_code,
    reason = "an allocator cannot be written without; it only counts"
)]

#[path = "model/mmdb.rs"]
mod mmdb;

use core::net::IpAddr;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use bytes::BytesMut;
use haproxy_spoa::{Handler, Replies};
use haproxy_spop::session::{Session, SessionConfig};
use haproxy_spop::{
    Argument, Capabilities, Flags, FrameType, FrameWriter, HaproxyHello, NotifyWriter, Scope,
    Status, TypedData, Versions,
};
use ip_reputation::formats::Attributes;
use ip_reputation::{
    Combine, Entry, FeedDataBuilder, FeedTerms, PAYLOAD_BYTES_MAX, Pattern, PayloadRule,
    PayloadRules, Prefix, Random, Role, Score, TableBuilder,
};
use iprep_spoa::live::{BehaviorOptions, Decision, Kind, Live, LiveOptions, Request};
use iprep_spoa::policy::{
    ActionRule, Attribute, BehaviorPolicy, IpReputation, LivePolicy, MessageRules, Policy,
    PolicyCell, PolicyConfig, PolicyHandler, Source, VariableRule,
};

use mmdb::Database;

thread_local! {
    /// Calls that took memory on this thread. `const` and without a destructor: reading it allocates
    /// nothing itself.
    static TAKEN: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread holds, and the most that it has held since the last look.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static HELD_MAX: Cell<i64> = const { Cell::new(0) };
}

struct Counting;

fn count(calls: u64, bytes: i64) {
    TAKEN.set(TAKEN.get() + calls);
    HELD.set(HELD.get() + bytes);
    HELD_MAX.set(HELD_MAX.get().max(HELD.get()));
}

fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, signed(layout.size()));
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -signed(layout.size()));
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, signed(size) - signed(layout.size()));
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many times `work` takes memory.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = TAKEN.get();
    work();
    TAKEN.get() - before
}

/// How many bytes `work` holds at once, at most, beyond what was held before.
fn held_max(work: impl FnOnce()) -> i64 {
    let before = HELD.get();
    HELD_MAX.set(before);
    work();
    HELD_MAX.get() - before
}

fn hello() -> BytesMut {
    let mut out = BytesMut::new();
    let offer = HaproxyHello {
        supported_versions: Some(Versions(b"2.0")),
        max_frame_size: Some(16_380),
        capabilities: Some(Capabilities(b"pipelining,async")),
        ..HaproxyHello::default()
    };
    offer.write(&mut out, 256).unwrap();
    out
}

/// An argument: its name, and its value.
type Pair<'a> = (&'a [u8], TypedData<'a>);

/// A batch of NOTIFYs of one message each.
fn batch(len: u64, message: &str, arguments: &[Pair<'_>]) -> BytesMut {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|&(name, value)| Argument { name, value })
        .collect();
    let mut out = BytesMut::new();
    for id in 1..=len {
        let mut notify = NotifyWriter::begin(&mut out, u64::MAX - id, id, 16_380);
        notify.message(message, &arguments).unwrap();
        notify.finish();
    }
    out
}

fn frame(kind: FrameType, flags: Flags, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut frame = FrameWriter::begin(&mut out, kind, flags, (1, 1), 16_380);
    frame.put(payload).unwrap();
    frame.finish();
    out
}

fn handler() -> IpReputation<Random> {
    IpReputation::new(Random::seeded(1, 0))
}

#[test]
fn the_counter_counts() {
    let kept = held_max(|| drop(vec![0_u8; 1000]));
    assert!((1000..1100).contains(&kept), "{kept}");
    assert_eq!(allocations(|| drop(Box::new(1_u64))), 1);
    let other = || drop(std::thread::spawn(|| drop(vec![1_u8; 1_000_000])).join());
    assert!(
        held_max(other) < 100_000,
        "what another thread takes is not counted here"
    );
}

#[test]
fn no_notify_allocates_once_the_connection_is_warm() {
    let v4 = TypedData::Ipv4([192, 0, 2, 1].into());
    let v6 = TypedData::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into());
    let payload = TypedData::Binary(&[0x55; 200]);
    let questions: [(&str, &[Pair<'_>]); 8] = [
        ("check-client-ip", &[(b"", v4)]),
        ("check-client-ip", &[(b"src", v6)]),
        ("check-client-ip", &[(b"", TypedData::Null)]),
        ("get-ip-reputation", &[(b"ip", v4)]),
        ("ip-rep", &[(b"other", v4), (b"ip", v6)]),
        ("check-buffer", &[(b"buf", payload)]),
        (
            "nobody-knows",
            &[
                (b"a", TypedData::String(b"text")),
                (b"b", TypedData::Int64(-1)),
            ],
        ),
        ("nothing", &[]),
    ];
    for (message, arguments) in questions {
        for len in [1, 16, 64] {
            let batch = batch(len, message, arguments);
            let taken = allocations_when_warm(&mut handler(), &batch, len);
            assert_eq!(taken, 0, "{message} {arguments:?}, {len} at a time");
            let taken = allocations_when_warm(&mut judge(), &batch, len);
            assert_eq!(
                taken, 0,
                "{message} {arguments:?}, {len} at a time, by a policy"
            );
        }
    }
}

/// A handler over a policy that answers each message with everything it can.
fn judge() -> PolicyHandler {
    let questions = [
        "check-client-ip",
        "get-ip-reputation",
        "ip-rep",
        "check-buffer",
    ];
    let answers = Attribute::ALL.map(|value| VariableRule::new(value.name().to_owned(), value));
    let messages = questions.map(|name| MessageRules {
        name: name.to_owned(),
        argument: None,
        payload_argument: None,
        scope: Scope::Session,
        answers: answers.to_vec(),
    });
    let bad = |address: IpAddr, len, expires| Entry {
        category: Some("scanner"),
        expires,
        ..Entry::bad(Prefix::new(address, len).unwrap())
    };
    let mut data = FeedDataBuilder::new();
    data.add(bad([192, 0, 2, 0].into(), 24, Some(1_000)))
        .unwrap();
    data.add(bad([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), 32, None))
        .unwrap();
    let mut table = TableBuilder::new(Combine::NoisyOr, Score::BEST);
    table.feed(FeedTerms::new("feed", Role::Feed), Arc::new(data.finish()));
    let rule = PayloadRule {
        name: "filler".to_owned(),
        score: Score::WORST,
        pattern: Pattern::Regex("U{150}".to_owned()),
    };
    let payload = PayloadRules::new(vec![rule], PAYLOAD_BYTES_MAX).unwrap();
    let database = Arc::new(Attributes::new(database().bytes()).unwrap());
    let policy = Policy::new(PolicyConfig {
        messages: messages.to_vec(),
        source: Source::Table {
            table: Arc::new(table.build(0).unwrap()),
            unknown: Score::BEST,
        },
        asn: Some(Arc::clone(&database)),
        country: Some(database),
        live: Some(live()),
        payload: Some(Arc::new(payload)),
        actions: vec![ActionRule {
            name: "deny".to_owned(),
            max_score: Score::WORST,
        }],
        stale_from: Some(500),
    });
    PolicyHandler::new(
        &PolicyCell::new(policy.unwrap()),
        Random::seeded(1, 0),
        || 2_000,
    )
}

/// A live decision about the IPv6 documentation addresses, and reports.
fn live() -> LivePolicy {
    let live = Live::new();
    live.configure(Some(&LiveOptions {
        behavior: Some(BehaviorOptions::default()),
        ..LiveOptions::default()
    }));
    live.start(|| {}).unwrap();
    let ban = Decision {
        kind: Kind::Challenge,
        target: Prefix::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), 32)
            .unwrap()
            .into(),
        origin: "ctl".into(),
        reason: "".into(),
        node: "here".into(),
        created: 0,
        until: u32::MAX,
    };
    let (done, over) = std::sync::mpsc::channel();
    let send = move |outcome| drop(done.send(outcome));
    live.apply(Request::Put(vec![ban]), Box::new(send));
    over.recv().unwrap().unwrap();
    LivePolicy {
        table: live.table(),
        challenge_score: Score::WORST,
        // A question that is a report as well.
        behavior: live
            .reports()
            .map(|reports| BehaviorPolicy::new("ip-rep", reports)),
    }
}

/// The autonomous system and the country of the documentation addresses.
fn database() -> Database {
    let code = mmdb::Value::Map(vec![("iso_code", mmdb::Value::Text("ZZ".to_owned()))]);
    let number = mmdb::Value::Number(64_496);
    let both = mmdb::Value::Map(vec![
        ("autonomous_system_number", number),
        ("country", code),
        ("is_anycast", mmdb::Value::Flag(true)),
    ]);
    let v6: IpAddr = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into();
    Database::new(vec![
        ([192, 0, 2, 0].into(), 24, both.clone()),
        (v6, 32, both),
    ])
}

/// Allocations for some thousands of NOTIFYs on a connection that has had this batch once.
fn allocations_when_warm(handler: &mut impl Handler, batch: &[u8], len: u64) -> u64 {
    const NOTIFYS: u64 = 4096;
    let (mut session, mut output) = (Session::new(SessionConfig::default()), BytesMut::new());
    let mut replies = Replies::detached();
    replies.serve(&mut session, &hello(), &mut output, handler);
    let mut answer = || {
        output.clear();
        let step = replies.serve(&mut session, batch, &mut output, handler);
        assert_eq!((u64::from(step.acks), step.consumed), (len, batch.len()));
    };
    answer();
    allocations(|| (0..NOTIFYS / len).for_each(|_| answer()))
}

#[test]
fn neither_a_handshake_nor_an_idle_connection_nor_a_farewell_allocates() {
    let (hello, mut output, mut handler) = (hello(), BytesMut::with_capacity(4096), handler());
    let mut replies = Replies::detached();
    let taken = allocations(|| {
        let mut session = Session::new(SessionConfig::default());
        replies.serve(&mut session, &hello, &mut output, &mut handler);
        assert!(session.is_established());
        session.disconnect(Status::NORMAL, &mut output);
    });
    assert_eq!(taken, 0);
}

#[test]
fn fragments_take_no_more_than_their_bound_and_give_it_back() {
    let terms = SessionConfig {
        reassembly_max: 50_000,
        ..SessionConfig::default()
    };
    let (begin, more) = (
        frame(FrameType::NOTIFY, Flags::NONE, &[0; 999]),
        frame(FrameType::UNSET, Flags::NONE, &[0; 999]),
    );
    let end = frame(FrameType::UNSET, Flags::FIN.with(Flags::ABORT), b"");
    let (hello, mut output, mut handler) = (hello(), BytesMut::with_capacity(4096), handler());
    let mut replies = Replies::detached();
    let mut session = Session::new(terms);
    replies.serve(&mut session, &hello, &mut output, &mut handler);

    let before = HELD.get();
    let within = held_max(|| {
        replies.serve(&mut session, &begin, &mut output, &mut handler);
        for _ in 0..40 {
            let step = replies.serve(&mut session, &more, &mut output, &mut handler);
            assert_eq!(step.close, None);
        }
    });
    // A vector that grows doubles.
    assert!(
        within <= 2 * 50_000 + 200,
        "{within} bytes for a bound of 50,000"
    );
    replies.serve(&mut session, &end, &mut output, &mut handler);
    assert_eq!(session.take_statistics().aborted, 1);
    assert_eq!(HELD.get(), before, "given up and still held");

    let beyond = held_max(|| {
        replies.serve(&mut session, &begin, &mut output, &mut handler);
        while !session.is_closed() {
            replies.serve(&mut session, &more, &mut output, &mut handler);
        }
    });
    assert!(
        beyond <= 2 * 50_000 + 200,
        "{beyond} bytes for a bound of 50,000"
    );
    assert_eq!(HELD.get(), before, "refused and still held");
}

#[test]
fn a_length_that_only_claims_allocates_nothing() {
    let (hello, mut output, mut handler) = (hello(), BytesMut::with_capacity(4096), handler());
    let mut replies = Replies::detached();
    for claim in [
        &[0, 0, 0x3f, 0xfc, 3, 0, 0, 0, 1][..],
        &[0xff, 0xff, 0xff, 0xff],
    ] {
        let mut session = Session::new(SessionConfig::default());
        replies.serve(&mut session, &hello, &mut output, &mut handler);
        let taken = allocations(|| {
            replies.serve(&mut session, claim, &mut output, &mut handler);
        });
        assert_eq!(taken, 0, "{claim:?}");
    }
}
