use super::*;

fn no_protobuf(_: &[u8]) -> Result<Value, Status> {
    Err(Status::unsupported_media_type(ACCEPTED))
}

fn check(body: &str, content_type: &str, expect: &str) {
    let seen = match object(body.as_bytes(), content_type, no_protobuf) {
        Ok(decoded) => format!("{} {:?}", decoded.value, decoded.duplicates),
        Err(status) => status.code.to_string(),
    };
    assert_eq!(seen, expect, "{body}");
}

#[test]
fn bodies_are_read_by_their_content_type() {
    for (body, content_type, expect) in [
        (r#"{"a":1,"a":2}"#, "application/json", r#"{"a":2} ["a"]"#),
        (r#"{"a":[{"b":1,"b":null}],"c":-1.5}"#, "", r#"{"a":[{"b":null}],"c":-1.5} ["a[0].b"]"#),
        (
            "a: 1\nb:\n- x\n- 'true'\nc: 0x10",
            "application/yaml; charset=utf-8",
            r#"{"a":1,"b":["x","true"],"c":16} []"#,
        ),
        ("a:\n  b: 1\n  b: 2\n", "application/yaml", r#"{"a":{"b":2}} ["line 3: key \"b\" already set in map"]"#),
        ("{", "application/json", "400"),
        ("{} {}", "application/json", "400"),
        ("\u{0}", "application/yaml", "400"),
        ("{}", "text/plain", "415"),
        ("k8s\0", "application/vnd.kubernetes.protobuf", "415"),
    ] {
        check(body, content_type, expect);
    }
    let deep = "[".repeat(100_000);
    check(&deep, "application/json", "400");
    check(&deep, "application/yaml", "400");
}

#[test]
fn patches_are_read_by_their_content_type() {
    let check = |body: &str, content_type: &str, builtin: bool, expect: &str| {
        let seen = match patch(body.as_bytes(), content_type, builtin) {
            Ok((patch, _)) => format!("{patch:?}").split('(').next().unwrap().to_owned(),
            Err(status) => status.code.to_string(),
        };
        assert_eq!(seen, expect, "{content_type}");
    };
    check("[]", "application/json-patch+json", true, "Json");
    check("{}", "application/json-patch+json", true, "Strategic");
    check("{}", "application/merge-patch+json", false, "Merge");
    check("{}", "application/strategic-merge-patch+json", true, "Strategic");
    check("{}", "application/strategic-merge-patch+json", false, "415");
    check("a: b", "application/apply-patch+yaml", false, "Apply");
    check("{}", "application/json", true, "415");
    check("", "application/apply-patch+cbor", true, "415");
}
