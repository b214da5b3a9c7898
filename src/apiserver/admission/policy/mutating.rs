//! Mutating policies: expressions that make apply configurations or JSON patches of what is about to be written.

use std::sync::Arc;

use api::patch::PatchError;
use api::shape::{Form, Shape};
use api::{Cause, Object, ObjectError, Patch, Resource, Status, apply, schema};
use cel::{Budget, Environment, LibraryType, Type};
use serde::Deserialize;
use serde_json::Value;

use super::binding::Binding;
use super::{Common, CommonSpec, Compiled, Policies, namespace_of};
use crate::Registry;
use crate::admission::Attributes;
use crate::admission::expressions::{self, Answers, Expression, Inputs, Names};
use crate::tree::Tree;

pub(crate) const NAME: &str = "MutatingAdmissionPolicy";

/// One policy.
pub(super) struct Policy {
    common: Common,
    mutations: Vec<Mutation>,
    /// Whether it is evaluated again when the object was changed after it.
    reinvocable: bool,
}

struct Mutation {
    expression: Expression,
    how: How,
}

/// What an expression makes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Apply,
    JsonPatch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Whole {
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(flatten)]
    common: CommonSpec,
    mutations: Vec<MutationSpec>,
    reinvocation_policy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MutationSpec {
    apply_configuration: Option<Holder>,
    json_patch: Option<Holder>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Holder {
    expression: String,
}

/// The types of what apply configurations and JSON patches are.
pub(crate) fn result_types() -> (Type, Type) {
    (Environment::object_type(), Type::list(Type::Library(LibraryType::JsonPatch)))
}

impl Compiled for Policy {
    fn compile(object: &Object) -> Result<Self, ObjectError> {
        let Whole { spec } = object.view()?;
        let (common, names, variables) = Common::compile(&object.meta.name, spec.common);
        let environment = Names { objects: true, ..names }.environment().with_lazy("variables", &variables);
        let (configuration, patch) = result_types();
        let mutation = |from: MutationSpec| {
            let (how, holder, returns) = match (from.apply_configuration, from.json_patch) {
                (Some(holder), _) => (How::Apply, holder, &configuration),
                (None, holder) => (How::JsonPatch, holder.unwrap_or_default(), &patch),
            };
            Mutation {
                expression: Expression::compile(&holder.expression, &environment, std::slice::from_ref(returns)),
                how,
            }
        };
        let mutations = spec.mutations.into_iter().map(mutation).collect();
        Ok(Self { common, mutations, reinvocable: spec.reinvocation_policy == "IfNeeded" })
    }

    fn common(&self) -> &Common {
        &self.common
    }
}

/// One policy put to work by one binding with one parameter.
struct Invocation<'a> {
    policy: &'a Policy,
    binding: &'a str,
    row: Arc<Resource>,
    params: Value,
    key: Arc<str>,
}

/// What went wrong, and whether the write itself is to blame rather than the configuration.
struct Problem {
    message: String,
    invalid: bool,
}

pub(super) async fn dispatch(
    policies: &Policies<Policy>,
    registry: &Registry,
    attributes: &mut Attributes,
) -> Result<(), Status> {
    let second = attributes.reinvocation.second;
    let mut problems = Vec::new();
    let invocations = invocations(policies, registry, attributes, &mut problems).await;
    let mut called = attributes.reinvocation.plugins.remove(NAME).unwrap_or_default();
    if second && called.left != attributes.object {
        // Other plugins changed the object in the second round.
        called.changed();
    }
    let namespace = if invocations.is_empty() { Value::Null } else { namespace_of(registry, attributes).await? };
    for invocation in &invocations {
        match invocation.meets(registry, attributes, &namespace).await {
            Ok(true) if second && !called.must.contains(&invocation.key) => continue,
            Ok(true) => {}
            Ok(false) => continue,
            Err(message) => {
                let problem = Problem { message, invalid: true };
                problems.extend(invocation.policy.told(Some(invocation.binding), problem));
                continue;
            }
        }
        let mut changed = false;
        for mutation in &invocation.policy.mutations {
            if attributes.object.is_null() {
                continue;
            }
            match invocation.mutate(mutation, registry, attributes, &namespace).await {
                Ok(one) => changed |= one,
                Err(message) => {
                    let problem = Problem { message, invalid: true };
                    problems.extend(invocation.policy.told(Some(invocation.binding), problem));
                }
            }
        }
        if changed {
            called.changed();
            attributes.reinvocation.wanted = true;
        }
        if invocation.policy.reinvocable {
            called.may.insert(invocation.key.clone());
        }
    }
    if !called.may.is_empty() && !second {
        called.left = attributes.object.clone();
    }
    attributes.reinvocation.plugins.insert(NAME, called);
    refused(attributes, problems)
}

/// The first problem is what the client is told; all are causes.
fn refused(attributes: &Attributes, problems: Vec<Problem>) -> Result<(), Status> {
    let Some(first) = problems.first() else { return Ok(()) };
    let mut status = attributes.forbidden("");
    status.message = first.message.clone();
    if first.invalid {
        status.reason = "Invalid".into();
    }
    let causes = problems.into_iter().map(|problem| Cause { message: problem.message, ..Cause::default() });
    status.details.get_or_insert_default().causes.extend(causes);
    Err(status)
}

/// Whom the write is shown to, by rules, selectors and parameters.
async fn invocations<'a>(
    policies: &'a Policies<Policy>,
    registry: &Registry,
    attributes: &Attributes,
    problems: &mut Vec<Problem>,
) -> Vec<Invocation<'a>> {
    let mut invocations = Vec::new();
    for (policy, bindings) in &policies.bound {
        let row = match policy.common.matches(registry, attributes, &policies.equivalents).await {
            Ok(Some(row)) => row,
            Ok(None) => continue,
            Err(why) => {
                let message = format!("failed to configure policy: {why}");
                problems.extend(policy.told(None, Problem { message, invalid: false }));
                continue;
            }
        };
        for binding in bindings {
            match bound(policy, binding, policies, registry, attributes).await {
                Ok(params) => invocations.extend(params.into_iter().map(|params| Invocation {
                    policy,
                    binding: &binding.name,
                    row: row.clone(),
                    key: key(&policy.common.name, &binding.name, &params),
                    params,
                })),
                Err(why) => {
                    let message = format!("failed to configure binding: {why}");
                    problems.extend(policy.told(Some(&binding.name), Problem { message, invalid: false }));
                }
            }
        }
    }
    invocations
}

/// The parameters with which a binding puts the policy to work on the write; none when it is not about it.
async fn bound(
    policy: &Policy,
    binding: &Binding,
    policies: &Policies<Policy>,
    registry: &Registry,
    attributes: &Attributes,
) -> Result<Vec<Value>, String> {
    if !binding.matches(registry, attributes, &policies.equivalents).await? {
        return Ok(Vec::new());
    }
    binding.params(policy.common.param_kind.as_ref(), registry, &attributes.namespace).await
}

fn key(policy: &str, binding: &str, params: &Value) -> Arc<str> {
    let (namespace, name) = (params.text("metadata.namespace"), params.text("metadata.name"));
    format!("{policy}/{binding}/{namespace}/{name}").into()
}

impl Policy {
    /// A problem in the words the client is told, unless the policy fails open.
    fn told(&self, binding: Option<&str>, problem: Problem) -> Option<Problem> {
        if self.common.fails_open {
            return None;
        }
        let name = &self.common.name;
        let who = match binding {
            Some(binding) => format!("policy '{name}' with binding '{binding}'"),
            None => format!("policy {}", api::quote::quote(name)),
        };
        Some(Problem { message: format!("{who} denied request: {}", problem.message), ..problem })
    }
}

impl Invocation<'_> {
    /// An object of the write as the policy wants to see it.
    async fn shown(&self, registry: &Registry, attributes: &Attributes, object: &Value) -> Result<Value, String> {
        registry.show_admitted(attributes, &self.row, object).await.map_err(|status| status.message)
    }

    async fn meets(&self, registry: &Registry, attributes: &Attributes, namespace: &Value) -> Result<bool, String> {
        if self.policy.common.conditions.is_empty() {
            return Ok(true);
        }
        let object = self.shown(registry, attributes, &attributes.object).await?;
        let old = self.shown(registry, attributes, &attributes.old).await?;
        let request = expressions::request(attributes, &self.row);
        let answers = Answers::new(registry.authorizer().map(|authorizer| &**authorizer), attributes);
        let mut inputs = Inputs::new(&object, &old, &request, &answers);
        (inputs.params, inputs.namespace) = (&self.params, namespace);
        self.policy.common.conditions.met(&inputs).await
    }

    /// Carries out one mutation; says whether it changed anything.
    async fn mutate(
        &self,
        mutation: &Mutation,
        registry: &Registry,
        attributes: &mut Attributes,
        namespace: &Value,
    ) -> Result<bool, String> {
        let (object, old) = registry.show_both(attributes, &self.row).await.map_err(|status| status.message)?;
        let made = {
            let request = expressions::request(attributes, &self.row);
            let answers = Answers::new(registry.authorizer().map(|authorizer| &**authorizer), attributes);
            let mut inputs = Inputs::new(&object, &old, &request, &answers);
            (inputs.params, inputs.namespace) = (&self.params, namespace);
            inputs.variables = &self.policy.common.variables;
            let mut budget = Budget::default();
            let value = mutation.expression.evaluate(&inputs, &mut budget).await;
            made(&value.map_err(expressions::Problem::message)?)?
        };
        let changed = match mutation.how {
            How::Apply => applied(&self.row, &object, made)?,
            How::JsonPatch => patched(&object, made)?,
        };
        if changed == object {
            return Ok(false);
        }
        let taken = registry.take_admitted(attributes, &self.row, changed).await.map_err(|status| status.message)?;
        Ok(attributes.put_whole(taken))
    }
}

/// What the expression made, as JSON; objects whose type names do not say where they stand are mistakes.
fn made(value: &cel::Value<'_>) -> Result<Value, String> {
    let misnamed = match value {
        cel::Value::Struct(object) => object.misnamed(),
        cel::Value::List(list) => {
            let values = list.iter().filter_map(|operation| match operation {
                cel::Value::Struct(operation) => operation.fields.get("value").cloned(),
                _ => None,
            });
            let misnamed = values.filter_map(|value| match value {
                cel::Value::Struct(object) => Some(object.misnamed()),
                _ => None,
            });
            misnamed.flatten().collect()
        }
        _ => Vec::new(),
    };
    if !misnamed.is_empty() {
        return Err(format!("type mismatch: {}", misnamed.join("\n")));
    }
    value.to_json().map_err(|error| error.message)
}

/// The object with an apply configuration merged into it.
fn applied(row: &Resource, object: &Value, mut configuration: Value) -> Result<Value, String> {
    for field in ["apiVersion", "kind"] {
        configuration.put(field, object.text(field));
    }
    let message = schema::for_kind(&row.group, &row.version, &row.kind).filter(|_| row.builtin);
    let shape = row.custom.as_ref().and_then(|custom| custom.definition.shape(&row.version));
    let form = message.map(Form::of_message).or(shape.map(Shape::form)).unwrap_or(Form::Deduced);
    let failed = |why: String| format!("error applying patch: {why}");
    apply::validate(form, &configuration, false)
        .map_err(|why| failed(format!("failed to convert patch object to typed object: {why}")))?;
    let whole = apply::atomics(form, &configuration);
    if !whole.is_empty() {
        let why = format!("may not mutate atomic arrays, maps or structs: {}", whole.join(", "));
        return Err(failed(format!("invalid ApplyConfiguration: {why}")));
    }
    Ok(apply::merge(form, object, &configuration))
}

/// The object with a JSON patch carried out. One whose test fails changes nothing.
fn patched(object: &Value, operations: Value) -> Result<Value, String> {
    let mut patched = object.clone();
    match Patch::Json(operations).apply(&mut patched, None) {
        Ok(()) => Ok(patched),
        Err(PatchError::TestFailed(_)) => Ok(object.clone()),
        Err(error) => Err(format!("JSON Patch: {error}")),
    }
}
