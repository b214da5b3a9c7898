//! What is wrong with a text that is no YAML, in the words of upstream's parser where they are known.

use serde_saphyr::Error;

/// How complaints begin.
pub(super) const YAML: &str = "yaml: ";

/// How upstream's parser says what ours does, and how many lines further on it is when it notices.
const WORDS: &[(&str, &str, u64)] = &[
    ("mapping values are not allowed in this context", "mapping values are not allowed in this context", 0),
    ("tabs disallowed", "found character that cannot start any token", 0),
    ("unexpected character", "found character that cannot start any token", 0),
    ("simple key expected", "could not find expected ':'", 1),
];

/// Whether a character may not stand in YAML at all.
pub(super) fn is_control(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
}

/// The complaint, in one line.
pub(super) fn words(error: &Error, text: &str) -> String {
    let said = error.without_snippet().to_string();
    let said = said.lines().next().unwrap_or_default();
    let at = error.location();
    let line = at.as_ref().map_or(1, |at| at.line());
    // The first line is never told.
    let told = |line: u64, why: &str| match line {
        0 | 1 => format!("{YAML}{why}"),
        line => format!("{YAML}line {line}: {why}"),
    };
    if said.contains("unclosed bracket") {
        let last = text.trim_end().chars().next_back().unwrap_or_default();
        let why = match (last, said.contains("'['")) {
            ('[' | '{' | ',' | ':', _) => "did not find expected node content",
            (_, true) => "did not find expected ',' or ']'",
            (_, false) => "did not find expected ',' or '}'",
        };
        return format!("{YAML}line {}: {why}", text.lines().count());
    }
    if said.contains("budget breached") && text.contains('*') {
        return format!("{YAML}document contains excessive aliasing");
    }
    if said.contains("unknown anchor") {
        let rest = at.as_ref().and_then(|at| text.lines().nth(line as usize - 1)?.get(at.column() as usize..));
        let name: String = rest.unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        return format!("{YAML}unknown anchor '{name}' referenced");
    }
    match WORDS.iter().find(|(ours, ..)| said.contains(ours)) {
        Some((_, upstreams, later)) => told(line + later, upstreams),
        None => {
            // Where it is has been said.
            let bare = said.strip_prefix("error: ").unwrap_or(said);
            let bare =
                bare.split_once(" column ").and_then(|(_, rest)| rest.split_once(": ")).map_or(bare, |(_, why)| why);
            told(line, bare)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::http::body::yaml_value;

    #[test]
    fn what_is_no_yaml_is_told_in_upstreams_words() {
        let check = |text: &str, expect: &str| {
            let told = yaml_value(text.as_bytes()).unwrap_err();
            assert_eq!(told, format!("yaml: {expect}"), "{text}");
        };
        check("a: b: c", "mapping values are not allowed in this context");
        check("a: 1\nb: c: d", "line 2: mapping values are not allowed in this context");
        check("a:\n\tb: c", "line 2: found character that cannot start any token");
        check("a: @b", "found character that cannot start any token");
        check("- a\nb", "line 3: could not find expected ':'");
        check("a: [", "line 1: did not find expected node content");
        check("x: 1\na: [1,2\n", "line 2: did not find expected ',' or ']'");
        check("{\"a\":1", "line 1: did not find expected ',' or '}'");
        check("a: b\0", "control characters are not allowed");
        check("a: *b", "unknown anchor 'b' referenced");
    }
}
