//! Pods, in all the states a person may find them in.

use super::*;

/// Ready, status and restarts of a pod whose containers are `container1` and so on.
#[track_caller]
fn check_pod(metadata: Value, mut spec: Value, status: Value, expect: [&str; 3]) {
    let resource = find("", "v1", "pods").unwrap();
    if spec["containers"].is_null() {
        spec["containers"] = json!([{}, {}]);
    }
    let mut value = json!({ "metadata": metadata, "spec": spec, "status": status });
    value["metadata"]["name"] = "it".into();
    let cells = cells_at(resource, &object(resource, value), now());
    assert_eq!(cells.len(), 9);
    assert_eq!(Value::from(&cells[1..4]), json!(expect));
}

fn running(restarts: u32) -> Value {
    json!({ "ready": true, "restartCount": restarts, "state": { "running": {} } })
}

#[test]
fn phases_and_reasons() {
    let none = || json!({});
    check_pod(none(), none(), json!({ "phase": "Pending" }), ["0/2", "Pending", "0"]);
    let status = json!({ "phase": "Running", "containerStatuses": [running(3), { "restartCount": 3 }] });
    check_pod(none(), none(), status, ["1/2", "Running", "6"]);
    let status = json!({ "phase": "Running", "containerStatuses": [running(0), { "state": { "waiting": { "reason": "CrashLoopBackOff" } }, "restartCount": 4 }] });
    check_pod(none(), none(), status, ["1/2", "CrashLoopBackOff", "4"]);
    let status = json!({ "phase": "Failed", "containerStatuses": [
        { "state": { "terminated": { "exitCode": 2 } } }, { "state": { "terminated": { "signal": 9 } } }] });
    check_pod(none(), none(), status, ["0/2", "ExitCode:2", "0"]);
    check_pod(none(), none(), json!({ "phase": "Failed", "reason": "Evicted" }), ["0/2", "Evicted", "0"]);
    let gated = json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "SchedulingGated" }] });
    check_pod(none(), none(), gated, ["0/2", "SchedulingGated", "0"]);
}

#[test]
fn a_pod_is_not_over_while_one_container_runs() {
    let done = json!({ "state": { "terminated": { "reason": "Completed", "exitCode": 0 } } });
    let with = |conditions: Value| json!({ "phase": "Running", "conditions": conditions, "containerStatuses": [done, running(0)] });
    check_pod(json!({}), json!({}), with(json!([{ "type": "Ready", "status": "True" }])), ["1/2", "Running", "0"]);
    check_pod(json!({}), json!({}), with(json!([])), ["1/2", "NotReady", "0"]);
}

#[test]
fn deleted_pods_are_terminating_unless_they_are_over() {
    let deleted = json!({ "deletionTimestamp": "2026-01-01T00:59:00Z" });
    check_pod(deleted.clone(), json!({}), json!({ "phase": "Running" }), ["0/2", "Terminating", "0"]);
    check_pod(deleted.clone(), json!({}), json!({ "phase": "Succeeded" }), ["0/2", "Succeeded", "0"]);
    check_pod(deleted, json!({}), json!({ "phase": "Running", "reason": "NodeLost" }), ["0/2", "Unknown", "0"]);
}

#[test]
fn restarts_say_when_the_last_one_was() {
    let restarted = |at: &str| {
        json!({
            "ready": true, "restartCount": 3, "state": { "running": {} }, "lastState": { "terminated": { "finishedAt": at } },
        })
    };
    let status = json!({ "phase": "Running", "containerStatuses": [restarted("2026-01-01T00:59:55Z"), restarted("2026-01-01T00:10:00Z")] });
    check_pod(json!({}), json!({}), status, ["2/2", "Running", "6 (5s ago)"]);
}

#[test]
fn init_containers_show_how_far_they_are() {
    let spec = || json!({ "containers": [{}], "initContainers": [{ "name": "a" }, { "name": "b" }] });
    let done = json!({ "name": "a", "restartCount": 2, "state": { "terminated": { "exitCode": 0 } } });
    let with = |second: Value| {
        json!({ "phase": "Pending", "initContainerStatuses": [done, second], "containerStatuses": [
        { "state": { "waiting": { "reason": "PodInitializing" } } }] })
    };
    let check = |second: Value, expect: &str| check_pod(json!({}), spec(), with(second), ["0/1", expect, "2"]);
    check(json!({ "name": "b", "state": { "running": {} } }), "Init:1/2");
    check(json!({ "name": "b", "state": { "waiting": { "reason": "PodInitializing" } } }), "Init:1/2");
    check(json!({ "name": "b", "state": { "waiting": { "reason": "CrashLoopBackOff" } } }), "Init:CrashLoopBackOff");
    check(json!({ "name": "b", "state": { "terminated": { "exitCode": 1, "reason": "Error" } } }), "Init:Error");
    check(json!({ "name": "b", "state": { "terminated": { "exitCode": 1 } } }), "Init:ExitCode:1");
    check(json!({ "name": "b", "state": { "terminated": { "exitCode": 137, "signal": 9 } } }), "Init:Signal:9");
    // What init containers went through is history once they are done.
    let over = json!({ "name": "b", "state": { "terminated": { "exitCode": 0 } } });
    check_pod(json!({}), spec(), with(over), ["0/1", "PodInitializing", "0"]);
}

#[test]
fn sidecars_count_among_the_containers() {
    let spec =
        json!({ "containers": [{}], "initContainers": [{ "name": "s", "restartPolicy": "Always" }, { "name": "b" }] });
    let sidecar = json!({ "name": "s", "ready": true, "started": true, "restartCount": 1, "state": { "running": {} } });
    let at_work =
        json!({ "phase": "Pending", "initContainerStatuses": [sidecar, { "name": "b", "state": { "running": {} } }] });
    check_pod(json!({}), spec.clone(), at_work, ["1/2", "Init:1/2", "1"]);
    let over = json!({ "name": "b", "restartCount": 5, "state": { "terminated": { "exitCode": 0 } } });
    let up = json!({ "phase": "Running", "initContainerStatuses": [sidecar, over], "containerStatuses": [running(2)] });
    check_pod(json!({}), spec, up, ["2/2", "Running", "3"]);
}

#[test]
fn the_wide_columns() {
    let spec = json!({ "containers": [{}], "nodeName": "n1", "readinessGates": [{ "conditionType": "a" }, { "conditionType": "b" }] });
    let status = json!({
        "phase": "Running", "podIPs": [{ "ip": "10.42.0.2" }, { "ip": "fd00::2" }], "nominatedNodeName": "n2",
        "conditions": [{ "type": "a", "status": "True" }, { "type": "b", "status": "False" }],
    });
    let value = json!({ "spec": spec, "status": status });
    check("/v1/pods", value, json!(["0/1", "Running", "0", "10.42.0.2", "n1", "n2", "1/2"]));
    check(
        "/v1/pods",
        json!({ "status": { "phase": "Pending" } }),
        json!(["0/0", "Pending", "0", "<none>", "<none>", "<none>", "<none>"]),
    );
}

#[test]
fn finished_pods_say_so_beside_their_cells() {
    let resource = find("", "v1", "pods").unwrap();
    for (phase, reason) in [("Succeeded", Some("Succeeded")), ("Failed", Some("Failed")), ("Running", None)] {
        let object = object(resource, json!({ "status": { "phase": phase } }));
        let conditions = conditions(resource, &object);
        assert_eq!(conditions.as_ref().map(|c| c[0]["reason"].as_str().unwrap()), reason);
    }
}
