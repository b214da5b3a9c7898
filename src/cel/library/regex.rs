//! Regular expressions in Go's syntax, carried out by a linear-time engine with a bounded program.

use std::cell::RefCell;

use regex::{Regex, RegexBuilder};

use super::core::{int, text};
use super::{Context, lists};
use crate::error::Error;
use crate::value::Value;
use crate::work::Work;

/// The most memory one compiled expression may take. Bytes.
const LARGEST: usize = 1 << 20;
/// How deep groups may nest.
const DEEPEST: u32 = 100;

/// Compiles an expression in Go's syntax; the complaint on failure.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .nest_limit(DEEPEST)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
            _ => "invalid expression".to_owned(),
        })
}

/// How many expressions are kept.
const KEPT: usize = 8;

/// Expressions that are known only when they are used. The last ones are kept: compiling one takes longer than using it on most texts, and
/// rules ask for the same ones again and again.
#[derive(Debug, Default)]
pub(crate) struct Patterns(RefCell<Vec<(Box<str>, Regex)>>);

impl Patterns {
    fn get(&self, pattern: &str, work: &Work, illegal: &str) -> Result<Regex, Error> {
        let mut kept = self.0.borrow_mut();
        if let Some((_, regex)) = kept.iter().find(|(have, _)| **have == *pattern) {
            return Ok(regex.clone());
        }
        work.take(weight(pattern))?;
        let complaint = |why| Error::new(format!("{illegal}error parsing regexp: {why}: `{pattern}`"));
        let regex = compile(pattern).map_err(complaint)?;
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((pattern.into(), regex.clone()));
        Ok(regex)
    }
}

/// About how long an expression takes to compile, in microseconds, and how large it gets, in tens of bytes: what is repeated is there so
/// often, and classes of Unicode are hundreds of ranges. Too large ones are given up at some point.
pub(crate) fn weight(pattern: &str) -> usize {
    /// What a program of the largest size takes.
    const MOST: usize = 20_000;
    let counts = pattern.split('{').skip(1).map(|rest| {
        let inside = rest.split('}').next().unwrap_or_default();
        inside.split(',').filter_map(|count| count.parse().ok()).max().unwrap_or(1)
    });
    let times = counts.fold(1, |times: usize, count| times.saturating_mul(count.max(1)));
    let classes = pattern.matches("\\p").count() + pattern.matches("\\P").count() + pattern.matches("(?i").count();
    (50 + pattern.len() + 500 * classes).saturating_mul(times).min(MOST)
}

/// What all patterns that are written out in one expression may weigh when it is compiled.
pub(crate) const COMPILED: usize = 400_000;

/// Takes a pattern's weight from what is left, if that is enough.
pub(crate) fn affords(left: &mut usize, pattern: &str) -> bool {
    let rest = left.checked_sub(weight(pattern));
    *left = rest.unwrap_or(*left);
    rest.is_some()
}

pub(super) fn matches<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    matches_with(&context.patterns.get(text(&args[1])?, context.work, "")?, args)
}

pub(super) fn find<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    find_with(&context.patterns.get(text(&args[1])?, context.work, ILLEGAL)?, args)
}

pub(super) fn find_all<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    find_all_with(context, &context.patterns.get(text(&args[1])?, context.work, ILLEGAL)?, args)
}

const ILLEGAL: &str = "Illegal regex: ";

pub(crate) fn matches_with<'a>(regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Bool(regex.is_match(text(&args[0])?)))
}

/// The first match, or empty text.
pub(crate) fn find_with<'a>(regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let found = regex.find(text(&args[0])?).map_or("", |found| found.as_str());
    Ok(Value::from(found.to_owned()))
}

/// All matches, or the first few.
pub(crate) fn find_all_with<'a>(context: &Context<'_>, regex: &Regex, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let most = match args.get(2) {
        Some(most) => usize::try_from(int(most)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let text = text(&args[0])?;
    let found = regex.find_iter(text).take(most).map(|found| Value::from(found.as_str().to_owned()));
    lists::collected(context, found)
}

/// Go's syntax as the regex crate reads it: `\d`, `\w`, `\s` and `\b` mean ASCII, brackets and ampersands in classes and
/// braces that count nothing are themselves, `\Q…\E` quotes.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = false;
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let Some(escaped) = rest.chars().next() else {
                    out.push('\\');
                    break;
                };
                rest = &rest[escaped.len_utf8()..];
                if escaped == 'Q' {
                    let end = rest.find("\\E");
                    out.push_str(&regex::escape(&rest[..end.unwrap_or(rest.len())]));
                    rest = end.map_or("", |end| &rest[end + 2..]);
                } else {
                    escape(&mut out, escaped, in_class);
                    // `\p{Lu}`, `\x{e9}`: what is in braces belongs to the escape.
                    if matches!(escaped, 'p' | 'P' | 'x') && rest.starts_with('{') {
                        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                        out.push_str(&rest[..end]);
                        rest = &rest[end..];
                    }
                }
            }
            '[' if in_class && !rest.starts_with(':') => out.push_str("\\["),
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // A bracket that closes nothing yet is itself.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            '[' => {
                // A named class: `[:alpha:]`.
                let end = rest.find(":]").map_or(rest.len(), |end| end + 2);
                out.push('[');
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '{' if !in_class && !counts(rest) => out.push_str("\\{"),
            c => out.push(c),
        }
    }
    out
}

fn escape(out: &mut String, escaped: char, in_class: bool) {
    let inner = match escaped {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\f\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\f\\r ",
        'b' if !in_class => return out.push_str("(?-u:\\b)"),
        _ => {
            out.push('\\');
            return out.push(escaped);
        }
    };
    if in_class && !inner.starts_with('^') {
        out.push_str(inner);
    } else {
        out.push('[');
        out.push_str(inner);
        out.push(']');
    }
}

/// Whether a brace begins a repetition: `3}`, `3,}`, `3,4}`.
fn counts(rest: &str) -> bool {
    // Looking for the end behind anything else would take as long as the pattern is, for each of its braces.
    let inside = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b',').count();
    let (low, high) = rest[..inside].split_once(',').unwrap_or((&rest[..inside], ""));
    rest[inside..].starts_with('}') && !low.is_empty() && !high.contains(',')
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn go_syntax_is_read() {
        for (pattern, text, expect) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^\w+$", "a_1", true),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^[[a]$", "[", true),
            (r"^[]a]$", "]", true),
            (r"^[a&&b]+$", "&", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^a{2}$", "aa", true),
            (r"^a{$", "a{", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"\bfoo\b", "a foo b", true),
            (r"^\S+\s\S+$", "a b", true),
            (r"^[^\D]$", "7", true),
            (r"(?i)^ABC$", "abc", true),
            (r"^\p{Lu}$", "Ä", true),
            (r"^(?P<x>a|b)+$", "ab", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), expect, "{pattern} on {text}");
        }
        assert!(compile("(").is_err());
        assert!(compile(r"(((a{1000}){1000}){1000})").is_err());
    }
}
