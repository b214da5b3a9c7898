use serde_json::{Value, json};

use super::PatchError;
use crate::schema::message;
use crate::{Patch, Status};

fn apply(patch: &Patch, object: Value) -> Result<Value, PatchError> {
    let mut object = object;
    patch.apply(&mut object, message("core/v1.ConfigMap")).map(|()| object)
}

#[test]
fn reads_bodies_by_content_type() {
    type Kind = fn(&Patch) -> bool;
    let cases: [(&str, &str, Kind); 7] = [
        ("application/json-patch+json", "[]", |p| matches!(p, Patch::Json(_))),
        ("application/merge-patch+json; charset=utf-8", "{}", |p| matches!(p, Patch::Merge(_))),
        ("application/strategic-merge-patch+json", "{}", |p| matches!(p, Patch::Strategic(_))),
        ("Application/Apply-Patch+YAML", "{}", |p| matches!(p, Patch::Apply(_))),
        ("application/json-patch+json", "{}", |p| matches!(p, Patch::Strategic(_))),
        ("application/merge-patch+json", "[]", |p| matches!(p, Patch::Json(_))),
        ("application/strategic-merge-patch+json", "[]", |p| matches!(p, Patch::Json(_))),
    ];
    for (content_type, body, expect) in cases {
        let (patch, duplicates) = Patch::parse(content_type, body.as_bytes()).unwrap();
        assert!(expect(&patch) && duplicates.is_empty(), "{content_type} {body}");
    }
    assert_eq!(Patch::parse("application/json", b"{}").unwrap_err(), PatchError::ContentType);
    assert!(matches!(Patch::parse("application/merge-patch+json", b"{"), Err(PatchError::Malformed(_))));
    let (_, duplicates) = Patch::parse("application/merge-patch+json", br#"{"a":{"b":1,"b":2}}"#).unwrap();
    assert_eq!(duplicates, ["a.b"]);
}

#[test]
fn applies_json_patches() {
    let object = || json!({"data": {"a": "1"}, "metadata": {"finalizers": ["x", "y"]}});
    for (operations, expect) in [
        (
            json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]),
            json!({"data": {"a": "2"}, "metadata": {"finalizers": ["x", "y"]}}),
        ),
        (
            json!([{"op": "test", "path": "/metadata/labels", "value": null}, {"op": "remove", "path": "/data/a"}]),
            json!({"data": {}, "metadata": {"finalizers": ["x", "y"]}}),
        ),
        (
            json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "z"}, {"op": "remove", "path": "/data/a"}]),
            json!({"data": {}, "metadata": {"finalizers": ["x", "y", "z"]}}),
        ),
        (
            json!([{"op": "copy", "from": "/data/a", "path": "/data/b~1c"}, {"op": "move", "from": "/data/a", "path": "/data/d"}]),
            json!({"data": {"b/c": "1", "d": "1"}, "metadata": {"finalizers": ["x", "y"]}}),
        ),
        // What the standard would refuse and upstream's library does not.
        (
            json!([{"op": "replace", "path": "/data/z", "value": "1"}, {"op": "copy", "from": "/data/y", "path": "/data/x"}, {"op": "add", "path": "/data/w"}]),
            json!({"data": {"a": "1", "z": "1", "x": null, "w": null}, "metadata": {"finalizers": ["x", "y"]}}),
        ),
        (
            json!([{"op": "remove", "path": "/metadata/finalizers/-1"}, {"op": "add", "path": "/metadata/finalizers/-1", "value": "z"}, {"op": "remove", "path": "any/data/a"}]),
            json!({"data": {}, "metadata": {"finalizers": ["x", "z"]}}),
        ),
        (
            json!([{"op": "test", "path": "", "value": object()}, {"op": "replace", "path": "", "value": {"b": 1}}]),
            json!({"b": 1}),
        ),
    ] {
        assert_eq!(apply(&Patch::Json(operations), object()), Ok(expect));
    }
    for operations in [
        json!([{"op": "test", "path": "/data/a", "value": "2"}]),
        json!([{"op": "test", "path": "/data/a", "value": null}]),
        json!([{"op": "test", "path": "/nothing/here", "value": null}]),
        json!([{"op": "remove", "path": "/data/z"}]),
        json!([{"op": "add", "path": "/nothing/here", "value": 1}]),
        json!([{"op": "copy", "from": "/nothing/here", "path": "/data/z"}]),
        json!([{"op": "move", "from": "/data", "path": "/data/z"}]),
        json!([{"op": "move", "from": "/nothing", "path": "/data/z"}]),
        json!([{"op": "replace", "path": "/nothing/here", "value": 1}]),
        json!([{"op": "replace", "path": "/metadata/finalizers/2", "value": "z"}]),
        json!([{"op": "replace", "path": "/metadata/finalizers/-", "value": "z"}]),
        json!([{"op": "add", "path": "/metadata/finalizers/3", "value": "z"}]),
        json!([{"op": "remove", "path": "/metadata/finalizers/-3"}]),
        json!([{"op": "add", "path": "metadata", "value": "z"}]),
        json!([{"op": "add", "path": "", "value": {}}]),
        json!([{"op": "jump", "path": "/"}]),
        json!([{"op": "replace", "path": "", "value": 1}]),
        json!([{"op": "add", "value": 1}]),
        json!([{}]),
    ] {
        let result = apply(&Patch::Json(operations.clone()), object());
        let refused = matches!(result, Err(PatchError::Unprocessable(_) | PatchError::TestFailed(_)));
        assert!(refused, "{operations}: {result:?}");
    }
    // As a list without operations.
    assert_eq!(apply(&Patch::Json(json!(null)), object()), Ok(object()));
    for operations in [
        json!({}),
        json!(["x"]),
        json!([{"op": 1, "path": "/data"}]),
        json!([{"op": "remove", "path": "/data/z"}, {"op": "add", "path": 1}]),
        json!([{"op": "copy", "from": {}}]),
    ] {
        let result = apply(&Patch::Json(operations), object());
        assert!(matches!(result, Err(PatchError::Malformed(_))), "{result:?}");
    }
}

#[test]
fn bounds_json_patches() {
    let many: Vec<Value> = (0..10_001).map(|_| json!({"op": "add", "path": "/a", "value": 1})).collect();
    let error = apply(&Patch::Json(many.into()), json!({})).unwrap_err();
    assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
    assert_eq!(Status::from(error).code, 413);

    let doubling: Vec<Value> =
        (0..100).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/a/{i}")})).collect();
    let error = apply(&Patch::Json(doubling.into()), json!({"a": {"x": "y"}})).unwrap_err();
    assert!(matches!(error, PatchError::Unprocessable(_)), "{error}");

    let deeper: Vec<Value> = (0..300).map(|i| json!({"op": "add", "path": "/a".repeat(i + 1), "value": {}})).collect();
    let error = apply(&Patch::Json(deeper.into()), json!({})).unwrap_err();
    assert_eq!(error.to_string(), "exceeded max depth");
}

#[test]
fn applies_merge_patches() {
    // The examples of RFC 7386 whose patch is an object.
    for (object, patch, expect) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(apply(&Patch::Merge(patch), object), Ok(expect));
    }
    let (patch, _) = Patch::parse(
        "application/merge-patch+json",
        br#"{"a": [{"b": null, "c": [[{"d": null}], null]}], "e": null, "f": {"g": null}}"#,
    )
    .unwrap();
    assert_eq!(
        apply(&patch, json!({"e": 1, "f": {"g": 1, "h": 2}})),
        Ok(json!({"a": [{"c": [[{}], null]}], "f": {"h": 2}}))
    );
    for (patch, expect) in [
        (
            json!(["x"]),
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (json!(null), "Invalid JSON Patch"),
    ] {
        assert_eq!(apply(&Patch::Merge(patch), json!({})).unwrap_err().to_string(), expect);
    }
}

#[test]
fn strategic_merge_patches_are_read_as_upstreams_converter_does() {
    let pod = message("core/v1.Pod");
    let check = |patch: Value, expect: Value| {
        let mut object = json!({"spec": {"priority": 1}});
        Patch::Strategic(patch.clone()).apply(&mut object, pod).unwrap();
        assert_eq!(object, expect, "{patch}");
    };
    check(json!({"spec": {"priority": 3.0}}), json!({"spec": {"priority": 3}}));
    check(json!({"spec": {"priority": 3.5}}), json!({"spec": {"priority": 3.5}}));
    check(
        json!({"spec": {"tolerations": [{"tolerationSeconds": 1e3}]}}),
        json!({"spec": {"priority": 1, "tolerations": [{"tolerationSeconds": 1000}]}}),
    );
    check(json!(null), json!({"spec": {"priority": 1}}));
    let refused = Patch::Strategic(json!("x")).apply(&mut json!({}), pod).unwrap_err();
    assert_eq!(refused.to_string(), "json: cannot unmarshal string into Go value of type map[string]interface {}");
    let failed = Status::from(PatchError::Failed("unable".into()));
    assert_eq!((failed.code, &*failed.reason, &*failed.message), (500, "", "unable"));
}

#[test]
fn says_what_is_unsupported() {
    let mut object = json!({});
    let strategic = Patch::Strategic(json!({}));
    assert!(matches!(strategic.apply(&mut object, None), Err(PatchError::Unsupported(_))));
    assert!(matches!(apply(&Patch::Apply(json!({})), json!({})), Err(PatchError::Unsupported(_))));
    let codes = [
        (PatchError::ContentType, 415),
        (PatchError::Unsupported("x"), 415),
        (PatchError::Malformed(String::new()), 400),
        (PatchError::Unprocessable(String::new()), 422),
        (PatchError::Failed(String::new()), 500),
    ];
    for (error, code) in codes {
        assert_eq!(Status::from(error).code, code);
    }
}

#[test]
fn operations_that_do_not_fit_say_why_in_upstreams_words() {
    for (operation, expect) in [
        (
            json!({"op": "remove", "path": "/x"}),
            "error in remove for path: '/x': Unable to remove nonexistent key: x: missing value",
        ),
        (
            json!({"op": "remove", "path": "/x/y"}),
            "remove operation does not apply: doc is missing path: \"/x/y\": missing value",
        ),
        (
            json!({"op": "add", "path": "/l/7", "value": 1}),
            "error in add for path: '/l/7': Unable to access invalid index: 7: invalid index referenced",
        ),
        (
            json!({"op": "replace", "path": "/l/7", "value": 1}),
            "replace operation does not apply: doc is missing key: /l/7: missing value",
        ),
        (
            json!({"op": "copy", "from": "/x/y", "path": "/a"}),
            "copy operation does not apply: doc is missing from path: /x/y: missing value",
        ),
        (
            json!({"op": "move", "from": "/a", "path": "/x/y"}),
            "move operation does not apply: doc is missing destination path: /x/y: missing value",
        ),
        (json!({"op": "test", "path": "/a", "value": 2}), "testing value /a failed: test failed"),
    ] {
        let patch = Patch::Json(json!([operation]));
        let error = patch.apply(&mut json!({"a": 1, "l": []}), None).unwrap_err();
        assert_eq!(error.to_string(), expect);
    }
}
