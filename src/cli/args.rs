//! The options. `-h`, `-d`, `-p` and `-n` mean what they mean to the C example agent.

mod complete;

pub(in crate::cli) use complete::Origin;

use core::net::IpAddr;
use core::time::Duration;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Parser, Subcommand};
use haproxy_spoa::{Bind, BindAddress, DEFAULT_PORT, Limits};
use haproxy_spop::session::SessionConfig;
use iprep_spoa::config::values::{self, Cores, MaybeDuration, When, Workers};
use iprep_spoa::host::log::{LogFormat, LogLevel};

use super::failure::Failure;

/// IP reputation agent for HAProxy: answers SPOE messages with a score of the client's address,
/// 0 (blacklisted) to 100 (safe).
#[derive(Debug, Parser)]
#[command(
    name = "spoa",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Times are whole numbers with a unit: us, ms, s, m, h or d.

Signals: SIGHUP reads the configuration and its lists again; SIGUSR1 prints latency histograms
and counters; SIGTERM and SIGINT answer what is in flight and stop, a second one stops at once."
)]
pub(crate) struct Args {
    /// Read the configuration from this file; options given here override it. Without it every
    /// score is random
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Enable the debug mode: a line per frame and decision on stderr
    #[arg(short = 'd', long = "debug")]
    pub(crate) debug: bool,

    /// Specify the port to listen on; 0 takes a free one
    #[arg(short = 'p', long, value_name = "port", default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,

    /// Specify the number of workers (a worker is a thread with a core of its own): 1 to 1024,
    /// or "auto" for one per core
    #[arg(short = 'n', long, value_name = "num-workers", default_value = "5",
          value_parser = values::workers)]
    pub(crate) workers: Workers,

    /// Listen here: ADDRESS, ADDRESS:PORT, [V6]:PORT or unix:PATH. Repeatable. Without a port
    /// that of -p counts. SPOP has no authentication: who reaches the address may ask, unless words
    /// of HAProxy's bind follow it: "allow-from CIDR,..." lets nobody else in, "ssl crt FILE ca-file
    /// FILE" asks for a certificate of that CA
    #[arg(short = 'b', long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) bind: Vec<String>,

    /// Take the listening sockets over from a running agent, which serves until it is told to stop
    #[arg(long)]
    pub(crate) takeover: bool,

    /// Give root's rights up for this user's once the addresses are taken
    #[arg(long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,

    /// Shut off every file that is not needed any more (Landlock): "auto" does it if the kernel can,
    /// "require" does not start otherwise
    #[arg(long, value_name = "WHEN", default_value = "auto",
          value_parser = PossibleValuesParser::new(When::NAMES).try_map(|it| values::when(&it)))]
    pub(crate) confine: When,

    /// Permission bits of UNIX sockets, octal
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = values::mode)]
    pub(crate) unix_mode: u32,

    /// Pin workers to these cores in turn, such as 0-3,8; default: all that the process may use
    #[arg(long, value_name = "LIST", value_parser = values::cores)]
    pub(crate) cores: Option<Cores>,

    /// Largest frame that is agreed on, in bytes without the length: 256 to 16777216
    #[arg(short = 'm', long, value_name = "BYTES", default_value_t = SessionConfig::default().max_frame_size,
          value_parser = clap::value_parser!(u32).range(256..=16_777_216))]
    pub(crate) max_frame_size: u32,

    /// Largest NOTIFY put together from fragments (HAProxy 2.x and 3.0 send them), in bytes;
    /// 0 does not announce fragmentation
    #[arg(long, value_name = "BYTES", default_value_t = SessionConfig::default().reassembly_max)]
    pub(crate) max_reassembly: usize,

    /// Most connections at once; default: what the limit of open files allows
    #[arg(long, value_name = "N", value_parser = values::positive)]
    pub(crate) max_connections: Option<usize>,

    /// Most connections of one source: an IPv4 address, the /64 of an IPv6 address, the user at a UNIX
    /// socket; 0: no limit. Default: 1024 for remote addresses, no limit for loopback and UNIX sockets
    #[arg(long, value_name = "N")]
    pub(crate) max_connections_per_source: Option<usize>,

    /// How long a peer may take to send its HELLO, or "off"
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::maybe_duration)]
    pub(crate) hello_timeout: MaybeDuration,

    /// Close connections that are silent for this long. Off: closing one races with its reuse by
    /// HAProxy 3.1 and later
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = values::maybe_duration)]
    pub(crate) idle_timeout: MaybeDuration,

    /// Reset connections whose peer leaves answers unread for this long, or "off"
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::maybe_duration)]
    pub(crate) write_timeout: MaybeDuration,

    /// Answers slower than this are counted: HAProxy's "timeout processing"
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = values::duration)]
    pub(crate) slow_threshold: Duration,

    /// How long stopping may take
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = values::duration)]
    pub(crate) drain_timeout: Duration,

    /// Look for work for this long before sleeping, or "off": latency bought with a core per worker
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = values::maybe_duration)]
    pub(crate) busy_poll: MaybeDuration,

    /// Answer on this address, of this machine only, for metrics, a status page and spoa ctl:
    /// a loopback address, with :PORT or without (then 12346), or unix:PATH
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<String>,

    /// Obey commands over TCP that bring the token in the first line of this file. Without it
    /// only a UNIX socket takes commands
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token: Option<PathBuf>,

    /// Log this and what weighs more; spoa ctl loglevel changes it while the agent runs
    #[arg(long, value_name = "LEVEL", default_value = "info",
          value_parser = PossibleValuesParser::new(LogLevel::NAMES).try_map(|it| it.parse::<LogLevel>()))]
    pub(crate) log_level: LogLevel,

    /// Log lines for people (and for the journal), or a JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "plain",
          value_parser = PossibleValuesParser::new(LogFormat::NAMES).try_map(|it| it.parse::<LogFormat>()))]
    pub(crate) log_format: LogFormat,

    /// Permission bits of the endpoint's UNIX socket; only the file has them.
    #[arg(skip)]
    pub(crate) admin_mode: Option<u32>,

    /// Repeat the random scores of another run that had this seed
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// Whether somebody said where to listen.
    #[arg(skip)]
    pub(crate) is_bound: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What the program does other than to serve.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration and every list in it, HAProxy's files, or both, and report what was
    /// found; 1 if anything is wrong
    Check {
        /// The agent's configuration
        #[arg(
            short = 'f',
            long,
            value_name = "FILE",
            required_unless_present = "haproxy"
        )]
        config: Option<PathBuf>,

        /// Fetch no URL: use the copies in the cache
        #[arg(long)]
        offline: bool,

        /// Report a JSON object with what is wrong and what is in each list
        #[arg(long, conflicts_with = "haproxy", requires = "config")]
        json: bool,

        /// Files or directories that HAProxy is started with: report what in them, and in the SPOE
        /// files that they name, does not fit the agent
        #[arg(long, value_name = "FILE", num_args = 1..)]
        haproxy: Vec<PathBuf>,
    },
    /// Explain the score of addresses: which entries cover it, what each contributes, what decides
    Lookup(Lookup),
    /// Show well-known lists, and find out how a list is to be read
    #[command(subcommand)]
    Feeds(super::feeds::Feeds),
    /// Ask a running agent, or tell it to do something, by its admin endpoint
    #[cfg(feature = "admin")]
    Ctl(super::ctl::Ctl),
}

/// What `spoa lookup` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Lookup {
    /// The configuration
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: PathBuf,

    /// A JSON object a line, for each address
    #[arg(long, conflicts_with = "terse")]
    pub(crate) json: bool,

    /// A line for each address: ADDRESS SCORE ROLE FEED:PREFIX, with - for what there is not. For
    /// many addresses
    #[arg(long)]
    pub(crate) terse: bool,

    /// Ask no URL: use the copies in the cache. Without it URLs are asked of which there is none
    #[arg(long)]
    pub(crate) offline: bool,

    /// The addresses; none, or -: from standard input, one a line
    #[arg(value_name = "ADDRESS", value_parser = address)]
    pub(crate) addresses: Vec<Asked>,
}

/// An address, or where to read addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Address(IpAddr),
    Input,
}

fn address(text: &str) -> Result<Asked, String> {
    if text == "-" {
        return Ok(Asked::Input);
    }
    let address = text.parse().map(Asked::Address);
    address.map_err(|_| "expected an address such as 192.0.2.1 or 2001:db8::1, or -".to_owned())
}

impl Args {
    /// The addresses of `--bind`, each once.
    pub(crate) fn binds(&self) -> Result<Vec<Bind>, Failure> {
        #[cfg(not(feature = "trace"))]
        if self.debug {
            return Err(Failure::bad(
                "--debug",
                "this binary was built without the feature trace",
            ));
        }
        let mut binds: Vec<Bind> = Vec::new();
        for text in &self.bind {
            let bind = Bind::parse(text, self.port)
                .map_err(|why| Failure::bad("--bind", format!("\"{text}\": {why}")))?;
            let address = &bind.address;
            let mut others = binds.iter().map(|other| &other.address);
            if let Some(other) = others.find(|other| overlap(other, address)) {
                let why = format!("{address} and {other} are the same address, or overlap");
                return Err(Failure::bad("--bind", why));
            }
            binds.push(bind);
        }
        Ok(binds)
    }

    /// The limits that the options set.
    pub(crate) fn limits(&self) -> Limits {
        let defaults = Limits::default();
        let terms = SessionConfig {
            max_frame_size: self.max_frame_size,
            fragmentation: self.max_reassembly > 0,
            reassembly_max: self.max_reassembly,
            ..defaults.terms
        };
        Limits {
            terms,
            connections_max: self.max_connections,
            connections_per_source: self.max_connections_per_source,
            hello_timeout: self.hello_timeout.0,
            idle_timeout: self.idle_timeout.0,
            write_timeout: self.write_timeout.0,
            drain_timeout: self.drain_timeout,
            slow_threshold: self.slow_threshold,
            busy_poll: self.busy_poll.0.unwrap_or_default(),
            unix_mode: self.unix_mode,
            ..defaults
        }
    }
}

/// Whether one process cannot listen on both. Port 0 is another one each time.
fn overlap(one: &BindAddress, other: &BindAddress) -> bool {
    match (one, other) {
        (BindAddress::Tcp(one), BindAddress::Tcp(other)) => {
            let any = one.ip().is_unspecified() || other.ip().is_unspecified();
            one.port() == other.port()
                && one.port() != 0
                && one.is_ipv4() == other.is_ipv4()
                && (any || one.ip() == other.ip())
        }
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("spoa").chain(line.iter().copied()))
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_key_of_the_agent_is_an_option() {
        let command = Args::command();
        for key in iprep_spoa::config::AgentOptions::KEYS {
            let option = command.get_arguments().find(|arg| arg.get_id() == key);
            let name = option.and_then(clap::Arg::get_long).map(str::to_owned);
            assert_eq!(name, Some(key.replace('_', "-")));
        }
    }

    #[test]
    fn defaults_are_those_of_the_c_example() {
        let args = parse(&[]).unwrap();
        assert_eq!(
            (args.port, args.workers.count(), args.debug),
            (12345, 5, false)
        );
        let limits = args.limits();
        assert_eq!(limits, Limits::default());
        assert_eq!(args.binds().unwrap(), ["127.0.0.1:12345".parse().unwrap()]);
    }

    #[test]
    fn a_port_counts_for_every_address_without_one() {
        let args = parse(&["-p", "9", "-b", "::1", "-b", "127.0.0.1:7", "-b", "unix:x"]).unwrap();
        let shown: Vec<_> = args
            .binds()
            .unwrap()
            .iter()
            .map(|bind| bind.address.to_string())
            .collect();
        assert_eq!(shown, ["[::1]:9", "127.0.0.1:7", "unix:x"]);
        assert!(
            parse(&["-b", "::1", "-b", "[::1]:12345"])
                .unwrap()
                .binds()
                .is_err()
        );
        assert!(
            parse(&["-p", "0", "-b", "::1", "-b", "::1"])
                .unwrap()
                .binds()
                .is_ok()
        );
    }

    #[test]
    fn limits_are_what_the_options_say() {
        let args = parse(&[
            "--idle-timeout",
            "2m",
            "--hello-timeout",
            "off",
            "-m",
            "256",
        ])
        .unwrap();
        let limits = args.limits();
        assert_eq!(limits.idle_timeout, Some(Duration::from_mins(2)));
        assert_eq!(
            (limits.hello_timeout, limits.terms.max_frame_size),
            (None, 256)
        );
        let none = parse(&["--max-reassembly", "0"]).unwrap().limits();
        assert!(!none.terms.fragmentation);
    }
}
