//! Nobody hands out permissions they do not have: checks on writes of roles and bindings.

use std::sync::Arc;

use api::{Operation, Reply, Request, Status, User};
use serde_json::Value;

use super::{Attributes, Authorizer, Decision, Rule};
use crate::Registry;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Refuses a write of a role or binding that would grant what its writer does not have. Other requests pass.
pub(crate) async fn check(registry: &Registry, authorizer: &Authorizer, request: &Request) -> Result<(), Status> {
    if &*request.resource.group != GROUP || !request.subresource.is_empty() {
        return Ok(());
    }
    if request.user.in_group(api::user::MASTERS) || !authorizer.modes.contains(&super::AuthorizationMode::Rbac) {
        return Ok(());
    }
    let (object, name);
    match &request.operation {
        Operation::Create(value, _) | Operation::Update(value, _) => object = value.clone(),
        Operation::Patch(patch, options) => {
            // What a patch grants shows in what it makes.
            let mut trial = request.clone();
            let mut options = options.clone();
            options.dry_run = true;
            trial.operation = Operation::Patch(patch.clone(), options);
            match registry.call(&trial).await? {
                Reply::Object { object: made, .. } => object = made.to_value().map_err(Status::internal)?,
                _ => return Ok(()),
            }
        }
        _ => return Ok(()),
    }
    name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(&request.name).to_owned();
    let asks = Asks { authorizer, request, name: &name };
    match &*request.resource.plural {
        "roles" | "clusterroles" => asks.role(&object),
        "rolebindings" | "clusterrolebindings" => asks.binding(&object),
        _ => Ok(()),
    }
}

struct Asks<'a> {
    authorizer: &'a Authorizer,
    request: &'a Request,
    name: &'a str,
}

impl Asks<'_> {
    fn may(&self, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let what = Attributes {
            verb,
            group: GROUP,
            version: "v1",
            resource,
            namespace,
            name,
            is_resource: true,
            ..Attributes::default()
        };
        matches!(self.authorizer.decide(&self.request.user, &what), Decision::Allow(_))
    }

    fn role(&self, object: &Value) -> Result<(), Status> {
        if self.may("escalate", &self.request.resource.plural, &self.request.namespace, self.name) {
            return Ok(());
        }
        let mut rules = rules(object);
        let selectors = object.pointer("/aggregationRule/clusterRoleSelectors").and_then(Value::as_array);
        if selectors.is_some_and(|selectors| !selectors.is_empty()) {
            // An aggregate may come to hold anything.
            rules.push(Rule {
                verbs: vec!["*".into()],
                api_groups: vec!["*".into()],
                resources: vec!["*".into()],
                ..Rule::default()
            });
            rules.push(Rule { verbs: vec!["*".into()], non_resource_urls: vec!["*".into()], ..Rule::default() });
        }
        self.held(&rules)
    }

    fn binding(&self, object: &Value) -> Result<(), Status> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (kind, name) = (text("/roleRef/kind"), text("/roleRef/name"));
        let (resource, role_namespace) =
            if kind == "ClusterRole" { ("clusterroles", "") } else { ("roles", self.request.namespace.as_str()) };
        if self.may("bind", resource, &self.request.namespace, name) {
            return Ok(());
        }
        let compiled = self.authorizer.rbac.compiled();
        let rules = compiled.role(role_namespace, name).ok_or_else(|| Status::not_found(GROUP, resource, name))?;
        self.held(rules)
    }

    /// Whether the writer has all of the rules.
    fn held(&self, wanted: &[Rule]) -> Result<(), Status> {
        let user: &Arc<User> = &self.request.user;
        let have = self.authorizer.rbac.rules(user, &self.request.namespace);
        let covered = |atom: &Rule| have.iter().any(|mine| mine.covers(atom));
        let mut missing: Vec<String> =
            wanted.iter().flat_map(Rule::atoms).filter(|a| !covered(a)).map(|a| a.to_string()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        let groups: Vec<String> = user.groups.iter().map(|g| api::quote::quote(g)).collect();
        let why = format!(
            "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            api::quote::quote(&user.name),
            groups.join(" "),
            missing.join("\n")
        );
        Err(Status::forbidden(GROUP, &self.request.resource.plural, self.name, why))
    }
}

/// A role's rules; what cannot be read as rules is validation's to refuse.
fn rules(object: &Value) -> Vec<Rule> {
    object.get("rules").and_then(|rules| serde_json::from_value(rules.clone()).ok()).unwrap_or_default()
}
