//! CustomResourceDefinitions at work: the kinds they make are served, documented and taken away.
//!
//! One loop follows the definitions. What is new is served before its status says so, so whoever waits for `Established`
//! finds the kind. Schemas are not compiled here, but when the first object of their kind turns up.

mod conditions;
mod conversion;
mod finalize;
mod names;
pub(crate) mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::custom::{Conversion, Definition, Version};
use api::resource::{ALL_VERBS, PrinterColumn};
use api::{Object, ObjectError, Resource, Scope};
use serde::Deserialize;

use crate::Registry;
use crate::catalog::CustomKind;
use crate::openapi::OpenApi;
use names::{Names, Taken};

pub(crate) use conditions::{Condition, set as set_condition};

/// Definitions come in dozens: what comes within this time is served together.
const TOGETHER: Duration = Duration::from_millis(5);
/// How long after a failure everything is looked at again.
const RETRY: Duration = Duration::from_secs(1);

/// A definition as this loop knows it.
struct Known {
    /// The revision that was read.
    revision: u64,
    uid: Box<str>,
    /// What its rows depend on beside its names.
    generation: i64,
    view: View,
    definition: Arc<Definition>,
    /// Whether its conversion webhook is vouched for by nobody: then it is not begun to be served.
    unvouched: bool,
    /// The rows, storage version first, and the names they were made with.
    rows: Option<(Names, Vec<Arc<Resource>>)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    group: Box<str>,
    scope: Box<str>,
    names: Names,
    #[serde(default)]
    conversion: Option<conversion::View>,
    #[serde(default)]
    versions: Vec<Columns>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Columns {
    name: Box<str>,
    #[serde(default)]
    additional_printer_columns: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Column {
    name: Box<str>,
    #[serde(rename = "type")]
    ty: Box<str>,
    format: Box<str>,
    description: Box<str>,
    priority: i32,
    json_path: Box<str>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    accepted_names: Names,
    #[serde(deserialize_with = "api::meta::or_default")]
    conditions: Vec<Condition>,
}

/// Follows the definitions for ever. Raises `synced` when those that were there at the start are served.
pub(crate) async fn run(registry: Arc<Registry>, openapi: OpenApi, synced: Arc<AtomicBool>) {
    if definitions_row(&registry).is_none() {
        // They are not served, and so is nothing that they define.
        return synced.store(true, Ordering::Release);
    }
    let definitions = registry.cached("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let mut controller = Controller::new(registry, openapi);
    loop {
        let (snapshot, mut changes) = definitions.subscribe();
        let objects: Vec<Arc<Object>> = snapshot.range("", None).cloned().collect();
        let done = controller.sync(objects).await;
        synced.store(true, Ordering::Release);
        match done {
            // Behind in history or not: all definitions are looked at.
            true => drop(changes.next().await),
            false => drop(tokio::time::timeout(RETRY, changes.next()).await),
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

struct Controller {
    registry: Arc<Registry>,
    openapi: OpenApi,
    known: HashMap<Box<str>, Known>,
    taken: Taken,
    /// The definitions of which the status has still to be written.
    unwritten: BTreeSet<Box<str>>,
    /// The kinds, by the names of their definitions, that have still to be served as they are now, or no longer.
    unserved: BTreeSet<Box<str>>,
    finalizing: finalize::Running,
}

impl Controller {
    fn new(registry: Arc<Registry>, openapi: OpenApi) -> Self {
        Self {
            registry,
            openapi,
            known: HashMap::new(),
            taken: Taken::default(),
            unwritten: BTreeSet::new(),
            unserved: BTreeSet::new(),
            finalizing: finalize::Running::default(),
        }
    }

    /// Brings everything in line with the definitions; false where it has to be tried again. What has not changed is looked
    /// at, and costs nothing more: there may be thousands.
    async fn sync(&mut self, objects: Vec<Arc<Object>>) -> bool {
        let mut changed = std::mem::take(&mut self.unwritten);
        let present: HashSet<&str> = objects.iter().map(|object| &*object.meta.name).collect();
        let mut freed = HashSet::new();
        for (name, known) in self.known.extract_if(|name, _| !present.contains(&**name)) {
            self.taken.release(&known.view.spec.group, &name);
            freed.insert(known.view.spec.group);
            self.unserved.insert(name);
        }
        for object in &objects {
            match self.read(object) {
                Ok(false) => {}
                Ok(true) => drop(changed.insert(object.meta.name.clone())),
                Err(error) => {
                    tracing::error!(definition = &*object.meta.name, %error, "a definition cannot be read");
                }
            }
        }
        freed.extend(changed.iter().filter_map(|name| Some(self.known.get(name)?.view.spec.group.clone())));
        let waits = |name: &&str| self.known.get(*name).is_some_and(|known| freed.contains(&known.view.spec.group));
        changed.extend(self.taken.waiting().filter(waits).map(Box::from));

        let views = changed.iter().filter_map(|name| Some((&**name, &self.known.get(name)?.view))).collect();
        let decisions = self.taken.decide(&views);
        for (name, decision) in &decisions {
            let Some(known) = self.known.get_mut(*name) else { continue };
            let ready = decision.accepted() && !known.unvouched;
            let serves = ready || conditions::is_true(&known.view.status.conditions, "Established");
            let served = serves.then_some(&decision.names);
            if known.rows.as_ref().map(|(names, _)| names) != served {
                known.rows = served.map(|names| (names.clone(), rows(known, names)));
                self.unserved.insert((*name).into());
            }
        }
        let mut done = self.unserved.is_empty() || self.serve().await;
        for (name, decision) in &decisions {
            let Some(known) = self.known.get(*name) else { continue };
            if !conditions::write(&self.registry, name, known, decision).await {
                self.unwritten.insert((*name).into());
                done = false;
            }
        }
        for object in objects.iter().filter(|object| finalize::is_due(object)) {
            let known = self.known.get(&*object.meta.name);
            let row = known.and_then(|known| known.rows.as_ref()).and_then(|(_, rows)| rows.first());
            self.finalizing.start(&self.registry, object, row.cloned());
        }
        done
    }

    /// Takes over a definition; whether it is another than before.
    fn read(&mut self, object: &Arc<Object>) -> Result<bool, ObjectError> {
        let meta = &object.meta;
        let known = self.known.get_mut(&*meta.name).filter(|known| known.uid == meta.uid);
        if known.as_ref().is_some_and(|known| known.revision == meta.resource_version) {
            return Ok(false);
        }
        let mut view: View = object.view()?;
        if let Some(known) = known.filter(|known| known.generation == meta.generation) {
            // Neither its status nor the mark of its deletion make another of it.
            if meta.is_deleting() {
                known.definition.terminate();
            }
            (known.revision, known.view) = (meta.resource_version, view);
            return Ok(true);
        }
        let unvouched = view.spec.conversion.as_ref().is_some_and(conversion::View::is_unvouched);
        let conversion = match view.spec.conversion.take() {
            Some(conversion) => conversion.build(&self.registry, &meta.name),
            None => Conversion::None,
        };
        let definition = Arc::new(Definition::read(object.clone(), conversion, rules::of_schema)?);
        let (revision, uid) = (meta.resource_version, meta.uid.clone());
        let known = Known { revision, uid, generation: meta.generation, view, definition, unvouched, rows: None };
        // The rows that are served are the old definition's.
        self.known.insert(meta.name.clone(), known);
        self.unserved.insert(meta.name.clone());
        Ok(true)
    }

    /// Serves what is not served yet as it is to be.
    async fn serve(&mut self) -> bool {
        let kind = |name: &str| {
            let rows = self.known.get(name).and_then(|known| known.rows.as_ref()).map(|(_, rows)| rows.as_slice());
            let rows = rows.unwrap_or_default().iter().filter(|row| is_served(row)).cloned().collect();
            CustomKind { name: name.into(), rows }
        };
        let kinds: Vec<CustomKind> = self.unserved.iter().map(|name| kind(name)).collect();
        if let Err(status) = self.registry.serve(&kinds).await {
            tracing::error!(%status, "custom resources cannot be served, will try again");
            return false;
        }
        tracing::debug!(kinds = kinds.len(), "custom resources are served");
        self.openapi.publish(&kinds);
        self.unserved.clear();
        true
    }
}

fn is_served(row: &Resource) -> bool {
    row.custom.as_ref().is_some_and(|custom| custom.version().served)
}

/// The rows of all versions, that of the storage version first: whoever takes the first one needs no conversion.
fn rows(known: &Known, names: &Names) -> Vec<Arc<Resource>> {
    let definition = &known.definition;
    let mut versions: Vec<&Version> = definition.versions().iter().collect();
    versions.sort_by_key(|version| version.name != definition.storage);
    let row = |version: &Version| {
        let columns = known.view.spec.versions.iter().find(|columns| columns.name == version.name);
        Some(Arc::new(Resource {
            group: known.view.spec.group.clone(),
            version: version.name.clone(),
            plural: names.plural.clone(),
            singular: names.singular.clone(),
            kind: names.kind.clone(),
            list_kind: names.list_kind.clone(),
            scope: if &*known.view.spec.scope == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
            short_names: names.short_names.clone(),
            categories: names.categories.clone(),
            subresources: [("status", version.status), ("scale", version.scale.is_some())]
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| name.into())
                .collect(),
            fields: Vec::new(),
            columns: columns.into_iter().flat_map(|version| &version.additional_printer_columns).map(column).collect(),
            verbs: ALL_VERBS,
            stored_as: None,
            stored: true,
            builtin: false,
            custom: Some(Arc::new(definition.custom(&version.name)?)),
        }))
    };
    versions.into_iter().filter_map(row).collect()
}

fn column(column: &Column) -> PrinterColumn {
    let description = match &*column.description {
        "" => format!("Custom resource definition column (in JSONPath format): {}", column.json_path).into(),
        _ => column.description.clone(),
    };
    PrinterColumn {
        name: column.name.clone(),
        ty: column.ty.clone(),
        format: column.format.clone(),
        description,
        priority: column.priority,
        json_path: column.json_path.clone(),
    }
}

/// The row of definitions themselves.
fn definitions_row(registry: &Registry) -> Option<Arc<Resource>> {
    registry.catalog().get("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}
