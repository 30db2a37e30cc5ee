//! A session (`Replies::serve`) with the agent's own handler: whole batches of NOTIFYs in one call.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use spoa_instructions::Case;

#[library_benchmark]
#[bench::ipv4_1(Case::ipv4(1))]
#[bench::ipv4_16(Case::ipv4(16))]
#[bench::ipv4_64(Case::ipv4(64))]
#[bench::ipv6_1(Case::ipv6(1))]
#[bench::ipv6_16(Case::ipv6(16))]
#[bench::ipv6_64(Case::ipv6(64))]
#[bench::unnamed_1(Case::unnamed(1))]
#[bench::unnamed_16(Case::unnamed(16))]
#[bench::unnamed_64(Case::unnamed(64))]
#[bench::payload_1(Case::payload(1))]
#[bench::payload_16(Case::payload(16))]
fn receive(mut case: Case) -> Case {
    let step = case.receive();
    assert_eq!(black_box(step).acks, case.batch);
    case
}

library_benchmark_group!(name = session, benchmarks = [receive]);
main!(library_benchmark_groups = session);
