//! `spoa ctl ban`, `challenge`, `allow`, `unban`, `decisions` and `behavior`.

use core::net::IpAddr;
use core::time::Duration;
use std::fmt::Write as _;
use std::process::ExitCode;

use haproxy_spoa::BindAddress;
use iprep_spoa::admin::{AdminError, Token, client};
use iprep_spoa::config::values;
use iprep_spoa::live::{ParseTargetError, parse_target};
use serde_json::Value;

use super::ctl::print;
use super::failure::Failure;
use super::print::say;

/// A prefix, for how long, and why.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Decide {
    /// An address, a network, an AS such as AS64496 or a country such as NL; an IPv6 address without a length is its /64 (ipv6-prefix)
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    prefix: String,

    /// For how long, such as 30m, 1h or 7d; default: default-duration of [live]
    #[arg(long = "for", value_name = "TIME", value_parser = values::duration_with_unit)]
    duration: Option<Duration>,

    /// Why, for those who look later
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// What made it, such as fail2ban: `decisions --origin` lists by it
    #[arg(long, value_name = "ORIGIN", default_value = "ctl", value_parser = origin)]
    origin: String,

    /// Exactly this IPv6 address
    #[arg(long)]
    exact: bool,
}

/// A prefix.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Undecide {
    /// An address, a network, an AS such as AS64496 or a country such as NL; an IPv6 address without a length is its /64 (ipv6-prefix)
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    prefix: String,

    /// Only what this origin made, such as fail2ban
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<String>,

    /// Exactly this IPv6 address
    #[arg(long)]
    exact: bool,
}

/// Which decisions.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct List {
    /// Only those that cover this address or network, or are of this AS or country
    #[arg(value_name = "PREFIX", value_parser = prefix)]
    prefix: Option<String>,

    /// Only those of this origin, such as ctl or fail2ban
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// Whose points.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Offenders {
    /// Only this address; an IPv6 address has those of its /64
    #[arg(value_name = "ADDRESS")]
    address: Option<IpAddr>,

    /// The most addresses
    #[arg(long, value_name = "NUMBER", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,

    /// One JSON array
    #[arg(long)]
    json: bool,
}

/// The text of a prefix; the agent knows which length an IPv6 address gets.
fn prefix(text: &str) -> Result<String, ParseTargetError> {
    parse_target(text, 128).map(|_| text.to_owned())
}

/// An origin, if it is one.
fn origin(text: &str) -> Result<String, String> {
    iprep_spoa::live::origin_error(text).map_or_else(|| Ok(text.to_owned()), Err)
}

/// A running agent.
pub(super) struct Endpoint<'a> {
    pub(super) address: &'a BindAddress,
    pub(super) token: Option<&'a Token>,
}

impl Endpoint<'_> {
    pub(super) fn decide(&self, kind: &str, asked: &Decide) -> Result<ExitCode, Failure> {
        let mut element = serde_json::json!({
            "type": kind, "value": asked.prefix, "origin": asked.origin, "exact": asked.exact,
        });
        if let Some(object) = element.as_object_mut() {
            // Microseconds are a unit that has every duration.
            let duration = asked.duration.map(|it| format!("{}us", it.as_micros()));
            let optional = [("for", duration), ("reason", asked.reason.clone())];
            for (key, value) in optional {
                object.extend(value.map(|value| (key.to_owned(), value.into())));
            }
        }
        let body = Value::Array(vec![element]).to_string();
        let answer = self.send("POST", "/decisions", &body)?;
        let mut text = String::new();
        for done in parse(&answer)?.as_array().into_iter().flatten() {
            let _ = writeln!(
                text,
                "{kind} {} until {}",
                shown(done, "value"),
                shown(done, "until")
            );
            if let Some(warning) = done.get("warning").and_then(Value::as_str) {
                say(format_args!("WARNING: {warning}"));
            }
            if done.get("stored").and_then(Value::as_bool) == Some(false) {
                say(
                    "WARNING: in memory only, it ends with the process: the store cannot be written",
                );
            }
        }
        print(&text)
    }

    pub(super) fn undecide(&self, asked: &Undecide) -> Result<ExitCode, Failure> {
        let exact = if asked.exact { "&exact=1" } else { "" };
        let origin = asked.origin.as_deref();
        let origin = origin.map(|it| format!("&origin={it}")).unwrap_or_default();
        let path = format!("/decisions?value={}{exact}{origin}", asked.prefix);
        let answer = parse(&self.send("DELETE", &path, "")?)?;
        print(&format!("{}\n", shown(&answer, "removed")))
    }

    pub(super) fn list(&self, asked: &List) -> Result<ExitCode, Failure> {
        let mut path = format!(
            "/decisions?value={}",
            asked.prefix.as_deref().unwrap_or_default()
        );
        if let Some(origin) = &asked.origin {
            if let Some(error) = iprep_spoa::live::origin_error(origin) {
                return Err(Failure::bad("--origin", error));
            }
            path = format!("{path}&origin={origin}");
        }
        let answer = self.send("GET", &path, "")?;
        if asked.json {
            return print(&answer);
        }
        let mut text = String::new();
        for decision in parse(&answer)?.as_array().into_iter().flatten() {
            let of = |key| shown(decision, key);
            let _ = writeln!(
                text,
                "{:9}  {}  until {}  {}@{}  {}",
                of("type"),
                of("value"),
                of("until"),
                of("origin"),
                of("node"),
                of("reason"),
            );
        }
        print(&text)
    }

    pub(super) fn behavior(&self, asked: &Offenders) -> Result<ExitCode, Failure> {
        let path = match asked.address {
            Some(address) => format!("/behavior?address={address}"),
            None => format!("/behavior?limit={}", asked.limit),
        };
        let answer = self.send("GET", &path, "")?;
        if asked.json {
            return print(&answer);
        }
        let mut text = String::new();
        for offender in parse(&answer)?.as_array().into_iter().flatten() {
            let of = |key| shown(offender, key);
            let _ = write!(text, "{}  {} points", of("value"), of("points"));
            if offender.get("updated").is_some_and(Value::is_string) {
                let _ = write!(text, "  updated {}  {}", of("updated"), of("reason"));
            }
            if offender.get("banned_until").is_some_and(Value::is_string) {
                let _ = write!(text, "  banned until {}", of("banned_until"));
            }
            text.push('\n');
        }
        print(&text)
    }

    pub(super) fn fleet(&self, is_json: bool) -> Result<ExitCode, Failure> {
        let answer = self.send("GET", "/fleet", "")?;
        if is_json {
            return print(&answer);
        }
        let fleet = parse(&answer)?;
        let of = |key| shown(&fleet, key);
        let is_connected = fleet.get("connected").and_then(Value::as_bool) == Some(true);
        let mut text = format!(
            "fleet {} as {}, {}\n",
            of("name"),
            of("node"),
            if is_connected {
                "connected"
            } else {
                "not connected"
            }
        );
        if let Some(error) = fleet.get("error").and_then(Value::as_str) {
            let _ = writeln!(text, "error     {error}");
        }
        for (name, key) in [
            ("url      ", "url"),
            ("lag      ", "lag_seconds"),
            ("position ", "position"),
            ("queue    ", "queue"),
            ("dropped  ", "dropped"),
            ("garbage  ", "garbage"),
        ] {
            let _ = writeln!(text, "{name} {}", of(key));
        }
        let nodes = fleet.get("nodes").and_then(Value::as_array);
        for node in nodes.into_iter().flatten() {
            let changed = node.get("changed").and_then(Value::as_str);
            let _ = writeln!(
                text,
                "node      {}  seen {}  changed {}",
                shown(node, "name"),
                shown(node, "seen"),
                changed.unwrap_or("never"),
            );
        }
        print(&text)
    }

    pub(super) fn crowdsec(&self, as_json: bool) -> Result<ExitCode, Failure> {
        let answer = self.send("GET", "/crowdsec", "")?;
        if as_json {
            return print(&answer);
        }
        let status = parse(&answer)?;
        let of = |key| match status.get(key) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => "never".to_owned(),
            Some(other) => other.to_string(),
        };
        let is_connected = status.get("connected").and_then(Value::as_bool);
        let state = if is_connected == Some(true) {
            "connected"
        } else {
            "not connected"
        };
        let mut text = String::new();
        let _ = writeln!(text, "{}  {state}", of("url"));
        let _ = writeln!(
            text,
            "last poll {}, last success {}, last full answer {}; {} polls, {} failed",
            of("last_poll"),
            of("last_success"),
            of("last_full"),
            of("polls"),
            of("failures"),
        );
        if let Some(error) = status.get("error").and_then(Value::as_str) {
            let _ = writeln!(text, "error: {error}");
        }
        let counts = status.get("decisions").and_then(Value::as_array);
        for count in counts.into_iter().flatten() {
            let of = |key| shown(count, key);
            let _ = writeln!(text, "{:9}  {}  {}", of("type"), of("origin"), of("count"));
        }
        let _ = writeln!(
            text,
            "{} lifted by unban, {} filtered",
            of("lifted"),
            of("filtered")
        );
        let unusable = status.get("unusable").and_then(Value::as_object);
        for (reason, count) in unusable.into_iter().flatten() {
            if count.as_u64() != Some(0) {
                let _ = writeln!(text, "{count} without effect: {reason}");
            }
        }
        print(&text)
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Result<String, Failure> {
        client::send(self.address, method, path, self.token, body).map_err(|error| {
            let AdminError::Refused { why, .. } = &error else {
                return Failure::Start(format!("ctl: {error}"));
            };
            Failure::Start(format!(
                "ctl: {}",
                reasons(why).unwrap_or_else(|| error.to_string())
            ))
        })
    }
}

/// What the agent says of each element that it refuses.
fn reasons(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let errors = body.get("errors")?.as_array()?.iter();
    let errors: Vec<_> = errors
        .map(|it| match it.get("value").and_then(Value::as_str) {
            Some(value) => format!("{value}: {}", shown(it, "error")),
            None => shown(it, "error"),
        })
        .collect();
    Some(errors.join("; "))
}

fn parse(answer: &str) -> Result<Value, Failure> {
    let parsed = serde_json::from_str(answer);
    parsed.map_err(|error| Failure::Start(format!("ctl: invalid answer: {error}")))
}

/// A field as people read it.
fn shown(object: &Value, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
