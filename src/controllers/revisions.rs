//! Controller revisions: the history of a daemon set's or stateful set's template.
//!
//! A revision holds a strategic merge patch that puts its template in place of whatever the workload has: `kubectl rollout
//! undo` applies it as it stands. Its name's hash is the label of the pods made from it.

use std::sync::Arc;

use api::selector::LabelSelector;
use api::{DeleteOptions, Object, Patch};
use client::Client;
use client::controller::Error;
use client::kinds;
use serde::Deserialize;
use serde_json::{Value, json};
use watch_cache::Cache;

use crate::deployment;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::{Owner, claim};

/// The label that says of which revision a pod is.
pub(crate) const HASH_LABEL: &str = "controller-revision-hash";

/// One revision, in what matters here.
#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) object: Arc<Object>,
    pub(crate) number: i64,
    data: Value,
}

#[derive(Deserialize)]
struct RevisionView {
    #[serde(default)]
    revision: i64,
    #[serde(default)]
    data: Value,
}

impl Revision {
    fn read(object: &Arc<Object>) -> Result<Self, Error> {
        let view: RevisionView = object.view()?;
        Ok(Self { object: object.clone(), number: view.revision, data: view.data })
    }

    /// The template it holds.
    pub(crate) fn template(&self) -> Value {
        let mut template = self.data["spec"]["template"].clone();
        if let Some(fields) = template.as_object_mut() {
            fields.remove("$patch");
        }
        template
    }

    /// The value of [`HASH_LABEL`] of its pods.
    pub(crate) fn hash(&self) -> &str {
        self.object.meta.labels.get(HASH_LABEL).unwrap_or(&self.object.meta.name)
    }
}

/// The revisions of one workload.
pub(crate) struct History {
    /// That of the present template.
    pub(crate) current: Revision,
    /// All others, oldest first.
    pub(crate) old: Vec<Revision>,
    /// Further revisions of the present template: their pods belong to `current`.
    pub(crate) duplicates: Vec<Revision>,
}

/// What [`History::establish`] came to.
pub(crate) enum Established {
    /// The history, with a revision of the present template.
    History(Box<History>),
    /// Another template has the same hash: count one more collision in the workload's status, and come again.
    Collision,
}

impl History {
    /// Finds or makes the revision of the workload's present template, and gives it the highest number. `value` is the
    /// owner as a tree; `collisions` is its `status.collisionCount`.
    pub(crate) async fn establish(
        client: &Client,
        revisions: &Arc<Cache>,
        owner: Owner<'_>,
        value: &Value,
        selector: &LabelSelector,
        collisions: i64,
    ) -> Result<Established, Error> {
        let candidates = owner.candidates(revisions);
        let claimed = claim(client, owner, revisions, selector, candidates).await?;
        let all = claimed.iter().map(Revision::read).collect::<Result<Vec<_>, _>>()?;
        let data = patch_of(value);
        let (mut same, mut old): (Vec<_>, Vec<_>) = all.into_iter().partition(|revision| revision.data == data);
        old.sort_by(|a, b| (a.number, &a.object.meta.name).cmp(&(b.number, &b.object.meta.name)));
        let number = old.last().map_or(0, |last| last.number) + 1;
        same.sort_by(|a, b| (a.number, &b.object.meta.name).cmp(&(b.number, &a.object.meta.name)));
        let Some(mut current) = same.pop() else {
            let made = create(client, revisions, owner, value, data, number, collisions).await?;
            let Some(current) = made else { return Ok(Established::Collision) };
            return Ok(Established::History(Box::new(Self { current, old, duplicates: same })));
        };
        if current.number < number {
            let meta = &current.object.meta;
            let patch = Patch::Merge(json!({ "metadata": { "uid": meta.uid }, "revision": number }));
            let written = client.patch(revisions.resource(), &meta.namespace, &meta.name, "", patch).await?;
            seen(revisions, &written).await;
            current = Revision::read(&written)?;
        }
        Ok(Established::History(Box::new(Self { current, old, duplicates: same })))
    }

    /// Deletes the oldest revisions beyond `limit`, except those `live` knows pods of.
    pub(crate) async fn clean_up(
        &self,
        client: &Client,
        revisions: &Cache,
        limit: usize,
        live: impl Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let surplus = self.old.len().saturating_sub(limit);
        for revision in self.old.iter().filter(|revision| !live(revision.hash())).take(surplus) {
            delete(client, revisions, revision).await?;
        }
        Ok(())
    }
}

/// Deletes a revision. One that is gone is no failure.
pub(crate) async fn delete(client: &Client, revisions: &Cache, revision: &Revision) -> Result<(), Error> {
    let meta = &revision.object.meta;
    let options = DeleteOptions { uid: Some(meta.uid.to_string()), ..DeleteOptions::default() };
    match client.delete(revisions.resource(), &meta.namespace, &meta.name, options).await {
        Ok(()) => seen_deleted(revisions, &revision.object).await,
        Err(status) if status.is_not_found() => {}
        Err(status) => return Err(status.into()),
    }
    Ok(())
}

/// The patch that puts a workload's present template in place of another, its keys in order: clients compare the bytes with
/// those they make of the workload themselves.
fn patch_of(value: &Value) -> Value {
    let mut template = value["spec"]["template"].clone();
    template["$patch"] = "replace".into();
    let mut patch = json!({ "spec": { "template": template } });
    patch.sort_all_objects();
    patch
}

/// `None` when the name is taken by a revision of another template.
async fn create(
    client: &Client,
    revisions: &Arc<Cache>,
    owner: Owner<'_>,
    value: &Value,
    data: Value,
    number: i64,
    collisions: i64,
) -> Result<Option<Revision>, Error> {
    let hash = deployment::hash(&value["spec"]["template"], collisions);
    let namespace = &owner.object.meta.namespace;
    let name = format!("{}-{hash}", owner.object.meta.name);
    let mut labels = value.pointer("/spec/template/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    labels[HASH_LABEL] = hash.into();
    let mut metadata = json!({
        "name": name, "namespace": namespace, "labels": labels, "ownerReferences": [owner.reference()],
    });
    if let Some(annotations) = value.pointer("/metadata/annotations") {
        metadata["annotations"] = annotations.clone();
    }
    let revision = json!({ "metadata": metadata, "data": data, "revision": number });
    match client.create(&kinds::controller_revisions(), namespace, revision).await {
        Ok(made) => {
            seen(revisions, &made).await;
            Revision::read(&made).map(Some)
        }
        Err(status) if status.is_already_exists() => {
            let there = client.get(&kinds::controller_revisions(), namespace, &name).await?;
            let revision = Revision::read(&there)?;
            let ours = there.meta.controller().is_some_and(|controller| controller.uid == owner.object.meta.uid);
            Ok((ours && revision.data == data).then_some(revision))
        }
        Err(status) => Err(status.into()),
    }
}
