use super::*;
use client::kinds;

fn object(controller: Option<&str>, deleting: bool) -> Object {
    let mut value = json!({ "metadata": { "name": "x", "uid": "me", "labels": { "a": "b" } } });
    if let Some(uid) = controller {
        value["metadata"]["ownerReferences"] = json!([{ "uid": uid, "controller": true }]);
    }
    if deleting {
        value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    Object::encode(&value, 1, &kinds::pods()).unwrap()
}

#[test]
fn claims_follow_the_controller_reference() {
    let (owner, dying) = (object(None, false), object(None, true));
    let check = |owner: &Object, object: Object, matches: bool, expect: Claim| {
        assert_eq!(judge(owner, &object, matches), expect);
    };
    check(&owner, object(Some("me"), false), true, Claim::Keep);
    check(&owner, object(Some("me"), true), true, Claim::Keep);
    check(&owner, object(Some("me"), false), false, Claim::Release);
    check(&dying, object(Some("me"), false), false, Claim::Ignore);
    check(&owner, object(Some("other"), false), true, Claim::Ignore);
    check(&owner, object(None, false), true, Claim::Adopt);
    check(&owner, object(None, false), false, Claim::Ignore);
    check(&owner, object(None, true), true, Claim::Ignore);
    check(&dying, object(None, false), true, Claim::Ignore);
}

#[test]
fn selectors_come_in_two_forms() {
    let check = |kind: &str, selector: Value, expect: bool| {
        let owner = json!({ "kind": kind, "spec": { "selector": selector } });
        assert_eq!(selector_of(&owner).unwrap().matches(&object(None, false).meta.labels), expect);
    };
    check("ReplicaSet", json!({ "matchLabels": { "a": "b" } }), true);
    check("ReplicaSet", json!({ "matchLabels": { "a": "c" } }), false);
    check("ReplicationController", json!({ "a": "b" }), true);
    check("ReplicationController", json!({}), false);
    check("ReplicaSet", Value::Null, false);
}
