//! root-ca-certificate-publisher-controller: every namespace has the certificates that prove the API server.
//!
//! Watches: namespaces, config maps named `kube-root-ca.crt`.
//! Writes: creates that config map, and puts its data right where somebody changed it.
//! Invariant: service account volumes find the bundle in their namespace.

use std::sync::Arc;

use api::Patch;
use api::meta::key;
use client::Client;
use client::controller::{Controller, Keys, Outcome, Result, itself};
use client::kinds;
use client::queue::Key;
use serde_json::{Map, Value, json};
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::seen;
use crate::pod_control::is_namespace_terminating;

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

pub(crate) fn controller(setup: &Setup) -> Controller<Publisher> {
    let client = setup.client.clone();
    let state = Publisher {
        namespaces: client.cache(&kinds::namespaces()),
        maps: client.cache(&kinds::config_maps()),
        root_ca: setup.options.root_ca_pem.clone(),
        client,
    };
    Controller::new("root-ca-certificate-publisher-controller", Arc::new(state), reconcile)
        .workers(2)
        .watch(&kinds::namespaces(), itself)
        .watch(&kinds::config_maps(), when_ours)
}

pub(crate) struct Publisher {
    client: Client,
    namespaces: Arc<Cache>,
    maps: Arc<Cache>,
    root_ca: String,
}

fn when_ours(_: &Publisher, change: &Change, keys: &mut Keys<'_>) {
    if &*change.object.meta.name == NAME {
        keys.named("", &change.object.meta.namespace);
    }
}

async fn reconcile(state: Arc<Publisher>, namespace: Key) -> Result {
    let alive = state.namespaces.get_key(&namespace).is_some_and(|found| !found.meta.is_deleting());
    if !alive || state.root_ca.is_empty() {
        return Ok(Outcome::Done);
    }
    let annotations = json!({ "kubernetes.io/description": DESCRIPTION });
    let written = match state.maps.get_key(&key(&namespace, NAME)) {
        None => {
            let map = json!({
                "kind": "ConfigMap", "apiVersion": "v1",
                "metadata": { "name": NAME, "annotations": annotations },
                "data": { FILE: state.root_ca },
            });
            state.client.create(state.maps.resource(), &namespace, map).await
        }
        Some(map) => {
            let map = map.to_value()?;
            let Some(data) = correction(&map["data"], &state.root_ca) else { return Ok(Outcome::Done) };
            let patch = json!({ "metadata": { "annotations": annotations }, "data": data });
            state.client.patch(state.maps.resource(), &namespace, NAME, "", Patch::Merge(patch)).await
        }
    };
    match written {
        Ok(map) => seen(&state.maps, &map).await,
        Err(status) if status.is_already_exists() || status.is_not_found() || is_namespace_terminating(&status) => {}
        Err(status) => return Err(status.into()),
    }
    Ok(Outcome::Done)
}

/// The merge patch that leaves the bundle alone in `data`; `None` when it is so.
fn correction(data: &Value, root_ca: &str) -> Option<Value> {
    let empty = Map::new();
    let data = data.as_object().unwrap_or(&empty);
    if data.len() == 1 && data.get(FILE).is_some_and(|pem| pem == root_ca) {
        return None;
    }
    let mut patch: Map<String, Value> = data.keys().map(|name| (name.clone(), Value::Null)).collect();
    patch.insert(FILE.to_owned(), root_ca.into());
    Some(patch.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use crate::testing::Running;
    use client::testing::Cluster;

    #[tokio::test(start_paused = true)]
    async fn the_bundle_is_published_and_put_right() {
        let cluster = Cluster::new();
        let (client, maps) = (cluster.client(), kinds::config_maps());
        let options = Options { root_ca_pem: "PEM".into(), ..Options::default() };
        let running = Running::start(&cluster, &["root-ca-certificate-publisher-controller"], options);
        client.create(&kinds::namespaces(), "", json!({ "metadata": { "name": "a" } })).await.unwrap();
        let right = |all: &[Value]| all.len() == 1 && all[0]["data"] == json!({ FILE: "PEM" });
        running.until(&maps, right).await;
        let wrong = Patch::Merge(json!({ "data": { FILE: "other", "more": "x" } }));
        client.patch(&maps, "a", NAME, "", wrong).await.unwrap();
        running.until(&maps, right).await;
        running.stop().await;
    }

    #[test]
    fn corrections_remove_what_does_not_belong() {
        assert_eq!(correction(&json!({ FILE: "a" }), "a"), None);
        assert_eq!(correction(&Value::Null, "a"), Some(json!({ FILE: "a" })));
        assert_eq!(correction(&json!({ "x": "y" }), "a"), Some(json!({ "x": null, FILE: "a" })));
    }
}
