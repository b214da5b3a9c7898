//! ServiceAccount: every pod runs as one, and finds its token, the cluster's CA and its namespace where clients look.

use std::sync::Arc;
use std::time::Duration;

use api::{Object, Status};
use futures::FutureExt;
use serde_json::{Value, json};

use super::{Attributes, Plugin, Step};
use crate::Registry;
use crate::tree::Tree;

const MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Seconds a token lasts: an hour, and a little, by which upstream tells these tokens from others.
const EXPIRATION: u32 = 3607;

/// How long the account `default` is waited for: its controller makes it a moment after the namespace.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(super) fn plugin() -> Plugin {
    Plugin::mutating(
        "ServiceAccount",
        Step::Later(Arc::new(|registry, attributes| admit(registry, attributes).boxed())),
    )
}

async fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is_new_pod() {
        return Ok(());
    }
    let pod = &mut attributes.object;
    if pod.at("metadata.annotations").is_some_and(|notes| notes.get(MIRROR).is_some()) {
        // A static pod runs without the API server, so it cannot depend on what is kept there.
        return if pod.text("spec.serviceAccountName").is_empty() {
            Ok(())
        } else {
            Err(attributes.forbidden("a mirror pod may not reference service accounts"))
        };
    }
    if pod.text("spec.serviceAccountName").is_empty() {
        pod.put("spec.serviceAccountName", "default");
        pod.put("spec.serviceAccount", "default");
    }
    let name = pod.text("spec.serviceAccountName").to_owned();
    let account = find(registry, &attributes.namespace, &name).await?;
    let Some(account) = account else {
        let why = format!(
            "error looking up service account {}/{name}: serviceaccount {} not found",
            attributes.namespace,
            api::quote::quote(&name)
        );
        return Err(attributes.forbidden(why));
    };
    let account = account.to_value().map_err(Status::internal)?;
    let pod = &mut attributes.object;
    let mounts = |object: &Value, path: &str| object.at(path).and_then(Value::as_bool);
    let wanted = mounts(pod, "spec.automountServiceAccountToken")
        .or_else(|| mounts(&account, "automountServiceAccountToken"))
        .unwrap_or(true);
    if wanted {
        mount_token(pod);
    }
    if pod.items("spec.imagePullSecrets").is_empty() {
        pod.put_or_remove("spec.imagePullSecrets", account.at("imagePullSecrets").cloned());
    }
    Ok(())
}

async fn find(registry: &Registry, namespace: &str, name: &str) -> Result<Option<Arc<Object>>, Status> {
    let Some(row) = registry.catalog().get("", "v1", "serviceaccounts") else { return Ok(None) };
    let cache = registry.cache(&row);
    if let Some(account) = cache.get(namespace, name) {
        return Ok(Some(account));
    }
    registry.catch_up().await?;
    let (snapshot, mut changes) = cache.subscribe();
    let key = api::meta::key(namespace, name);
    if let Some(account) = snapshot.get_key(&key) {
        return Ok(Some(account.clone()));
    }
    if name != "default" {
        return Ok(None);
    }
    let appears = async {
        loop {
            // A reader that falls behind looks at the cache all the same.
            let _ = changes.next().await;
            if let Some(account) = cache.get_key(&key) {
                return account;
            }
        }
    };
    Ok(tokio::time::timeout(PATIENCE, appears).await.ok())
}

/// Adds the projected volume, and mounts it in every container that has nothing of its own there.
fn mount_token(pod: &mut Value) {
    let lists = ["spec.containers", "spec.initContainers"];
    let bare = |container: &Value| container.items("volumeMounts").iter().all(|mount| mount.text("mountPath") != MOUNT);
    if !lists.iter().any(|list| pod.items(list).iter().any(bare)) {
        return;
    }
    let given =
        pod.items("spec.volumes").iter().map(|v| v.text("name")).find(|name| name.starts_with("kube-api-access-"));
    let (name, made) = match given {
        Some(name) => (name.to_owned(), false),
        None => (crate::registry::generate_name("kube-api-access-"), true),
    };
    for list in lists {
        for container in pod.items_mut(list).iter_mut().filter(|container| bare(container)) {
            let mount = json!({"name": name, "readOnly": true, "mountPath": MOUNT});
            append(container, "volumeMounts", mount);
        }
    }
    if made {
        append(
            pod,
            "spec.volumes",
            json!({"name": name, "projected": {
                "defaultMode": 420,
                "sources": [
                    {"serviceAccountToken": {"expirationSeconds": EXPIRATION, "path": "token"}},
                    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [
                        {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
                    ]}},
                ],
            }}),
        );
    }
}

fn append(object: &mut Value, path: &str, element: Value) {
    let mut all = object.items(path).to_vec();
    all.push(element);
    object.put(path, all);
}
