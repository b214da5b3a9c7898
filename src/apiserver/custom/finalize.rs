//! The end of a definition: its objects go first, then it does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, Resource, Status};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::conditions::{Condition, set};
use crate::Registry;
use crate::strategy::definition::FINALIZER;
use crate::tree::Tree;

/// How often it is looked whether finalizers have let the last objects go.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Whether a definition waits for its objects to go.
pub(super) fn is_due(object: &Object) -> bool {
    object.meta.is_deleting() && object.meta.finalizers.iter().any(|finalizer| &**finalizer == FINALIZER)
}

/// The definitions that are being emptied, by uid. Dropping it stops all.
#[derive(Default)]
pub(super) struct Running(HashMap<Box<str>, JoinHandle<()>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

impl Running {
    /// Empties the kind of a definition and lets it go, unless that is under way. `row` is the kind's, if it was served.
    pub(super) fn start(&mut self, registry: &Arc<Registry>, definition: &Object, row: Option<Arc<Resource>>) {
        self.0.retain(|_, task| !task.is_finished());
        let (registry, name) = (registry.clone(), definition.meta.name.clone());
        self.0.entry(definition.meta.uid.clone()).or_insert_with(|| {
            tokio::spawn(async move {
                let mut pause = FIRST_PAUSE;
                while let Err(status) = finalize(&registry, &name, row.as_ref()).await {
                    if status.is_not_found() {
                        return;
                    }
                    tracing::warn!(definition = &*name, %status, "objects of a definition cannot be deleted, will try again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                tracing::info!(definition = &*name, "definition is empty and released");
            })
        });
    }
}

async fn finalize(registry: &Registry, name: &str, row: Option<&Arc<Resource>>) -> Result<(), Status> {
    let say = |status: &str, reason: &str, message: &str| Condition::new("Terminating", status, reason, message);
    let last = match row {
        None => say("False", "NeverEstablished", "resource was never established"),
        Some(row) => {
            let begun = say("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
            write(registry, name, &begun, false).await?;
            if let Err(status) = empty(registry, row).await {
                let message = format!("could not issue all deletes: {status}");
                write(registry, name, &say("True", "InstanceDeletionFailed", &message), false).await?;
                return Err(status);
            }
            say("False", "InstanceDeletionCompleted", "removed all instances")
        }
    };
    write(registry, name, &last, true).await
}

/// Deletes objects until none is left.
async fn empty(registry: &Registry, row: &Arc<Resource>) -> Result<(), Status> {
    let mut pause = FIRST_PAUSE;
    while registry.delete_all(row).await? > 0 {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    Ok(())
}

async fn write(registry: &Registry, name: &str, condition: &Condition, release: bool) -> Result<(), Status> {
    let row = super::definitions_row(registry).ok_or_else(Status::no_such_path)?;
    let change = |object: &mut Value| {
        set(object, condition);
        if release {
            let kept: Vec<Value> = object
                .items("metadata.finalizers")
                .iter()
                .filter(|finalizer| *finalizer != FINALIZER)
                .cloned()
                .collect();
            object.put_or_remove("metadata.finalizers", (!kept.is_empty()).then_some(Value::Array(kept)));
        }
        Ok(())
    };
    registry.change_own(&row, "", name, false, &change).await
}
