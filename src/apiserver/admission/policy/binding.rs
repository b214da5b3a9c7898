//! Bindings: which writes a policy is put to work on, and with which parameters.

use std::sync::Arc;

use api::selector::LabelSelector;
use api::{Object, ObjectError, Resource};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Constraints, MatchResources, ParamKind};
use crate::Registry;
use crate::admission::Attributes;
use crate::admission::matching::Equivalents;
use crate::aggregation::Aggregator;
use crate::registry::show_value;
use crate::tree::Tree;

/// One binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    constraints: Option<Constraints>,
    param_ref: Option<ParamRef>,
    /// `Deny`, `Warn`, `Audit`; validating policies only.
    pub(super) actions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whole {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    policy_name: String,
    param_ref: Option<ParamRef>,
    match_resources: Option<MatchResources>,
    validation_actions: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<Value>,
    parameter_not_found_action: String,
}

impl Binding {
    /// A binding, and the policy it names.
    pub(super) fn read(object: &Object) -> Result<(String, Binding), ObjectError> {
        let Whole { spec } = object.view()?;
        let binding = Binding {
            name: object.meta.name.to_string(),
            constraints: spec.match_resources.map(Constraints::from),
            param_ref: spec.param_ref,
            actions: spec.validation_actions,
        };
        Ok((spec.policy_name, binding))
    }

    /// Whether the binding puts the policy to work on the write.
    pub(super) async fn matches(
        &self,
        registry: &Registry,
        attributes: &Attributes,
        equivalents: &Equivalents,
    ) -> Result<bool, String> {
        let Some(constraints) = &self.constraints else { return Ok(true) };
        let row = constraints.matches(registry, attributes, equivalents).await;
        row.map(|row| row.is_some()).map_err(|status| status.message)
    }

    /// The parameters a policy is evaluated with, once for each; null where the policy or the binding has none. What is
    /// wrong is told in upstream's words.
    pub(super) async fn params(
        &self,
        kind: Option<&ParamKind>,
        registry: &Registry,
        namespace: &str,
    ) -> Result<Vec<Value>, String> {
        let (Some(kind), Some(wanted)) = (kind, &self.param_ref) else { return Ok(vec![Value::Null]) };
        // Whether the kind is there was seen before.
        let Some(row) = kind.row(registry) else { return Err(format!("paramKind kind `{kind:?}` not known")) };
        let namespace = match (row.is_namespaced(), &*wanted.namespace, namespace) {
            (false, "", _) => "",
            (false, ..) => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
            }
            (true, "", "") => {
                let why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
                return Err(why.into());
            }
            (true, "", of_write) => of_write,
            (true, named, _) => named,
        };
        let elsewhere = registry.aggregator().filter(|others| others.is_elsewhere(&row.group, &row.version));
        let found = match elsewhere {
            Some(others) => held_elsewhere(others, wanted, &row, namespace).await?,
            None => held(registry, wanted, &row, namespace).await?,
        };
        if found.is_empty() && wanted.parameter_not_found_action == "Deny" {
            return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
        }
        Ok(found)
    }
}

/// What another API server holds is asked for each time: such policies are rare, and nobody watches for them.
async fn held_elsewhere(
    others: &Aggregator,
    wanted: &ParamRef,
    row: &Resource,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    if !wanted.name.is_empty() {
        return Ok(others.get(row, namespace, &wanted.name).await?.into_iter().collect());
    }
    let selector = LabelSelector::from_object(wanted.selector.as_ref()).map_err(|error| error.to_string())?;
    let mut all = others.list(row, namespace).await?;
    all.retain(|object| match object.at("metadata.labels").and_then(Value::as_object) {
        Some(labels) => selector.matches(labels),
        None => selector.matches(&Map::new()),
    });
    Ok(all)
}

/// What this server holds.
async fn held(
    registry: &Registry,
    wanted: &ParamRef,
    row: &Arc<Resource>,
    namespace: &str,
) -> Result<Vec<Value>, String> {
    let cache = registry.cache(row);
    let found: Vec<Arc<Object>> = if wanted.name.is_empty() {
        let selector = LabelSelector::from_object(wanted.selector.as_ref()).map_err(|error| error.to_string())?;
        cache.list(namespace).into_iter().filter(|object| selector.matches(&object.meta.labels)).collect()
    } else {
        cache.get(namespace, &wanted.name).into_iter().collect()
    };
    let mut shown = Vec::new();
    for object in &found {
        shown.push(show_value(row, object).await.map_err(|status| status.message)?);
    }
    Ok(shown)
}
