use super::*;
use crate::Options;
use crate::testing::{Running, pod, text};
use api::{DeleteOptions, Patch};
use client::testing::Cluster;
use serde_json::{Value, json};

const NAMES: &[&str] = &["pod-garbage-collector-controller"];

#[tokio::test(start_paused = true)]
async fn pods_of_a_node_that_is_gone_fail_and_go_after_quarantine() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), json!({ "metadata": { "name": "n1" } }));
    cluster.seed(&kinds::pods(), pod("a", "lost", json!({}), "gone", "Running"));
    cluster.seed(&kinds::pods(), pod("a", "fine", json!({}), "n1", "Running"));
    cluster.take_log();
    let start = tokio::time::Instant::now();
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&kinds::pods(), |pods| pods.len() == 1).await;
    assert!(start.elapsed() >= QUARANTINE);
    assert_eq!(cluster.keys(&kinds::pods()), ["a/fine"]);
    assert_eq!(cluster.take_log(), ["patch pods/status a/lost", "delete pods a/lost"]);
    cluster.client().delete(&kinds::nodes(), "", "n1", DeleteOptions::default()).await.unwrap();
    running.until(&kinds::pods(), <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn terminating_pods_do_not_wait_for_a_node_that_will_not_come() {
    let cluster = Cluster::new();
    let deleting = |mut pod: Value| {
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        pod
    };
    let node = json!({
        "metadata": { "name": "n1" },
        "spec": { "taints": [{ "key": OUT_OF_SERVICE, "effect": "NoExecute" }] },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    cluster.seed(&kinds::nodes(), node);
    cluster.seed(&kinds::pods(), deleting(pod("a", "unbound", json!({}), "", "Pending")));
    cluster.seed(&kinds::pods(), deleting(pod("a", "stuck", json!({}), "n1", "Running")));
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&kinds::pods(), |pods| pods.len() == 1).await;
    let unready = Patch::Strategic(json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }));
    cluster.client().patch(&kinds::nodes(), "", "n1", "status", unready).await.unwrap();
    running.until(&kinds::pods(), <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn terminated_pods_past_the_threshold_go_oldest_first() {
    let cluster = Cluster::new();
    cluster.seed(&kinds::nodes(), json!({ "metadata": { "name": "n1" } }));
    for (name, created, reason) in
        [("new", "2026-01-03", ""), ("old", "2026-01-01", ""), ("evicted", "2026-01-04", "Evicted")]
    {
        let mut pod = pod("a", name, json!({}), "n1", "Failed");
        pod["metadata"]["creationTimestamp"] = format!("{created}T00:00:00Z").into();
        pod["status"]["reason"] = reason.into();
        cluster.seed(&kinds::pods(), pod);
    }
    let options = Options { terminated_pod_threshold: 1, ..Options::default() };
    let running = Running::start(&cluster, NAMES, options);
    let left = running.until(&kinds::pods(), |pods| pods.len() == 1).await;
    assert_eq!(text(&left[0], "/metadata/name"), "new");
    running.stop().await;
}
