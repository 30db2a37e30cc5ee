//! Times of the codec alone: one frame, read or written.

use divan::{Bencher, black_box};
use haproxy_spop::Varint;
use spoa_instructions::{notify, room};

/// Values of one, three and ten bytes.
const VALUES: [u64; 3] = [239, 100_000, u64::MAX];

#[divan::bench(args = VALUES)]
fn write_varint(value: u64) -> usize {
    spoa_instructions::write_varint(value)
}

#[divan::bench(args = VALUES)]
fn read_varint(bencher: Bencher<'_, '_>, value: u64) {
    let encoded = Varint::new(value);
    bencher.bench_local(|| spoa_instructions::read_varint(black_box(encoded.as_slice())));
}

#[divan::bench]
fn read_notify(bencher: Bencher<'_, '_>) {
    let bytes = notify();
    bencher.bench_local(|| spoa_instructions::read_notify(black_box(&bytes)));
}

#[divan::bench]
fn write_ack(bencher: Bencher<'_, '_>) {
    let mut out = room();
    bencher.bench_local(|| {
        out.clear();
        spoa_instructions::write_ack(&mut out, black_box(1), black_box(1), black_box(42));
        black_box(&mut out);
    });
}

fn main() {
    divan::main();
}
