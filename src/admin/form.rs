//! `/form`: what the status page's forms do, for browsers without a script as well.
//!
//! Another site can have a browser send a form. So a form must contain a key that only a page of this process
//! shows, and the headers with which browsers name the site of a form must name this one. Over TCP the form
//! contains the token too. A host name that is not this machine's is refused (DNS rebinding).

use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderValue};

use super::decisions;
use super::reply::{Kind, Reply, Whole, line, reply};
use super::routes::{AdminState, is_own_name, value_of};

/// The longest form, in bytes.
const FORM_MAX: usize = 16 * 1024;
/// The origin of decisions that are made here.
const ORIGIN: &str = "page";

/// How forms of the page are sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forms<'a> {
    pub(super) key: &'a str,
    pub(super) needs_token: bool,
}

impl AdminState {
    /// None: commands are not allowed here at all.
    pub(super) fn forms(&self) -> Option<Forms<'_>> {
        let is_allowed = (self.is_unix || self.token.is_some()) && !self.form_key.is_empty();
        is_allowed.then_some(Forms {
            key: &self.form_key,
            needs_token: !self.is_unix,
        })
    }

    /// Why a form is not obeyed, if it is not.
    fn forbids_form(&self, headers: &HeaderMap, form: &str) -> Option<&'static str> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|it: &HeaderValue| it.to_str().ok())
        };
        let host = headers.get(header::HOST);
        if !host.is_none_or(is_own_name) {
            return Some("the host name of the page is not one of this machine; use localhost");
        }
        let site = text("sec-fetch-site");
        let origin = text("origin").map(|it| it.split_once("://").map_or("", |(_, host)| host));
        let is_foreign = site.is_some_and(|site| site != "same-origin")
            || origin.is_some_and(|origin| Some(origin) != text("host"));
        if is_foreign {
            return Some("the form is of another site");
        }
        let given = |key| value_of(key, form).unwrap_or_default();
        let Some(forms) = self.forms() else {
            return Some("commands take a UNIX socket, or a token: --admin-token");
        };
        if !is_same(forms.key, &given("key")) {
            return Some("the page is of an earlier process; load it again");
        }
        let token = format!("Bearer {}", given("token"));
        let is_known = |own: &super::Token| own.is_in(token.as_bytes());
        if forms.needs_token && !self.token.as_ref().is_some_and(is_known) {
            return Some("the token is wrong");
        }
        None
    }
}

/// Does what a form says, and shows the page again.
pub(super) async fn submit<B>(
    office: &AdminState,
    peer: &str,
    headers: &HeaderMap,
    body: B,
) -> Reply
where
    B: Body<Data = Bytes> + Unpin,
{
    let form = decisions::collect(body, FORM_MAX).await;
    let Some(form) = form.and_then(|form| String::from_utf8(form).ok()) else {
        return line(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long");
    };
    if let Some(why) = office.forbids_form(headers, &form) {
        return line(StatusCode::FORBIDDEN, why);
    }
    let given = |key| value_of(key, &form).map(|it| it.trim().to_owned());
    let done = if given("do").as_deref() == Some("unban") {
        decisions::delete(office, peer, Some(&form)).await
    } else {
        let mut element = serde_json::json!({
            "type": given("do"), "value": given("value"), "reason": given("reason"),
            "origin": ORIGIN, "exact": given("exact").is_some(),
        });
        let duration = given("for").filter(|it| !it.is_empty());
        if let (Some(object), Some(duration)) = (element.as_object_mut(), duration) {
            object.insert("for".to_owned(), duration.into());
        }
        let body = serde_json::Value::Array(vec![element]).to_string();
        decisions::put(office, peer, Whole::new(body)).await
    };
    if done.status() != StatusCode::OK {
        let why = reasons(&done.body().text());
        return line(done.status(), why);
    }
    let mut back = reply(StatusCode::SEE_OTHER, Kind::Text, "done\n");
    let page = HeaderValue::from_static("/?decisions=");
    back.headers_mut().insert(header::LOCATION, page);
    back
}

/// What is wrong, of each element.
fn reasons(body: &str) -> String {
    let body_of = serde_json::from_str::<serde_json::Value>(body).ok();
    let errors = body_of.as_ref().and_then(|it| it.get("errors")?.as_array());
    let texts = errors.into_iter().flatten();
    let texts: Vec<_> = texts.filter_map(|it| it.get("error")?.as_str()).collect();
    if texts.is_empty() {
        body.trim().to_owned()
    } else {
        texts.join("; ")
    }
}

/// How long this takes tells nothing of where they differ.
fn is_same(own: &str, brought: &str) -> bool {
    let pairs = own.bytes().zip(brought.bytes());
    let difference = pairs.fold(0, |all, (own, brought)| all | (own ^ brought));
    own.len() == brought.len() && core::hint::black_box(difference) == 0
}
