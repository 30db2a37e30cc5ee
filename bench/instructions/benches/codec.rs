//! The codec alone: one frame, read or written.

use std::hint::black_box;

use bytes::BytesMut;
use gungraun::{library_benchmark, library_benchmark_group, main};
use spoa::spop::{Ack, Argument, Frame, Notify, NotifyWriter, Reader, Scope, TypedData, Varint};

const MAX: u32 = 16_380;

fn notify() -> BytesMut {
    let mut out = BytesMut::new();
    let mut notify = NotifyWriter::begin(&mut out, 1, 1, MAX);
    let value = TypedData::Ipv4([192, 0, 2, 1].into());
    notify
        .message("get-ip-reputation", &[Argument { name: b"ip", value }])
        .unwrap();
    notify.finish();
    out
}

fn room() -> BytesMut {
    BytesMut::with_capacity(4096)
}

#[library_benchmark]
#[bench::one_byte(239)]
#[bench::three_bytes(100_000)]
#[bench::ten_bytes(u64::MAX)]
fn write_varint(value: u64) -> usize {
    black_box(Varint::new(black_box(value)).as_slice().len())
}

#[library_benchmark]
#[bench::one_byte(Varint::new(239))]
#[bench::three_bytes(Varint::new(100_000))]
#[bench::ten_bytes(Varint::new(u64::MAX))]
fn read_varint(encoded: Varint) -> u64 {
    Reader::new(black_box(encoded.as_slice()))
        .varint("value")
        .unwrap()
}

#[library_benchmark]
#[bench::ipv4(notify())]
fn read_notify(bytes: BytesMut) -> (usize, BytesMut) {
    let (frame, _) = Frame::split_first(black_box(&bytes), MAX).unwrap().unwrap();
    let notify = Notify::try_from(frame).unwrap();
    let arguments = notify
        .messages()
        .map(|message| message.arguments().count())
        .sum();
    (arguments, bytes)
}

#[library_benchmark]
#[bench::score(room())]
fn write_ack(mut out: BytesMut) -> BytesMut {
    let mut ack = Ack::begin(&mut out, black_box(1), black_box(1), MAX);
    ack.set_var(Scope::Session, "ip_score", black_box(42_u32))
        .unwrap();
    ack.finish();
    out
}

library_benchmark_group!(
    name = codec,
    benchmarks = [write_varint, read_varint, read_notify, write_ack]
);
main!(library_benchmark_groups = codec);
