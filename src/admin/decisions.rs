//! `/decisions` and `/behavior`: live decisions and points as JSON. docs/openapi.json describes it.

use core::future::poll_fn;
use core::net::IpAddr;
use core::pin::Pin;
use core::time::Duration;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use ip_reputation::Prefix;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::info;

use super::reply::{Kind as BodyKind, Reply, line, reply};
use super::routes::{AdminState, value_of};
use crate::config::values::duration_with_unit;
use crate::host::now;
use crate::live::{
    Applied, ApplyError, Decision, Kind, Live, LiveOptions, ORIGIN_BEHAVIOR, Offender, Request,
    Target, origin_error, parse_target, points_prefix, reason_error, time,
};
use crate::policy::Policy;

/// The longest body of a request, in bytes.
const BODY_MAX: usize = 32 << 20;
/// The length of an IPv6 prefix that is exactly the address.
const EXACT: u8 = 128;

/// Addresses with points that are listed.
const OFFENDERS_DEFAULT: usize = 20;
const OFFENDERS_MAX: usize = 10_000;

/// A decision as JSON has it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
    origin: &'a str,
    reason: &'a str,
    node: &'a str,
    created: String,
    until: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl<'a> Shown<'a> {
    fn new(decision: &'a Decision) -> Self {
        Self {
            kind: decision.kind.name(),
            value: decision.target.to_string(),
            origin: &decision.origin,
            reason: &decision.reason,
            node: &decision.node,
            created: time::rfc3339(decision.created),
            until: time::rfc3339(decision.until),
            stored: None,
            warning: None,
        }
    }
}

/// An element of the body of POST.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(rename = "type")]
    kind: String,
    value: String,
    #[serde(rename = "for")]
    duration: Option<String>,
    reason: Option<String>,
    origin: Option<String>,
    #[serde(default)]
    exact: bool,
}

/// What is wrong with an element.
#[derive(Debug, Serialize)]
struct Bad {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    error: String,
}

/// What a command needs of the agent.
fn live(office: &AdminState) -> Result<(&Live, LiveOptions), Box<Reply>> {
    let starting = || line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting");
    let subject = office.desk.subject().ok_or_else(|| Box::new(starting()))?;
    let live = subject.live.as_ref();
    let live = live.and_then(|live| Some((live, live.options()?)));
    live.ok_or_else(|| Box::new(line(StatusCode::CONFLICT, ApplyError::Disabled)))
}

fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let text = serde_json::to_string(body).unwrap_or_default();
    reply(status, BodyKind::Json, text + "\n")
}

/// One error about the request as a whole, in the form of those about elements.
fn refused(status: StatusCode, error: impl core::fmt::Display) -> Reply {
    let body = serde_json::json!({ "errors": [{ "error": error.to_string() }] });
    json(status, &body)
}

/// What is in force: all, what covers a prefix, or what an origin made.
pub(super) fn list(office: &AdminState, query: Option<&str>) -> Reply {
    let live = match live(office) {
        Ok((live, _)) => live,
        Err(reply) => return *reply,
    };
    let given = |key| {
        query
            .and_then(|query| value_of(key, query))
            .filter(|it| !it.is_empty())
    };
    let origin = given("origin");
    let has_origin = |it: &Decision| origin.as_ref().is_none_or(|origin| *it.origin == **origin);
    let found = match given("value").map(|value| parse_target(&value, EXACT)) {
        None => live.list(has_origin),
        Some(Ok(target)) => {
            let mut found = live.covering_any(targets(office, target));
            found.retain(has_origin);
            found
        }
        Some(Err(error)) => {
            return refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                format_args!("value: {error}"),
            );
        }
    };
    let shown: Vec<_> = found.iter().map(Shown::new).collect();
    json(StatusCode::OK, &shown)
}

/// What covers a value: of an address also its AS and its country.
fn targets(office: &AdminState, target: Target) -> impl Iterator<Item = Target> + use<> {
    let address = match target {
        Target::Prefix(prefix @ (Prefix::V4 { len: 32, .. } | Prefix::V6 { len: 128, .. })) => {
            Some(prefix.network())
        }
        _ => None,
    };
    let policy = policy(office).zip(address);
    let places = policy.map(|(policy, address)| policy.targets(address).skip(1));
    core::iter::once(target).chain(places.into_iter().flatten())
}

fn policy(office: &AdminState) -> Option<Arc<Policy>> {
    let (_, published) = office.desk.subject()?.engine.as_ref()?;
    Some(published.current())
}

/// Says that a value cannot be matched: there is no database for it.
fn without_database(office: &AdminState, target: Target) -> Option<String> {
    let policy = policy(office);
    let policy = policy.as_deref();
    let (key, has) = match target {
        Target::Prefix(_) => return None,
        Target::Asn(_) => ("asn-db", policy.is_some_and(Policy::has_asn)),
        Target::Country(_) => ("country-db", policy.is_some_and(Policy::has_country)),
    };
    let why =
        format!("{target} has no effect: there is no {key} in [reputation]; set it and reload");
    (!has).then_some(why)
}

/// Points of an address as JSON has them.
#[derive(Debug, Serialize)]
struct ShownPoints {
    value: String,
    points: f64,
    /// None: nothing was reported.
    updated: Option<String>,
    reports: u32,
    reason: String,
    /// The end of its ban by `ban-at`, if it is banned.
    banned_until: Option<String>,
}

impl ShownPoints {
    fn new(offender: &Offender, live: &Live) -> Self {
        let covering = live.covering(offender.prefix.into());
        let mut bans = covering
            .iter()
            .filter(|it| it.kind == Kind::Ban && &*it.origin == ORIGIN_BEHAVIOR);
        Self {
            value: offender.prefix.to_string(),
            points: (offender.points * 10.0).round() / 10.0,
            updated: Some(time::rfc3339(offender.updated)),
            reports: offender.reports,
            reason: offender.reason.to_string(),
            banned_until: bans.next().map(|it| time::rfc3339(it.until)),
        }
    }

    fn none(address: IpAddr) -> Self {
        Self {
            value: points_prefix(address).to_string(),
            points: 0.0,
            updated: None,
            reports: 0,
            reason: String::new(),
            banned_until: None,
        }
    }
}

/// The points of one address, or those of the worst.
pub(super) fn behavior(office: &AdminState, query: Option<&str>) -> Reply {
    let live = match live(office) {
        Ok((live, _)) => live,
        Err(reply) => return *reply,
    };
    if !live.has_behavior() {
        let why = "reports are off; add a [behavior] section to the configuration and reload";
        return line(StatusCode::CONFLICT, why);
    }
    let given = |key| {
        query
            .and_then(|query| value_of(key, query))
            .filter(|it| !it.is_empty())
    };
    let invalid = |why: String| refused(StatusCode::UNPROCESSABLE_ENTITY, why);
    if let Some(address) = given("address") {
        let Ok(address) = address.parse::<IpAddr>() else {
            return invalid(format!("address: \"{address}\" is no IPv4 or IPv6 address"));
        };
        let shown = match live.points(address) {
            Some(offender) => ShownPoints::new(&offender, live),
            None => ShownPoints::none(address),
        };
        return json(StatusCode::OK, &[shown]);
    }
    let limit = match given("limit").map(|it| it.parse::<usize>()) {
        None => OFFENDERS_DEFAULT,
        Some(Ok(limit)) if (1..=OFFENDERS_MAX).contains(&limit) => limit,
        Some(_) => return invalid(format!("limit: expected 1 to {OFFENDERS_MAX}")),
    };
    let top = live.top_points(limit);
    let shown: Vec<_> = top.iter().map(|it| ShownPoints::new(it, live)).collect();
    json(StatusCode::OK, &shown)
}

/// Makes decisions, all or none.
pub(super) async fn put<B>(office: &AdminState, peer: &str, body: B) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let (live, options) = match live(office) {
        Ok(found) => found,
        Err(reply) => return *reply,
    };
    let Some(body) = collect(body, BODY_MAX).await else {
        let why = format!("the body is incomplete or exceeds {BODY_MAX} bytes");
        return refused(StatusCode::PAYLOAD_TOO_LARGE, why);
    };
    let elements: Vec<serde_json::Value> = match serde_json::from_slice(&body) {
        Ok(elements) => elements,
        Err(error) => {
            let why = format!("expected a JSON array of decisions: {error}");
            return refused(StatusCode::BAD_REQUEST, why);
        }
    };
    drop(body);
    let (mut decisions, mut bad) = (Vec::with_capacity(elements.len()), Vec::new());
    for (index, element) in elements.into_iter().enumerate() {
        let value = element
            .get("value")
            .and_then(|it| it.as_str())
            .map(str::to_owned);
        match decision(element, &options, live) {
            Ok(decision) => decisions.push(decision),
            Err(error) => bad.push(Bad {
                index,
                value,
                error,
            }),
        }
    }
    if !bad.is_empty() {
        let body = serde_json::json!({ "errors": bad });
        return json(StatusCode::UNPROCESSABLE_ENTITY, &body);
    }
    let applied = match apply(live, Request::Put(decisions.clone())).await {
        Ok(applied) => applied,
        Err(reply) => return *reply,
    };
    let shown: Vec<_> = decisions
        .iter()
        .map(|it| done(it, applied, office, live))
        .collect();
    log(&decisions, applied, peer);
    office.desk.forget();
    json(StatusCode::OK, &shown)
}

/// Removes every decision of exactly one value, or those of one origin.
pub(super) async fn delete(office: &AdminState, peer: &str, query: Option<&str>) -> Reply {
    let (live, options) = match live(office) {
        Ok(found) => found,
        Err(reply) => return *reply,
    };
    let given = |key| query.and_then(|query| value_of(key, query));
    let is_exact = given("exact").is_some_and(|it| it != "0" && it != "false");
    let len = if is_exact { EXACT } else { options.ipv6_prefix };
    let target = match parse_target(&given("value").unwrap_or_default(), len) {
        Ok(target) => target,
        Err(error) => {
            return refused(
                StatusCode::UNPROCESSABLE_ENTITY,
                format_args!("value: {error}"),
            );
        }
    };
    let origin = given("origin").filter(|it| !it.is_empty());
    let request = match origin {
        None => Request::Remove(target),
        Some(origin) => Request::RemoveOf(target, Arc::from(&*origin)),
    };
    match apply(live, request).await {
        Ok(Applied { count, stored }) => {
            info!(value = %target, peer, count, "decisions removed");
            office.desk.forget();
            json(
                StatusCode::OK,
                &serde_json::json!({ "removed": count, "stored": stored }),
            )
        }
        Err(reply) => *reply,
    }
}

async fn apply(live: &Live, request: Request) -> Result<Applied, Box<Reply>> {
    let (done, over) = oneshot::channel();
    // The client may be gone by then.
    live.apply(request, Box::new(|outcome| drop(done.send(outcome))));
    let ending = |_| line(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending");
    let outcome = over.await.map_err(|it| Box::new(ending(it)))?;
    outcome.map_err(|error| {
        let status = match error {
            ApplyError::Disabled => StatusCode::CONFLICT,
            ApplyError::Full(_) => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Box::new(refused(status, error))
    })
}

fn done<'a>(
    decision: &'a Decision,
    applied: Applied,
    office: &AdminState,
    live: &Live,
) -> Shown<'a> {
    let is_against = decision.kind != Kind::Allow;
    let allowed = is_against
        .then(|| live.allowed_within(decision.target.prefix()?))
        .flatten();
    let warning =
        allowed.map(|allowed: Prefix| format!("[allow] has {allowed}, which takes precedence"));
    let warning = warning.or_else(|| without_database(office, decision.target));
    Shown {
        stored: Some(applied.stored),
        warning,
        ..Shown::new(decision)
    }
}

fn log(decisions: &[Decision], applied: Applied, peer: &str) {
    let Some(first) = decisions.first() else {
        return;
    };
    let Applied { count, stored } = applied;
    let (origin, kind, value) = (&*first.origin, first.kind.name(), first.target);
    info!(kind, %value, origin, peer, count, stored, "decisions added");
}

fn decision(
    element: serde_json::Value,
    options: &LiveOptions,
    live: &Live,
) -> Result<Decision, String> {
    let wanted: Wanted = serde_json::from_value(element).map_err(|error| error.to_string())?;
    let kind: Kind = wanted
        .kind
        .parse()
        .map_err(|error| format!("type: {error}"))?;
    let len = if wanted.exact {
        EXACT
    } else {
        options.ipv6_prefix
    };
    let target = parse_target(&wanted.value, len).map_err(|error| format!("value: {error}"))?;
    let duration = match &wanted.duration {
        None => options.default_duration,
        Some(text) => duration_with_unit(text).map_err(|error| format!("for: {error}"))?,
    };
    let origin = wanted.origin.unwrap_or_else(|| "api".to_owned());
    let reason = wanted.reason.unwrap_or_default();
    if let Some(error) = origin_error(&origin).or_else(|| reason_error(&reason)) {
        return Err(error);
    }
    let created = now();
    let seconds = duration.max(Duration::from_secs(1)).as_secs();
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    Ok(Decision {
        kind,
        target,
        origin: Arc::from(origin),
        reason: Arc::from(reason),
        node: live.node(),
        created,
        until: created.saturating_add(seconds),
    })
}

/// The whole body; none if it is too long or breaks off.
pub(super) async fn collect<B>(mut body: B, max: usize) -> Option<Vec<u8>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut bytes = Vec::new();
    loop {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame else {
            return Some(bytes);
        };
        if let Ok(data) = frame.ok()?.into_data() {
            if bytes.len() + data.len() > max {
                return None;
            }
            bytes.extend_from_slice(&data);
        }
    }
}
