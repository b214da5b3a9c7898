//! The formats of strings that schemas may ask for; others are not looked at.

mod network;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use regex::Regex;

/// Name → whether a value has the format.
type Check = fn(&str) -> bool;

/// The table, by the names without their dashes.
const FORMATS: &[(&str, Check)] = &[
    ("bsonobjectid", |value| value.len() == 24 && value.bytes().all(|b| b.is_ascii_hexdigit())),
    ("byte", |value| BASE64.is_match(value)),
    ("cidr", network::is_cidr),
    ("creditcard", is_credit_card),
    ("date", is_date),
    ("datetime", is_date_time),
    ("duration", is_duration),
    ("email", network::is_email),
    ("hexcolor", |value| {
        let digits = value.strip_prefix('#').unwrap_or(value);
        matches!(digits.len(), 3 | 6) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    }),
    ("hostname", network::is_hostname),
    ("ipv4", network::is_ipv4),
    ("ipv6", network::is_ipv6),
    ("isbn", |value| is_isbn10(value) || is_isbn13(value)),
    ("isbn10", is_isbn10),
    ("isbn13", is_isbn13),
    ("k8slongname", |value| crate::validation::dns1123_subdomain(value).is_empty()),
    ("k8sshortname", |value| {
        !value.contains('.') && value.len() <= 63 && crate::validation::dns1123_label(value).is_empty()
    }),
    ("mac", network::is_mac),
    ("password", |_| true),
    ("rgbcolor", |value| RGB.is_match(value)),
    ("ssn", |value| value.len() == 11 && SSN.is_match(value)),
    ("uri", network::is_request_uri),
    ("uuid", |value| is_uuid(value, None)),
    ("uuid3", |value| is_uuid(value, Some('3'))),
    ("uuid4", |value| is_uuid(value, Some('4')) && has_uuid_variant(value)),
    ("uuid5", |value| is_uuid(value, Some('5')) && has_uuid_variant(value)),
];

/// Whether strings can be held against the format.
pub fn is_known(format: &str) -> bool {
    check(format).is_some()
}

/// Whether the value has the format; a format nobody knows is no format.
pub(super) fn has(format: &str, value: &str) -> bool {
    check(format).is_none_or(|check| check(value))
}

fn check(format: &str) -> Option<Check> {
    let normal = format.replace('-', "");
    FORMATS.iter().find(|(name, _)| *name == normal).map(|(_, check)| *check)
}

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| match Regex::new($pattern) {
            Ok(regex) => regex,
            Err(error) => unreachable!("{error}"),
        });
    };
}

pattern!(BASE64, "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$");
pattern!(SSN, "^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$");
pattern!(
    RGB,
    r"^rgb\([\t\n\f\r ]*(?:(?:0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*,[\t\n\f\r ]*){2}(?:0|[1-9][0-9]?|1[0-9][0-9]?|2[0-4][0-9]|25[0-5])[\t\n\f\r ]*\)$"
);
pattern!(
    CARD,
    "^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(?:222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11}|6[27][0-9]{14})$"
);
pattern!(TIME, r"^([0-9]{2}):([0-9]{2}):([0-9]{2})(?:.[0-9]+)?(?:z|(?:[+-][0-9]{2}:[0-9]{2}))$");
pattern!(DURATION_PART, r"([0-9]+)[\t\n\f\r ]*([A-Za-zµ]+)");

fn is_credit_card(value: &str) -> bool {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    if !CARD.is_match(&digits) {
        return false;
    }
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
            if digit > 9 { digit - 9 } else { digit }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The digits of a book number without what is put between them.
fn isbn(value: &str) -> String {
    value.chars().filter(|c| *c != '-' && !c.is_ascii_whitespace()).collect()
}

fn is_isbn10(value: &str) -> bool {
    let value = isbn(value);
    let Some((digits, last)) = value.split_at_checked(9) else { return false };
    let check = match last {
        "X" => 10,
        last => match last.parse::<u32>() {
            Ok(digit) if last.len() == 1 => digit,
            _ => return false,
        },
    };
    let mut sum = 10 * check;
    for (weight, digit) in (1..).zip(digits.chars()) {
        let Some(digit) = digit.to_digit(10) else { return false };
        sum += weight * digit;
    }
    sum % 11 == 0
}

fn is_isbn13(value: &str) -> bool {
    let value = isbn(value);
    if value.len() != 13 || !value.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let digits: Vec<u32> = value.bytes().map(|b| u32::from(b - b'0')).collect();
    let sum: u32 = digits[..12].iter().zip([1, 3].into_iter().cycle()).map(|(digit, weight)| digit * weight).sum();
    digits[12] == (10 - sum % 10) % 10
}

/// `2006-01-02`, a day there is.
fn is_date(value: &str) -> bool {
    value.len() == 10
        && value.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() })
        && value.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(value: &str) -> bool {
    let lower = value.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else { return false };
    let Some(found) = TIME.captures(time) else { return false };
    is_date(date) && &found[1] <= "23" && &found[2] <= "59" && &found[3] <= "59"
}

/// `1h30m`, `-1.5s`, `0`.
fn is_go_duration(value: &str) -> bool {
    let mut rest = value.strip_prefix(['-', '+']).unwrap_or(value);
    if rest == "0" {
        return true;
    }
    let mut parts = 0;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest = &rest[whole..];
        let fraction = rest.strip_prefix('.').map(|after| after.bytes().take_while(u8::is_ascii_digit).count());
        if whole + fraction.unwrap_or(0) == 0 {
            return false;
        }
        rest = &rest[fraction.map_or(0, |digits| digits + 1)..];
        let unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        if !matches!(&rest[..unit], "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = &rest[unit..];
        parts += 1;
    }
    parts > 0
}

/// Go's durations, and Scala's.
fn is_duration(value: &str) -> bool {
    if is_go_duration(value) {
        return true;
    }
    // Of each unit, the last name stands for all that begin with it.
    const UNITS: &[&[&str]] = &[
        &["ns", "nano"],
        &["us", "µs", "micro"],
        &["ms", "milli"],
        &["s", "sec"],
        &["m", "min"],
        &["h", "hr", "hour"],
        &["d", "day"],
        &["w", "wk", "week"],
    ];
    let mut found = false;
    for part in DURATION_PART.captures_iter(value) {
        if part[1].parse::<i64>().is_err() {
            return false;
        }
        let unit = part[2].to_lowercase();
        found |= UNITS.iter().any(|names| {
            names.iter().any(|name| *name == unit) || names.last().is_some_and(|last| unit.starts_with(last))
        });
    }
    found
}

fn is_uuid(value: &str, version: Option<char>) -> bool {
    let digits = uuid_digits(value);
    digits.is_some_and(|digits| version.is_none_or(|version| digits.chars().nth(12) == Some(version)))
}

fn has_uuid_variant(value: &str) -> bool {
    let variant = uuid_digits(value).and_then(|digits| digits.chars().nth(16));
    variant.is_some_and(|digit| matches!(digit.to_ascii_lowercase(), '8' | '9' | 'a' | 'b'))
}

/// The digits of a UUID, whose groups may have dashes between them.
fn uuid_digits(value: &str) -> Option<String> {
    let mut rest = value;
    let mut digits = String::with_capacity(32);
    for (at, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let (group, after) = rest.split_at_checked(length)?;
        digits.push_str(group);
        rest = after;
    }
    (rest.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
}
