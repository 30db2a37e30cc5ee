//! The status page: one document, made here, that a small script replaces the figures of every second.
//! Without the script it is all there, and refreshes itself.

mod html;
mod live;
mod plot;
mod sections;
mod show;

use core::fmt::Write as _;
use core::net::IpAddr;
use std::sync::Arc;

use rand::TryRng as _;
use rand::rngs::SysRng;

use super::figures::Figures;
use super::form::Forms;
use super::history::Sample;
use crate::feeds::explain::Explanation;
use html::Text;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A document, and what its Content-Security-Policy has to allow.
pub(super) struct Page {
    pub(super) html: String,
    pub(super) policy: String,
}

/// The part of the page that moves.
pub(super) fn figures(figures: &Figures, samples: &[Sample]) -> String {
    sections::sections(figures, samples)
}

/// What a request wants of the page.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked<'a> {
    /// The address to be explained.
    pub(super) address: Option<&'a str>,
    /// Live decisions are to be searched: for this address, or all.
    pub(super) decisions: Option<&'a str>,
    /// None: commands are not allowed.
    pub(super) forms: Option<Forms<'a>>,
}

/// The page.
pub(super) fn page(figures: &Arc<Figures>, samples: &[Sample], asked: Asked<'_>) -> Page {
    let nonce = nonce();
    let mut html = String::with_capacity(64 * 1024);
    // A refresh would remove what is being typed.
    let refreshes = asked.address.is_none() && asked.decisions.is_none();
    head(&mut html, &nonce, refreshes);
    if let Some(search) = asked.decisions {
        live::decisions(&mut html, figures, search, asked.forms);
    }
    html.push_str("<div id=\"figures\">");
    html.push_str(&self::figures(figures, samples));
    html.push_str("</div>");
    lookup(&mut html, figures, asked.address);
    // Writing to a String cannot fail.
    let _ = writeln!(
        html,
        "</main><footer><p>Also here: <a href=\"/metrics\">/metrics</a> for Prometheus, \
         <a href=\"/status.json\">/status.json</a>, <a href=\"/histogram\">/histogram</a>, \
         <a href=\"/healthz\">/healthz</a> and <a href=\"/readyz\">/readyz</a>.</p></footer>\
         <script nonce=\"{nonce}\">{SCRIPT}</script></body></html>"
    );
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    Page { html, policy }
}

fn head(html: &mut String, nonce: &str, refreshes: bool) {
    let refresh = if refreshes {
        "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>"
    } else {
        ""
    };
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>spoa</title>\
         <link rel=\"icon\" href=\"data:,\">\
         {refresh}<style nonce=\"{nonce}\">{STYLE}</style></head><body>\
         <header><h1>spoa <small>{version}</small></h1>\
         <label hidden><input type=\"checkbox\" id=\"live\" checked> live</label></header>\
         <main><p class=\"note bad\" id=\"note\" role=\"alert\" hidden></p>",
        version = env!("CARGO_PKG_VERSION"),
    );
}

/// The box that explains an address.
fn lookup(html: &mut String, figures: &Figures, asked: Option<&str>) {
    let value = Text(asked.unwrap_or_default());
    let _ = write!(
        html,
        "<section><h2><label for=\"address\">Explain an address</label></h2>\
         <form method=\"get\" action=\"/\"><input id=\"address\" name=\"address\" value=\"{value}\" \
         placeholder=\"192.0.2.1 or 2001:db8::1\" autocomplete=\"off\" autocapitalize=\"off\" \
         spellcheck=\"false\" maxlength=\"64\" required><button>Explain</button></form>"
    );
    if let Some(asked) = asked {
        let answer = explanation(figures, asked);
        let _ = write!(
            html,
            "<pre id=\"answer\" tabindex=\"0\">{}</pre>",
            Text(answer)
        );
    }
    html.push_str("</section>");
}

/// What `spoa lookup` says of an address.
pub(super) fn explanation(figures: &Figures, asked: &str) -> String {
    match explained(figures, asked) {
        Ok(text) | Err(text) => text,
    }
}

/// The same; an error says why there is no explanation.
pub(super) fn explained(figures: &Figures, asked: &str) -> Result<String, String> {
    let asked = asked.trim();
    let Ok(address) = asked.parse::<IpAddr>() else {
        return Err(format!("\"{asked}\" is not an IPv4 or IPv6 address"));
    };
    let random = || "scores are random here; there is nothing to explain".to_owned();
    let (_, published) = figures.subject.engine.as_ref().ok_or_else(random)?;
    let policy = published.current();
    let mut explanation = Explanation::of(&policy, address, figures.now).ok_or_else(random)?;
    if let Some(live) = &figures.subject.live {
        let covering = live.covering_any(policy.targets(address));
        explanation = explanation.with_live(&policy, &covering, figures.now);
    }
    let mut text = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = explanation.write(&mut text);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A number that nobody can guess: only what brings it is run, or obeyed.
pub(super) fn nonce() -> String {
    let (high, low) = (SysRng.try_next_u64(), SysRng.try_next_u64());
    // Without randomness nothing may be run: no number is the right one.
    match (high, low) {
        (Ok(high), Ok(low)) => format!("{high:016x}{low:016x}"),
        _ => String::new(),
    }
}
