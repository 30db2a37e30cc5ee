//! Figures for planning in docs/guide.md: those of bench/RESULTS.md, and what a prefix takes.

use std::fmt::Write as _;

use crate::document::{holds, read};

/// The rows of the first table in a part of bench/RESULTS.md that has this column.
struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn with(part: &str, column: &str) -> Self {
        let results = read("bench/RESULTS.md");
        let begin = results.find(&format!("<!-- {part} -->")).unwrap();
        let lines = results[begin..].lines().map(|line| {
            let cells = line.trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
        });
        let mut lines = lines.skip_while(|cells| !cells.iter().any(|cell| cell == column));
        let head = lines.next().unwrap();
        let rows = lines.skip(1).take_while(|cells| cells.len() > 1);
        Self {
            head,
            rows: rows.collect(),
        }
    }

    /// The cell of the row that begins like this.
    fn cell(&self, begins: &[&str], column: &str) -> String {
        let row = self
            .rows
            .iter()
            .find(|row| row.iter().zip(begins).all(|(cell, is)| cell == is))
            .unwrap_or_else(|| panic!("bench/RESULTS.md has no row {begins:?}"));
        let column = self.head.iter().position(|cell| cell == column).unwrap();
        row[column].trim_matches('*').to_owned()
    }
}

/// Microseconds of a cell such as `5.69 µs`.
fn micros(cell: &str) -> f64 {
    let number = cell.strip_suffix(" µs").unwrap_or_else(|| panic!("{cell}"));
    number.parse().unwrap()
}

fn figures() -> String {
    let alone = Table::with("bench", "agent's cores");
    let goals = Table::with("bench", "goal");
    let behind = Table::with("bench-haproxy", "agent's CPU a request");
    let lists = Table::with("bench-feeds", "with a list");
    let cpu = |case: &str| alone.cell(&[case, "spoa"], "CPU per NOTIFY");
    let kept = "kept connections, 32 clients";
    let asked = |case: &str, column: &str| behind.cell(&[case, "spoa"], column);
    let agents = asked(kept, "agent's CPU a request");
    let ratio = lists.cell(&["CPU per NOTIFY, `-c 64`"], "ratio");
    let idle = goals.cell(
        &["10000 idle connections after HELLO", "resident bytes each"],
        "spoa",
    );
    let rows = [
        (
            "the agent's CPU for a request behind HAProxy, 32 clients",
            agents.clone(),
        ),
        (
            "the same, one client at a time",
            asked("kept connection, 1 client", "agent's CPU a request"),
        ),
        (
            "HAProxy's CPU for such a request, 32 clients, without and with the filter",
            format!(
                "{} and {}",
                behind.cell(&[kept, "no filter"], "HAProxy's CPU a request"),
                asked(kept, "HAProxy's CPU a request")
            ),
        ),
        (
            "CPU for a NOTIFY that comes alone, TCP",
            cpu("1 connection, 1 in flight"),
        ),
        (
            "64 connections with one each, TCP",
            cpu("64 connections, 1 in flight"),
        ),
        (
            "64 connections with one each, UNIX socket",
            cpu("64 connections, 1 in flight, UNIX socket"),
        ),
        (
            "8 connections with 16 each, TCP",
            cpu("8 connections, 16 in flight"),
        ),
        (
            "64 connections: a list of a million prefixes instead of random scores",
            format!("{ratio} times as much"),
        ),
        ("memory of an idle connection", format!("{idle} bytes")),
    ];
    let mut text = String::from("| what | measured |\n|---|---|\n");
    for (what, figure) in rows {
        writeln!(text, "| {what} | {figure} |").unwrap();
    }
    let each = micros(&agents) * ratio.parse::<f64>().unwrap();
    let cores = |requests: f64| requests * each / 1e6;
    write!(
        text,
        "\nCores = requests a second × CPU for a request × what a list costs ÷ 0.5, for a core that is half \
         empty.\nFor 20,000 requests a second with a large list: 20,000 × {} × {ratio} = {:.2} of a core, \
         ÷ 0.5 = {:.2}: {} worker{}.\nA core that is half empty answers {:.0},000 requests a second.\n",
        agents,
        cores(20_000.0),
        cores(20_000.0) / 0.5,
        (cores(20_000.0) / 0.5).ceil(),
        if cores(20_000.0) > 0.5 { "s" } else { "" },
        0.5 / each * 1e3,
    )
    .unwrap();
    text
}

#[test]
fn the_guide_has_the_figures_that_were_measured() {
    holds("docs/guide.md", &[("figures", figures())]);
}

/// What the guide says that a prefix takes at the most.
#[cfg(feature = "admin")]
#[test]
fn a_prefix_takes_no_more_than_the_guide_says() {
    use crate::support::{Endpoint, Program, Scratch};

    const PREFIXES: u32 = 100_000;
    let guide = read("docs/guide.md");
    // Spread like random addresses, each once: an odd factor.
    let spread = |n: u32| n.wrapping_mul(2_654_435_761);
    let v4 = |n: u32| format!("{}\n", std::net::Ipv4Addr::from_bits(spread(n)));
    let v6 = |n: u32| {
        format!(
            "2001:db8:{:x}:{:x}::1\n",
            spread(n) >> 16,
            spread(n) & 0xffff
        )
    };
    let lists: [(u32, String); 2] = [
        (12, (1..=PREFIXES).map(v4).collect()),
        (26, (1..=PREFIXES).map(v6).collect()),
    ];
    for (most, list) in lists {
        assert!(guide.contains(&format!("{most} ")), "the guide says {most}");
        let scratch = Scratch::new();
        scratch.write("list", list);
        let text =
            "[reputation]\nignore-private = false\n[[feed]]\nname = \"a\"\npath = \"list\"\n";
        let config = scratch.write("spoa.toml", text);
        let agent = Program::configured(&config, &["--admin", "127.0.0.1:0"]);
        let metrics = Endpoint::of(&agent).get("/metrics").body;
        let value = |name: &str| -> f64 {
            let lines = metrics.lines().filter(|line| line.starts_with(name));
            let numbers = lines.map(|line| line.rsplit(' ').next().unwrap());
            numbers.map(|number| number.parse::<f64>().unwrap()).sum()
        };
        assert!(value("spoa_table_entries") > 99_000.0, "{metrics}");
        let each = value("spoa_table_bytes") / f64::from(PREFIXES);
        assert!(each <= f64::from(most), "{each} bytes a prefix");
        agent.stop();
    }
}
