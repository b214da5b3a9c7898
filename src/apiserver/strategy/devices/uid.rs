//! Identifiers that are UUIDs, in one of the forms of upstream's parser.

use api::quote::quote;
use api::validation::field::ErrorList;

use crate::strategy::at::At;

/// Complaints about an identifier, if there is one.
pub(super) fn validate(at: &At, errors: &mut ErrorList) {
    if at.is_set()
        && let Some(why) = mistake(at.str())
    {
        at.invalid(errors, format!("error validating uid: {why}"));
    }
}

/// What is wrong with a text, in upstream's words.
fn mistake(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digits = match bytes.len() {
        32 | 36 => bytes,
        38 if bytes.starts_with(b"{") && bytes.ends_with(b"}") => &bytes[1..37],
        38 => return Some("invalid bracketed UUID format".into()),
        45 if bytes[..9].eq_ignore_ascii_case(b"urn:uuid:") => &bytes[9..],
        45 => return Some(format!("invalid urn prefix: {}", quote(&String::from_utf8_lossy(&bytes[..9])))),
        length => return Some(format!("invalid UUID length: {length}")),
    };
    let is_hyphen = |at: usize| digits.len() == 36 && matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, &u8)| if is_hyphen(at) { *byte == b'-' } else { byte.is_ascii_hexdigit() };
    (!digits.iter().enumerate().all(fits)).then(|| "invalid UUID format".into())
}

#[cfg(test)]
mod tests {
    use super::mistake;

    #[test]
    fn any_form_of_a_uuid_will_do() {
        let check = |text: &str, expect: &str| assert_eq!(mistake(text).unwrap_or_default(), expect, "{text}");
        check("11111111-1111-4111-8111-11111111111f", "");
        check("{11111111-1111-4111-8111-11111111111F}", "");
        check("URN:uuid:11111111-1111-4111-8111-111111111111", "");
        check("11111111111141118111111111111111", "");
        check("", "invalid UUID length: 0");
        check("11111111-1111-4111-8111-11111111111g", "invalid UUID format");
        check("11111111-1111-4111-811111111111-1111", "invalid UUID format");
        check("1111111111114111811111111111111-", "invalid UUID format");
        check("(11111111-1111-4111-8111-111111111111)", "invalid bracketed UUID format");
        check("urn:xuid:11111111-1111-4111-8111-111111111111", "invalid urn prefix: \"urn:xuid:\"");
    }
}
