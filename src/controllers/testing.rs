//! What the component tests of all controllers share: a cluster in memory with some of the loops running on it.

use std::sync::Arc;

use api::Resource;
use client::testing::Cluster;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{CONTROLLERS, Controllers, Options};

/// A cluster with the named controllers running on it, until it is dropped.
pub(crate) struct Running {
    pub(crate) cluster: Cluster,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts the named controllers on what the cluster holds.
    pub(crate) fn start(cluster: &Cluster, names: &[&str], options: Options) -> Self {
        for name in names {
            assert!(CONTROLLERS.iter().any(|row| row.name == *name), "the table has no {name}");
        }
        let others = crate::names().filter(|name| !names.contains(name)).map(str::to_owned);
        let options = Options { disabled: others.collect(), ..options };
        let stop = CancellationToken::new();
        let controllers = Controllers::build(&cluster.client(), options, &stop);
        Self { cluster: cluster.clone(), stop, task: tokio::spawn(controllers.run()) }
    }

    /// Waits until the stored objects of a kind, as trees, meet the condition, and returns them.
    pub(crate) async fn until(&self, resource: &Arc<Resource>, condition: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let cache = self.cluster.client().cache(resource);
        let trees = |cache: &watch_cache::Cache| -> Vec<Value> {
            cache.list("").iter().map(|object| object.to_value().expect("stored objects parse")).collect()
        };
        let waited =
            tokio::time::timeout(std::time::Duration::from_secs(3600), cache.until(|c| condition(&trees(c)))).await;
        let now = trees(&cache);
        assert!(waited.is_ok(), "never came to pass; {} are {now:#?}", resource.plural);
        now
    }

    /// Stops the controllers; those under way finish.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.expect("the controllers do not panic");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.task.abort();
    }
}

/// The value at a path of a tree, as text.
pub(crate) fn text<'a>(tree: &'a Value, path: &str) -> &'a str {
    tree.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// A bound pod in a phase, with labels, as it would be stored.
pub(crate) fn pod(namespace: &str, name: &str, labels: Value, node: &str, phase: &str) -> Value {
    let ready = if phase == "Running" { "True" } else { "False" };
    json!({
        "metadata": { "namespace": namespace, "name": name, "labels": labels },
        "spec": { "nodeName": node },
        "status": { "phase": phase, "conditions": [
            { "type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ] },
    })
}
