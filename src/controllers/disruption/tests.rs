use std::collections::BTreeMap;

use api::Patch;
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use super::plan::{self, Budget, Wanted};
use crate::Options;
use crate::testing::{Running, pod};

const NAMES: &[&str] = &["disruption-controller"];

#[test]
fn budgets_come_as_numbers_and_shares() {
    let check = |spec: Value, pods: i64, scale: i64, expected: i64, healthy: i64| {
        let budget: Budget = serde_json::from_value(json!({ "spec": spec })).unwrap();
        assert_eq!(budget.wanted(pods, scale), Wanted { expected, healthy }, "{spec}");
    };
    check(json!({ "minAvailable": 2 }), 5, 0, 5, 2);
    check(json!({ "minAvailable": "50%" }), 5, 7, 7, 4);
    check(json!({ "maxUnavailable": 1 }), 5, 7, 7, 6);
    check(json!({ "maxUnavailable": "30%" }), 5, 7, 7, 4);
    check(json!({ "maxUnavailable": 9 }), 5, 7, 7, 0);
}

#[test]
fn evicted_pods_count_as_gone_for_two_minutes() {
    let now = "2026-01-01T00:10:00Z".parse().unwrap();
    let status = json!({ "disruptedPods": {
        "fresh": "2026-01-01T00:09:00Z", "stale": "2026-01-01T00:07:00Z", "going": "2026-01-01T00:09:00Z", "gone": "2026-01-01T00:09:00Z",
    } });
    let pods = BTreeMap::from([("fresh", false), ("stale", false), ("going", true)]);
    let kept = plan::still_disrupted(&serde_json::from_value(status).unwrap(), &pods, now);
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["fresh"]);
}

#[tokio::test(start_paused = true)]
async fn healthy_pods_beyond_the_budget_may_go() {
    let cluster = Cluster::new();
    for name in ["one", "two", "three"] {
        cluster.seed(&kinds::pods(), pod("a", name, json!({ "app": "web" }), "n1", "Running"));
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, budgets) = (cluster.client(), kinds::pod_disruption_budgets());
    let budget = json!({ "metadata": { "name": "b" }, "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "web" } } } });
    client.create(&budgets, "a", budget).await.unwrap();
    let now = running.until(&budgets, |budgets| budgets[0]["status"]["disruptionsAllowed"] == 1).await;
    let status = &now[0]["status"];
    assert_eq!(
        (&status["currentHealthy"], &status["desiredHealthy"], &status["expectedPods"]),
        (&json!(3), &json!(2), &json!(3))
    );
    assert_eq!(
        (&status["conditions"][0]["reason"], &status["observedGeneration"]),
        (&json!("SufficientPods"), &json!(1))
    );
    let unready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "False" }] } });
    client.patch(&kinds::pods(), "a", "one", "status", Patch::Merge(unready)).await.unwrap();
    let now = running.until(&budgets, |budgets| budgets[0]["status"]["disruptionsAllowed"] == 0).await;
    assert_eq!(now[0]["status"]["conditions"][0]["reason"], "InsufficientPods");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn owners_without_a_scale_leave_a_share_unknown() {
    let cluster = Cluster::new();
    let mut owned = pod("a", "one", json!({ "app": "web" }), "n1", "Running");
    owned["metadata"]["ownerReferences"] =
        json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "u", "controller": true }]);
    cluster.seed(&kinds::pods(), owned);
    let running = Running::start(&cluster, NAMES, Options::default());
    let budgets = kinds::pod_disruption_budgets();
    let budget = json!({ "metadata": { "name": "b" }, "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "web" } } } });
    cluster.client().create(&budgets, "a", budget).await.unwrap();
    let failed = |budgets: &[Value]| budgets[0]["status"]["conditions"][0]["reason"] == "SyncFailed";
    let now = running.until(&budgets, failed).await;
    assert_eq!(now[0]["status"]["disruptionsAllowed"], 0);
    running.stop().await;
}
