//! Webhooks that the tests serve, asked about writes through the registry. The behaviours are those of upstream's
//! end-to-end tests of admission webhooks. Long, because each behaviour has its test and they share one reviewer.

mod configurations;
mod custom;
mod reviews;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::{DeleteOptions, ListOptions, Operation, Patch, User, WriteOptions};
use base64::Engine;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::notes;
use crate::registry::tests::{Server, sample, server};
use crate::testing::{Ca, TestServer};
use crate::tree::Tree;
use crate::webhook::tests::{Asked, Hook, answer};

/// A webhook, and what it was asked.
struct Reviewer {
    hook: Hook,
    ca: Ca,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Reviewer {
    /// Answers each `request` with what `decide` makes of it: the `response`, whose uid is filled in.
    async fn new(decide: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Self {
        let (ca, asked) = (Ca::new("ca"), Arc::<Mutex<Vec<Value>>>::default());
        let seen = asked.clone();
        let hook = Hook::serve(&ca, "127.0.0.1", move |asked: Asked| {
            let review = asked.json();
            assert_eq!((review.text("apiVersion"), review.text("kind")), ("admission.k8s.io/v1", "AdmissionReview"));
            let request = review["request"].clone();
            let mut response = decide(&request);
            response["uid"] = request["uid"].clone();
            seen.lock().push(request);
            let answer: Response<Full<Bytes>> =
                answer(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}));
            async move { answer }
        })
        .await;
        Self { hook, ca, asked }
    }

    /// A webhook entry that is about creations and updates of config maps.
    fn entry(&self, name: &str) -> Value {
        let bundle = base64::engine::general_purpose::STANDARD.encode(&self.ca.pem);
        json!({
            "name": format!("{name}.k8s.io"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": format!("https://{}/{name}", self.hook.address), "caBundle": bundle},
            "rules": [rule(&["CREATE", "UPDATE"], "", "configmaps")],
        })
    }

    fn take(&self) -> Vec<Value> {
        std::mem::take(&mut *self.asked.lock())
    }
}

fn rule(operations: &[&str], group: &str, resource: &str) -> Value {
    json!({"operations": operations, "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]})
}

fn allow() -> Value {
    json!({"allowed": true})
}

fn patch(operations: &Value) -> Value {
    let patch = base64::engine::general_purpose::STANDARD.encode(operations.to_string());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}

fn with(mut entry: Value, change: Value) -> Value {
    for (key, value) in change.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}

async fn configure(server: &Server, plural: &str, name: &str, entries: &[Value]) {
    let body = json!({"metadata": {"name": name}, "webhooks": entries});
    server.create(plural, body).await.unwrap();
    server.registry.catch_up().await.unwrap();
}

const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";

fn config_map(name: &str, key: &str, value: &str) -> Value {
    json!({"metadata": {"name": name}, "data": {key: value}})
}

/// Refuses config maps and pods as upstream's test image does.
fn compliance(request: &Value) -> Value {
    let object = &request["object"];
    if object["data"]["webhook-e2e-test"] == "webhook-disallow" {
        let status =
            json!({"message": "the configmap contains unwanted key and value", "reason": "Because", "code": 403});
        return json!({"allowed": false, "status": status});
    }
    if object.items("spec.containers").iter().any(|c| c.text("name").contains("webhook-disallow")) {
        return json!({"allowed": false, "status": {"message": "the pod contains unwanted container name"}});
    }
    json!({"allowed": true, "warnings": ["so be it"], "auditAnnotations": {"k": "v"}})
}

#[tokio::test]
async fn pods_and_config_maps_are_denied() {
    let (server, reviewer) = (server().await, Reviewer::new(compliance).await);
    let skip = json!({"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]});
    let rules = json!([rule(&["CREATE", "UPDATE"], "", "configmaps"), rule(&["*"], "", "pods")]);
    let entry = with(reviewer.entry("deny"), json!({"namespaceSelector": skip, "rules": rules}));
    configure(&server, VALIDATING, "deny", &[entry]).await;
    let denied = "admission webhook \"deny.k8s.io\" denied the request: the configmap contains unwanted key and value";
    let bad = || config_map("bad", "webhook-e2e-test", "webhook-disallow");
    let status = server.create("configmaps", bad()).await.unwrap_err();
    assert_eq!((status.code, &*status.reason, &*status.message), (403, "Because", denied));
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "webhook-disallow", "image": "i"}]}});
    let status = server.create("pods", pod).await.unwrap_err();
    let expect = "admission webhook \"deny.k8s.io\" denied the request: the pod contains unwanted container name";
    assert_eq!((status.code, &*status.message), (400, expect));
    assert!(server.get("pods/p").await.unwrap_err().is_not_found());
    let (made, notes) = notes::of(Box::pin(server.create("configmaps", config_map("good", "admit", "this")))).await;
    let mut made = made.unwrap();
    assert_eq!(notes.warnings, ["so be it"]);
    assert_eq!(notes.annotations, [("deny.k8s.io/k".to_owned(), "v".to_owned())]);
    made["data"] = json!({"webhook-e2e-test": "webhook-disallow"});
    assert_eq!(server.update("configmaps/good", made).await.unwrap_err().message, denied);
    let change = json!({"data": {"webhook-e2e-test": "webhook-disallow"}});
    assert_eq!(server.merge("configmaps/good", change).await.unwrap_err().message, denied);
    // Namespaces the selector leaves out are left alone.
    reviewer.take();
    server.merge("namespaces/a", json!({"metadata": {"labels": {"skip": "yes"}}})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server.create("configmaps", bad()).await.unwrap();
    assert!(reviewer.take().is_empty());
}

#[tokio::test]
async fn reviews_tell_everything() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let rules = json!([rule(&["*"], "*", "*/*")]);
    let entry = with(reviewer.entry("see"), json!({"rules": rules, "sideEffects": "NoneOnDryRun"}));
    configure(&server, VALIDATING, "see", &[entry]).await;
    let mut request = server.request("configmaps", Operation::Get { resource_version: None });
    let mut user = User::new("alice", ["devs"]);
    user.uid = "u1".into();
    user.extra.insert("scopes".into(), vec!["a".into(), "b".into()]);
    request.user = Arc::new(user);
    let options = WriteOptions { dry_run: true, field_manager: "me".into(), ..WriteOptions::default() };
    request.operation = Operation::Create(config_map("c", "k", "v"), options);
    server.registry.call(&request).await.unwrap();
    let [asked] = &reviewer.take()[..] else { panic!("asked once") };
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    assert_eq!((&asked["kind"], &asked["requestKind"]), (&kind, &kind));
    assert_eq!((&asked["resource"], &asked["requestResource"]), (&resource, &resource));
    assert_eq!((asked.text("name"), asked.text("namespace"), asked.text("operation")), ("c", "a", "CREATE"));
    let user = json!({"username": "alice", "uid": "u1", "groups": ["devs", "system:authenticated"], "extra": {"scopes": ["a", "b"]}});
    assert_eq!(asked["userInfo"], user);
    assert_eq!((&asked["dryRun"], &asked["oldObject"]), (&true.into(), &Value::Null));
    let options =
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"});
    assert_eq!(asked["options"], options);
    let object = &asked["object"];
    assert_eq!((object.text("apiVersion"), object.text("kind")), ("v1", "ConfigMap"));
    assert_eq!((object.text("data.k"), object.text("metadata.namespace")), ("v", "a"));
    assert!(!object.text("metadata.uid").is_empty(), "validating webhooks see the final object");
    // Updates show both states; deletes the last.
    server.create("configmaps", config_map("d", "k", "v")).await.unwrap();
    server.merge("configmaps/d", json!({"data": {"k": "w"}})).await.unwrap();
    server
        .delete("configmaps/d", DeleteOptions { grace_period_seconds: Some(7), ..DeleteOptions::default() })
        .await
        .unwrap();
    let asked = reviewer.take();
    let seen: Vec<_> = asked
        .iter()
        .map(|r| (r.text("operation"), r.text("object.data.k"), r.text("oldObject.data.k"), r.text("options.kind")))
        .collect();
    let expect = [
        ("CREATE", "v", "", "CreateOptions"),
        ("UPDATE", "w", "v", "UpdateOptions"),
        ("DELETE", "", "w", "DeleteOptions"),
    ];
    assert_eq!(seen, expect);
    assert_eq!(asked[2]["options"]["gracePeriodSeconds"], 7);
    assert_eq!(asked[2]["object"], Value::Null);
}

#[tokio::test]
async fn subresources_are_reviewed_as_their_kinds() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template, "replicas": 1});
    server.create("deployments", json!({"metadata": {"name": "d"}, "spec": spec})).await.unwrap();
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    server.create("pods", json!({"metadata": {"name": "p"}, "spec": template["spec"]})).await.unwrap();
    let scale_up = |request: &Value| match request.text("subResource") {
        "scale" => patch(&json!([{"op": "replace", "path": "/spec/replicas", "value": 5}])),
        _ => allow(),
    };
    let mutator = Reviewer::new(scale_up).await;
    let rules = json!([rule(&["*"], "*", "*/*")]);
    configure(&server, VALIDATING, "see", &[with(reviewer.entry("see"), json!({"rules": rules}))]).await;
    configure(&server, MUTATING, "do", &[with(mutator.entry("do"), json!({"rules": rules}))]).await;
    let scale = server.merge("deployments/d/scale", json!({"spec": {"replicas": 3}})).await.unwrap();
    assert_eq!(scale.int("spec.replicas"), Some(5));
    server.merge("deployments/d/status", json!({"status": {"observedGeneration": 1}})).await.unwrap();
    server.create("pods/p/binding", json!({"metadata": {"name": "p"}, "target": {"name": "n"}})).await.unwrap();
    server.create("pods/p/eviction", json!({"metadata": {"name": "p"}})).await.unwrap();
    let asked = reviewer.take();
    let seen: Vec<_> = asked
        .iter()
        .map(|r| (r.text("operation"), r.text("resource.resource"), r.text("subResource"), r.text("kind.kind")))
        .collect();
    let expect = [
        ("UPDATE", "deployments", "scale", "Scale"),
        ("UPDATE", "deployments", "status", "Deployment"),
        ("CREATE", "pods", "binding", "Binding"),
        // An eviction deletes without a second review.
        ("CREATE", "pods", "eviction", "Eviction"),
    ];
    assert_eq!(seen, expect);
    let scale = &asked[0];
    assert_eq!((scale["object"].int("spec.replicas"), scale["oldObject"].int("spec.replicas")), (Some(5), Some(1)));
    assert_eq!(scale["requestSubResource"], "scale");
}

#[tokio::test]
async fn what_cannot_be_asked_fails_closed_or_open() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let stranger = base64::engine::general_purpose::STANDARD.encode(Ca::new("other").pem);
    let mut closed = reviewer.entry("closed");
    closed["clientConfig"]["caBundle"] = stranger.clone().into();
    configure(&server, VALIDATING, "closed", &[closed]).await;
    let status = server.create("configmaps", config_map("c", "k", "v")).await.unwrap_err();
    let expect = format!(
        "Internal error occurred: failed calling webhook \"closed.k8s.io\": failed to call webhook: Post \
         \"https://{}/closed?timeout=10s\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
        reviewer.hook.address
    );
    assert_eq!((status.code, &*status.reason, &*status.message), (500, "InternalError", &*expect));
    server.delete("validatingwebhookconfigurations/closed", DeleteOptions::default()).await.unwrap();
    let mut open = with(reviewer.entry("open"), json!({"failurePolicy": "Ignore"}));
    open["clientConfig"]["caBundle"] = stranger.into();
    configure(&server, VALIDATING, "open", &[open]).await;
    let (made, notes) = notes::of(Box::pin(server.create("configmaps", config_map("c", "k", "v")))).await;
    made.unwrap();
    let failed =
        ("failed-open.validating.webhook.admission.k8s.io/round_0_index_0".to_owned(), "open.k8s.io".to_owned());
    assert_eq!(notes.annotations, [failed]);
}

#[tokio::test]
async fn timeouts_are_honoured() {
    let (server, ca) = (server().await, Ca::new("ca"));
    let hook = Hook::serve(&ca, "127.0.0.1", |_| async { std::future::pending().await }).await;
    let slow = Reviewer { hook, ca, asked: Arc::default() };
    let entry = |policy: &str| with(slow.entry("slow"), json!({"failurePolicy": policy, "timeoutSeconds": 1}));
    configure(&server, VALIDATING, "slow", &[entry("Fail")]).await;
    let status = server.create("configmaps", config_map("c", "k", "v")).await.unwrap_err();
    assert!(status.message.ends_with("/slow?timeout=1s\": context deadline exceeded"), "{}", status.message);
    server.merge("validatingwebhookconfigurations/slow", json!({"webhooks": [entry("Ignore")]})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    server.create("configmaps", config_map("c", "k", "v")).await.unwrap();
}

/// Adds `mutation-stage-N` where what it needs is there.
fn stages(request: &Value) -> Value {
    let object = &request["object"];
    let add = |key: &str| patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}]));
    match () {
        () if object["data"]["mutation-stage-1"] == "yes" => add("mutation-stage-2"),
        () if object["data"]["mutation-start"] == "yes" => add("mutation-stage-1"),
        () => allow(),
    }
}

#[tokio::test]
async fn mutations_follow_each_other() {
    let (server, reviewer) = (server().await, Reviewer::new(stages).await);
    // Configurations go by name, whichever was made first; webhooks by their place.
    configure(&server, MUTATING, "b", &[reviewer.entry("second")]).await;
    configure(&server, MUTATING, "a", &[reviewer.entry("first")]).await;
    let (made, notes) =
        notes::of(Box::pin(server.create("configmaps", config_map("c", "mutation-start", "yes")))).await;
    let expect = json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!(made.unwrap()["data"], expect);
    assert_eq!(reviewer.take()[1]["object"]["data"]["mutation-stage-1"], "yes");
    let keys: Vec<&str> = notes.annotations.iter().map(|(key, _)| &**key).collect();
    let expect = [
        "patch.webhook.admission.k8s.io/round_0_index_0",
        "mutation.webhook.admission.k8s.io/round_0_index_0",
        "patch.webhook.admission.k8s.io/round_0_index_1",
        "mutation.webhook.admission.k8s.io/round_0_index_1",
    ];
    assert_eq!(keys, expect);
    assert_eq!(notes.annotations[1].1, "{\"configuration\":\"a\",\"webhook\":\"first.k8s.io\",\"mutated\":true}");
}

#[tokio::test]
async fn what_a_webhook_adds_is_pruned_defaulted_and_validated() {
    let server = server().await;
    server.create("serviceaccounts", json!({"metadata": {"name": "default"}})).await.unwrap();
    let add = |request: &Value| {
        let name = if request.text("name") == "bad" { "Not A Name" } else { "webhook-added-init-container" };
        patch(
            &json!([{"op": "add", "path": "/spec/initContainers", "value": [{"name": name, "image": "i", "unknown": 1}]}]),
        )
    };
    let reviewer = Reviewer::new(add).await;
    let entry = with(reviewer.entry("add"), json!({"rules": [rule(&["CREATE"], "", "pods")]}));
    configure(&server, MUTATING, "add", &[entry]).await;
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = server.create("pods", pod("p")).await.unwrap();
    let added = &made["spec"]["initContainers"][0];
    assert_eq!(added.text("terminationMessagePolicy"), "File");
    assert!(added.get("unknown").is_none());
    // The built-in plugins had their second turn: the account's token is mounted into the new container too.
    assert_eq!(added["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    let status = server.create("pods", pod("bad")).await.unwrap_err();
    assert_eq!(status.code, 422, "{}", status.message);
}

/// In Go they are one map, until the object is read again.
#[tokio::test]
async fn a_rewritten_jobs_labels_are_no_longer_its_templates() {
    let server = server().await;
    let change = |request: &Value| match request.text("name") {
        "rewritten" => patch(&json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}])),
        _ => allow(),
    };
    let reviewer = Reviewer::new(change).await;
    let entry = with(reviewer.entry("change"), json!({"rules": [rule(&["CREATE"], "batch", "jobs")]}));
    configure(&server, MUTATING, "change", &[entry]).await;
    for (name, expect) in [("rewritten", 1), ("seen", 5)] {
        let mut job = sample(&server.row("jobs.batch"));
        job.put("metadata.name", name);
        job.put("spec.template.metadata.labels", json!({"a": "b"}));
        let made = server.create("jobs.batch", job).await.unwrap();
        assert_eq!(made.entries("metadata.labels").count(), expect, "{made}");
        assert_eq!(made.entries("spec.template.metadata.labels").count(), 5, "{made}");
    }
}

#[tokio::test]
async fn webhooks_are_called_again_if_they_ask_for_it() {
    let server = server().await;
    let (times, other_times) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, other_counted) = (times.clone(), other_times.clone());
    let first = Reviewer::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        allow()
    })
    .await;
    let second = Reviewer::new(move |_| {
        other_counted.fetch_add(1, Ordering::SeqCst);
        patch(&json!([{"op": "add", "path": "/data/second", "value": "yes"}]))
    })
    .await;
    let again = with(first.entry("again"), json!({"reinvocationPolicy": "IfNeeded"}));
    configure(&server, MUTATING, "a", &[again, first.entry("once")]).await;
    configure(&server, MUTATING, "b", &[second.entry("change")]).await;
    server.create("configmaps", config_map("c", "k", "v")).await.unwrap();
    assert_eq!((times.load(Ordering::SeqCst), other_times.load(Ordering::SeqCst)), (3, 1));
    assert_eq!(first.take()[2]["object"]["data"], json!({"k": "v", "second": "yes"}));
}

#[tokio::test]
async fn a_webhook_moves_nothing_to_another_namespace() {
    let server = server().await;
    server.create("configmaps", config_map("there", "k", "v")).await.unwrap();
    let mover = Reviewer::new(|request| match request["object"]["data"]["to"].as_str() {
        Some("nowhere") => patch(&json!([{"op": "remove", "path": "/metadata/namespace"}])),
        Some(to) => patch(&json!([{"op": "replace", "path": "/metadata/namespace", "value": to}])),
        None => allow(),
    })
    .await;
    let entry = with(mover.entry("move"), json!({"rules": [rule(&["*"], "", "configmaps")]}));
    configure(&server, MUTATING, "move", &[entry]).await;
    let refused = "the namespace of the provided object does not match the namespace sent on the request";
    for (to, expect) in [("b", Err((400, refused))), ("nowhere", Ok("a")), ("a", Ok("a"))] {
        let answers = [
            server.create("configmaps", config_map(&format!("to-{to}"), "to", to)).await,
            server.merge("configmaps/there", json!({"data": {"to": to}})).await,
        ];
        for answer in answers {
            let found = answer.as_ref().map(|object| object.text("metadata.namespace"));
            assert_eq!(found.map_err(|status| (status.code, &*status.message)), expect, "{to}");
        }
    }
}

#[tokio::test]
async fn configurations_themselves_are_exempt() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| json!({"allowed": false})).await);
    let rules = json!([rule(&["*"], "admissionregistration.k8s.io", "*")]);
    let entry = with(reviewer.entry("deny"), json!({"rules": rules}));
    configure(&server, VALIDATING, "deny", std::slice::from_ref(&entry)).await;
    configure(&server, MUTATING, "deny", &[entry]).await;
    let victim = json!({"metadata": {"name": "victim"}, "webhooks": [reviewer.entry("x")]});
    server.create(VALIDATING, victim).await.unwrap();
    server.delete("validatingwebhookconfigurations/victim", DeleteOptions::default()).await.unwrap();
    assert!(reviewer.take().is_empty());
}

#[tokio::test]
async fn crd_creation_is_denied() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| json!({"allowed": false})).await);
    let rules = json!([rule(&["CREATE"], "apiextensions.k8s.io", "customresourcedefinitions")]);
    configure(&server, VALIDATING, "deny", &[with(reviewer.entry("crd"), json!({"rules": rules}))]).await;
    let row = server.row("customresourcedefinitions");
    let status = server.create("customresourcedefinitions", sample(&row)).await.unwrap_err();
    assert_eq!(status.message, "admission webhook \"crd.k8s.io\" denied the request without explanation");
}

#[tokio::test]
async fn changed_configurations_count_at_once() {
    let (server, reviewer) = (server().await, Reviewer::new(compliance).await);
    configure(&server, VALIDATING, "v", &[reviewer.entry("v")]).await;
    let create =
        async |name: &str| server.create("configmaps", config_map(name, "webhook-e2e-test", "webhook-disallow")).await;
    assert!(create("a").await.is_err());
    let mut entry = reviewer.entry("v");
    entry["rules"] = json!([rule(&["UPDATE"], "", "configmaps")]);
    server.merge("validatingwebhookconfigurations/v", json!({"webhooks": [entry]})).await.unwrap();
    server.registry.catch_up().await.unwrap();
    create("b").await.unwrap();
    let rules = json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]);
    let patched = Operation::Patch(Patch::Json(rules), WriteOptions::default());
    server.object("validatingwebhookconfigurations/v", patched).await.unwrap();
    server.registry.catch_up().await.unwrap();
    assert!(create("c").await.is_err());
    server
        .call(VALIDATING, Operation::DeleteCollection(DeleteOptions::default(), ListOptions::default()))
        .await
        .unwrap();
    server.registry.catch_up().await.unwrap();
    create("d").await.unwrap();
}

#[tokio::test]
async fn every_object_of_a_collection_is_reviewed() {
    let server = server().await;
    let reviewer = Reviewer::new(|request| json!({"allowed": request.text("oldObject.metadata.name") != "kept"})).await;
    for name in ["x", "y", "kept"] {
        server.create("configmaps", config_map(name, "k", "v")).await.unwrap();
    }
    let rules = json!([rule(&["DELETE"], "", "configmaps")]);
    configure(&server, VALIDATING, "d", &[with(reviewer.entry("d"), json!({"rules": rules}))]).await;
    let all = Operation::DeleteCollection(DeleteOptions::default(), ListOptions::default());
    let status = server.call("configmaps", all).await.map(drop).unwrap_err();
    assert!(status.message.contains("denied the request"));
    server.get("configmaps/kept").await.unwrap();
}

#[tokio::test]
async fn equivalent_requests_are_reviewed_at_the_version_asked_for() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let events = json!([rule(&["CREATE"], "events.k8s.io", "events")]);
    let equivalent = with(reviewer.entry("equivalent"), json!({"rules": events}));
    let exact = with(reviewer.entry("exact"), json!({"rules": events, "matchPolicy": "Exact"}));
    configure(&server, VALIDATING, "e", &[equivalent, exact]).await;
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "a"}, "message": "m"});
    server.create("events", event).await.unwrap();
    let [asked] = &reviewer.take()[..] else { panic!("asked once") };
    let group = |field: &str| asked[field].text("group");
    assert_eq!((group("resource"), group("requestResource"), group("kind")), ("events.k8s.io", "", "events.k8s.io"));
    assert_eq!((asked["object"].text("apiVersion"), asked["object"].text("note")), ("events.k8s.io/v1", "m"));
}

#[tokio::test]
async fn objects_are_selected_by_their_labels() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let entry = with(reviewer.entry("o"), json!({"objectSelector": {"matchLabels": {"watched": "yes"}}}));
    configure(&server, VALIDATING, "o", &[entry]).await;
    server.create("configmaps", config_map("c", "k", "v")).await.unwrap();
    let label = |value: Value| json!({"metadata": {"labels": {"watched": value}}});
    server.merge("configmaps/c", label("yes".into())).await.unwrap();
    // What was watched may not slip away unseen.
    server.merge("configmaps/c", label(Value::Null)).await.unwrap();
    server.merge("configmaps/c", json!({"data": {"k": "w"}})).await.unwrap();
    assert_eq!(reviewer.take().len(), 2);
}

#[tokio::test]
async fn scopes_and_namespaces_of_namespaces() {
    let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
    let mut everything = rule(&["*"], "*", "*");
    everything["scope"] = "Cluster".into();
    let entry = with(
        reviewer.entry("cluster"),
        json!({"rules": [everything], "namespaceSelector": {"matchLabels": {"x": "y"}}}),
    );
    configure(&server, VALIDATING, "c", &[entry]).await;
    server.create("configmaps", config_map("c", "k", "v")).await.unwrap();
    server.create("namespaces", json!({"metadata": {"name": "plain"}})).await.unwrap();
    server.create("namespaces", json!({"metadata": {"name": "chosen", "labels": {"x": "y"}}})).await.unwrap();
    // What is in no namespace is selected whatever the selector.
    server.create("clusterroles", json!({"metadata": {"name": "r"}, "rules": []})).await.unwrap();
    let asked = reviewer.take();
    let seen: Vec<_> = asked.iter().map(|r| (r.text("name"), r.text("namespace"))).collect();
    assert_eq!(seen, [("chosen", "chosen"), ("r", "")]);
}

#[tokio::test]
async fn answers_that_make_no_sense_are_failures() {
    let server = server().await;
    let ca = Ca::new("ca");
    let said = Arc::new(Mutex::new(Value::Null));
    let told = said.clone();
    let hook = Hook::serve(&ca, "127.0.0.1", move |_| {
        let answer = answer(&told.lock());
        async move { answer }
    })
    .await;
    let reviewer = Reviewer { hook, ca, asked: Arc::default() };
    configure(&server, VALIDATING, "v", &[reviewer.entry("v")]).await;
    for (answer, expect) in [
        (json!({}), "received invalid webhook response: webhook response was absent"),
        (json!("yes"), "failed to call webhook: couldn't get version/kind; json parse error"),
        (json!({"response": {"uid": "x"}}), "received invalid webhook response: expected response.uid="),
    ] {
        *said.lock() = answer;
        let status = server.create("configmaps", config_map("c", "k", "v")).await.unwrap_err();
        let expect = format!("Internal error occurred: failed calling webhook \"v.k8s.io\": {expect}");
        assert!(status.message.starts_with(&expect), "{}", status.message);
    }
}

#[tokio::test]
async fn patches_only_of_mutating_webhooks_and_only_of_objects() {
    let operations = json!([{"op": "add", "path": "/data/x", "value": "y"}]);
    let (server, reviewer) = (server().await, Reviewer::new(move |_| patch(&operations)).await);
    server.create("configmaps", config_map("c", "k", "v")).await.unwrap();
    configure(&server, VALIDATING, "v", &[reviewer.entry("v")]).await;
    let status = server.merge("configmaps/c", json!({"data": {"a": "b"}})).await.unwrap_err();
    let expect = "Internal error occurred: failed calling webhook \"v.k8s.io\": received invalid webhook response: \
                  validating webhook may not return response.patch";
    assert_eq!(status.message, expect);
    let rules = json!([rule(&["DELETE"], "", "configmaps")]);
    configure(&server, MUTATING, "m", &[with(reviewer.entry("m"), json!({"rules": rules}))]).await;
    let status = server.delete("configmaps/c", DeleteOptions::default()).await.unwrap_err();
    let expect = "Internal error occurred: admission webhook \"m.k8s.io\" attempted to modify the object, which is not \
                  supported for this operation";
    assert_eq!(status.message, expect);
}

#[tokio::test]
async fn dry_runs_need_webhooks_without_side_effects() {
    // A configuration from before side effects had to be declared; nobody can make one today.
    let reviewer = Reviewer::new(|_| allow()).await;
    let entry = with(reviewer.entry("x"), json!({"sideEffects": "Some"}));
    let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "old"}, "webhooks": [entry]});
    let server = server().await;
    let row = server.row(VALIDATING);
    let object = api::Object::encode(&configuration, 0, &row).unwrap();
    let hooks = super::Hook::compile(&object, server.registry.webhooks()).unwrap();
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let request = server.request("configmaps/c", Operation::Get { resource_version: None });
    let attributes =
        super::Attributes::new(&request, crate::admission::Verb::Update, crate::admission::Options::Update(options));
    let refused = hooks[0].ask(&attributes, &request.resource, &json!({}), &json!({}), false).await;
    let Err(super::hook::Failure::Broken(status)) = refused else { panic!("refused") };
    assert_eq!((status.code, &*status.message), (400, "admission webhook \"x.k8s.io\" does not support dry run"));
}

#[tokio::test]
async fn configurations_are_checked_in_upstreams_words() {
    let server = server().await;
    let good = json!({"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": "https://h/p"}, "rules": [rule(&["CREATE"], "", "pods")]});
    let check = async |change: Value, expect: &str| {
        let entry = with(good.clone(), change);
        let body = json!({"metadata": {"name": "x"}, "webhooks": [entry]});
        let status = server.create(MUTATING, body).await.unwrap_err();
        let prefix = "MutatingWebhookConfiguration.admissionregistration.k8s.io \"x\" is invalid: ";
        assert_eq!(status.message.strip_prefix(prefix), Some(expect));
    };
    check(
        json!({"name": "a.b"}),
        "webhooks[0].name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots",
    )
    .await;
    check(
        json!({"sideEffects": "Some"}),
        "webhooks[0].sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\"",
    )
    .await;
    check(
        json!({"sideEffects": null}),
        "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
    )
    .await;
    check(
        json!({"timeoutSeconds": 31}),
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    )
    .await;
    check(
        json!({"clientConfig": {}}),
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
    )
    .await;
    check(json!({"clientConfig": {"url": "http://h"}}), "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]").await;
    check(
        json!({"admissionReviewVersions": ["v2"]}),
        "webhooks[0].admissionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1",
    )
    .await;
    check(json!({"rules": [rule(&["*", "CREATE"], "", "pods")]}), "webhooks[0].rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations").await;
    check(json!({"rules": [rule(&["READ"], "", "pods")]}), "webhooks[0].rules[0].operations[0]: Unsupported value: \"READ\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"").await;
    check(
        json!({"matchConditions": [{"name": "x", "expression": "1"}]}),
        "webhooks[0].matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
    )
    .await;
    let twice = json!({"metadata": {"name": "x"}, "webhooks": [good, good]});
    let status = server.create(MUTATING, twice).await.unwrap_err();
    assert!(status.message.ends_with("webhooks[1].name: Duplicate value: \"a.b.c\""), "{}", status.message);
}

#[tokio::test]
async fn match_conditions_leave_webhooks_out() {
    for (expression, failure, asked, passes) in [
        ("object.metadata.name == 'm'", "Fail", true, true),
        ("object.metadata.name != 'm'", "Fail", false, true),
        ("request.userInfo.username == 'alice'", "Fail", true, true),
        ("object.data.none == 'x'", "Fail", false, false),
        ("object.data.none == 'x'", "Ignore", false, true),
    ] {
        let (server, reviewer) = (server().await, Reviewer::new(|_| allow()).await);
        let conditions = json!([{"name": "c", "expression": expression}]);
        let entry = with(reviewer.entry("a.b"), json!({"matchConditions": conditions, "failurePolicy": failure}));
        let body = json!({"metadata": {"name": "x"}, "webhooks": [entry]});
        server.create("validatingwebhookconfigurations", body).await.unwrap();
        server.registry.catch_up().await.unwrap();
        let made = server.create("configmaps", json!({"metadata": {"name": "m"}, "data": {"a": "b"}})).await;
        assert_eq!((!reviewer.take().is_empty(), made.is_ok()), (asked, passes), "{expression}: {made:?}");
        if let Err(status) = made {
            let why = "configmaps \"m\" is forbidden: expression 'object.data.none == 'x'' resulted in error: no such key: none";
            assert_eq!((status.code, &*status.message), (403, why));
        }
    }
}

#[tokio::test]
async fn attaching_is_denied() {
    let deny = |request: &Value| {
        let object = &request["object"];
        assert_eq!((request.text("operation"), object.text("kind")), ("CONNECT", "PodAttachOptions"));
        assert_eq!((object.truth("stdin"), object.text("container")), (true, "container1"));
        json!({"allowed": false, "warnings": ["think twice"],
            "status": {"message": "attaching to pod 'to-be-attached-pod' is not allowed"}})
    };
    let (server, reviewer) = (TestServer::start().await, Reviewer::new(deny).await);
    let client = server.admin().with("content-type", "application/json");
    let entry = with(reviewer.entry("attach"), json!({"rules": [rule(&["CONNECT"], "", "pods/attach")]}));
    let body = json!({"metadata": {"name": "attach"}, "webhooks": [entry]}).to_string();
    let made = client.send("POST /apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", body).await;
    assert_eq!(made.code, 201, "{}", made.text());
    server.api.registry().catch_up().await.unwrap();
    let path = "POST /api/v1/namespaces/default/pods/to-be-attached-pod/attach?stdin=true&container=container1";
    let answer = tokio::time::timeout(Duration::from_secs(30), client.send(path, "")).await.unwrap();
    assert_eq!(answer.code, 400);
    let message = answer.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "admission webhook \"attach.k8s.io\" denied the request: attaching to pod 'to-be-attached-pod' is not allowed"
    );
    // Warnings come with refusals too.
    assert_eq!(answer.headers["warning"], "299 - \"think twice\"");
}
