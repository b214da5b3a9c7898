use super::*;
use crate::testing::pod;
use client::kinds;
use serde_json::{Value, json};

fn object(value: Value) -> Arc<Object> {
    Arc::new(Object::encode(&value, 1, &kinds::pods()).unwrap())
}

/// A running pod named for its difference from the others.
fn made(name: &str, change: fn(&mut Value)) -> Arc<Object> {
    let mut value = pod("a", name, json!({}), "n1", "Running");
    value["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
    value["metadata"]["uid"] = name.into();
    change(&mut value);
    object(value)
}

#[test]
fn the_least_valuable_pods_are_deleted_first() {
    let pods = [
        made("plain", |_| {}),
        made("restarted", |p| p["status"]["containerStatuses"] = json!([{ "restartCount": 3 }])),
        made("young", |p| p["metadata"]["creationTimestamp"] = "2026-05-31T23:59:00Z".into()),
        made("newly-ready", |p| p["status"]["conditions"][0]["lastTransitionTime"] = "2026-05-31T23:59:59Z".into()),
        made("crowded", |p| p["spec"]["nodeName"] = "n2".into()),
        made("cheap", |p| p["metadata"]["annotations"] = json!({ "controller.kubernetes.io/pod-deletion-cost": "-1" })),
        made("unready", |p| p["status"]["conditions"][0]["status"] = "False".into()),
        made("pending", |p| p["status"]["phase"] = "Pending".into()),
        made("unbound", |p| p["spec"]["nodeName"] = Value::Null),
    ];
    let related = HashMap::from([("n1".to_owned(), 1), ("n2".to_owned(), 2)]);
    let ranked = rank_for_deletion(&pods, &related, "2026-06-01T00:00:00Z".parse().unwrap()).unwrap();
    let names: Vec<&str> = ranked.iter().map(|pod| &*pod.meta.name).collect();
    let expect = ["unbound", "pending", "unready", "cheap", "crowded", "newly-ready", "restarted", "young", "plain"];
    assert_eq!(names, expect);
}

#[test]
fn availability_waits_for_min_ready_seconds() {
    let view = PodView::of(&made("p", |_| {})).unwrap();
    let check = |min_ready, now: &str, expect: Option<u64>| {
        let wait = view.available_in(min_ready, now.parse().unwrap());
        assert_eq!(wait.map(|wait| wait.as_secs()), expect);
    };
    check(0, "2026-01-01T00:00:00Z", Some(0));
    check(60, "2026-01-01T00:00:20Z", Some(40));
    check(60, "2026-01-01T00:01:00Z", Some(0));
    let unready = PodView::of(&made("p", |p| p["status"]["conditions"] = json!([]))).unwrap();
    assert_eq!(unready.available_in(0, "2026-01-01T00:00:00Z".parse().unwrap()), None);
}

#[test]
fn phases_are_read_without_decoding() {
    let check = |phase: &str, active: bool| {
        let pod = object(pod("a", "p", json!({}), "n7", phase));
        assert_eq!((is_active(&pod), node_name(&pod)), (active, "n7"));
    };
    check("Running", true);
    check("Succeeded", false);
    check("Failed", false);
}
