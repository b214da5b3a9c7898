//! The formats Kubernetes asks of names, labels, ports and keys. Each check returns the complaints in upstream's words,
//! none when the value is valid: users read these texts, and tools match on them.

pub mod field;
pub mod ip;
mod metadata;
#[cfg(test)]
mod tests;

pub use metadata::{
    FIELD_IMMUTABLE, FIELD_MANAGER_MAX, TOTAL_ANNOTATION_SIZE_LIMIT, is_print, validate_annotations,
    validate_field_manager, validate_label_selector, validate_labels, validate_managed_fields,
    validate_selector_requirement,
};

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_FMT: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const QUALIFIED_NAME_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// A DNS label (RFC 1123): the names of namespaces, services' endpoints, containers.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, LABEL_MAX);
    if !is_label(value) {
        errors.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                LABEL_FMT,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

/// A DNS subdomain (RFC 1123): the names of most kinds.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, SUBDOMAIN_MAX);
    if !is_subdomain(value) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            SUBDOMAIN_FMT,
            &["example.com"],
        ));
    }
    errors
}

/// A DNS subdomain in which labels may have underscores: what resolvers search.
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, SUBDOMAIN_MAX);
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let good = value.split('.').all(|label| {
        let bytes = label.as_bytes();
        let start = bytes.strip_prefix(b"_").unwrap_or(bytes);
        let inner = start.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'));
        inner && edge(start.first()) && edge(start.last())
    });
    if !good {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character",
            r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*",
            &["example.com"],
        ));
    }
    errors
}

/// A domain and a path, as in `example.com/controller`: who is in charge of something.
pub fn domain_prefixed_path(field: &field::Path, value: &str) -> field::ErrorList {
    let mut errors = field::ErrorList::new();
    if value.is_empty() {
        errors.push(field::Error::required(field, ""));
        return errors;
    }
    let Some((host, path)) = value.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(field::Error::invalid(field, value, why));
        return errors;
    };
    errors.extend(dns1123_subdomain(host).into_iter().map(|why| field::Error::invalid(field, host, why)));
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !path.bytes().all(allowed) {
        let why = regex_error("Invalid path", r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+", &[]);
        errors.push(field::Error::invalid(field, path, why));
    }
    errors
}

/// A fully qualified domain name, with or without a dot at its end: at least two labels.
pub fn fully_qualified_domain(field: &field::Path, value: &str) -> field::ErrorList {
    let mut errors = field::ErrorList::new();
    let name = value.strip_suffix('.').unwrap_or(value);
    if name.is_empty() {
        errors.push(field::Error::required(field, ""));
        return errors;
    }
    let complaints = dns1123_subdomain(name);
    if !complaints.is_empty() {
        errors.push(field::Error::invalid(field, name, complaints.join(",")));
    } else if !name.contains('.') {
        let why = "should be a domain with at least two segments separated by dots";
        errors.push(field::Error::invalid(field, name, why));
    } else if let Some(label) = name.split('.').find(|label| !dns1123_label(label).is_empty()) {
        errors.push(field::Error::invalid(field, label, dns1123_label(label).join(",")));
    }
    errors
}

/// A DNS label (RFC 1035), which starts with a letter: the names of services.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, LABEL_MAX);
    if !(is_label(value) && value.as_bytes()[0].is_ascii_lowercase()) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// A subdomain that starts with `*.`: hosts of ingresses.
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, SUBDOMAIN_MAX);
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        errors.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
            &format!(r"\*\.{SUBDOMAIN_FMT}"),
            &["*.example.com"],
        ));
    }
    errors
}

/// A name of one or more letters with an optional subdomain before a slash: label keys, finalizers, taint keys.
pub fn qualified_name(value: &str) -> Vec<String> {
    let complaint = || {
        regex_error(
            "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            QUALIFIED_NAME_FMT,
            &["MyName", "my.name", "123-abc"],
        )
    };
    let mut errors = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a valid label key {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                complaint()
            )];
        }
        Some(("", name)) => {
            errors.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            // This one of upstream's checks counts bytes in its words, the one for object names characters.
            if prefix.len() > SUBDOMAIN_MAX {
                errors.push(format!("prefix part must be no more than {SUBDOMAIN_MAX} bytes"));
            }
            let rest = dns1123_subdomain(prefix).into_iter().filter(|error| !error.starts_with("must be no more"));
            errors.extend(rest.map(|error| format!("prefix part {error}")));
            name
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        errors.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_qualified(name) {
        errors.push(format!("name part {}", complaint()));
    }
    errors
}

/// A name as programming languages have them.
pub fn c_identifier(value: &str) -> Vec<String> {
    let first = value.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if first && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Vec::new();
    }
    vec![regex_error(
        "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
        "[A-Za-z_][A-Za-z0-9_]*",
        &["my_name", "MY_NAME", "MyName"],
    )]
}

/// A label's value: empty, or like the name part of a qualified name.
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > LABEL_MAX {
        errors.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !value.is_empty() && !is_qualified(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            &format!("({QUALIFIED_NAME_FMT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

/// A port number, 1 to 65535.
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// A number between two bounds, both included; also upstream's check of user and group ids (`0..=i32::MAX`).
pub fn in_range(value: i64, low: i64, high: i64) -> Vec<String> {
    if (low..=high).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {low} and {high}, inclusive")]
}

/// A named port (IANA service name): at most 15 of `[-a-z0-9]` with a letter among them.
pub fn port_name(port: &str) -> Vec<String> {
    let mut errors = max_characters(port, 15);
    let allowed = |b: u8| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit();
    if port.is_empty() || !port.bytes().all(allowed) {
        errors.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !port.bytes().any(|b| b.is_ascii_lowercase()) {
        errors.push("must contain at least one letter (a-z)".to_owned());
    }
    if port.contains("--") {
        errors.push("must not contain consecutive hyphens".to_owned());
    }
    if port.starts_with('-') || port.ends_with('-') {
        errors.push("must not begin or end with a hyphen".to_owned());
    }
    errors
}

/// A percentage, digits and `%`.
pub fn percent(value: &str) -> Vec<String> {
    let valid = value.strip_suffix('%').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
    if valid {
        return Vec::new();
    }
    vec![regex_error(
        "a valid percent string must be a numeric string followed by an ending '%'",
        "[0-9]+%",
        &["1%", "93%"],
    )]
}

/// The name of an HTTP header in a probe.
pub fn http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric()) {
        return Vec::new();
    }
    vec![regex_error(
        "a valid HTTP header must consist of alphanumeric characters or '-'",
        "[-A-Za-z0-9]+",
        &["X-Header-Name"],
    )]
}

/// The name of an environment variable as 1.34 and later accept it: printable ASCII without `=`.
pub fn env_var_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec!["a valid environment variable name must consist only of printable ASCII characters other than '='".to_owned()]
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut errors = max_characters(value, SUBDOMAIN_MAX);
    if value.is_empty() || !value.bytes().all(is_name_byte) {
        errors.push(regex_error(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    match value {
        "." => errors.push("must not be '.'".to_owned()),
        ".." => errors.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => errors.push("must not start with '..'".to_owned()),
        _ => {}
    }
    errors
}

/// The name of an object whose kind only asks that it can be a path segment (RBAC kinds).
pub fn path_segment_name(name: &str) -> Vec<String> {
    match name {
        "." | ".." => return vec![format!("may not be '{name}'")],
        _ => {}
    }
    ["/", "%"].iter().filter(|c| name.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Applies a name check to a `generateName` prefix, where a trailing dash is fine: five characters follow it.
pub fn prefix(check: fn(&str) -> Vec<String>, value: &str) -> Vec<String> {
    if value.len() > 1 && value.ends_with('-') {
        return check(&format!("{}a", &value[..value.len() - 1]));
    }
    check(value)
}

/// Upstream's words for a value that does not match an expression.
pub fn regex_error(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{message} (e.g. {}regex used for validation is '{regex}')", examples.join(" or "))
}

fn max_characters(value: &str, most: usize) -> Vec<String> {
    if value.len() > most { vec![format!("must be no more than {most} characters")] } else { Vec::new() }
}

fn is_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            alphanumeric(*first) && alphanumeric(*last) && bytes.iter().all(|b| *b == b'-' || alphanumeric(*b))
        }
        _ => false,
    }
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_qualified(value: &str) -> bool {
    let bytes = value.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && value.bytes().all(is_name_byte)
        }
        _ => false,
    }
}

fn is_name_byte(b: u8) -> bool {
    matches!(b, b'-' | b'_' | b'.') || b.is_ascii_alphanumeric()
}
