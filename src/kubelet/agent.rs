//! What all parts of the node agent share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use api::Object;
use client::Client;
use client::events::{EventType, Recorder, Reference};
use parking_lot::Mutex;
use runtime::Runtime;
use watch_cache::Cache;

use crate::Config;
use crate::cgroups::Cgroups;
use crate::images::Puller;
use crate::node::facts::Facts;
use crate::pods::pod::Pod;
use crate::pods::spec::fields::NodeAmounts;
use crate::resources;
use crate::sources::{Sources, Wakers};
use crate::volumes::Tokens;

/// Shared by every task; nothing in it is held across an await.
pub(crate) struct Agent {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) recorder: Recorder,
    /// The node's own object.
    pub(crate) node: Arc<Cache>,
    pub(crate) services: Arc<Cache>,
    pub(crate) wakers: Arc<Wakers>,
    pub(crate) sources: Sources,
    pub(crate) tokens: Tokens,
    pub(crate) puller: Puller,
    pub(crate) cgroups: Cgroups,
    pub(crate) node_amounts: NodeAmounts,
    pub(crate) facts: Facts,
    /// Pods this node runs, by uid: what the server shows.
    pub(crate) pods: Mutex<HashMap<String, Arc<Object>>>,
    /// Which pod a container or sandbox belongs to.
    pub(crate) owners: Mutex<HashMap<String, String>>,
    /// Processes that ended lately, by the id of their container or sandbox: the runtime's hint may come before its status shows it.
    pub(crate) exits: Mutex<HashMap<String, tokio::time::Instant>>,
    port: AtomicU16,
}

impl Agent {
    pub(crate) fn new(config: Config, client: Client, runtime: Arc<dyn Runtime>, cgroups: Cgroups) -> Self {
        let facts = Facts::read(&config.root_dir);
        let node = (config.caches)(resources::nodes(), "", &format!("metadata.name={}", config.node_name));
        let services = (config.caches)(resources::services(), "", "");
        let wakers = Arc::new(Wakers::default());
        let bounded = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        Self {
            recorder: Recorder::start(client.clone(), "kubelet", &config.node_name),
            sources: Sources::new(config.caches.clone(), wakers.clone()),
            puller: Puller::new(config.max_parallel_pulls, config.timing.backoff),
            node_amounts: NodeAmounts {
                cpu_milli: bounded(facts.cpus) * 1000,
                memory: bounded(facts.memory.saturating_sub(100 << 20)),
                ephemeral_storage: bounded(facts.disk / 10 * 9),
            },
            tokens: Tokens::default(),
            pods: Mutex::default(),
            owners: Mutex::default(),
            exits: Mutex::default(),
            port: AtomicU16::new(config.listen.port()),
            node,
            services,
            wakers,
            cgroups,
            facts,
            config,
            client,
            runtime,
        }
    }

    /// The port the server listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    pub(crate) fn set_port(&self, port: u16) {
        self.port.store(port, Ordering::Relaxed);
    }

    /// An event about a pod, or about one of its containers.
    pub(crate) fn event(
        &self,
        pod: &Pod,
        container: Option<&str>,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let about = Reference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.annotations.get(crate::pods::pod::CONFIG_MIRROR).map_or(&pod.uid, |_| &pod.uid).clone(),
            resource_version: String::new(),
            field_path: container.map(|name| pod.field_path(name)).unwrap_or_default(),
        };
        self.recorder.event(about, kind, reason, message);
    }

    /// The pod of that name.
    pub(crate) fn find_pod(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.pods.lock().values().find(|o| &*o.meta.namespace == namespace && &*o.meta.name == name).cloned()
    }
}
