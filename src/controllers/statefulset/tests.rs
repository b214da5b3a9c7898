use std::sync::Arc;

use api::{Object, Patch};
use client::kinds;
use client::testing::Cluster;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan::{self, Member, Set, Step};
use crate::Options;
use crate::testing::{Running, text};

const NAMES: &[&str] = &["statefulset-controller"];

/// Pods as `ordinal revision state`; the state is `ok`, `new` (not ready), `failed` or `gone` (on its way out).
fn members(list: &[(i64, &str, &str)]) -> Vec<Member> {
    let one = |(ordinal, revision, state): &(i64, &str, &str)| {
        let ready = if matches!(*state, "ok" | "gone") { "True" } else { "False" };
        let mut pod = json!({
            "metadata": { "name": format!("s-{ordinal}"), "labels": { "controller-revision-hash": revision } },
            "status": {
                "phase": if *state == "failed" { "Failed" } else { "Running" },
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        });
        if *state == "gone" {
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        let object = Arc::new(Object::encode(&pod, 1, &kinds::pods()).unwrap());
        Member::read("s", &object, 0, Timestamp::UNIX_EPOCH).unwrap().unwrap()
    };
    list.iter().map(one).collect()
}

fn set(replicas: i64, more: &Value) -> Set {
    let mut spec = json!({ "replicas": replicas, "podManagementPolicy": "OrderedReady", "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } } });
    more.as_object().unwrap().iter().for_each(|(key, value)| spec[key] = value.clone());
    serde_json::from_value(json!({ "spec": spec })).unwrap()
}

#[test]
fn one_step_follows_another() {
    use Step::{Create, Delete, Replace};
    let check = |replicas: i64, more: Value, there: &[(i64, &str, &str)], expect: &[Step]| {
        assert_eq!(plan::steps(&set(replicas, &more), &members(there), "u"), expect, "{replicas} {more} {there:?}");
    };
    let ordered = || json!({});
    check(3, ordered(), &[], &[Create(0)]);
    check(3, ordered(), &[(0, "u", "new")], &[]);
    check(3, ordered(), &[(0, "u", "ok")], &[Create(1)]);
    check(3, ordered(), &[(1, "u", "ok")], &[Create(0)]);
    check(2, ordered(), &[(0, "u", "failed"), (1, "u", "ok")], &[Replace(0)]);
    check(2, ordered(), &[(0, "u", "gone"), (1, "u", "ok")], &[]);
    // Down, from the highest; not while anything is unwell, unless it is that one.
    check(1, ordered(), &[(0, "u", "ok"), (1, "u", "ok"), (2, "u", "ok")], &[Delete(2)]);
    check(1, ordered(), &[(0, "u", "ok"), (1, "u", "ok"), (2, "u", "gone")], &[]);
    check(1, ordered(), &[(0, "u", "new"), (1, "u", "ok")], &[]);
    check(1, ordered(), &[(0, "u", "ok"), (1, "u", "new"), (2, "u", "new")], &[]);
    check(1, ordered(), &[(0, "u", "ok"), (1, "u", "ok"), (2, "u", "new")], &[Delete(2)]);
    // Ordinals may start elsewhere.
    check(2, json!({ "ordinals": { "start": 5 } }), &[(0, "u", "ok"), (5, "u", "ok"), (6, "u", "ok")], &[Delete(0)]);
    // Updates: from the highest down, one at a time, down to the partition.
    check(2, ordered(), &[(0, "o", "ok"), (1, "o", "ok")], &[Delete(1)]);
    check(2, ordered(), &[(0, "o", "ok"), (1, "u", "new")], &[]);
    check(2, ordered(), &[(0, "o", "ok"), (1, "u", "ok")], &[Delete(0)]);
    let half = json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 1 } } });
    check(2, half.clone(), &[(0, "o", "ok"), (1, "u", "ok")], &[]);
    assert!(set(2, &half).is_made_from_current(0) && !set(2, &half).is_made_from_current(1));
    check(2, json!({ "updateStrategy": { "type": "OnDelete" } }), &[(0, "o", "ok"), (1, "o", "ok")], &[]);
    let parallel = || json!({ "podManagementPolicy": "Parallel" });
    check(3, parallel(), &[(1, "u", "new")], &[Create(0), Create(2)]);
    check(0, parallel(), &[(0, "u", "new"), (1, "u", "ok")], &[Delete(1), Delete(0)]);
    check(2, parallel(), &[(0, "o", "ok"), (1, "o", "ok")], &[Delete(1)]);
}

#[test]
fn the_update_becomes_current_when_it_is_everywhere() {
    let check = |there: &[(i64, &str, &str)], current: &str, counts: [i64; 4]| {
        let status = plan::status(&set(2, &json!({})), &members(there), "o", "u", 7);
        let now = [status.replicas, status.ready_replicas, status.current_replicas, status.updated_replicas];
        assert_eq!((&*status.current_revision, now), (current, counts), "{there:?}");
    };
    check(&[(0, "o", "ok"), (1, "o", "ok")], "o", [2, 2, 2, 0]);
    check(&[(0, "o", "ok"), (1, "u", "new")], "o", [2, 1, 1, 1]);
    check(&[(0, "u", "new"), (1, "u", "ok")], "o", [2, 1, 0, 2]);
    check(&[(0, "u", "ok"), (1, "u", "ok")], "u", [2, 2, 2, 2]);
}

fn stateful_set() -> Value {
    json!({
        "metadata": { "name": "s" },
        "spec": {
            "replicas": 2, "serviceName": "svc", "podManagementPolicy": "OrderedReady",
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Delete" },
            "selector": { "matchLabels": { "app": "s" } },
            "template": {
                "metadata": { "labels": { "app": "s" } },
                "spec": { "containers": [{ "name": "c", "image": "one" }] },
            },
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }],
        },
    })
}

async fn make_ready(cluster: &Cluster, name: &str) {
    let ready = json!([{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    let patch = Patch::Merge(json!({ "status": { "phase": "Running", "conditions": ready } }));
    cluster.client().patch(&kinds::pods(), "a", name, "status", patch).await.unwrap();
}

fn image(pods: &[Value], name: &str, image: &str) -> bool {
    pods.iter().any(|pod| text(pod, "/metadata/name") == name && pod["spec"]["containers"][0]["image"] == image)
}

#[tokio::test(start_paused = true)]
async fn pods_come_in_order_with_their_claims_and_are_updated_in_reverse() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let (client, sets, pods) = (cluster.client(), kinds::stateful_sets(), kinds::pods());
    client.create(&sets, "a", stateful_set()).await.unwrap();
    let now = running.until(&pods, |pods| pods.len() == 1).await;
    assert_eq!(text(&now[0], "/metadata/name"), "s-0");
    assert_eq!((text(&now[0], "/spec/hostname"), text(&now[0], "/spec/subdomain")), ("s-0", "svc"));
    assert_eq!(
        now[0]["spec"]["volumes"],
        json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data-s-0" } }])
    );
    let labels = &now[0]["metadata"]["labels"];
    assert_eq!(
        (&labels["statefulset.kubernetes.io/pod-name"], &labels["apps.kubernetes.io/pod-index"]),
        (&json!("s-0"), &json!("0"))
    );
    assert_eq!(cluster.keys(&kinds::persistent_volume_claims()), ["a/data-s-0"]);
    make_ready(&cluster, "s-0").await;
    running.until(&pods, |pods| pods.len() == 2).await;
    make_ready(&cluster, "s-1").await;
    let now = running.until(&sets, |sets| sets[0]["status"]["availableReplicas"] == 2).await;
    let status = &now[0]["status"];
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_eq!((&status["currentReplicas"], &status["updatedReplicas"]), (&json!(2), &json!(2)));

    let two = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "two" }] } } } });
    client.patch(&sets, "a", "s", "", Patch::Merge(two)).await.unwrap();
    let now = running.until(&pods, |pods| image(pods, "s-1", "two")).await;
    assert!(image(&now, "s-0", "one"));
    let now = running.until(&sets, |sets| sets[0]["status"]["updatedReplicas"] == 1).await;
    assert_ne!(now[0]["status"]["currentRevision"], now[0]["status"]["updateRevision"]);
    make_ready(&cluster, "s-1").await;
    running.until(&pods, |pods| image(pods, "s-0", "two")).await;
    make_ready(&cluster, "s-0").await;
    let same = |sets: &[Value]| sets[0]["status"]["currentRevision"] == sets[0]["status"]["updateRevision"];
    running.until(&sets, same).await;

    // Down: the pod goes, and its claim is the pod's by then.
    client.patch(&sets, "a", "s", "", Patch::Merge(json!({ "spec": { "replicas": 1 } }))).await.unwrap();
    running.until(&pods, |pods| pods.len() == 1).await;
    let claim = cluster.value(&kinds::persistent_volume_claims(), "a", "data-s-1");
    assert_eq!(claim["metadata"]["ownerReferences"][0]["name"], "s-1");
    running.stop().await;
}
