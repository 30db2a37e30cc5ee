//! The report for people.

use std::fmt::Write as _;

use crate::plan::{Load, Plan};
use crate::process::Usage;
use crate::report::percentiles;
use crate::run::Outcome;
use crate::units::{bytes, float, ratio, thousands, time};

/// Above this share of its threads' time the load is what limits a closed loop.
const BUSY: f64 = 0.95;

pub(crate) fn report(plan: &Plan, outcome: &Outcome) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = head(&mut out, plan, outcome);
    let _ = match plan.load {
        Load::Idle => idle(&mut out, outcome),
        _ => load(&mut out, plan, outcome),
    };
    let _ = errors(&mut out, outcome);
    out
}

fn head(out: &mut String, plan: &Plan, outcome: &Outcome) -> std::fmt::Result {
    let connections = thousands(plan.connections as u64);
    let shape = match plan.load {
        Load::Closed { depth } => format!("{connections} connections x {depth} in flight"),
        Load::Open { rate, .. } => {
            format!("{} NOTIFYs/s on {connections} connections", thousands(rate))
        }
        Load::Idle => format!("{connections} idle connections"),
    };
    let again = plan
        .reconnect
        .map(|n| format!(", {n} requests each"))
        .unwrap_or_default();
    let seconds = outcome.elapsed.as_secs_f64();
    let early = if outcome.cut_short { ", cut short" } else { "" };
    writeln!(
        out,
        "{}: {shape}{again}, {} threads, {seconds:.2} s{early}",
        plan.target, plan.threads
    )
}

fn load(out: &mut String, plan: &Plan, outcome: &Outcome) -> std::fmt::Result {
    let meter = &outcome.meter;
    let seconds = outcome.elapsed.as_secs_f64();
    let rate = ratio(float(meter.answered), seconds);
    writeln!(
        out,
        "  answered  {} NOTIFYs, {rate:.0}/s",
        thousands(meter.answered)
    )?;
    if !meter.latency.is_empty() {
        out.push_str("  latency ");
        for (name, value) in percentiles(&meter.latency) {
            write!(out, "  {name} {}", time(value))?;
        }
        let from = match plan.load {
            Load::Open { .. } => "the moment a NOTIFY was due",
            _ => "the write of a NOTIFY",
        };
        writeln!(
            out,
            "\n            from {from} to the end of the read that brought its ACK"
        )?;
    }
    if plan.reconnect.is_some() {
        out.push_str("  handshake");
        for (name, value) in percentiles(&meter.handshake) {
            write!(out, "  {name} {}", time(value))?;
        }
        writeln!(out, ", {} of them", thousands(meter.handshake.len()))?;
    }
    if meter.unsent > 0 {
        let unsent = thousands(meter.unsent);
        writeln!(
            out,
            "  behind    {unsent} NOTIFYs were due and could not be sent in time"
        )?;
    }
    if let (Some(agent), Some(pid)) = (&outcome.agent, plan.pid) {
        writeln!(out, "  agent     {}, process {pid}", usage(agent, outcome))?;
    }
    writeln!(out, "  load      {}", usage(&outcome.own, outcome))?;
    let busy = float(outcome.own.cpu_ns) / 1e9 / seconds / float(plan.threads as u64);
    if matches!(plan.load, Load::Closed { .. }) && busy > BUSY {
        writeln!(
            out,
            "  note      the load threads were always busy: the rate may be their own"
        )?;
    }
    Ok(())
}

/// CPU, memory and switches of a process.
fn usage(usage: &Usage, outcome: &Outcome) -> String {
    let answered = float(outcome.meter.answered);
    let each = ratio(float(usage.cpu_ns), answered) / 1e3;
    let cores = float(usage.cpu_ns) / 1e9 / outcome.elapsed.as_secs_f64() * 100.0;
    let user = ratio(float(usage.user_ns), float(usage.user_ns + usage.system_ns)) * 100.0;
    format!(
        "{each:.3} µs of CPU per NOTIFY ({user:.0} % user), {cores:.0} % of a core, {}, \
         {} voluntary and {} involuntary switches",
        bytes(usage.resident),
        thousands(usage.switches_voluntary),
        thousands(usage.switches_involuntary),
    )
}

fn idle(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(out, "  open      {} connections", thousands(outcome.open))?;
    if let (Some(before), Some(agent)) = (outcome.resident_before, &outcome.agent) {
        let each = ratio(
            float(agent.resident.saturating_sub(before)),
            float(outcome.open),
        );
        writeln!(
            out,
            "  agent     {} resident, {} before: {each:.0} bytes for each connection",
            bytes(agent.resident),
            bytes(before),
        )?;
        let cpu = float(agent.cpu_ns) / 1e6;
        writeln!(out, "            {cpu:.3} ms of CPU while they were idle")?;
    }
    Ok(())
}

fn errors(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    if outcome.is_clean() {
        return writeln!(out, "  errors    none");
    }
    for entry in outcome.meter.tally.entries() {
        write!(out, "  ERROR     {} {}", thousands(entry.count), entry.kind)?;
        match entry.first.as_str() {
            "" => writeln!(out)?,
            first => writeln!(out, " ({first})")?,
        }
    }
    Ok(())
}
