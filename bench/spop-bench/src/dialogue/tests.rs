//! `HAProxy`'s side against agents that are right and wrong, without a socket.

use clap::Parser as _;
use haproxy_spop::{Ack, FrameWriter, Scope, TypedData};

use super::*;
use crate::addresses::Draw;
use crate::options::Options;
use crate::plan::Plan;

struct Talk {
    dialogue: Dialogue,
    asker: Asker,
    meter: Meter,
    out: BytesMut,
}

impl Talk {
    fn new(depth: usize) -> Self {
        let options = Options::try_parse_from(["spop-bench", "127.0.0.1:1"]).unwrap();
        let plan = Plan::from_options(&options).unwrap();
        let mut out = BytesMut::new();
        let mut asker = Asker::new(plan.question.clone(), Draw::new(&plan.addresses, 1));
        asker.allow(u64::MAX);
        let mut meter = Meter::new().unwrap();
        meter.start(0, false);
        Self {
            dialogue: Dialogue::greet(depth, 16380, &mut out),
            asker,
            meter,
            out,
        }
    }

    /// A dialogue whose HELLO is answered.
    fn open(depth: usize) -> Self {
        let mut talk = Self::new(depth);
        talk.hear(&hello(b"2.0", 16380, b"pipelining")).unwrap();
        assert_eq!(talk.dialogue.state, State::Open);
        talk
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<usize, Kind> {
        let Self {
            dialogue,
            asker,
            meter,
            ..
        } = self;
        let heard = dialogue.receive(bytes, 50, asker, meter);
        heard.map_err(|broken| broken.kind)
    }

    fn ask(&mut self) {
        let waiting = Waiting { due: 10, sent: 10 };
        self.dialogue
            .ask(&mut self.asker, waiting, &mut self.out)
            .unwrap();
    }

    fn wrong(&self) -> Vec<Kind> {
        self.meter.tally.entries().map(|entry| entry.kind).collect()
    }
}

fn hello(version: &[u8], max_frame_size: u32, capabilities: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    let capabilities = Capabilities(capabilities);
    AgentHello {
        version,
        max_frame_size,
        capabilities,
    }
    .write(&mut out, 16380)
    .unwrap();
    out
}

fn ack(stream_id: u64, frame_id: u64, score: u32) -> BytesMut {
    let mut out = BytesMut::new();
    let mut ack = Ack::begin(&mut out, stream_id, frame_id, 16380);
    ack.set_var(Scope::Session, "ip_score", score).unwrap();
    ack.finish();
    out
}

fn goodbye(status: Status) -> BytesMut {
    let mut out = BytesMut::new();
    let disconnect = Disconnect {
        status,
        message: b"",
    };
    disconnect
        .write(FrameType::AGENT_DISCONNECT, &mut out, 16380)
        .unwrap();
    out
}

#[test]
fn a_right_agent_is_asked_answers_and_is_left() {
    let mut talk = Talk::open(2);
    talk.ask();
    talk.ask();
    assert!(!talk.dialogue.has_room());
    let mut answers = ack(3, 2, 100);
    answers.extend_from_slice(&ack(1, 1, 0));
    let whole = answers.len();
    answers.extend_from_slice(&[0, 0]);
    assert_eq!(talk.hear(&answers), Ok(whole));
    assert_eq!(
        (talk.meter.answered, talk.dialogue.outstanding.count()),
        (2, 0)
    );
    talk.dialogue.leave(&mut talk.out);
    talk.hear(&goodbye(Status::NORMAL)).unwrap();
    assert_eq!(talk.dialogue.state, State::Over);
    assert_eq!(talk.wrong(), []);
    talk.meter.flush();
    assert_eq!(
        (talk.meter.latency.len(), talk.meter.latency.max()),
        (2, 40)
    );
}

#[test]
fn hello_has_to_keep_within_the_offer() {
    for wrong in [
        hello(b"1.0", 16380, b"pipelining"),
        hello(b"2.0", 16381, b"pipelining"),
        hello(b"2.0", 255, b"pipelining"),
        hello(b"2.0", 16380, b""),
    ] {
        assert_eq!(Talk::new(2).hear(&wrong), Err(Kind::HelloTerms));
    }
    assert!(Talk::new(1).hear(&hello(b"2.0", 256, b"")).is_ok());
    let mut split = Talk::new(1);
    let whole = hello(b"2.0", 16380, b"");
    for cut in 0..whole.len() {
        assert_eq!(split.hear(&whole[..cut]), Ok(0));
    }
    assert_eq!(split.dialogue.state, State::Greeting);
}

#[test]
fn what_is_no_agent_is_named() {
    assert_eq!(
        Talk::new(1).hear(b"HTTP/1.1 400 Bad Request\r\n"),
        Err(Kind::Garbage)
    );
    assert_eq!(Talk::new(1).hear(&ack(1, 1, 1)), Err(Kind::UnexpectedFrame));
    assert_eq!(
        Talk::new(1).hear(&goodbye(Status::BAD_VERSION)),
        Err(Kind::HelloRefused)
    );
    assert_eq!(
        Talk::open(1).hear(&goodbye(Status::TIMEOUT)),
        Err(Kind::Disconnected)
    );
    assert_eq!(Talk::open(1).hear(&[0xff; 4]), Err(Kind::Garbage));
}

#[test]
fn wrong_answers_are_counted_by_kind() {
    let mut talk = Talk::open(4);
    for _ in 0..4 {
        talk.ask();
    }
    for bytes in [
        ack(1, 1, 1),
        ack(1, 1, 1),
        ack(9, 1, 1),
        ack(3, 1, 1),
        ack(3, 2, 101),
    ] {
        talk.hear(&bytes).unwrap();
    }
    let mut out = BytesMut::new();
    let mut frame = FrameWriter::begin(&mut out, FrameType::ACK, Flags::NONE, (5, 3), 256);
    frame.put_kv(b"x", TypedData::Null).unwrap();
    frame.finish();
    FrameWriter::begin(&mut out, FrameType(77), Flags::FIN, (0, 0), 256).finish();
    talk.hear(&out).unwrap();
    assert_eq!(
        talk.wrong(),
        [
            Kind::UnexpectedFrame,
            Kind::AckFlags,
            Kind::AckUnknown,
            Kind::AckRepeated,
            Kind::AckRange
        ]
    );
    assert_eq!(talk.meter.tally.total(), 6);
    assert_eq!(
        (talk.meter.answered, talk.dialogue.outstanding.count()),
        (1, 1)
    );
}
