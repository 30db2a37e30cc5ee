//! What is measured: the codec and a session with a handler (`Replies::serve`), with their inputs. No harness is in here: the
//! benches of this package count instructions of it, those of `bench/walltime` take its time.

use bytes::BytesMut;
use iprep_spoa::policy::IpReputation;
use ip_reputation::Random;
use haproxy_spoa::{Replies, Served};
use haproxy_spop::session::{Session, SessionConfig};
use haproxy_spop::{
    Ack, Argument, Capabilities, Frame, HaproxyHello, Notify, NotifyWriter, Reader, Scope,
    TypedData, Varint, Versions,
};

/// The size of a frame that both sides have agreed to.
const MAX: u32 = 65_536;

/// The bytes of a NOTIFY about an IPv4 address.
pub fn notify() -> BytesMut {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::begin(&mut out, 1, 1, MAX);
    let value = TypedData::Ipv4([192, 0, 2, 1].into());
    notify
        .message("get-ip-reputation", &[Argument { name: b"ip", value }])
        .unwrap();
    notify.finish();
    out
}

/// Room for an ACK.
pub fn room() -> BytesMut {
    BytesMut::with_capacity(4096)
}

/// How many bytes a varint takes.
#[inline]
pub fn write_varint(value: u64) -> usize {
    Varint::new(value).as_slice().len()
}

#[inline]
pub fn read_varint(encoded: &[u8]) -> u64 {
    Reader::new(encoded).varint("value").unwrap()
}

/// How many arguments a NOTIFY has.
#[inline]
pub fn read_notify(bytes: &[u8]) -> usize {
    let (frame, _) = Frame::split_first(bytes, MAX).unwrap().unwrap();
    let notify = Notify::try_from(frame).unwrap();
    notify
        .messages()
        .map(|message| message.arguments().count())
        .sum()
}

#[inline]
pub fn write_ack(out: &mut BytesMut, stream: u64, frame: u64, score: u32) {
    let mut ack = Ack::begin(out, stream, frame, MAX);
    ack.set_var(Scope::Session, "ip_score", score).unwrap();
    ack.finish();
}

/// A connection after its HELLO, with a batch of input and room for the answers.
pub struct Case {
    session: Session,
    replies: Replies,
    handler: IpReputation<Random>,
    input: BytesMut,
    output: BytesMut,
    /// NOTIFYs in the input.
    pub batch: u32,
}

impl Case {
    fn new(batch: u32, message: &str, argument: Argument<'_>) -> Self {
        let hello = HaproxyHello {
            supported_versions: Some(Versions(b"2.0")),
            max_frame_size: Some(MAX),
            capabilities: Some(Capabilities(b"pipelining")),
            ..HaproxyHello::default()
        };
        let mut session = Session::new(SessionConfig::default());
        let mut handler = IpReputation::new(Random::seeded(1, 0));
        let mut output = BytesMut::with_capacity(1 << 20);
        let mut input = BytesMut::new();
        hello.write(&mut input, MAX).unwrap();
        let mut replies = Replies::detached();
        let step = replies.serve(&mut session, &input, &mut output, &mut handler);
        assert_eq!(step.consumed, input.len());
        input.clear();
        for number in 0..u64::from(batch) {
            // 3.1 and later number the streams of a connection 1, 3, 5 …
            let mut notify = NotifyWriter::begin(&mut input, 2 * number + 1, 1, MAX);
            notify.message(message, &[argument]).unwrap();
            notify.finish();
        }
        let mut case = Self {
            session,
            replies,
            handler,
            input,
            output,
            batch,
        };
        // Once to warm up: what is measured is the steady state.
        case.forget();
        case.receive();
        case.forget();
        case
    }

    /// A batch about IPv4 addresses.
    pub fn ipv4(batch: u32) -> Self {
        let value = TypedData::Ipv4([192, 0, 2, 1].into());
        Self::new(batch, "get-ip-reputation", Argument { name: b"ip", value })
    }

    /// About IPv6 addresses.
    pub fn ipv6(batch: u32) -> Self {
        let value = TypedData::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into());
        Self::new(batch, "get-ip-reputation", Argument { name: b"ip", value })
    }

    /// With an argument that has no name, as `args src` sends it.
    pub fn unnamed(batch: u32) -> Self {
        let value = TypedData::Ipv4([192, 0, 2, 1].into());
        Self::new(batch, "check-client-ip", Argument { name: b"", value })
    }

    /// With a payload of 15 KB each.
    pub fn payload(batch: u32) -> Self {
        let bytes = vec![b'x'; 15 * 1024];
        let value = TypedData::Binary(&bytes);
        Self::new(
            batch,
            "check-buffer",
            Argument {
                name: b"buf",
                value,
            },
        )
    }

    /// The batch once more.
    #[inline]
    pub fn receive(&mut self) -> Served {
        let (session, output) = (&mut self.session, &mut self.output);
        self.replies
            .serve(session, &self.input, output, &mut self.handler)
    }

    /// Drops the answers.
    #[inline]
    pub fn forget(&mut self) {
        self.output.clear();
    }
}
