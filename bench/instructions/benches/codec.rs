//! The codec alone: one frame, read or written.

use std::hint::black_box;

use bytes::BytesMut;
use gungraun::{library_benchmark, library_benchmark_group, main};
use haproxy_spop::Varint;
use spoa_instructions::{notify, room};

#[library_benchmark]
#[bench::one_byte(239)]
#[bench::three_bytes(100_000)]
#[bench::ten_bytes(u64::MAX)]
fn write_varint(value: u64) -> usize {
    black_box(spoa_instructions::write_varint(black_box(value)))
}

#[library_benchmark]
#[bench::one_byte(Varint::new(239))]
#[bench::three_bytes(Varint::new(100_000))]
#[bench::ten_bytes(Varint::new(u64::MAX))]
fn read_varint(encoded: Varint) -> u64 {
    spoa_instructions::read_varint(black_box(encoded.as_slice()))
}

#[library_benchmark]
#[bench::ipv4(notify())]
fn read_notify(bytes: BytesMut) -> (usize, BytesMut) {
    (spoa_instructions::read_notify(black_box(&bytes)), bytes)
}

#[library_benchmark]
#[bench::score(room())]
fn write_ack(mut out: BytesMut) -> BytesMut {
    spoa_instructions::write_ack(&mut out, black_box(1), black_box(1), black_box(42));
    out
}

library_benchmark_group!(
    name = codec,
    benchmarks = [write_varint, read_varint, read_notify, write_ack]
);
main!(library_benchmark_groups = codec);
