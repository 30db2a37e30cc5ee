//! Values that are text, on the command line and in the configuration file alike.

use core::time::Duration;

use serde::Deserialize;

use haproxy_spoa::allowed_cores;

/// The most workers that can be asked for.
const WORKERS_MAX: usize = 1024;
/// The highest core number that can be asked for.
const CORE_MAX: usize = 4095;

/// How many workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core that the process may use.
    Auto,
    /// This many.
    Count(usize),
}

impl Workers {
    /// The number, which for [`Workers::Auto`] depends on the machine.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::Auto => allowed_cores().len().max(1),
            Self::Count(count) => count,
        }
    }
}

/// When something that not every machine can do is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// If it can be done.
    Auto,
    /// Without it nothing is done.
    Require,
    /// Never.
    Off,
}

impl When {
    /// What these are called.
    pub const NAMES: [&str; 3] = ["auto", "require", "off"];
}

/// `auto`, `require` or `off`.
///
/// # Errors
/// What was expected.
pub fn when(text: &str) -> Result<When, String> {
    match text {
        "auto" => Ok(When::Auto),
        "require" => Ok(When::Require),
        "off" => Ok(When::Off),
        _ => Err("expected auto, require or off".into()),
    }
}

/// `auto`, or 1 to 1024.
///
/// # Errors
/// What was expected.
pub fn workers(text: &str) -> Result<Workers, String> {
    if text == "auto" {
        return Ok(Workers::Auto);
    }
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=WORKERS_MAX).contains(count));
    count
        .map(Workers::Count)
        .ok_or_else(|| format!("expected 1 to {WORKERS_MAX}, or auto"))
}

/// A list of cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores(pub Vec<usize>);

/// `0-3,8`, as in taskset and in HAProxy's cpu-map.
///
/// # Errors
/// What was expected.
pub fn cores(text: &str) -> Result<Cores, String> {
    let bad = || format!("expected numbers and ranges up to {CORE_MAX}, such as 0-3,8");
    let number = |text: &str| text.parse::<usize>().ok().filter(|core| *core <= CORE_MAX);
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(bad());
        };
        if first > last {
            return Err(bad());
        }
        cores.extend(first..=last);
    }
    Ok(Cores(cores))
}

/// A time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaybeDuration(pub Option<Duration>);

/// `off`, or a time.
///
/// # Errors
/// What was expected.
pub fn maybe_duration(text: &str) -> Result<MaybeDuration, String> {
    if text == "off" {
        return Ok(MaybeDuration(None));
    }
    let given = duration(text).map_err(|error| format!("{error}; or off"))?;
    Ok(MaybeDuration(Some(given)))
}

/// A time above zero with its unit, as HAProxy writes it (configuration manual, section 2.5). HAProxy takes
/// a number without a unit as milliseconds, or as seconds for some options; here it is an error.
///
/// # Errors
/// What was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_us = match unit {
        "us" => Some(1),
        "ms" => Some(1_000),
        "s" => Some(1_000_000),
        "m" => Some(60_000_000),
        "h" => Some(3_600_000_000),
        "d" => Some(86_400_000_000),
        _ => None,
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    if let (Some(number), "") = (number, unit) {
        return Err(format!(
            "expected a unit: {number}ms, {number}s, {number}m, {number}h or {number}d"
        ));
    }
    // A year is longer than any of these times makes sense.
    let us = number
        .zip(unit_us)
        .and_then(|(number, unit): (u64, u64)| number.checked_mul(unit));
    us.filter(|us| *us <= 365 * 86_400_000_000)
        .map(Duration::from_micros)
        .ok_or_else(|| "expected a time above zero, such as 500us, 10ms, 5s, 2m, 1h or 1d".into())
}

/// Permission bits in octal.
///
/// # Errors
/// What was expected.
pub fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "expected three octal digits, such as 660".into())
}

/// 1 or more.
///
/// # Errors
/// What was expected.
pub fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| "expected 1 or more".into())
}

/// Bytes: a number, or one with k, M or G (of 1024), `KiB` and the like.
///
/// # Errors
/// What was expected.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" => Some(0),
        "k" | "kb" | "kib" => Some(10),
        "m" | "mb" | "mib" => Some(20),
        "g" | "gb" | "gib" => Some(30),
        _ => None,
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    number
        .zip(shift)
        .and_then(|(number, shift)| number.checked_mul(1 << shift))
        .ok_or_else(|| "expected a number of bytes above zero, such as 4096, 64k, 512MiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_1024() {
        for (text, count) in [
            ("1", 1),
            ("64k", 65_536),
            ("2 MiB", 2 << 20),
            ("1G", 1 << 30),
        ] {
            assert_eq!(bytes(text), Ok(count), "{text}");
        }
        for text in ["", "0", "-1", "1.5M", "M", "1T", "99999999999G"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_haproxys() {
        for (text, us) in [("500us", 500), ("10ms", 10_000), ("2m", 120_000_000)] {
            assert_eq!(duration(text), Ok(Duration::from_micros(us)));
        }
        for text in [
            "",
            "ms",
            "0",
            "10",
            "-1s",
            "1 s",
            "1.5s",
            "10sec",
            "99999999999d",
            "off",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(maybe_duration("off"), Ok(MaybeDuration(None)));
        assert!(maybe_duration("0").is_err());
    }

    #[test]
    fn cores_are_numbers_and_ranges() {
        assert_eq!(cores("0-2,8,1"), Ok(Cores(vec![0, 1, 2, 8, 1])));
        for text in ["", ",", "a", "3-1", "1-", "-1", "0-99999"] {
            assert!(cores(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_modes_have_bounds() {
        assert_eq!(workers("auto"), Ok(Workers::Auto));
        assert_eq!(workers("1024"), Ok(Workers::Count(1024)));
        for text in ["0", "1025", "-1", "five", ""] {
            assert!(workers(text).is_err(), "{text}");
        }
        assert_eq!(mode("600"), Ok(0o600));
        for text in ["", "8", "1777", "rw"] {
            assert!(mode(text).is_err(), "{text}");
        }
        assert!(positive("0").is_err());
    }
}
