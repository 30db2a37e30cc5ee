//! Measures the reputation table beside the crate `prefix-trie` and a plain binary search: time of a
//! lookup, memory, time and peak memory of building. `scripts/bench-reputation` runs it.

mod contenders;
mod heap;
mod networks;

use std::env;
use std::fs;
use std::hint::black_box;
use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use contenders::{Binary, Contender, Trie, collect, table};
use heap::Held;
use networks::{Family, Lie, Sequence, Space};

/// What is aimed at, for so many prefixes: nanoseconds for a lookup, bytes for a prefix, seconds to
/// build.
struct Goal {
    lookup_ns: f64,
    prefix_bytes: f64,
    build_s: f64,
}

/// The most memory while building, as a multiple of the table's.
const PEAK_GOAL: f64 = 2.5;

/// One set of prefixes to measure with.
struct Case {
    family: Family,
    lie: Lie,
    count: usize,
}

impl Case {
    fn goal(&self) -> Goal {
        let large = self.count > 1_000_000;
        let (lookup_ns, prefix_bytes) = match (self.family, large) {
            (Family::V4, false) => (50.0, 16.0),
            (Family::V6, false) => (65.0, 44.0),
            (Family::V4, true) => (140.0, 16.0),
            (Family::V6, true) => (225.0, 44.0),
        };
        Goal {
            lookup_ns,
            prefix_bytes,
            build_s: if large { 3.0 } else { 0.3 },
        }
    }

    fn name(&self) -> String {
        let family = match self.family {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        };
        let lie = match self.lie {
            Lie::Spread => "spread",
            Lie::Clustered => "clustered",
        };
        let count = self.count;
        match count {
            1_000_000.. => format!("{family}, {lie}, {} M", count / 1_000_000),
            _ => format!("{family}, {lie}, {} k", count / 1000),
        }
    }
}

fn main() -> ExitCode {
    let (mut small, mut large, mut rounds) = (1_000_000, 10_000_000, 3);
    let mut wanted = String::new();
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--quick" => (small, large, rounds) = (100_000, 300_000, 3),
            words if !words.starts_with('-') => words.clone_into(&mut wanted),
            _ => {
                eprintln!("Usage: reputation-bench [--quick] [CASE]");
                return ExitCode::from(2);
            }
        }
    }
    println!("machine: {}, {}", machine(), env::consts::OS);
    println!("command: {}", env::args().collect::<Vec<_>>().join(" "));
    println!(
        "prefixes: random, different; of two questions one is covered; median of {rounds} rounds,"
    );
    println!(
        "each of all contenders, after one to warm up; CPU time of the thread. One by one: each lookup"
    );
    println!("waits for the answer of the one before.");
    println!();
    println!("| prefixes | | goal | table | prefix-trie | binary search |");
    println!("|---|---|---|---|---|---|");
    for (count, lie) in [
        (small, Lie::Spread),
        (small, Lie::Clustered),
        (large, Lie::Spread),
    ] {
        for family in [Family::V4, Family::V6] {
            let case = Case { family, lie, count };
            if case.name().contains(&wanted) {
                measure(&case, rounds);
            }
        }
    }
    ExitCode::SUCCESS
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores", model.unwrap_or("unknown processor"))
}

/// How something was built: seconds, bytes that it takes, bytes at the worst moment.
#[derive(Clone, Copy)]
struct Built {
    took: Duration,
    held: usize,
    peak: usize,
}

/// Time that this thread has had a core: what others do meanwhile is not in it.
fn own_time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    now.expect("Linux has this clock").into()
}

fn built<T>(build: impl FnOnce() -> T) -> (T, Built) {
    let (held, start) = (Held::start(), own_time());
    let product = build();
    let took = own_time().saturating_sub(start);
    let built = Built {
        took,
        held: held.now(),
        peak: held.peak(),
    };
    (product, built)
}

fn measure(case: &Case, rounds: usize) {
    let mut sequence = Sequence(1);
    let space = Space::new(case.family, case.lie, &mut sequence);
    let prefixes = space.prefixes(case.count, &mut sequence);

    let (mut collected, mut swept) = (Duration::ZERO, Duration::ZERO);
    let (own, mut of_own) = built(|| {
        let start = own_time();
        let data = collect(&prefixes);
        collected = own_time().saturating_sub(start);
        let table = table(data);
        swept = own_time().saturating_sub(start) - collected;
        table
    });
    // Its ranges are mapped, and no matter of the allocator. At the worst moment all of them may be.
    let mapped = own.bytes().saturating_sub(of_own.held);
    (of_own.held, of_own.peak) = (of_own.held + mapped, of_own.peak + mapped);
    let (trie, of_trie) = built(|| Trie::new(&prefixes));
    let (binary, of_binary) = built(|| Binary::new(&prefixes));
    let questions = space.questions(&prefixes, &own, 1_000_000, &mut sequence);

    let contenders: [&dyn Contender; 3] = [&own, &trie, &binary];
    agree(&contenders, &questions);
    let free = interleaved(&contenders, &questions, rounds, each);
    let chained = interleaved(&contenders, &questions, rounds, one_by_one);
    let goal = case.goal();
    let name = case.name();
    let ns = |limit: Option<f64>, what: &str, times: [f64; 3]| {
        let [own, trie, binary] = times;
        let goal = limit.map_or(String::new(), |limit| verdict(own, limit, "ns"));
        println!("| {name} | {what} | {goal} | **{own:.1} ns** | {trie:.1} ns | {binary:.1} ns |");
    };
    ns(Some(goal.lookup_ns), "lookup", free);
    ns(None, "lookup, one by one", chained);
    let per = |bytes: usize| bytes as f64 / case.count as f64;
    let all = [of_own, of_trie, of_binary];
    let [own_bytes, trie_bytes, binary_bytes] = all.map(|built| per(built.held));
    println!(
        "| {name} | memory for a prefix ({} ranges) | {} | **{own_bytes:.1} B** | {trie_bytes:.1} B | {binary_bytes:.1} B |",
        own.ranges(),
        verdict(own_bytes, goal.prefix_bytes, "B"),
    );
    let [own_peak, trie_peak, binary_peak] = all.map(|built| built.peak as f64 / built.held as f64);
    println!(
        "| {name} | peak while building ÷ memory | {} | **{own_peak:.2}** | {trie_peak:.2} | {binary_peak:.2} |",
        verdict(own_peak, PEAK_GOAL, ""),
    );
    let [own_took, trie_took, binary_took] = all.map(|built| built.took.as_secs_f64());
    println!(
        "| {name} | build (collect {:.3} s, sweep {:.3} s) | {} | **{own_took:.3} s** | {trie_took:.3} s | {binary_took:.3} s |",
        collected.as_secs_f64(),
        swept.as_secs_f64(),
        verdict(own_took, goal.build_s, "s"),
    );
    let before = anonymous();
    drop(own);
    let fell = before.saturating_sub(anonymous());
    assert!(
        (mapped - mapped / 20..=of_own.held + (1 << 20)).contains(&fell),
        "Table::bytes tells of {mapped} that are mapped, and {fell} are free without it"
    );
}

/// Anonymous memory of the process that is resident, in bytes, by the kernel's account.
fn anonymous() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is there");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    1024 * kib.and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB")
}

fn verdict(measured: f64, limit: f64, unit: &str) -> String {
    let met = if measured <= limit { "yes" } else { "no" };
    format!("≤ {limit} {unit} {met}")
}

/// Wrong answers cost nothing: all say of the same addresses that they are covered.
fn agree(contenders: &[&dyn Contender; 3], questions: &[IpAddr]) {
    for question in questions {
        let covered = contenders.map(|contender| contender.ask(question) != 0);
        assert!(covered == [covered[0]; 3], "{question}: {covered:?}");
    }
}

/// The median time of a lookup of each contender, in nanoseconds.
fn interleaved(
    contenders: &[&dyn Contender; 3],
    questions: &[IpAddr],
    rounds: usize,
    run: fn(&dyn Contender, &[IpAddr]) -> u32,
) -> [f64; 3] {
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            // The round before left the caches to another contender.
            black_box(run(*contender, questions));
            let start = own_time();
            black_box(run(*contender, questions));
            times.push(own_time().saturating_sub(start).as_nanos() as f64 / questions.len() as f64);
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

fn each(contender: &dyn Contender, questions: &[IpAddr]) -> u32 {
    let answers = questions.iter().map(|address| contender.ask(address));
    answers.fold(0, u32::wrapping_add)
}

fn one_by_one(contender: &dyn Contender, questions: &[IpAddr]) -> u32 {
    let (nothing, mut sum) = (black_box(0_u32), 0_u32);
    let mut place = 0;
    while let Some(address) = questions.get(place) {
        let answer = contender.ask(address);
        sum = sum.wrapping_add(answer);
        place += 1 + (answer & nothing) as usize;
    }
    sum
}
