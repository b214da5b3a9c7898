//! Nobody hands out permissions they do not have: what RBAC demands of writes of roles and bindings.
//!
//! Upstream keeps this in the storage of the four kinds. It is no plugin that configuration could leave out, and looks at the
//! very object that is written, whatever kind of patch made it.

use std::collections::BTreeMap;

use api::Status;
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::authorization::{self, Authorizer, Rule};
use crate::tree::Tree;

/// Upstream has no such plugin.
pub(super) const NAME: &str = "RBACEscalation";
const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn plugin() -> Plugin {
    Plugin::validating(NAME, Step::Later(std::sync::Arc::new(|registry, write| Box::pin(check(registry, write)))))
}

async fn check(registry: &Registry, write: &mut Attributes) -> Result<(), Status> {
    if &*write.resource.group != GROUP || !write.subresource.is_empty() || write.verb == Verb::Delete {
        return Ok(());
    }
    // Before a server stands in front, only the server itself writes.
    let Some(authorizer) = registry.authorizer() else { return Ok(()) };
    if write.user.in_group(api::user::MASTERS) || frees_for_collection(write) {
        return Ok(());
    }
    let asks = Asks { authorizer, write };
    match &*write.resource.plural {
        "roles" | "clusterroles" => asks.role().await,
        "rolebindings" | "clusterrolebindings" => asks.binding().await,
        _ => Ok(()),
    }
}

/// Whether an update touches nothing but what the garbage collector changes.
fn frees_for_collection(write: &Attributes) -> bool {
    if write.verb != Verb::Update {
        return false;
    }
    let rest = |object: &Value| {
        let mut rest = object.clone();
        for path in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            rest.cut(&format!("metadata.{path}"));
        }
        rest
    };
    rest(&write.object) == rest(&write.old)
}

struct Asks<'a> {
    authorizer: &'a Authorizer,
    write: &'a Attributes,
}

impl Asks<'_> {
    async fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let what = authorization::Attributes {
            verb,
            group: GROUP,
            version: "*",
            resource,
            namespace: &self.write.namespace,
            name,
            is_resource: true,
            ..authorization::Attributes::default()
        };
        self.authorizer.decide(&self.write.user, &what).await.allows()
    }

    async fn role(&self) -> Result<(), Status> {
        // The name of a new object does not stand in the request.
        let name = if self.write.verb == Verb::Create { "" } else { self.write.name.as_str() };
        if self.may("escalate", &self.write.resource.plural, name).await {
            return Ok(());
        }
        self.held(&rules(&self.write.object)).map_err(|why| self.write.forbidden(why))?;
        let aggregates = |role: &Value| !role.items("aggregationRule.clusterRoleSelectors").is_empty();
        if !aggregates(&self.write.object) && !aggregates(&self.write.old) {
            return Ok(());
        }
        // An aggregate may come to hold anything.
        let why = "must have cluster-admin privileges to use the aggregationRule";
        self.held(&Rule::everything()).map_err(|_| self.write.forbidden(why))
    }

    async fn binding(&self) -> Result<(), Status> {
        let (kind, name) = (self.write.object.text("roleRef.kind"), self.write.object.text("roleRef.name"));
        let (resource, namespace) =
            if kind == "ClusterRole" { ("clusterroles", "") } else { ("roles", self.write.namespace.as_str()) };
        if self.may("bind", resource, name).await {
            return Ok(());
        }
        let compiled = self.authorizer.rbac.compiled();
        // Upstream names what is written, not what was looked for.
        let missing = || Status::not_found(GROUP, &self.write.resource.plural, name);
        let rules = compiled.role(namespace, name).ok_or_else(missing)?;
        self.held(rules).map_err(|why| self.write.forbidden(why))
    }

    /// Whether the writer has all of the rules; else what is missing.
    fn held(&self, wanted: &[Rule]) -> Result<(), String> {
        let user = &self.write.user;
        let have = self.authorizer.rbac.rules(user, &self.write.namespace);
        let covered = |atom: &Rule| have.iter().any(|mine| mine.covers(atom));
        let missing: Vec<Rule> = wanted.iter().flat_map(Rule::atoms).filter(|atom| !covered(atom)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = user.groups.iter().map(|g| api::quote::quote(g)).collect();
        Err(format!(
            "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            api::quote::quote(&user.name),
            groups.join(" "),
            compact(missing).join("\n")
        ))
    }
}

/// Rules for people: atoms that differ in their verb alone stand in one line. Sorted.
fn compact(atoms: Vec<Rule>) -> Vec<String> {
    let mut merged: BTreeMap<Rule, Vec<Box<str>>> = BTreeMap::new();
    let mut lines = Vec::new();
    for atom in atoms {
        if atom.non_resource_urls.is_empty() {
            let Rule { verbs, .. } = atom.clone();
            let known = merged.entry(Rule { verbs: Vec::new(), ..atom }).or_default();
            known.extend(verbs.into_iter().filter(|verb| !known.contains(verb)).collect::<Vec<_>>());
        } else {
            lines.push(atom.to_string());
        }
    }
    lines.extend(merged.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule }.to_string()));
    lines.sort_unstable();
    lines.dedup();
    lines
}

/// A role's rules; what cannot be read as rules is validation's to refuse.
fn rules(role: &Value) -> Vec<Rule> {
    role.get("rules").and_then(|rules| serde_json::from_value(rules.clone()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_few_lines() {
        let rules: Vec<Rule> = serde_json::from_value(serde_json::json!([
            {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get", "post"]},
        ]))
        .unwrap();
        let expect = [
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#,
            r#"{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "list"]}"#,
            r#"{NonResourceURLs:["/healthz"], Verbs:["get"]}"#,
            r#"{NonResourceURLs:["/healthz"], Verbs:["post"]}"#,
        ];
        assert_eq!(compact(rules.iter().flat_map(Rule::atoms).collect()), expect);
    }
}
