//! The command line. What its values mean together is [`Plan`](crate::plan::Plan)'s business.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use haproxy_spop::Scope;

use crate::addresses::Addresses;
use crate::stream::Target;
use crate::units;

/// Plays HAProxy against an SPOP agent: measures its throughput and latency, and checks every ACK.
///
/// Exits with 0 if every answer was right, 1 if anything went wrong (the report says what), 2 if the
/// command line is wrong.
#[derive(Debug, Parser)]
#[command(
    version,
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The agent: HOST:PORT, [V6]:PORT or unix:PATH
    #[arg(required = true)]
    pub(crate) agent: Option<Target>,

    /// Connections that are kept open
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) connections: usize,

    /// NOTIFYs in flight on a connection; the most of them with --rate [default: 1, with --rate 20]
    #[arg(short, long, value_name = "N")]
    pub(crate) depth: Option<usize>,

    /// NOTIFYs a second over all connections, whether answers keep up or not (open loop): latency
    /// then counts from when a NOTIFY was due. A load thread spins to keep its times
    #[arg(short, long, value_name = "N")]
    pub(crate) rate: Option<u64>,

    /// Load threads
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) threads: usize,

    /// Pin load threads to these cores, in turn: 1 or 0,2-3
    #[arg(long, value_name = "LIST", value_parser = units::cores)]
    pub(crate) cores: Option<Cores>,

    /// How long the load runs before anything counts [default: 1s, with --count 0]
    #[arg(short, long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) warmup: Option<Duration>,

    /// How long to measure: 10s, 500ms, 2m [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = units::duration, conflicts_with = "count")]
    pub(crate) duration: Option<Duration>,

    /// Measure until this many NOTIFYs are sent and answered
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,

    /// Hold this many connections idle after HELLO; with --pid, says what the agent pays for each
    #[arg(long, value_name = "N", conflicts_with_all = ["connections", "depth", "rate", "count",
        "reconnect"])]
    pub(crate) idle: Option<usize>,

    /// Close a connection with DISCONNECT after this many requests, and open another
    #[arg(long, value_name = "REQUESTS")]
    pub(crate) reconnect: Option<u64>,

    #[command(flatten)]
    pub(crate) ask: Ask,

    /// How long a connect may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub(crate) connect_timeout: Duration,

    /// How long the agent may take to answer HELLO
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub(crate) hello_timeout: Duration,

    /// How long the agent may take to answer a NOTIFY or DISCONNECT
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub(crate) response_timeout: Duration,

    /// The agent's process: reports its CPU, memory and context switches
    #[arg(long, value_name = "PID")]
    pub(crate) pid: Option<u32>,

    #[command(flatten)]
    pub(crate) output: Output,
}

/// What is asked, and what the answer has to be.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The message that each NOTIFY carries
    #[arg(long, value_name = "NAME", default_value = "check-client-ip")]
    pub(crate) message: String,

    /// The name of the argument with the address; empty for none, as in `args src`
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) argument: String,

    /// The variable that the ACK must set to an integer in 0..=100; empty: any ACK will do
    #[arg(long, value_name = "NAME", default_value = "ip_score")]
    pub(crate) variable: String,

    /// The variable's scope: proc, sess, txn, req, res
    #[arg(long, value_name = "SCOPE", default_value = "sess", value_parser = units::scope)]
    pub(crate) scope: Scope,

    /// The addresses asked about, drawn at random: random, random6, ADDRESS/PREFIX,
    /// ADDRESS-ADDRESS, or @FILE with an address or one of these on each line
    #[arg(long, value_name = "POOL", default_value = "random")]
    pub(crate) addresses: Addresses,

    /// Bytes of a further argument `buf` (BINARY), as `req.payload(0,0)` gives it
    #[arg(long, value_name = "BYTES")]
    pub(crate) payload: Option<usize>,

    /// The max-frame-size that HELLO offers
    #[arg(long, value_name = "BYTES", default_value_t = 16380)]
    pub(crate) max_frame_size: u32,

    /// The seed of the random addresses
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Where the report goes, besides the text on standard output.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Write the report as JSON; `-` is standard output, instead of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the latencies as percentiles, in the text format of the HDR histogram tools
    #[arg(long, value_name = "FILE")]
    pub(crate) hgrm: Option<PathBuf>,

    /// Plot the latencies by percentile
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// What the run is called in JSON and plots [default: the agent's address]
    #[arg(long, value_name = "TEXT")]
    pub(crate) label: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plot the latencies of several runs
    Plot(Plot),
}

/// Several runs in one picture.
#[derive(Debug, Args)]
pub(crate) struct Plot {
    /// Files that --hgrm wrote; LABEL=FILE gives one a name other than the file's
    #[arg(required = true, value_name = "[LABEL=]FILE")]
    pub(crate) runs: Vec<String>,

    /// The SVG file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// What stands above the picture
    #[arg(long, value_name = "TEXT", default_value = "Latency by percentile")]
    pub(crate) title: String,

    /// What took so long, in the plural
    #[arg(long, value_name = "TEXT", default_value = "NOTIFYs")]
    pub(crate) of: String,
}

/// Cores by number. A type of its own, so that clap takes it for one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) Vec<usize>);
