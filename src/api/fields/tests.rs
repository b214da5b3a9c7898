use super::*;

fn parse(text: &str) -> Set {
    Set::parse(text.as_bytes()).unwrap()
}

fn written(set: &Set) -> String {
    let mut out = Vec::new();
    set.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

/// Short words for sets: `a b.c b.c.d`.
fn set(paths: &str) -> Set {
    Set::named(&paths.split_whitespace().collect::<Vec<_>>())
}

#[test]
fn sets_are_written_as_they_are_read() {
    for text in [
        "{}",
        r#"{"f:a":{},"f:b":{},"k:{\"name\":\"first\"}":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{},"k:{\"port\":443,\"protocol\":\"TCP\"}":{},"v:1":{},"v:2":{},"v:\"a\"":{},"v:true":{},"i:1":{},"i:2":{}}"#,
        r#"{"f:spec":{".":{},"f:apps":{".":{},"k:{\"name\":\" app-💻\"}":{".":{},"f:name":{}}}}}"#,
        r#"{"f:metadata":{"f:annotations":{"f:a.b/c\"d":{}}}}"#,
    ] {
        assert_eq!(written(&parse(text)), text);
    }
}

#[test]
fn sets_are_read_in_any_order_and_form() {
    for (text, expect) in [
        (r#"{"f:b":{},"f:a":{}}"#, r#"{"f:a":{},"f:b":{}}"#),
        // As Go's JSON, with escapes for what could mean something in HTML.
        (
            r#"{"k:{\"value\":\"a<b\"}":{},"v:\"&\"":{},"v:3.0":{}}"#,
            r#"{"k:{\"value\":\"a\\u003cb\"}":{},"v:3":{},"v:\"\\u0026\"":{}}"#,
        ),
        (r#"{"k:{ \"z\":1, \"a\":2}":{}}"#, r#"{"k:{\"a\":2,\"z\":1}":{}}"#),
        (r#"{"v: 3":{},"v:1":{}}"#, r#"{"v:1":{},"v:3":{}}"#),
        (r#"{"f:a":{"f:b":{}},"f:a":{".":{},"f:c":{}}}"#, r#"{"f:a":{".":{},"f:b":{},"f:c":{}}}"#),
        // Steps that a later version may know.
        (r#"{"f:a":{"x:new":{}},"x:other":{"f:b":{}}}"#, r#"{"f:a":{}}"#),
        (r#"{".":{},"f:a":{}}"#, r#"{"f:a":{}}"#),
    ] {
        assert_eq!(written(&parse(text)), expect, "{text}");
    }
}

#[test]
fn what_is_no_set_is_refused() {
    for text in
        ["", "[]", "{", r#"{"f":{}}"#, r#"{"nocolon":{}}"#, r#"{"i:x":{}}"#, r#"{"k:[]":{}}"#, r#"{"f:a":1}"#, "{} x"]
    {
        assert!(Set::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn sets_are_put_together() {
    for (a, b, union, intersection, difference, recursive) in [
        ("a b", "b c", "a b c", "b", "a", "a"),
        ("a.b a.c", "a.b", "a.b a.c", "a.b", "a.c", "a.c"),
        // A field and the ones below it count apart, unless asked otherwise.
        ("a a.b", "a", "a a.b", "a", "a.b", ""),
        ("a.b.c", "a.b", "a.b a.b.c", "", "a.b.c", ""),
        ("a", "a.b", "a a.b", "", "a", "a"),
        ("", "a", "a", "", "", ""),
    ] {
        let (a, b) = (set(a), set(b));
        assert_eq!(a.union(&b), set(union));
        assert_eq!(b.union(&a), set(union));
        assert_eq!(a.intersection(&b), set(intersection));
        assert_eq!(a.difference(&b), set(difference));
        let mut rest = a.clone();
        rest.subtract(&b);
        assert_eq!(rest, set(difference));
        assert_eq!(a.recursive_difference(&b), set(recursive));
    }
}

#[test]
fn leaves_have_nothing_below_them() {
    assert_eq!(set("a a.b c d.e d.e.f").leaves(), set("a.b c d.e.f"));
}

#[test]
fn a_set_is_looked_for_in_the_text_of_another() {
    let text = r#"{"f:spec":{"f:replicas":{},"f:list":{".":{},"k:{\"name\":\"a\"}":{".":{},"f:x":{}}}},"x:new":{}}"#;
    for (asked, expect) in [
        (r#"{"f:spec":{"f:replicas":{}}}"#, 1),
        (r#"{"f:spec":{}}"#, 0),
        (r#"{"f:spec":{"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:x":{},"f:y":{}}}}}"#, 2),
        (r#"{"f:spec":{"f:list":{}},"f:other":{}}"#, 1),
        (r#"{"f:spec":{"f:list":{"k:{\"name\":\"b\"}":{}}}}"#, 0),
    ] {
        let asked = parse(asked);
        assert_eq!(asked.count_in(text.as_bytes()).unwrap(), expect);
        assert_eq!(asked.intersection(&parse(text)).len(), expect);
    }
}

#[test]
fn paths_are_shown_in_upstreams_words() {
    let text = r#"{"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{"f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{}},"f:image":{}}},"f:finalizers":{"v:\"x\"":{}},"f:list":{"i:3":{}}}}"#;
    let shown: Vec<String> = parse(text).paths().iter().map(|path| show(path)).collect();
    assert_eq!(
        shown,
        [
            r#".spec.containers[name="web"].image"#,
            r#".spec.containers[name="web"].ports[containerPort=80,protocol="TCP"]"#,
            r#".spec.finalizers[="x"]"#,
            ".spec.list[3]",
        ]
    );
}
