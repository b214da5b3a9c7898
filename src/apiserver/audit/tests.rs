//! What a server records, read from its log.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::testing::{Ca, TestServer};
use crate::webhook::Access;
use crate::webhook::tests::{Hook, answer};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

async fn server(folder: &Path, rules: &str) -> TestServer {
    let policy = format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: {rules}}}");
    let log = LogOptions { path: folder.join("audit.log"), ..LogOptions::default() };
    let audit = AuditOptions { policy: Some(policy), log: Some(log), webhook: None };
    TestServer::with(|config| config.audit = audit).await
}

/// The events so far.
fn events(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("audit.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The events of a user, once there are so many.
async fn events_of(folder: &Path, user: &str, count: usize) -> Vec<Value> {
    loop {
        let found: Vec<Value> = events(folder).into_iter().filter(|event| event["user"]["username"] == user).collect();
        if found.len() >= count {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["stage"].as_str().unwrap()).collect()
}

fn map(name: &str) -> String {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": {"a": "hunter2"}}).to_string()
}

#[tokio::test]
async fn metadata_tells_who_did_what_and_no_content() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), "[{level: Metadata, users: [admin]}]").await;
    let admin = server
        .admin()
        .with("audit-id", "my-own-id")
        .with("user-agent", "tests/1")
        .with("x-forwarded-for", "10.1.2.3, x");
    let answer = admin.send(&format!("POST {MAPS}?fieldManager=t"), map("a")).await;
    assert_eq!((answer.code, answer.headers["audit-id"].to_str().unwrap()), (201, "my-own-id"));
    let found = events_of(dir.path(), "admin", 2).await;
    assert_eq!(stages(&found), ["RequestReceived", "ResponseComplete"]);
    let done = &found[1];
    for (pointer, expect) in [
        ("/kind", json!("Event")),
        ("/apiVersion", json!("audit.k8s.io/v1")),
        ("/level", json!("Metadata")),
        ("/auditID", json!("my-own-id")),
        ("/requestURI", json!(format!("{MAPS}?fieldManager=t"))),
        ("/verb", json!("create")),
        ("/user/groups", json!(["system:masters", "system:authenticated"])),
        ("/sourceIPs", json!(["10.1.2.3", "127.0.0.1"])),
        ("/userAgent", json!("tests/1")),
        ("/objectRef", json!({"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"})),
        ("/responseStatus", json!({"metadata": {}, "code": 201})),
        ("/annotations", json!({"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""})),
    ] {
        assert_eq!(done.pointer(pointer), Some(&expect), "{pointer}: {done}");
    }
    let time = done["stageTimestamp"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    let all = std::fs::read_to_string(dir.path().join("audit.log")).unwrap();
    assert!(!all.contains("hunter2"), "{all}");
    let metrics = server.admin().get("/metrics").await.text();
    assert!(metrics.contains("apiserver_audit_event_total"), "{metrics}");
}

#[tokio::test]
async fn bodies_are_recorded_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[{level: RequestResponse, users: [admin], resources: [{group: '', resources: [configmaps]}], omitStages: [RequestReceived], omitManagedFields: true}, {level: Request, users: [admin], verbs: [create], omitStages: [RequestReceived]}]";
    let server = server(dir.path(), rules).await;
    let admin = server.admin();
    admin.send(&format!("POST {MAPS}"), map("a")).await;
    admin.get(MAPS).await;
    admin.get(&format!("{MAPS}/none")).await;
    let secret = json!({"metadata": {"name": "s"}, "data": {"p": "aHVudGVyMg=="}});
    admin.send("POST /api/v1/namespaces/default/secrets", secret.to_string()).await;
    let found = events_of(dir.path(), "admin", 4).await;
    assert_eq!(found[0]["requestObject"]["data"]["a"], "hunter2");
    assert_eq!(found[0]["responseObject"]["data"]["a"], "hunter2");
    assert!(found[0]["responseObject"]["metadata"].get("managedFields").is_none());
    assert_eq!(found[1]["responseObject"]["kind"], "ConfigMapList");
    assert_eq!(found[2]["responseStatus"]["reason"], "NotFound");
    assert_eq!(found[2]["responseStatus"]["code"], 404);
    assert_eq!(found[2]["responseObject"]["kind"], "Status");
    assert_eq!(found[3]["requestObject"]["data"]["p"], "aHVudGVyMg==");
    assert!(found[3].get("responseObject").is_none());
}

#[tokio::test]
async fn objects_are_recorded_as_they_were_read_and_as_the_client_gets_them() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "[{level: RequestResponse, users: [admin], omitStages: [RequestReceived]}]";
    let server = server(dir.path(), rules).await;
    let admin = server.admin();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "nonsense": 1}]}});
    admin.send("POST /api/v1/namespaces/default/services", service.to_string()).await;
    admin.send("POST /api/v1/namespaces/default/services", r#"{"spec": 7}"#).await;
    let table = server.admin().with("accept", "application/json;as=Table;g=meta.k8s.io;v=v1");
    table.get("/api/v1/namespaces/default/services/s").await;
    let options = json!({"propagationPolicy": "Background"});
    admin.send("DELETE /api/v1/namespaces/default/services/s", options.to_string()).await;
    let token = json!({"spec": {"audiences": ["a"], "nonsense": 1}});
    admin.send("POST /api/v1/namespaces/default/serviceaccounts/none/token", token.to_string()).await;
    let found = events_of(dir.path(), "admin", 5).await;
    let read = &found[0]["requestObject"];
    assert_eq!((&read["kind"], &read["spec"]["type"]), (&json!("Service"), &json!("ClusterIP")), "{read}");
    assert_eq!(read["spec"]["ports"], json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]));
    assert_eq!(read["metadata"].get("uid"), None, "what is set later is not what was sent");
    assert_eq!(found[1].get("requestObject"), None, "what cannot be read is not recorded");
    assert_eq!(found[2]["responseObject"]["kind"], "Table");
    assert_eq!(found[2]["responseObject"]["rows"][0]["cells"][0], "s");
    let options = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "propagationPolicy": "Background"});
    assert_eq!(found[3]["requestObject"], options);
    let asked = json!({"audiences": ["a"], "expirationSeconds": 3600, "boundObjectRef": null});
    assert_eq!(found[4]["requestObject"]["spec"], asked);
}

#[tokio::test]
async fn watches_are_recorded_at_their_beginning_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), "[{level: Metadata, users: [admin]}]").await;
    let response = server.admin().open(&format!("GET {MAPS}?watch=1"), axum::body::Body::empty()).await;
    let begun = events_of(dir.path(), "admin", 2).await;
    assert_eq!(stages(&begun), ["RequestReceived", "ResponseStarted"]);
    drop(response);
    let ended = events_of(dir.path(), "admin", 3).await;
    assert_eq!(stages(&ended), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
}

#[tokio::test]
async fn the_refused_and_the_impersonated_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), "[{level: Metadata, omitStages: [RequestReceived]}]").await;
    assert_eq!(server.client("bob", &[]).get(MAPS).await.code, 403);
    let found = events_of(dir.path(), "bob", 1).await;
    assert_eq!(found[0]["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(found[0]["responseStatus"]["reason"], "Forbidden");
    let acting = server.client("root", &["system:masters"]).with("impersonate-user", "carol");
    assert_eq!(acting.get("/version").await.code, 200);
    let found = events_of(dir.path(), "root", 1).await;
    assert_eq!(found[0]["impersonatedUser"]["username"], "carol");
    assert_eq!(server.nobody().with("authorization", "Bearer nonsense").get(MAPS).await.code, 401);
    let refused = events(dir.path()).into_iter().find(|event| event["responseStatus"]["code"] == 401).unwrap();
    assert_eq!(refused["stage"], "ResponseStarted");
    assert_eq!(refused["responseStatus"]["message"], "Unauthorized");
}

#[tokio::test]
async fn requests_of_this_process_are_recorded_as_the_requests_they_stand_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), "[{level: Metadata, users: ['system:kube-scheduler']}]").await;
    let request = Request {
        user: Arc::new(User::new("system:kube-scheduler", Vec::<String>::new())),
        resource: api::resource::find("", "v1", "pods").unwrap().clone(),
        namespace: "default".into(),
        name: "p".into(),
        subresource: "status".into(),
        operation: Operation::Get { resource_version: None },
    };
    assert!(server.api.call(request).await.is_err());
    let found = events_of(dir.path(), "system:kube-scheduler", 2).await;
    assert_eq!(found[1]["requestURI"], "/api/v1/namespaces/default/pods/p/status");
    assert_eq!(found[1]["verb"], "get");
}

#[tokio::test]
async fn where_a_strict_log_cannot_be_written_nothing_is_done() {
    let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, users: [admin]}]}".to_owned();
    let log = LogOptions { path: "/dev/full".into(), mode: Mode::BlockingStrict, ..LogOptions::default() };
    let audit = AuditOptions { policy: Some(policy), log: Some(log), webhook: None };
    let server = TestServer::with(|config| config.audit = audit).await;
    let answer = server.admin().send(&format!("POST {MAPS}"), map("a")).await;
    assert_eq!(answer.code, 500);
    assert!(answer.text().contains("failed to store audit event"), "{}", answer.text());
    let other = server.client("other", &["system:masters"]);
    assert_eq!(other.get(&format!("{MAPS}/a")).await.code, 404);
}

#[tokio::test]
async fn a_webhook_is_sent_lists_of_events() {
    let ca = Ca::new("hook-ca");
    let (sender, mut lists) = tokio::sync::mpsc::unbounded_channel();
    let hook = Hook::serve(&ca, "127.0.0.1", move |asked| {
        let sender = sender.clone();
        async move {
            sender.send(asked.json()).unwrap();
            answer(&json!({}))
        }
    })
    .await;
    let policy = "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata, users: [admin]}]}".to_owned();
    let access = Access::new(hook.url("/audit"), ca.pem.as_bytes());
    let options = WebhookOptions { batch: 2, ..WebhookOptions::new(access) };
    let audit = AuditOptions { policy: Some(policy), log: None, webhook: Some(options) };
    let server = TestServer::with(|config| config.audit = audit).await;
    assert_eq!(server.admin().get("/version").await.code, 200);
    let list = lists.recv().await.unwrap();
    assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("EventList"), &json!("audit.k8s.io/v1")));
    assert_eq!(stages(list["items"].as_array().unwrap()), ["RequestReceived", "ResponseComplete"]);
}

#[test]
fn addresses_are_told_in_the_order_they_were_passed() {
    let check = |forwarded: &str, real: &str, expect: &[&str]| {
        assert_eq!(addresses(forwarded, real, Some(IpAddr::from([9, 9, 9, 9]))), expect);
    };
    check("", "", &["9.9.9.9"]);
    check("1.1.1.1, 2.2.2.2", "2.2.2.2", &["1.1.1.1", "2.2.2.2", "9.9.9.9"]);
    check("nonsense", "3.3.3.3", &["3.3.3.3", "9.9.9.9"]);
    check(&"1.1.1.1,".repeat(1000), "", &[["1.1.1.1"; 16].as_slice(), &["9.9.9.9"]].concat());
}
