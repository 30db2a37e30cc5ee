//! The report as JSON. Names end in their unit.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use crate::plan::{Load, Plan};
use crate::process::Usage;
use crate::report::percentiles;
use crate::run::Outcome;
use crate::units;

/// One line.
pub(crate) fn report(plan: &Plan, outcome: &Outcome) -> String {
    let meter = &outcome.meter;
    let seconds = outcome.elapsed.as_secs_f64();
    let (mode, rate) = match plan.load {
        Load::Closed { .. } => ("closed", 0),
        Load::Open { rate, .. } => ("open", rate),
        Load::Idle => ("idle", 0),
    };
    let mut json = Object::new();
    json.text("version", env!("CARGO_PKG_VERSION"));
    json.text("label", &plan.label);
    json.text("agent", &plan.target.to_string());
    json.text("mode", mode);
    json.number("connections", plan.connections as u64);
    json.number("depth", plan.depth() as u64);
    json.number("threads", plan.threads as u64);
    json.number("rate", rate);
    json.number("reconnect", plan.reconnect.unwrap_or(0));
    json.number("connections_open", outcome.open);
    json.real("seconds", seconds);
    json.number("answered", meter.answered);
    json.real(
        "notifys_per_second",
        units::ratio(units::float(meter.answered), seconds),
    );
    json.number("unsent", meter.unsent);
    json.raw("latency_ns", &histogram(&meter.latency));
    json.raw("handshake_ns", &histogram(&meter.handshake));
    json.raw("errors", &errors(outcome));
    json.raw("complete", if outcome.cut_short { "false" } else { "true" });
    if let Some(agent) = &outcome.agent {
        json.raw("agent_usage", &usage(agent, outcome));
    }
    if let Some(resident) = outcome.resident_before {
        json.number("agent_resident_before_bytes", resident);
    }
    json.raw("own_usage", &usage(&outcome.own, outcome));
    json.end()
}

fn histogram(histogram: &Histogram<u64>) -> String {
    let mut json = Object::new();
    json.number("count", histogram.len());
    json.real("mean", histogram.mean());
    for (name, value) in percentiles(histogram) {
        json.number(name, value);
    }
    json.end()
}

fn errors(outcome: &Outcome) -> String {
    let mut json = Object::new();
    for entry in outcome.meter.tally.entries() {
        json.number(entry.kind.name(), entry.count);
    }
    json.end()
}

fn usage(usage: &Usage, outcome: &Outcome) -> String {
    let answered = units::float(outcome.meter.answered);
    let mut json = Object::new();
    json.number("cpu_ns", usage.cpu_ns);
    json.number("user_ns", usage.user_ns);
    json.number("system_ns", usage.system_ns);
    json.real(
        "cpu_ns_per_notify",
        units::ratio(units::float(usage.cpu_ns), answered),
    );
    json.number("switches_voluntary", usage.switches_voluntary);
    json.number("switches_involuntary", usage.switches_involuntary);
    json.number("resident_bytes", usage.resident);
    json.end()
}

/// A JSON object being written.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(name, &mut self.0);
        self.0.push(':');
        self.0.push_str(value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// JSON knows no NaN and no infinity.
    fn real(&mut self, name: &str, value: f64) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.raw(name, &format!("{value:.3}"));
    }

    fn text(&mut self, name: &str, value: &str) {
        let mut quoted = String::new();
        quote(value, &mut quoted);
        self.raw(name, &quoted);
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A string as RFC 8259, section 7 wants it.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // Writing into a String cannot fail.
            ..' ' => drop(write!(out, "\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        let mut json = Object::new();
        json.text("a\"b", "\\ \n\u{1f} µ");
        json.real("x", f64::NAN);
        json.number("y", u64::MAX);
        assert_eq!(
            json.end(),
            r#"{"a\"b":"\\ \u000a\u001f µ","x":0.000,"y":18446744073709551615}"#
        );
        assert_eq!(Object::new().end(), "{}");
    }
}
