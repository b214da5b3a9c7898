//! Field selectors: `metadata.name=a,status.phase!=Running`, with backslashes before `\`, `,` and `=` in values.

use std::fmt;

use super::SelectorError;

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// The field's path, without a leading dot.
    pub field: String,
    /// The field must have the value; otherwise it must not.
    pub equals: bool,
    /// The value, unescaped.
    pub value: String,
}

/// A field selector: all its conditions have to be met. None match everything. Which fields a kind can be selected by is
/// the resource table's matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Selects every object.
    pub fn everything() -> FieldSelector {
        FieldSelector::default()
    }

    /// Selects by one field.
    pub fn equals(field: &str, value: &str) -> FieldSelector {
        let requirement = FieldRequirement { field: field.to_owned(), equals: true, value: value.to_owned() };
        FieldSelector { requirements: vec![requirement] }
    }

    /// Reads the form of the `fieldSelector` query parameter.
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut terms = split_terms(text);
        terms.sort_unstable();
        let mut requirements = Vec::new();
        for term in terms.into_iter().filter(|term| !term.is_empty()) {
            let split = term.char_indices().find_map(|(at, _)| {
                let rest = &term[at..];
                let (equals, length) = match rest {
                    _ if rest.starts_with("!=") => (false, 2),
                    _ if rest.starts_with("==") => (true, 2),
                    _ if rest.starts_with('=') => (true, 1),
                    _ => return None,
                };
                Some((&term[..at], equals, &rest[length..]))
            });
            let Some((field, equals, value)) = split else {
                return Err(SelectorError(format!("invalid selector: '{text}'; can't understand '{term}'")));
            };
            requirements.push(FieldRequirement { field: field.to_owned(), equals, value: unescape(value)? });
        }
        Ok(FieldSelector { requirements })
    }

    /// The conditions.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// True when the selector restricts nothing.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object meets all conditions. `lookup` gives a field's value; a missing field counts as empty.
    pub fn matches<V: AsRef<str>>(&self, lookup: impl Fn(&str) -> Option<V>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = lookup(&requirement.field);
            let value = value.as_ref().map_or("", AsRef::as_ref);
            (value == requirement.value) == requirement.equals
        })
    }

    /// The one value a field must have for the selector to match, if there is such a value.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| r.equals && r.field == field).map(|r| r.value.as_str())
    }
}

/// The query form, which [`FieldSelector::parse`] reads back.
impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let sign = if requirement.equals { "=" } else { "!=" };
            let value = requirement.value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            write!(f, "{comma}{}{sign}{value}", requirement.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that no backslash precedes, leaving the backslashes in.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let invalid =
        |sequence: &str| SelectorError(format!("invalid field selector: invalid escape sequence: {sequence}"));
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(invalid(&format!("\\{c}"))),
                None => return Err(invalid("\\")),
            },
            ',' | '=' => {
                let text = format!("invalid field selector: unescaped character in value: {}", c as u32);
                return Err(SelectorError(text));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}
