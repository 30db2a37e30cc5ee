//! How the document is taken apart as it comes: serde's side of it.

use core::cell::Cell;
use core::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{Listed, Scalar};
use crate::formats::moment;
use crate::formats::output::Output;
use crate::formats::report::excerpt;

/// The whole document.
pub(super) struct Document<'d, 'o> {
    pub(super) output: &'d mut Output<'o>,
    pub(super) since_object: &'d Cell<usize>,
}

/// What was in it besides entries.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) has_data: bool,
    /// What AbuseIPDB says when it gives no list.
    pub(super) error: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default, rename = "generatedAt")]
    generated_at: Option<String>,
}

#[derive(Deserialize)]
struct Trouble {
    #[serde(default)]
    detail: Option<String>,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"data\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut found = Found::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "data" => {
                    map.next_value_seed(Entries {
                        output: &mut *self.output,
                        since_object: self.since_object,
                    })?;
                    found.has_data = true;
                }
                "meta" => {
                    let made = map.next_value::<Meta>()?.generated_at;
                    let made = made.and_then(|text| moment::rfc3339_or_epoch(&text).ok());
                    self.output.report.as_of = made.flatten();
                }
                "errors" => {
                    let troubles = map.next_value::<Vec<Trouble>>()?;
                    let detail = troubles.into_iter().find_map(|trouble| trouble.detail);
                    found.error = detail.map(|detail| excerpt(detail.as_bytes()));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            self.since_object.set(0);
        }
        Ok(found)
    }
}

/// The list of objects.
struct Entries<'d, 'o> {
    output: &'d mut Output<'o>,
    since_object: &'d Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(listed) = list.next_element::<Listed>()? {
            number += 1;
            self.since_object.set(0);
            listed.settle(number, self.output);
            self.output.goes_on().map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyListed)
    }
}

/// An object of the list, or whatever stands in its place.
struct AnyListed;

impl<'de> Visitor<'de> for AnyListed {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with \"ipAddress\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let mut listed = Listed::default();
        while let Some(key) = map.next_key::<Key>()? {
            let value = map.next_value::<Scalar>()?;
            match key {
                Key::Address => listed.address = value,
                Key::Score => listed.score = value,
                Key::LastReported => listed.last_reported = value,
                Key::Other => {}
            }
        }
        Ok(listed)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Listed, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Listed::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Listed, E> {
        Ok(Listed {
            address: Scalar::Text(text.to_owned()),
            ..Listed::default()
        })
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Listed, E> {
        Ok(Listed::default())
    }

    fn visit_u64<E>(self, _value: u64) -> Result<Listed, E> {
        Ok(Listed::default())
    }

    fn visit_i64<E>(self, _value: i64) -> Result<Listed, E> {
        Ok(Listed::default())
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Listed, E> {
        Ok(Listed::default())
    }

    fn visit_unit<E>(self) -> Result<Listed, E> {
        Ok(Listed::default())
    }
}

#[derive(Deserialize)]
enum Key {
    #[serde(rename = "ipAddress")]
    Address,
    #[serde(rename = "abuseConfidenceScore")]
    Score,
    #[serde(rename = "lastReportedAt")]
    LastReported,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        // Nothing that counts here has more than 32 bits.
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Scalar::Number(number.into()))
    }

    fn visit_i64<E>(self, _number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(-1.0))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_bool<E>(self, _value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Missing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
