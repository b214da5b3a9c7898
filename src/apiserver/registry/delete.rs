//! Deleting: at once, after a grace period, or when the last finalizer is gone.

use std::sync::Arc;

use api::{DeleteOptions, ListOptions, Object, Propagation, Reply, Request, Resource, Status, time};
use embedded_store::Expect;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::write::Current;
use super::{Registry, error, versions, write};
use crate::admission::{self, Attributes, Options, Verb};
use crate::notes;
use crate::strategy::{self, Garbage, Strategy};
use crate::tree::Tree;

/// Finalizers by which a delete asks the garbage collector for something.
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// How often a delete is tried on newer versions of its object.
const ATTEMPTS: usize = 100;

/// How many objects of a collection are deleted at the same time.
const CONCURRENT: usize = 8;

/// What is left of an object after a delete.
pub(super) enum Deleted {
    /// Nothing; this was its last state.
    Gone(Arc<Object>),
    /// The object, marked.
    Marked(Arc<Object>),
}

impl Deleted {
    fn object(&self) -> &Arc<Object> {
        match self {
            Self::Gone(object) | Self::Marked(object) => object,
        }
    }
}

impl Registry {
    /// Carries out a DELETE of one object.
    pub(super) async fn delete(&self, request: &Request, options: &DeleteOptions) -> Result<Reply, Status> {
        let resource = &request.resource;
        warn_of_orphans(resource, options);
        let deleted = self.delete_one(request, &request.namespace, &request.name, options).await?;
        let returns = strategy::of(&resource.storage()).returns_deleted;
        match deleted {
            Deleted::Gone(object) if !returns => {
                let (name, uid) = (&*object.meta.name, &*object.meta.uid);
                Ok(Reply::Status(Box::new(Status::success(&resource.group, &resource.plural, name, uid))))
            }
            Deleted::Gone(object) | Deleted::Marked(object) => {
                let object = versions::show(resource, object).await?;
                Ok(Reply::Object { object, created: false, warnings: Vec::new() })
            }
        }
    }

    /// Deletes everything a list would show; answers with that list.
    pub(super) async fn delete_collection(
        &self,
        request: &Request,
        options: &DeleteOptions,
        which: &ListOptions,
    ) -> Result<Reply, Status> {
        warn_of_orphans(&request.resource, options);
        let list = self.list(request, which).await?;
        futures::stream::iter(list.items.iter().map(Ok))
            .try_for_each_concurrent(CONCURRENT, |object| async {
                let meta = &object.meta;
                match self.delete_one(request, &meta.namespace, &meta.name, options).await {
                    Err(status) if !status.is_not_found() => Err(status),
                    _ => Ok(()),
                }
            })
            .await?;
        Ok(Reply::List(list))
    }

    /// Deletes every object of a kind without asking anybody; answers how many are left, held by finalizers.
    pub(crate) async fn delete_all(&self, resource: &Arc<Resource>) -> Result<usize, Status> {
        self.catch_up().await?;
        let objects: Vec<Arc<Object>> = self.cache(resource).list("");
        let options = DeleteOptions::default();
        futures::stream::iter(objects.iter().map(Ok::<_, Status>))
            .try_for_each_concurrent(CONCURRENT, |object| async {
                let meta = &object.meta;
                let mut current = self.current(resource, &meta.namespace, &meta.name).await?;
                while let Some(now) = current {
                    match self.try_delete(resource, now, &options).await? {
                        Ok(_) => break,
                        Err(raced) => current = raced,
                    }
                }
                Ok(())
            })
            .await?;
        self.catch_up().await?;
        Ok(self.cache(resource).len())
    }

    /// Deletes one object, or begins to.
    pub(super) async fn delete_one(
        &self,
        request: &Request,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.delete_as(&request.resource, namespace, name, options, Some(request)).await
    }

    /// As [`Self::delete_one`], of an object whose deletion needs no admission.
    pub(super) async fn delete_admitted(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
    ) -> Result<Deleted, Status> {
        self.delete_as(resource, namespace, name, options, None).await
    }

    async fn delete_as(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        options: &DeleteOptions,
        mut unadmitted: Option<&Request>,
    ) -> Result<Deleted, Status> {
        let storage = resource.storage();
        let mut current = self.current(&storage, namespace, name).await?;
        for _ in 0..ATTEMPTS {
            let Some(now) = current else { return Err(error::not_found(resource, name)) };
            check_preconditions(&storage, &now.object, options)?;
            if let Some(request) = unadmitted.take() {
                self.admit_delete(request, &now, options).await?;
            }
            match self.try_delete(&storage, now, options).await? {
                Ok(deleted) => {
                    tracing::debug!(kind = &*storage.kind, key = deleted.object().meta.key(), "deleted");
                    return Ok(deleted);
                }
                Err(raced) => current = raced,
            }
        }
        Err(Status::stale(&storage.group, &storage.plural, name))
    }

    async fn admit_delete(&self, request: &Request, current: &Current, options: &DeleteOptions) -> Result<(), Status> {
        let mut attributes = Attributes::new(request, Verb::Delete, Options::Delete(options.clone()));
        attributes.namespace = current.object.meta.namespace.to_string();
        attributes.old = current.value.clone();
        attributes.owners.old = current.managed.clone();
        admission::mutate(self, &mut attributes).await?;
        admission::validate(self, &mut attributes).await
    }

    async fn try_delete(
        &self,
        storage: &Arc<Resource>,
        current: Current,
        options: &DeleteOptions,
    ) -> Result<Result<Deleted, Option<Current>>, Status> {
        let strategy = strategy::of(storage);
        let mut new = current.value.clone();
        if !begin(&mut new, strategy, options) {
            // Nothing to add to a delete that is under way.
            return Ok(Ok(Deleted::Marked(current.object)));
        }
        if held(&new) {
            new.cut("metadata.resourceVersion");
            let object = write::encode(&new, &current.owners(), storage)?;
            if options.dry_run {
                return Ok(Ok(Deleted::Marked(Arc::new(object.at_revision(current.revision())))));
            }
            let written = self.put(storage, &new, &current.owners(), Expect::Revision(current.revision())).await?;
            return Ok(written.map(Deleted::Marked));
        }
        let gone = match options.dry_run {
            true => current.object.clone(),
            false => match self.remove(storage, &current).await? {
                Ok(gone) => gone,
                Err(raced) => return Ok(Err(raced)),
            },
        };
        if strategy.grace.is_none() {
            return Ok(Ok(Deleted::Gone(gone)));
        }
        // What may have a grace period shows that it had none.
        new.cut("metadata.resourceVersion");
        let object = write::encode(&new, &current.owners(), storage)?;
        Ok(Ok(Deleted::Gone(Arc::new(object.at_revision(gone.meta.resource_version)))))
    }
}

/// Marks an object as on its way out as the options ask. False when it is so already and nothing changes.
fn begin(object: &mut Value, strategy: &Strategy, options: &DeleteOptions) -> bool {
    let before = object.clone();
    let pending = object.at("metadata.deletionTimestamp").and_then(Value::as_str).map(ToOwned::to_owned);
    if let Some(since) = pending {
        let waits = strategy.grace.is_some() && object.int("metadata.deletionGracePeriodSeconds").unwrap_or(0) > 0;
        if !waits && !is_namespace(object) {
            // What becomes of dependents may still be said, so that who waits for them need not any more.
            collect_garbage(object, strategy, options);
        }
        let changed = object.at("metadata.finalizers") != before.at("metadata.finalizers");
        return shorten(object, &since, strategy, options) || changed;
    }
    collect_garbage(object, strategy, options);
    (strategy.prepare_delete)(object);
    let grace = strategy.grace.map_or(0, |grace| grace(object, options.grace_period_seconds));
    object.put("metadata.deletionTimestamp", time::format(after(Timestamp::now(), grace)));
    if is_namespace(object) {
        // A namespace goes when it is empty, and upstream says nothing of a time.
        object.put("status.phase", "Terminating");
    } else if is_definition(object) {
        // So does a definition, whose generation counts what it says and not that it goes.
        return true;
    } else {
        object.put("metadata.deletionGracePeriodSeconds", grace);
    }
    if let Some(generation) = before.int("metadata.generation").filter(|generation| *generation > 0) {
        object.put("metadata.generation", generation + 1);
    }
    true
}

/// A later delete may only ask for less time.
fn shorten(object: &mut Value, since: &str, strategy: &Strategy, options: &DeleteOptions) -> bool {
    let left = object.int("metadata.deletionGracePeriodSeconds").unwrap_or(0);
    let asked = match (strategy.grace, options.grace_period_seconds) {
        (Some(grace), Some(_)) => grace(object, options.grace_period_seconds),
        _ => left,
    };
    if asked >= left {
        // A delete that nothing holds any more is finished; one that is held stays as it is.
        return !held(object);
    }
    let now = Timestamp::now();
    let mut end = after(time::parse(since).unwrap_or(now), asked - left);
    let mut asked = asked;
    if end < now {
        // Never into the past; and who asked for a grace period leaves the end to whoever watches for it.
        end = now;
        asked = asked.min(1);
    }
    object.put("metadata.deletionTimestamp", time::format(end));
    object.put("metadata.deletionGracePeriodSeconds", asked);
    true
}

fn after(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

/// Whether an object marked for deletion has to wait: for its grace period, or for a finalizer.
fn held(object: &Value) -> bool {
    object.int("metadata.deletionGracePeriodSeconds").unwrap_or(0) > 0
        || !object.items("metadata.finalizers").is_empty()
        || is_namespace(object) && !object.items("spec.finalizers").is_empty()
}

fn is_namespace(object: &Value) -> bool {
    object.text("kind") == "Namespace" && object.text("apiVersion") == "v1"
}

fn is_definition(object: &Value) -> bool {
    object.text("kind") == "CustomResourceDefinition" && object.text("apiVersion").starts_with("apiextensions.k8s.io/")
}

/// Tells who deletes without a word about dependents that they stay.
fn warn_of_orphans(resource: &Arc<Resource>, options: &DeleteOptions) {
    if let (Garbage::Orphan(Some(warning)), None) = (strategy::of(&resource.storage()).garbage, options.propagation) {
        notes::warn(warning);
    }
}

/// Sets the finalizers by which the garbage collector learns what to do with dependents.
fn collect_garbage(object: &mut Value, strategy: &Strategy, options: &DeleteOptions) {
    if strategy.garbage == Garbage::Unsupported {
        return;
    }
    let before = object.items("metadata.finalizers").to_vec();
    let has = |finalizer: &str| before.iter().any(|f| f == finalizer);
    let wanted = match options.propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        // What the object says itself stands before the default of its kind.
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        None if matches!(strategy.garbage, Garbage::Orphan(_)) => Some(ORPHAN),
        None => None,
    };
    let mut finalizers: Vec<Value> = before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    finalizers.extend(wanted.map(Value::from));
    object.put_or_remove("metadata.finalizers", (!finalizers.is_empty()).then_some(Value::Array(finalizers)));
}

fn check_preconditions(storage: &Resource, object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    // Here alone upstream names the kind and not the resource.
    let conflict = |why: String| Err(Status::conflict(&storage.group, &storage.kind, &object.meta.name, why));
    match (&options.uid, &options.resource_version) {
        (Some(uid), _) if **uid != *object.meta.uid => conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted \
             and then recreated",
            object.meta.uid
        )),
        (_, Some(version)) if *version != object.meta.resource_version.to_string() => conflict(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The \
             object might have been modified",
            object.meta.resource_version
        )),
        _ => Ok(()),
    }
}
