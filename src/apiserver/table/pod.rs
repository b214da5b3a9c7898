//! Pods: the one word that says how a pod is doing, out of its phase and the states of all its containers.

use api::{Object, ObjectError};
use jiff::Timestamp;

use super::Kind;
use super::column::{AGE, NAME, text, wide};
use super::row::{Row, Words, row};
use super::text::{age, name, or_none};
use super::view::{self, view};

pub(super) const POD: Kind = (
    &[
        NAME,
        text("Ready", "How many of the containers are ready."),
        text("Status", "How the pod is doing, its containers together."),
        text("Restarts", "How often containers were restarted, and when last."),
        AGE,
        wide("IP", "The address of the pod."),
        wide("Node", "The node the pod is bound to."),
        wide("Nominated Node", "The node the pod will have once others have made room there."),
        wide("Readiness Gates", "How many of the conditions that readiness waits for are true."),
    ],
    cells,
);

view! {
    Pod { spec: Spec, status: Status }
    Spec {
        containers: view::Count,
        init_containers: Vec<InitContainer>,
        node_name: String,
        readiness_gates: Vec<Gate>,
    }
    InitContainer { name: String, restart_policy: String }
    Gate { condition_type: String }
    Status {
        phase: String,
        reason: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<Container>,
        init_container_statuses: Vec<Container>,
        nominated_node_name: String,
        #[serde(rename = "podIPs")]
        pod_ips: Vec<PodIp>,
    }
    PodIp { ip: String }
    Condition { r#type: String, status: String, reason: String }
    Container {
        name: String,
        ready: bool,
        started: bool,
        restart_count: i64,
        state: State,
        last_state: State,
    }
    State { waiting: Option<Waiting>, running: Option<Running>, terminated: Option<Terminated> }
    Waiting { reason: String }
    Running {}
    Terminated { reason: String, signal: i64, exit_code: i64, finished_at: Option<Timestamp> }
}

fn cells(object: &Object) -> Result<Row, ObjectError> {
    let pod: Pod = view::read(object)?;
    let summary = Summary::of(&pod, object.meta.is_deleting());
    let restarts = match summary.restarts.last {
        Some(last) if summary.restarts.count != 0 => {
            Words::Since { before: format!("{} (", summary.restarts.count), time: last, after: " ago)" }
        }
        _ => Words::Fixed(summary.restarts.count.to_string()),
    };
    let gates = &pod.spec.readiness_gates;
    let passed = gates.iter().filter(|gate| {
        let condition = pod.status.conditions.iter().find(|condition| condition.r#type == gate.condition_type);
        condition.is_some_and(|condition| condition.status == "True")
    });
    let gates = if gates.is_empty() { "<none>".to_owned() } else { format!("{}/{}", passed.count(), gates.len()) };
    row![
        name(object),
        format!("{}/{}", summary.ready, summary.total),
        summary.reason,
        restarts,
        age(object),
        or_none(pod.status.pod_ips.first().map(|ip| &*ip.ip).unwrap_or_default()),
        or_none(pod.spec.node_name),
        or_none(pod.status.nominated_node_name),
        gates,
    ]
}

/// Restarts, and when the last one was.
#[derive(Default, Clone, Copy)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, container: &Container) {
        self.count += container.restart_count;
        // An absent time is before all others.
        self.last = self.last.max(container.last_state.terminated.as_ref().and_then(|ended| ended.finished_at));
    }
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: Restarts,
}

impl Summary {
    fn of(pod: &Pod, deleting: bool) -> Self {
        let status = &pod.status;
        let is_sidecar =
            |name: &str| pod.spec.init_containers.iter().any(|c| c.name == name && c.restart_policy == "Always");
        let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy == "Always").count();
        let mut summary = Self {
            ready: 0,
            total: pod.spec.containers.0 + sidecars,
            reason: if status.reason.is_empty() { status.phase.clone() } else { status.reason.clone() },
            restarts: Restarts::default(),
        };
        let is = |condition: &Condition, ty: &str, status: &str| condition.r#type == ty && condition.status == status;
        if status.conditions.iter().any(|c| c.r#type == "PodScheduled" && c.reason == "SchedulingGated") {
            summary.reason = "SchedulingGated".into();
        }
        let of_sidecars = summary.initialize(pod, &is_sidecar);
        let initialized = status.conditions.iter().any(|condition| is(condition, "Initialized", "True"));
        if of_sidecars.initialized || initialized {
            summary.restarts = of_sidecars.restarts;
            let running = summary.run(pod);
            // A pod is not over while one of its containers runs.
            if summary.reason == "Completed" && running {
                let ready = status.conditions.iter().any(|condition| is(condition, "Ready", "True"));
                summary.reason = if ready { "Running" } else { "NotReady" }.into();
            }
        }
        if deleting && status.reason == "NodeLost" {
            summary.reason = "Unknown".into();
        } else if deleting && !matches!(&*status.phase, "Succeeded" | "Failed") {
            summary.reason = "Terminating".into();
        }
        summary
    }

    /// Looks through the init containers up to the one that is at work. What sidecars restart counts on.
    fn initialize(&mut self, pod: &Pod, is_sidecar: &dyn Fn(&str) -> bool) -> Initialization {
        let mut sidecars = Restarts::default();
        for (at, container) in pod.status.init_container_statuses.iter().enumerate() {
            let sidecar = is_sidecar(&container.name);
            self.restarts.add(container);
            if sidecar {
                sidecars.add(container);
            }
            let waiting = container.state.waiting.as_ref().map(|waiting| &*waiting.reason).unwrap_or_default();
            self.reason = match &container.state.terminated {
                Some(ended) if ended.exit_code == 0 => continue,
                _ if sidecar && container.started => {
                    self.ready += usize::from(container.ready);
                    continue;
                }
                Some(ended) => format!("Init:{}", ended.word()),
                None if !matches!(waiting, "" | "PodInitializing") => format!("Init:{waiting}"),
                None => format!("Init:{at}/{}", pod.spec.init_containers.len()),
            };
            return Initialization { initialized: false, restarts: sidecars };
        }
        Initialization { initialized: true, restarts: sidecars }
    }

    /// Looks through the containers; the first one that is not running has the word. Whether one is ready and runs.
    fn run(&mut self, pod: &Pod) -> bool {
        let mut running = false;
        for container in pod.status.container_statuses.iter().rev() {
            self.restarts.add(container);
            match &container.state {
                State { waiting: Some(waiting), .. } if !waiting.reason.is_empty() => {
                    self.reason.clone_from(&waiting.reason);
                }
                State { terminated: Some(ended), .. } => self.reason = ended.word(),
                State { running: Some(_), .. } if container.ready => {
                    running = true;
                    self.ready += 1;
                }
                _ => {}
            }
        }
        running
    }
}

struct Initialization {
    initialized: bool,
    /// Those of sidecars: what other init containers have been through is history once they are done.
    restarts: Restarts,
}

impl Terminated {
    fn word(&self) -> String {
        match (&*self.reason, self.signal) {
            ("", 0) => format!("ExitCode:{}", self.exit_code),
            ("", signal) => format!("Signal:{signal}"),
            (reason, _) => reason.to_owned(),
        }
    }
}
