use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use runtime::types::{ContainerMetadata, ContainerStatus, Sandbox, SandboxMetadata};
use serde_json::{Value, json};

use super::*;

/// Probes by container id: whether started, and what failed.
#[derive(Default)]
struct Probed(HashMap<&'static str, (bool, Option<&'static str>)>);

impl Health for Probed {
    fn started(&self, id: &str) -> bool {
        self.0.get(id).is_none_or(|(started, _)| *started)
    }

    fn failed(&self, id: &str) -> Option<&'static str> {
        self.0.get(id)?.1
    }
}

fn pod(spec: Value) -> Pod {
    let pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": spec});
    Pod::from_api(serde_json::from_value(pod).unwrap())
}

fn sandbox(attempt: u32, state: SandboxState) -> Sandbox {
    Sandbox {
        id: format!("s{attempt}"),
        metadata: SandboxMetadata { attempt, ..Default::default() },
        state,
        created_at: None,
        labels: Default::default(),
        annotations: Default::default(),
        runtime_handler: String::new(),
    }
}

/// `name@sandbox:attempt` running, or ended with a code.
fn instance(what: &str, exit: Option<i32>) -> Instance {
    let (name, rest) = what.split_once('@').unwrap();
    let (sandbox, attempt) = rest.split_once(':').unwrap();
    let finished_at = exit.map(|_| SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
    Instance {
        sandbox_id: sandbox.into(),
        status: ContainerStatus {
            id: what.into(),
            metadata: ContainerMetadata { name: name.into(), attempt: attempt.parse().unwrap() },
            state: if exit.is_some() { ContainerState::Exited } else { ContainerState::Running },
            created_at: None,
            started_at: None,
            finished_at,
            exit_code: exit.unwrap_or(0),
            reason: String::new(),
            message: String::new(),
            image: String::new(),
            image_ref: String::new(),
            labels: Default::default(),
            annotations: Default::default(),
            log_path: Default::default(),
            resources: None,
            user: None,
        },
    }
}

fn observed(sandboxes: Vec<Sandbox>, containers: &[(&str, Option<i32>)]) -> Observed {
    let ips = vec!["10.0.0.1".parse().unwrap()];
    Observed { sandboxes, ips, containers: containers.iter().map(|(what, exit)| instance(what, *exit)).collect() }
}

/// A plan in words: `sandbox 0`, `start a:1`, `kill a`, `kill pod`, `held a`.
fn words(pod: &Pod, observed: &Observed, probed: &Probed) -> Vec<String> {
    let mut backoffs = Backoffs::new((Duration::from_secs(10), Duration::from_secs(300)));
    let held = pod.spec.containers.iter().find(|c| c.name == "held");
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    if let Some(container) = held {
        backoffs.next(&backoff_key(pod, container), at(1000), at(1000));
    }
    let plan = plan(&Inputs { pod, observed, backoffs: &backoffs, health: probed, now: at(1001) });
    let mut words: Vec<String> = plan.create_sandbox.iter().map(|n| format!("sandbox {n}")).collect();
    words.extend(plan.kill_pod.then(|| "kill pod".to_owned()));
    words.extend(plan.kill.iter().map(|k| format!("kill {}", k.name)));
    words.extend(plan.start.iter().map(|s| format!("start {}:{}", s.name, s.attempt)));
    words.extend(plan.held.iter().map(|(name, seconds)| format!("held {name} {seconds}")));
    words
}

#[test]
fn plans_are_one_step_towards_the_spec() {
    use SandboxState::{NotReady, Ready};
    let check = |spec: Value, seen: Observed, expect: &[&str]| {
        assert_eq!(words(&pod(spec.clone()), &seen, &Probed::default()), expect, "{spec} {seen:#?}");
    };
    let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
    let up = || vec![sandbox(0, Ready)];
    check(two.clone(), Observed::default(), &["sandbox 0"]);
    check(two.clone(), observed(up(), &[]), &["start a:0", "start b:0"]);
    check(two.clone(), observed(up(), &[("a@s0:0", None)]), &["start b:0"]);
    check(two.clone(), observed(up(), &[("a@s0:0", None), ("b@s0:0", None)]), &[]);
    check(two.clone(), observed(up(), &[("a@s0:2", Some(1)), ("b@s0:0", None)]), &["start a:3"]);
    // A lost sandbox: what still runs in it goes, then everything starts anew and counts.
    check(two.clone(), observed(vec![sandbox(0, NotReady)], &[("a@s0:0", None)]), &["kill pod"]);
    check(two.clone(), observed(vec![sandbox(0, NotReady)], &[("a@s0:0", Some(137))]), &["sandbox 1"]);
    check(
        two,
        observed(vec![sandbox(1, Ready), sandbox(0, NotReady)], &[("a@s0:0", Some(137))]),
        &["start a:1", "start b:0"],
    );

    let policy = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}]});
    check(policy("OnFailure"), observed(up(), &[("a@s0:0", Some(0))]), &["kill pod"]);
    check(policy("OnFailure"), observed(up(), &[("a@s0:0", Some(2))]), &["start a:1"]);
    check(policy("Never"), observed(up(), &[("a@s0:0", Some(2))]), &["kill pod"]);
    check(policy("Never"), observed(vec![sandbox(0, NotReady)], &[("a@s0:0", Some(2))]), &[]);
    check(json!({"containers": [{"name": "held"}]}), observed(up(), &[("held@s0:1", Some(2))]), &["held held 10"]);

    let rules = json!([{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]);
    let ruled = json!({"restartPolicy": "Never", "containers": [{"name": "a", "restartPolicy": "Never", "restartPolicyRules": rules}]});
    check(ruled.clone(), observed(up(), &[("a@s0:0", Some(42))]), &["start a:1"]);
    check(ruled, observed(up(), &[("a@s0:0", Some(1))]), &["kill pod"]);
}

#[test]
fn init_containers_run_in_sequence_and_sidecars_stay() {
    let check = |policy: &str, seen: &[(&str, Option<i32>)], expect: &[&str]| {
        let spec = json!({
            "restartPolicy": policy, "containers": [{"name": "main"}],
            "initContainers": [{"name": "one"}, {"name": "side", "restartPolicy": "Always"}, {"name": "two"}],
        });
        let seen = observed(vec![sandbox(0, SandboxState::Ready)], seen);
        assert_eq!(words(&pod(spec), &seen, &Probed::default()), expect, "{seen:#?}");
    };
    check("Always", &[], &["start one:0"]);
    check("Always", &[("one@s0:0", None)], &[]);
    check("Always", &[("one@s0:0", Some(1))], &["start one:1"]);
    check("Never", &[("one@s0:0", Some(1))], &["kill pod"]);
    check("Always", &[("one@s0:0", Some(0))], &["start side:0"]);
    check("Always", &[("one@s0:0", Some(0)), ("side@s0:0", None)], &["start two:0"]);
    check("Always", &[("one@s0:0", Some(0)), ("side@s0:0", None), ("two@s0:0", Some(0))], &["start main:0"]);
    check("Always", &[("side@s0:0", Some(1)), ("main@s0:0", None)], &["start side:1"]);
    check("Never", &[("side@s0:0", None), ("main@s0:0", Some(0))], &["kill pod"]);
}

#[test]
fn probes_hold_and_kill() {
    let check = |probed: Probed, seen: &[(&str, Option<i32>)], expect: &[&str]| {
        let spec =
            json!({"containers": [{"name": "main"}], "initContainers": [{"name": "side", "restartPolicy": "Always"}]});
        let seen = observed(vec![sandbox(0, SandboxState::Ready)], seen);
        assert_eq!(words(&pod(spec), &seen, &probed), expect);
    };
    let starting = Probed(HashMap::from([("side@s0:0", (false, None))]));
    check(starting, &[("side@s0:0", None)], &[]);
    let sick = Probed(HashMap::from([("main@s0:0", (true, Some("liveness")))]));
    check(sick, &[("side@s0:0", None), ("main@s0:0", None)], &["kill main"]);
}
