//! Names of properties as identifiers: `x-y` is `x__dash__y`, `namespace` is `__namespace__`.

use std::borrow::Cow;

/// Words that the language keeps to itself.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The identifier for a property; none when the name cannot be one.
pub fn escape(name: &str) -> Option<Cow<'_, str>> {
    let first = name.bytes().next()?;
    if first.is_ascii_digit() {
        return None;
    }
    if let Some(escaped) = reserved(name) {
        return Some(Cow::Owned(escaped));
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/')) {
        return None;
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return Some(Cow::Borrowed(name));
    }
    let escaped = name.replace("__", "\u{0}").replace('.', "__dot__").replace('-', "__dash__");
    Some(Cow::Owned(escaped.replace('/', "__slash__").replace('\u{0}', "__underscores__")))
}

/// The identifier for a word that the language keeps to itself.
pub(crate) fn reserved(name: &str) -> Option<String> {
    RESERVED.contains(&name).then(|| format!("__{name}__"))
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn names_become_identifiers() {
        for (name, expect) in [
            ("a", Some("a")),
            ("x-y", Some("x__dash__y")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("a__b", Some("a__underscores__b")),
            ("___", Some("__underscores___")),
            ("namespace", Some("__namespace__")),
            ("int", Some("int")),
            ("_x", Some("_x")),
            ("1a", None),
            ("", None),
            ("a b", None),
            ("ä", None),
        ] {
            assert_eq!(escape(name).as_deref(), expect, "{name}");
        }
    }
}
