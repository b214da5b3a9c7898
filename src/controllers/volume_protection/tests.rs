use super::*;
use crate::Options;
use crate::testing::{Running, pod};
use api::DeleteOptions;
use client::testing::Cluster;

const NAMES: &[&str] = &[
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
    "volumeattributesclass-protection-controller",
];

#[tokio::test(start_paused = true)]
async fn a_claim_stays_while_a_pod_uses_it() {
    let cluster = Cluster::new();
    let (client, claims) = (cluster.client(), kinds::persistent_volume_claims());
    let mut user = pod("a", "user", json!({}), "n1", "Running");
    user["spec"]["volumes"] = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "used" } }]);
    cluster.seed(&kinds::pods(), user);
    for name in ["used", "free"] {
        client.create(&claims, "a", json!({ "metadata": { "name": name } })).await.unwrap();
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let held = |all: &[Value]| all.iter().all(|claim| claim["metadata"]["finalizers"] == json!([CLAIM]));
    running.until(&claims, held).await;
    for name in ["used", "free"] {
        client.delete(&claims, "a", name, DeleteOptions::default()).await.unwrap();
    }
    running.until(&claims, |all| all.len() == 1).await;
    assert_eq!(cluster.keys(&claims), ["a/used"]);
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    client.delete(&kinds::pods(), "a", "user", now).await.unwrap();
    running.until(&claims, <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_volume_stays_while_it_is_bound() {
    let cluster = Cluster::new();
    let (client, volumes) = (cluster.client(), kinds::persistent_volumes());
    let volume = |name: &str, phase: &str| json!({ "metadata": { "name": name, "finalizers": [VOLUME] }, "status": { "phase": phase } });
    cluster.seed(&volumes, volume("bound", "Bound"));
    cluster.seed(&volumes, volume("free", "Available"));
    let running = Running::start(&cluster, NAMES, Options::default());
    for name in ["bound", "free"] {
        client.delete(&volumes, "", name, DeleteOptions::default()).await.unwrap();
    }
    running.until(&volumes, |all| all.len() == 1).await;
    let released = Patch::Merge(json!({ "status": { "phase": "Released" } }));
    client.patch(&volumes, "", "bound", "status", released).await.unwrap();
    running.until(&volumes, <[Value]>::is_empty).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_class_stays_while_a_claim_or_a_volume_names_it() {
    let cluster = Cluster::new();
    let (client, classes) = (cluster.client(), kinds::volume_attributes_classes());
    let (claims, volumes) = (kinds::persistent_volume_claims(), kinds::persistent_volumes());
    let claim = json!({ "metadata": { "namespace": "a", "name": "c" }, "spec": { "volumeAttributesClassName": "wanted" },
        "status": { "currentVolumeAttributesClassName": "had", "modifyVolumeStatus": { "targetVolumeAttributesClassName": "tried" } } });
    cluster.seed(&claims, claim);
    cluster.seed(&volumes, json!({ "metadata": { "name": "v" }, "spec": { "volumeAttributesClassName": "bound" } }));
    let names = ["bound", "free", "had", "tried", "wanted"];
    for name in names {
        client.create(&classes, "", json!({ "metadata": { "name": name }, "driverName": "d" })).await.unwrap();
    }
    let running = Running::start(&cluster, NAMES, Options::default());
    let held = |all: &[Value]| all.iter().all(|class| class["metadata"]["finalizers"] == json!([CLASS]));
    running.until(&classes, held).await;
    for name in names {
        client.delete(&classes, "", name, DeleteOptions::default()).await.unwrap();
    }
    running.until(&classes, |all| all.len() == 4).await;
    assert_eq!(cluster.keys(&classes), ["bound", "had", "tried", "wanted"]);
    let other = Patch::Merge(json!({ "spec": { "volumeAttributesClassName": "had" } }));
    client.patch(&claims, "a", "c", "", other).await.unwrap();
    running.until(&classes, |all| all.len() == 3).await;
    assert_eq!(cluster.keys(&classes), ["bound", "had", "tried"]);
    let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    client.patch(&volumes, "", "v", "", none).await.unwrap();
    client.delete(&volumes, "", "v", DeleteOptions::default()).await.unwrap();
    running.until(&classes, |all| all.len() == 2).await;
    running.stop().await;
}
