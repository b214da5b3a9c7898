//! Prometheus text under upstream's names.

use std::fmt::{Display, Write};
use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;
use runtime::types::{ContainerFilter, ContainerState, SandboxFilter, SandboxState};

use super::stats::{self, PodUsage};
use super::{Answer, respond};
use crate::agent::Agent;
use crate::pods::observed::time;

const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Text under construction.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display, at: Option<i64>) {
        self.0.push_str(name);
        for (position, (key, value)) in labels.iter().enumerate() {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{key}=\"{escaped}\"", if position == 0 { "{" } else { "," });
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = write!(self.0, " {value}");
        if let Some(at) = at {
            let _ = write!(self.0, " {at}");
        }
        self.0.push('\n');
    }

    fn answer(self) -> Answer {
        respond(StatusCode::OK, KIND, self.0)
    }
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// `/metrics/resource`: what metrics-server reads.
pub(super) async fn resource(agent: &Arc<Agent>) -> Answer {
    let now = Some(Timestamp::now().as_millisecond());
    let (pods, failed) = match stats::pods(agent).await {
        Ok(pods) => (pods, 0),
        Err(_) => (Vec::new(), 1),
    };
    let node = stats::node();
    let mut page = Page::default();
    let each = |page: &mut Page, name: &str, value: &dyn Fn(&runtime::types::ContainerStats) -> Option<f64>| {
        for pod in &pods {
            for (container, stats) in &pod.containers {
                if let Some(value) = value(stats) {
                    page.sample(
                        name,
                        &[("container", container), ("namespace", &pod.namespace), ("pod", &pod.name)],
                        value,
                        now,
                    );
                }
            }
        }
    };
    page.family(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    );
    each(&mut page, "container_cpu_usage_seconds_total", &|s| s.cpu.as_ref()?.usage_core_nano_seconds.map(seconds));
    page.family(
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
    );
    each(&mut page, "container_memory_working_set_bytes", &|s| s.memory.as_ref()?.working_set_bytes.map(|b| b as f64));
    page.family(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
    );
    page.sample("node_cpu_usage_seconds_total", &[], seconds(node.cpu), now);
    page.family("node_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the node in bytes");
    page.sample("node_memory_working_set_bytes", &[], node.working_set, now);
    let per_pod = |page: &mut Page, name: &str, value: &dyn Fn(&PodUsage) -> Option<f64>| {
        for pod in &pods {
            if let Some(value) = value(pod) {
                page.sample(name, &[("namespace", &pod.namespace), ("pod", &pod.name)], value, now);
            }
        }
    };
    page.family(
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    );
    per_pod(&mut page, "pod_cpu_usage_seconds_total", &|p| p.cpu.map(seconds));
    page.family("pod_memory_working_set_bytes", "gauge", "[STABLE] Current working set of the pod in bytes");
    per_pod(&mut page, "pod_memory_working_set_bytes", &|p| p.memory.map(|(_, working)| working as f64));
    page.family(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
    );
    for (labels, at) in start_times(agent).await {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (*k, v.as_str())).collect();
        page.sample("container_start_time_seconds", &labels, at, None);
    }
    page.family(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
    );
    page.sample("resource_scrape_error", &[], failed, None);
    page.answer()
}

type Started = (Vec<(&'static str, String)>, f64);

async fn start_times(agent: &Arc<Agent>) -> Vec<Started> {
    let filter = ContainerFilter { state: Some(ContainerState::Running), ..ContainerFilter::default() };
    let containers = agent.runtime.list_containers(&filter).await.unwrap_or_default();
    let label = |c: &runtime::types::Container, key: &str| c.labels.get(key).cloned().unwrap_or_default();
    let one = |c: &runtime::types::Container| {
        use crate::pods::observed::{CONTAINER_NAME, POD_NAME, POD_NAMESPACE};
        let labels = vec![
            ("container", label(c, CONTAINER_NAME)),
            ("namespace", label(c, POD_NAMESPACE)),
            ("pod", label(c, POD_NAME)),
        ];
        Some((labels, time(c.created_at)?.as_millisecond() as f64 / 1e3))
    };
    containers.iter().filter_map(one).collect()
}

/// `/metrics/cadvisor`: the same usage under cadvisor's names.
pub(super) async fn cadvisor(agent: &Arc<Agent>) -> Answer {
    let now = Some(Timestamp::now().as_millisecond());
    let pods = stats::pods(agent).await.unwrap_or_default();
    let mut page = Page::default();
    type Read = fn(&runtime::types::ContainerStats) -> Option<f64>;
    let families: [(&str, &str, &str, Read); 4] = [
        ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |s| {
            s.cpu.as_ref()?.usage_core_nano_seconds.map(seconds)
        }),
        (
            "container_memory_usage_bytes",
            "gauge",
            "Current memory usage in bytes, including all memory regardless of when it was accessed",
            |s| s.memory.as_ref()?.usage_bytes.map(|b| b as f64),
        ),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |s| {
            s.memory.as_ref()?.working_set_bytes.map(|b| b as f64)
        }),
        ("container_memory_rss", "gauge", "Size of RSS in bytes.", |s| s.memory.as_ref()?.rss_bytes.map(|b| b as f64)),
    ];
    for (name, kind, help, read) in families {
        page.family(name, kind, help);
        for pod in &pods {
            for (container, stats) in &pod.containers {
                if let Some(value) = read(stats) {
                    let labels = [
                        ("container", container.as_str()),
                        ("id", &stats.id),
                        ("name", &stats.id),
                        ("namespace", &pod.namespace),
                        ("pod", &pod.name),
                    ];
                    page.sample(name, &labels, value, now);
                }
            }
        }
    }
    page.answer()
}

/// `/metrics`: the agent's own.
pub(super) async fn own(agent: &Arc<Agent>) -> Answer {
    let mut page = Page::default();
    let containers = agent.runtime.list_containers(&ContainerFilter::default()).await.unwrap_or_default();
    let filter = SandboxFilter { state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let sandboxes = agent.runtime.list_sandboxes(&filter).await.unwrap_or_default();
    page.family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    page.sample("kubelet_node_name", &[("node", &agent.config.node_name)], 1, None);
    page.family("kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running");
    for (state, word) in [
        (ContainerState::Created, "created"),
        (ContainerState::Exited, "exited"),
        (ContainerState::Running, "running"),
        (ContainerState::Unknown, "unknown"),
    ] {
        let count = containers.iter().filter(|c| c.state == state).count();
        page.sample("kubelet_running_containers", &[("container_state", word)], count, None);
    }
    page.family("kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox");
    page.sample("kubelet_running_pods", &[], sandboxes.len(), None);
    page.family("kubelet_desired_pods", "gauge", "[ALPHA] The number of pods the kubelet is being instructed to run.");
    page.sample("kubelet_desired_pods", &[("static", "")], agent.pods.lock().len(), None);
    page.answer()
}

/// `/metrics/probes`: no probe keeps counters here; the page is there so that collectors find it.
pub(super) fn probes() -> Answer {
    let mut page = Page::default();
    page.family(
        "prober_probe_total",
        "counter",
        "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.",
    );
    page.answer()
}
