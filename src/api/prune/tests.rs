use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EMPTY_SAYS, EMPTY_SAYS_IN, canonical, decode, decode_merged, warnings};
use crate::schema::{Field, Message, MessageRef, Type, message};

fn check(name: &str, mut object: Value, expect: Value, unknown: &[&str]) {
    let message = message(name).unwrap();
    let input = object.clone();
    let found = decode(&mut object, message).unwrap_or_else(|error| panic!("{input}: {error}"));
    assert_eq!(object, expect, "{input}");
    assert_eq!(found, unknown, "{input}");
    // What was decoded once stays as it is.
    assert_eq!(decode(&mut object, message), Ok(Vec::new()));
    assert_eq!(object, expect, "{input} twice");
}

#[test]
fn drops_and_reports_unknown_fields() {
    check(
        "core/v1.Pod",
        json!({"apiVersion": "v1", "kind": "Pod", "Metadata": {}, "spec": {
            "foo": 1,
            "containers": [{"name": "a"}, {"name": "b", "Image": "x", "env": [{"nam": "y"}]}],
            "nodeSelector": {"any": "thing"},
        }}),
        json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "containers": [{"name": "a"}, {"name": "b", "env": [{}]}],
            "nodeSelector": {"any": "thing"},
        }}),
        &["Metadata", "spec.foo", "spec.containers[1].Image", "spec.containers[1].env[0].nam"],
    );
}

#[test]
fn takes_nulls_and_zero_values_as_go_does() {
    check(
        "core/v1.Pod",
        json!({
            "metadata": {"labels": {}, "annotations": {"a": null}, "finalizers": [], "creationTimestamp": null},
            "spec": {
                "hostNetwork": false, "hostname": "", "containers": [null], "volumes": null, "priority": 0,
                "nodeName": null, "securityContext": {}, "serviceAccountName": "x", "hostUsers": false,
            },
        }),
        json!({
            "metadata": {"annotations": {"a": ""}},
            "spec": {
                "containers": [{}], "priority": 0, "securityContext": {}, "serviceAccountName": "x", "hostUsers": false,
            },
        }),
        &[],
    );
}

#[test]
fn keeps_empty_lists_and_maps_where_they_say_something() {
    check("core/v1.Secret", json!({"data": {}, "stringData": {}}), json!({"data": {}}), &[]);
    check("core/v1.Secret", json!({"data": null}), json!({}), &[]);
    check(
        "networking/v1.NetworkPolicy",
        json!({"spec": {"ingress": [], "egress": [{"to": [], "ports": null}], "podSelector": {"matchLabels": {}}}}),
        json!({"spec": {"ingress": [], "egress": [{"to": []}], "podSelector": {"matchLabels": {}}}}),
        &[],
    );
    check(
        "resource/v1.ResourceClaimTemplateSpec",
        json!({"metadata": {"finalizers": [], "labels": {}, "name": ""}, "spec": {"devices": {"constraints": []}}}),
        json!({"metadata": {"finalizers": []}, "spec": {"devices": {}}}),
        &[],
    );
    for (name, field) in EMPTY_SAYS_IN {
        assert!(message(name).unwrap().field(field).is_some(), "{name} {field}");
    }
    assert!(EMPTY_SAYS_IN.is_sorted());
    assert!(EMPTY_SAYS.is_sorted());
    for (name, field) in EMPTY_SAYS {
        assert!(message(name).unwrap().field(field).unwrap().omitempty, "{name} {field}");
    }
}

#[test]
fn brings_scalars_to_canonical_form() {
    check(
        "core/v1.Container",
        json!({"name": "a", "resources": {"limits": {"cpu": 0.5, "memory": "1024Ki", "x": null}}}),
        json!({"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Mi", "x": "0"}}}),
        &[],
    );
    // Amounts of resources are whole thousandths, but for those of a runtime class.
    let small = json!({"cpu": "100u", "memory": "1e-7", "x": "-1.0005"});
    check(
        "core/v1.ResourceRequirements",
        json!({"requests": small}),
        json!({"requests": {"cpu": "1m", "memory": "1e-3", "x": "-1001m"}}),
        &[],
    );
    check(
        "node/v1.Overhead",
        json!({"podFixed": small}),
        json!({"podFixed": {"cpu": "100u", "memory": "100e-9", "x": "-1000500u"}}),
        &[],
    );
    check(
        "meta/v1.ObjectMeta",
        json!({"creationTimestamp": "2026-01-01T02:00:00.7+01:00", "deletionTimestamp": "0001-01-01T00:00:00Z"}),
        json!({"creationTimestamp": "2026-01-01T01:00:00Z"}),
        &[],
    );
    check("core/v1.Secret", json!({"data": {"a": "YQ==\n", "b": ""}}), json!({"data": {"a": "YQ==", "b": ""}}), &[]);
    check("core/v1.ServicePort", json!({"targetPort": "http"}), json!({"targetPort": "http"}), &[]);
    check("core/v1.ServicePort", json!({"targetPort": 0, "port": 0}), json!({}), &[]);
    check("core/v1.ServiceSpec", json!({"internalTrafficPolicy": ""}), json!({"internalTrafficPolicy": ""}), &[]);
    check("rbac/v1.ClusterRole", json!({"rules": []}), json!({"rules": []}), &[]);
}

#[test]
fn leaves_free_form_values_alone() {
    check(
        "apps/v1.ControllerRevision",
        json!({"data": {"spec": {"anything": null, "zero": 0}}, "revision": 1}),
        json!({"data": {"spec": {"anything": null, "zero": 0}}, "revision": 1}),
        &[],
    );
    check(
        "apiextensions/v1.JSONSchemaProps",
        json!({"default": {"a": null}, "items": {"type": "string", "bogus": 1}, "bogus": 1,
               "additionalProperties": false, "enum": ["a", 1, null]}),
        json!({"default": {"a": null}, "items": {"type": "string"}, "additionalProperties": false, "enum": ["a", 1, null]}),
        &["bogus"],
    );
}

#[test]
fn refuses_wrong_types_in_gos_words() {
    let cannot = |what: &str| format!("json: cannot unmarshal {what}");
    for (name, object, expect) in [
        (
            "core/v1.Pod",
            json!({"spec": {"containers": "x"}}),
            cannot("string into Go struct field PodSpec.spec.containers of type []v1.Container"),
        ),
        (
            "core/v1.Pod",
            json!({"spec": {"containers": [{"name": 1}]}}),
            cannot("number into Go struct field Container.spec.containers.name of type string"),
        ),
        (
            "core/v1.Pod",
            json!({"metadata": {"labels": {"a": 1}}}),
            cannot("number into Go struct field ObjectMeta.metadata.labels of type string"),
        ),
        (
            "apps/v1.Deployment",
            json!({"spec": {"replicas": "3"}}),
            cannot("string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "apps/v1.Deployment",
            json!({"spec": {"replicas": 1.5}}),
            cannot("number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "apps/v1.Deployment",
            json!({"spec": {"replicas": 3_000_000_000u32}}),
            cannot("number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ),
        (
            "core/v1.Pod",
            json!({"spec": {"securityContext": []}}),
            cannot("array into Go struct field PodSpec.spec.securityContext of type v1.PodSecurityContext"),
        ),
        (
            "core/v1.Pod",
            json!({"spec": {"dnsPolicy": true}}),
            cannot("bool into Go struct field PodSpec.spec.dnsPolicy of type v1.DNSPolicy"),
        ),
        (
            "core/v1.Pod",
            json!({"spec": {"overhead": 1}}),
            cannot("number into Go struct field PodSpec.spec.overhead of type v1.ResourceList"),
        ),
        (
            "core/v1.ServicePort",
            json!({"targetPort": true}),
            cannot("bool into Go struct field ServicePort.targetPort of type int32"),
        ),
        ("core/v1.Pod", json!([]), cannot("array into Go value of type v1.Pod")),
        (
            "core/v1.Pod",
            json!({"metadata": {"creationTimestamp": 5}}),
            cannot("number into Go struct field ObjectMeta.metadata.creationTimestamp of type string"),
        ),
        (
            "core/v1.ResourceRequirements",
            json!({"limits": {"cpu": "1x"}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'".to_owned(),
        ),
        ("core/v1.Secret", json!({"data": {"a": "YQ"}}), "illegal base64 data at input byte 0".to_owned()),
        ("core/v1.Secret", json!({"data": {"a": "YWJj*"}}), "illegal base64 data at input byte 4".to_owned()),
    ] {
        let mut got = object.clone();
        let error = decode(&mut got, message(name).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expect, "{object}");
    }
    let error = decode(&mut json!({"spec": 1}), message("core/v1.Pod").unwrap()).unwrap_err();
    assert_eq!(
        error.for_kind("Pod", "v1"),
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field \
         Pod.spec of type v1.PodSpec"
    );
}

#[test]
fn reads_what_was_merged_as_a_converter_does() {
    let check = |name: &str, object: Value, expect: Result<Value, &str>| {
        let mut got = object.clone();
        let result = decode_merged(&mut got, message(name).unwrap()).map_err(|error| error.to_string());
        assert_eq!(result.map(|()| got), expect.map_err(str::to_owned), "{object}");
    };
    let replicas = |value: Value| json!({"spec": {"replicas": value}});
    let port = |value: Value| json!({"targetPort": value});
    let no_int32 = |what: &str| format!("json: cannot unmarshal {what} into Go value of type int32");
    check("apps/v1.Deployment", replicas(json!(3)), Ok(replicas(json!(3))));
    check("apps/v1.Deployment", replicas(json!(1.5)), Err("cannot convert float64 to int32"));
    check("apps/v1.Deployment", replicas(json!(4_294_967_297_i64)), Ok(replicas(json!(1))));
    check("apps/v1.Deployment", replicas(json!(i64::MAX)), Ok(replicas(json!(-1))));
    check("apps/v1.Deployment", replicas(json!(1e300)), Ok(replicas(json!(0))));
    check("meta/v1.ObjectMeta", json!({"generation": 0.5}), Err("cannot convert float64 to int64"));
    check("meta/v1.ObjectMeta", json!({"generation": 1e19}), Ok(json!({"generation": i64::MIN})));
    check("core/v1.ServicePort", port(json!("http")), Ok(port(json!("http"))));
    for (value, what) in [
        (json!(1.5), "number 1.5"),
        (json!(9.3e18), "number 9300000000000000000"),
        (json!(3_000_000_000_u32), "number 3000000000"),
        (json!(true), "bool"),
        (json!([1]), "array"),
        (json!({}), "object"),
    ] {
        check("core/v1.ServicePort", port(value), Err(&no_int32(what)));
    }
    let no_time = "json: cannot unmarshal number into Go value of type string";
    check("meta/v1.ObjectMeta", json!({"creationTimestamp": 5}), Err(no_time));
    let no_bytes = "error decoding from json: illegal base64 data at input byte 0";
    check("core/v1.Secret", json!({"data": {"a": "YQ"}}), Err(no_bytes));
    let no_schema = "json: cannot unmarshal number into Go value of type v1.JSONSchemaProps";
    check("apiextensions/v1.JSONSchemaProps", json!({"items": [1]}), Err(no_schema));
}

#[test]
fn says_what_is_unknown_and_what_comes_twice() {
    let list = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        warnings(&list(&["spec.foo"]), &list(&["spec.bar"])),
        [r#"unknown field "spec.foo""#, r#"duplicate field "spec.bar""#]
    );
}

#[test]
fn canonical_form_is_what_go_writes() {
    for (name, object, expect) in [
        (
            "core/v1.Pod",
            json!({"spec": {"containers": [{"image": "i", "name": "a"}]}, "kind": "Pod", "apiVersion": "v1"}),
            r#"{"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":[{"name":"a","image":"i","resources":{}}]},"status":{}}"#,
        ),
        ("rbac/v1.ClusterRole", json!({}), r#"{"metadata":{},"rules":null}"#),
        ("core/v1.ConfigMap", json!({"data": {"b": "2", "a": "1"}}), r#"{"metadata":{},"data":{"a":"1","b":"2"}}"#),
        ("core/v1.ResourceFieldSelector", json!({"resource": "r"}), r#"{"resource":"r","divisor":"0"}"#),
        (
            "meta/v1.Condition",
            json!({}),
            r#"{"type":"","status":"","lastTransitionTime":null,"reason":"","message":""}"#,
        ),
        ("core/v1.ServicePort", json!({"port": 80}), r#"{"port":80,"targetPort":0}"#),
        // What is empty is lost on the way through protobuf, and is kept in JSON.
        ("rbac/v1.ClusterRole", json!({"rules": []}), r#"{"metadata":{},"rules":null}"#),
        ("core/v1.Secret", json!({"data": {}}), r#"{"metadata":{}}"#),
        ("core/v1.ResourceFieldSelector", json!({"resource": ""}), r#"{"resource":"","divisor":"0"}"#),
        (
            "apiextensions/v1.CustomResourceDefinitionStatus",
            json!({"conditions": [], "storedVersions": []}),
            r#"{"conditions":[],"acceptedNames":{"plural":"","kind":""},"storedVersions":[]}"#,
        ),
    ] {
        let mut got = object.clone();
        canonical(&mut got, message(name).unwrap());
        assert_eq!(got.to_string(), expect, "{object}");
    }
}

#[test]
fn structural_messages_keep_types_and_zero_values() {
    let text = |name: &'static str| Field { name: name.into(), ty: Type::String, ..Field::default() };
    let inner = Message::new("spec", vec![text("a"), text("b")]);
    let metadata = MessageRef::from(message("meta/v1.ObjectMeta").unwrap());
    let fields = vec![
        Field { name: "metadata".into(), ty: Type::Message(metadata), ..Field::default() },
        Field { name: "spec".into(), ty: Type::Message(MessageRef::Dynamic(inner.into())), ..Field::default() },
    ];
    let widget = Message::new("widget", fields);
    let mut object = json!({"metadata": {"labels": {}, "bogus": 1}, "spec": {"a": 1, "b": null, "c": 2}});
    let unknown = decode(&mut object, &widget).unwrap();
    assert_eq!(unknown, ["metadata.bogus", "spec.c"]);
    assert_eq!(object, json!({"metadata": {}, "spec": {"a": 1, "b": null}}));
}

/// Any JSON with names that messages have, so that it gets past their doors.
fn any_json() -> impl Strategy<Value = Value> {
    let name =
        prop::sample::select(vec!["metadata", "spec", "containers", "name", "limits", "data", "ports", "items", "x"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9a-zA-Z=:.-]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn decoding_settles_on_the_first_try(object in any_json()) {
        for name in ["core/v1.Pod", "core/v1.Secret", "core/v1.ServiceSpec", "apiextensions/v1.JSONSchemaProps"] {
            let message = message(name).unwrap();
            let mut once = object.clone();
            if decode(&mut once, message).is_err() {
                continue;
            }
            let mut twice = once.clone();
            prop_assert_eq!(decode(&mut twice, message), Ok(Vec::new()));
            prop_assert_eq!(&twice, &once);
            canonical(&mut once, message);
            canonical(&mut twice, message);
            canonical(&mut twice, message);
            prop_assert_eq!(once.to_string(), twice.to_string());
        }
    }
}
