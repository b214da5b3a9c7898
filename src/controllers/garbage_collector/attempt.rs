//! One object at a time: asks the server about it and its owners, and does what follows.

use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, Object, OwnerReference, Patch, Propagation, Resource, Status};
use client::controller::{Error, Outcome, Result};
use client::queue::Key;
use serde_json::{Value, json};

use super::graph::Identity;
use super::{Collector, FOREGROUND, ORPHAN, has_finalizer, is_waiting};

/// When owners are asked for again that cannot be watched.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What the server says of one owner reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there.
    Solid,
    /// It is gone, or its name is another's now.
    Dangling,
    /// It is there until its dependents are gone.
    Waiting,
    /// It can never be told: an object of the cluster names an owner in a namespace.
    Invalid,
}

/// What becomes of an object in view of its owners.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// Stays, without the references that are not solid.
    Detach,
    /// Goes after its own dependents.
    DeleteForeground,
    Delete,
}

/// Upstream's rules.
pub(super) fn judge(owners: &[Owner], has_dependents: bool) -> Verdict {
    let any = |which: Owner| owners.contains(&which);
    if owners.is_empty() || any(Owner::Invalid) {
        Verdict::Keep
    } else if any(Owner::Solid) {
        if any(Owner::Dangling) || any(Owner::Waiting) { Verdict::Detach } else { Verdict::Keep }
    } else if any(Owner::Waiting) && has_dependents {
        Verdict::DeleteForeground
    } else {
        Verdict::Delete
    }
}

pub(super) async fn reconcile(collector: Arc<Collector>, key: Key) -> Result {
    let Some(identity) = Identity::parse(&key) else { return Ok(Outcome::Done) };
    let Some(resource) = collector.kinds.get(&identity.kind) else { return Ok(Outcome::Done) };
    let found = collector.client.get(&resource, &identity.namespace, &identity.name).await;
    let object = match found {
        Ok(object) if *object.meta.uid == *identity.uid => object,
        Err(status) if !status.is_not_found() => return Err(status.into()),
        // Gone, or another of its name. What depended on it is looked at by the deletion's own event.
        _ => {
            collector.graph.lock().remove(&key);
            return Ok(Outcome::Done);
        }
    };
    if object.meta.is_deleting() {
        if has_finalizer(&object, ORPHAN) {
            collector.orphan_dependents(&resource, &object).await?;
        } else if has_finalizer(&object, FOREGROUND) {
            collector.wait_for_dependents(&resource, &object).await?;
        }
        return Ok(Outcome::Done);
    }
    let mut owners = Vec::new();
    for reference in &object.meta.owner_references {
        owners.push(collector.look_up(&object, reference).await?);
    }
    // Not everything that other API servers hold can be watched.
    let unwatched = object.meta.owner_references.iter().any(|owner| collector.kinds.of_owner(owner).is_none());
    let has_dependents = !collector.graph.lock().dependents_of(&object.meta.uid).is_empty();
    let verdict = judge(&owners, has_dependents);
    tracing::debug!(?owners, ?verdict, "judged by its owners");
    match verdict {
        Verdict::Keep if unwatched => return Ok(Outcome::After(ASK_AGAIN)),
        Verdict::Keep => {}
        Verdict::Detach => {
            let solid = object.meta.owner_references.iter().zip(&owners).filter(|(_, o)| **o == Owner::Solid);
            let solid: Vec<&OwnerReference> = solid.map(|(reference, _)| reference).collect();
            collector
                .set_owners(&resource, &object, |reference| {
                    solid.iter().any(|solid| reference["uid"] == *solid.uid).then(|| reference.clone())
                })
                .await?;
        }
        Verdict::DeleteForeground => {
            collector.break_circle(&resource, &object).await?;
            collector.delete(&resource, &object, Propagation::Foreground).await?;
        }
        Verdict::Delete => {
            let propagation = if has_finalizer(&object, ORPHAN) {
                Propagation::Orphan
            } else if has_finalizer(&object, FOREGROUND) {
                Propagation::Foreground
            } else {
                Propagation::Background
            };
            collector.delete(&resource, &object, propagation).await?;
        }
    }
    Ok(Outcome::Done)
}

type Done = std::result::Result<(), Error>;

impl Collector {
    async fn look_up(&self, object: &Object, owner: &OwnerReference) -> std::result::Result<Owner, Error> {
        let watched = self.kinds.of_owner(owner).map(|(resource, _)| resource);
        let Some(resource) = watched.or_else(|| self.elsewhere(owner)) else {
            let kind = format!("{}, Kind={}", owner.api_version, owner.kind);
            return Err(Error::Other(format!("the server serves no owner kind {kind}")));
        };
        if resource.is_namespaced() && object.meta.namespace.is_empty() {
            return Ok(Owner::Invalid);
        }
        let namespace = if resource.is_namespaced() { &*object.meta.namespace } else { "" };
        match self.client.get(&resource, namespace, &owner.name).await {
            Ok(found) if found.meta.uid != owner.uid => Ok(Owner::Dangling),
            Ok(found) if is_waiting(&found) => Ok(Owner::Waiting),
            Ok(_) => Ok(Owner::Solid),
            Err(status) if status.is_not_found() => Ok(Owner::Dangling),
            Err(status) => Err(status.into()),
        }
    }

    /// The kind an owner reference names, if another API server serves it.
    fn elsewhere(&self, owner: &OwnerReference) -> Option<Arc<Resource>> {
        let is_owners = |row: &Arc<Resource>| *row.api_version() == *owner.api_version && row.kind == owner.kind;
        self.client.elsewhere().resources.into_iter().find(is_owners)
    }

    /// Lets an owner go when nothing that blocks it is left. What is left is seen to under its own keys, and comes back
    /// here when it goes.
    async fn wait_for_dependents(&self, resource: &Arc<Resource>, owner: &Object) -> Done {
        let blocks = |object: &Object| {
            object.meta.owner_references.iter().any(|r| r.uid == owner.meta.uid && r.block_owner_deletion)
        };
        let dependents = self.kinds.dependents(&owner.meta.namespace, &owner.meta.uid).await;
        if dependents.iter().any(|(_, dependent)| blocks(dependent)) {
            return Ok(());
        }
        self.remove_finalizer(resource, owner, FOREGROUND).await
    }

    /// Takes the owner out of its dependents' references, then lets it go.
    async fn orphan_dependents(&self, resource: &Arc<Resource>, owner: &Object) -> Done {
        for (kind, dependent) in self.kinds.dependents(&owner.meta.namespace, &owner.meta.uid).await {
            let (namespace, name) = (&dependent.meta.namespace, &dependent.meta.name);
            match self.client.get(&kind, namespace, name).await {
                Ok(fresh) if fresh.meta.uid == dependent.meta.uid => {
                    let others = |r: &Value| (r["uid"] != *owner.meta.uid).then(|| r.clone());
                    self.set_owners(&kind, &fresh, others).await?;
                }
                Err(status) if !status.is_not_found() => return Err(status.into()),
                _ => {}
            }
        }
        self.remove_finalizer(resource, owner, ORPHAN).await
    }

    /// Objects that own each other and all wait for their dependents would wait for ever: their references stop blocking.
    async fn break_circle(&self, resource: &Arc<Resource>, object: &Object) -> Done {
        let dependents = self.kinds.dependents(&object.meta.namespace, &object.meta.uid).await;
        if dependents.iter().any(|(_, dependent)| is_waiting(dependent)) {
            self.set_owners(resource, object, |reference| {
                let mut reference = reference.clone();
                reference["blockOwnerDeletion"] = false.into();
                Some(reference)
            })
            .await?;
        }
        Ok(())
    }

    /// Rewrites the owner references of an object just read; one that has changed since is a conflict, and retried.
    async fn set_owners(
        &self,
        resource: &Arc<Resource>,
        object: &Object,
        keep: impl Fn(&Value) -> Option<Value>,
    ) -> Done {
        let value = object.to_value()?;
        let references = value["metadata"]["ownerReferences"].as_array();
        let kept: Vec<Value> = references.into_iter().flatten().filter_map(keep).collect();
        self.patch(resource, object, json!({ "ownerReferences": kept })).await
    }

    async fn remove_finalizer(&self, resource: &Arc<Resource>, object: &Object, finalizer: &str) -> Done {
        let left: Vec<&str> = object.meta.finalizers.iter().map(|f| &**f).filter(|f| *f != finalizer).collect();
        self.patch(resource, object, json!({ "finalizers": left })).await
    }

    async fn patch(&self, resource: &Arc<Resource>, object: &Object, mut metadata: Value) -> Done {
        metadata["uid"] = (&*object.meta.uid).into();
        metadata["resourceVersion"] = object.meta.resource_version.to_string().into();
        let (namespace, name) = (&object.meta.namespace, &object.meta.name);
        gone_is_fine(
            self.client.patch(resource, namespace, name, "", Patch::Merge(json!({ "metadata": metadata }))).await,
        )
    }

    async fn delete(&self, resource: &Arc<Resource>, object: &Object, propagation: Propagation) -> Done {
        tracing::debug!(kind = &*resource.kind, object = object.meta.key(), "deleting an object whose owners are gone");
        let options = DeleteOptions {
            propagation: Some(propagation),
            uid: Some(object.meta.uid.to_string()),
            // An owner given to it meanwhile would show in another version; after a patch of ours the uid has to do.
            resource_version: (propagation != Propagation::Foreground)
                .then(|| object.meta.resource_version.to_string()),
            ..DeleteOptions::default()
        };
        gone_is_fine(self.client.delete(resource, &object.meta.namespace, &object.meta.name, options).await)
    }
}

fn gone_is_fine<T>(result: std::result::Result<T, Status>) -> Done {
    match result {
        Err(status) if !status.is_not_found() => Err(status.into()),
        _ => Ok(()),
    }
}
