use serde_json::json;

use super::facts::meminfo_bytes;
use super::status::{Inputs, differs, status};
use super::*;
use crate::testing;

fn inputs<'a>(
    config: &'a crate::Config,
    facts: &'a Facts,
    pressure: &'a Pressure,
    runtime: &'a RuntimeStatus,
    version: &'a Version,
) -> Inputs<'a> {
    Inputs {
        config,
        facts,
        pressure,
        port: 10250,
        version,
        runtime,
        images: &[],
        now: "2026-01-02T03:04:05Z".parse().unwrap(),
    }
}

#[test]
fn meminfo_is_read_in_bytes() {
    assert_eq!(meminfo_bytes("MemTotal:       16 kB\nMemAvailable: 8 kB\n", "MemAvailable"), 8 << 10);
}

#[test]
fn conditions_follow_runtime_and_pressure_and_leave_other_writers_alone() {
    let config = testing::config();
    let facts = Facts { cpus: 2, memory: 1 << 30, disk: 100 << 30, ..Facts::default() };
    let fine = Pressure {
        memory_available: 1 << 30,
        disk_available: 90,
        disk_size: 100,
        pids_available: 5000,
        pids_max: 9000,
        ..Pressure::default()
    };
    let version =
        Version { runtime_name: "containerd".into(), runtime_version: "1.6.20".into(), api_version: "v1".into() };
    let check = |pressure: Pressure, runtime: RuntimeStatus, kind: &str, status_is: &str, message: &str| {
        let present = json!({"conditions": [{"type": "NetworkUnavailable", "status": "False"}]});
        let status = status(&inputs(&config, &facts, &pressure, &runtime, &version), &present);
        let conditions = status["conditions"].as_array().unwrap();
        assert_eq!(conditions[0]["type"], "NetworkUnavailable");
        let found = conditions.iter().find(|c| c["type"] == kind).unwrap();
        assert_eq!((found["status"].as_str(), found["message"].as_str()), (Some(status_is), Some(message)));
    };
    check(fine, RuntimeStatus::default(), "Ready", "True", "kubelet is posting ready status");
    let no_network = RuntimeStatus { network_not_ready: Some("cni plugin not initialized".into()), not_ready: None };
    check(
        fine,
        no_network,
        "Ready",
        "False",
        "container runtime network not ready: NetworkReady=false \
         reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized",
    );
    let low = Pressure { memory_available: 1, ..fine };
    check(low, RuntimeStatus::default(), "MemoryPressure", "True", "kubelet has insufficient memory available");
}

#[test]
fn heartbeats_alone_are_no_change() {
    let condition = |time: &str, status: &str| json!({"conditions": [{"type": "Ready", "status": status, "lastHeartbeatTime": time}]});
    assert!(!differs(&condition("a", "True"), &condition("b", "True")));
    assert!(differs(&condition("a", "True"), &condition("a", "False")));
}

#[test]
fn eviction_thresholds_read_as_upstreams() {
    use crate::{Amount, Limits};
    let check = |text: &str, expect: Result<(Amount, Amount), &str>| {
        let read = Limits::default().eviction_hard(text);
        match (read, expect) {
            (Ok(limits), Ok(expect)) => assert_eq!((limits.memory_available, limits.disk_available), expect, "{text}"),
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{error}"),
            other => panic!("{text}: {other:?}"),
        }
    };
    let usual = (Amount::Absolute(100 << 20), Amount::Percent(10));
    check("", Ok(usual));
    check("memory.available<1Gi, nodefs.available<3%", Ok((Amount::Absolute(1 << 30), Amount::Percent(3))));
    check("memory.available<200%", Err("memory.available<200%"));
    check("memory.available=1", Err("memory.available=1"));
    check("pigeons<1", Err("pigeons"));
    assert_eq!(Amount::Percent(10).of(u64::MAX), u64::MAX / 10);
}
