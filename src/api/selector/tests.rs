use std::collections::BTreeMap;

use serde_json::json;

use super::{FieldSelector, LabelSelector};

fn labels(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn label_selectors_print_in_one_form() {
    for (text, expect) in [
        ("", ""),
        ("a=b", "a=b"),
        ("a==b", "a==b"),
        ("a!=b", "a!=b"),
        (" a = b , c ", "a=b,c"),
        ("z,a", "a,z"),
        ("!a", "!a"),
        ("a in (y,x)", "a in (x,y)"),
        ("a in(x)", "a in (x)"),
        ("a notin (x,x)", "a notin (x)"),
        ("a in ()", "a in ()"),
        ("a in (,)", "a in ()"),
        ("a in (x,)", "a in (,x)"),
        ("a in (,x)", "a in (,x)"),
        ("a=", "a="),
        ("a=,b", "a=,b"),
        ("a!=", "a!="),
        ("a>1,b<2", "a>1,b<2"),
        ("in in (in)", "in in (in)"),
        ("notin=notin", "notin=notin"),
        ("a.io/b=c", "a.io/b=c"),
        ("!a\n,\tb", "!a,b"),
    ] {
        let selector = LabelSelector::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(selector.to_string(), expect, "{text}");
        assert_eq!(LabelSelector::parse(expect).unwrap(), selector, "{text}");
    }
}

#[test]
fn label_selectors_that_do_not_parse() {
    for (text, expect) in [
        ("a,", "found '', expected: identifier after ','"),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a=(", "unable to parse requirement: found '(', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be \
             an integer",
        ),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap_err().to_string(), expect, "{text}");
    }
    // Time grows with the length and no faster: selectors come from clients.
    assert!(LabelSelector::parse(&"(".repeat(1_000_000)).is_err());
    let error = LabelSelector::parse("-a=b").unwrap_err().to_string();
    let start = "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of";
    assert!(error.starts_with(start), "{error}");
    let error = LabelSelector::parse("a=-b").unwrap_err().to_string();
    let start = "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn label_selectors_match() {
    for (selector, with, expect) in [
        ("", "", true),
        ("a=b", "a=b", true),
        ("a=b", "a=c", false),
        ("a=b", "", false),
        ("a!=b", "", true),
        ("a!=b", "a=b", false),
        ("a in (b,c)", "a=c", true),
        ("a in (b,c)", "a=d", false),
        ("a notin (b)", "", true),
        ("a", "a=", true),
        ("!a", "a=", false),
        ("a=", "a=", true),
        ("a=", "", false),
        ("a>1", "a=2", true),
        ("a>1", "a=1", false),
        ("a>1", "a=x", false),
        ("a<1", "", false),
        ("a=b,c=d", "a=b,c=d", true),
        ("a=b,c=d", "a=b", false),
    ] {
        let parsed = LabelSelector::parse(selector).unwrap();
        assert_eq!(parsed.matches(&labels(with)), expect, "{selector} on {with}");
        let pairs: Vec<_> = labels(with).into_iter().collect();
        assert_eq!(parsed.matches(pairs.as_slice()), expect, "{selector} on {with}");
    }
}

#[test]
fn selector_objects() {
    let of = |value| LabelSelector::from_object(Some(&value));
    assert!(LabelSelector::from_object(None).unwrap() == LabelSelector::nothing());
    assert!(of(json!(null)).unwrap() == LabelSelector::nothing());
    assert!(of(json!({})).unwrap().is_everything());
    assert!(!LabelSelector::nothing().matches(&labels("")));
    let selector = of(json!({"matchLabels": {"b": "c"}, "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["y", "x"]},
        {"key": "d", "operator": "DoesNotExist"},
    ]}))
    .unwrap();
    assert_eq!(selector.to_string(), "a in (x,y),b=c,!d");
    assert_eq!((selector.exact("b"), selector.exact("a")), (Some("c"), None));
    let error = of(json!({"matchExpressions": [{"key": "a", "operator": "Is"}]})).unwrap_err();
    assert_eq!(error.to_string(), "\"Is\" is not a valid label selector operator");
    let error = of(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})).unwrap_err();
    assert_eq!(error.to_string(), "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
}

#[test]
fn field_selectors() {
    for (text, expect) in [
        ("", Ok("")),
        (",", Ok("")),
        ("a=b", Ok("a=b")),
        ("a==b", Ok("a=b")),
        ("b!=c,a=b", Ok("a=b,b!=c")),
        ("a=", Ok("a=")),
        (r"a=x\,y\=z\\", Ok(r"a=x\,y\=z\\")),
        ("a", Err("invalid selector: 'a'; can't understand 'a'")),
        ("a=b=c", Err("invalid field selector: unescaped character in value: 61")),
        (r"a=b\c", Err(r"invalid field selector: invalid escape sequence: \c")),
        (r"a=b\", Err(r"invalid field selector: invalid escape sequence: \")),
    ] {
        let got = FieldSelector::parse(text).map(|selector| selector.to_string()).map_err(|error| error.to_string());
        assert_eq!(got, expect.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
    let selector = FieldSelector::parse(r"metadata.name=a\,b,status.phase!=Running").unwrap();
    assert_eq!(selector.exact("metadata.name"), Some("a,b"));
    let matches = |name: &str, phase: Option<&str>| {
        selector.matches(|field| if field == "metadata.name" { Some(name) } else { phase })
    };
    assert!(matches("a,b", None) && matches("a,b", Some("Failed")));
    assert!(!matches("a,b", Some("Running")) && !matches("a", None));
}
