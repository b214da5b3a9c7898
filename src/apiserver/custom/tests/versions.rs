//! Several versions of a kind, and definitions that change under their objects.

use super::*;

const DEFINITION: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.stable.example.com";

fn two_versions() -> Value {
    let mut definition = cron_tabs();
    let mut old = definition["spec"]["versions"][0].clone();
    old["name"] = json!("v1beta1");
    old["storage"] = json!(false);
    old["deprecated"] = json!(true);
    old["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["old"] = json!({ "type": "string" });
    // Upstream lets versions with different schemas not be selected by the same fields.
    old["selectableFields"] = Value::Null;
    definition["spec"]["versions"].as_array_mut().unwrap().push(old);
    definition
}

async fn change(client: &TestClient, change: impl Fn(&mut Value)) {
    let mut definition = client.get(DEFINITION).await.json();
    change(&mut definition);
    let answer = client.send(&format!("PUT {DEFINITION}"), definition.to_string()).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
}

#[tokio::test]
async fn objects_are_read_and_written_at_any_version() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    establish(&client, &two_versions()).await;
    let beta = CRON_TABS.replace("/v1/", "/v1beta1/");
    let mut body = cron_tab("a");
    body["spec"]["old"] = json!("x");
    let made = post(&client, &beta, &body).await;
    assert_eq!((made.code, made.json()["apiVersion"].as_str()), (201, Some("stable.example.com/v1beta1")));
    // What the stored version does not know is gone, and the answer shows what was stored.
    assert_eq!(made.json()["spec"].get("old"), None);
    assert_eq!(
        made.headers["warning"],
        "299 - \"stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab\""
    );
    let read = client.get(&format!("{CRON_TABS}/a")).await;
    assert_eq!(
        (read.json()["apiVersion"].as_str(), read.json()["spec"].get("old")),
        (Some("stable.example.com/v1"), None)
    );
    assert!(read.headers.get("warning").is_none());
    let list = client.get(&beta).await.json();
    assert_eq!(list["items"][0]["apiVersion"], "stable.example.com/v1beta1");

    // The storage version may change; what was stored is read as before, and written anew in the new version.
    change(&client, |definition| {
        definition["spec"]["versions"][0]["storage"] = json!(false);
        definition["spec"]["versions"][1]["storage"] = json!(true);
    })
    .await;
    let definition = client.get(DEFINITION).await.json();
    assert_eq!(definition["status"]["storedVersions"], json!(["v1", "v1beta1"]));
    let read = client.get(&format!("{CRON_TABS}/a")).await.json();
    // A definition counts a moment after it was written.
    let began = Instant::now();
    let written = loop {
        let written = client.send(&format!("PUT {CRON_TABS}/a"), read.to_string()).await.json();
        if written["metadata"]["resourceVersion"] != read["metadata"]["resourceVersion"] {
            break written;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the object is not written anew");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(written["apiVersion"], "stable.example.com/v1");
    let again = client.send(&format!("PUT {CRON_TABS}/a"), written.to_string()).await.json();
    assert_eq!(again["metadata"]["resourceVersion"], written["metadata"]["resourceVersion"]);

    // A version that may still be stored cannot be taken away; one that is not served answers nothing.
    let mut definition = client.get(DEFINITION).await.json();
    definition["spec"]["versions"].as_array_mut().unwrap().remove(0);
    let refused = client.send(&format!("PUT {DEFINITION}"), definition.to_string()).await;
    assert_eq!(refused.code, 422);
    assert!(refused.json()["message"].as_str().unwrap().contains("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version"));
    change(&client, |definition| definition["spec"]["versions"][0]["served"] = json!(false)).await;
    until(&client, CRON_TABS, |answer| answer.code == 404).await;
    assert_eq!(client.get(&format!("{beta}/a")).await.code, 200);
}

#[tokio::test]
async fn objects_have_the_form_their_schema_gives_them_now() {
    let (_server, client) = with_cron_tabs().await;
    let mut body = cron_tab("a");
    body["spec"]["image"] = json!("x");
    post(&client, CRON_TABS, &body).await;
    change(&client, |definition| {
        let fields =
            &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
        *fields = json!({ "cronSpec": { "type": "string" }, "extra": { "type": "integer", "default": 7 } });
        definition["spec"]["versions"][0]["selectableFields"] = Value::Null;
        definition["spec"]["versions"][0]["subresources"] = json!({ "status": {} });
    })
    .await;
    let one = format!("{CRON_TABS}/a");
    let read = until(&client, &one, |answer| answer.json()["spec"].get("extra").is_some()).await.json();
    assert_eq!(read["spec"], json!({ "cronSpec": "* *", "extra": 7 }));
    assert_eq!(client.get(CRON_TABS).await.json()["items"][0]["spec"], read["spec"]);
}

#[tokio::test]
async fn a_watch_sees_the_last_objects_go_and_ends_with_its_kind() {
    use http_body_util::BodyExt;
    let (_server, client) = with_cron_tabs().await;
    let watch = client.open(&format!("GET {CRON_TABS}?watch=true"), "").await;
    post(&client, CRON_TABS, &cron_tab("a")).await;
    client.send(&format!("DELETE {DEFINITION}"), "").await;
    let seen =
        tokio::time::timeout(Duration::from_secs(30), watch.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let events: Vec<Value> = seen
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(events.first().unwrap()["type"], "ADDED");
    assert_eq!(events.last().unwrap()["type"], "DELETED");
}

#[tokio::test]
async fn who_owns_what_of_versions_that_differ() {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    establish(&client, &two_versions()).await;
    let apply = |version: &str, manager: &str, spec: Value| {
        let path = format!("{}/a?fieldManager={manager}", CRON_TABS.replace("/v1/", &format!("/{version}/")));
        let body = json!({
            "apiVersion": format!("stable.example.com/{version}"),
            "kind": "CronTab",
            "metadata": { "name": "a" },
            "spec": spec,
        });
        let client = server.admin().with("content-type", "application/apply-patch+yaml");
        async move { client.send(&format!("PATCH {path}"), body.to_string()).await }
    };
    let made = apply("v1", "one", json!({ "cronSpec": "* *" })).await;
    assert_eq!(made.code, 201, "{}", made.text());
    // What the other owner's version does not know would be nobody's.
    let refused = apply("v1beta1", "two", json!({ "old": "x" })).await;
    let told = "failed to convert new object: .spec.old: field not declared in schema";
    assert_eq!((refused.code, refused.json().text("message")), (500, told));
    // What is applied is read by nothing that would drop a null.
    let refused = apply("v1", "one", json!({ "cronSpec": "* *", "replicas": null })).await;
    assert_eq!(refused.code, 422, "{}", refused.text());
    assert!(refused.text().contains("spec.replicas in body must be of type integer"), "{}", refused.text());
    // An entry that says nothing forgets everybody.
    let patching = server.admin().with("content-type", "application/merge-patch+json");
    let forget = json!({ "metadata": { "managedFields": [{}] } }).to_string();
    let forgotten = patching.send(&format!("PATCH {CRON_TABS}/a"), forget).await.json();
    assert_eq!(forgotten.at("metadata.managedFields"), None);
}
