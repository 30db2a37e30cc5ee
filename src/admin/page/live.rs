//! Live decisions on the page: a tile, the newest, a search, and forms that ban and unban.

use core::fmt::Write as _;
use core::time::Duration;

use super::html::Text;
use super::sections::{table, tile as a_tile};
use super::show;
use crate::admin::figures::Figures;
use crate::admin::form::Forms;
use crate::live::{Decision, Live, Target, parse_target};
use ip_reputation::Prefix;

/// Decisions among the figures that move.
const NEWEST: usize = 10;
/// Decisions that a search shows.
const FOUND_MAX: usize = 200;
/// The length of an IPv6 prefix that is exactly the address.
const EXACT: u8 = 128;

fn live(figures: &Figures) -> Option<&Live> {
    let live = figures.subject.live.as_ref();
    live.filter(|live| live.options().is_some())
}

pub(super) fn tile(html: &mut String, figures: &Figures) {
    let Some(live) = live(figures) else { return };
    let all: u64 = live.counts().values().sum();
    let counters = live.counters();
    let note = if counters.stored {
        format!("{} changes", show::count(counters.changes))
    } else {
        "in memory only: the store cannot be written".to_owned()
    };
    a_tile(html, "Live decisions", show::count(all), note);
    if live.has_behavior() {
        let note = format!("{} banned for it", show::count(counters.behavior_bans));
        let addresses = show::count(counters.addresses);
        a_tile(html, "Addresses with points", addresses, note);
    }
}

/// The newest decisions, among what moves.
pub(super) fn newest(html: &mut String, figures: &Figures) {
    let Some(live) = live(figures) else { return };
    html.push_str("<section><h2>Live decisions</h2>");
    let newest = live.newest(NEWEST);
    if newest.is_empty() {
        html.push_str("<p class=\"none\">None.</p>");
    } else {
        rows(html, &newest, figures.now, None);
    }
    html.push_str(
        "<p class=\"facts\"><a href=\"/?decisions=\">Search, ban and unban</a></p></section>",
    );
}

/// A search, what it finds, and forms.
pub(super) fn decisions(
    html: &mut String,
    figures: &Figures,
    search: &str,
    forms: Option<Forms<'_>>,
) {
    let Some(live) = live(figures) else {
        html.push_str(
            "<section><h2>Live decisions</h2><p class=\"none\">They are off: the configuration \
             has no [live].</p></section>",
        );
        return;
    };
    let search = search.trim();
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<section><h2><label for=\"decisions\">Live decisions</label></h2>\
         <form method=\"get\" action=\"/\"><input id=\"decisions\" name=\"decisions\" value=\"{}\" \
         placeholder=\"an address or a network; empty: the newest\" autocomplete=\"off\" \
         maxlength=\"64\"><button>Search</button></form>",
        Text(search)
    );
    match found(live, search) {
        Err(why) => {
            let _ = write!(html, "<p class=\"note bad\">{}</p>", Text(why));
        }
        Ok(found) if found.is_empty() => html.push_str("<p class=\"none\">None.</p>"),
        Ok(found) => rows(html, &found, figures.now, forms),
    }
    html.push_str("</section>");
    match forms {
        Some(forms) => ban(html, search, forms),
        None => html.push_str(
            "<section><h2>Ban</h2><p class=\"none\">Commands are not allowed here: they take a UNIX \
             socket, or a token (--admin-token).</p></section>",
        ),
    }
}

/// What covers a prefix and what lies in it, or the newest.
fn found(live: &Live, search: &str) -> Result<Vec<Decision>, String> {
    if search.is_empty() {
        return Ok(live.newest(FOUND_MAX));
    }
    let target = parse_target(search, EXACT).map_err(|error| error.to_string())?;
    let mut found = live.covering(target);
    if let Some(prefix) = target.prefix().filter(|it| !is_host(*it)) {
        let is_within = |it: &Decision| {
            let inner = it.target.prefix();
            it.target != target && inner.is_some_and(|inner| prefix.contains(inner.network()))
        };
        found.extend(live.list(is_within));
    }
    found.sort_by_key(|it| core::cmp::Reverse(it.created));
    found.truncate(FOUND_MAX);
    Ok(found)
}

fn is_host(prefix: Prefix) -> bool {
    prefix == Prefix::host(prefix.network())
}

fn rows(html: &mut String, decisions: &[Decision], now: u32, forms: Option<Forms<'_>>) {
    let columns = [
        ("t", "type"),
        ("t", "value"),
        ("t", "origin"),
        ("t", "node"),
        ("t", "reason"),
        ("", "made"),
        ("", "left"),
        ("t", ""),
    ];
    let columns = columns.get(..if forms.is_some() { 8 } else { 7 });
    table(
        html,
        "Live decisions",
        columns.unwrap_or_default(),
        |html| {
            for it in decisions {
                let class = match it.kind {
                    crate::live::Kind::Ban => "bad",
                    crate::live::Kind::Challenge => "warn",
                    crate::live::Kind::Allow => "good",
                };
                let left = Duration::from_secs(it.until.saturating_sub(now).into());
                let _ = write!(
                    html,
                    "<tr><td class=\"t\"><span class=\"badge {class}\">{}</span></td>\
                 <th scope=\"row\" class=\"t\">{}</th>\
                 <td class=\"t\">{}</td><td class=\"t\">{}</td><td class=\"t wide\">{}</td>\
                 <td>{}</td><td>{}</td>",
                    it.kind,
                    Linked(it.target),
                    Text(&it.origin),
                    Text(&it.node),
                    Text(&it.reason),
                    show::ago(Some(it.created), now),
                    show::span(left),
                );
                if let Some(forms) = forms {
                    html.push_str("<td class=\"t\"><form method=\"post\" action=\"/form\">");
                    hidden(html, "do", "unban");
                    hidden(html, "value", &it.target.to_string());
                    hidden(html, "exact", "1");
                    key(html, forms);
                    let _ = write!(
                        html,
                        "<button aria-label=\"Unban {}\">Unban</button></form></td>",
                        it.target
                    );
                }
                html.push_str("</tr>");
            }
        },
    );
}

/// The value of a decision; a prefix leads to the explanation of its first address.
struct Linked(Target);

impl core::fmt::Display for Linked {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Target::Prefix(prefix) => {
                let address = prefix.network();
                write!(f, "<a href=\"/?address={address}\">{prefix}</a>")
            }
            place => place.fmt(f),
        }
    }
}

fn hidden(html: &mut String, name: &str, value: &str) {
    let value = Text(value);
    let _ = write!(
        html,
        "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
    );
}

fn key(html: &mut String, forms: Forms<'_>) {
    hidden(html, "key", forms.key);
    if forms.needs_token {
        html.push_str(
            "<input type=\"password\" name=\"token\" placeholder=\"token\" aria-label=\"token\" \
             autocomplete=\"current-password\" required>",
        );
    }
}

fn ban(html: &mut String, search: &str, forms: Forms<'_>) {
    let _ = write!(
        html,
        "<section><h2>Ban, challenge or allow</h2><form method=\"post\" action=\"/form\">\
         <select name=\"do\" aria-label=\"type\"><option>ban</option><option>challenge</option>\
         <option>allow</option></select>\
         <input name=\"value\" value=\"{}\" aria-label=\"address or network\" \
         placeholder=\"192.0.2.1 or 2001:db8::/48\" autocomplete=\"off\" maxlength=\"64\" required>\
         <input name=\"for\" aria-label=\"for\" placeholder=\"for, such as 1h\" maxlength=\"16\">\
         <input name=\"reason\" aria-label=\"reason\" placeholder=\"reason\" maxlength=\"256\">\
         <label><input type=\"checkbox\" name=\"exact\" value=\"1\"> exactly this IPv6 address</label>",
        Text(search)
    );
    key(html, forms);
    html.push_str("<button>Do it</button></form></section>");
}
