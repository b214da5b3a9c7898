//! Go's regular expressions, said in the words of the `regex` crate: both are RE2 at heart and differ in details.

use regex::{Regex, RegexBuilder};

/// The most a compiled expression may take, in bytes.
const SIZE_MAX: usize = 4 << 20;

/// Compiles an expression as Go reads it. The error is for people.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let made = RegexBuilder::new(&translate(pattern)).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX / 8).build();
    made.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
        error => {
            // The last line says what is wrong; those before it draw where.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("error parsing regexp: {reason}: `{pattern}`")
        }
    })
}

/// Perl's classes are ASCII in Go, some characters stand for themselves there that mean something here.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let (text, next) = match c {
            '\\' => escape(after, in_class),
            '[' if in_class => match after.strip_prefix(':').and_then(named_class) {
                Some(end) => (rest[..end + 4].to_owned(), &rest[end + 4..]),
                None => ("\\[".to_owned(), after),
            },
            '[' => {
                in_class = true;
                let negated = after.strip_prefix('^');
                let inside = negated.unwrap_or(after);
                let head = if negated.is_some() { "[^" } else { "[" };
                // A bracket right at the beginning is an element.
                match inside.strip_prefix(']') {
                    Some(inside) => (format!("{head}\\]"), inside),
                    None => (head.to_owned(), inside),
                }
            }
            ']' if in_class => {
                in_class = false;
                ("]".to_owned(), after)
            }
            '&' | '~' if in_class => (format!("\\{c}"), after),
            '-' if in_class && after.starts_with('-') => ("\\-".to_owned(), after),
            '{' if !in_class && !is_repeat(after) => ("\\{".to_owned(), after),
            c => (c.to_string(), after),
        };
        out.push_str(&text);
        rest = next;
    }
    out
}

/// What follows a backslash.
fn escape(after: &str, in_class: bool) -> (String, &str) {
    let Some(c) = after.chars().next() else { return ("\\".to_owned(), after) };
    let next = &after[c.len_utf8()..];
    let set = |inside: &str, negated: bool| match (in_class, negated) {
        (true, false) => inside.to_owned(),
        (_, true) => format!("[^{inside}]"),
        (false, false) => format!("[{inside}]"),
    };
    match c {
        'd' | 'D' => (set("0-9", c == 'D'), next),
        'w' | 'W' => (set("0-9A-Za-z_", c == 'W'), next),
        's' | 'S' => (set(r"\t\n\f\r\x20", c == 'S'), next),
        'b' | 'B' if !in_class => (format!("(?-u:\\{c})"), next),
        'Q' if !in_class => {
            let (literal, next) = next.split_once("\\E").unwrap_or((next, ""));
            (regex::escape(literal), next)
        }
        // Names of classes and numbers of characters may stand in braces.
        'p' | 'P' | 'x' if next.starts_with('{') => {
            let end = next.find('}').map_or(next.len(), |at| at + 1);
            (format!("\\{c}{}", &next[..end]), &next[end..])
        }
        '<' | '>' => (c.to_string(), next),
        c => (format!("\\{c}"), next),
    }
}

/// Whether what follows a brace makes it a repetition; else Go takes the brace for itself.
fn is_repeat(after: &str) -> bool {
    // Looking for the end behind anything else would take as long as the pattern is, for each of its braces.
    let inside = after.bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count();
    let (least, most) = after[..inside].split_once(',').unwrap_or((&after[..inside], ""));
    after[inside..].starts_with('}') && !least.is_empty() && !most.contains(',')
}

/// Where the name of a class ends that began with `[:`, if a name stands there.
fn named_class(named: &str) -> Option<usize> {
    let end = named.bytes().take_while(|b| b.is_ascii_alphabetic() || *b == b'^').count();
    named[end..].starts_with(":]").then_some(end)
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        let check = |pattern: &str, value: &str, expect: bool| {
            assert_eq!(compile(pattern).unwrap().is_match(value), expect, "{pattern} on {value}");
        };
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "١٢", false);
        check(r"^[\w-]+$", "a_b-c", true);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[\D]+$", "ab", true);
        check(r"^${foo}$", "x", false);
        check(r"^\${foo}$", "${foo}", true);
        check(r"^a{,5}$", "a{,5}", true);
        check(r"^a{2}$", "aa", true);
        check(r"^[[a]+$", "[a", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^[[:alpha:]&&]+$", "a&", true);
        check(r"^\Qa.b\E$", "a.b", true);
        check(r"^\p{L}+$", "grün", true);
        check(r"(?i)^straße$", "STRAßE", true);
        check(r"^\/\_\-$", "/_-", true);
        assert!(compile(r"(?!a)").unwrap_err().starts_with("error parsing regexp: "));
        assert!(compile(r"(a").is_err());
    }
}
