//! Webhooks and custom resources, over HTTP: what upstream's end-to-end tests do with both.

use api::Status;

use super::*;
use crate::testing::{Answer, TestClient, of_kind};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A server that serves a kind with the versions `v1` (stored) and `v2`.
struct World {
    server: TestServer,
    client: TestClient,
}

impl World {
    async fn new(schema: Value, conversion: Value) -> Self {
        let server = TestServer::start().await;
        let client = server.admin().with("content-type", "application/json");
        let world = Self { server, client };
        let version = |name: &str| {
            json!({"name": name, "served": true, "storage": name == "v1", "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}})
        };
        let names = json!({"plural": "webhooktests", "kind": "WebhookTest"});
        let definition = json!({"metadata": {"name": "webhooktests.example.com"}, "spec": {"group": "example.com",
            "scope": "Namespaced", "names": names, "versions": [version("v1"), version("v2")], "conversion": conversion}});
        assert_eq!(world.send("POST", DEFINITIONS, &definition).await.code, 201);
        world.until(&path("v2", ""), |answer| answer.code == 200).await;
        world
    }

    async fn send(&self, verb: &str, path: &str, body: &Value) -> Answer {
        let kind = if verb == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let client = self.server.admin().with("content-type", kind);
        let named = if verb == "POST" { of_kind(path, "webhooktests", "WebhookTest", body) } else { body.clone() };
        let body = &named;
        client.send(&format!("{verb} {path}"), if body.is_null() { String::new() } else { body.to_string() }).await
    }

    async fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let began = std::time::Instant::now();
        loop {
            let answer = self.client.get(path).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{path}: {}", answer.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn configure(&self, plural: &str, name: &str, entries: &[Value]) {
        let body = json!({"metadata": {"name": name}, "webhooks": entries});
        let answer = self.send("POST", &format!("{CONFIGURATIONS}/{plural}"), &body).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
        self.server.registry.catch_up().await.unwrap();
    }

    async fn create(&self, version: &str, name: &str, data: Value) -> Answer {
        self.send("POST", &path(version, ""), &json!({"metadata": {"name": name}, "data": data})).await
    }
}

fn path(version: &str, rest: &str) -> String {
    format!("/apis/example.com/{version}/namespaces/default/webhooktests{rest}")
}

fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn closed() -> Value {
    let text = json!({"type": "string"});
    let known = json!({"mutation-start": text, "mutation-stage-1": text, "late": {"type": "string", "default": "yes"}});
    let replicas = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    let properties = json!({"data": {"type": "object", "properties": known}, "spec": replicas});
    json!({"type": "object", "properties": properties})
}

/// An entry about custom resources at `versions`.
fn about(reviewer: &Reviewer, name: &str, operations: &[&str], versions: &[&str]) -> Value {
    let rule = json!({"operations": operations, "apiGroups": ["example.com"], "apiVersions": versions,
        "resources": ["webhooktests"]});
    with(reviewer.entry(name), json!({"rules": [rule]}))
}

fn message(answer: &Answer) -> String {
    serde_json::from_slice::<Status>(&answer.body).unwrap().message
}

#[tokio::test]
async fn creations_updates_and_deletions_are_denied() {
    let world = World::new(open(), json!({"strategy": "None"})).await;
    let judge = |request: &Value| {
        let data = |field: &str| request[field]["data"]["webhook-e2e-test"].as_str().unwrap_or_default().to_owned();
        let why = match (request.text("operation"), &*data("object"), &*data("oldObject")) {
            ("DELETE", _, "webhook-nondeletable") => {
                "the custom resource cannot be deleted because it contains unwanted key and value"
            }
            (_, "webhook-disallow", _) => "the custom resource contains unwanted data",
            _ => return allow(),
        };
        json!({"allowed": false, "status": {"message": why}})
    };
    let reviewer = Reviewer::new(judge).await;
    let entry = about(&reviewer, "deny", &["CREATE", "UPDATE", "DELETE"], &["v1", "v2"]);
    world.configure(VALIDATING, "deny", &[entry]).await;
    let denied = |answer: &Answer, why: &str| {
        assert_eq!(answer.code, 400);
        assert_eq!(message(answer), format!("admission webhook \"deny.k8s.io\" denied the request: {why}"));
    };
    let bad = json!({"webhook-e2e-test": "webhook-disallow"});
    denied(&world.create("v1", "a", bad.clone()).await, "the custom resource contains unwanted data");
    let made = world.create("v1", "b", json!({"webhook-e2e-test": "webhook-nondeletable"})).await;
    assert_eq!(made.code, 201);
    let one = path("v1", "/b");
    let changed = world.send("PATCH", &one, &json!({"data": bad})).await;
    denied(&changed, "the custom resource contains unwanted data");
    let refused = world.send("DELETE", &one, &Value::Null).await;
    denied(&refused, "the custom resource cannot be deleted because it contains unwanted key and value");
    let all = world.send("DELETE", &path("v1", ""), &Value::Null).await;
    denied(&all, "the custom resource cannot be deleted because it contains unwanted key and value");
    let good = json!({"data": {"webhook-e2e-test": "webhook-allow"}});
    assert_eq!(world.send("PATCH", &one, &good).await.code, 200);
    assert_eq!(world.send("DELETE", &one, &Value::Null).await.code, 200);
    let [.., last] = &reviewer.take()[..] else { panic!("asked") };
    let kind = json!({"group": "example.com", "version": "v1", "kind": "WebhookTest"});
    assert_eq!((&last["kind"], last.text("resource.resource")), (&kind, "webhooktests"));
    assert_eq!((&last["object"], last.text("oldObject.data.webhook-e2e-test")), (&Value::Null, "webhook-allow"));
}

#[tokio::test]
async fn what_mutations_add_is_pruned_and_defaulted_by_the_schema() {
    for (schema, pruned) in [(open(), false), (closed(), true)] {
        let world = World::new(schema, json!({"strategy": "None"})).await;
        let reviewer = Reviewer::new(stages).await;
        let entries = ["one", "two"].map(|name| about(&reviewer, name, &["CREATE"], &["v1"]));
        world.configure(MUTATING, "m", &entries).await;
        let made = world.create("v1", "a", json!({"mutation-start": "yes"})).await.json();
        let expect = match pruned {
            true => json!({"mutation-start": "yes", "mutation-stage-1": "yes", "late": "yes"}),
            false => json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}),
        };
        assert_eq!(made["data"], expect);
        assert_eq!(world.client.get(&path("v2", "/a")).await.json()["data"], expect);
    }
}

#[tokio::test]
async fn mutations_go_on_when_another_version_is_stored() {
    let world = World::new(open(), json!({"strategy": "None"})).await;
    let reviewer = Reviewer::new(stages).await;
    let entries = ["one", "two"].map(|name| about(&reviewer, name, &["CREATE", "UPDATE"], &["v1", "v2"]));
    world.configure(MUTATING, "m", &entries).await;
    assert_eq!(world.create("v1", "a", json!({"mutation-start": "yes"})).await.code, 201);
    let definition = format!("{DEFINITIONS}/webhooktests.example.com");
    let schema = json!({"openAPIV3Schema": open()});
    let version = |name: &str| json!({"name": name, "storage": name == "v2", "served": true, "schema": schema});
    let change = json!({"spec": {"versions": [version("v1"), version("v2")]}});
    let strategic = world.server.admin().with("content-type", "application/strategic-merge-patch+json");
    let changed = strategic.send(&format!("PATCH {definition}"), change.to_string()).await;
    assert_eq!(changed.code, 200, "{}", changed.text());
    assert_eq!(changed.json()["status"]["storedVersions"], json!(["v1", "v2"]));
    let json_patch = world.server.admin().with("content-type", "application/json-patch+json");
    let dummy = json!([{"op": "add", "path": "/dummy", "value": "test"}]);
    let patched = json_patch.send(&format!("PATCH {}", path("v2", "/a")), dummy.to_string()).await.json();
    let expect = json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!((&patched["data"], patched.text("dummy")), (&expect, "test"));
}

#[tokio::test]
async fn definitions_are_denied_and_changed() {
    let world = World::new(open(), json!({"strategy": "None"})).await;
    let judge = |request: &Value| match request["object"]["metadata"]["labels"]["webhook-e2e-test"].as_str() {
        Some("webhook-disallow") => {
            json!({"allowed": false, "status": {"message": "the crd contains unwanted label"}})
        }
        _ => allow(),
    };
    let (judge, marker) = (
        Reviewer::new(judge).await,
        Reviewer::new(|_| patch(&json!([{"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}}])))
            .await,
    );
    let rules = json!([rule(&["CREATE"], "apiextensions.k8s.io", "customresourcedefinitions")]);
    let entry = |reviewer: &Reviewer, name: &str| with(reviewer.entry(name), json!({"rules": rules}));
    world.configure(VALIDATING, "deny", &[entry(&judge, "deny")]).await;
    world.configure(MUTATING, "mark", &[entry(&marker, "mark")]).await;
    let definition = |label: &str| {
        json!({"metadata": {"name": "others.example.com", "labels": {"webhook-e2e-test": label}}, "spec": {
            "group": "example.com", "scope": "Cluster", "names": {"plural": "others", "kind": "Other"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": open()}}]}})
    };
    let refused = world.send("POST", DEFINITIONS, &definition("webhook-disallow")).await;
    assert_eq!(
        message(&refused),
        "admission webhook \"deny.k8s.io\" denied the request: the crd contains unwanted label"
    );
    let made = world.send("POST", DEFINITIONS, &definition("fine")).await;
    assert_eq!((made.code, made.json()["metadata"]["annotations"]["seen"].as_str()), (201, Some("yes")));
    world.until("/apis/example.com/v1/others", |answer| answer.code == 200).await;
}

/// A webhook that converts between `data` of `v1` and `info` of `v2`, until it is told to fail.
async fn converter(ca: &Ca, fails: Arc<std::sync::atomic::AtomicBool>) -> Hook {
    Hook::serve(ca, "127.0.0.1", move |asked: Asked| {
        let request = asked.json()["request"].clone();
        let to = request.text("desiredAPIVersion");
        let mut objects = request.items("objects").to_vec();
        for object in &mut objects {
            let (from, into) = if to.ends_with("/v2") { ("data", "info") } else { ("info", "data") };
            if let Some(value) = object.cut(from) {
                object[into] = value;
            }
            object["apiVersion"] = to.into();
        }
        let status = if fails.load(Ordering::SeqCst) { "Failure" } else { "Success" };
        let result = json!({"status": status, "message": "no more"});
        let response = json!({"uid": request["uid"], "result": result, "convertedObjects": objects});
        let whole = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": response});
        let answer = answer(&whole);
        async move { answer }
    })
    .await
}

#[tokio::test]
async fn equivalent_requests_are_converted_to_the_version_a_webhook_asks_for() {
    let (ca, fails) = (Ca::new("ca"), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let hook = converter(&ca, fails.clone()).await;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&ca.pem);
    let client = json!({"url": format!("https://{}/c", hook.address), "caBundle": bundle});
    let conversion =
        json!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}});
    let world = World::new(open(), conversion).await;
    let reviewer = Reviewer::new(|_| allow()).await;
    let mutator = Reviewer::new(|request| {
        let object = &request["object"];
        assert!(object.is_null() || object.at("data").is_some() && object.at("info").is_none(), "{object}");
        patch(&json!([{"op": "add", "path": "/data/mutated", "value": "yes"},
            {"op": "add", "path": "/metadata/labels", "value": {"mutated": "yes"}}]))
    })
    .await;
    let exact = with(about(&reviewer, "exact", &["*"], &["v1"]), json!({"matchPolicy": "Exact"}));
    let conditions =
        json!([{"name": "c", "expression": "request.operation == 'DELETE' || object.data.k != 'skipped'"}]);
    let equivalent = with(about(&reviewer, "equivalent", &["*"], &["v1"]), json!({"matchConditions": conditions}));
    world.configure(VALIDATING, "v", &[exact, equivalent]).await;
    world.configure(MUTATING, "m", &[about(&mutator, "m", &["CREATE", "UPDATE"], &["v1"])]).await;
    let create = async |name: &str, value: &str| {
        let body = json!({"metadata": {"name": name}, "info": {"k": value}, "spec": {"replicas": 1}});
        world.send("POST", &path("v2", ""), &body).await
    };
    let made = create("a", "v").await.json();
    assert_eq!(made["info"], json!({"k": "v", "mutated": "yes"}));
    assert_eq!((made.text("apiVersion"), made.text("metadata.labels.mutated")), ("example.com/v2", "yes"));
    world.send("PATCH", &path("v2", "/a"), &json!({"info": {"k": "w"}})).await;
    world.send("DELETE", &path("v2", "/a"), &Value::Null).await;
    create("b", "skipped").await;
    let asked = reviewer.take();
    let seen: Vec<_> = asked
        .iter()
        .map(|r| (r.text("operation"), r.text("object.data.k"), r.text("oldObject.data.k"), r.text("kind.version")))
        .collect();
    assert_eq!(seen, [("CREATE", "v", "", "v1"), ("UPDATE", "w", "v", "v1"), ("DELETE", "", "w", "v1")]);
    for request in &asked {
        assert_eq!((request.text("requestKind.version"), request.text("resource.version")), ("v2", "v1"));
        for object in [&request["object"], &request["oldObject"]].into_iter().filter(|object| !object.is_null()) {
            assert_eq!(object.text("apiVersion"), "example.com/v1");
            assert!(!object.text("metadata.uid").is_empty() && !object.items("metadata.managedFields").is_empty());
        }
    }
    // A scale is of no version.
    let scale = json!({"operations": ["UPDATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["*/scale"]});
    world.configure(VALIDATING, "scale", &[with(reviewer.entry("scale"), json!({"rules": [scale]}))]).await;
    let scaled = world.send("PATCH", &path("v2", "/b/scale"), &json!({"spec": {"replicas": 3}})).await;
    assert_eq!(scaled.code, 200, "{}", scaled.text());
    let [asked] = &reviewer.take()[..] else { panic!("asked once") };
    assert_eq!((asked.text("object.kind"), asked["object"].int("spec.replicas")), ("Scale", Some(3)));
    // What cannot be converted cannot be admitted; a dry run would need no conversion but this.
    fails.store(true, Ordering::SeqCst);
    let refused =
        world.send("POST", &format!("{}?dryRun=All", path("v2", "")), &json!({"metadata": {"name": "c"}})).await;
    let expect = "Internal error occurred: conversion webhook for example.com/v2, Kind=WebhookTest failed: no more";
    assert_eq!((refused.code, &*message(&refused)), (500, expect));
}

#[tokio::test]
async fn policies_see_the_version_they_ask_for() {
    let (ca, fails) = (Ca::new("ca"), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let hook = converter(&ca, fails.clone()).await;
    let bundle = base64::engine::general_purpose::STANDARD.encode(&ca.pem);
    let client = json!({"url": format!("https://{}/c", hook.address), "caBundle": bundle});
    let conversion =
        json!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}});
    let world = World::new(open(), conversion).await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["webhooktests"]}]);
    let validations =
        json!([{"expression": "object.data.k == 'v' && object.data.added == 'yes'", "message": "only v"}]);
    let spec = json!({"matchConstraints": {"resourceRules": rules}, "validations": validations});
    let policy = json!({"metadata": {"name": "p"}, "spec": spec});
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    let expression = "Object{data: Object.data{added: 'yes'}}";
    let mutations = json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]);
    let spec =
        json!({"matchConstraints": {"resourceRules": rules}, "mutations": mutations, "reinvocationPolicy": "Never"});
    let mutating = json!({"metadata": {"name": "p"}, "spec": spec});
    let bound = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p"}});
    for (path, body) in [
        ("v1/validatingadmissionpolicies", policy),
        ("v1/validatingadmissionpolicybindings", binding),
        ("v1beta1/mutatingadmissionpolicies", mutating),
        ("v1beta1/mutatingadmissionpolicybindings", bound),
    ] {
        let answer = world.send("POST", &format!("/apis/admissionregistration.k8s.io/{path}"), &body).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
    }
    world.server.registry.catch_up().await.unwrap();
    let create = async |name: &str, value: &str| {
        world.send("POST", &path("v2", ""), &json!({"metadata": {"name": name}, "info": {"k": value}})).await
    };
    let made = create("a", "v").await;
    assert_eq!((made.code, &made.json()["info"]), (201, &json!({"k": "v", "added": "yes"})), "{}", made.text());
    let refused = create("b", "w").await;
    assert_eq!(refused.code, 422);
    assert!(message(&refused).ends_with("denied request: only v"), "{}", message(&refused));
    // Where they cannot see it, those that fail open let it pass.
    fails.store(true, Ordering::SeqCst);
    let admission = "/apis/admissionregistration.k8s.io";
    world.send("DELETE", &format!("{admission}/v1beta1/mutatingadmissionpolicybindings/b"), &Value::Null).await;
    let dry = async || {
        world.server.registry.catch_up().await.unwrap();
        world.send("POST", &format!("{}?dryRun=All", path("v2", "")), &json!({"metadata": {"name": "c"}})).await
    };
    let (refused, why) = (dry().await, "conversion webhook for example.com/v2, Kind=WebhookTest failed: no more");
    let expect = format!("denied request: failed to configure binding: failed to convert object version: {why}");
    assert!(refused.code == 422 && message(&refused).ends_with(&expect), "{}", refused.text());
    let open = json!({"spec": {"failurePolicy": "Ignore"}});
    world.send("PATCH", &format!("{admission}/v1/validatingadmissionpolicies/p"), &open).await;
    // What is stored is of another version, too.
    let refused = dry().await;
    assert_eq!((refused.code, &*message(&refused)), (500, why), "{}", refused.text());
}
