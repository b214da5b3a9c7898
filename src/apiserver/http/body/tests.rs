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
        ("a: 1\n---\na: [", "application/yaml", r#"{"a":1} []"#),
        ("a: 1\na: 2\n---\nb: 1\nb: 2\n", "application/yaml", r#"{"a":2} ["line 2: key \"a\" already set in map"]"#),
        ("a: 1", "text/yaml", "415"),
        ("a: 1", "application/x-yaml", "415"),
        ("{}", "application/json; x=\"y", "415"),
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
    check("{}", "application/json-patch+json", true, "Json");
    check("{}", "application/merge-patch+json", false, "Merge");
    check("{}", "application/strategic-merge-patch+json", true, "Strategic");
    check("{}", "application/strategic-merge-patch+json", false, "415");
    check("a: b", "application/apply-patch+yaml", false, "Apply");
    check("{}", "application/json", true, "415");
    check("", "application/apply-patch+cbor", true, "415");
}

/// Upstream's samples of every kind, where they are present: YAML is read as the JSON beside it, and written as it was.
#[test]
#[expect(clippy::print_stderr, reason = "a test that has nothing to read must say so")]
fn golden_samples_in_yaml() {
    let root = std::env::var_os("ISOPOD_TESTDATA").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/testdata"),
        std::path::PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(root.join("kubernetes-api")) else {
        eprintln!("no golden samples here: set ISOPOD_TESTDATA to the folder that has kubernetes-api/");
        return;
    };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let (mut seen, mut failures) = (0, Vec::new());
    for path in paths.filter(|path| path.extension().is_some_and(|e| e == "yaml")) {
        let (Ok(text), Ok(json)) = (std::fs::read(&path), std::fs::read(path.with_extension("json"))) else { continue };
        let Ok(json) = serde_json::from_slice::<Value>(&json) else { continue };
        seen += 1;
        match object(&text, "application/yaml", no_protobuf) {
            Ok(read) if read.value == json && read.duplicates.is_empty() => {}
            read => failures.push(format!("{}: read as {:?}", path.display(), read.map(|_| ()))),
        }
        let written = crate::http::yaml::text(json).unwrap();
        if written.as_bytes() != text {
            failures.push(format!("{}: written as\n{written}", path.display()));
        }
    }
    assert!(seen > 150, "{seen} samples");
    assert!(failures.is_empty(), "{} of {seen}:\n{}", failures.len(), failures.join("\n"));
}
