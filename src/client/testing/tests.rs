use super::*;
use crate::kinds;

fn pod(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "nodeName": "n" } })
}

#[tokio::test]
async fn writes_follow_the_rules_clients_build_on() {
    let cluster = Cluster::new();
    let (client, pods) = (cluster.client(), kinds::pods());
    let made = client.create(&pods, "a", pod("p")).await.unwrap();
    assert_eq!((made.meta.resource_version, made.meta.generation), (1, 1));
    assert!(client.create(&pods, "a", pod("p")).await.unwrap_err().is_already_exists());

    let stale = json!({ "metadata": { "resourceVersion": "7" }, "spec": { "nodeName": "m" } });
    assert!(client.patch(&pods, "a", "p", "", Patch::Merge(stale)).await.unwrap_err().is_conflict());
    let other = json!({ "metadata": { "uid": "other" } });
    assert!(client.patch(&pods, "a", "p", "", Patch::Strategic(other)).await.unwrap_err().is_conflict());

    let ready = |status: &str| json!({ "status": { "conditions": [{ "type": "Ready", "status": status }] }, "spec": { "x": 1 } });
    client.patch(&pods, "a", "p", "status", Patch::Strategic(ready("True"))).await.unwrap();
    let same = client.patch(&pods, "a", "p", "status", Patch::Strategic(ready("True"))).await.unwrap();
    assert_eq!(same.meta.resource_version, 2, "a patch that changes nothing writes nothing");
    assert_eq!(cluster.value(&pods, "a", "p")["spec"], json!({ "nodeName": "n" }), "status writes only status");
    let spec =
        client.patch(&pods, "a", "p", "", Patch::Merge(json!({ "spec": { "x": 2 }, "status": null }))).await.unwrap();
    assert_eq!(spec.meta.generation, 2);
    assert_eq!(cluster.value(&pods, "a", "p")["status"]["conditions"][0]["status"], "True");
}

#[tokio::test]
async fn deletion_waits_for_grace_and_finalizers() {
    let cluster = Cluster::new();
    let (client, pods) = (cluster.client(), kinds::pods());
    client.create(&pods, "a", pod("p")).await.unwrap();
    client.delete(&pods, "a", "p", DeleteOptions::default()).await.unwrap();
    assert_eq!(cluster.value(&pods, "a", "p")["metadata"]["deletionGracePeriodSeconds"], 30);
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    client.delete(&pods, "a", "p", now).await.unwrap();
    assert!(cluster.keys(&pods).is_empty());

    let sets = kinds::replica_sets();
    client.create(&sets, "a", json!({ "metadata": { "name": "s" } })).await.unwrap();
    let foreground = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    client.delete(&sets, "a", "s", foreground).await.unwrap();
    assert_eq!(cluster.value(&sets, "a", "s")["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    client.patch(&sets, "a", "s", "", Patch::Merge(json!({ "metadata": { "finalizers": null } }))).await.unwrap();
    assert!(cluster.keys(&sets).is_empty());
}

#[tokio::test]
async fn held_caches_lag_and_catch_up() {
    let cluster = Cluster::new();
    let (client, pods) = (cluster.client(), kinds::pods());
    let cache = client.cache(&pods);
    cluster.hold(&pods);
    client.create(&pods, "a", pod("p")).await.unwrap();
    assert!(cache.is_empty());
    cluster.release(&pods);
    assert_eq!(cache.len(), 1);
}

#[tokio::test]
async fn faults_hit_as_often_as_asked() {
    let cluster = Cluster::new();
    let (client, pods) = (cluster.client(), kinds::pods());
    cluster.fail("create", "pods", 1, Status::too_many_requests("slow down", 1));
    assert_eq!(client.create(&pods, "a", pod("p")).await.unwrap_err().code, 429);
    client.create(&pods, "a", pod("p")).await.unwrap();
    assert_eq!(cluster.take_log(), ["create pods a/p", "create pods a/p"]);
}
