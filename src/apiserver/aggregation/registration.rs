//! An APIService for every group and version that this server serves itself. Those of built-in kinds are brought up to date
//! once, at the start; those of custom resources follow their definitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::{DeleteOptions, Object, Operation, Patch, Request, Resource, Status, User, WriteOptions};
use serde_json::{Value, json};

use super::priorities;
use crate::Registry;
use crate::tree::Tree;

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
    loop {
        let seen = (services.revision(), definitions.revision());
        let custom = custom(&definitions.list(""));
        let mut outcome = Ok(());
        if !started {
            outcome = keep(&registry, &row, &services.list(""), &builtin(), AT_START).await;
            started = outcome.is_ok();
        }
        let kept = keep(&registry, &row, &services.list(""), &custom, ALWAYS).await;
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

fn builtin() -> Wanted {
    let versions = api::resource::builtin().iter().map(|row| (&*row.group, &*row.version));
    let known = versions.filter_map(|(group, version)| Some((group, version, priorities::builtin(group, version)?)));
    known.map(|(group, version, priorities)| wanted(group, version, priorities)).collect()
}

fn custom(definitions: &[Arc<Object>]) -> Wanted {
    let mut all = Wanted::new();
    for definition in definitions {
        // What cannot be read is not served.
        let Ok(definition) = definition.to_value() else { continue };
        let served = definition.items("spec.versions").iter().filter(|version| version.truth("served"));
        let group = definition.text("spec.group");
        all.extend(served.map(|version| wanted(group, version.text("name"), priorities::custom())));
    }
    all
}

fn wanted(group: &str, version: &str, (of_group, of_version): (i64, i64)) -> (String, Value) {
    let mut spec = json!({"version": version, "groupPriorityMinimum": of_group, "versionPriority": of_version});
    if !group.is_empty() {
        spec["group"] = group.into();
    }
    (format!("{version}.{group}"), spec)
}

/// Makes, changes and removes what differs, among those kept in one way.
async fn keep(
    registry: &Registry,
    row: &Arc<Resource>,
    present: &[Arc<Object>],
    wanted: &Wanted,
    how: &str,
) -> Result<(), Status> {
    for (name, spec) in wanted {
        let label = json!({ LABEL: how });
        let Some(object) = present.iter().find(|object| *object.meta.name == **name) else {
            let body = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": name, "labels": label}, "spec": spec});
            let created = write(registry, row, name, Operation::Create(body, WriteOptions::default())).await;
            created.or_else(|status| if status.is_already_exists() { Ok(()) } else { Err(status) })?;
            continue;
        };
        let differs = || object.to_value().is_ok_and(|value| value["spec"] != *spec);
        if object.meta.labels.get(LABEL) == Some(how) && differs() {
            let replace = Value::Array(vec![json!({"op": "replace", "path": "/spec", "value": spec})]);
            let patch = Operation::Patch(Patch::Json(replace), WriteOptions::default());
            gone_is_fine(write(registry, row, name, patch).await)?;
        }
    }
    let kept = present.iter().filter(|object| object.meta.labels.get(LABEL) == Some(how));
    for object in kept.filter(|object| !wanted.contains_key(&*object.meta.name)) {
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
