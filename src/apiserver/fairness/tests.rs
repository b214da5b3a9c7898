//! Priority and fairness in a whole server.

use http_body_util::BodyExt;
use serde_json::json;

use crate::InFlight;
use crate::testing::TestServer;

const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";
const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";

/// A level with one seat, without queues or with one of length one, and the requests of a user called `u` in it.
async fn small(server: &TestServer, response: serde_json::Value) {
    let admin = server.admin();
    let level = json!({"metadata": {"name": "small"}, "spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response,
    }}});
    assert_eq!(admin.send(&format!("POST {LEVELS}"), level.to_string()).await.code, 201);
    let schema = json!({"metadata": {"name": "small"}, "spec": {
        "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "small"}, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "u"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    }});
    assert_eq!(admin.send(&format!("POST {SCHEMAS}"), schema.to_string()).await.code, 201);
    server.api.registry().catch_up().await.unwrap();
}

async fn server() -> TestServer {
    TestServer::with(|config| config.in_flight = InFlight { reads: 20, writes: 10 }).await
}

#[tokio::test]
async fn who_finds_no_seat_is_told_to_come_back_and_others_are_served() {
    let server = server().await;
    small(&server, json!({"type": "Reject"})).await;
    let user = server.client("u", &[]);
    // The body does not come, so the request keeps its seat.
    let (_never, body) = futures::channel::mpsc::unbounded::<Result<bytes::Bytes, std::convert::Infallible>>();
    let slow = server.client("u", &["system:masters-not"]);
    let held = tokio::spawn(async move {
        let reviews = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
        slow.open(reviews, axum::body::Body::from_stream(body)).await
    });
    let refused = loop {
        let answer = user.get("/api").await;
        if answer.code == 429 {
            break answer;
        }
        assert_eq!(answer.code, 200);
    };
    assert_eq!(refused.json()["message"], "Too many requests, please try again later.");
    assert_eq!(refused.headers["retry-after"], "1");
    let schema = server.admin().get(&format!("{SCHEMAS}/small")).await.json();
    assert_eq!(refused.headers["x-kubernetes-pf-flowschema-uid"], schema["metadata"]["uid"].as_str().unwrap());
    assert_eq!(server.client("other", &[]).get("/api").await.code, 200);
    let metrics = server.admin().get("/metrics").await.text();
    let counted = "apiserver_flowcontrol_rejected_requests_total{priority_level=\"small\",flow_schema=\"small\",reason=\"concurrency-limit\"}";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"small\"} 1\n"), "{metrics}");
    held.abort();
}

#[tokio::test]
async fn who_waits_is_shown_and_served_in_the_end() {
    let server = server().await;
    small(&server, json!({"type": "Queue", "queuing": {"queues": 2, "handSize": 1, "queueLengthLimit": 5}})).await;
    let (never, body) = futures::channel::mpsc::unbounded::<Result<bytes::Bytes, std::convert::Infallible>>();
    let send = |body: axum::body::Body| {
        let client = server.client("u", &[]);
        tokio::spawn(async move {
            let reviews = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
            let response = client.open(reviews, body).await;
            (response.status().as_u16(), response.into_body().collect().await.unwrap().to_bytes())
        })
    };
    let first = send(axum::body::Body::from_stream(body));
    let admin = server.admin();
    let dump = async |table: &str| admin.get(&format!("/debug/api_priority_and_fairness/{table}")).await.text();
    let executing = |levels: String| {
        levels.lines().any(|l| l.starts_with("small,") && l.replace(' ', "").contains("small,0,false,false,0,1,"))
    };
    while !executing(dump("dump_priority_levels").await) {}
    let review = json!({"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    let second = send(review.to_string().into());
    let line = loop {
        let requests = dump("dump_requests?includeRequestDetails=1").await;
        if let Some(line) = requests.lines().find(|line| line.starts_with("small,")) {
            break line.replace(' ', "");
        }
    };
    assert!(line.contains(",small,") && line.contains(",u,") && line.contains(",create,"), "{line}");
    assert!(dump("dump_queues").await.contains("NextDispatchR"));
    assert!(dump("none").await.contains("404 page not found"));
    never.unbounded_send(Ok(review.to_string().into())).unwrap();
    drop(never);
    assert_eq!((first.await.unwrap().0, second.await.unwrap().0), (201, 201));
}

#[tokio::test]
async fn schemas_without_their_level_are_marked() {
    let server = server().await;
    let admin = server.admin();
    let dangling = async |name: &str| loop {
        let schema = admin.get(&format!("{SCHEMAS}/{name}")).await.json();
        if let Some(condition) = schema["status"]["conditions"].get(0) {
            return condition.clone();
        }
    };
    let fine = dangling("system-nodes").await;
    let owners = admin.get(&format!("{SCHEMAS}/system-nodes")).await.json()["metadata"]["managedFields"].clone();
    let owners: Vec<_> =
        owners.as_array().unwrap().iter().map(|owner| (&owner["manager"], &owner["operation"])).collect();
    let (consumer, producer) =
        ("api-priority-and-fairness-config-consumer-v1", "api-priority-and-fairness-config-producer-v1");
    assert_eq!(owners, [(&json!(consumer), &json!("Apply")), (&json!(producer), &json!("Update"))]);
    assert_eq!(
        (&fine["type"], &fine["status"], &fine["reason"]),
        (&json!("Dangling"), &json!("False"), &json!("Found"))
    );
    let schema = json!({"metadata": {"name": "lost"}, "spec": {"priorityLevelConfiguration": {"name": "none"}}});
    assert_eq!(admin.send(&format!("POST {SCHEMAS}"), schema.to_string()).await.code, 201);
    let lost = dangling("lost").await;
    assert_eq!(lost["status"], "True");
    let told =
        "This FlowSchema references the PriorityLevelConfiguration object named \"none\" but there is no such object";
    assert_eq!(lost["message"], told);
}
