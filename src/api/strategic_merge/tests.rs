use serde_json::{Value, json};

use super::{StrategicMergeError, apply};
use crate::schema::message;

fn patched(name: &str, object: Value, patch: Value) -> Result<Value, StrategicMergeError> {
    let (Value::Object(mut object), Value::Object(patch)) = (object, patch) else { panic!("objects") };
    apply(&mut object, patch, message(name).unwrap())?;
    Ok(Value::Object(object))
}

fn check(name: &str, object: Value, patch: Value, expect: Value) {
    let text = patch.to_string();
    assert_eq!(patched(name, object, patch), Ok(expect), "{text}");
}

fn pod(spec: Value) -> Value {
    json!({"spec": spec})
}

fn check_spec(object: Value, patch: Value, expect: Value) {
    check("core/v1.Pod", pod(object), pod(patch), pod(expect));
}

#[test]
fn merges_maps_and_deletes_with_null() {
    check(
        "core/v1.ConfigMap",
        json!({"data": {"a": "1", "b": "2"}, "metadata": {"name": "x"}}),
        json!({"data": {"a": null, "c": "3", "d": null}, "binaryData": {"e": null}}),
        json!({"data": {"b": "2", "c": "3"}, "metadata": {"name": "x"}, "binaryData": {}}),
    );
}

#[test]
fn merges_lists_by_key() {
    check_spec(
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]}),
        json!({"containers": [{"name": "b", "image": "3"}, {"name": "c", "image": "4"}]}),
        json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}, {"name": "c", "image": "4"}]}),
    );
    // Inside an element lists are merged too.
    check_spec(
        json!({"containers": [{"name": "a", "env": [{"name": "X", "value": "1"}], "args": ["x"]}]}),
        json!({"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}], "args": ["y"]}]}),
        json!({"containers": [{"name": "a",
            "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}], "args": ["y"]}]}),
    );
    check(
        "core/v1.Service",
        json!({"spec": {"ports": [{"port": 80, "nodePort": 1}]}}),
        json!({"spec": {"ports": [{"port": 443}, {"port": 80, "nodePort": null}]}}),
        json!({"spec": {"ports": [{"port": 443}, {"port": 80}]}}),
    );
    // A list without the merge strategy is replaced.
    check_spec(
        json!({"tolerations": [{"key": "a"}]}),
        json!({"tolerations": [{"key": "b"}]}),
        json!({"tolerations": [{"key": "b"}]}),
    );
}

#[test]
fn takes_what_is_new_without_nulls_and_directives() {
    check_spec(
        json!({}),
        json!({"containers": [{"name": "a", "image": null}, {"name": "b", "$patch": "delete"}],
               "securityContext": {"runAsUser": null, "fsGroup": 1}}),
        json!({"containers": [{"name": "a"}], "securityContext": {"fsGroup": 1}}),
    );
    check("core/v1.Pod", json!({"metadata": {}}), json!({"spec": {"$patch": "delete"}}), json!({"metadata": {}}));
}

#[test]
fn obeys_patch_directives() {
    check_spec(
        json!({"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1"}}),
        json!({"containers": [{"$patch": "replace"}, {"name": "c"}], "nodeSelector": {"$patch": "replace", "y": "2"}}),
        json!({"containers": [{"name": "c"}], "nodeSelector": {"y": "2"}}),
    );
    check_spec(
        json!({"containers": [{"name": "a"}, {"name": "b"}], "nodeSelector": {"x": "1"}}),
        json!({"containers": [{"name": "a", "$patch": "delete"}], "nodeSelector": {"$patch": "delete"}}),
        json!({"containers": [{"name": "b"}], "nodeSelector": {}}),
    );
    check(
        "core/v1.Pod",
        pod(json!({"nodeName": "x"})),
        json!({"$patch": "replace", "kind": "Pod"}),
        json!({"kind": "Pod"}),
    );
}

#[test]
fn merges_lists_of_scalars() {
    let finalizers = |list: &[&str]| json!({"metadata": {"finalizers": list}});
    for (object, patch, expect) in [
        (finalizers(&["a", "b"]), finalizers(&["c", "a"]), finalizers(&["c", "a", "b"])),
        (
            finalizers(&["a", "b", "c", "a"]),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a", "z"]}}),
            finalizers(&["b", "c"]),
        ),
        (
            finalizers(&["a", "b"]),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"],
                                "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"]}}),
            finalizers(&["c", "b"]),
        ),
        (
            json!({"metadata": {}}),
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}),
            json!({"metadata": {}}),
        ),
    ] {
        check("core/v1.Pod", object, patch, expect);
    }
}

#[test]
fn sets_the_order_of_elements() {
    let names = |names: &[&str]| Value::from_iter(names.iter().map(|name| json!({"name": name})));
    for (object, order, patch, expect) in [
        (&["a", "b", "c"][..], &["c", "b", "a"][..], Value::Null, &["c", "b", "a"][..]),
        // An element only the server has keeps its place among those both have.
        (&["a", "s", "b"], &["a", "b"], Value::Null, &["a", "s", "b"]),
        (&["a", "s", "b"], &["b", "a"], Value::Null, &["s", "b", "a"]),
        (&["a", "b"], &["n", "a", "b"], names(&["n"]), &["n", "a", "b"]),
        (&["a", "s", "b"], &["b", "n"], json!([{"name": "a", "$patch": "delete"}, {"name": "n"}]), &["s", "b", "n"]),
        // What a deletion frees goes to what is added.
        (&["a", "b", "s"], &["b", "n"], json!([{"name": "n"}, {"name": "a", "$patch": "delete"}]), &["b", "s", "n"]),
    ] {
        let mut patch_spec = json!({"$setElementOrder/containers": names(order)});
        if !patch.is_null() {
            patch_spec["containers"] = patch;
        }
        check_spec(json!({"containers": names(object)}), patch_spec, json!({"containers": names(expect)}));
    }
    check_spec(
        json!({}),
        json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
               "containers": [{"name": "b"}, {"name": "a"}]}),
        json!({"containers": [{"name": "b"}, {"name": "a"}]}),
    );
    check_spec(json!({}), json!({"$setElementOrder/containers": [{"name": "b"}]}), json!({}));
}

#[test]
fn retains_keys() {
    check(
        "apps/v1.Deployment",
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}),
        json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        json!({"spec": {"strategy": {"type": "Recreate"}}}),
    );
    check_spec(
        json!({"volumes": [{"name": "v", "hostPath": {"path": "/x"}}, {"name": "w", "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}),
        json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]}),
    );
}

#[test]
fn refuses_in_upstreams_words() {
    use StrategicMergeError::{BadPatch, Failed, ListOfLists};
    let bad = |what: &str| BadPatch(format!("invalid patch format of {what}"));
    let failed = |why: &str| Failed(why.to_owned());
    let containers = json!({"containers": [{"name": "a"}]});
    for (object, patch, expect) in [
        (
            containers.clone(),
            json!({"containers": [{"image": "x"}]}),
            failed("map: map[image:x] does not contain declared merge key: name"),
        ),
        (
            containers.clone(),
            json!({"containers": [{"name": "a", "$patch": "jump"}]}),
            failed("unknown patch type: jump in map: map[$patch:jump name:a]"),
        ),
        (
            containers.clone(),
            json!({"containers": [{"name": "a", "$patch": "merge"}]}),
            failed("merging lists cannot yet be specified in the patch"),
        ),
        (
            containers.clone(),
            json!({"containers": ["a"]}),
            failed("list element types are not identical: [[map[name:a]] [a]]"),
        ),
        (json!({"containers": [[]]}), json!({"containers": [[]]}), ListOfLists),
        (json!({}), json!({"$retainKeys": "x"}), bad("retainKeys")),
        (json!({}), json!({"$retainKeys": ["a"], "nodeName": "x"}), bad("retainKeys")),
        (json!({}), json!({"$deleteFromPrimitiveListx": []}), bad("primitive list")),
        (json!({}), json!({"$setElementOrderx": []}), bad("setElementOrder list")),
        (
            json!({"bogus": {"a": 1}}),
            json!({"bogus": {"a": 2}}),
            failed("unable to find api field in struct PodSpec for the json field \"bogus\""),
        ),
        (
            containers,
            json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}),
            failed("The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n"),
        ),
    ] {
        let got = patched("core/v1.Pod", pod(object), pod(patch.clone()));
        assert_eq!(got, Err(expect), "{patch}");
    }
}

#[test]
fn merges_long_lists_quickly_enough_to_finish() {
    let list = |from: usize, to: usize| Value::from_iter((from..to).map(|i| json!({"name": format!("c{i}")})));
    let result = patched(
        "core/v1.Pod",
        pod(json!({"containers": list(0, 20_000)})),
        pod(json!({"containers": list(10_000, 30_000)})),
    );
    assert_eq!(result.unwrap()["spec"]["containers"].as_array().map(Vec::len), Some(30_000));
}
