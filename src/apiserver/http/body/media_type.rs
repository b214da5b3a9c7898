//! Media types as Go reads them, which takes what it cannot read to the end for no media type.

/// The media type without its parameters.
pub(crate) fn bare(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// As [`bare`]; `None` where the parameters cannot be read, or there is no media type before them.
pub(super) fn whole(content_type: &str) -> Option<&str> {
    if content_type.trim().is_empty() {
        return Some("");
    }
    let bare = bare(content_type);
    let mut rest = content_type.split_once(';').map_or("", |(before, _)| &content_type[before.len()..]);
    while !rest.trim().is_empty() && rest.trim() != ";" {
        rest = parameter(rest.trim_start())?;
    }
    (!bare.is_empty()).then_some(bare)
}

/// What follows a parameter, which begins with its semicolon.
fn parameter(text: &str) -> Option<&str> {
    let rest = token(text.strip_prefix(';')?.trim_start())?.trim_start().strip_prefix('=')?.trim_start();
    match rest.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.bytes().position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            });
            Some(&quoted[end? + 1..])
        }
        None => token(rest),
    }
}

/// What follows a token, which is not empty.
fn token(text: &str) -> Option<&str> {
    let other = |c: char| !c.is_ascii_graphic() || "()<>@,;:\\\"/[]?=".contains(c);
    let end = text.find(other).unwrap_or(text.len());
    (end > 0).then(|| &text[end..])
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn parameters_are_read_or_refused() {
        for (content_type, expect) in [
            ("", Some("")),
            ("application/json", Some("application/json")),
            (" application/json ; charset=utf-8;x=\"a;\\\"b\" ", Some("application/json")),
            ("application/json;", Some("application/json")),
            ("application/json; ", Some("application/json")),
            ("application/json;;", None),
            ("application/json; x=\"y", None),
            ("application/json; x", None),
            ("application/json; =x", None),
            (";", None),
        ] {
            assert_eq!(whole(content_type), expect, "{content_type}");
        }
    }
}
