//! The strings library, version 2; find and findAll; URLs' texts; what is escaped in JSON patches.

use std::sync::Arc;

use super::core::{int, list, text};
use super::{Context, Cost, Row, lists, printf, regex, row, url};
use crate::error::Error;
use crate::value::{List, Text, Value};

pub(super) const ROWS: &[Row] = &[
    row("charAt", Cost::One, char_at, &["string.(int) -> string"]),
    row(
        "indexOf",
        Cost::Elements,
        index_of,
        &["string.(string) -> int", "string.(string, int) -> int", "list<A>.(A) -> int"],
    ),
    row(
        "lastIndexOf",
        Cost::Elements,
        last_index_of,
        &["string.(string) -> int", "string.(string, int) -> int", "list<A>.(A) -> int"],
    ),
    row(
        "lowerAscii",
        Cost::Traverse,
        |_, args| Ok(Value::from(text(&args[0])?.to_ascii_lowercase())),
        &["string.() -> string"],
    ),
    row(
        "upperAscii",
        Cost::Traverse,
        |_, args| Ok(Value::from(text(&args[0])?.to_ascii_uppercase())),
        &["string.() -> string"],
    ),
    row(
        "replace",
        Cost::Replace,
        replace,
        &["string.(string, string) -> string", "string.(string, string, int) -> string"],
    ),
    row("split", Cost::Split, split, &["string.(string) -> list<string>", "string.(string, int) -> list<string>"]),
    row("substring", Cost::Traverse, substring, &["string.(int) -> string", "string.(int, int) -> string"]),
    row("trim", Cost::Traverse, |_, args| Ok(Value::from(text(&args[0])?.trim().to_owned())), &["string.() -> string"]),
    row("format", Cost::Printf, printf::format, &["string.(list<dyn>) -> string"]),
    row("strings.quote", Cost::Quote, quote, &["(string) -> string"]),
    row("join", Cost::Join, join, &["list<string>.() -> string", "list<string>.(string) -> string"]),
    row("find", Cost::Find, regex::find, &["string.(string) -> string"]),
    row(
        "findAll",
        Cost::Find,
        regex::find_all,
        &["string.(string) -> list<string>", "string.(string, int) -> list<string>"],
    ),
    row("url", Cost::Traverse, url::url, &["(string) -> Url"]),
    row("isURL", Cost::One, url::is_url, &["(string) -> bool"]),
    row("getScheme", Cost::One, |_, args| url::part(args, |url| url.scheme.clone()), &["Url.() -> string"]),
    row("getHost", Cost::One, |_, args| url::part(args, |url| url.host.clone()), &["Url.() -> string"]),
    row("getHostname", Cost::One, |_, args| url::part(args, |url| url.hostname().to_owned()), &["Url.() -> string"]),
    row("getPort", Cost::One, |_, args| url::part(args, |url| url.port().to_owned()), &["Url.() -> string"]),
    row("getEscapedPath", Cost::One, |_, args| url::part(args, |url| url.path.clone()), &["Url.() -> string"]),
    row("getQuery", Cost::One, url::query, &["Url.() -> map<string, list<string>>"]),
    row("jsonpatch.escapeKey", Cost::Traverse, escape_key, &["(string) -> string"]),
];

fn out_of_range(index: i64) -> Error {
    Error::new(format!("index out of range: {index}"))
}

fn char_at<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, index) = (text(&args[0])?, int(&args[1])?);
    let at = usize::try_from(index).map_err(|_| out_of_range(index))?;
    match text.chars().nth(at) {
        Some(c) => Ok(Value::from(c.to_string())),
        None if at == text.chars().count() => Ok(Value::from("")),
        None => Err(out_of_range(index)),
    }
}

/// Where characters begin, and the end.
fn boundaries(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

/// The first of the places where the wanted element stands, or -1.
fn place<'a>(
    context: &Context<'_>,
    list: &List<'a>,
    places: impl Iterator<Item = usize>,
    wanted: &Value<'a>,
) -> Result<Value<'a>, Error> {
    for at in places {
        if let Some(element) = list.get(at)
            && element.equals(wanted, context.work)?
        {
            return Ok(Value::Int(at as i64));
        }
    }
    Ok(Value::Int(-1))
}

fn index_of<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    if let (Value::List(list), [_, wanted]) = (&args[0], args) {
        return place(context, list, 0..list.len(), wanted);
    }
    let (text, part) = (text(&args[0])?, text(&args[1])?);
    let from = args.get(2).map_or(Ok(0), int)?;
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let Some((start, _)) = text.char_indices().nth(from) else { return Ok(Value::Int(-1)) };
    let found = text[start..].find(&**part).map(|at| from + text[start..start + at].chars().count());
    Ok(Value::Int(found.map_or(-1, |at| at as i64)))
}

fn last_index_of<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    if let (Value::List(list), [_, wanted]) = (&args[0], args) {
        return place(context, list, (0..list.len()).rev(), wanted);
    }
    let (text, part) = (text(&args[0])?, text(&args[1])?);
    let bounds = boundaries(text);
    let count = bounds.len() - 1;
    let from = match args.get(2) {
        Some(from) => int(from)?,
        None if part.is_empty() => return Ok(Value::Int(count as i64)),
        None => count as i64,
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let from = usize::try_from(from).map_err(|_| out_of_range(from))?;
    if args.len() == 3 && from >= count {
        return Ok(Value::Int(-1));
    }
    // A match may begin at the place at the latest.
    let end = (bounds[from] + part.len()).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    let found = text[..end].rfind(&**part).map(|at| text[..at].chars().count());
    Ok(Value::Int(found.filter(|at| *at <= from).map_or(-1, |at| at as i64)))
}

fn replace<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, old, new) = (text(&args[0])?, text(&args[1])?, text(&args[2])?);
    let most = match args.get(3).map(int).transpose()? {
        Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    let count = text.matches(&**old).count().min(most);
    context.reserve(text.len().saturating_add(count.saturating_mul(new.len())) / 10)?;
    Ok(Value::from(text.replacen(&**old, new, count)))
}

fn split<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (text, separator) = (text(&args[0])?, text(&args[1])?);
    let most = match args.get(2).map(int).transpose()? {
        Some(most) if most >= 0 => most as usize,
        _ => usize::MAX,
    };
    if most == 0 {
        return Ok(Value::from(Vec::new()));
    }
    let value = |part: &str| Value::from(part.to_owned());
    if !separator.is_empty() {
        return lists::collected(context, text.splitn(most, &**separator).map(value));
    }
    // Nothing separates all characters.
    let bounds = boundaries(text);
    let pieces = (bounds.len() - 1).min(most);
    let piece = |at: usize| {
        let end = if at + 1 == pieces { text.len() } else { bounds[at + 1] };
        value(&text[bounds[at]..end])
    };
    lists::collected(context, (0..pieces).map(piece))
}

fn substring<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let text = text(&args[0])?;
    let bounds = boundaries(text);
    let at = |index: i64| {
        let place = usize::try_from(index).ok().and_then(|index| bounds.get(index));
        place.copied().ok_or_else(|| out_of_range(index))
    };
    let start = int(&args[1])?;
    let end = args.get(2).map(int).transpose()?;
    if let Some(end) = end
        && start > end
    {
        return Err(Error::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    let start = at(start)?;
    let end = end.map_or(Ok(text.len()), at)?;
    Ok(match text {
        Text::Borrowed(text) => Value::from(&text[start..end]),
        Text::Shared(text) => Value::String(Text::Shared(Arc::from(&text[start..end]))),
    })
}

fn quote<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let mut out = String::from("\"");
    for c in text(&args[0])?.chars() {
        let escaped = match c {
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\u{b}' => 'v',
            '\\' | '"' => c,
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push('\\');
        out.push(escaped);
    }
    out.push('"');
    Ok(Value::from(out))
}

fn join<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let separator = args.get(1).map(text).transpose()?;
    let mut out = String::new();
    for (at, element) in list(&args[0])?.iter().enumerate() {
        if at > 0 {
            out.push_str(separator.map_or("", |separator| separator));
        }
        let Value::String(part) = &element else {
            return Err(Error::new(format!("join: invalid input: {}", crate::value::print::text(&element))));
        };
        context.reserve((out.len() + part.len()) / 10)?;
        out.push_str(part);
    }
    Ok(Value::from(out))
}

fn escape_key<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::from(text(&args[0])?.replace('~', "~0").replace('/', "~1")))
}
