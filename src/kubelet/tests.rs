//! Whole pods, on a runtime and an API in memory.

use std::time::Duration;

use runtime::Runtime;
use runtime::fake::Program;
use runtime::types::ExecOutput;
use serde_json::{Value, json};

use crate::resources;
use crate::testing::{Node, web};

fn phase_is(phase: &'static str) -> impl Fn(&Value) -> bool {
    move |pod| pod["status"]["phase"] == phase
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    pod["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind).unwrap_or(&Value::Null)
}

fn waiting_for(reason: &'static str) -> impl Fn(&Value) -> bool {
    move |pod| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason
}

#[tokio::test]
async fn a_bound_pod_runs_and_tells() {
    let node = Node::start();
    node.run("a", web());
    let pod =
        node.pod("a", "a running pod", |p| phase_is("Running")(p) && condition(p, "Ready")["status"] == "True").await;
    let status = &pod["status"];
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["hostIP"], "192.0.2.1");
    assert_eq!(status["podIP"], status["podIPs"][0]["ip"]);
    assert!(status["podIP"].is_string() && status["startTime"].is_string());
    let container = &status["containerStatuses"][0];
    assert!(container["containerID"].as_str().unwrap().starts_with("containerd://"));
    assert_eq!(
        (&container["ready"], &container["started"], &container["restartCount"]),
        (&json!(true), &json!(true), &json!(0))
    );
}

#[tokio::test]
async fn deletion_ends_in_no_object_and_no_container() {
    let node = Node::start();
    node.run("a", web());
    node.pod("a", "a running pod", phase_is("Running")).await;
    node.cluster.client().delete(resources::pods(), "default", "a", Default::default()).await.unwrap();
    node.pod("a", "no pod", Value::is_null).await;
    assert!(node.runtime.list_sandboxes(&Default::default()).await.unwrap().is_empty());
    assert!(std::fs::read_dir(node.dir.path().join("agent/pods")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_crashing_container_backs_off_and_counts() {
    let node = Node::start();
    node.runtime.set_program("web:1", Program { exits: Some((Duration::from_millis(10), 3)), ignores_term: false });
    node.run("a", web());
    let pod = node.pod("a", "a back-off", waiting_for("CrashLoopBackOff")).await;
    let status = &pod["status"]["containerStatuses"][0];
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    assert!(status["restartCount"].as_i64().unwrap() >= 1);
    assert_eq!(pod["status"]["phase"], "Running");
    node.pod("a", "a second restart", |p| p["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(2))
        .await;
}

#[tokio::test]
async fn jobs_end_by_their_exit_code() {
    let check = async |code: i32, policy: &str, phase: &'static str| {
        let node = Node::start();
        node.runtime
            .set_program("web:1", Program { exits: Some((Duration::from_millis(10), code)), ignores_term: false });
        let mut spec = web();
        spec["restartPolicy"] = policy.into();
        node.run("a", spec);
        let pod = node.pod("a", "the end", phase_is(phase)).await;
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], code);
        assert_eq!(condition(&pod, "Ready")["status"], "False");
    };
    check(0, "Never", "Succeeded").await;
    check(0, "OnFailure", "Succeeded").await;
    check(7, "Never", "Failed").await;
}

#[tokio::test]
async fn an_agent_that_restarts_finds_its_containers() {
    let node = Node::start();
    node.run("a", web());
    let before = node.pod("a", "a running pod", phase_is("Running")).await;
    let node = node.restart();
    node.run("b", web());
    node.pod("b", "another pod", phase_is("Running")).await;
    let after = node.cluster.value(resources::pods(), "default", "a");
    let id = |pod: &Value| pod["status"]["containerStatuses"][0].clone();
    assert_eq!(id(&before), id(&after));
}

#[tokio::test]
async fn images_that_cannot_be_pulled_say_so() {
    let check = async |image: &str, policy: &str, reason: &'static str| {
        let node = Node::start();
        node.run("a", json!({"containers": [{"name": "web", "image": image, "imagePullPolicy": policy}]}));
        node.pod("a", reason, waiting_for(reason)).await;
    };
    check("nothing:1", "IfNotPresent", "ErrImagePull").await;
    check("nothing:1", "IfNotPresent", "ImagePullBackOff").await;
    check("nothing:1", "Never", "ErrImageNeverPull").await;
    check("Not A Name", "Always", "InvalidImageName").await;
}

#[tokio::test]
async fn init_containers_come_first_and_one_by_one() {
    let node = Node::start();
    node.runtime.add_image("init:1");
    node.runtime.set_program("init:1", Program { exits: Some((Duration::from_millis(30), 0)), ignores_term: false });
    let mut spec = web();
    spec["initContainers"] = json!([{"name": "one", "image": "init:1"}, {"name": "side", "image": "web:1", "restartPolicy": "Always"}, {"name": "two", "image": "init:1"}]);
    node.run("a", spec);
    let pod =
        node.pod("a", "a running pod", |p| phase_is("Running")(p) && condition(p, "Ready")["status"] == "True").await;
    let calls = node.runtime.calls();
    let created: Vec<&str> = calls.iter().filter_map(|c| c.strip_prefix("create_container ")).collect();
    assert_eq!(created, ["one", "side", "two", "web"]);
    assert_eq!(condition(&pod, "Initialized")["status"], "True");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert!(pod["status"]["initContainerStatuses"][1]["state"]["running"].is_object());
}

#[tokio::test]
async fn a_missing_config_map_holds_the_container_until_it_comes() {
    let node = Node::start();
    let from = json!({"configMapKeyRef": {"name": "conf", "key": "k"}});
    node.run(
        "a",
        json!({"containers": [{"name": "web", "image": "web:1", "env": [{"name": "K", "valueFrom": from}]}]}),
    );
    let pod = node.pod("a", "the error", waiting_for("CreateContainerConfigError")).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"], "configmap \"conf\" not found");
    let conf = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "default"}, "data": {"k": "v"}});
    node.cluster.seed(resources::config_maps(), conf);
    node.pod("a", "a running pod", phase_is("Running")).await;
    let containers = node.runtime.list_containers(&Default::default()).await.unwrap();
    let spec = node.runtime.container_spec(&containers[0].id).unwrap();
    assert!(spec.env.iter().any(|e| e.name == "K" && e.value == "v"));
}

#[tokio::test]
async fn a_failing_liveness_probe_restarts_and_a_readiness_probe_decides() {
    let node = Node::start();
    node.runtime.on_exec(|_, command| ExecOutput { exit_code: i32::from(command[0] == "fail"), ..Default::default() });
    let probe = |command: &str| json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 1});
    let mut spec = web();
    spec["containers"][0]["readinessProbe"] = probe("pass");
    node.run("ready", spec.clone());
    node.pod("ready", "readiness", |p| condition(p, "Ready")["status"] == "True").await;
    spec["containers"][0]["readinessProbe"] = probe("fail");
    spec["containers"][0]["livenessProbe"] = probe("fail");
    node.run("sick", spec);
    let pod = node
        .pod("sick", "a restart", |p| p["status"]["containerStatuses"][0]["restartCount"].as_i64() >= Some(1))
        .await;
    assert_eq!(condition(&pod, "Ready")["status"], "False");
}

#[tokio::test]
async fn a_pod_that_does_not_fit_is_rejected() {
    let node = Node::start();
    let mut spec = web();
    spec["containers"][0]["resources"] = json!({"requests": {"cpu": "100000"}});
    node.run("a", spec);
    let pod = node.pod("a", "a rejection", phase_is("Failed")).await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    assert!(node.runtime.calls().iter().all(|c| !c.starts_with("run_sandbox")));
}

fn calls_of(node: &Node, name: &str) -> usize {
    node.runtime.calls().iter().filter(|call| call.starts_with(name)).count()
}

#[tokio::test]
async fn a_forced_deletion_does_not_wait_for_the_grace_period() {
    let node = Node::start();
    node.runtime.set_program("web:1", Program { exits: None, ignores_term: true });
    let mut spec = web();
    spec["terminationGracePeriodSeconds"] = 3600.into();
    node.run("a", spec);
    node.pod("a", "a running pod", phase_is("Running")).await;
    let client = node.cluster.client();
    client.delete(resources::pods(), "default", "a", Default::default()).await.unwrap();
    let stopping = async {
        while calls_of(&node, "stop_container") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stopping).await.expect("the stop begins");
    assert!(
        !node.cluster.value(resources::pods(), "default", "a").is_null(),
        "the object stays while the container runs"
    );
    let now = api::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
    client.delete(resources::pods(), "default", "a", now).await.unwrap();
    let gone = async {
        while !node.runtime.list_sandboxes(&Default::default()).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nothing is left");
}

#[tokio::test]
async fn hooks_run_at_both_ends_and_sidecars_stop_last() {
    let node = Node::start();
    node.runtime.add_image("side:1");
    let seen = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let record = seen.clone();
    node.runtime.on_exec(move |_, command| {
        record.lock().push(command[0].clone());
        ExecOutput::default()
    });
    let hook = |word: &str| json!({"exec": {"command": [word]}});
    let mut spec = web();
    spec["containers"][0]["lifecycle"] = json!({"postStart": hook("begin"), "preStop": hook("end")});
    spec["initContainers"] = json!([{"name": "side", "image": "side:1", "restartPolicy": "Always", "lifecycle": {"preStop": hook("side-end")}}]);
    node.run("a", spec);
    node.pod("a", "a running pod", |p| condition(p, "Ready")["status"] == "True").await;
    node.cluster.client().delete(resources::pods(), "default", "a", Default::default()).await.unwrap();
    node.pod("a", "no pod", Value::is_null).await;
    assert_eq!(*seen.lock(), ["begin", "end", "side-end"]);
}

#[tokio::test]
async fn a_pod_past_its_deadline_fails() {
    let node = Node::start();
    let mut spec = web();
    spec["activeDeadlineSeconds"] = 1.into();
    node.run("a", spec);
    let pod = node.pod("a", "the end", phase_is("Failed")).await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
}

#[tokio::test]
async fn a_lost_sandbox_is_replaced_and_restarts_count() {
    let node = Node::start();
    node.run("a", web());
    node.pod("a", "a running pod", phase_is("Running")).await;
    let sandboxes = node.runtime.list_sandboxes(&Default::default()).await.unwrap();
    node.runtime.lose_sandbox(&sandboxes[0].id);
    let again = |p: &Value| {
        let status = &p["status"]["containerStatuses"][0];
        status["restartCount"] == 1 && status["ready"] == true
    };
    node.pod("a", "a new instance", again).await;
}

#[tokio::test]
async fn an_ephemeral_container_joins_a_running_pod() {
    let node = Node::start();
    node.run("a", web());
    let before = node.pod("a", "a running pod", phase_is("Running")).await;
    let debug =
        json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "web:1", "targetContainerName": "web"}]}});
    node.cluster.client().patch(resources::pods(), "default", "a", "", api::Patch::Merge(debug)).await.unwrap();
    let joined = |p: &Value| p["status"]["ephemeralContainerStatuses"][0]["state"]["running"].is_object();
    let after = node.pod("a", "a debugger", joined).await;
    assert_eq!(before["status"]["containerStatuses"], after["status"]["containerStatuses"]);
    let containers = node.runtime.list_containers(&Default::default()).await.unwrap();
    let debugger = containers.iter().find(|c| c.metadata.name == "debug").unwrap();
    let target = containers.iter().find(|c| c.metadata.name == "web").unwrap();
    assert_eq!(node.runtime.container_spec(&debugger.id).unwrap().security.namespaces.target_id, target.id);
}

#[tokio::test]
async fn what_is_left_of_pods_that_went_meanwhile_is_removed() {
    let node = Node::start();
    node.run("a", web());
    node.run("b", web());
    node.pod("a", "a running pod", phase_is("Running")).await;
    node.pod("b", "a running pod", phase_is("Running")).await;
    let (cluster, client) = (node.cluster.clone(), node.cluster.client());
    let node = node.stopped();
    let now = api::DeleteOptions { grace_period_seconds: Some(0), ..Default::default() };
    client.delete(resources::pods(), "default", "a", now).await.unwrap();
    let node = node.started(cluster);
    let one_left = async {
        while node.runtime.list_sandboxes(&Default::default()).await.unwrap().len() != 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), one_left).await.expect("only the pod that is left");
    let left = node.runtime.list_sandboxes(&Default::default()).await.unwrap();
    assert_eq!(left[0].metadata.name, "b");
}

#[tokio::test]
async fn limits_change_in_place_or_with_a_restart() {
    let check = async |policy: &str, restarts: i64| {
        let node = Node::start();
        let mut spec = web();
        let limits = |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "64Mi"}});
        spec["containers"][0]["resources"] = limits("100m");
        spec["containers"][0]["resizePolicy"] = json!([{"resourceName": "cpu", "restartPolicy": policy}]);
        node.run("a", spec.clone());
        node.pod("a", "a running pod", phase_is("Running")).await;
        spec["containers"][0]["resources"] = limits("200m");
        let change = api::Patch::Merge(json!({"spec": {"containers": spec["containers"]}}));
        node.cluster.client().patch(resources::pods(), "default", "a", "", change).await.unwrap();
        let resized = async {
            loop {
                let running = runtime::types::ContainerFilter {
                    state: Some(runtime::types::ContainerState::Running),
                    ..Default::default()
                };
                let all = node.runtime.list_containers(&running).await.unwrap();
                let quota = all.first().and_then(|c| node.runtime.container_spec(&c.id)).map(|s| s.resources.cpu_quota);
                if quota == Some(20_000) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), resized).await.expect("the new limit");
        node.pod("a", "the count", |p| p["status"]["containerStatuses"][0]["restartCount"] == restarts).await;
    };
    check("NotRequired", 0).await;
    check("RestartContainer", 1).await;
}
