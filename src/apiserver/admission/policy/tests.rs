//! Policies put to work through the registry.

use std::sync::Arc;

use api::{DeleteOptions, Operation, Status, WriteOptions};
use serde_json::{Value, json};

use crate::notes;
use crate::registry::tests::{Server, server};
use crate::{Registry, RegistryConfig};

/// A policy about config maps.
fn policy(name: &str, spec: Value) -> Value {
    let mut whole = json!({
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]},
        ]},
    });
    merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

fn binding(name: &str, policy: &str, spec: Value) -> Value {
    let mut whole = json!({"policyName": policy, "validationActions": ["Deny"]});
    merge(&mut whole, spec);
    json!({"metadata": {"name": name}, "spec": whole})
}

fn merge(into: &mut Value, from: Value) {
    for (key, value) in from.as_object().unwrap() {
        into[key] = value.clone();
    }
}

const POLICIES: &str = "validatingadmissionpolicies";
const BINDINGS: &str = "validatingadmissionpolicybindings";

async fn with_policy(spec: Value, bound: Value) -> Server {
    let server = server().await;
    server.create(POLICIES, policy("p", spec)).await.unwrap();
    server.create(BINDINGS, binding("b", "p", bound)).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server
}

fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

async fn refusal(server: &Server, body: Value) -> Status {
    server.create("configmaps", body).await.unwrap_err()
}

#[tokio::test]
async fn a_policy_denies_in_upstreams_words() {
    let rule = json!({"validations": [{"expression": "object.data.a == 'x'"}]});
    let server = with_policy(rule, json!({})).await;
    server.create("configmaps", map("good", json!({"a": "x"}))).await.unwrap();
    let status = refusal(&server, map("bad", json!({"a": "y"}))).await;
    let said = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: object.data.a == 'x'";
    assert_eq!(status.message, format!("configmaps \"bad\" is forbidden: {said}"));
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert_eq!(status.details.unwrap().causes[0].message, said);
    let status = refusal(&server, map("bad", json!({}))).await;
    assert!(
        status
            .message
            .ends_with("denied request: expression 'object.data.a == 'x'' resulted in error: no such key: data")
            || status.message.ends_with("resulted in error: no such key: a"),
        "{}",
        status.message
    );
    // Taken away, it denies nothing.
    server.delete(&format!("{BINDINGS}/b"), DeleteOptions::default()).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server.create("configmaps", map("bad", json!({"a": "y"}))).await.unwrap();
}

#[tokio::test]
async fn messages_reasons_and_variables() {
    let spec = json!({
        "variables": [
            {"name": "a", "expression": "object.?data.?a.orValue('none')"},
            {"name": "twice", "expression": "variables.a + variables.a"},
        ],
        "validations": [
            {"expression": "variables.a != 'one'", "message": " said "},
            {"expression": "variables.a != 'two'", "messageExpression": "'got ' + variables.twice", "reason": "Forbidden"},
            {"expression": "variables.a != 'three'", "messageExpression": "'' + object.data.nothing", "message": "fallback"},
            {"expression": "variables.a != 'four'", "messageExpression": "'two\\nlines'", "reason": "RequestEntityTooLarge"},
        ],
    });
    let server = with_policy(spec, json!({})).await;
    server.create("configmaps", map("good", json!({}))).await.unwrap();
    for (value, message, code) in [
        ("one", "said", 422),
        ("two", "got twotwo", 403),
        ("three", "fallback", 422),
        ("four", "failed expression: variables.a != 'four'", 413),
    ] {
        let status = refusal(&server, map("bad", json!({"a": value}))).await;
        assert!(status.message.ends_with(&format!("denied request: {message}")), "{}", status.message);
        assert_eq!(status.code, code, "{value}");
    }
}

#[tokio::test]
async fn what_is_not_matched_is_let_pass() {
    let deny = json!([{"expression": "false"}]);
    let rules = |rule: Value| json!({"resourceRules": [rule]});
    let all = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let with = |change: Value| {
        let mut rule = all.clone();
        merge(&mut rule, change);
        rule
    };
    for (constraints, bound, denied) in [
        (rules(all.clone()), json!({}), true),
        (rules(with(json!({"resources": ["secrets"]}))), json!({}), false),
        (rules(with(json!({"operations": ["UPDATE"]}))), json!({}), false),
        (rules(with(json!({"resourceNames": ["other"]}))), json!({}), false),
        (rules(with(json!({"resourceNames": ["m"]}))), json!({}), true),
        (rules(with(json!({"scope": "Cluster"}))), json!({}), false),
        (
            json!({"resourceRules": [all.clone()], "excludeResourceRules": [with(json!({"resources": ["configmaps"]}))]}),
            json!({}),
            false,
        ),
        (json!({"resourceRules": [all.clone()], "objectSelector": {"matchLabels": {"l": "1"}}}), json!({}), true),
        (json!({"resourceRules": [all.clone()], "objectSelector": {"matchLabels": {"l": "2"}}}), json!({}), false),
        (
            json!({"resourceRules": [all.clone()], "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "a"}}}),
            json!({}),
            true,
        ),
        (json!({"resourceRules": [all.clone()], "namespaceSelector": {"matchLabels": {"x": "y"}}}), json!({}), false),
        (rules(all.clone()), json!({"matchResources": {"objectSelector": {"matchLabels": {"l": "2"}}}}), false),
        (
            rules(all.clone()),
            json!({"matchResources": {"resourceRules": [with(json!({"resources": ["configmaps"]}))]}}),
            true,
        ),
    ] {
        let spec = json!({"matchConstraints": constraints, "validations": deny});
        let server = with_policy(spec, bound.clone()).await;
        let body = json!({"metadata": {"name": "m", "labels": {"l": "1"}}});
        assert_eq!(server.create("configmaps", body).await.is_err(), denied, "{constraints} {bound}");
    }
}

#[tokio::test]
async fn conditions_decide_before_validations() {
    for (condition, failure, denied) in [
        ("object.metadata.name == 'm'", "Fail", Some("failed expression: false")),
        ("object.metadata.name == 'n'", "Fail", None),
        (
            "object.data.x == 'y'",
            "Fail",
            Some("expression 'object.data.x == 'y'' resulted in error: no such key: data"),
        ),
        ("object.data.x == 'y'", "Ignore", None),
        (
            "request.operation == 'CREATE' && request.kind.kind == 'ConfigMap' && request.namespace == 'a'",
            "Fail",
            Some("failed expression: false"),
        ),
        (
            "request.userInfo.username == 'alice' && 'devs' in request.userInfo.groups",
            "Fail",
            Some("failed expression: false"),
        ),
        ("has(request.subResource)", "Fail", None),
    ] {
        let spec = json!({
            "failurePolicy": failure,
            "matchConditions": [{"name": "c", "expression": condition}],
            "validations": [{"expression": "false"}],
        });
        let server = with_policy(spec, json!({})).await;
        match (server.create("configmaps", json!({"metadata": {"name": "m"}})).await, denied) {
            (Ok(_), None) => {}
            (Err(status), Some(why)) => assert!(status.message.ends_with(why), "{condition}: {}", status.message),
            (found, _) => panic!("{condition}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn parameters_are_found_by_name_and_selector() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "not-itself", "expression": "!has(object.metadata.labels)"}],
        "validations": [{"expression": "params == null || object.data.a == params.data.allowed"}],
    });
    let param = |name: &str, allowed: &str| json!({"metadata": {"name": name, "labels": {"param": "1"}}, "data": {"allowed": allowed}});
    for (reference, good, bad) in [
        (json!({"name": "p1", "parameterNotFoundAction": "Deny"}), Some("x"), "denied request: failed expression"),
        (json!({"name": "p1", "namespace": "a", "parameterNotFoundAction": "Deny"}), Some("x"), "failed expression"),
        (
            json!({"selector": {"matchLabels": {"param": "1"}}, "parameterNotFoundAction": "Deny"}),
            None,
            "failed expression",
        ),
        (
            json!({"name": "none", "parameterNotFoundAction": "Deny"}),
            None,
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        (json!({"name": "none", "parameterNotFoundAction": "Allow"}), Some("any"), ""),
    ] {
        let server = with_policy(spec.clone(), json!({"paramRef": reference})).await;
        server.create("configmaps", param("p1", "x")).await.ok();
        server.create("configmaps", param("p2", "y")).await.ok();
        server.delete(&format!("{BINDINGS}/b"), DeleteOptions::default()).await.unwrap();
        server.registry.catch_up().await.unwrap();
        server.create("configmaps", param("p1", "x")).await.ok();
        server.create("configmaps", param("p2", "y")).await.ok();
        server.create(BINDINGS, binding("b", "p", json!({"paramRef": reference}))).await.unwrap();
        server.registry.catch_up().await.unwrap();
        if let Some(good) = good {
            server.create("configmaps", map("good", json!({"a": good}))).await.unwrap();
        }
        if !bad.is_empty() {
            let status = refusal(&server, map("bad", json!({"a": "z"}))).await;
            assert!(status.message.contains(bad), "{reference}: {}", status.message);
        }
    }
    // A kind that is not served.
    let spec = json!({"paramKind": {"apiVersion": "x.io/v1", "kind": "Y"}, "validations": [{"expression": "true"}]});
    let server = with_policy(spec, json!({"paramRef": {"name": "n", "parameterNotFoundAction": "Allow"}})).await;
    let status = refusal(&server, map("m", json!({}))).await;
    let why = "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'x.io/v1, Kind=Y'";
    assert!(status.message.ends_with(why), "{}", status.message);
}

#[tokio::test]
async fn warnings_and_audit_annotations_let_pass() {
    let spec = json!({
        "validations": [{"expression": "false", "message": "not so"}],
        "auditAnnotations": [
            {"key": "name", "valueExpression": "'name is ' + object.metadata.name"},
            {"key": "none", "valueExpression": "null"},
        ],
    });
    let server = with_policy(spec, json!({"validationActions": ["Warn", "Audit"]})).await;
    let request = server.request("configmaps", Operation::Create(map("m", json!({})), WriteOptions::default()));
    let (outcome, notes) = notes::of(Box::pin(server.registry.call(&request))).await;
    outcome.unwrap();
    assert_eq!(notes.warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': not so"]);
    let failure = json!([{"message": "not so", "policy": "p", "binding": "b", "expressionIndex": 0, "validationActions": ["Warn", "Audit"]}]);
    let annotation = |key: &str| notes.annotations.iter().find(|(have, _)| have == key).map(|(_, value)| value.clone());
    let noted: Value =
        serde_json::from_str(&annotation("validation.policy.admission.k8s.io/validation_failure").unwrap()).unwrap();
    assert_eq!(noted, failure);
    assert_eq!(annotation("p/name").as_deref(), Some("name is m"));
    assert_eq!(annotation("p/none"), None);
}

#[tokio::test]
async fn updates_and_deletes_see_the_old_object() {
    let spec = json!({"validations": [
        {"expression": "request.operation != 'UPDATE' || object.data.a == oldObject.data.a"},
        {"expression": "request.operation != 'DELETE' || (object == null && oldObject.metadata.name != 'kept')"},
        {"expression": "request.operation != 'CREATE' || oldObject == null"},
        {"expression": "namespaceObject.metadata.name == 'a'"},
    ]});
    let server = with_policy(spec, json!({})).await;
    for name in ["kept", "gone"] {
        server.create("configmaps", map(name, json!({"a": "1"}))).await.unwrap();
    }
    server.merge("configmaps/kept", json!({"data": {"b": "1"}})).await.unwrap();
    server.merge("configmaps/kept", json!({"data": {"a": "2"}})).await.unwrap_err();
    server.delete("configmaps/kept", DeleteOptions::default()).await.unwrap_err();
    server.delete("configmaps/gone", DeleteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn other_versions_of_a_kind_match_as_equivalents() {
    let rule = |version: &str| {
        json!({"apiGroups": ["autoscaling"], "apiVersions": [version], "operations": ["CREATE"],
               "resources": ["horizontalpodautoscalers"]})
    };
    let spec = json!({
        "matchConstraints": {"resourceRules": [rule("v1")]},
        "validations": [{"expression": "object.spec.targetCPUUtilizationPercentage < 50 && request.kind.version == 'v1' && request.requestKind.version == 'v2'"}],
    });
    let server = with_policy(spec, json!({})).await;
    let scaler = |percent: i64| {
        json!({"metadata": {"name": format!("h{percent}")}, "spec": {
            "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}}],
        }})
    };
    server.create("horizontalpodautoscalers.autoscaling", scaler(40)).await.unwrap();
    server.create("horizontalpodautoscalers.autoscaling", scaler(60)).await.unwrap_err();
}

#[tokio::test]
async fn policies_are_validated_in_upstreams_words() {
    let server = server().await;
    for (spec, expect) in [
        (
            json!({"validations": [{"expression": "object.a +"}]}),
            "spec.validations[0].expression: Invalid value: \"object.a +\": compilation failed: ERROR: <input>:1:11: Syntax error: mismatched input '<EOF>' expecting",
        ),
        (
            json!({"validations": [{"expression": "1"}]}),
            "spec.validations[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
        ),
        (
            json!({"validations": [{"expression": "params.x == 1"}]}),
            "undeclared reference to 'params' (in container '')",
        ),
        (
            json!({"validations": [{"expression": " "}]}),
            "spec.validations[0].expression: Required value: expression is not specified",
        ),
        (json!({}), "spec.validations: Required value: validations or auditAnnotations must contain at least one item"),
        (
            json!({"variables": [{"name": "a-b", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "spec.variables[0].name: Invalid value: \"a-b\": must be a valid CEL identifier",
        ),
        (
            json!({"variables": [{"name": "b", "expression": "variables.a"}, {"name": "a", "expression": "1"}], "validations": [{"expression": "true"}]}),
            "undefined field 'a'",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string but got int",
        ),
        (
            json!({"validations": [{"expression": "true", "reason": "Because"}]}),
            "spec.validations[0].reason: Unsupported value: \"Because\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
        ),
        (
            json!({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}),
            "spec.auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but got int",
        ),
        (
            json!({"matchConditions": [{"name": "x y", "expression": "true"}], "validations": [{"expression": "true"}]}),
            "spec.matchConditions[0].name: Invalid value: \"x y\":",
        ),
        (
            json!({"paramKind": {"apiVersion": "v1", "kind": ""}, "validations": [{"expression": "true"}]}),
            "spec.paramKind.kind: Required value",
        ),
        (
            json!({"matchConstraints": {}, "validations": [{"expression": "true"}]}),
            "spec.matchConstraints.resourceRules: Required value",
        ),
    ] {
        let status = server.create(POLICIES, policy("p", spec.clone())).await.unwrap_err();
        assert!(status.message.contains(expect), "{spec}: {}", status.message);
        assert_eq!(status.code, 422);
    }
    for (spec, expect) in [
        (json!({"policyName": ""}), "spec.policyName: Required value"),
        (json!({"validationActions": ["Deny", "Warn"]}), "must not contain both Deny and Warn"),
        (
            json!({"validationActions": []}),
            "spec.validationActions: Required value: at least one validation action is required",
        ),
        (
            json!({"paramRef": {"parameterNotFoundAction": "Deny"}}),
            "spec.paramRef: Required value: one of name or selector must be specified",
        ),
        (json!({"paramRef": {"name": "n"}}), "spec.paramRef.parameterNotFoundAction: Required value"),
    ] {
        let status = server.create(BINDINGS, binding("b", "p", spec.clone())).await.unwrap_err();
        assert!(status.message.contains(expect), "{spec}: {}", status.message);
    }
}

#[tokio::test]
async fn nobody_is_locked_out_of_policies() {
    let rule = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]});
    let server = with_policy(spec, json!({})).await;
    refusal(&server, map("m", json!({}))).await;
    server.delete(&format!("{POLICIES}/p"), DeleteOptions::default()).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server.create("configmaps", map("m", json!({}))).await.unwrap();
}

#[tokio::test]
async fn costs_are_limited() {
    let spec = json!({"validations": [
        {"expression": "lists.range(1000).all(x, lists.range(1000).all(y, x * y >= 0))"},
    ]});
    let server = with_policy(spec, json!({})).await;
    let status = refusal(&server, map("m", json!({}))).await;
    assert!(status.message.ends_with("operation cancelled: actual cost limit exceeded"), "{}", status.message);
    let half = "lists.range(50000).all(x, lists.range(1).all(y, x + y >= 0))";
    let many: Vec<Value> = (0..30).map(|_| json!({"expression": half})).collect();
    let server = with_policy(json!({"validations": many}), json!({})).await;
    let status = refusal(&server, map("m", json!({}))).await;
    let why =
        "denied request: validation failed due to running out of cost budget, no further validation rules will be run";
    assert!(status.message.ends_with(why), "{}", status.message);
}

#[tokio::test]
async fn policies_are_compiled_once_for_each_generation() {
    let source = super::Source::<super::validating::Policy>::new([POLICIES, BINDINGS], "v1");
    let server = with_policy(json!({"validations": [{"expression": "true"}]}), json!({})).await;
    let request = server.request("configmaps", Operation::Create(Value::Null, WriteOptions::default()));
    let attributes = super::Attributes::new(&request, super::super::Verb::Create, super::super::Options::None);
    let first = source.policies(&server.registry, &attributes).unwrap();
    server.create(BINDINGS, binding("b2", "p", json!({}))).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let second = source.policies(&server.registry, &attributes).unwrap();
    assert_eq!((first.bound[0].1.len(), second.bound[0].1.len()), (1, 2));
    assert!(Arc::ptr_eq(&first.bound[0].0, &second.bound[0].0));
    server.merge(&format!("{POLICIES}/p"), json!({"spec": {"validations": [{"expression": "false"}]}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    let third = source.policies(&server.registry, &attributes).unwrap();
    assert!(!Arc::ptr_eq(&second.bound[0].0, &third.bound[0].0));
}

const MUTATING: &str = "mutatingadmissionpolicies";
const MUTATING_BINDINGS: &str = "mutatingadmissionpolicybindings";

async fn with_mutations(mutations: Value, spec: Value) -> Server {
    let server = server().await;
    let mut whole = json!({"mutations": mutations, "reinvocationPolicy": "Never"});
    merge(&mut whole, spec);
    server.create(MUTATING, policy("p", whole)).await.unwrap();
    let bound = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}});
    server.create(MUTATING_BINDINGS, bound).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server
}

fn configuration(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

fn json_patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

#[tokio::test]
async fn mutating_policies_change_objects() {
    for (mutation, expect) in [
        (configuration("Object{data: {'b': object.data.a + '!'}}"), json!({"a": "x", "b": "x!"})),
        (
            configuration("Object{metadata: Object.metadata{labels: {'l': 'm'}}, data: {'b': request.operation}}"),
            json!({"a": "x", "b": "CREATE"}),
        ),
        (json_patch("[JSONPatch{op: 'add', path: '/data/b', value: 'y'}]"), json!({"a": "x", "b": "y"})),
        (
            json_patch(
                "[JSONPatch{op: 'test', path: '/data/a', value: 'z'}, JSONPatch{op: 'remove', path: '/data/a'}]",
            ),
            json!({"a": "x"}),
        ),
        (
            json_patch("[JSONPatch{op: 'add', path: '/data/' + jsonpatch.escapeKey('k'), value: object.data.a}]"),
            json!({"a": "x", "k": "x"}),
        ),
    ] {
        let server = with_mutations(json!([mutation]), json!({})).await;
        let made = server.create("configmaps", map("m", json!({"a": "x"}))).await.unwrap();
        assert_eq!(made["data"], expect, "{mutation}");
    }
}

#[tokio::test]
async fn mutations_follow_each_other() {
    let mutations = json!([
        json_patch("[JSONPatch{op: 'add', path: '/data/n', value: '1'}]"),
        configuration("Object{data: {'n': object.data.n + variables.suffix}}"),
    ]);
    let spec = json!({
        "variables": [{"name": "suffix", "expression": "'-' + object.metadata.name"}],
        "matchConditions": [{"name": "named-m", "expression": "object.metadata.name == 'm'"}],
    });
    let server = with_mutations(mutations, spec).await;
    let made = server.create("configmaps", map("m", json!({}))).await;
    // The first mutation's path is not there yet.
    let status = made.unwrap_err();
    assert!(
        status.message.starts_with("policy 'p' with binding 'b' denied request: JSON Patch: "),
        "{}",
        status.message
    );
    let made = server.create("configmaps", map("m", json!({"a": "b"}))).await.unwrap();
    assert_eq!(made["data"], json!({"a": "b", "n": "1-m"}));
    let made = server.create("configmaps", map("other", json!({"a": "b"}))).await.unwrap();
    assert_eq!(made["data"], json!({"a": "b"}));
}

#[tokio::test]
async fn mutations_that_cannot_be_made_refuse_in_upstreams_words() {
    for (mutation, failure, expect) in [
        (
            configuration("Object{data: {'b': object.data.none}}"),
            "Fail",
            Some(
                "policy 'p' with binding 'b' denied request: expression 'Object{data: {'b': object.data.none}}' resulted in error: no such key: none",
            ),
        ),
        (configuration("Object{data: {'b': object.data.none}}"), "Ignore", None),
        (
            configuration("Object{metadata: Object.spec{}}"),
            "Fail",
            Some(
                "policy 'p' with binding 'b' denied request: type mismatch: unexpected type name \"Object.spec\", expected \"Object.metadata\", which matches field name path from root Object type",
            ),
        ),
        (
            configuration(
                "Object{metadata: Object.metadata{finalizers: ['a/b'], ownerReferences: []}, immutable: 'x'}",
            ),
            "Fail",
            Some(
                "policy 'p' with binding 'b' denied request: error applying patch: failed to convert patch object to typed object: ",
            ),
        ),
    ] {
        let server = with_mutations(json!([mutation]), json!({"failurePolicy": failure})).await;
        match (server.create("configmaps", map("m", json!({"a": "x"}))).await, expect) {
            (Ok(_), None) => {}
            (Err(status), Some(expect)) => assert!(status.message.starts_with(expect), "{}", status.message),
            (found, _) => panic!("{mutation}: {found:?}"),
        }
    }
}

#[tokio::test]
async fn mutating_policies_are_validated() {
    let server = server().await;
    for (spec, expect) in [
        (json!({"mutations": []}), "spec.mutations: Required value"),
        (json!({"mutations": [{"patchType": "Other"}]}), "spec.mutations[0].patchType: Unsupported value: \"Other\""),
        (json!({"mutations": [{"patchType": "JSONPatch"}]}), "spec.mutations[0].jsonPatch: Required value"),
        (
            json!({"mutations": [configuration("1")]}),
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"1\": must evaluate to Object but got int",
        ),
        (json!({"mutations": [json_patch("Object{}")]}), "must evaluate to list(JSONPatch) but got Object"),
        (
            json!({"mutations": [configuration("Object{}")], "reinvocationPolicy": ""}),
            "spec.reinvocationPolicy: Required value",
        ),
    ] {
        let mut whole = json!({"reinvocationPolicy": "Never"});
        merge(&mut whole, spec.clone());
        let status = server.create(MUTATING, policy("p", whole)).await.unwrap_err();
        assert!(status.message.contains(expect), "{spec}: {}", status.message);
    }
}

/// The status of the policy `p` once its present generation is checked.
async fn checked(server: &Server) -> Value {
    loop {
        let policy = server.get(&format!("{POLICIES}/p")).await.unwrap();
        if policy["status"]["observedGeneration"] == policy["metadata"]["generation"] {
            return policy["status"].clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn types_are_checked_in_the_background() {
    let rule = json!({"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": ["deployments"]});
    let spec = |expression: &str| {
        json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [
            {"expression": expression, "messageExpression": "'has ' + string(object.spec.replicas)"},
        ]})
    };
    let server = server().await;
    let checking = tokio::spawn(super::status::run(server.registry.clone()));
    server
        .create(POLICIES, policy("p", spec("object.spec.replicas > 1 && object.metadata.namespace != 'x'")))
        .await
        .unwrap();
    assert_eq!(checked(&server).await["typeChecking"], json!({}));
    let made = server.get(&format!("{POLICIES}/p")).await.unwrap();
    let status =
        made["metadata"]["managedFields"].as_array().unwrap().iter().find(|entry| entry["subresource"] == "status");
    let said = status.map(|entry| (&entry["manager"], &entry["operation"], &entry["fieldsV1"]));
    let fields = json!({"f:status": {"f:observedGeneration": {}, "f:typeChecking": {}}});
    assert_eq!(said, Some((&json!("validatingadmissionpolicy-status"), &json!("Apply"), &fields)));
    server.merge(&format!("{POLICIES}/p"), policy("p", spec("object.spec.replicaz > 1"))).await.unwrap();
    let warnings = json!([{
        "fieldRef": "spec.validations[0].expression",
        "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replicaz'\n | object.spec.replicaz > 1\n | ...........^\n",
    }]);
    assert_eq!(checked(&server).await["typeChecking"]["expressionWarnings"], warnings);
    checking.abort();
}

#[tokio::test]
async fn mutating_policies_that_are_not_served_rest() {
    let store = embedded_store::memory();
    let served = |what: &str| RegistryConfig { served: what.parse().unwrap(), ..RegistryConfig::default() };
    let start = async |what| Server { registry: Registry::start(store.clone(), served(what)).await.unwrap() };
    let asked = start("api/beta=true").await;
    asked.create("namespaces", json!({"metadata": {"name": "a"}})).await.unwrap();
    let mutation = json_patch("[JSONPatch{op: 'add', path: '/data/b', value: 'y'}]");
    let spec = json!({"mutations": [mutation], "reinvocationPolicy": "Never"});
    asked.create(MUTATING, policy("p", spec)).await.unwrap();
    let bound = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}});
    asked.create(MUTATING_BINDINGS, bound).await.unwrap();
    asked.registry.catch_up().await.unwrap();
    let made = asked.create("configmaps", map("m", json!({"a": "x"}))).await.unwrap();
    assert_eq!(made["data"], json!({"a": "x", "b": "y"}));
    drop(asked);

    let unasked = start("").await;
    assert!(unasked.registry.catalog().get("admissionregistration.k8s.io", "v1beta1", MUTATING).is_none());
    let made = unasked.create("configmaps", map("n", json!({"a": "x"}))).await.unwrap();
    assert_eq!(made["data"], json!({"a": "x"}));
}
