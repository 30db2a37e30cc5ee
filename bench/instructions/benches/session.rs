//! `Session::receive` with the agent's own handler: whole batches of NOTIFYs in one call.

use std::hint::black_box;

use bytes::BytesMut;
use gungraun::{library_benchmark, library_benchmark_group, main};
use spoa::iprep::IpReputation;
use spoa::reputation::Random;
use spoa::session::{Session, Terms};
use spoa::spop::{Argument, Capabilities, HaproxyHello, NotifyWriter, TypedData, Versions};

const MAX: u32 = 65_536;

/// A connection after its HELLO, with a batch of input and room for the answers.
struct Case {
    session: Session,
    handler: IpReputation<Random>,
    input: BytesMut,
    output: BytesMut,
    batch: u32,
}

fn case(batch: u32, message: &str, argument: Argument<'_>) -> Case {
    let hello = HaproxyHello {
        supported_versions: Some(Versions(b"2.0")),
        max_frame_size: Some(MAX),
        capabilities: Some(Capabilities(b"pipelining")),
        ..HaproxyHello::default()
    };
    let mut session = Session::new(Terms::default());
    let mut handler = IpReputation::new(Random::seeded(1, 0));
    let mut output = BytesMut::with_capacity(1 << 20);
    let mut input = BytesMut::new();
    hello.write(&mut input, MAX).unwrap();
    let step = session.receive(&input, &mut output, &mut handler);
    assert_eq!(step.consumed, input.len());
    input.clear();
    for number in 0..u64::from(batch) {
        // 3.1 and later number the streams of a connection 1, 3, 5 …
        let mut notify = NotifyWriter::begin(&mut input, 2 * number + 1, 1, MAX);
        notify.message(message, &[argument]).unwrap();
        notify.finish();
    }
    // Once to warm up: what is counted is the steady state.
    output.clear();
    session.receive(&input, &mut output, &mut handler);
    output.clear();
    Case {
        session,
        handler,
        input,
        output,
        batch,
    }
}

fn ipv4(batch: u32) -> Case {
    let value = TypedData::Ipv4([192, 0, 2, 1].into());
    case(batch, "get-ip-reputation", Argument { name: b"ip", value })
}

fn ipv6(batch: u32) -> Case {
    let value = TypedData::Ipv6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into());
    case(batch, "get-ip-reputation", Argument { name: b"ip", value })
}

fn unnamed(batch: u32) -> Case {
    let value = TypedData::Ipv4([192, 0, 2, 1].into());
    case(batch, "check-client-ip", Argument { name: b"", value })
}

fn payload(batch: u32) -> Case {
    let bytes = vec![b'x'; 15 * 1024];
    case(
        batch,
        "check-buffer",
        Argument {
            name: b"buf",
            value: TypedData::Binary(&bytes),
        },
    )
}

#[library_benchmark]
#[bench::ipv4_1(ipv4(1))]
#[bench::ipv4_16(ipv4(16))]
#[bench::ipv4_64(ipv4(64))]
#[bench::ipv6_1(ipv6(1))]
#[bench::ipv6_16(ipv6(16))]
#[bench::ipv6_64(ipv6(64))]
#[bench::unnamed_1(unnamed(1))]
#[bench::unnamed_16(unnamed(16))]
#[bench::unnamed_64(unnamed(64))]
#[bench::payload_1(payload(1))]
#[bench::payload_16(payload(16))]
fn receive(mut case: Case) -> Case {
    let step = case
        .session
        .receive(&case.input, &mut case.output, &mut case.handler);
    assert_eq!(black_box(step).acks, case.batch);
    case
}

library_benchmark_group!(name = session, benchmarks = [receive]);
main!(library_benchmark_groups = session);
