//! Keys that come twice in a YAML body, in the words of upstream's parser, which tells the line.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// Most complaints: enough for people, bounded for the server.
const MAX: usize = 100;

/// Complaints about a text that was read before, one for each key that was there already.
pub(super) fn complaints(text: &str) -> Vec<String> {
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let mut found = Vec::new();
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options, |from| {
        Walk { found: &mut found }.deserialize(from)
    });
    if let Err(error) = read {
        tracing::debug!(%error, "a text that was read once cannot be read again");
    }
    found
}

struct Walk<'a> {
    found: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($name:ident: $ty:ty),*) => {
        $(fn $name<E>(self, _: $ty) -> Result<(), E> {
            Ok(())
        })*
    };
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    scalars!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(from).map(drop)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Walk { found: &mut *self.found })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let quoted = api::quote::quote(&key.value);
            if !seen.insert(key.value) && self.found.len() < MAX {
                self.found.push(format!("line {line}: key {quoted} already set in map"));
            }
            map.next_value_seed(Walk { found: &mut *self.found })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn the_second_of_two_keys_is_told_with_its_line() {
        for (text, expect) in [
            ("a: 1\nb: 2\n", &[][..]),
            ("\napiVersion: v1\nspec:\n  foo: 1\n  foo: 2\n", &["line 5: key \"foo\" already set in map"]),
            (
                "a:\n- x: 1\n  x: 2\n- x: 3\na: 4",
                &["line 3: key \"x\" already set in map", "line 5: key \"a\" already set in map"],
            ),
            ("{\"a\": 1, \"a\": 2}", &["line 1: key \"a\" already set in map"]),
            ("a: {b: null, b: ~}", &["line 1: key \"b\" already set in map"]),
        ] {
            assert_eq!(complaints(text), expect, "{text}");
        }
    }
}
