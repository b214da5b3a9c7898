use serde_json::{Value, json};

use super::*;

fn statuses(all: &Value) -> Vec<ContainerStatus> {
    let complete = |s: &Value| {
        let mut status = json!({"image": "", "imageID": "", "ready": false, "restartCount": 0});
        status.as_object_mut().unwrap().extend(s.as_object().unwrap().clone());
        serde_json::from_value(status).unwrap()
    };
    all.as_array().unwrap().iter().map(complete).collect()
}

#[test]
fn phases_are_upstreams() {
    let check = |policy: &str, init: Value, regular: Value, expect: &str| {
        let names =
            |all: &Value| all.as_array().unwrap().iter().map(|s| json!({"name": s["name"]})).collect::<Vec<_>>();
        let spec = json!({"restartPolicy": policy, "containers": names(&regular), "initContainers": names(&init)});
        let pod = Pod::from_api(serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap());
        assert_eq!(phase::phase(&pod, &statuses(&init), &statuses(&regular)), expect, "{policy} {init} {regular}");
    };
    let one = |state: Value| json!([{"name": "a", "containerID": "x", "state": state}]);
    let running = json!({"running": {}});
    let ended = |code: i32| json!({"terminated": {"exitCode": code}});
    let waiting = json!({"waiting": {}});
    let none = json!([]);
    check("Always", none.clone(), one(running.clone()), "Running");
    check("Always", none.clone(), json!([{"name": "a", "state": waiting}]), "Pending");
    check("Always", none.clone(), one(ended(1)), "Running");
    check("OnFailure", none.clone(), one(ended(1)), "Running");
    check("OnFailure", none.clone(), one(ended(0)), "Succeeded");
    check("Never", none.clone(), one(ended(1)), "Failed");
    check(
        "Always",
        none.clone(),
        json!([{"name": "a", "containerID": "x", "state": waiting, "lastState": ended(1)}]),
        "Running",
    );
    let unborn = json!([{"name": "a", "state": waiting}]);
    check("Always", one(running), unborn.clone(), "Pending");
    check("Always", one(ended(1)), unborn.clone(), "Pending");
    check("Never", one(ended(1)), unborn, "Failed");
}
