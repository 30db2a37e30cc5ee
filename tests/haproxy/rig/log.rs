//! What HAProxy logs, as the sample configurations make it.

/// A line about a request or connection: `127.0.0.2:4000 www ... score=17 error=- ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// `address:port`.
    pub(crate) client: String,
    pub(crate) score: Option<u32>,
    pub(crate) error: Option<u32>,
    /// What some samples log besides, as it stands there.
    line: String,
}

impl Traffic {
    /// Reads a line; `None` if it is about something else.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let (client, _) = line.split_once(' ')?;
        Some(Self {
            client: client.to_owned(),
            score: value(line, " score=")?.parse().ok(),
            error: value(line, " error=")?.parse().ok(),
            line: line.to_owned(),
        })
    }

    /// What stands behind `name=`; `-` is nothing.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        value(&self.line, &format!(" {name}=")).filter(|value| *value != "-")
    }
}

/// The value behind a name. It is `-` where there is none.
fn value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(name)?;
    rest.split(' ').next()
}

/// The status of a line about an event or group of a SPOE engine: `SPOE: [agent] <EVENT:...> sid=1
/// st=0 ...`. What follows differs between versions.
pub(crate) fn spoe_status(line: &str) -> Option<u32> {
    let rest = line.strip_prefix("SPOE: [")?;
    value(rest, " st=")?.parse().ok()
}
