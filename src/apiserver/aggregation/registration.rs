//! An APIService for every group and version that this server serves itself. Those of built-in kinds are brought up to date
//! once, at the start; those of custom resources follow their definitions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, Object, Operation, Patch, Request, Resource, Status, User, WriteOptions};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Revisions, priorities};
use crate::{Catalog, Registry};

/// Says how an APIService is kept; without it, it is left alone.
const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
const AT_START: &str = "onstart";
const ALWAYS: &str = "true";

/// Keeps the APIServices, until it is dropped.
pub(crate) async fn run(registry: Arc<Registry>) {
    let Some(row) = registry.catalog().get("apiregistration.k8s.io", "v1", "apiservices") else { return };
    let (services, definitions) =
        (registry.cache(&row), registry.cached("apiextensions.k8s.io", "v1", "customresourcedefinitions"));
    let mut pause = Duration::from_millis(100);
    let mut started = false;
    let (mut asked, mut right) = (Asked::default(), Revisions::new());
    loop {
        let seen = (services.revision(), definitions.revision());
        let custom = asked.of(&definitions.list(""));
        let mut outcome = Ok(());
        if !started {
            let builtin = builtin(registry.catalog());
            outcome = keep(&registry, &row, &services.list(""), &builtin, AT_START, &mut right).await;
            started = outcome.is_ok();
        }
        let kept = keep(&registry, &row, &services.list(""), &custom, ALWAYS, &mut right).await;
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
type Wanted = BTreeMap<String, Value>;

fn builtin(catalog: &Catalog) -> Wanted {
    let versions = catalog.builtin().iter().map(|row| (&*row.group, &*row.version));
    let known = versions.filter_map(|(group, version)| Some((group, version, priorities::builtin(group, version)?)));
    known.map(|(group, version, priorities)| wanted(group, version, priorities)).collect()
}

/// What definitions ask for, by their names. Definitions are large and change one by one: each is read once for every state
/// of it, its revision.
#[derive(Default)]
struct Asked(HashMap<Box<str>, (u64, Wanted)>);

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
    fn of(&mut self, definitions: &[Arc<Object>]) -> Wanted {
        let mut before = std::mem::take(&mut self.0);
        for definition in definitions {
            let meta = &definition.meta;
            let known = before.remove(&meta.name).filter(|(revision, _)| *revision == meta.resource_version);
            let known = known.unwrap_or_else(|| (meta.resource_version, custom(definition)));
            self.0.insert(meta.name.clone(), known);
        }
        self.0.values().flat_map(|(_, wanted)| wanted.clone()).collect()
    }
}

fn custom(definition: &Object) -> Wanted {
    // What cannot be read is not served.
    let Ok(View { spec }) = definition.view() else { return Wanted::new() };
    let served = spec.versions.iter().filter(|version| version.served);
    served.map(|version| wanted(&spec.group, &version.name, priorities::custom())).collect()
}

fn wanted(group: &str, version: &str, (of_group, of_version): (i64, i64)) -> (String, Value) {
    let mut spec = json!({"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    (format!("{version}.{group}"), spec)
}

/// Makes, changes and removes what differs, among those kept in one way. `right` are those that were found to be as they
/// should; what one should be follows from its name.
async fn keep(
    registry: &Registry,
    row: &Arc<Resource>,
    present: &[Arc<Object>],
    wanted: &Wanted,
    how: &str,
    right: &mut Revisions,
) -> Result<(), Status> {
    let by_name: HashMap<&str, &Arc<Object>> = present.iter().map(|object| (&*object.meta.name, object)).collect();
    for (name, spec) in wanted {
        let label = json!({ LABEL: how });
        let Some(object) = by_name.get(&**name) else {
            let body = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": name, "labels": label}, "spec": spec});
            let created = write(registry, row, name, Operation::Create(body, WriteOptions::default())).await;
            created.or_else(|status| if status.is_already_exists() { Ok(()) } else { Err(status) })?;
            continue;
        };
        let revision = object.meta.resource_version;
        if object.meta.labels.get(LABEL) != Some(how) || right.get(&object.meta.name) == Some(&revision) {
            continue;
        }
        if object.to_value().is_ok_and(|value| value["spec"] == *spec) {
            right.insert(object.meta.name.clone(), revision);
        } else {
            let replace = Value::Array(vec![json!({"op": "replace", "path": "/spec", "value": spec})]);
            let patch = Operation::Patch(Patch::Json(replace), WriteOptions::default());
            gone_is_fine(write(registry, row, name, patch).await)?;
        }
    }
    let kept = present.iter().filter(|object| object.meta.labels.get(LABEL) == Some(how));
    for object in kept.filter(|object| !wanted.contains_key(&*object.meta.name)) {
        right.remove(&object.meta.name);
        let options = DeleteOptions { uid: Some(object.meta.uid.to_string()), ..DeleteOptions::default() };
        gone_is_fine(write(registry, row, &object.meta.name, Operation::Delete(options)).await)?;
    }
    Ok(())
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
