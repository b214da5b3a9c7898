//! Definitions over HTTP, as clients use them.

mod conversion;
mod definitions;
mod rules;
mod versions;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::testing::{Answer, TestClient, TestServer, of_kind};
use crate::tree::Tree;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const CRON_TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

fn cron_tabs() -> Value {
    let spec = json!({
        "type": "object",
        "required": ["cronSpec"],
        "properties": {
            "cronSpec": { "type": "string", "pattern": "^[0-9* /]+$" },
            "image": { "type": "string", "default": "busybox" },
            "replicas": { "type": "integer", "minimum": 1 },
            "weight": { "type": "integer" },
        },
    });
    let status = json!({ "type": "object", "properties": { "replicas": { "type": "integer" } } });
    json!({
        "metadata": { "name": "crontabs.stable.example.com" },
        "spec": {
            "group": "stable.example.com",
            "scope": "Namespaced",
            "names": { "plural": "crontabs", "kind": "CronTab", "shortNames": ["ct"] },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec, "status": status } } },
                "subresources": {
                    "status": {},
                    "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
                },
                "selectableFields": [{ "jsonPath": ".spec.image" }],
                "additionalPrinterColumns": [{ "name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec" }],
            }],
        },
    })
}

fn cron_tab(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "cronSpec": "* *" } })
}

async fn post(client: &TestClient, path: &str, body: &Value) -> Answer {
    client.send(&format!("POST {path}"), of_kind(path, "crontabs", "CronTab", body).to_string()).await
}

/// Asks until the answer is as wanted.
async fn until(client: &TestClient, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let began = Instant::now();
    loop {
        let answer = client.get(path).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{path}: {}", answer.text());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn condition<'v>(definition: &'v Value, ty: &str) -> Option<&'v Value> {
    definition.items("status.conditions").iter().find(|condition| condition.text("type") == ty)
}

/// Makes a definition and waits until it is established.
async fn establish(client: &TestClient, definition: &Value) -> Value {
    let answer = post(client, DEFINITIONS, definition).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    let path = format!("{DEFINITIONS}/{}", definition.text("metadata.name"));
    let established = |answer: &Answer| condition(&answer.json(), "Established").is_some_and(|c| c["status"] == "True");
    let made = until(client, &path, established).await.json();
    let told = |entry: &&Value| entry.text("manager") == "kube-apiserver" && entry.text("subresource") == "status";
    let own = made.items("metadata.managedFields").iter().find(told).expect("who wrote the status");
    assert!(own.at("fieldsV1.f:status.f:acceptedNames.f:plural").is_some(), "{own}");
    made
}

async fn with_cron_tabs() -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    establish(&client, &cron_tabs()).await;
    (server, client)
}

#[tokio::test]
async fn a_status_that_is_taken_out_has_its_default() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    let mut definition = cron_tabs();
    let version = &mut definition["spec"]["versions"][0];
    version["subresources"]["status"] = json!({});
    version["schema"]["openAPIV3Schema"]["properties"]["status"] =
        json!({ "type": "object", "default": { "phase": "Pending" }, "properties": { "phase": { "type": "string" } } });
    establish(&client, &definition).await;
    let mut body = cron_tab("a");
    body["status"] = json!({ "phase": "Mine" });
    for query in ["?dryRun=All", ""] {
        let made = post(&client, &format!("{CRON_TABS}{query}"), &body).await;
        assert_eq!((made.code, made.json()["status"].clone()), (201, json!({ "phase": "Pending" })), "{query}");
    }
    assert_eq!(client.get(&format!("{CRON_TABS}/a")).await.json()["status"]["phase"], "Pending");
}

#[tokio::test]
async fn objects_are_pruned_defaulted_and_validated() {
    let (_server, client) = with_cron_tabs().await;
    let mut body = cron_tab("a");
    body["spec"]["unknown"] = json!(1);
    body["metadata"]["finalizers"] = json!(["plain"]);
    let made = post(&client, CRON_TABS, &body).await;
    assert_eq!(made.code, 201);
    assert_eq!(made.json()["spec"], json!({ "cronSpec": "* *", "image": "busybox" }));
    assert_eq!(made.json()["metadata"]["generation"], 1);
    let warnings: Vec<&str> = made.headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(warnings[0], r#"299 - "unknown field \"spec.unknown\"""#);
    assert!(warnings[1].contains("prefer a domain-qualified finalizer name"));

    let strict = post(&client, &format!("{CRON_TABS}?fieldValidation=Strict"), &body).await;
    assert_eq!(strict.code, 400);
    assert!(
        strict.json()["message"].as_str().unwrap().ends_with("strict decoding error: unknown field \"spec.unknown\"")
    );

    let bad = json!({ "metadata": { "name": "b" }, "spec": { "cronSpec": "bad", "replicas": "many" } });
    let refused = post(&client, CRON_TABS, &bad).await;
    assert_eq!(refused.code, 422);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("CronTab.stable.example.com \"b\" is invalid: ["), "{message}");
    assert!(message.contains(
        "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\""
    ));
}

/// A client in a language of floats writes `3.0`, and one in a language of integers reads it.
#[tokio::test]
async fn whole_numbers_are_shown_as_such() {
    let (_server, client) = with_cron_tabs().await;
    let mut body = cron_tab("a");
    body["spec"]["weight"] = json!(3.0);
    let made = post(&client, CRON_TABS, &body).await;
    assert_eq!((made.code, &made.json()["spec"]["weight"]), (201, &json!(3)));
    // As upstream, who writes another type than is there has changed the object.
    let mut again = made.json();
    again["spec"]["weight"] = json!(3.0);
    let again = client.send(&format!("PUT {CRON_TABS}/a"), again.to_string()).await.json();
    assert_eq!((&again["spec"]["weight"], &again["metadata"]["generation"]), (&json!(3), &json!(2)));
}

#[tokio::test]
async fn status_and_scale_are_apart() {
    let (_server, client) = with_cron_tabs().await;
    let mut body = cron_tab("a");
    body["status"] = json!({ "replicas": 5 });
    assert!(post(&client, CRON_TABS, &body).await.json().get("status").is_none());
    let merge = client.with("content-type", "application/merge-patch+json");
    let patch = |path: &str, body: Value| {
        let (merge, request) = (&merge, format!("PATCH {CRON_TABS}/a{path}"));
        async move { merge.send(&request, body.to_string()).await }
    };
    let written = patch("/status", json!({ "status": { "replicas": 2 }, "spec": { "cronSpec": "1" } })).await.json();
    assert_eq!((&written["status"]["replicas"], &written["spec"]["cronSpec"]), (&json!(2), &json!("* *")));
    assert_eq!(written["metadata"]["generation"], 1);
    let refused = patch("/status", json!({ "status": { "replicas": "x" } })).await;
    assert_eq!(refused.code, 422);
    assert_eq!(refused.json()["details"]["causes"][0]["field"], "status.replicas");
    let unscaled = merge.get(&format!("{CRON_TABS}/a/scale")).await;
    let why = "Internal error occurred: the spec replicas field \".spec.replicas\" does not exist";
    assert_eq!((unscaled.code, &unscaled.json()["message"]), (500, &json!(why)));
    let scaled = patch("/scale", json!({ "spec": { "replicas": 3 } })).await.json();
    assert_eq!(
        (&scaled["kind"], &scaled["spec"]["replicas"], &scaled["status"]["replicas"]),
        (&json!("Scale"), &json!(3), &json!(2))
    );
    let whole = merge.get(&format!("{CRON_TABS}/a")).await.json();
    assert_eq!((&whole["spec"]["replicas"], &whole["metadata"]["generation"]), (&json!(3), &json!(2)));
    let ratcheted = patch("", json!({ "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!(ratcheted.code, 200);
}

#[tokio::test]
async fn kinds_are_found_selected_and_shown() {
    let (_server, client) = with_cron_tabs().await;
    let found = client.get("/apis/stable.example.com/v1").await.json();
    let names: Vec<&str> = found.items("resources").iter().map(|row| row.text("name")).collect();
    assert_eq!(names, ["crontabs", "crontabs/status", "crontabs/scale"]);
    assert_eq!(found["resources"][0]["shortNames"], json!(["ct"]));
    post(&client, CRON_TABS, &cron_tab("a")).await;
    let mut other = cron_tab("b");
    other["spec"]["image"] = json!("x");
    post(&client, CRON_TABS, &other).await;
    let list = client.get(&format!("{CRON_TABS}?fieldSelector=spec.image%3Dx")).await.json();
    assert_eq!(list.items("items").iter().map(|item| item["metadata"].text("name")).collect::<Vec<_>>(), ["b"]);
    let refused = client.get(&format!("{CRON_TABS}?fieldSelector=spec.cronSpec%3Dx")).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str()),
        (400, Some("field label not supported: spec.cronSpec"))
    );
    let table = client.with("accept", "application/json;as=Table;v=v1;g=meta.k8s.io").get(CRON_TABS).await.json();
    assert_eq!(table["columnDefinitions"][1]["name"], "Spec");
    assert_eq!(table["rows"][0]["cells"], json!(["a", "* *"]));
}

#[tokio::test]
async fn a_definition_goes_after_its_objects_and_comes_back_at_once() {
    let (_server, client) = with_cron_tabs().await;
    let mut held = cron_tab("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    post(&client, CRON_TABS, &held).await;
    post(&client, CRON_TABS, &cron_tab("free")).await;
    let definition = format!("{DEFINITIONS}/crontabs.stable.example.com");
    let deleted = client.send(&format!("DELETE {definition}"), "").await;
    assert_eq!(deleted.code, 200);
    assert_eq!(condition(&deleted.json(), "Terminating").unwrap()["reason"], "InstanceDeletionPending");
    let metadata = &deleted.json()["metadata"];
    assert_eq!((&metadata["generation"], metadata.get("deletionGracePeriodSeconds")), (&json!(1), None));
    until(&client, &format!("{CRON_TABS}/free"), |answer| answer.code == 404).await;
    let refused = post(&client, CRON_TABS, &cron_tab("new")).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.json()["message"],
        "crontabs.stable.example.com \"new\" is forbidden: create not allowed while custom resource definition is terminating"
    );
    let merge = client.with("content-type", "application/merge-patch+json");
    let released = json!({ "metadata": { "finalizers": null } }).to_string();
    assert_eq!(merge.send(&format!("PATCH {CRON_TABS}/held"), released).await.code, 200);
    until(&merge, &definition, |answer| answer.code == 404).await;
    let client = merge.with("content-type", "application/json");
    establish(&client, &cron_tabs()).await;
    assert_eq!(client.get(CRON_TABS).await.json()["items"], json!([]));
    assert_eq!(post(&client, CRON_TABS, &cron_tab("new")).await.code, 201);
}

#[tokio::test]
async fn kinds_are_documented_while_they_are_served() {
    let (_server, client) = with_cron_tabs().await;
    let document = "/openapi/v3/apis/stable.example.com/v1";
    let schemas = client.get(document).await.json()["components"]["schemas"].clone();
    assert_eq!(
        schemas["com.example.stable.v1.CronTab"]["properties"]["spec"]["properties"]["image"]["default"],
        "busybox"
    );
    client.send(&format!("DELETE {DEFINITIONS}/crontabs.stable.example.com"), "").await;
    until(&client, document, |answer| answer.code == 404).await;
    assert_eq!(client.get("/apis/stable.example.com/v1").await.code, 404);
}

#[tokio::test]
async fn bodies_say_of_which_kind_they_are() {
    let (_server, client) = with_cron_tabs().await;
    for (said, why) in [
        (
            json!({}),
            "the object provided is unrecognized (must be of type CronTab): Object 'Kind' is missing in '{}' ({})",
        ),
        (
            json!({ "kind": "CronTab" }),
            "the API version in the data () does not match the expected API version (stable.example.com/v1)",
        ),
        (
            json!({ "kind": "CronTab", "apiVersion": "stable.example.com/v2" }),
            "the API version in the data (stable.example.com/v2) does not match the expected API version \
             (stable.example.com/v1)",
        ),
    ] {
        let refused = client.send(&format!("POST {CRON_TABS}"), said.to_string()).await;
        assert_eq!((refused.code, refused.json()["message"].as_str()), (400, Some(why)));
    }
}
