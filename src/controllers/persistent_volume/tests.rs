use super::*;
use crate::Options;
use crate::testing::{Running, text};
use api::DeleteOptions;
use client::testing::Cluster;

const NAMES: &[&str] = &["persistentvolume-binder-controller"];

fn claim(name: &str, class: &str, size: &str) -> Value {
    let resources = json!({ "requests": { "storage": size } });
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": class, "resources": resources });
    json!({ "metadata": { "namespace": "a", "name": name }, "spec": spec })
}

fn volume(name: &str, class: &str, size: &str) -> Value {
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": class, "capacity": { "storage": size } });
    json!({ "metadata": { "name": name }, "spec": spec, "status": { "phase": "Available" } })
}

fn phases(objects: &[Value]) -> Vec<&str> {
    objects.iter().map(|object| text(object, "/status/phase")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_claim_gets_the_smallest_volume_and_releases_it() {
    let cluster = Cluster::new();
    let (client, claims, volumes) = (cluster.client(), kinds::persistent_volume_claims(), kinds::persistent_volumes());
    for (name, size) in [("big", "10Gi"), ("fits", "2Gi"), ("small", "1Gi")] {
        client.create(&volumes, "", volume(name, "", size)).await.unwrap();
    }
    client.create(&volumes, "", volume("other", "fast", "2Gi")).await.unwrap();
    let running = Running::start(&cluster, NAMES, Options::default());
    running.until(&volumes, |all| phases(all) == ["Available"; 4]).await;
    client.create(&claims, "a", claim("c", "", "1500Mi")).await.unwrap();
    let bound = running.until(&claims, |all| phases(all) == ["Bound"]).await;
    assert_eq!(text(&bound[0], "/spec/volumeName"), "fits");
    assert_eq!(bound[0]["status"]["capacity"]["storage"], "2Gi");
    let all = running.until(&volumes, |all| phases(all) == ["Available", "Bound", "Available", "Available"]).await;
    assert_eq!(all[1]["spec"]["claimRef"]["uid"], bound[0]["metadata"]["uid"]);
    client.delete(&claims, "a", "c", DeleteOptions::default()).await.unwrap();
    running.until(&volumes, |all| phases(all)[1] == "Released").await;
    client.create(&claims, "a", claim("c", "", "1500Mi")).await.unwrap();
    let bound = running.until(&claims, |all| phases(all) == ["Bound"]).await;
    assert_eq!(text(&bound[0], "/spec/volumeName"), "big", "what was released is not given to a namesake");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_provisioner_is_asked_once_the_pod_has_a_node() {
    let cluster = Cluster::new();
    let (client, claims) = (cluster.client(), kinds::persistent_volume_claims());
    let class = json!({ "metadata": { "name": "local" }, "provisioner": "x.io/p", "volumeBindingMode": "WaitForFirstConsumer" });
    client.create(&kinds::storage_classes(), "", class).await.unwrap();
    let running = Running::start(&cluster, NAMES, Options::default());
    client.create(&claims, "a", claim("c", "local", "1Gi")).await.unwrap();
    let events = running.until(&kinds::events(), |events| !events.is_empty()).await;
    assert_eq!(events[0]["reason"], "WaitForFirstConsumer");
    let selected = Patch::Merge(json!({ "metadata": { "annotations": { SELECTED_NODE: "n1" } } }));
    client.patch(&claims, "a", "c", "", selected).await.unwrap();
    let asked = running.until(&claims, |all| all[0]["metadata"]["annotations"][PROVISIONER] == "x.io/p").await;
    // The provisioner makes a volume that is reserved for the claim.
    let mut made = volume("pvc-1", "local", "1Gi");
    made["spec"]["claimRef"] = json!({ "namespace": "a", "name": "c", "uid": asked[0]["metadata"]["uid"] });
    client.create(&kinds::persistent_volumes(), "", made).await.unwrap();
    let bound = running.until(&claims, |all| phases(all) == ["Bound"]).await;
    assert_eq!(text(&bound[0], "/spec/volumeName"), "pvc-1");
    client.delete(&kinds::persistent_volumes(), "", "pvc-1", DeleteOptions::default()).await.unwrap();
    running.until(&claims, |all| phases(all) == ["Lost"]).await;
    running.stop().await;
}

#[test]
fn volumes_are_chosen_by_what_claims_ask() {
    let check = |change: fn(&mut Value, &mut Value), expect: bool| {
        let (mut claim, mut volume) = (claim("c", "s", "1Gi"), volume("v", "s", "1Gi"));
        claim["metadata"]["uid"] = "u".into();
        change(&mut claim, &mut volume);
        assert_eq!(plan::choose(&[volume.clone()], &claim).is_some(), expect, "{claim} {volume}");
    };
    check(|_, _| {}, true);
    check(|claim, _| claim["spec"]["resources"]["requests"]["storage"] = "2Gi".into(), false);
    check(|claim, _| claim["spec"]["accessModes"] = json!(["ReadWriteMany"]), false);
    check(|claim, _| claim["spec"]["volumeMode"] = "Block".into(), false);
    check(|claim, _| claim["spec"]["selector"] = json!({ "matchLabels": { "a": "b" } }), false);
    check(|_, volume| volume["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into(), false);
    check(|_, volume| volume["status"]["phase"] = "Released".into(), false);
    check(|_, volume| volume["spec"]["claimRef"] = json!({ "namespace": "a", "name": "c" }), true);
    check(|_, volume| volume["spec"]["claimRef"] = json!({ "namespace": "a", "name": "c", "uid": "other" }), false);
}
