//! Semantic versions 2.0.0.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Context;
use super::core::text;
use crate::error::Error;
use crate::value::Value;

/// A version. Builds are read, and make no difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semver {
    /// `1` of `1.2.3`.
    pub major: u64,
    /// `2`
    pub minor: u64,
    /// `3`
    pub patch: u64,
    /// `rc.1` of `1.2.3-rc.1`.
    pre: Vec<Identifier>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identifier {
    // Numbers come before words.
    Number(u64),
    Word(String),
}

impl Ord for Semver {
    fn cmp(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            // What comes before a release is less than it.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }
}

impl PartialOrd for Semver {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("Invalid character(s) found in {what} number {}", api::quote::quote(text)));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("{} number must not contain leading zeroes {}", capital(what), api::quote::quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", api::quote::quote(text)))
}

fn capital(word: &str) -> String {
    word[..1].to_ascii_uppercase() + &word[1..]
}

fn parse(text: &str) -> Result<Semver, String> {
    if text.is_empty() {
        return Err("Version string empty".to_owned());
    }
    let mut parts = text.splitn(3, '.');
    let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("No Major.Minor.Patch elements found".to_owned());
    };
    let (rest, build) = rest.split_once('+').map_or((rest, None), |(rest, build)| (rest, Some(build)));
    let (patch, pre) = rest.split_once('-').map_or((rest, None), |(patch, pre)| (patch, Some(pre)));
    let word = |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    for identifier in build.into_iter().flat_map(|build| build.split('.')) {
        if identifier.is_empty() {
            return Err("Build meta data is empty".to_owned());
        }
        if !word(identifier) {
            return Err(format!("Invalid character(s) found in build meta data {}", api::quote::quote(identifier)));
        }
    }
    let identifier = |text: &str| {
        if text.is_empty() {
            return Err("Prerelease is empty".to_owned());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            if text.len() > 1 && text.starts_with('0') {
                let text = api::quote::quote(text);
                return Err(format!("Numeric PreRelease version must not contain leading zeroes {text}"));
            }
            return Ok(text.parse().map_or_else(|_| Identifier::Word(text.to_owned()), Identifier::Number));
        }
        if word(text) {
            return Ok(Identifier::Word(text.to_owned()));
        }
        Err(format!("Invalid character(s) found in prerelease {}", api::quote::quote(text)))
    };
    let pre = pre.into_iter().flat_map(|pre| pre.split('.')).map(identifier).collect::<Result<_, _>>()?;
    Ok(Semver { major: number(major, "major")?, minor: number(minor, "minor")?, patch: number(patch, "patch")?, pre })
}

/// Reads `v1.2` as `1.2.0`, and numbers with zeros before them.
fn parse_tolerant(text: &str) -> Result<Semver, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 && parts.last().is_some_and(|last| last.contains(['+', '-'])) {
        return Err("short version cannot contain PreRelease/Build meta data".to_owned());
    }
    parts.resize(3, "0".to_owned());
    parse(&parts.join("."))
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let stripped = part.trim_start_matches('0');
    if stripped.bytes().next().is_some_and(|b| b.is_ascii_digit()) {
        stripped.to_owned()
    } else {
        format!("0{stripped}")
    }
}

fn read(args: &[Value<'_>]) -> Result<Result<Semver, String>, Error> {
    let text = text(&args[0])?;
    match args.get(1) {
        None | Some(Value::Bool(false)) => Ok(parse(text)),
        Some(Value::Bool(true)) => Ok(parse_tolerant(text)),
        _ => Err(Error::no_overload()),
    }
}

pub(super) fn semver<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    read(args)?.map(|version| Value::Semver(Arc::new(version))).map_err(Error::new)
}

pub(super) fn is_semver<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Ok(Value::Bool(read(args)?.is_ok()))
}

pub(super) fn of<'v>(value: &'v Value<'_>) -> Result<&'v Semver, Error> {
    match value {
        Value::Semver(version) => Ok(version),
        _ => Err(Error::no_overload()),
    }
}
