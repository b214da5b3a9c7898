//! An APIService for every group and version that this server serves itself. Those of built-in kinds are brought up to date
//! once, at the start; those of custom resources follow their definitions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::{DeleteOptions, Object, Operation, Patch, Request, Resource, Status, User, WriteOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Aggregator, Settled, priorities};
use crate::{Catalog, Registry};

/// Says how an APIService is kept; without it, it is left alone.
const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
const AT_START: &str = "onstart";
const ALWAYS: &str = "true";

/// Keeps the APIServices, until it is dropped.
pub(crate) async fn run(aggregator: Arc<Aggregator>, registry: Arc<Registry>) {
    let Some(row) = api::resource::find("apiregistration.k8s.io", "v1", "apiservices").cloned() else { return };
    let (services, definitions) =
        (registry.cache(&row), registry.cached("apiextensions.k8s.io", "v1", "customresourcedefinitions"));
    let mut pause = Duration::from_millis(100);
    let mut started = false;
    let (mut asked, mut right) = (Asked::default(), Settled::default());
    loop {
        let seen = (services.revision(), definitions.revision());
        asked.renew(definitions.list(""));
        let mut outcome = Ok(());
        if !started {
            let builtin = builtin(registry.catalog());
            outcome = keep(&registry, &row, &services.list(""), &builtin, AT_START, &mut Settled::default()).await;
            // They are listed from now on as they are, so they have to be there.
            outcome = match outcome {
                Ok(()) => registry.catch_up().await,
                failed => failed,
            };
            started = outcome.is_ok();
            aggregator.registered.store(started, Ordering::Release);
        }
        let kept = keep(&registry, &row, &services.list(""), &asked.wanted, ALWAYS, &mut right).await;
        if let Err(status) = outcome.and(kept) {
            tracing::warn!(%status, "API services cannot be registered, will try again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
            continue;
        }
        pause = Duration::from_millis(100);
        tokio::select! {
            () = services.until(|cache| cache.revision() != seen.0) => {}
            () = definitions.until(|cache| cache.revision() != seen.1) => {}
        }
    }
}

/// The specs that there should be, by name.
type Wanted = BTreeMap<String, Wish>;

/// A spec, and how many ask for it: definitions of one group share their versions.
struct Wish {
    spec: Value,
    by: usize,
}

fn builtin(catalog: &Catalog) -> Wanted {
    let versions = catalog.builtin().iter().map(|row| (&*row.group, &*row.version));
    let known = versions.filter_map(|(group, version)| Some((group, version, priorities::builtin(group, version)?)));
    known.map(|(group, version, priorities)| wanted(group, version, priorities)).collect()
}

/// What definitions ask for. They are large and change one by one: each is read once for every state of it.
#[derive(Default)]
struct Asked {
    wanted: Wanted,
    /// What each definition asks for.
    by: HashMap<Box<str>, Vec<String>>,
    read: Settled,
}

#[derive(Deserialize)]
struct View {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    group: String,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    name: String,
    #[serde(default)]
    served: bool,
}

impl Asked {
    fn renew(&mut self, definitions: Vec<Arc<Object>>) {
        let before = std::mem::take(&mut self.read);
        let mut settled = before.again();
        for definition in definitions.iter().filter(|definition| !settled.has(definition)) {
            self.forget(&definition.meta.name);
            let mut names = Vec::new();
            for (name, wish) in custom(definition) {
                self.wanted.entry(name.clone()).or_insert(Wish { by: 0, ..wish }).by += 1;
                names.push(name);
            }
            self.by.insert(definition.meta.name.clone(), names);
        }
        if self.by.len() > definitions.len() {
            let present: HashSet<&str> = definitions.iter().map(|definition| &*definition.meta.name).collect();
            let gone: Vec<_> = self.by.keys().filter(|name| !present.contains(&***name)).cloned().collect();
            gone.iter().for_each(|name| self.forget(name));
        }
        self.read = Settled(definitions.into_iter().map(|definition| (definition, ())).collect());
    }

    fn forget(&mut self, definition: &str) {
        for name in self.by.remove(definition).into_iter().flatten() {
            let left = self.wanted.get_mut(&name).map(|wish| {
                wish.by -= 1;
                wish.by
            });
            if left == Some(0) {
                self.wanted.remove(&name);
            }
        }
    }
}

fn custom(definition: &Object) -> Wanted {
    // What cannot be read is not served.
    let Ok(View { spec }) = definition.view() else { return Wanted::new() };
    let served = spec.versions.iter().filter(|version| version.served);
    served.map(|version| wanted(&spec.group, &version.name, priorities::custom())).collect()
}

fn wanted(group: &str, version: &str, (of_group, of_version): (i64, i64)) -> (String, Wish) {
    let mut spec = json!({"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    (format!("{version}.{group}"), Wish { spec, by: 1 })
}

/// Makes, changes and removes what differs, among those kept in one way. `right` are those that were found to be as they
/// should; what one should be follows from its name.
async fn keep(
    registry: &Registry,
    row: &Arc<Resource>,
    present: &[Arc<Object>],
    wanted: &Wanted,
    how: &str,
    right: &mut Settled,
) -> Result<(), Status> {
    let before = std::mem::take(right);
    let mut settled = before.again();
    // Both are sorted by name.
    let mut wanted = wanted.iter().peekable();
    for object in present {
        let own = &*object.meta.name;
        while let Some((name, wish)) = wanted.next_if(|(name, _)| name.as_str() < own) {
            make(registry, row, name, &wish.spec, how).await?;
        }
        let wish = wanted.next_if(|(name, _)| name.as_str() == own).map(|(_, wish)| wish);
        if settled.has(object) && wish.is_some() {
            right.push(object.clone(), ());
            continue;
        }
        if object.meta.labels.get(LABEL) != Some(how) {
            continue;
        }
        let Some(Wish { spec, .. }) = wish else {
            let options = DeleteOptions { uid: Some(object.meta.uid.to_string()), ..DeleteOptions::default() };
            gone_is_fine(write(registry, row, own, Operation::Delete(options)).await)?;
            continue;
        };
        if object.to_value().is_ok_and(|value| value["spec"] == *spec) {
            right.push(object.clone(), ());
        } else {
            let replace = Value::Array(vec![json!({"op": "replace", "path": "/spec", "value": spec})]);
            let patch = Operation::Patch(Patch::Json(replace), options());
            gone_is_fine(write(registry, row, own, patch).await)?;
        }
    }
    for (name, wish) in wanted {
        make(registry, row, name, &wish.spec, how).await?;
    }
    Ok(())
}

async fn make(registry: &Registry, row: &Arc<Resource>, name: &str, spec: &Value, how: &str) -> Result<(), Status> {
    let body = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": { LABEL: how }}, "spec": spec});
    let created = write(registry, row, name, Operation::Create(body, options())).await;
    created.or_else(|status| if status.is_already_exists() { Ok(()) } else { Err(status) })
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".into(), ..WriteOptions::default() }
}

/// What went or changed in between is looked at again.
fn gone_is_fine(outcome: Result<(), Status>) -> Result<(), Status> {
    outcome.or_else(|status| if status.is_not_found() || status.is_conflict() { Ok(()) } else { Err(status) })
}

async fn write(registry: &Registry, row: &Arc<Resource>, name: &str, operation: Operation) -> Result<(), Status> {
    let request = Request {
        user: Arc::new(User::new("system:apiserver", [api::user::MASTERS])),
        resource: row.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: String::new(),
        operation,
    };
    registry.call(&request).await.map(drop)
}
