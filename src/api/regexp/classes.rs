//! Single characters and classes of them, in brackets and by escapes.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::LazyLock;

use parking_lot::Mutex;
use regex::Regex;

use super::error;

/// What a character takes when it is compiled, in bytes, and so many ranges of ASCII; any character; and a class that Unicode
/// names, at most.
pub(super) const UNIT: usize = 72;
pub(super) const ANY: usize = 1000;
const NAMED: usize = 43_000;
/// What a range of other characters takes.
const RANGE: usize = 300;
/// What matches nothing.
pub(super) const NONE: &str = r"[^\x{0}-\x{10FFFF}]";

/// A character, or a surrogate: Go takes these, and no text has any.
pub(super) type Code = u32;

/// A class that has been read.
pub(super) struct Class<'p> {
    /// For the `regex` crate; what an escape names has no brackets, and may stand in some.
    pub(super) text: String,
    pub(super) size: usize,
    /// What follows it.
    pub(super) rest: &'p str,
}

const NO_RANGE: &str = "invalid character class range";

/// Writes what matches a character; nothing for surrogates.
pub(super) fn literal(out: &mut String, code: Code) {
    let Some(c) = char::from_u32(code) else { return };
    if matches!(
        c,
        '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' | '#' | '&' | '-' | '~'
    ) {
        out.push('\\');
    }
    out.push(c);
}

/// A class in brackets, with which the text begins. Where less than `names_until` is left, no name of a class ends.
pub(super) fn class(whole: &str, names_until: usize) -> Result<Class<'_>, String> {
    let mut rest = &whole[1..];
    let (mut text, mut size) = ("[".to_owned(), UNIT);
    let negated = rest.strip_prefix('^');
    if let Some(after) = negated {
        rest = after;
        text.push('^');
        size = ANY;
    }
    let empty = text.len();
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if rest.starts_with("[:")
            && rest.len() - 2 >= names_until
            && let Some(length) = rest[2..].find(":]")
        {
            let (name, after) = rest.split_at(length + 4);
            let bare = &name[2..length + 2];
            if !POSIX.contains(&bare.strip_prefix('^').unwrap_or(bare)) {
                return Err(error(NO_RANGE, name));
            }
            text.push_str(name);
            rest = after;
            size += UNIT;
            continue;
        }
        if let Some(named) = named(rest)? {
            text.push_str(&named.text);
            size += named.size;
            rest = named.rest;
            continue;
        }
        let range = rest;
        let (low, after) = member(rest, whole)?;
        let mut high = low;
        rest = after;
        if let Some(after) = rest.strip_prefix('-').filter(|after| !after.starts_with(']')) {
            // A range without an end may be the brackets' that lack theirs.
            (high, rest) = member(after, whole)?;
            if high < low {
                return Err(error(NO_RANGE, &range[..range.len() - rest.len()]));
            }
        }
        // No text has surrogates.
        let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
        let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
        if low <= high {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{{{low:x}}}-\\x{{{high:x}}}");
            size += if high < 0x80 { UNIT / 4 } else { RANGE };
        }
    }
    text.push(']');
    if text.len() == empty + 1 {
        NONE.clone_into(&mut text);
        if negated.is_some() {
            text.remove(1);
        }
    }
    Ok(Class { text, size, rest: &rest[1..] })
}

const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// A character in brackets.
fn member<'p>(text: &'p str, whole: &str) -> Result<(Code, &'p str), String> {
    match text.chars().next() {
        None => Err(error("missing closing ]", whole)),
        Some('\\') => escaped(text),
        Some(c) => Ok((c.into(), &text[c.len_utf8()..])),
    }
}

/// A class that is named by an escape, if the text begins with one: Perl's, or Unicode's.
pub(super) fn named(text: &str) -> Result<Option<Class<'_>>, String> {
    let Some(escape) = text.strip_prefix('\\') else { return Ok(None) };
    let ranges = match escape.bytes().next() {
        Some(b'd') => "0-9",
        Some(b'D') => "[^0-9]",
        Some(b'w') => "0-9A-Za-z_",
        Some(b'W') => "[^0-9A-Za-z_]",
        Some(b's') => r"\t\n\f\r\x20",
        Some(b'S') => r"[^\t\n\f\r\x20]",
        Some(b'p' | b'P') => return unicode(text).map(Some),
        _ => return Ok(None),
    };
    let size = if ranges.starts_with('[') { ANY } else { UNIT };
    Ok(Some(Class { text: ranges.to_owned(), size, rest: &escape[1..] }))
}

/// A class that Unicode names: `\pL`, `\p{Greek}`, `\P{^Lu}`.
fn unicode(text: &str) -> Result<Class<'_>, String> {
    let behind = &text[2..];
    let (name, rest) = match behind.strip_prefix('{') {
        Some(inside) => inside.split_once('}').ok_or_else(|| error(NO_RANGE, text))?,
        None => behind.split_at(behind.chars().next().map_or(0, char::len_utf8)),
    };
    let unnegated = name.strip_prefix('^');
    let known = canonical(unnegated.unwrap_or(name)).filter(|name| is_known(name));
    let name = known.ok_or_else(|| error(NO_RANGE, &text[..text.len() - rest.len()]))?;
    let positive = text.starts_with(r"\p") != unnegated.is_some();
    Ok(Class { text: format!("\\{}{{{name}}}", if positive { 'p' } else { 'P' }), size: NAMED, rest })
}

/// A name without what does not count in names.
fn canonical(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
    // The `regex` crate knows ways of naming that Go does not: `Is…`, `script=…`.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !name.is_empty()).then(|| name.to_ascii_lowercase()).filter(|name| !name.starts_with("is"))
}

fn is_known(name: &str) -> bool {
    /// What Unicode names is little, and looking for it takes a while.
    static KNOWN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    if KNOWN.lock().contains(name) {
        return true;
    }
    let known = Regex::new(&format!("\\p{{{name}}}")).is_ok();
    if known {
        KNOWN.lock().insert(name.to_owned());
    }
    known
}

/// A character that an escape stands for.
pub(super) fn escaped(text: &str) -> Result<(Code, &str), String> {
    let mut chars = text[1..].chars();
    let code = match chars.next() {
        None => return Err(error("trailing backslash at end of expression", "")),
        Some('a') => Some(7),
        Some('f') => Some(0xc),
        Some('n') => Some(0xa),
        Some('r') => Some(0xd),
        Some('t') => Some(9),
        Some('v') => Some(0xb),
        Some('x') => hexadecimal(&mut chars),
        // A single digit but zero would refer to a group.
        Some(c @ '0'..='7') => {
            let octal = |c: Option<char>| c.and_then(|c| c.to_digit(8));
            (c == '0' || octal(chars.clone().next()).is_some()).then(|| {
                let mut code = c as Code - '0' as Code;
                for _ in 0..2 {
                    let Some(digit) = octal(chars.clone().next()) else { break };
                    chars.next();
                    code = code * 8 + digit;
                }
                code
            })
        }
        Some(c) => (c.is_ascii() && !c.is_ascii_alphanumeric()).then_some(c.into()),
    };
    let rest = chars.as_str();
    code.map(|code| (code, rest)).ok_or_else(|| error("invalid escape sequence", &text[..text.len() - rest.len()]))
}

/// What stands behind `\x`: two digits, or as many as one likes in braces.
fn hexadecimal(chars: &mut std::str::Chars<'_>) -> Option<Code> {
    let first = chars.next()?;
    if first != '{' {
        let second = chars.next()?;
        return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
    }
    let (mut code, mut digits) = (0, 0);
    loop {
        match chars.next()? {
            '}' => return (digits > 0).then_some(code),
            c => code = code * 16 + c.to_digit(16)?,
        }
        digits += 1;
        if code > char::MAX as Code {
            return None;
        }
    }
}
