//! What isopod says: the registry over the memory store, without admission, asked for dry runs.

use std::sync::Arc;

use api::{Operation, Reply, Request, User, WriteOptions};
use apiserver::{Registry, RegistryConfig, admission};
use embedded_store::{Change, Durability, Expect, Store, Write};
use serde_json::{Value, json};

use crate::case::{Case, Verdict};

pub(crate) struct Ours {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
}

impl Ours {
    pub(crate) async fn start() -> Self {
        let store = embedded_store::memory();
        let config = RegistryConfig {
            disabled_plugins: admission::names().into_iter().map(str::to_owned).collect(),
            served: "api/all=true".parse().expect("a constant"),
            ..RegistryConfig::default()
        };
        let registry = Registry::start(store.clone(), config).await.expect("an empty store");
        Self { store, registry }
    }

    /// Stores an object, and says at which revision.
    async fn put(&self, key: String, object: &Value) -> u64 {
        self.change(key, Change::Put(object.to_string().into())).await
    }

    async fn change(&self, key: String, change: Change) -> u64 {
        let write = Write { key, expect: Expect::Any, change, durability: Durability::Synced };
        self.store.write(write).await.expect("the memory store takes it").entry.revision
    }

    /// What isopod says of the write, where the store holds `before`.
    pub(crate) async fn judge(&self, case: &Case, before: Option<&Value>) -> Verdict {
        let mut new = case.new.clone();
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let storage = case.row.storage();
        let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
        // As upstream's strategies are told: it has no labels.
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
        self.put("/registry/namespaces/a".to_owned(), &namespace).await;
        let key = storage.store_key(case.namespace(), &name);
        let operation = match before {
            None => {
                // What is new was not there before.
                self.put(key.clone(), &new).await;
                self.change(key, Change::Delete).await;
                Operation::Create(new, options)
            }
            Some(before) => {
                let mut before = before.clone();
                before["metadata"].as_object_mut().map(|metadata| metadata.shift_remove("resourceVersion"));
                let revision = self.put(key, &before).await;
                new["metadata"]["resourceVersion"] = json!(revision.to_string());
                Operation::Update(new, options)
            }
        };
        let request = Request {
            user: Arc::new(User::new("alice", ["devs"])),
            resource: case.row.clone(),
            namespace: case.namespace().to_owned(),
            name: if before.is_some() { name } else { String::new() },
            subresource: case.subresource.clone(),
            operation,
        };
        match self.registry.call(&request).await {
            Ok(Reply::Object { object, warnings, .. }) => {
                Verdict::Taken { object: object.to_value().expect("what was written can be read"), warnings }
            }
            Ok(_) => Verdict::Failed("no object".to_owned()),
            Err(status) => match status.details.filter(|_| status.reason == "Invalid") {
                Some(details) => {
                    let causes = details.causes.iter();
                    Verdict::Refused(
                        causes.map(|cause| format!("{}: {}: {}", cause.field, cause.reason, cause.message)).collect(),
                    )
                }
                None => Verdict::Failed(status.message),
            },
        }
    }
}
