//! Times of a session (`Replies::serve`) with the agent's own handler: whole batches of NOTIFYs in one call.
//! The items of a second are NOTIFYs.

use divan::Bencher;
use divan::counter::ItemsCount;
use spoa_instructions::Case;

const BATCHES: [u32; 3] = [1, 16, 64];

#[divan::bench(args = BATCHES)]
fn ipv4(bencher: Bencher<'_, '_>, batch: u32) {
    receive(bencher, Case::ipv4(batch));
}

#[divan::bench(args = BATCHES)]
fn ipv6(bencher: Bencher<'_, '_>, batch: u32) {
    receive(bencher, Case::ipv6(batch));
}

#[divan::bench(args = BATCHES)]
fn unnamed(bencher: Bencher<'_, '_>, batch: u32) {
    receive(bencher, Case::unnamed(batch));
}

#[divan::bench(args = BATCHES)]
fn payload(bencher: Bencher<'_, '_>, batch: u32) {
    receive(bencher, Case::payload(batch));
}

fn receive(bencher: Bencher<'_, '_>, mut case: Case) {
    assert_eq!(case.receive().acks, case.batch);
    let bencher = bencher.counter(ItemsCount::new(case.batch));
    bencher.bench_local(|| {
        case.forget();
        case.receive()
    });
}

fn main() {
    divan::main();
}
