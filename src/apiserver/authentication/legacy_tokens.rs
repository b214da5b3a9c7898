//! When tokens kept in Secrets were used last: a label with the day on each, and a ConfigMap that says since when the
//! labels can be believed.

use std::sync::Arc;

use api::{Object, Operation, Patch, Request, Status, User, WriteOptions};
use serde_json::json;
use tokio::sync::mpsc;

use crate::Registry;

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
/// Uses that wait to be written; more are forgotten, and written at the next use.
const WAITING: usize = 256;

/// Where uses are reported.
#[derive(Clone)]
pub(crate) struct Uses(mpsc::Sender<Arc<Object>>);

/// What was reported.
pub(crate) struct Reported(mpsc::Receiver<Arc<Object>>);

/// The two ends.
pub(crate) fn channel() -> (Uses, Reported) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Uses(sender), Reported(receiver))
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string()
}

impl Uses {
    /// Reports that a Secret's token was used just now.
    pub(super) fn report(&self, secret: &Arc<Object>) {
        if secret.meta.labels.get(LAST_USED) != Some(&*today()) {
            // Full or closed: the day is not over.
            let _ = self.0.try_send(secret.clone());
        }
    }
}

/// Writes down what is reported, until it is dropped.
pub(crate) async fn run(registry: Arc<Registry>, mut reported: Reported) {
    if let Err(status) = begin(&registry).await {
        tracing::warn!(%status, "since when uses of service-account tokens are tracked cannot be written");
    }
    while let Some(secret) = reported.0.recv().await {
        let (namespace, name) = (&*secret.meta.namespace, &*secret.meta.name);
        let patch = json!({"metadata": {"uid": &*secret.meta.uid, "labels": {LAST_USED: today()}}});
        match write(&registry, "secrets", namespace, name, Operation::Patch(Patch::Merge(patch), options())).await {
            Err(status) if !status.is_not_found() && !status.is_conflict() => {
                tracing::warn!(%status, namespace, name, "the use of a service-account token cannot be written down");
            }
            _ => {}
        }
    }
}

async fn begin(registry: &Registry) -> Result<(), Status> {
    if registry.cached("", "v1", "configmaps").get("kube-system", TRACKING).is_some() {
        return Ok(());
    }
    let map = json!({
        "kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": TRACKING, "namespace": "kube-system"},
        "data": {"since": today()},
    });
    match write(registry, "configmaps", "kube-system", TRACKING, Operation::Create(map, options())).await {
        Err(status) if status.is_already_exists() => Ok(()),
        outcome => outcome,
    }
}

async fn write(
    registry: &Registry,
    plural: &str,
    namespace: &str,
    name: &str,
    operation: Operation,
) -> Result<(), Status> {
    let Some(row) = registry.catalog().get("", "v1", plural) else { return Err(Status::no_such_path()) };
    let request = Request {
        user: Arc::new(User::new("system:apiserver", [api::user::MASTERS])),
        resource: row,
        namespace: namespace.into(),
        name: name.into(),
        subresource: String::new(),
        operation,
    };
    registry.call(&request).await.map(drop)
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".into(), ..WriteOptions::default() }
}
