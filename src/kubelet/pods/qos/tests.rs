use serde_json::{Value, json};

use super::*;

fn spec(value: Value) -> PodSpec {
    serde_json::from_value(value).unwrap()
}

fn resources(requests: Value, limits: Value) -> Value {
    json!({"name": "a", "resources": {"requests": requests, "limits": limits}})
}

#[test]
fn classes_follow_requests_and_limits() {
    let check = |containers: Value, expect: Class| assert_eq!(class(&spec(json!({"containers": containers}))), expect);
    let full = json!({"cpu": "1", "memory": "1Gi"});
    check(json!([{"name": "a"}]), Class::BestEffort);
    check(json!([resources(json!({}), full.clone())]), Class::Guaranteed);
    check(json!([resources(json!({"cpu": "1000m", "memory": "1024Mi"}), full.clone())]), Class::Guaranteed);
    check(json!([resources(json!({"cpu": "500m"}), full.clone())]), Class::Burstable);
    check(json!([resources(json!({}), full), {"name": "b"}]), Class::Burstable);
    check(json!([resources(json!({"cpu": "0"}), json!({}))]), Class::BestEffort);
}

#[test]
fn pods_need_the_larger_of_start_and_run() {
    let check = |value: Value, cpu: Option<i64>, limit: Option<i64>| {
        let (asked, most) = pod_amounts(&spec(value));
        assert_eq!((asked.cpu, most.cpu), (cpu, limit));
    };
    let one = |cpu: &str| resources(json!({"cpu": cpu}), json!({"cpu": cpu}));
    check(json!({"containers": [one("100m"), one("200m")]}), Some(300), Some(300));
    check(json!({"containers": [one("100m")], "initContainers": [one("500m")]}), Some(500), Some(500));
    let mut sidecar = one("50m");
    sidecar["restartPolicy"] = "Always".into();
    check(json!({"containers": [one("100m")], "initContainers": [sidecar, one("80m")]}), Some(150), Some(150));
    check(json!({"containers": [one("100m"), {"name": "b"}]}), Some(100), None);
    check(json!({"containers": [one("100m")], "overhead": {"cpu": "10m"}}), Some(110), Some(110));
}

#[test]
fn amounts_become_cgroup_numbers() {
    let check = |milli: i64, shares: i64, quota: i64, weight: i64| {
        assert_eq!((cpu_shares(milli), cpu_quota(milli), cpu_weight(cpu_shares(milli))), (shares, quota, weight));
    };
    check(0, 2, 0, 1);
    check(1, 2, 1000, 1);
    check(100, 102, 10_000, 4);
    check(1000, 1024, 100_000, 39);
    check(1_000_000, 262_144, 100_000_000, 10_000);
}

#[test]
fn those_within_their_request_die_last() {
    let check = |class: Class, memory: &str, expect: i64| {
        let container: Container = serde_json::from_value(resources(json!({"memory": memory}), json!({}))).unwrap();
        assert_eq!(oom_score_adj(class, false, &container, 4 << 30), expect);
    };
    check(Class::BestEffort, "0", 1000);
    check(Class::Guaranteed, "1Gi", -997);
    check(Class::Burstable, "1Gi", 750);
    check(Class::Burstable, "1", 999);
    check(Class::Burstable, "4Gi", 3);
}
