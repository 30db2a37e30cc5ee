//! Values of the configuration file, each checked where it is read, so that an error knows its place.

use core::fmt;
use core::marker::PhantomData;
use core::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

use super::values::{self, Cores, MaybeDuration, Workers};

/// A visitor for a value that has a text, and perhaps a number, to be read from.
struct Reading<T> {
    expected: &'static str,
    text: fn(&str) -> Result<T, String>,
    number: fn(u64) -> Option<T>,
    kind: PhantomData<T>,
}

impl<T> Visitor<'_> for Reading<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.text)(text).map_err(|why| E::custom(format_args!("\"{text}\": {why}")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        let read = u64::try_from(number).ok().and_then(self.number);
        read.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

fn text<'de, D, T>(
    from: D,
    expected: &'static str,
    text: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
{
    from.deserialize_any(Reading {
        expected,
        text,
        number: |_| None,
        kind: PhantomData,
    })
}

/// A time above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a time such as \"5s\", \"10m\" or \"1d\"", |text| {
            values::duration(text).map(Time)
        })
    }
}

impl<'de> Deserialize<'de> for MaybeDuration {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(
            from,
            "a time such as \"5s\", or \"off\"",
            values::maybe_duration,
        )
    }
}

impl<'de> Deserialize<'de> for Cores {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a list of cores such as \"0-3,8\"", values::cores)
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reading {
            expected: "a number from 1 to 1024, or \"auto\"",
            text: values::workers,
            number: |number| values::workers(&number.to_string()).ok(),
            kind: PhantomData,
        })
    }
}

/// Permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "octal digits as text, such as \"660\"", |text| {
            values::mode(text).map(Mode)
        })
    }
}

/// A number of bytes above zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reading {
            expected: "a number of bytes above zero, such as 4096 or \"64MiB\"",
            text: |text| values::bytes(text).map(Bytes),
            number: |number| (number > 0).then_some(Self(number)),
            kind: PhantomData,
        })
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Within<const MIN: u32, const MAX: u32>(pub(super) u32);

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(from)?;
        let fits = u32::try_from(number)
            .ok()
            .filter(|it| (MIN..=MAX).contains(it));
        fits.map(Self).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{number}: expected a number from {MIN} to {MAX}"
            ))
        })
    }
}

/// A number from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio(pub(super) f64);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number;
        impl Number {
            fn within<E: Error>(number: f64) -> Result<Ratio, E> {
                if (0.0..=1.0).contains(&number) {
                    return Ok(Ratio(number));
                }
                Err(E::custom(format_args!(
                    "{number}: expected a number from 0 to 1"
                )))
            }
        }
        impl Visitor<'_> for Number {
            type Value = Ratio;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Ratio, E> {
                Self::within(number)
            }

            #[expect(clippy::cast_precision_loss, reason = "only 0 and 1 are accepted")]
            fn visit_i64<E: Error>(self, number: i64) -> Result<Ratio, E> {
                Self::within(number as f64)
            }
        }
        from.deserialize_any(Number)
    }
}

/// A text that is not empty, without control characters, such as names have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(pub(super) String);

/// The longest name of anything, in bytes.
const NAME_MAX: usize = 128;

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text(from, "a name", |text| {
            let fits = !text.is_empty() && text.len() <= NAME_MAX;
            if fits && !text.contains(char::is_control) && text.trim() == text {
                return Ok(Self(text.to_owned()));
            }
            Err(format!(
                "expected a name of 1 to {NAME_MAX} bytes, without blanks around it"
            ))
        })
    }
}
