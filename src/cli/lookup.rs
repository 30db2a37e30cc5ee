//! `spoa lookup`: why an address has the score that it has.

mod input;

use core::net::IpAddr;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use ip_reputation::{Score, Table};
use iprep_spoa::config::Config;
use iprep_spoa::feeds::explain::{self, Explanation, role_name};
use iprep_spoa::feeds::offline_check::{FetchMode, OfflineCheck};
use iprep_spoa::live::Live;
use iprep_spoa::policy::Policy;

use super::args::{Asked, Lookup};
use super::failure::Failure;
use super::print::say;

/// Bytes that are written at once.
const BUFFER: usize = 64 * 1024;

/// How addresses are answered.
struct Desk<'a> {
    policy: &'a Policy,
    /// What the store has.
    live: Option<&'a Live>,
    table: &'a Table,
    unknown: Score,
    now: u32,
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    People,
    Json,
    Terse,
}

/// Answers for every address that was asked about.
pub(crate) fn lookup(asked: &Lookup) -> Result<ExitCode, Failure> {
    let config = Config::read(&asked.config).map_err(|error| Failure::config(&error))?;
    let asking = if asked.offline {
        FetchMode::Nothing
    } else {
        FetchMode::Missing
    };
    let live = config.live.as_ref().and_then(|options| {
        let live = Live::offline(options);
        live.inspect_err(|why| say(format_args!("WARNING: {why}; without live decisions")))
            .ok()
    });
    let once = OfflineCheck::read(&config, asking, live.as_ref()).map_err(Failure::engine)?;
    let left_out = once.findings.iter().filter(|it| it.good.is_none());
    for finding in left_out {
        let why = finding.error.as_deref().unwrap_or("not there");
        say(format_args!("WARNING: {}: left out: {why}", finding.title));
    }
    let Some(table) = once.table.as_deref() else {
        let why = "scores are random with this configuration; there is nothing to look up";
        return Err(Failure::Start(format!("{}: {why}", asked.config.display())));
    };
    let desk = Desk {
        policy: &once.policy,
        live: live.as_ref(),
        table,
        unknown: config.reputation.default_score,
        now: iprep_spoa::host::now(),
        style: match (asked.json, asked.terse) {
            (true, _) => Style::Json,
            (_, true) => Style::Terse,
            _ => Style::People,
        },
    };
    match desk.answer(&asked.addresses) {
        Ok(wrong) => Ok(ExitCode::from(u8::from(wrong > 0))),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Start(format!("cannot read or write: {error}"))),
    }
}

impl Desk<'_> {
    /// How many lines were no address.
    fn answer(&self, asked: &[Asked]) -> io::Result<u64> {
        let mut to = BufWriter::with_capacity(BUFFER, io::stdout().lock());
        let mut wrong = 0;
        if asked.is_empty() {
            wrong += self.answer_input(&mut to)?;
        }
        for asked in asked {
            match asked {
                Asked::Address(address) => {
                    self.one(&mut to, *address, address.to_string().as_bytes())?;
                }
                Asked::Input => wrong += self.answer_input(&mut to)?,
            }
        }
        to.flush()?;
        Ok(wrong)
    }

    fn answer_input(&self, to: &mut impl Write) -> io::Result<u64> {
        let mut wrong = 0;
        input::lines(&mut io::stdin().lock(), |line| {
            let address = str::from_utf8(line).ok().and_then(|text| text.parse().ok());
            if let Some(address) = address {
                return self.one(to, address, line);
            }
            wrong += 1;
            let shown = line.escape_ascii();
            match self.style {
                Style::Json => writeln!(to, "{}", explain::json_error(&shown.to_string())),
                Style::Terse | Style::People => writeln!(to, "{shown} is not an address"),
            }
        })?;
        Ok(wrong)
    }

    fn one(&self, to: &mut impl Write, address: IpAddr, text: &[u8]) -> io::Result<()> {
        match self.style {
            Style::Terse => self.terse(to, address, text),
            Style::Json => match self.explain(address) {
                Some(explanation) => writeln!(to, "{}", explanation.json()),
                None => Ok(()),
            },
            Style::People => match self.explain(address) {
                Some(explanation) => explanation.write(to),
                None => Ok(()),
            },
        }
    }

    /// None only without a table.
    fn explain(&self, address: IpAddr) -> Option<Explanation<'_>> {
        let explanation = Explanation::of(self.policy, address, self.now)?;
        Some(match self.live {
            None => explanation,
            Some(live) => {
                let covering = live.covering_any(self.policy.targets(address));
                explanation.with_live(self.policy, &covering, self.now)
            }
        })
    }

    /// `ADDRESS SCORE ROLE FEED:PREFIX`
    fn terse(&self, to: &mut impl Write, address: IpAddr, text: &[u8]) -> io::Result<()> {
        to.write_all(text)?;
        if self.live.is_some()
            && let Some(explanation) = self.explain(address)
        {
            return explanation.write_terse(to);
        }
        let Some(verdict) = self.table.lookup(address) else {
            return writeln!(to, " {} - -", self.unknown.value());
        };
        let score = verdict.score(self.now).value();
        let role = verdict.ruled_by(self.now).map_or("-", role_name);
        match verdict.reason(self.now, address) {
            Some((feed, prefix)) => writeln!(to, " {score} {role} {feed}:{prefix}"),
            None => writeln!(to, " {score} {role} -"),
        }
    }
}
