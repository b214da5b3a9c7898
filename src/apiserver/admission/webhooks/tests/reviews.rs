//! Reviews of users and of what they may do pass admission like writes, and calls of webhooks are counted.

use super::*;
use crate::testing::{Answer, TestClient};

const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

async fn with_reviews() -> (TestServer, TestClient) {
    let server = TestServer::start().await;
    let client = server.admin().with("content-type", "application/json");
    (server, client)
}

async fn post(client: &TestClient, path: &str, body: &Value) -> Answer {
    client.send(&format!("POST {path}"), body.to_string()).await
}

async fn configure(server: &TestServer, client: &TestClient, plural: &str, name: &str, entry: Value) {
    let body = json!({"metadata": {"name": name}, "webhooks": [entry]});
    let made = post(client, &format!("/apis/admissionregistration.k8s.io/v1/{plural}"), &body).await;
    assert_eq!(made.code, 201, "{}", made.text());
    server.registry.catch_up().await.unwrap();
}

fn may(user: &str) -> Value {
    json!({"spec": {"user": user, "resourceAttributes": {"verb": "get", "resource": "pods"}}})
}

#[tokio::test]
async fn reviews_pass_admission() {
    let (server, client) = with_reviews().await;
    let judge = |request: &Value| {
        let object = &request["object"];
        match (object.text("spec.user"), object.text("spec.token")) {
            ("mallory", _) | (_, "stolen") => json!({"allowed": false, "status": {"message": "I do not tell"}}),
            _ => allow(),
        }
    };
    let (reviewer, mutator) = (
        Reviewer::new(judge).await,
        Reviewer::new(|request| match request["object"].text("spec.user") {
            "root" => patch(&json!([{"op": "replace", "path": "/spec/user", "value": "mallory"}])),
            _ => allow(),
        })
        .await,
    );
    let groups = ["authentication.k8s.io", "authorization.k8s.io"];
    let rule = json!({"operations": ["CREATE"], "apiGroups": groups, "apiVersions": ["v1"], "resources": ["*"]});
    let entry = with(reviewer.entry("see"), json!({"rules": [rule]}));
    configure(&server, &client, VALIDATING, "see", entry).await;
    let entry = with(mutator.entry("do"), json!({"rules": [rule]}));
    configure(&server, &client, MUTATING, "do", entry).await;
    let denied = "admission webhook \"see.k8s.io\" denied the request: I do not tell";
    for (path, body) in [
        (ACCESS, may("mallory")),
        (ACCESS, may("root")),
        ("/apis/authentication.k8s.io/v1/tokenreviews", json!({"spec": {"token": "stolen"}})),
    ] {
        let refused = post(&client, path, &body).await;
        assert_eq!((refused.code, refused.json()["message"].as_str()), (400, Some(denied)), "{}", refused.text());
    }
    reviewer.take();
    let answered = post(&client, ACCESS, &may("alice")).await;
    assert_eq!((answered.code, &answered.json()["status"]["allowed"]), (201, &json!(false)), "{}", answered.text());
    let [asked] = &reviewer.take()[..] else { panic!("asked once") };
    let kind = json!({"group": "authorization.k8s.io", "version": "v1", "kind": "SubjectAccessReview"});
    assert_eq!((asked.text("operation"), &asked["kind"]), ("CREATE", &kind));
    let object = &asked["object"];
    assert_eq!((object.text("apiVersion"), object.text("spec.user")), ("authorization.k8s.io/v1", "alice"));
    // What makes no sense is told so before anybody is asked whether it may be answered.
    let invalid = post(&client, ACCESS, &json!({"spec": {"user": "mallory"}})).await;
    assert_eq!(invalid.code, 422);
    assert!(reviewer.take().is_empty());
    // Whether a namespace is there is nobody's business.
    let mut local = may("alice");
    local["spec"]["resourceAttributes"]["namespace"] = "nowhere".into();
    let path = "/apis/authorization.k8s.io/v1/namespaces/nowhere/localsubjectaccessreviews";
    assert_eq!(post(&client, path, &local).await.code, 201);
    assert_eq!(reviewer.take().len(), 1);
}

#[tokio::test]
async fn policies_leave_reviews_alone() {
    let (server, client) = with_reviews().await;
    let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]});
    let spec = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "false"}]});
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "p"}, "spec": spec});
    assert_eq!(post(&client, &format!("{group}/validatingadmissionpolicies"), &policy).await.code, 201);
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    assert_eq!(post(&client, &format!("{group}/validatingadmissionpolicybindings"), &binding).await.code, 201);
    server.registry.catch_up().await.unwrap();
    let maps = "/api/v1/namespaces/default/configmaps";
    assert_eq!(post(&client, maps, &json!({"metadata": {"name": "c"}})).await.code, 422);
    assert_eq!(post(&client, ACCESS, &may("alice")).await.code, 201);
}

#[tokio::test]
async fn calls_are_counted_by_how_they_ended() {
    let (server, client) = with_reviews().await;
    let reviewer = Reviewer::new(compliance).await;
    configure(&server, &client, VALIDATING, "judge", reviewer.entry("judge")).await;
    let mut open = with(reviewer.entry("open"), json!({"failurePolicy": "Ignore"}));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    open["clientConfig"]["url"] = format!("https://{nobody}/").into();
    configure(&server, &client, MUTATING, "open", open.clone()).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let create =
        async |name: &str, value: &str| post(&client, maps, &config_map(name, "webhook-e2e-test", value)).await.code;
    assert_eq!(create("a", "fine").await, 201);
    assert_eq!(create("b", "webhook-disallow").await, 403);
    open["failurePolicy"] = "Fail".into();
    open["name"] = "closed.k8s.io".into();
    configure(&server, &client, MUTATING, "shut", open).await;
    assert_eq!(create("c", "fine").await, 500);
    let metrics = client.get("/metrics").await.text();
    for line in [
        "webhook_request_total{name=\"judge.k8s.io\",type=\"validating\",operation=\"CREATE\",code=\"200\",rejected=\"false\"} 1",
        "webhook_request_total{name=\"judge.k8s.io\",type=\"validating\",operation=\"CREATE\",code=\"403\",rejected=\"true\"} 1",
        "webhook_request_total{name=\"open.k8s.io\",type=\"admit\",operation=\"CREATE\",code=\"503\",rejected=\"false\"} 3",
        "webhook_rejection_count{name=\"judge.k8s.io\",type=\"validating\",operation=\"CREATE\",error_type=\"no_error\",rejection_code=\"403\"} 1",
        "webhook_rejection_count{name=\"closed.k8s.io\",type=\"admit\",operation=\"CREATE\",error_type=\"calling_webhook_error\",rejection_code=\"503\"} 1",
        "webhook_fail_open_count{name=\"open.k8s.io\",type=\"admit\"} 3",
        "webhook_admission_duration_seconds_count{name=\"judge.k8s.io\",type=\"validating\",operation=\"CREATE\",rejected=\"true\"} 1",
    ] {
        assert!(metrics.contains(&format!("\napiserver_admission_{line}\n")), "{line} is not in\n{metrics}");
    }
}
