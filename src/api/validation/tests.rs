use std::net::IpAddr;

use serde_json::json;

use super::field::{Error, ErrorList, Path};
use super::*;

type Check = fn(&str) -> Vec<String>;

#[test]
fn accepts_and_refuses() {
    let long = |n: usize| "a".repeat(n);
    let cases: &[(Check, &[&str], &[&str])] = &[
        (
            dns1123_label,
            &["a", "ab", "a1", "a-1", "a--1--2--b", "0", "01", &long(63)],
            &["", "A", "aB", "-", "a-", "-a", "a.b", "a_b", "a b", "ü", &long(64)],
        ),
        (
            dns1123_subdomain,
            &["a", "0-1", "a.b", "a--b.c--d", "0.1.2", &[long(63).as_str(); 3].join(".")],
            &["", "A", "a.", ".a", "a..b", "a.-b", "a_b", "a@b", &long(254)],
        ),
        (dns1035_label, &["a", "a-1", "abc-123"], &["", "0", "0a", "A", "a-", "-a", "a.b", &long(64)]),
        (wildcard_dns1123_subdomain, &["*.example.com", "*.a"], &["*", "*.", "a.b", "*.*.a", "*a.b", "a.*.b"]),
        (
            qualified_name,
            &["simple", "1-num.2-num", "a.com/b_c.D", "1.2.3.4/5678", &format!("a/{}", long(63))],
            &["", "/a", "a/", "a/b/c", "-a", "a-", "a b", "A.com/b", "Ü", &long(64), &format!("a/{}", long(64))],
        ),
        (label_value, &["", "a", "A_b-c.D", "12345", &long(63)], &["-a", "a-", "a b", "a/b", "=", &long(64)]),
        (port_name, &["http", "a", "1a", "a-1", "123-abc"], &["", "1", "A", "a--b", "-a", "a-", "a_b", &long(16)]),
        (percent, &["0%", "100%"], &["", "%", "1", "-1%", "1.5%", "1%%"]),
        (http_header_name, &["X-A", "a"], &["", "a b", "a:b", "a_b"]),
        (env_var_name, &["A", "a.b-c_D", "1a", "a b"], &["", "a=b", "a\n", "ä"]),
        (config_map_key, &["a", ".a", "a..b", "A_b-c.d"], &["", ".", "..", "..a", "a/b", "a b", &long(254)]),
        (path_segment_name, &["system:node", "a b"], &[".", "..", "a/b", "a%b"]),
    ];
    for (check, valid, invalid) in cases {
        for value in *valid {
            assert_eq!(check(value), Vec::<String>::new(), "{value:?}");
        }
        for value in *invalid {
            assert_ne!(check(value), Vec::<String>::new(), "{value:?}");
        }
    }
}

#[test]
fn speaks_upstreams_words() {
    let check = |got: Vec<String>, expect: &str| assert_eq!(got.join("; "), expect);
    check(
        dns1123_subdomain("A"),
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
         and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    );
    check(
        dns1123_label("A"),
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
         with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
    );
    check(dns1123_label("a.b"), "must not contain dots");
    check(
        qualified_name(""),
        "name part must be non-empty; name part must consist of alphanumeric characters, '-', '_' or '.', and must \
         start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for \
         validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    );
    check(qualified_name(&"a".repeat(64)), "name part must be no more than 63 bytes");
    check(port_number(0), "must be between 1 and 65535, inclusive");
    check(dns1035_label(&"a".repeat(64)), "must be no more than 63 characters");
}

#[test]
fn checks_name_prefixes() {
    assert!(prefix(dns1123_label, "web-").is_empty());
    assert!(!prefix(dns1123_label, "-").is_empty());
    assert!(!prefix(dns1123_label, "Web-").is_empty());
}

#[test]
fn displays_field_errors() {
    let path = Path::root("spec").child("containers").index(0);
    for (error, expect) in [
        (Error::required(&path.child("image"), ""), "spec.containers[0].image: Required value"),
        (Error::invalid(&path, "a\"b", "no"), r#"spec.containers[0]: Invalid value: "a\"b": no"#),
        (Error::invalid(&path, 5, "too much"), "spec.containers[0]: Invalid value: 5: too much"),
        (Error::invalid(&path, json!({"a": 1}), ""), r#"spec.containers[0]: Invalid value: {"a":1}"#),
        (
            Error::not_supported(&path, "x", &["A", "B"]),
            r#"spec.containers[0]: Unsupported value: "x": supported values: "A", "B""#,
        ),
        (Error::forbidden(&path, "no"), "spec.containers[0]: Forbidden: no"),
        (Error::duplicate(&path, "x"), r#"spec.containers[0]: Duplicate value: "x""#),
        (Error::not_found(&path, "x"), r#"spec.containers[0]: Not found: "x""#),
        (Error::too_long(&path, 1), "spec.containers[0]: Too long: may not be more than 1 byte"),
        (Error::too_many(&path, 5, 3), "spec.containers[0]: Too many: 5: must have at most 3 items"),
        (Error::immutable(&path.key("k"), "v"), r#"spec.containers[0][k]: Invalid value: "v": field is immutable"#),
    ] {
        assert_eq!(error.to_string(), expect);
    }
}

#[test]
fn aggregates_like_upstream() {
    let (a, b) = (Error::required(&Path::root("a"), ""), Error::required(&Path::root("b"), ""));
    let text = |errors: Vec<Error>| ErrorList::from(errors).to_string();
    assert_eq!(text(vec![a.clone(), a.clone()]), "a: Required value");
    assert_eq!(text(vec![a, b]), "[a: Required value, b: Required value]");
}

#[test]
fn checks_addresses() {
    let field = Path::root("ip");
    for (value, strict, legacy) in [
        ("10.0.0.1", "", true),
        ("::1", "", true),
        ("010.0.0.1", "must not have leading 0s", true),
        ("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address", true),
        ("FE80::1", "must be in canonical form (\"fe80::1\")", true),
        ("10.0.0", ip_error(), false),
        ("10.0.0.256", ip_error(), false),
        ("a", ip_error(), false),
    ] {
        let details: Vec<_> = ip::ip(&field, value).into_iter().map(|error| error.detail).collect();
        assert_eq!(details.join(""), strict, "{value}");
        assert_eq!(ip::legacy_ip(&field, value).is_empty(), legacy, "{value}");
    }
    for (value, strict, legacy) in [
        ("10.0.0.0/8", "", true),
        ("fd00::/64", "", true),
        ("10.0.0.1/8", "must not have bits set beyond the prefix length", true),
        ("10.0.0.0/08", "must not have leading 0s in IP or prefix length", true),
        ("FD00::/64", "must be in canonical form (\"fd00::/64\")", true),
        ("10.0.0.0/33", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)", false),
        ("10.0.0.0", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)", false),
    ] {
        let details: Vec<_> = ip::cidr(&field, value).into_iter().map(|error| error.detail).collect();
        assert_eq!(details.join(""), strict, "{value}");
        assert_eq!(ip::legacy_cidr(&field, value).is_empty(), legacy, "{value}");
    }
    let masked: IpAddr = "10.0.0.0".parse().unwrap();
    assert_eq!(ip::parse_cidr("10.1.2.3/8").map(|(ip, bits)| ip::mask(ip, bits)), Some(masked));
}

fn ip_error() -> &'static str {
    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
}

#[test]
fn checks_labels_annotations_and_selectors() {
    let field = Path::root("m");
    assert!(validate_labels([("a/b", "c")], &field).is_empty());
    assert_eq!(validate_labels([("a b", "c d")], &field).len(), 2);
    assert!(validate_annotations([("A.com/b", "anything goes")], &field).is_empty());
    let big = "x".repeat(TOTAL_ANNOTATION_SIZE_LIMIT);
    assert_eq!(
        validate_annotations([("a", big.as_str())], &field).to_string(),
        "m: Too long: may not be more than 262144 bytes"
    );
    let selector = json!({"matchExpressions": [
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "a", "operator": "Gt", "values": ["1"]},
    ]});
    assert_eq!(
        validate_label_selector(&selector, &field).to_string(),
        "[m.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn', \
         m.matchExpressions[1].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist', \
         m.matchExpressions[2].operator: Invalid value: \"Gt\": not a valid selector operator]"
    );
}
