//! What extension API servers have to know to authenticate as this one does: the ConfigMap
//! `kube-system/extension-apiserver-authentication`, brought up to date at every start.

use std::sync::Arc;
use std::time::Duration;

use api::{Operation, Patch, Request, Status, User, WriteOptions};
use serde_json::{Value, json};

use super::RequestHeaders;
use super::x509::ClientCa;
use crate::Registry;

const NAME: &str = "extension-apiserver-authentication";

/// The content of the ConfigMap.
pub(crate) fn data(client: &ClientCa, front_proxy: Option<&ClientCa>, headers: &RequestHeaders) -> Value {
    let mut data = json!({ "client-ca-file": client.pem() });
    if let Some(ca) = front_proxy {
        data["requestheader-client-ca-file"] = json!(ca.pem());
        let lists = [
            ("allowed-names", &headers.allowed_names),
            ("extra-headers-prefix", &headers.extra_prefixes),
            ("group-headers", &headers.groups),
            ("uid-headers", &headers.uid),
            ("username-headers", &headers.username),
        ];
        for (name, list) in lists {
            let words: Vec<String> = match name {
                "allowed-names" => list.clone(),
                _ => list.iter().map(|header| canonical(header)).collect(),
            };
            data[format!("requestheader-{name}")] = json!(json!(words).to_string());
        }
    }
    data
}

/// A header's name as Go writes it: `X-Remote-User`.
fn canonical(header: &str) -> String {
    let word = |word: &str| word.get(..1).map_or(String::new(), str::to_uppercase) + word.get(1..).unwrap_or_default();
    header.split('-').map(word).collect::<Vec<_>>().join("-")
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
