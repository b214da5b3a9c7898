//! What extension API servers have to know to authenticate as this one does: the ConfigMap
//! `kube-system/extension-apiserver-authentication`, brought up to date at every start.

use std::sync::Arc;
use std::time::Duration;

use api::{Operation, Patch, Request, Status, User, WriteOptions};
use serde_json::{Value, json};

use super::x509::ClientCa;
use crate::Registry;

const NAME: &str = "extension-apiserver-authentication";

/// The content of the ConfigMap.
pub(crate) fn data(client: &ClientCa, front_proxy: Option<&ClientCa>, names: &[String]) -> Value {
    let mut data = json!({ "client-ca-file": client.pem() });
    if let Some(ca) = front_proxy {
        data["requestheader-client-ca-file"] = json!(ca.pem());
        data["requestheader-allowed-names"] = json!(json!(names).to_string());
        data["requestheader-extra-headers-prefix"] = json!(r#"["X-Remote-Extra-"]"#);
        data["requestheader-group-headers"] = json!(r#"["X-Remote-Group"]"#);
        data["requestheader-uid-headers"] = json!(r#"["X-Remote-Uid"]"#);
        data["requestheader-username-headers"] = json!(r#"["X-Remote-User"]"#);
    }
    data
}

/// Tries until it is written.
pub(crate) async fn publish(registry: Arc<Registry>, data: Value) {
    let Some(row) = registry.catalog().get("", "v1", "configmaps") else { return };
    let request = |operation, name: &str| Request {
        user: Arc::new(User::new("system:apiserver", [api::user::MASTERS])),
        resource: row.clone(),
        namespace: "kube-system".into(),
        name: name.into(),
        subresource: String::new(),
        operation,
    };
    let options = || WriteOptions { field_manager: "kube-apiserver".into(), ..WriteOptions::default() };
    let write = async || -> Result<(), Status> {
        let patch = Operation::Patch(Patch::Merge(json!({ "data": data })), options());
        match registry.call(&request(patch, NAME)).await {
            Err(status) if status.is_not_found() => {
                let object = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": NAME, "namespace": "kube-system"}, "data": data});
                registry.call(&request(Operation::Create(object, options()), NAME)).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    };
    let mut pause = Duration::from_millis(100);
    while let Err(status) = write().await {
        tracing::warn!(%status, "what extension API servers have to know cannot be written, will try again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
}
