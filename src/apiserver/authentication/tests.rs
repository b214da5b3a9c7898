//! Tokens of several kinds, shown to a server.

use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};

use crate::testing::{TestClient, TestServer};

async fn create(client: &TestClient, path: &str, body: Value) -> Value {
    let answer = client.send(&format!("POST {path}"), Body::from(body.to_string())).await;
    assert!(answer.code < 300, "{}", answer.text());
    answer.json()
}

/// Whom the server takes the bearer of a token for; the code of a refusal otherwise.
async fn who(server: &TestServer, token: &str) -> Result<Value, u16> {
    let client = server.nobody().with("authorization", &format!("Bearer {token}"));
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = client.send(&format!("POST {path}"), Body::from("{}")).await;
    if answer.code == 201 { Ok(answer.json()["status"]["userInfo"].clone()) } else { Err(answer.code) }
}

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

#[tokio::test]
async fn a_bound_token_lives_as_long_as_what_it_is_bound_to() {
    let server = TestServer::start().await;
    let admin = server.admin();
    create(&admin, ACCOUNTS, json!({"metadata": {"name": "bot"}})).await;
    let secret = json!({"metadata": {"name": "s"}});
    create(&admin, "/api/v1/namespaces/default/secrets", secret).await;
    let request = json!({"spec": {"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}}});
    let made = create(&admin, &format!("{ACCOUNTS}/bot/token"), request).await;
    let owners = &made["metadata"]["managedFields"][0];
    assert_eq!((&owners["apiVersion"], &owners["subresource"]), (&json!("authentication.k8s.io/v1"), &json!("token")));
    assert_eq!(owners["fieldsV1"]["f:spec"]["f:expirationSeconds"], json!({}));
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let user = who(&server, &token).await.unwrap();
        assert_eq!(user["username"], "system:serviceaccount:default:bot");
        assert!(user["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().starts_with("JTI="));
    }
    admin.send("DELETE /api/v1/namespaces/default/secrets/s", Body::empty()).await;
    server.api.registry().catch_up().await.unwrap();
    assert_eq!(who(&server, &token).await, Err(401));
    let wrong = json!({"metadata": {"name": "other"}, "spec": {}});
    let answer = admin.send(&format!("POST {ACCOUNTS}/bot/token"), Body::from(wrong.to_string())).await;
    assert_eq!(answer.code, 422);
    assert!(answer.text().contains("must match the service account name if specified"), "{}", answer.text());
    for (query, body, expect) in [
        ("", json!({"metadata": {"namespace": "x"}}), "the namespace of the provided object does not match"),
        (
            "",
            json!({"spec": {"audiences": 7}}),
            "cannot unmarshal number into Go struct field TokenRequestSpec.spec.audiences",
        ),
        (
            "?fieldValidation=Strict",
            json!({"spec": {"foo": 1}}),
            "strict decoding error: unknown field \\\"spec.foo\\\"",
        ),
    ] {
        let answer = admin.send(&format!("POST {ACCOUNTS}/bot/token{query}"), Body::from(body.to_string())).await;
        assert_eq!(answer.code, 400, "{body}");
        assert!(answer.text().contains(expect), "{}", answer.text());
    }
    let other = json!({"metadata": {"uid": "x"}, "spec": {}});
    let answer = admin.send(&format!("POST {ACCOUNTS}/bot/token"), Body::from(other.to_string())).await;
    assert_eq!(answer.code, 409);
    assert!(answer.text().contains("the UID in the token request (x) does not match"), "{}", answer.text());
}

#[tokio::test]
async fn requests_of_tokens_say_which_account_they_mean() {
    let server = TestServer::start().await;
    let admin = server.admin();
    let account = create(&admin, ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    server.api.registry().catch_up().await.unwrap();
    let uid = &account["metadata"]["uid"];
    let path = format!("POST {ACCOUNTS}/default/token");
    let ask = |metadata: Value| admin.send(&path, Body::from(json!({"metadata": metadata, "spec": {}}).to_string()));
    let made = ask(json!({"labels": {"a": "b"}, "uid": uid})).await.json();
    assert_eq!((&made["metadata"]["uid"], &made["metadata"]["labels"]), (uid, &json!({"a": "b"})));
    let other = ask(json!({"uid": "x"})).await;
    assert_eq!(other.code, 409);
    assert!(other.text().contains("the UID in the token request (x) does not match the UID"), "{}", other.text());
}

#[tokio::test]
async fn reviews_of_tokens_say_why_in_upstreams_words() {
    let server = TestServer::start().await;
    let admin = server.admin();
    create(&admin, ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    create(&admin, "/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    server.api.registry().catch_up().await.unwrap();
    let token = async |spec: Value| {
        let made = create(&admin, &format!("{ACCOUNTS}/default/token"), json!({ "spec": spec })).await;
        made["status"]["token"].as_str().unwrap().to_owned()
    };
    let elsewhere = token(json!({"audiences": ["a", "b"]})).await;
    let bound = token(json!({"boundObjectRef": {"kind": "Secret", "apiVersion": "v1", "name": "s"}})).await;
    admin.send("DELETE /api/v1/namespaces/default/secrets/s", Body::empty()).await;
    server.api.registry().catch_up().await.unwrap();
    for (token, audience, expect) in [
        ("a.b", "c", "invalid bearer token"),
        ("abcdef.0123456789abcdef", "c", "invalid bearer token"),
        (
            &*elsewhere,
            "c",
            "[invalid bearer token, token audiences [\"a\" \"b\"] is invalid for the target audiences [\"c\"]]",
        ),
        (&*bound, "", "[invalid bearer token, service account token has been invalidated]"),
    ] {
        let audiences = if audience.is_empty() { json!(null) } else { json!([audience]) };
        let review = json!({"spec": {"token": token, "audiences": audiences}});
        let told = create(&admin, "/apis/authentication.k8s.io/v1/tokenreviews", review).await;
        assert_eq!(told["status"]["error"], expect);
    }
}

#[tokio::test]
async fn long_lives_are_cut_down_with_a_warning() {
    let server = TestServer::with(|config| config.token_limits.longest = Some(Duration::from_secs(3600))).await;
    let admin = server.admin();
    create(&admin, ACCOUNTS, json!({"metadata": {"name": "bot"}})).await;
    let request = json!({"spec": {"expirationSeconds": 7200}});
    let answer = admin.send(&format!("POST {ACCOUNTS}/bot/token"), Body::from(request.to_string())).await;
    assert_eq!(answer.json()["spec"]["expirationSeconds"], 3600);
    let warning = answer.headers.get("warning").unwrap().to_str().unwrap();
    assert_eq!(warning, r#"299 - "requested expiration of 7200 seconds shortened to 3600 seconds""#);
}

#[tokio::test]
async fn a_secret_s_token_is_good_while_the_secret_holds_it() {
    let mut keys = None;
    let server = TestServer::with(|config| keys = Some(config.service_account_keys.clone())).await;
    let admin = server.admin();
    let account = create(&admin, ACCOUNTS, json!({"metadata": {"name": "bot"}})).await;
    let uid = account["metadata"]["uid"].as_str().unwrap();
    let token = keys.unwrap().secret_token("default", "bot", uid, "s").unwrap();
    assert_eq!(who(&server, &token).await, Err(401));
    let annotations = json!({"kubernetes.io/service-account.name": "bot"});
    let secret = json!({"metadata": {"name": "s", "annotations": annotations},
        "type": "kubernetes.io/service-account-token", "stringData": {"token": token}});
    create(&admin, "/api/v1/namespaces/default/secrets", secret).await;
    server.api.registry().catch_up().await.unwrap();
    assert_eq!(who(&server, &token).await.unwrap()["username"], "system:serviceaccount:default:bot");
    // The day of its last use is written down, sooner or later.
    let secrets = server.api.registry().cached("", "v1", "secrets");
    let labelled = |cache: &watch_cache::Cache| {
        cache.get("default", "s").is_some_and(|s| s.meta.labels.get("kubernetes.io/legacy-token-last-used").is_some())
    };
    tokio::time::timeout(Duration::from_secs(30), secrets.until(labelled)).await.unwrap();
    let marked = json!({"metadata": {"labels": {"kubernetes.io/legacy-token-invalid-since": "2026-01-01"}}});
    let patch = server.admin().with("content-type", "application/merge-patch+json");
    patch.send("PATCH /api/v1/namespaces/default/secrets/s", Body::from(marked.to_string())).await;
    server.api.registry().catch_up().await.unwrap();
    assert_eq!(who(&server, &token).await, Err(401));
}

#[tokio::test]
async fn strangers_are_let_in_where_they_may_be() {
    let paths = crate::Anonymous::At(vec!["/livez".to_owned()]);
    let server = TestServer::with(|config| config.authentication.anonymous = paths).await;
    let nobody = server.nobody();
    assert_eq!(nobody.get("/livez").await.code, 200);
    assert_eq!(nobody.get("/readyz").await.code, 401);
    assert_eq!(nobody.get("/version").await.code, 401);
}

#[tokio::test]
async fn a_node_gets_tokens_of_its_pods_alone() {
    let server = TestServer::start().await;
    let admin = server.admin();
    create(&admin, ACCOUNTS, json!({"metadata": {"name": "default"}})).await;
    let pod =
        json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    let pod = create(&admin, "/api/v1/namespaces/default/pods", pod).await;
    server.api.registry().catch_up().await.unwrap();
    let node = server.client("system:node:n", &["system:nodes"]);
    let path = format!("POST {ACCOUNTS}/default/token");
    let unbound = node.send(&path, Body::from("{}")).await;
    assert_eq!(unbound.code, 403);
    assert!(unbound.text().contains("node requested token not bound to a pod"), "{}", unbound.text());
    let bound = |uid: &Value| {
        json!({"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": uid}}}).to_string()
    };
    assert_eq!(node.send(&path, Body::from(bound(&Value::Null))).await.code, 403);
    assert_eq!(node.send(&path, Body::from(bound(&json!("x")))).await.code, 403);
    let made = node.send(&path, Body::from(bound(&pod["metadata"]["uid"]))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let other = server.client("system:node:m", &["system:nodes"]);
    assert_eq!(other.send(&path, Body::from(bound(&pod["metadata"]["uid"]))).await.code, 403);
}

#[tokio::test]
async fn a_webhook_knows_tokens_and_is_asked_once() {
    use crate::webhook::tests::{Hook, answer};
    let ca = crate::testing::Ca::new("hook-ca");
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let hook = Hook::serve(&ca, "127.0.0.1", move |request| {
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let review = request.json();
        assert_eq!(
            (&review["kind"], &review["apiVersion"]),
            (&json!("TokenReview"), &json!("authentication.k8s.io/v1"))
        );
        let known = review["spec"]["token"] == "good";
        let status = json!({"authenticated": known, "user": {"username": "jane", "groups": ["dev"]}});
        std::future::ready(answer(&json!({"kind": "TokenReview", "status": status})))
    })
    .await;
    let webhook = crate::TokenWebhook {
        access: crate::webhook::Access::new(hook.url("/"), ca.pem.as_bytes()),
        cache_ttl: Duration::from_secs(120),
        version: "v1".into(),
    };
    let server = TestServer::with(|config| config.authentication.webhook = Some(webhook)).await;
    for _ in 0..3 {
        let user = who(&server, "good").await.unwrap();
        assert_eq!((&user["username"], &user["groups"]), (&json!("jane"), &json!(["dev", "system:authenticated"])));
        assert_eq!(who(&server, "bad").await, Err(401));
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}
