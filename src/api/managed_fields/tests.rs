use super::*;

fn entry(manager: &str, operation: &str, version: &str, second: u32, fields: &str) -> String {
    format!(
        r#"{{"manager":"{manager}","operation":"{operation}","apiVersion":"{version}","time":"2026-01-01T00:00:{second:02}Z","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#
    )
}

fn written(managed: &ManagedFields) -> String {
    let mut out = Vec::new();
    managed.write_json(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn entries_are_written_as_they_are_read() {
    let text = concat!(
        r#"[{"manager":"k","operation":"Apply","apiVersion":"v1","time":"2026-01-02T03:04:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{"f:a":{}}}},"#,
        r#"{"operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:status":{}},"subresource":"status"}]"#
    );
    let managed = ManagedFields::parse(text).unwrap();
    assert_eq!(written(&managed), text);
    assert_eq!(managed.to_value(), serde_json::from_str::<Value>(text).unwrap());
}

#[test]
fn they_are_sorted_as_upstream_sorts_them() {
    let text = [
        entry("b", "Update", "v1", 2, r#"{"f:b":{}}"#),
        entry("a", "Update", "v1", 2, r#"{"f:a":{}}"#),
        entry("z", "Update", "v1", 1, r#"{"f:z":{}}"#),
        entry("y", "Apply", "v1", 9, r#"{"f:y":{}}"#),
        entry("a", "Update", "v0", 2, r#"{"f:c":{}}"#),
    ];
    let mut managed = ManagedFields::parse(&format!("[{}]", text.join(","))).unwrap();
    managed.settle().unwrap();
    let order: Vec<String> =
        managed.entries().iter().map(|e| format!("{} {}", e.manager.name, e.manager.api_version)).collect();
    assert_eq!(order, ["y v1", "z v1", "a v0", "a v1", "b v1"]);
}

#[test]
fn what_is_no_entry_is_refused() {
    for (text, expect) in [
        (r#"[{"apiVersion":"v1","fieldsType":"FieldsV1"}]"#, "operation must be `Apply` or `Update`"),
        (r#"[{"operation":"Update","fieldsType":"FieldsV1"}]"#, "apiVersion must not be empty"),
        (r#"[{"operation":"Update","apiVersion":"v1"}]"#, "missing fieldsType in managed fields entry 0"),
        (
            r#"[{"operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV2"}]"#,
            "invalid fieldsType \"FieldsV2\" in managed fields entry 0",
        ),
    ] {
        assert_eq!(ManagedFields::parse(text).unwrap_err().to_string(), expect);
    }
    // Sets are read when a client sends them, unless they are known.
    let broken: Value = serde_json::from_str(&format!("[{}]", entry("a", "Update", "v1", 1, r#"{"f":{}}"#))).unwrap();
    assert!(ManagedFields::from_value(&broken, &ManagedFields::default()).is_err());
    let known = ManagedFields::parse(&broken.to_string()).unwrap();
    assert!(ManagedFields::from_value(&broken, &known).is_ok());
}

#[test]
fn a_client_can_ask_to_forget() {
    // Of custom kinds upstream reads an empty list as none.
    assert!(!ManagedFields::is_reset(&json!([]), false));
    assert!(ManagedFields::is_reset(&json!([{}]), false));
    for (value, expect) in [
        (json!([]), true),
        (json!([{}]), true),
        (json!([{"manager": "", "time": null}]), true),
        (json!([{"manager": "a"}]), false),
        (json!([{}, {}]), false),
        (json!(null), false),
    ] {
        assert_eq!(ManagedFields::is_reset(&value, true), expect, "{value}");
    }
}

#[test]
fn the_oldest_of_too_many_updaters_become_one() {
    let check = |texts: Vec<String>, expect: &[&str]| {
        let mut managed = ManagedFields::parse(&format!("[{}]", texts.join(","))).unwrap();
        managed.settle().unwrap();
        let shown = |e: &Entry| format!("{} {} {}", e.manager.name, e.manager.api_version, e.set().unwrap().len());
        assert_eq!(managed.entries().iter().map(shown).collect::<Vec<_>>(), expect);
    };
    let one =
        |at: u32, version: &str| entry(&format!("m{at:02}"), "Update", version, at, &format!(r#"{{"f:x{at}":{{}}}}"#));
    let names = |range: std::ops::Range<u32>| range.map(|at| format!("m{at:02} v1 1")).collect::<Vec<_>>();
    let ten = names(0..10);
    check((0..10).map(|at| one(at, "v1")).collect(), &ten.iter().map(String::as_str).collect::<Vec<_>>());
    let rest = names(3..12);
    let mut expect = vec!["ancient-changes v1 3"];
    expect.extend(rest.iter().map(String::as_str));
    check((0..12).map(|at| one(at, "v1")).collect(), &expect);
    // Fields named at different versions cannot be put together.
    let mut mixed: Vec<String> = vec![one(0, "v0")];
    mixed.extend((1..12).map(|at| one(at, "v1")));
    let rest = names(4..12);
    let mut expect = vec!["m00 v0 1", "ancient-changes v1 3"];
    expect.extend(rest.iter().map(String::as_str));
    check(mixed, &expect);
    // Those who apply are not counted.
    let apply = (0..12).map(|at| entry(&format!("m{at:02}"), "Apply", "v1", at, r#"{"f:x":{}}"#)).collect();
    let all = names(0..12);
    check(apply, &all.iter().map(String::as_str).collect::<Vec<_>>());
}
