//! Which writes a webhook or a policy is about: rules, equivalent rows, selectors.

use std::collections::HashMap;
use std::sync::Arc;

use api::selector::{LabelSelector, SelectorError};
use api::{Resource, Status};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Attributes, Verb};
use crate::Registry;
use crate::catalog::{Catalog, Custom};
use crate::tree::Tree;

/// The group of all that configures admission.
pub(crate) const GROUP: &str = "admissionregistration.k8s.io";

/// What is to be seen.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    operations: Vec<String>,
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    scope: Option<String>,
    /// Names of objects; any when there are none. Policies only.
    resource_names: Vec<String>,
}

impl Rule {
    fn matches(&self, attributes: &Attributes, row: &Resource) -> bool {
        let has = |items: &[String], wanted: &str| items.iter().any(|item| item == "*" || item == wanted);
        self.in_scope(attributes, row)
            && has(&self.operations, attributes.verb.name())
            && has(&self.api_groups, &row.group)
            && has(&self.api_versions, &row.version)
            && self.resources.iter().any(|named| {
                let (plural, subresource) = named.split_once('/').unwrap_or((named, ""));
                (plural == "*" || *plural == *row.plural)
                    && (subresource == "*" || subresource == attributes.subresource)
            })
            && (self.resource_names.is_empty() || self.resource_names.contains(&attributes.name))
    }

    /// The rows that the rule names as they are, without asterisks and subresources.
    pub(super) fn named(&self, catalog: &Catalog) -> impl Iterator<Item = Arc<Resource>> {
        let plain = |items: &[String]| !items.iter().any(|item| item.contains('*'));
        let named = plain(&self.api_groups) && plain(&self.api_versions);
        let resources = self.resources.iter().filter(move |resource| named && !resource.contains(['*', '/']));
        let of = |resource: &String| {
            let versions = self.api_groups.iter().flat_map(|group| self.api_versions.iter().map(move |v| (group, v)));
            versions.filter_map(|(group, version)| catalog.get(group, version, resource)).collect::<Vec<_>>()
        };
        resources.flat_map(of)
    }

    fn in_scope(&self, attributes: &Attributes, row: &Resource) -> bool {
        let of_cluster = attributes.namespace.is_empty() || is_namespace(row);
        match self.scope.as_deref() {
            None | Some("*" | "") => true,
            Some("Namespaced") => !of_cluster,
            Some("Cluster") => of_cluster,
            Some(_) => false,
        }
    }
}

/// The row through which the rules want to see such writes: the requested one or, if `equivalent`, one that shows the same
/// objects.
pub(super) fn row<'a>(
    rules: &[Rule],
    equivalent: bool,
    attributes: &'a Attributes,
    equivalents: &'a Equivalents,
) -> Option<&'a Arc<Resource>> {
    if rules.iter().any(|rule| rule.matches(attributes, &attributes.requested)) {
        return Some(&attributes.requested);
    }
    if !equivalent {
        return None;
    }
    let serves = |row: &Resource| attributes.subresource.is_empty() || row.has_subresource(&attributes.subresource);
    // Earlier rules go before later ones.
    let find =
        |rule: &Rule| equivalents.of(&attributes.requested).find(|row| serves(row) && rule.matches(attributes, row));
    rules.iter().find_map(find)
}

/// Selectors of namespaces and objects.
#[derive(Debug)]
pub(super) struct Selection {
    namespaces: Result<LabelSelector, SelectorError>,
    objects: Result<LabelSelector, SelectorError>,
}

impl Selection {
    pub(super) fn new(namespaces: Option<&Value>, objects: Option<&Value>) -> Self {
        Self { namespaces: selector(namespaces), objects: selector(objects) }
    }

    /// Whether the selectors want to see the write.
    pub(super) async fn selects(&self, registry: &Registry, attributes: &Attributes) -> Result<bool, Status> {
        Ok(self.selects_namespace(registry, attributes).await? && self.selects_object(attributes)?)
    }

    async fn selects_namespace(&self, registry: &Registry, attributes: &Attributes) -> Result<bool, Status> {
        let (namespace, is_namespace) = (attributes.about_namespace(), is_namespace(&attributes.requested));
        if namespace.is_empty() && !is_namespace {
            // Objects of the cluster are of no namespace that could be left out.
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        if selector.is_everything() {
            return Ok(true);
        }
        if is_namespace && attributes.subresource.is_empty() && matches!(attributes.verb, Verb::Create | Verb::Update) {
            return Ok(selector.matches(&labels(&attributes.object)));
        }
        let found = match registry.namespace(namespace) {
            Some(found) => Some(found),
            None => registry.namespace_now(namespace).await?,
        };
        let found = found.ok_or_else(|| Status::not_found("", "namespaces", namespace))?;
        Ok(selector.matches(&found.meta.labels))
    }

    fn selects_object(&self, attributes: &Attributes) -> Result<bool, Status> {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        // A scale has no labels, whatever it is the scale of.
        let scale = attributes.subresource == "scale";
        let matches = |object: &Value| match object.at("metadata") {
            None => false,
            Some(_) if scale => selector.matches(&Map::new()),
            Some(_) => selector.matches(&labels(object)),
        };
        Ok(selector.is_everything() || matches(&attributes.object) || matches(&attributes.old))
    }
}

fn is_namespace(row: &Resource) -> bool {
    row.is_core() && &*row.plural == "namespaces"
}

/// No selector selects everything, as its default says.
fn selector(selector: Option<&Value>) -> Result<LabelSelector, SelectorError> {
    match selector.filter(|selector| !selector.is_null()) {
        None => Ok(LabelSelector::everything()),
        some => LabelSelector::from_object(some),
    }
}

fn labels(object: &Value) -> Map<String, Value> {
    object.at("metadata.labels").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The rows that show the same objects, where there is more than one.
#[derive(Clone, Debug)]
pub(super) struct Equivalents {
    builtin: Arc<HashMap<String, Vec<Arc<Resource>>>>,
    custom: Arc<Custom>,
}

impl Equivalents {
    /// Those of now. `before` are those of another time.
    pub(super) fn new(catalog: &Catalog, before: Option<&Self>) -> Self {
        let builtin = match before {
            Some(before) => before.builtin.clone(),
            None => Arc::new(of_builtin(catalog.builtin())),
        };
        Self { builtin, custom: catalog.custom() }
    }

    /// The other rows that show a row's objects.
    fn of<'a>(&'a self, row: &'a Arc<Resource>) -> impl Iterator<Item = &'a Arc<Resource>> {
        let rows = match row.builtin {
            // Most kinds have one row, and no name has to be made to find that out.
            true if self.builtin.is_empty() => &[],
            true => self.builtin.get(&key(row)).map_or(&[] as &[_], Vec::as_slice),
            false => self.custom.rows(row),
        };
        rows.iter().filter(move |other| !Arc::ptr_eq(other, row))
    }
}

fn of_builtin(rows: &[Arc<Resource>]) -> HashMap<String, Vec<Arc<Resource>>> {
    let mut by_storage: HashMap<String, Vec<Arc<Resource>>> = HashMap::new();
    for row in rows.iter().filter(|row| row.stored) {
        by_storage.entry(row.storage().store_prefix()).or_default().push(row.clone());
    }
    let several = by_storage.into_values().filter(|rows| rows.len() > 1);
    several.flat_map(|rows| rows.clone().into_iter().map(move |row| (key(&row), rows.clone()))).collect()
}

fn key(row: &Resource) -> String {
    format!("{}/{}/{}", row.group, row.version, row.plural)
}

/// Nobody can lock everybody out of the configurations by which webhooks and policies are taken away again.
pub(super) fn is_exempt(attributes: &Attributes) -> bool {
    &*attributes.requested.group == GROUP
        && matches!(
            &*attributes.requested.kind,
            "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
                | "MutatingAdmissionPolicy"
                | "MutatingAdmissionPolicyBinding"
        )
}
