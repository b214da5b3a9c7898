//! Authorizers, asked through a server.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use super::{AuthorizationMode, AuthorizationWebhook, MatchConditions, OnFailure};
use crate::testing::{Ca, TestClient, TestServer};
use crate::webhook::tests::{Hook, answer};

fn webhook(hook: &Hook, ca: &Ca, on_failure: OnFailure, condition: &str) -> AuthorizationMode {
    let mut conditions = MatchConditions::default();
    conditions.add(condition).unwrap();
    AuthorizationMode::Webhook(Box::new(AuthorizationWebhook {
        access: crate::webhook::Access::new(hook.url("/authorize"), ca.pem.as_bytes()),
        version: "v1".into(),
        authorized_ttl: Duration::from_secs(60),
        unauthorized_ttl: Duration::from_secs(60),
        timeout: Duration::from_secs(5),
        on_failure,
        conditions,
    }))
}

async fn review(client: &TestClient, user: &str, attributes: Value) -> Value {
    let body = json!({"spec": {"user": user, "groups": ["dev"], "resourceAttributes": attributes}});
    let path = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = client.send(path, Body::from(body.to_string())).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.json()["status"].clone()
}

#[tokio::test]
async fn a_webhook_allows_refuses_and_has_no_opinion() {
    let ca = Ca::new("hook-ca");
    let hook = Hook::serve(&ca, "127.0.0.1", |request| {
        let spec = &request.json()["spec"];
        let status = match (spec["user"].as_str().unwrap(), spec["resourceAttributes"]["verb"].as_str()) {
            ("alice", Some("get")) => json!({"allowed": true, "reason": "reads"}),
            ("alice", Some("list")) => {
                let selector = json!({"requirements": [{"key": "metadata.name", "operator": "In", "values": ["x"]}]});
                json!({"allowed": spec["resourceAttributes"]["fieldSelector"] == selector})
            }
            ("mallory", _) => json!({"allowed": false, "denied": true, "reason": "never"}),
            _ => json!({"allowed": false}),
        };
        std::future::ready(answer(&json!({"kind": "SubjectAccessReview", "status": status})))
    })
    .await;
    let mode = webhook(&hook, &ca, OnFailure::NoOpinion, "request.user in ['alice', 'mallory', 'bob']");
    let server = TestServer::with(|config| config.authorization = vec![mode, AuthorizationMode::Rbac]).await;
    let admin = server.admin();
    let pods = |verb: &str| json!({"verb": verb, "resource": "pods", "namespace": "a"});
    assert_eq!(review(&admin, "alice", pods("get")).await, json!({"allowed": true, "reason": "reads"}));
    assert_eq!(review(&admin, "alice", pods("delete")).await, json!({"allowed": false}));
    assert_eq!(
        review(&admin, "mallory", pods("get")).await,
        json!({"allowed": false, "denied": true, "reason": "never"})
    );
    // Whom the condition leaves out is RBAC's.
    assert_eq!(review(&admin, "carol", pods("get")).await, json!({"allowed": false}));
    let mut named = pods("list");
    named["fieldSelector"] = json!({"requirements": [{"key": "metadata.name", "operator": "In", "values": ["x"]}]});
    assert_eq!(review(&admin, "alice", named).await["allowed"], true);
    let alice = server.client("alice", &[]);
    assert_eq!(alice.get("/api/v1/namespaces/a/pods/x").await.code, 404);
    assert_eq!(alice.get("/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx").await.code, 200);
    assert_eq!(alice.get("/api/v1/namespaces/a/pods").await.code, 403);
    let refused = server.client("mallory", &[]).get("/api/v1/namespaces/a/pods").await;
    assert!(refused.text().contains("in the namespace \\\"a\\\": never"), "{}", refused.text());
}

#[tokio::test]
async fn a_webhook_that_is_gone_is_an_error_or_a_refusal() {
    let ca = Ca::new("hook-ca");
    let hook = Hook::serve(&ca, "127.0.0.1", |_| std::future::ready(answer(&json!({})))).await;
    let open = webhook(&hook, &ca, OnFailure::NoOpinion, "true");
    let closed = webhook(&hook, &ca, OnFailure::Deny, "true");
    drop(hook);
    let get = async |mode| {
        let modes = vec![mode, AuthorizationMode::Rbac];
        let server = TestServer::with(|config| config.authorization = modes).await;
        let carol = server.client("carol", &[]);
        (carol.get("/version").await.code, carol.get("/api/v1/pods").await.code)
    };
    // What RBAC allows is allowed, unless the webhook has to be heard.
    assert_eq!(get(open).await, (200, 500));
    assert_eq!(get(closed).await, (500, 500));
}

#[tokio::test]
async fn reviews_say_what_is_wrong_with_them() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let check = async |spec: Value, expect: &str| {
        let path = "POST /apis/authorization.k8s.io/v1/subjectaccessreviews";
        let answer = admin.send(path, Body::from(json!({ "spec": spec }).to_string())).await;
        assert_eq!(answer.code, 422, "{}", answer.text());
        assert!(answer.text().contains(expect), "{}", answer.text());
    };
    check(json!({"user": "a"}), "exactly one of nonResourceAttributes or resourceAttributes").await;
    check(json!({"resourceAttributes": {"verb": "get"}}), "at least one of user or group must be specified").await;
    let both = json!({"rawSelector": "a=b", "requirements": [{"key": "a", "operator": "Exists"}]});
    let spec = json!({"user": "a", "resourceAttributes": {"verb": "get", "labelSelector": both}});
    check(spec, "may not specified at the same time as requirements").await;
    let rules = json!({"metadata": {"name": "r"}, "spec": {"namespace": "default"}});
    let node = server.client("system:node:n", &["system:nodes"]);
    let path = "POST /apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = node.send(path, Body::from(rules.to_string())).await.json();
    // What was asked is not told again.
    assert_eq!((&answer["metadata"], &answer["spec"]), (&json!({}), &json!({})));
    let status = answer["status"].clone();
    assert_eq!(status["evaluationError"], "node authorizer does not support user rule resolution");
    assert_eq!(status["incomplete"], true);
}

#[tokio::test]
async fn reviews_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let admin = server.admin().with("content-type", "application/json");
    let attributes = json!({"verb": "get", "resource": "pods", "namespace": "default"});
    let both =
        json!({"user": "u", "resourceAttributes": attributes, "nonResourceAttributes": {"path": "/x", "verb": "get"}});
    let selected = |selector: Value| json!({"user": "u", "resourceAttributes": {"namespace": "default", "labelSelector": selector}});
    let local = "namespaces/default/localsubjectaccessreviews";
    let path = "spec.nonResourceAttributes: Invalid value: {\"Path\":\"/x\",\"Verb\":\"get\"}: ";
    for (to, metadata, spec, why) in [
        ("subjectaccessreviews", json!({}), both, format!("{path}cannot be specified in combination with resourceAttributes")),
        (
            "subjectaccessreviews",
            json!({"name": "x"}),
            json!({"user": "u", "resourceAttributes": attributes}),
            "metadata: Invalid value: {\"name\":\"x\",\"managedFields\":[{\"manager\":".into(),
        ),
        (
            local,
            json!({}),
            json!({"user": "u", "nonResourceAttributes": {"path": "/x", "verb": "get"}}),
            format!("{path}disallowed on this kind of request"),
        ),
        (
            local,
            json!({}),
            json!({"user": "u", "resourceAttributes": {"namespace": "other"}}),
            "spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace".into(),
        ),
        (
            "subjectaccessreviews",
            json!({}),
            selected(json!({"requirements": [{"key": "a", "operator": "In"}]})),
            "spec.resourceAttributes.labelSelector.requirements[0].values: Required value: must be specified when `operator` \
             is 'In' or 'NotIn'"
                .into(),
        ),
        (
            "subjectaccessreviews",
            json!({}),
            selected(json!({})),
            "spec.resourceAttributes.labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector \
             is specified, requirements or rawSelector is required"
                .into(),
        ),
    ] {
        let body = json!({"metadata": metadata, "spec": spec}).to_string();
        let refused = admin.send(&format!("POST /apis/authorization.k8s.io/v1/{to}"), body).await;
        let expect = format!(".authorization.k8s.io \"\" is invalid: {why}");
        let refusal = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(refused.code == 422 && refusal.starts_with(&expect), "{refusal}");
    }
    // Newer clients may know more operators.
    let body = json!({"spec": selected(json!({"requirements": [{"key": "a", "operator": "New"}]}))}).to_string();
    let answer = admin.send("POST /apis/authorization.k8s.io/v1/subjectaccessreviews?fieldManager=me", body).await;
    assert_eq!(answer.code, 201);
    let owners = &answer.json()["metadata"]["managedFields"];
    assert_eq!((owners.as_array().map(Vec::len), &owners[0]["manager"]), (Some(1), &json!("me")));
}
