//! The last line of Spamhaus's JSON lists, which says how many records there are.
//!
//! ```text
//!  {"type":"metadata","timestamp":1796083200,"size":57,"records":1}
//! ```

use serde_json::Value;

use super::Refused;
use super::item::Expected;
use super::moment;
use super::output::Output;

const RECORDS: Expected = "metadata with \"records\"";

/// What the metadata of a list has said so far.
#[derive(Debug, Default)]
pub(super) struct Trailer {
    /// Records when the last metadata came.
    lines_at_end: Option<u64>,
}

impl Trailer {
    /// Takes a line of metadata.
    pub(super) fn take(
        &mut self,
        line: u64,
        records: Option<u64>,
        timestamp: Option<&Value>,
        output: &mut Output<'_>,
    ) -> Result<(), Expected> {
        let records = records.ok_or(RECORDS)?;
        output.skip();
        let report = &mut output.report;
        report.declared = Some(report.declared.unwrap_or(0).saturating_add(records));
        let made = timestamp.and_then(made);
        if timestamp.is_some() && made.is_none() {
            report.note(format!(
                "line {line}: its timestamp is no time in whole seconds"
            ));
        }
        report.as_of = report.as_of.into_iter().chain(made).min();
        self.lines_at_end = Some(report.lines);
        Ok(())
    }

    /// Fails if part of the list is missing. Nothing at all is not cut short but empty.
    pub(super) fn is_whole(&self, output: &Output<'_>) -> Result<(), Refused> {
        let report = &output.report;
        let (declared, found) = (report.declared, report.lines);
        let is_whole = match declared {
            Some(declared) => declared <= found && self.lines_at_end == Some(found),
            None => found == 0,
        };
        if is_whole {
            return Ok(());
        }
        let declared = declared.filter(|declared| *declared > found);
        Err(Refused::Truncated { declared, found })
    }
}

/// When the list was made, in seconds since 1970.
fn made(timestamp: &Value) -> Option<u32> {
    match timestamp {
        Value::String(text) => moment::rfc3339_or_epoch(text).ok().flatten(),
        number => u32::try_from(number.as_u64()?).ok(),
    }
}
