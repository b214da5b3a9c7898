//! An agent in memory, for component tests: a fake runtime below, a fake API above, a temporary directory beside.

use std::sync::Arc;
use std::time::Duration;

use client::testing::Cluster;
use runtime::FakeRuntime;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::agent::Agent;
use crate::cgroups::Cgroups;
use crate::{Config, Timing, pods, resources};

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

/// A configuration that names no place of this machine.
pub(crate) fn config() -> Config {
    config_for(&Cluster::new(), std::path::Path::new("/nonexistent"))
}

pub(crate) fn config_for(cluster: &Cluster, dir: &std::path::Path) -> Config {
    let client = cluster.client();
    Config {
        node_name: "n1".into(),
        node_ips: vec!["192.0.2.1".parse().unwrap()],
        external_ips: vec![],
        labels: Default::default(),
        taints: vec![],
        register: true,
        root_dir: dir.join("agent"),
        log_dir: dir.join("logs"),
        log_links: None,
        manifest_dir: None,
        cluster_dns: vec!["10.43.0.10".parse().unwrap()],
        cluster_domain: "cluster.local".into(),
        resolv_conf: dir.join("resolv.conf"),
        listen: "127.0.0.1:0".parse().unwrap(),
        healthz: None,
        serving: Arc::new(NoCertificate),
        client_ca: vec![],
        cgroup_root: "/".into(),
        max_pods: 110,
        provider_id: String::new(),
        version: "v1.35.0".into(),
        caches: Arc::new(move |resource, _, _| client.cache(resource)),
        max_parallel_pulls: 2,
        limits: crate::Limits::default(),
        timing: Timing {
            retry: Duration::from_millis(50),
            backoff: (Duration::from_millis(400), Duration::from_secs(2)),
            ..Timing::default()
        },
    }
}

/// A running agent without its server.
pub(crate) struct Node {
    pub(crate) cluster: Cluster,
    pub(crate) runtime: FakeRuntime,
    pub(crate) dir: tempfile::TempDir,
    stop: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Node {
    /// An agent with one image, `web`, on it.
    pub(crate) fn start() -> Self {
        let runtime = FakeRuntime::new();
        runtime.add_image("web:1");
        Self::start_with(Cluster::new(), runtime, tempfile::tempdir().unwrap(), |_| {})
    }

    pub(crate) fn start_with(
        cluster: Cluster,
        runtime: FakeRuntime,
        dir: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = config_for(&cluster, dir.path());
        change(&mut config);
        let agent = Arc::new(Agent::new(config, cluster.client(), Arc::new(runtime.clone()), Cgroups::none()));
        let stop = CancellationToken::new();
        tokio::spawn(pods::run(agent, stop.clone()));
        Self { cluster, runtime, dir, stop }
    }

    /// Stops this agent and starts another on the same runtime, API and directory.
    pub(crate) fn restart(self) -> Self {
        let cluster = self.cluster.clone();
        self.stopped().started(cluster)
    }

    /// Stops the agent; its containers run on.
    pub(crate) fn stopped(mut self) -> Stopped {
        self.stop.cancel();
        Stopped { runtime: self.runtime.clone(), dir: std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap()) }
    }

    /// Waits until the pod is as wanted; what it is when it never is.
    pub(crate) async fn pod(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let pod = self.cluster.value(resources::pods(), "default", name);
                if wanted(&pod) {
                    return pod;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), look).await {
            Ok(pod) => pod,
            Err(_) => panic!(
                "{what} never came; {:#}\ncalls: {:?}",
                self.cluster.value(resources::pods(), "default", name),
                self.runtime.calls()
            ),
        }
    }

    /// Creates a pod bound to this node.
    pub(crate) fn run(&self, name: &str, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = "n1".into();
        self.cluster.seed(
            resources::pods(),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec,
                "status": {"phase": "Pending"},
            }),
        );
    }
}

/// What an agent leaves behind.
pub(crate) struct Stopped {
    runtime: FakeRuntime,
    dir: tempfile::TempDir,
}

impl Stopped {
    /// A new agent on what the old one left.
    pub(crate) fn started(self, cluster: Cluster) -> Node {
        Node::start_with(cluster, self.runtime, self.dir, |_| {})
    }
}

/// A pod's spec with one container of the image that is there.
pub(crate) fn web() -> Value {
    json!({"containers": [{"name": "web", "image": "web:1"}]})
}
