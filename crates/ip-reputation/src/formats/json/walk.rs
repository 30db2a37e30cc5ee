//! The way through a document to its items, by the paths of the configuration.

use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Reading;

/// Keys at the root that a message names.
const KEYS_MAX: usize = 10;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object.
    Key(String),
    /// Into every value of an object: `*`.
    Any,
    /// Into every element of an array: `[]`.
    Each,
}

/// `[].a.*.b[]` in steps.
pub(super) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let key = part.trim_end_matches("[]");
        match key {
            "" => {}
            "*" => steps.push(Step::Any),
            key => steps.push(Step::Key(key.to_owned())),
        }
        let arrays = (part.len() - key.len()) / 2;
        steps.extend(core::iter::repeat_n(Step::Each, arrays));
    }
    steps
}

/// A value of a document, and the rest of the paths that lead through it.
pub(super) struct Node<'n, 'r, 'o> {
    reading: &'n mut Reading<'r, 'o>,
    paths: Vec<&'n [Step]>,
    is_root: bool,
    /// Without items, and without keys: every string counts.
    is_bare: bool,
}

impl<'n, 'r, 'o> Node<'n, 'r, 'o> {
    pub(super) fn root(reading: &'n mut Reading<'r, 'o>, mut paths: Vec<&'n [Step]>) -> Self {
        let keys = &reading.options.keys;
        let is_bare = keys.items.is_empty() && keys.prefix.is_empty();
        if keys.items.is_empty() && !is_bare {
            // The document itself is the item.
            paths.push(&[]);
        }
        Self {
            reading,
            paths,
            is_root: true,
            is_bare,
        }
    }

    fn child<'c>(&'c mut self, paths: Vec<&'c [Step]>) -> Node<'c, 'r, 'o> {
        Node {
            reading: &mut *self.reading,
            paths,
            is_root: false,
            is_bare: self.is_bare,
        }
    }

    /// The rest of the paths whose next step is this one.
    fn after(&self, is_step: impl Fn(&Step) -> bool) -> Vec<&'n [Step]> {
        let nexts = self.paths.iter().filter_map(|path| path.split_first());
        nexts
            .filter(|(step, _)| is_step(step))
            .map(|(_, rest)| rest)
            .collect()
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        use serde::Deserialize as _;
        if self.is_bare {
            return deserializer.deserialize_any(self);
        }
        if self.paths.iter().any(|path| path.is_empty()) {
            self.reading.since_item.set(Some(0));
            let item = Value::deserialize(deserializer)?;
            self.reading.since_item.set(None);
            self.reading.item(&item);
            return match self.reading.output.goes_on() {
                Ok(()) => Ok(()),
                Err(stopped) => Err(serde::de::Error::custom(stopped)),
            };
        }
        if self.paths.is_empty() {
            return IgnoredAny::deserialize(deserializer).map(|_| ());
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            let paths = self.after(|step| match step {
                Step::Key(wanted) => *wanted == key,
                Step::Any => true,
                Step::Each => false,
            });
            self.reading.has_reached |= self.paths.contains(&&[Step::Any][..]);
            map.next_value_seed(self.child(paths))?;
            if self.is_root && self.reading.keys.len() < KEYS_MAX {
                self.reading
                    .keys
                    .push(super::super::report::excerpt(key.as_bytes()));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let paths = self.after(|step| *step == Step::Each);
        self.reading.has_reached |= self.paths.contains(&&[Step::Each][..]);
        while seq.next_element_seed(self.child(paths.clone()))?.is_some() {}
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, string: &str) -> Result<(), E> {
        if self.is_bare {
            self.reading.string(string);
        }
        match self.reading.output.goes_on() {
            Ok(()) => Ok(()),
            Err(stopped) => Err(E::custom(stopped)),
        }
    }

    /// `CrowdSec` writes `null` for an empty list.
    fn visit_unit<E>(self) -> Result<(), E> {
        self.reading.has_reached |= self.paths.contains(&&[Step::Each][..]);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}
