use bytes::BytesMut;

use super::{CloseReason, Event, ProtocolError, Session, SessionConfig};
use crate::*;

/// What all events of some input add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Step {
    consumed: usize,
    acks: u32,
    skipped: u32,
    reassembled: u32,
    aborted: u32,
    health_check: bool,
    paused: bool,
    close: Option<Status>,
    refusal: Option<ProtocolError>,
}

/// Pulls every event out of the input and answers it.
fn receive(
    session: &mut Session,
    input: &[u8],
    output: &mut BytesMut,
    answer: &mut impl FnMut(&Notify<'_>, &mut Ack<'_>) -> Result<(), FrameFull>,
) -> Step {
    let mut all = Step::default();
    let full = output.len() + session.terms().output_high_water;
    loop {
        if output.len() >= full && all.consumed < input.len() {
            all.paused = true;
            break;
        }
        let max = session.max_frame_size();
        let step = session.next(&input[all.consumed..], output);
        all.consumed += step.consumed;
        match step.event {
            Event::Notify(notify) => {
                let mut ack = Ack::begin(output, notify.stream_id, notify.frame_id, max);
                answer(&notify, &mut ack).unwrap();
                ack.finish();
                all.acks += 1;
            }
            Event::Established => {}
            Event::NeedMore => break,
            Event::Closed(close) => {
                all.close = Some(close.status);
                match close.reason {
                    CloseReason::Refused(refusal) => all.refusal = Some(refusal),
                    CloseReason::HealthCheck => all.health_check = true,
                    CloseReason::Disconnect => {}
                }
                break;
            }
        }
    }
    let seen = session.take_statistics();
    (all.skipped, all.reassembled, all.aborted) = (seen.skipped, seen.reassembled, seen.aborted);
    all
}

fn score(_: &Notify<'_>, ack: &mut Ack<'_>) -> Result<(), FrameFull> {
    ack.set_var(Scope::Session, "ip_score", 42_u32)
}

const OFFER: HaproxyHello<'static> = HaproxyHello {
    supported_versions: Some(Versions(b"2.0")),
    max_frame_size: Some(16380),
    capabilities: Some(Capabilities(b"pipelining,async")),
    healthcheck: false,
    engine_id: None,
};

fn hello(offer: &HaproxyHello<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    offer.write(&mut out, 16380).unwrap();
    out
}

fn frame(kind: u8, flags: Flags, ids: (u64, u64), payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let mut frame = FrameWriter::begin(&mut out, FrameType(kind), flags, ids, u32::MAX);
    frame.put(payload).unwrap();
    frame.finish();
    out
}

fn notify(stream_id: u64, frame_id: u64) -> BytesMut {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::begin(&mut out, stream_id, frame_id, 16380);
    let address = TypedData::Ipv4([192, 0, 2, 1].into());
    notify
        .message(
            "check-client-ip",
            &[Argument {
                name: b"",
                value: address,
            }],
        )
        .unwrap();
    notify.finish();
    out
}

/// Runs a conversation through a fresh session in one call.
fn run(terms: SessionConfig, input: &[u8]) -> (Step, BytesMut) {
    let mut session = Session::new(terms);
    let mut output = BytesMut::new();
    let step = receive(&mut session, input, &mut output, &mut score);
    assert_eq!(session.is_closed(), step.close.is_some());
    (step, output)
}

fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = Frame::split_first(bytes, u32::MAX).unwrap() {
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a half-written frame");
    frames
}

/// What follows the AGENT-HELLO when `frame` comes after the handshake.
fn after_hello(terms: SessionConfig, rest: &[u8]) -> (Step, BytesMut) {
    let mut input = hello(&OFFER);
    input.extend_from_slice(rest);
    let (step, mut output) = run(terms, &input);
    let len = 4 + u32::from_be_bytes(output[..4].try_into().unwrap()) as usize;
    assert_eq!(output[4], FrameType::AGENT_HELLO.0);
    (step, output.split_off(len))
}

fn disconnect_status(output: &[u8]) -> u32 {
    let frames = frames(output);
    let last = frames.last().unwrap();
    assert_eq!(last.kind, FrameType::AGENT_DISCONNECT);
    assert_eq!(
        (last.flags, last.stream_id, last.frame_id),
        (Flags::FIN, 0, 0)
    );
    Disconnect::parse(last.payload).unwrap().status.0
}

#[test]
fn hello_is_answered_with_the_lower_frame_size_and_what_both_can() {
    for (offered, ours, agreed) in [(16380, 65536, 16380), (65536, 4096, 4096), (256, 256, 256)] {
        let offer = HaproxyHello {
            max_frame_size: Some(offered),
            ..OFFER
        };
        let (step, output) = run(
            SessionConfig {
                max_frame_size: ours,
                ..SessionConfig::default()
            },
            &hello(&offer),
        );
        assert_eq!(step.close, None);
        let answer = frames(&output)[0];
        assert_eq!(
            (answer.kind, answer.flags),
            (FrameType::AGENT_HELLO, Flags::FIN)
        );
        let answer = AgentHello::parse(answer.payload).unwrap();
        assert_eq!(
            (answer.version, answer.max_frame_size),
            (&b"2.0"[..], agreed)
        );
        assert_eq!(
            answer.capabilities,
            Capabilities(b"pipelining,fragmentation")
        );
    }
}

#[test]
fn pipelining_is_answered_only_when_offered_and_fragmentation_only_when_wanted() {
    for (offered, fragmentation, answer) in [
        (&b""[..], true, &b"fragmentation"[..]),
        (b"async", false, b""),
        (b", pipelining", false, b"pipelining"),
    ] {
        let offer = HaproxyHello {
            capabilities: Some(Capabilities(offered)),
            ..OFFER
        };
        let (_, output) = run(
            SessionConfig {
                fragmentation,
                ..SessionConfig::default()
            },
            &hello(&offer),
        );
        let hello = AgentHello::parse(frames(&output)[0].payload).unwrap();
        assert_eq!(hello.capabilities, Capabilities(answer));
    }
}

#[test]
fn a_hello_that_cannot_be_accepted_gets_its_status() {
    let cases = [
        (
            HaproxyHello {
                supported_versions: None,
                ..OFFER
            },
            5,
        ),
        (
            HaproxyHello {
                max_frame_size: None,
                ..OFFER
            },
            6,
        ),
        (
            HaproxyHello {
                capabilities: None,
                ..OFFER
            },
            7,
        ),
        (
            HaproxyHello {
                supported_versions: Some(Versions(b"1.0")),
                ..OFFER
            },
            8,
        ),
        (
            HaproxyHello {
                max_frame_size: Some(255),
                ..OFFER
            },
            9,
        ),
    ];
    for (offer, status) in cases {
        let (step, output) = run(SessionConfig::default(), &hello(&offer));
        assert_eq!(disconnect_status(&output), status, "{offer:?}");
        assert_eq!(step.close, Some(Status(status)));
        assert!(step.refusal.is_some());
    }
}

#[test]
fn a_health_check_gets_a_hello_and_nothing_after_it() {
    let offer = HaproxyHello {
        healthcheck: true,
        capabilities: Some(Capabilities(b"")),
        ..OFFER
    };
    let mut input = hello(&offer);
    let len = input.len();
    input.extend_from_slice(&notify(1, 1));
    let (step, output) = run(SessionConfig::default(), &input);
    assert_eq!((step.consumed, step.acks), (len, 0));
    assert_eq!((step.close, step.refusal), (Some(Status::NORMAL), None));
    let answers = frames(&output);
    assert_eq!(answers.len(), 1);
    assert_eq!(
        (answers[0].kind, answers[0].flags),
        (FrameType::AGENT_HELLO, Flags::FIN)
    );
}

#[test]
fn every_notify_gets_one_ack_with_its_64_bit_ids() {
    let ids = [(1, 1), (u64::MAX, 0), (0, u64::MAX), (240, 2288)];
    let input: Vec<u8> = ids.iter().flat_map(|&(s, f)| notify(s, f)).collect();
    let (step, output) = after_hello(SessionConfig::default(), &input);
    assert_eq!((step.acks, step.close), (4, None));
    let acks = frames(&output);
    let answered: Vec<_> = acks
        .iter()
        .map(|ack| (ack.stream_id, ack.frame_id))
        .collect();
    assert_eq!(answered, ids);
    for ack in acks {
        assert_eq!((ack.kind, ack.flags), (FrameType::ACK, Flags::FIN));
        assert_eq!(AckView::try_from(ack).unwrap().actions().count(), 1);
    }
}

#[test]
fn a_notify_without_a_message_is_acknowledged() {
    let (step, _) = after_hello(SessionConfig::default(), &frame(3, Flags::FIN, (1, 1), b""));
    assert_eq!((step.acks, step.close), (1, None));
}

#[test]
fn abort_and_reserved_flags_mean_nothing_on_a_whole_notify() {
    let (step, _) = after_hello(
        SessionConfig::default(),
        &frame(3, Flags(0xffff_ffff), (1, 1), b""),
    );
    assert_eq!((step.acks, step.close), (1, None));
}

#[test]
fn faults_get_their_status_and_nothing_after_them_is_read() {
    let off = SessionConfig {
        fragmentation: false,
        ..SessionConfig::default()
    };
    let on = SessionConfig {
        reassembly_max: 8,
        ..SessionConfig::default()
    };
    let part = frame(3, Flags::NONE, (1, 1), b"1234");
    let then = |next: BytesMut| [&part[..], &next[..]].concat();
    let cases: Vec<(&str, SessionConfig, Vec<u8>, u32)> = vec![
        ("second HELLO", on, hello(&OFFER).to_vec(), 4),
        (
            "malformed NOTIFY",
            on,
            frame(3, Flags::FIN, (1, 1), &[9]).to_vec(),
            4,
        ),
        ("too short a frame", on, vec![0, 0, 0, 3, 3, 0, 0], 4),
        ("too big a frame", on, vec![0, 1, 0, 0], 3),
        ("not announced", off, part.to_vec(), 10),
        (
            "continuation of nothing",
            on,
            frame(0, Flags::FIN, (1, 1), b"").to_vec(),
            12,
        ),
        ("NOTIFY in between", on, then(notify(2, 1)), 11),
        (
            "NOTIFY of the same ids in between",
            on,
            then(notify(1, 1)),
            11,
        ),
        (
            "fragment of another stream",
            on,
            then(frame(0, Flags::NONE, (2, 1), b"")),
            11,
        ),
        (
            "fragment of another frame",
            on,
            then(frame(0, Flags::FIN, (1, 2), b"")),
            11,
        ),
        (
            "beyond the bound",
            on,
            then(frame(0, Flags::FIN, (1, 1), b"56789")),
            3,
        ),
        (
            "DISCONNECT without status",
            on,
            frame(2, Flags::FIN, (0, 0), b"").to_vec(),
            4,
        ),
        (
            "DISCONNECT without FIN",
            on,
            frame(2, Flags::NONE, (0, 0), b"").to_vec(),
            10,
        ),
    ];
    for (name, terms, mut input, status) in cases {
        input.extend_from_slice(&notify(9, 9));
        let (step, output) = after_hello(terms, &input);
        assert_eq!(disconnect_status(&output), status, "{name}");
        assert_eq!((step.acks, step.close), (0, Some(Status(status))), "{name}");
    }
}

#[test]
fn before_the_hello_only_a_hello_or_a_disconnect_will_do() {
    for (input, status) in [
        (notify(1, 1), 4),
        (frame(0, Flags::FIN, (1, 1), b""), 4),
        (frame(1, Flags::NONE, (0, 0), b""), 10),
        (frame(1, Flags::FIN, (0, 1), b""), 4),
        (BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]), 3),
    ] {
        let (step, output) = run(SessionConfig::default(), &input);
        assert_eq!(disconnect_status(&output), status);
        assert_eq!(step.close, Some(Status(status)));
    }
}

#[test]
fn a_disconnect_is_answered_with_its_own_status_whatever_it_is() {
    for code in [0, 2, 99, 4242, u32::MAX] {
        let mut input = BytesMut::new();
        let farewell = Disconnect {
            status: Status(code),
            message: b"bye",
        };
        farewell
            .write(FrameType::HAPROXY_DISCONNECT, &mut input, 256)
            .unwrap();
        for (step, output) in [
            run(SessionConfig::default(), &input),
            after_hello(SessionConfig::default(), &input),
        ] {
            assert_eq!(disconnect_status(&output), code);
            assert_eq!((step.close, step.refusal), (Some(Status(code)), None));
        }
    }
}

#[test]
fn unknown_frames_are_skipped_and_counted() {
    let mut input = frame(77, Flags::NONE, (3, 4), b"future").to_vec();
    input.extend_from_slice(&frame(103, Flags::FIN, (1, 1), b""));
    input.extend_from_slice(&notify(1, 1));
    let (step, _) = after_hello(SessionConfig::default(), &input);
    assert_eq!((step.skipped, step.acks, step.close), (2, 1, None));
}

#[test]
fn fragments_become_one_notify_wherever_they_are_cut() {
    let whole = notify(5, 6);
    let payload = frames(&whole)[0].payload;
    for cut in 0..=payload.len() {
        let (head, tail) = payload.split_at(cut);
        let mut input = frame(3, Flags::NONE, (5, 6), head).to_vec();
        input.extend_from_slice(&frame(0, Flags::NONE, (5, 6), b""));
        input.extend_from_slice(&frame(0, Flags::FIN, (5, 6), tail));
        let (step, output) = after_hello(SessionConfig::default(), &input);
        assert_eq!((step.acks, step.reassembled, step.close), (1, 1, None));
        let ack = frames(&output)[0];
        assert_eq!((ack.stream_id, ack.frame_id), (5, 6));
        assert_eq!(AckView::try_from(ack).unwrap().actions().count(), 1);
    }
}

#[test]
fn an_aborted_notify_gets_no_ack_and_the_next_one_does() {
    let mut input = frame(3, Flags::NONE, (5, 6), b"half").to_vec();
    input.extend_from_slice(&frame(0, Flags::FIN.with(Flags::ABORT), (5, 6), b""));
    input.extend_from_slice(&notify(7, 1));
    let (step, output) = after_hello(SessionConfig::default(), &input);
    assert_eq!((step.aborted, step.acks, step.close), (1, 1, None));
    assert_eq!(frames(&output)[0].stream_id, 7);
}

/// `HAProxy` 3.2 resets a connection whose AGENT-HELLO arrives in two segments: whatever comes with
/// the HELLO, the answer is there as one piece before anything can be sent.
#[test]
fn the_hello_is_appended_whole_in_one_step() {
    let input = [hello(&OFFER), notify(1, 1)].concat();
    let hello_len = hello(&OFFER).len();
    let (mut session, mut output) = (Session::new(SessionConfig::default()), BytesMut::new());
    for len in 0..hello_len {
        let step = session.next(&input[..len], &mut output);
        assert!(matches!(step.event, Event::NeedMore));
        assert_eq!((step.consumed, output.len()), (0, 0), "{len}");
    }
    let step = session.next(&input, &mut output);
    assert!(matches!(step.event, Event::Established));
    assert_eq!(step.consumed, hello_len);
    assert_eq!(frames(&output)[0].kind, FrameType::AGENT_HELLO);
    let step = session.next(&input[hello_len..], &mut output);
    assert!(matches!(step.event, Event::Notify(_)));
    assert_eq!(frames(&output).len(), 1);
}

#[test]
fn a_reassembled_notify_is_given_back_by_the_next_call() {
    let mut input = hello(&OFFER).to_vec();
    input.extend_from_slice(&frame(3, Flags::NONE, (5, 6), b""));
    input.extend_from_slice(&frame(0, Flags::FIN, (5, 6), b""));
    let (mut session, mut output) = (Session::new(SessionConfig::default()), BytesMut::new());
    let hello = session.next(&input, &mut output).consumed;
    let step = session.next(&input[hello..], &mut output);
    let Event::Notify(notify) = step.event else {
        panic!("{step:?}")
    };
    assert_eq!((notify.stream_id, notify.frame_id), (5, 6));
    assert_eq!(hello + step.consumed, input.len());
    assert!(!session.is_reassembling());
    assert!(matches!(
        session.next(b"", &mut output).event,
        Event::NeedMore
    ));
    assert!(session.reassembly.is_none());
    let late = frame(0, Flags::FIN, (5, 6), b"");
    let step = session.next(&late, &mut output);
    let Event::Closed(close) = step.event else {
        panic!("{step:?}")
    };
    assert_eq!(
        close.reason,
        CloseReason::Refused(ProtocolError::UnknownFrameId)
    );
}

#[test]
fn output_is_bounded_and_nothing_is_lost_by_it() {
    let terms = SessionConfig {
        output_high_water: 100,
        ..SessionConfig::default()
    };
    let input: Vec<u8> = hello(&OFFER)
        .into_iter()
        .chain((1..=64).flat_map(|id| notify(id, 1)))
        .collect();
    let mut session = Session::new(terms);
    let (mut rest, mut all) = (&input[..], Vec::new());
    loop {
        let mut output = BytesMut::new();
        let step = receive(&mut session, rest, &mut output, &mut score);
        assert!(output.len() < 100 + 64);
        all.extend_from_slice(&output);
        rest = &rest[step.consumed..];
        if !step.paused {
            break;
        }
    }
    assert!(rest.is_empty());
    assert_eq!(&all[..], &run(SessionConfig::default(), &input).1[..]);
}

#[test]
fn shutting_down_says_so_once() {
    let mut session = Session::new(SessionConfig::default());
    let mut output = BytesMut::new();
    receive(&mut session, &hello(&OFFER), &mut output, &mut score);
    output.clear();
    session.disconnect(Status::NORMAL, &mut output);
    session.disconnect(Status::NORMAL, &mut output);
    assert_eq!((frames(&output).len(), disconnect_status(&output)), (1, 0));
    let step = receive(&mut session, &notify(1, 1), &mut output, &mut score);
    assert_eq!(step, Step::default());
}

#[test]
fn statuses_of_refusals_are_those_of_the_table() {
    assert_eq!(ProtocolError::HelloIds.status(), Status::INVALID);
    assert_eq!(ProtocolError::ReassemblyTooBig(1).status(), Status::TOO_BIG);
    assert_eq!(
        ProtocolError::HelloFull.status(),
        Status::BAD_MAX_FRAME_SIZE
    );
}
