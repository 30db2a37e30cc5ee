//! Which request gets which answer, and who may ask for it.

use core::net::IpAddr;
use std::sync::Arc;

use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use tokio::sync::oneshot;
use tracing::info;

use super::figures::{Figures, Snapshotter};
use super::reply::{Kind, Reply, line, reply};
use super::{Subject, Token, crowdsec, decisions, fleet, form, json, metrics, page, text};
use crate::feeds::status::{FeedStatus, Status};
use crate::host::certificates;
use crate::host::log::{LogDial, LogLevel};
use crate::host::supervisor;

/// What requests are answered with.
#[derive(Debug)]
pub(super) struct AdminState {
    pub(super) desk: Arc<Snapshotter>,
    pub(super) token: Option<Token>,
    pub(super) is_unix: bool,
    /// What forms of the page bring. Empty without randomness: no form is obeyed.
    pub(super) form_key: String,
}

/// The routes that can be looked at, with GET and HEAD.
pub const LOOKS: [&str; 14] = [
    "/",
    "/figures",
    "/metrics",
    "/status",
    "/status.json",
    "/histogram",
    "/lookup",
    "/healthz",
    "/readyz",
    LOG_LEVEL,
    DECISIONS,
    BEHAVIOR,
    FLEET,
    CROWDSEC,
];
/// The routes that do something, with POST.
pub const COMMANDS: [&str; 6] = ["/reload", ACCEPT, LOG_LEVEL, DECISIONS, FORM, "/drain"];
/// Has a list be used in spite of its guards.
const ACCEPT: &str = "/accept";
/// What the page's forms are sent to.
const FORM: &str = "/form";
/// Live decisions: GET, POST and DELETE.
pub(super) const DECISIONS: &str = "/decisions";
/// Points of addresses.
const BEHAVIOR: &str = "/behavior";
/// The fleet.
const FLEET: &str = "/fleet";
/// How a LAPI is followed.
const CROWDSEC: &str = "/crowdsec";
/// Looked at, and told to be another.
const LOG_LEVEL: &str = "/loglevel";

/// Answers a request. Only POST /decisions and /form have a body that is read.
pub(super) async fn answer<B>(office: &AdminState, peer: &str, request: Request<B>) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, body) = request.into_parts();
    let host = head.headers.get(header::HOST);
    if !office.is_unix && !host.is_none_or(is_own_name) {
        return line(
            StatusCode::MISDIRECTED_REQUEST,
            "ask by address or as localhost: a name that somebody else gives out may be a trick \
             to make a browser ask",
        );
    }
    let path = head.uri.path();
    let is_look = head.method == Method::GET || head.method == Method::HEAD;
    let is_command = head.method == Method::POST;
    let query = head.uri.query();
    let (can_look, can_tell) = (LOOKS.contains(&path), COMMANDS.contains(&path));
    match (can_look, can_tell) {
        (true, _) if is_look => return look(office, path, query),
        (_, true) if is_command && path == FORM => {
            return form::submit(office, peer, &head.headers, body).await;
        }
        (_, true) if is_command => {
            return match office.forbids(&head.headers) {
                Some(why) => line(StatusCode::FORBIDDEN, why),
                None if path == DECISIONS => decisions::put(office, peer, body).await,
                None => command(office, path, query).await,
            };
        }
        _ if path == DECISIONS && head.method == Method::DELETE => {
            return match office.forbids(&head.headers) {
                Some(why) => line(StatusCode::FORBIDDEN, why),
                None => decisions::delete(office, peer, query).await,
            };
        }
        _ if path == DECISIONS => return not_allowed("GET, HEAD, POST, DELETE"),
        (true, true) => return not_allowed("GET, HEAD, POST"),
        (true, false) => return not_allowed("GET, HEAD"),
        (false, true) => return not_allowed("POST"),
        (false, false) => {}
    }
    line(
        StatusCode::NOT_FOUND,
        "there is nothing here; / has links to what there is",
    )
}

fn not_allowed(allowed: &'static str) -> Reply {
    let what = format!("only {allowed} here");
    let mut reply = line(StatusCode::METHOD_NOT_ALLOWED, what);
    let allowed = HeaderValue::from_static(allowed);
    reply.headers_mut().insert(header::ALLOW, allowed);
    reply
}

impl AdminState {
    /// Why a command is not obeyed, if it is not.
    fn forbids(&self, headers: &header::HeaderMap) -> Option<&'static str> {
        let brought = headers.get(header::AUTHORIZATION);
        match &self.token {
            Some(token) if brought.is_some_and(|it| token.is_in(it.as_bytes())) => None,
            // A browser sends these, and a page of somebody else can make it ask.
            _ if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") => {
                Some("commands do not come from browsers; use spoa ctl")
            }
            _ if self.is_unix => None,
            Some(_) if brought.is_some() => Some(
                "the token is wrong; give --admin-token the file that the agent was started with",
            ),
            Some(_) => {
                Some("commands need the token of the agent; give its file with --admin-token")
            }
            None => Some(
                "over TCP this takes a token, and the agent was started without one: give it \
                 --admin-token, or a UNIX socket to --admin",
            ),
        }
    }
}

/// Whether a Host header is what this machine is called by those who know it.
pub(super) fn is_own_name(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

fn look(office: &AdminState, path: &str, query: Option<&str>) -> Reply {
    let desk = &office.desk;
    match path {
        "/healthz" => return line(StatusCode::OK, "alive"),
        "/readyz" => return ready(desk.subject()),
        DECISIONS => return decisions::list(office, query),
        BEHAVIOR => return decisions::behavior(office, query),
        FLEET => return fleet::show(office),
        CROWDSEC => return crowdsec::status(office),
        LOG_LEVEL => {
            return match desk.subject() {
                Some(subject) => line(StatusCode::OK, subject.log.level()),
                None => line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting"),
            };
        }
        _ => {}
    }
    let ok = |kind, body: String| reply(StatusCode::OK, kind, body);
    let starting = || line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting");
    let of = |kind, text: fn(&Figures) -> String| match desk.figures() {
        Some(figures) => ok(kind, text(&figures)),
        None => starting(),
    };
    let asked = query.and_then(|query| value_of("address", query));
    match path {
        "/metrics" => of(Kind::Metrics, metrics::metrics),
        "/status" => of(Kind::Text, text::status),
        "/histogram" => of(Kind::Text, text::histogram),
        "/lookup" => match desk.figures() {
            None => starting(),
            Some(figures) => {
                match page::explained(&figures, asked.as_deref().unwrap_or_default()) {
                    Ok(text) => ok(Kind::Text, text),
                    Err(why) => line(StatusCode::BAD_REQUEST, why),
                }
            }
        },
        _ => match desk.watch() {
            None => starting(),
            Some((figures, samples)) => match path {
                "/status.json" => ok(Kind::Json, json::status(&figures, &samples)),
                "/figures" => ok(Kind::Html, page::figures(&figures, &samples)),
                _ => {
                    let decisions = query.and_then(|query| value_of("decisions", query));
                    let asked = page::Asked {
                        address: asked.as_deref(),
                        decisions: decisions.as_deref(),
                        forms: office.forms(),
                    };
                    let page = page::page(&figures, &samples, asked);
                    let mut reply = ok(Kind::Html, page.html);
                    // Otherwise a browser does not say where a form comes from.
                    let referrer = HeaderValue::from_static("same-origin");
                    reply
                        .headers_mut()
                        .insert(header::REFERRER_POLICY, referrer);
                    if let Ok(policy) = HeaderValue::from_str(&page.policy) {
                        let name = header::CONTENT_SECURITY_POLICY;
                        reply.headers_mut().insert(name, policy);
                    }
                    reply
                }
            },
        },
    }
}

/// Ready once listeners are up and there is a table, until a shutdown begins.
fn ready(subject: Option<&Subject>) -> Reply {
    match subject {
        None => line(StatusCode::SERVICE_UNAVAILABLE, "starting"),
        Some(subject) if subject.control.is_draining() => {
            line(StatusCode::SERVICE_UNAVAILABLE, "draining")
        }
        Some(subject) => match &subject.engine {
            Some((remote, _)) => with_lists(&remote.status()),
            None => line(StatusCode::OK, "ready"),
        },
    }
}

/// Not ready while a list was never read and its first fetch is in progress; what is missing after that
/// is named.
fn with_lists(status: &Status) -> Reply {
    let absent = status
        .feeds
        .iter()
        .filter(|feed| feed.last_success.is_none());
    let (failed, waiting): (Vec<_>, Vec<_>) = absent.partition(|feed| feed.error.is_some());
    let names = |feeds: &[&FeedStatus]| {
        let names: Vec<_> = feeds.iter().map(|feed| &*feed.name).collect();
        names.join(", ")
    };
    if !waiting.is_empty() {
        let text = format!("starting: waiting for {}", names(&waiting));
        return line(StatusCode::SERVICE_UNAVAILABLE, &text);
    }
    if failed.is_empty() {
        return line(StatusCode::OK, "ready");
    }
    line(StatusCode::OK, format!("ready without {}", names(&failed)))
}

async fn command(office: &AdminState, path: &str, query: Option<&str>) -> Reply {
    let Some(subject) = office.desk.subject() else {
        return line(StatusCode::SERVICE_UNAVAILABLE, "the agent is starting");
    };
    if path == LOG_LEVEL {
        return set_log_level(&subject.log, query);
    }
    if path == ACCEPT {
        return accept(subject, query).await;
    }
    if path == "/drain" {
        info!(reason = "POST /drain", "shutdown started");
        supervisor::stopping();
        subject.control.drain();
        office.desk.forget();
        return line(
            StatusCode::ACCEPTED,
            "answering what is in flight, then ending",
        );
    }
    let reply = reload(subject).await;
    office.desk.forget();
    reply
}

fn set_log_level(log: &LogDial, query: Option<&str>) -> Reply {
    let given = query.and_then(|query| value_of("level", query));
    let level = given.unwrap_or_default().parse::<LogLevel>();
    match level {
        Ok(level) => {
            log.turn(level);
            line(StatusCode::OK, level)
        }
        Err(why) => line(StatusCode::BAD_REQUEST, format_args!("level={why}")),
    }
}

/// Has a list be used in spite of its guards, once.
async fn accept(subject: &Subject, query: Option<&str>) -> Reply {
    let Some((engine, _)) = &subject.engine else {
        return line(
            StatusCode::CONFLICT,
            "scores are random here; there are no lists",
        );
    };
    let Some(list) = query.and_then(|query| value_of("list", query)) else {
        return line(
            StatusCode::BAD_REQUEST,
            "list=: expected the name of a list",
        );
    };
    let (done, over) = oneshot::channel();
    // The client may have disconnected by then.
    engine.accept(list, Box::new(move |came| drop(done.send(came))));
    match over.await {
        Ok(Ok(said)) => line(StatusCode::OK, said),
        Ok(Err(why)) => line(StatusCode::CONFLICT, why),
        Err(_) => line(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending"),
    }
}

/// Reads certificates and lists again, as SIGHUP does, and says what came of both.
async fn reload(subject: &Subject) -> Reply {
    supervisor::reloading();
    let certificates = certificates::renew(&subject.control);
    let lists = match &subject.engine {
        None => {
            supervisor::reloaded(&certificates);
            None
        }
        Some((engine, _)) => {
            let (done, over) = oneshot::channel();
            let renewed = certificates.clone();
            engine.reload(Box::new(move |lists| {
                supervisor::reloaded(renewed.iter().chain([&lists]));
                // The client may have disconnected by then.
                let _ = done.send(lists);
            }));
            let Ok(came) = over.await else {
                return line(StatusCode::SERVICE_UNAVAILABLE, "the agent is ending");
            };
            Some(came)
        }
    };
    let came: Vec<_> = lists.into_iter().chain(certificates).collect();
    if came.is_empty() {
        let why = "scores are random here; there is nothing to reload";
        return line(StatusCode::CONFLICT, why);
    }
    let status = if came.iter().any(Result::is_err) {
        StatusCode::CONFLICT
    } else {
        StatusCode::OK
    };
    let lines: Vec<_> = came
        .into_iter()
        .map(|(Ok(line) | Err(line))| line)
        .collect();
    line(status, lines.join("; "))
}

/// A value in a query, as a form writes it.
pub(super) fn value_of(key: &str, query: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| *name == key)?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |text: &[u8]| u8::from_str_radix(str::from_utf8(text).ok()?, 16).ok();
        let escaped = tail.split_at_checked(2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|(code, tail)| Some((hex(code)?, tail)));
        let (byte, tail) = match (escaped, first) {
            (Some(escaped), _) => escaped,
            (None, b'+') => (b' ', tail),
            (None, other) => (*other, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_a_form_writes_it() {
        for (query, address) in [
            ("address=192.0.2.1", Some("192.0.2.1")),
            ("x=1&address=2001%3Adb8%3a%3A1", Some("2001:db8::1")),
            ("address=a+b%2", Some("a b%2")),
            ("address=", Some("")),
            ("addresses=1", None),
            ("", None),
        ] {
            assert_eq!(value_of("address", query).as_deref(), address, "{query}");
        }
    }

    #[test]
    fn a_name_that_others_give_out_is_not_ours() {
        for (host, is_own) in [
            ("127.0.0.1:12346", true),
            ("[::1]:12346", true),
            ("[::1]", true),
            ("localhost", true),
            ("LocalHost:80", true),
            ("spoa.localhost:80", true),
            ("rebound.example:12346", false),
            ("127.0.0.1.example", false),
            ("", false),
        ] {
            let value = HeaderValue::from_str(host).unwrap();
            assert_eq!(is_own_name(&value), is_own, "{host}");
        }
    }
}
