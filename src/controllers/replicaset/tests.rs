use super::plan::*;
use crate::Options;
use crate::testing::{Running, pod, text};
use api::{Patch, Status};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

const NAMES: &[&str] = &["replicaset-controller", "replicationcontroller-controller"];

fn web(replicas: i32) -> Value {
    json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            },
        },
    })
}

fn active(pods: &[Value]) -> usize {
    pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count()
}

#[tokio::test(start_paused = true)]
async fn a_set_makes_as_many_pods_as_it_wants_and_counts_them() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, sets) = (cluster.client(), kinds::replica_sets());
    client.create(&sets, "a", web(3)).await.unwrap();
    let pods = running.until(&kinds::pods(), |pods| pods.len() == 3).await;
    for pod in &pods {
        assert!(text(pod, "/metadata/name").starts_with("web-"));
        assert_eq!(text(pod, "/metadata/labels/app"), "web");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], true);
    }
    running.until(&sets, |sets| sets[0]["status"]["replicas"] == 3).await;
    let ready = json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    for pod in &pods {
        client
            .patch(&kinds::pods(), "a", text(pod, "/metadata/name"), "status", Patch::Merge(ready.clone()))
            .await
            .unwrap();
    }
    let sets_now = running.until(&sets, |sets| sets[0]["status"]["availableReplicas"] == 3).await;
    assert_eq!(sets_now[0]["status"]["observedGeneration"], 1);
    let events = running.until(&kinds::events(), |events| events.len() >= 3).await;
    assert!(events.iter().all(|event| event["reason"] == "SuccessfulCreate"));
    assert!(text(&events[0], "/message").starts_with("Created pod: web-"));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lagging_cache_makes_no_second_pod() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, sets) = (cluster.client(), kinds::replica_sets());
    let pods = kinds::pods();
    client.cache(&pods);
    cluster.hold(&pods);
    client.create(&sets, "a", web(1)).await.unwrap();
    // The pod goes unseen; every change of the set brings its key back meanwhile.
    for n in 0..5 {
        let note = Patch::Merge(json!({ "metadata": { "annotations": { "n": n.to_string() } } }));
        client.patch(&sets, "a", "web", "", note).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(cluster.keys(&pods).len(), 1);
    cluster.release(&pods);
    running.until(&sets, |sets| sets[0]["status"]["replicas"] == 1).await;
    assert_eq!(cluster.keys(&pods).len(), 1);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn scaling_down_deletes_the_pods_that_are_worth_least() {
    let cluster = Cluster::new();
    let set = cluster.seed(&kinds::replica_sets(), {
        let mut set = web(2);
        set["metadata"]["namespace"] = "a".into();
        set
    });
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": set.meta.uid, "controller": true }]);
    for (name, phase) in [("one", "Running"), ("two", "Running"), ("three", "Pending")] {
        let mut pod = pod("a", name, json!({ "app": "web" }), "n1", phase);
        pod["metadata"]["ownerReferences"] = owner.clone();
        cluster.seed(&kinds::pods(), pod);
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let pods = running.until(&kinds::pods(), |pods| active(pods) == 2).await;
    let gone: Vec<_> = pods.iter().filter(|p| !p["metadata"]["deletionTimestamp"].is_null()).collect();
    assert_eq!(text(gone[0], "/metadata/name"), "three");
    let sets = running.until(&kinds::replica_sets(), |sets| sets[0]["status"]["terminatingReplicas"] == 1).await;
    assert_eq!((&sets[0]["status"]["replicas"], &sets[0]["status"]["readyReplicas"]), (&json!(2), &json!(2)));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn matching_orphans_are_adopted_and_strays_released() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    cluster.seed(&kinds::pods(), pod("a", "orphan", json!({ "app": "web" }), "n1", "Running"));
    let client = cluster.client();
    let rc = json!({
        "metadata": { "name": "web" },
        "spec": { "replicas": 1, "selector": { "app": "web" }, "template": { "metadata": { "labels": { "app": "web" } }, "spec": {} } },
    });
    client.create(&kinds::replication_controllers(), "a", rc).await.unwrap();
    let owned = |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicationController";
    running.until(&kinds::pods(), |pods| pods.len() == 1 && owned(&pods[0])).await;
    let relabel = Patch::Merge(json!({ "metadata": { "labels": { "app": "other" } } }));
    client.patch(&kinds::pods(), "a", "orphan", "", relabel).await.unwrap();
    let pods =
        running.until(&kinds::pods(), |pods| pods.len() == 2 && pods.iter().filter(|p| owned(p)).count() == 1).await;
    let stray = pods.iter().find(|pod| text(pod, "/metadata/name") == "orphan").unwrap();
    assert!(!owned(stray));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_shows_as_a_condition_and_is_retried() {
    let cluster = Cluster::new();
    let quota = Status::forbidden("", "pods", "", "exceeded quota: q");
    cluster.fail("create", "pods", 2, quota);
    let running = Running::start(&cluster, NAMES, Options::default());
    let sets = kinds::replica_sets();
    cluster.client().create(&sets, "a", web(2)).await.unwrap();
    let failed = |sets: &[Value]| sets[0]["status"]["conditions"][0]["reason"] == "FailedCreate";
    running.until(&sets, failed).await;
    running.until(&kinds::pods(), |pods| pods.len() == 2).await;
    running.until(&sets, |sets| sets[0]["status"]["conditions"].is_null()).await;
    running.stop().await;
}

#[test]
fn status_is_written_only_when_it_differs() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let view = |status: Value| serde_json::from_value(json!({ "spec": { "replicas": 2 }, "status": status })).unwrap();
    let counts = Counts { replicas: 2, ready: 1, ..Counts::default() };
    let check = |status: Value, expect: Option<Value>| {
        assert_eq!(super::plan::status(&view(status), counts, false, None, 4, now), expect);
    };
    check(json!({ "replicas": 2, "readyReplicas": 1, "observedGeneration": 4 }), None);
    check(
        json!({ "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "observedGeneration": 4 }),
        Some(json!({
            "replicas": 2, "readyReplicas": 1, "availableReplicas": null, "fullyLabeledReplicas": null, "observedGeneration": 4,
        })),
    );
}
