//! `spoa ctl`: asks a running agent, or tells it to do something, by its admin endpoint.

use core::net::IpAddr;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use haproxy_spoa::BindAddress;
use iprep_spoa::admin::{AdminError, Token, client};
use iprep_spoa::config::Config;
use iprep_spoa::host::log::LogLevel;

use super::admin;
use super::decisions::{Decide, Endpoint, List, Offenders, Undecide};
use super::failure::Failure;

/// The configuration of the package, which names its endpoint.
const INSTALLED: &str = "/etc/iprep-spoa/spoa.toml";

/// What `spoa ctl` is asked.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Ctl {
    #[command(subcommand)]
    request: Request,

    /// The endpoint, as the agent's --admin has it
    #[arg(long, value_name = "ADDRESS", global = true)]
    admin: Option<String>,

    /// Or the agent's configuration, which names it; default: that of the package, if it is installed
    #[arg(short = 'f', long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// The file with the token that commands over TCP take
    #[arg(long, value_name = "FILE", global = true)]
    admin_token: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
enum Request {
    /// How the agent is: a line for it, each worker and each list
    Status,
    /// Read the configuration and its lists again; 1 if the old state stays
    Reload,
    /// Use the next version of a list in spite of max-shrink-ratio and max-growth-ratio, once, and look
    /// for it now
    Accept {
        /// The name of a feed, or the path of a file of [allow] or [deny]
        list: String,
    },
    /// Answer what is in flight and stop
    Drain,
    /// Explain the score of an address with the table that is in use
    Lookup {
        /// The address
        address: IpAddr,
    },
    /// Latencies: percentiles of each worker, and a picture
    Histogram,
    /// How much is logged; with a level, log that much from now on
    Loglevel {
        /// The new level
        #[arg(value_name = "LEVEL",
              value_parser = PossibleValuesParser::new(LogLevel::NAMES).try_map(|it| it.parse::<LogLevel>()))]
        level: Option<LogLevel>,
    },
    /// Score a prefix 0 for a time, from now on
    Ban(Decide),
    /// Score a prefix challenge-score at most for a time
    Challenge(Decide),
    /// Score a prefix 100 for a time
    Allow(Decide),
    /// End every live decision of exactly this prefix; prints how many there were
    Unban(Undecide),
    /// How the fleet is: connected, lag, queue, nodes
    Fleet {
        /// JSON
        #[arg(long)]
        json: bool,
    },
    /// List live decisions
    Decisions(List),
    /// List the addresses with the most points of reports, or the points of one
    Behavior(Offenders),
    /// Show how the LAPI of CrowdSec is followed: last poll, decisions by origin and type, errors
    Crowdsec {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
}

/// Asks, and prints the answer.
pub(crate) fn ctl(asked: &Ctl) -> Result<ExitCode, Failure> {
    let failed = |error: AdminError| Failure::Start(format!("ctl: {error}"));
    let (address, token) = asked.endpoint()?;
    let token = token.as_deref().map(Token::read).transpose();
    let token = token.map_err(failed)?;
    let endpoint = Endpoint {
        address: &address,
        token: token.as_ref(),
    };
    let (method, path) = match &asked.request {
        Request::Ban(decide) => return endpoint.decide("ban", decide),
        Request::Challenge(decide) => return endpoint.decide("challenge", decide),
        Request::Allow(decide) => return endpoint.decide("allow", decide),
        Request::Unban(undecide) => return endpoint.undecide(undecide),
        Request::Decisions(list) => return endpoint.list(list),
        Request::Fleet { json } => return endpoint.fleet(*json),
        Request::Behavior(offenders) => return endpoint.behavior(offenders),
        Request::Crowdsec { json } => return endpoint.crowdsec(*json),
        Request::Status => ("GET", "/status".to_owned()),
        Request::Histogram => ("GET", "/histogram".to_owned()),
        Request::Lookup { address } => ("GET", format!("/lookup?address={address}")),
        Request::Reload => ("POST", "/reload".to_owned()),
        Request::Accept { list } => ("POST", format!("/accept?list={}", encoded(list))),
        Request::Drain => ("POST", "/drain".to_owned()),
        Request::Loglevel { level: None } => ("GET", "/loglevel".to_owned()),
        Request::Loglevel { level: Some(level) } => ("POST", format!("/loglevel?level={level}")),
    };
    let answer = client::ask(&address, method, &path, token.as_ref()).map_err(failed)?;
    print(&answer)
}

/// A value as a query has it.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(byte).collect()
}

/// Writes an answer to stdout.
pub(super) fn print(answer: &str) -> Result<ExitCode, Failure> {
    match io::stdout().lock().write_all(answer.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Start(format!("cannot write: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

impl Ctl {
    /// Where the agent is, and the file of its token.
    fn endpoint(&self) -> Result<(BindAddress, Option<PathBuf>), Failure> {
        let installed = Path::new(INSTALLED);
        let is_named = self.config.is_some() || self.admin.is_some();
        let installed = Some(installed).filter(|file| !is_named && file.exists());
        let config = self.config.as_deref().or(installed);
        let config = config.map(Config::read).transpose();
        let config = config.map_err(|error| Failure::config(&error))?;
        let keys = config.map(|config| config.admin).unwrap_or_default();
        let Some(text) = self.admin.clone().or(keys.bind) else {
            let why = "give the address of the agent's endpoint, or its configuration with -f";
            return Err(Failure::bad("--admin", why));
        };
        let address = admin::address(&text);
        let address = address.map_err(|why| Failure::bad("--admin", why.to_string()))?;
        Ok((address, self.admin_token.clone().or(keys.token_file)))
    }
}
