//! URLs as Go's `url.ParseRequestURI` reads them: absolute, or a path.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quote::quote;

use super::Context;
use super::core::text;
use crate::error::Error;
use crate::value::{Key, Map, Text, Value};

/// A URL in its parts, as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https`
    pub scheme: String,
    /// What stands before `@`.
    user: String,
    /// Host and port.
    pub host: String,
    /// The path, escaped.
    pub path: String,
    /// What follows `?`.
    query: String,
    /// What follows `#`.
    fragment: String,
}

impl Url {
    /// The host without port and brackets.
    pub(super) fn hostname(&self) -> &str {
        let host = self.host.strip_suffix(self.port()).and_then(|host| host.strip_suffix(':')).unwrap_or(&self.host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, if there is one.
    pub(super) fn port(&self) -> &str {
        let after = self.host.rfind(']').map_or(0, |at| at + 1);
        self.host[after..].rsplit_once(':').map_or("", |(_, port)| port)
    }
}

/// Reads a URL; Go's complaint otherwise.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    let refuse = |why: &str| Err(format!("parse {}: {why}", quote(text)));
    if text.is_empty() {
        return refuse("empty url");
    }
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return refuse("net/url: invalid control character in URL");
    }
    let (whole, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = match scheme(whole) {
        Ok(parts) => parts,
        Err(why) => return refuse(why),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.starts_with('/') {
        return match scheme {
            "" => refuse("invalid URI for request"),
            _ => Ok(opaque(scheme, query, fragment)),
        };
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !rest.starts_with("///") => {
            after.split_at(after.find('/').unwrap_or(after.len()))
        }
        _ => ("", rest),
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if let Some(why) = bad_host(host) {
        return refuse(&why);
    }
    if let Some(escape) = bad_escape(path) {
        return refuse(&format!("invalid URL escape {}", quote(escape)));
    }
    Ok(Url {
        scheme: scheme.to_ascii_lowercase(),
        user: user.to_owned(),
        host: host.to_owned(),
        path: escaped(path),
        query: query.to_owned(),
        fragment: fragment.to_owned(),
    })
}

/// `mailto:x`: there is no host, and what follows is no path.
fn opaque(scheme: &str, query: &str, fragment: &str) -> Url {
    Url {
        scheme: scheme.to_ascii_lowercase(),
        user: String::new(),
        host: String::new(),
        path: String::new(),
        query: query.to_owned(),
        fragment: fragment.to_owned(),
    }
}

/// The scheme, and what follows its colon.
fn scheme(text: &str) -> Result<(&str, &str), &'static str> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme"),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    let first = text.split('/').next().unwrap_or_default();
    if first.contains(':') && !text.starts_with('/') {
        return Err("first path segment in URL cannot contain colon");
    }
    Ok(("", text))
}

fn bad_host(host: &str) -> Option<String> {
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.find(']') {
            Some(end) => &inner[end + 1..],
            None => return Some("missing ']' in host".to_owned()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !port.is_empty() && (!port.starts_with(':') || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Some(format!("invalid port {} after host", quote(port)));
    }
    let bad = host.chars().find(|c| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'));
    if let Some(bad) = bad {
        return Some(format!("invalid character {} in host name", quote(&bad.to_string())));
    }
    bad_escape(host).map(|escape| format!("invalid URL escape {}", quote(escape)))
}

/// A percent sign without two hexadecimal digits.
fn bad_escape(text: &str) -> Option<&str> {
    for (at, _) in text.match_indices('%') {
        let digits = text.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let mut end = (at + 3).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            return Some(&text[at..end]);
        }
    }
    None
}

/// The path with everything escaped that has to be.
fn escaped(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/%[]".contains(&b);
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if plain(byte) { out.push(char::from(byte)) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}

fn unescaped(text: &str) -> Option<String> {
    bad_escape(text).is_none().then_some(())?;
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            byte => out.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

pub(super) fn url<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    match parse(text(&args[0])?) {
        Ok(url) => Ok(Value::Url(Arc::new(url))),
        Err(why) => Err(Error::new(format!("URL parse error during conversion from string: {why}"))),
    }
}

pub(super) fn is_url<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Bool(parse(text(&args[0])?).is_ok()))
}

pub(super) fn part<'a>(args: &[Value<'a>], part: fn(&Url) -> String) -> Result<Value<'a>, Error> {
    match &args[0] {
        Value::Url(url) => Ok(Value::from(part(url))),
        _ => Err(Error::no_overload()),
    }
}

/// Parameters with all their values; those that do not read are left out.
pub(super) fn query<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let Value::Url(url) = &args[0] else { return Err(Error::no_overload()) };
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            found.entry(key).or_default().push(Value::from(value));
        }
    }
    let entries = found.into_iter().map(|(key, values)| (Key::String(Text::from(key)), Value::from(values)));
    Ok(Value::Map(Map::of(entries.collect())))
}
