use std::sync::Arc;

use api::{Object, Patch};
use client::kinds;
use client::testing::Cluster;
use serde_json::{Value, json};

use super::plan::{self, Deployment, Scaling, Set};
use super::template;
use crate::Options;
use crate::testing::{Running, text};

fn deployment(replicas: i64, surge: &str, unavailable: &str) -> Deployment {
    let rolling = json!({"maxSurge": number(surge), "maxUnavailable": number(unavailable)});
    serde_json::from_value(
        json!({"spec": {"replicas": replicas, "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}),
    )
    .unwrap()
}

fn number(text: &str) -> Value {
    text.parse::<i64>().map_or_else(|_| text.into(), Value::from)
}

/// A set of so many replicas, so many of them available; `n` is its age, larger is younger.
fn set(n: i64, replicas: i64, available: i64) -> Set {
    noted(n, replicas, available, None)
}

fn noted(n: i64, replicas: i64, available: i64, sizes: Option<(i64, i64)>) -> Set {
    let mut annotations = json!({"deployment.kubernetes.io/revision": n.to_string()});
    if let Some((desired, max)) = sizes {
        annotations["deployment.kubernetes.io/desired-replicas"] = desired.to_string().into();
        annotations["deployment.kubernetes.io/max-replicas"] = max.to_string().into();
    }
    let value = json!({
        "kind": "ReplicaSet", "apiVersion": "apps/v1",
        "metadata": {"name": format!("s{n}"), "namespace": "a", "creationTimestamp": format!("2026-01-01T00:00:{n:02}Z"), "annotations": annotations},
        "spec": {"replicas": replicas}, "status": {"replicas": replicas, "availableReplicas": available},
    });
    Set::read(&Arc::new(Object::encode(&value, 1, &kinds::replica_sets()).unwrap())).unwrap()
}

fn to(scaling: &[(usize, i64)]) -> Vec<Scaling> {
    scaling.iter().map(|(set, to)| Scaling { set: *set, to: *to }).collect()
}

#[test]
fn percentages_round_in_favour_of_availability() {
    let check = |replicas, surge, unavailable, most, fewest| {
        let d = deployment(replicas, surge, unavailable);
        assert_eq!((d.most(), d.fewest()), (most, fewest), "{replicas} {surge} {unavailable}");
    };
    check(10, "25%", "25%", 13, 8);
    check(1, "25%", "25%", 2, 1);
    check(4, "1", "0", 5, 4);
    check(1, "0", "10%", 1, 0);
    check(3, "0", "5", 3, 0);
}

#[test]
fn the_new_set_grows_within_surge() {
    let check = |d: &Deployment, sets: &[Set], new, expect: &[(usize, i64)]| {
        assert_eq!(plan::roll_up(d, sets, new), to(expect));
    };
    let d = deployment(10, "3", "2");
    check(&d, &[set(1, 10, 10), set(2, 0, 0)], 1, &[(1, 3)]);
    check(&d, &[set(1, 8, 8), set(2, 3, 0)], 1, &[(1, 5)]);
    check(&d, &[set(1, 0, 0), set(2, 10, 10)], 1, &[]);
    check(&d, &[set(1, 0, 0), set(2, 12, 12)], 1, &[(1, 10)]);
    check(&d, &[set(1, 10, 10), set(2, 3, 0)], 1, &[]);
    assert_eq!(plan::replicas_of_new(&d, &[], None), 10);
}

#[test]
fn old_sets_shrink_within_unavailability_the_sick_first() {
    let check = |d: &Deployment, sets: &[Set], expect: &[(usize, i64)]| {
        assert_eq!(plan::roll_down(d, sets, sets.len() - 1), to(expect));
    };
    let d = deployment(10, "3", "2");
    check(&d, &[set(1, 10, 10), set(2, 3, 0)], &[(0, 8)]);
    check(&d, &[set(1, 8, 8), set(2, 5, 0)], &[]);
    check(&d, &[set(1, 8, 8), set(2, 5, 5)], &[(0, 3)]);
    check(&d, &[set(1, 4, 0), set(2, 8, 8), set(3, 0, 0)], &[(0, 0)]);
    check(&d, &[set(1, 0, 0), set(2, 10, 10)], &[]);
}

#[test]
fn a_changed_size_is_shared_in_proportion() {
    let mut d = deployment(20, "3", "2");
    d.status.replicas = 10;
    let sizes = Some((10, 13));
    let sets = [noted(1, 8, 8, sizes), noted(2, 5, 2, sizes)];
    assert!(plan::is_scaling(&d, &sets));
    let scaled = plan::scale(&d, &sets, Some(1));
    assert_eq!(scaled, to(&[(0, 14), (1, 9)]));
    assert_eq!(scaled.iter().map(|s| s.to).sum::<i64>(), 23);
    let down = deployment(5, "3", "2");
    let scaled = plan::scale(&down, &sets, Some(1));
    assert_eq!(scaled.iter().map(|s| s.to).sum::<i64>(), 8);
    let alone = [noted(1, 10, 10, sizes), noted(2, 0, 0, None)];
    assert_eq!(plan::scale(&d, &alone, Some(0)), to(&[(0, 20)]));
}

#[test]
fn hashes_depend_on_content_and_not_on_order() {
    let one = json!({"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"x": 1}});
    let same = json!({"spec": {"x": 1}, "metadata": {"labels": {"b": "2", "a": "1", "pod-template-hash": "zzz"}}});
    assert_eq!(template::hash(&one, 0), template::hash(&same, 0));
    assert_ne!(template::hash(&one, 0), template::hash(&one, 1));
    assert_ne!(template::hash(&one, 0), template::hash(&json!({"spec": {"x": 2}}), 0));
}

const NAMES: &[&str] = &["deployment-controller", "replicaset-controller"];

fn web(replicas: i64, image: &str) -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

/// Plays the node agents: every pod becomes ready.
async fn make_ready(cluster: &Cluster) {
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    let client = cluster.client();
    for pod in client.cache(&kinds::pods()).list("a") {
        if !pod.meta.is_deleting() {
            // A pod may be deleted at the same moment.
            let _ = client.patch(&kinds::pods(), "a", &pod.meta.name, "status", Patch::Merge(ready.clone())).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_image_rolls_out_and_can_be_undone() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    let agents = tokio::spawn({
        let cluster = cluster.clone();
        async move {
            loop {
                make_ready(&cluster).await;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        }
    });
    let client = cluster.client();
    let (deployments, sets) = (kinds::deployments(), kinds::replica_sets());
    client.create(&deployments, "a", web(3, "one")).await.unwrap();
    let done = |image: &'static str, revision: &'static str| {
        move |all: &[Value]| {
            let status = &all[0]["status"];
            status["availableReplicas"] == 3
                && status["updatedReplicas"] == 3
                && status["replicas"] == 3
                && all[0]["spec"]["template"]["spec"]["containers"][0]["image"] == image
                && all[0]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision
                && status["conditions"]
                    .as_array()
                    .is_some_and(|c| c.iter().any(|c| c["reason"] == "NewReplicaSetAvailable"))
        }
    };
    running.until(&deployments, done("one", "1")).await;
    let image = |name: &str| {
        Patch::Merge(json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}}))
    };
    client.patch(&deployments, "a", "web", "", image("two")).await.unwrap();
    running.until(&deployments, done("two", "2")).await;
    let both = running.until(&sets, |sets| sets.len() == 2 && sets.iter().any(|s| s["spec"]["replicas"] == 0)).await;
    assert_eq!(both.iter().filter(|s| s["spec"]["replicas"] == 3).count(), 1);
    client.patch(&deployments, "a", "web", "", image("one")).await.unwrap();
    running.until(&deployments, done("one", "3")).await;
    let again = running.until(&sets, |sets| sets.len() == 2).await;
    let history =
        again.iter().find(|s| text(s, "/metadata/annotations/deployment.kubernetes.io~1revision-history") == "1");
    assert!(history.is_some(), "the first set came back: {again:#?}");
    let events =
        running.until(&kinds::events(), |events| events.iter().any(|e| e["reason"] == "ScalingReplicaSet")).await;
    assert!(events.iter().any(|e| text(e, "/message").contains("from 0 to 3")));
    client.patch(&deployments, "a", "web", "", Patch::Merge(json!({"spec": {"replicas": 5}}))).await.unwrap();
    running.until(&deployments, |all| all[0]["status"]["availableReplicas"] == 5).await;
    agents.abort();
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_under_way_says_so() {
    let cluster = Cluster::new();
    let running = Running::start(&cluster, NAMES, Options::default());
    cluster.client().create(&kinds::deployments(), "a", web(1, "never-ready")).await.unwrap();
    running
        .until(&kinds::deployments(), |all| {
            let conditions = all[0]["status"]["conditions"].as_array().cloned().unwrap_or_default();
            conditions.iter().any(|c| c["reason"] == "NewReplicaSetCreated" || c["reason"] == "ReplicaSetUpdated")
        })
        .await;
    running.stop().await;
}
