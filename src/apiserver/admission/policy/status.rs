//! Type checking: what the expressions of a validating policy would make of the kinds its rules name. The outcome is told in
//! the policy's status; it never changes what the policy does.
//!
//! Upstream has a loop of the controller manager for it. Here it lives beside what compiles policies.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use api::{Object, Operation, Patch, Request, Resource, Status, User, WriteOptions, schema};
use cel::{DeclType, Type};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CommonSpec, GROUP, Names, ParamKind};
use crate::Registry;

/// The manager that upstream's loop writes as.
const MANAGER: &str = "validatingadmissionpolicy-status";
/// How many kinds one rule is checked against.
const KINDS: usize = 10;

/// Checks policies as they are written, for as long as it is polled.
pub(crate) async fn run(registry: Arc<Registry>) {
    let cache = registry.cached(GROUP, "v1", "validatingadmissionpolicies");
    let (_, mut changes) = cache.subscribe();
    loop {
        for object in cache.list("") {
            if let Err(status) = check(&registry, &object).await {
                tracing::warn!(%status, policy = &*object.meta.name, "a policy's types were not checked, will try again");
            }
        }
        if changes.next().await.is_err() {
            changes = cache.subscribe().1;
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Policy {
    spec: Spec,
    status: Observed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(flatten)]
    common: CommonSpec,
    validations: Vec<Validation>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Validation {
    expression: String,
    message_expression: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Observed {
    observed_generation: i64,
}

/// Checks one policy, unless this generation of it was checked.
async fn check(registry: &Registry, object: &Object) -> Result<(), Status> {
    let policy: Policy = object.view().map_err(Status::internal)?;
    let generation = object.meta.generation;
    if policy.status.observed_generation == generation {
        return Ok(());
    }
    let warnings = warnings(registry, &policy.spec);
    let Some(row) = api::resource::find(GROUP, "v1", "validatingadmissionpolicies").cloned() else { return Ok(()) };
    let mut checking = json!({});
    if !warnings.is_empty() {
        checking["expressionWarnings"] = warnings.into();
    }
    let applied = json!({
        "apiVersion": row.api_version(),
        "kind": &*row.kind,
        "metadata": {"name": &*object.meta.name, "uid": &*object.meta.uid},
        "status": {"observedGeneration": generation, "typeChecking": checking},
    });
    let options = WriteOptions { field_manager: MANAGER.into(), force: true, ..WriteOptions::default() };
    let request = Request {
        user: Arc::new(User::new("system:apiserver", [api::user::MASTERS])),
        resource: row,
        namespace: String::new(),
        name: object.meta.name.to_string(),
        subresource: "status".into(),
        operation: Operation::Patch(Patch::Apply(applied), options),
    };
    match registry.call(&request).await {
        // Deleted in the meantime; what has changed since is checked next.
        Err(status) if status.is_not_found() || status.is_conflict() => Ok(()),
        other => other.map(drop),
    }
}

fn warnings(registry: &Registry, spec: &Spec) -> Vec<Value> {
    let kinds: Vec<_> = kinds(registry, spec).into_iter().collect();
    let mut warnings = Vec::new();
    let mut note = |field: String, source: &str| {
        let mut text = String::new();
        for (group, version, kind) in &kinds {
            let Some(object) = declared(registry, group, version, kind) else { continue };
            if let Some(issues) = issues(registry, spec, object, source) {
                let separator = if text.is_empty() { "" } else { "\n" };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{separator}{group}/{version}, Kind={kind}: {issues}");
            }
        }
        if !text.is_empty() {
            warnings.push(json!({"fieldRef": field, "warning": text}));
        }
    };
    for (at, validation) in spec.validations.iter().enumerate() {
        note(format!("spec.validations[{at}].expression"), &validation.expression);
        if !validation.message_expression.is_empty() {
            note(format!("spec.validations[{at}].messageExpression"), &validation.message_expression);
        }
    }
    warnings
}

/// The kinds that the rules name without asterisks.
fn kinds(registry: &Registry, spec: &Spec) -> BTreeSet<(String, String, String)> {
    let mut kinds = BTreeSet::new();
    let rules = spec.common.match_constraints.iter().flat_map(|constraints| &constraints.resource_rules);
    for rule in rules {
        let rows = rule.named(registry.catalog());
        kinds
            .extend(rows.take(KINDS).map(|row| (row.group.to_string(), row.version.to_string(), row.kind.to_string())));
    }
    kinds
}

/// The declaration of a kind; none where its schema is not known.
fn declared(registry: &Registry, group: &str, version: &str, kind: &str) -> Option<Arc<DeclType>> {
    let row: Arc<Resource> = registry.catalog().by_kind(group, version, kind)?;
    if let Some(custom) = &row.custom {
        return DeclType::from_structural(&custom.definition.schema_text(version), true, kind);
    }
    let message = schema::for_kind(group, version, kind).filter(|_| row.builtin)?;
    Some(DeclType::of_message(message, kind))
}

/// What is wrong with an expression about objects of the type.
fn issues(registry: &Registry, spec: &Spec, object: Arc<DeclType>, source: &str) -> Option<String> {
    let names = Names { params: spec.common.param_kind.is_some(), authorizer: true, objects: false };
    let params = spec.common.param_kind.as_ref().and_then(|kind| param_type(registry, kind));
    let base = names.environment_for(object.ty(), params);
    let mut types: Vec<(Arc<str>, Type)> = Vec::new();
    for variable in &spec.common.variables {
        let environment = base.clone().with_lazy("variables", &types);
        let ty = environment.compile(&variable.expression).map_or(Type::Dyn, |program| program.returns().clone());
        types.push((variable.name.as_str().into(), ty));
    }
    base.with_lazy("variables", &types).compile(source).err().map(|errors| errors.to_string())
}

fn param_type(registry: &Registry, kind: &ParamKind) -> Option<Type> {
    let (group, version) = kind.api_version.rsplit_once('/').unwrap_or(("", &kind.api_version));
    declared(registry, group, version, &kind.kind).map(|decl| decl.ty())
}
