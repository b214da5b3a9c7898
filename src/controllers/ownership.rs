//! Controller references: which objects are whose, adopting and releasing them.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::selector::LabelSelector;
use api::{Object, Patch, Resource, Status};
use client::Client;
use serde_json::{Value, json};
use watch_cache::Cache;

use crate::expectations::seen;

/// An object that owns others.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) object: &'a Object,
}

impl Owner<'_> {
    /// The objects of a kind that it controls.
    pub(crate) fn children(&self, of: &Cache) -> Vec<Arc<Object>> {
        of.controlled_by(&self.object.meta.namespace, &self.object.meta.uid)
    }

    /// The objects of a kind that it controls or could: what [`claim`] is to judge.
    pub(crate) fn candidates(&self, of: &Cache) -> Vec<Arc<Object>> {
        of.claimable(&self.object.meta.namespace, &self.object.meta.uid)
    }

    /// The reference that marks an object as managed by this owner.
    pub(crate) fn reference(&self) -> Value {
        json!({
            "apiVersion": self.resource.api_version(), "kind": self.resource.kind,
            "name": self.object.meta.name, "uid": self.object.meta.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }
}

/// What becomes of one object in view of one owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It belongs to the owner.
    Keep,
    /// It is somebody else's, or nobody's and does not match.
    Ignore,
    /// It matches and is nobody's.
    Adopt,
    /// It is the owner's but matches no longer.
    Release,
}

/// Upstream's rules of claiming.
pub(crate) fn judge(owner: &Object, object: &Object, matches: bool) -> Claim {
    match object.meta.controller() {
        Some(reference) if reference.uid != owner.meta.uid => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        // An owner on its way out lets the garbage collector decide.
        Some(_) if owner.meta.is_deleting() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if !matches || owner.meta.is_deleting() || object.meta.is_deleting() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// Takes the objects that match and are nobody's, lets go of those that no longer match, and returns what is the owner's
/// then. `children` is the cache of the objects' kind.
pub(crate) async fn claim(
    client: &Client,
    owner: Owner<'_>,
    children: &Cache,
    selector: &LabelSelector,
    objects: Vec<Arc<Object>>,
) -> Result<Vec<Arc<Object>>, Status> {
    claim_with_finalizer(client, owner, children, selector, objects, "").await
}

/// [`claim`], for owners that put a finalizer on what is theirs: it comes and goes with the reference, in one write. An empty
/// finalizer is none.
pub(crate) async fn claim_with_finalizer(
    client: &Client,
    owner: Owner<'_>,
    children: &Cache,
    selector: &LabelSelector,
    objects: Vec<Arc<Object>>,
    finalizer: &str,
) -> Result<Vec<Arc<Object>>, Status> {
    let mut claimed = Vec::new();
    let mut may_adopt = None;
    for object in objects {
        match judge(owner.object, &object, selector.matches(&object.meta.labels)) {
            Claim::Keep => claimed.push(object),
            Claim::Ignore => {}
            Claim::Adopt => {
                if may_adopt.is_none() {
                    // The cache may not show yet that the owner is gone: ask the server once.
                    let fresh = client.get(owner.resource, &owner.object.meta.namespace, &owner.object.meta.name).await;
                    may_adopt = Some(match fresh {
                        Ok(fresh) => fresh.meta.uid == owner.object.meta.uid && !fresh.meta.is_deleting(),
                        Err(status) if status.is_not_found() => false,
                        Err(status) => return Err(status),
                    });
                }
                if may_adopt == Some(true)
                    && let Some(adopted) = own(client, children, &object, adoption(owner, finalizer)).await?
                {
                    claimed.push(adopted);
                }
            }
            Claim::Release => {
                own(client, children, &object, release(owner, finalizer)).await?;
            }
        }
    }
    Ok(claimed)
}

fn adoption(owner: Owner<'_>, finalizer: &str) -> Value {
    let mut metadata = json!({ "ownerReferences": [owner.reference()] });
    if !finalizer.is_empty() {
        metadata["finalizers"] = json!([finalizer]);
    }
    metadata
}

fn release(owner: Owner<'_>, finalizer: &str) -> Value {
    let reference = json!({ "$patch": "delete", "uid": owner.object.meta.uid });
    let mut metadata = json!({ "ownerReferences": [reference] });
    if !finalizer.is_empty() {
        metadata["$deleteFromPrimitiveList/finalizers"] = json!([finalizer]);
    }
    metadata
}

/// Patches an object's owners. An object that is gone, or another of its name, is no error: `None`.
async fn own(
    client: &Client,
    children: &Cache,
    object: &Object,
    mut metadata: Value,
) -> Result<Option<Arc<Object>>, Status> {
    metadata["uid"] = (&*object.meta.uid).into();
    let patch = json!({ "metadata": metadata });
    let (namespace, name) = (&object.meta.namespace, &object.meta.name);
    match client.patch(children.resource(), namespace, name, "", Patch::Strategic(patch)).await {
        Ok(written) => {
            seen(children, &written).await;
            Ok(Some(written))
        }
        Err(status) if status.is_not_found() => Ok(None),
        // Without its old owner the object cannot be released again; with another uid it is another object.
        Err(status) if status.code == 422 => Ok(None),
        Err(status) => Err(status),
    }
}

/// The selector of a workload: `spec.selector`, a `LabelSelector`, or for replication controllers plain labels.
pub(crate) fn selector_of(owner: &Value) -> Result<LabelSelector, api::selector::SelectorError> {
    let selector = owner.pointer("/spec/selector");
    if owner["kind"] == "ReplicationController" {
        let labels = selector.and_then(Value::as_object);
        return Ok(match labels.filter(|labels| !labels.is_empty()) {
            Some(labels) => {
                LabelSelector::from_labels(labels.iter().map(|(k, v)| (&**k, v.as_str().unwrap_or_default())))
            }
            None => LabelSelector::nothing(),
        });
    }
    LabelSelector::from_object(selector)
}

/// The keys of the workloads that could adopt an object nobody manages: those of its namespace whose selector matches.
pub(crate) fn possible_owners(owners: &Cache, object: &Object) -> Vec<String> {
    if object.meta.controller().is_some() || object.meta.labels.is_empty() {
        return Vec::new();
    }
    let matching = |owner: &Arc<Object>| {
        let selector = owner.to_value().ok().and_then(|value| selector_of(&value).ok());
        selector.is_some_and(|s| !s.is_everything() && s.matches(&object.meta.labels))
    };
    owners.list(&object.meta.namespace).iter().filter(|owner| matching(owner)).map(|owner| owner.meta.key()).collect()
}
