//! ValidatingAdmissionPolicy and MutatingAdmissionPolicy: expressions that policies hold and bindings put to work are asked
//! about what is about to be written, and may refuse or change it.
//!
//! Policies are compiled once for each of their generations, and put together with their bindings once for each state of
//! the caches. A request that no rule is about costs a look at the rules.

mod binding;
mod mutating;
pub(crate) mod status;
#[cfg(test)]
mod tests;
mod validating;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use api::{Object, ObjectError, Resource, Status};
use arc_swap::ArcSwapOption;
use futures::FutureExt;
use serde::Deserialize;
use serde_json::Value;
use watch_cache::Cache;

use super::expressions::{Expression, MatchConditions, Names};
use super::matching::{self, Equivalents, GROUP, Rule, Selection, is_exempt};
use super::{Attributes, Plugin, Step};
use crate::Registry;
use crate::authorization::review::is_review;
use crate::registry::show_value;
use binding::Binding;

pub(crate) use mutating::{NAME as MUTATING, result_types};

pub(super) fn mutating() -> Plugin {
    let source = Arc::new(Source::<mutating::Policy>::new(
        ["mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
        "v1beta1",
    ));
    let step = Step::Later(Arc::new(move |registry, attributes| {
        let Some(policies) = source.policies(registry, attributes) else {
            return futures::future::ready(Ok(())).boxed();
        };
        async move { mutating::dispatch(&policies, registry, attributes).await }.boxed()
    }));
    Plugin::mutating(mutating::NAME, step)
}

pub(super) fn validating() -> Plugin {
    let source = Arc::new(Source::<validating::Policy>::new(
        ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
        "v1",
    ));
    let step = Step::Later(Arc::new(move |registry, attributes| {
        let Some(policies) = source.policies(registry, attributes) else {
            return futures::future::ready(Ok(())).boxed();
        };
        async move { validating::dispatch(&policies, registry, attributes).await }.boxed()
    }));
    Plugin::validating("ValidatingAdmissionPolicy", step)
}

/// A kind of policy, compiled.
trait Compiled: Sized + Send + Sync {
    fn compile(object: &Object) -> Result<Self, ObjectError>;
    fn common(&self) -> &Common;
}

/// What both kinds of policies have.
struct Common {
    name: String,
    fails_open: bool,
    constraints: Option<Constraints>,
    param_kind: Option<ParamKind>,
    conditions: MatchConditions,
    variables: Vec<(Arc<str>, Expression)>,
}

/// The kind of the objects that parameterize a policy.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct ParamKind {
    api_version: String,
    kind: String,
}

impl ParamKind {
    /// Its row, if the kind is served.
    fn row(&self, registry: &Registry) -> Option<Arc<Resource>> {
        let (group, version) = self.api_version.rsplit_once('/').unwrap_or(("", &self.api_version));
        let elsewhere = || registry.aggregator()?.by_kind(group, version, &self.kind);
        registry.catalog().by_kind(group, version, &self.kind).or_else(elsewhere)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Variable {
    name: String,
    expression: String,
}

/// The part of a policy's spec that both kinds have.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CommonSpec {
    param_kind: Option<ParamKind>,
    match_constraints: Option<MatchResources>,
    failure_policy: String,
    match_conditions: Vec<Value>,
    variables: Vec<Variable>,
}

impl Common {
    /// Compiles what both kinds have; gives the environment that knows the variables, for what is particular.
    fn compile(name: &str, spec: CommonSpec) -> (Common, Names, Vec<(Arc<str>, cel::Type)>) {
        let names = Names { params: spec.param_kind.is_some(), authorizer: true, objects: false };
        let (variables, types) = compile_variables(&spec.variables, names);
        let common = Common {
            name: name.to_owned(),
            fails_open: spec.failure_policy == "Ignore",
            constraints: spec.match_constraints.map(Constraints::from),
            param_kind: spec.param_kind,
            conditions: MatchConditions::compile(&spec.match_conditions, &names.environment()),
            variables,
        };
        (common, names, types)
    }

    /// The row through which the policy is about the write; upstream's words for a policy that cannot work.
    async fn matches(
        &self,
        registry: &Registry,
        attributes: &Attributes,
        equivalents: &Equivalents,
    ) -> Result<Option<Arc<Resource>>, String> {
        let Some(constraints) = &self.constraints else {
            return Err("policy contained no match constraints, a required field".to_owned());
        };
        let row = constraints.matches(registry, attributes, equivalents).await.map_err(|status| status.message)?;
        let Some(row) = row.cloned() else { return Ok(None) };
        if let Some(kind) = self.param_kind.as_ref().filter(|kind| kind.row(registry).is_none()) {
            let kind = format!("{}, Kind={}", kind.api_version, kind.kind);
            return Err(format!("failed to find resource referenced by paramKind: '{kind}'"));
        }
        Ok(Some(row))
    }

    /// Whether the rules alone let the policy be about such a write.
    fn may_match(&self, attributes: &Attributes, equivalents: &Equivalents) -> bool {
        self.constraints.as_ref().is_none_or(|constraints| constraints.row(attributes, equivalents).is_some())
    }
}

/// Variables by name: what they are, and their types.
type Variables = (Vec<(Arc<str>, Expression)>, Vec<(Arc<str>, cel::Type)>);

/// Each variable can use those before it.
fn compile_variables(variables: &[Variable], names: Names) -> Variables {
    let (mut compiled, mut types) = (Vec::new(), Vec::new());
    for variable in variables {
        let environment = names.environment().with_lazy("variables", &types);
        let expression = Expression::compile(&variable.expression, &environment, &[]);
        let ty = expression.program.as_ref().map_or(cel::Type::Dyn, |program| program.returns().clone());
        let name: Arc<str> = variable.name.as_str().into();
        types.push((name.clone(), ty));
        compiled.push((name, expression));
    }
    (compiled, types)
}

/// Which writes a policy or a binding is about: `matchConstraints`, `matchResources`.
#[derive(Debug)]
struct Constraints {
    rules: Vec<Rule>,
    exclude: Vec<Rule>,
    equivalent: bool,
    selection: Selection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MatchResources {
    namespace_selector: Option<Value>,
    object_selector: Option<Value>,
    resource_rules: Vec<Rule>,
    exclude_resource_rules: Vec<Rule>,
    match_policy: String,
}

impl From<MatchResources> for Constraints {
    fn from(from: MatchResources) -> Self {
        Self {
            selection: Selection::new(from.namespace_selector.as_ref(), from.object_selector.as_ref()),
            rules: from.resource_rules,
            exclude: from.exclude_resource_rules,
            equivalent: from.match_policy != "Exact",
        }
    }
}

impl Constraints {
    /// The row through which such writes are to be seen, by the rules alone.
    fn row<'a>(&self, attributes: &'a Attributes, equivalents: &'a Equivalents) -> Option<&'a Arc<Resource>> {
        if matching::row(&self.exclude, self.equivalent, attributes, equivalents).is_some() {
            return None;
        }
        if self.rules.is_empty() {
            return Some(&attributes.requested);
        }
        matching::row(&self.rules, self.equivalent, attributes, equivalents)
    }

    /// The row, if rules and selectors want to see the write.
    async fn matches<'a>(
        &self,
        registry: &Registry,
        attributes: &'a Attributes,
        equivalents: &'a Equivalents,
    ) -> Result<Option<&'a Arc<Resource>>, Status> {
        let Some(row) = self.row(attributes, equivalents) else { return Ok(None) };
        Ok(self.selection.selects(registry, attributes).await?.then_some(row))
    }
}

/// The namespace of the object, as clients see it; null for objects of the cluster, and for namespaces.
async fn namespace_of(registry: &Registry, attributes: &Attributes) -> Result<Value, Status> {
    let name = &attributes.namespace;
    let is_namespace = attributes.resource.is_core() && &*attributes.resource.plural == "namespaces";
    if name.is_empty() || is_namespace {
        return Ok(Value::Null);
    }
    let found = match registry.namespace(name) {
        Some(found) => Some(found),
        None => registry.namespace_now(name).await?,
    };
    let found = found.ok_or_else(|| Status::not_found("", "namespaces", name))?;
    let row = registry.catalog().get("", "v1", "namespaces");
    match row {
        Some(row) => show_value(&row, &found).await,
        None => Ok(Value::Null),
    }
}

/// One kind of policies and their bindings, compiled as often as they change.
struct Source<P> {
    plurals: [&'static str; 2],
    version: &'static str,
    caches: OnceLock<[Arc<Cache>; 2]>,
    policies: ArcSwapOption<Policies<P>>,
}

/// All policies that have bindings.
struct Policies<P> {
    /// What they were made from: policies, bindings and the catalog.
    state: (u64, u64, u64),
    /// Compiled policies by uid and generation, bound or not.
    compiled: HashMap<(Box<str>, i64), Arc<P>>,
    bound: Vec<(Arc<P>, Vec<Binding>)>,
    equivalents: Equivalents,
}

impl<P: Compiled> Source<P> {
    fn new(plurals: [&'static str; 2], version: &'static str) -> Self {
        Self { plurals, version, caches: OnceLock::new(), policies: ArcSwapOption::empty() }
    }

    /// The policies as they are now; `None` when none of them is about such a write.
    fn policies(&self, registry: &Registry, attributes: &Attributes) -> Option<Arc<Policies<P>>> {
        let caches = || self.plurals.map(|plural| registry.cached(GROUP, self.version, plural));
        let [policies, bindings] = self.caches.get_or_init(caches);
        // Nobody can keep others from finding out who somebody is and what they may do, either.
        if policies.is_empty() || bindings.is_empty() || is_exempt(attributes) || is_review(&attributes.requested) {
            return None;
        }
        let state = (policies.revision(), bindings.revision(), registry.catalog().generation());
        let before = self.policies.load_full();
        let now = match before {
            Some(before) if before.state == state => before,
            before => {
                let now = Arc::new(Policies::new(state, registry, before.as_deref(), policies, bindings));
                self.policies.store(Some(now.clone()));
                now
            }
        };
        now.bound.iter().any(|(policy, _)| policy.common().may_match(attributes, &now.equivalents)).then_some(now)
    }
}

impl<P: Compiled> Policies<P> {
    fn new(
        state: (u64, u64, u64),
        registry: &Registry,
        before: Option<&Self>,
        policies: &Cache,
        bindings: &Cache,
    ) -> Self {
        let mut by_policy: HashMap<String, Vec<Binding>> = HashMap::new();
        for object in bindings.list("") {
            match Binding::read(&object) {
                Ok((policy, binding)) => by_policy.entry(policy).or_default().push(binding),
                // It was decoded when it was written.
                Err(error) => tracing::error!(%error, name = &*object.meta.name, "a policy binding cannot be read"),
            }
        }
        let (mut compiled, mut bound) = (HashMap::new(), Vec::new());
        for object in policies.list("") {
            let key = (object.meta.uid.clone(), object.meta.generation);
            let known = before.and_then(|before| before.compiled.get(&key)).cloned();
            let policy = match known.map_or_else(|| P::compile(&object).map(Arc::new), Ok) {
                Ok(policy) => policy,
                Err(error) => {
                    tracing::error!(%error, name = &*object.meta.name, "a policy cannot be read");
                    continue;
                }
            };
            if let Some(bindings) = by_policy.remove(&*object.meta.name) {
                bound.push((policy.clone(), bindings));
            }
            compiled.insert(key, policy);
        }
        let equivalents = Equivalents::new(registry.catalog(), before.map(|before| &before.equivalents));
        Self { state, compiled, bound, equivalents }
    }
}
