//! Roles and bindings, parsed once each, and the index made of them.

use std::collections::HashMap;
use std::sync::Arc;

use api::selector::LabelSelector;
use api::{Labels, Object, User};
use serde::Deserialize;
use serde_json::Value;

use super::Rule;

/// The parsed objects, by key.
#[derive(Default)]
pub(super) struct Sources {
    cluster_roles: HashMap<String, ClusterRole>,
    roles: HashMap<String, Arc<[Rule]>>,
    cluster_bindings: HashMap<String, Binding>,
    bindings: HashMap<String, Binding>,
}

struct ClusterRole {
    rules: Arc<[Rule]>,
    labels: Labels,
    /// Whose rules are taken over, where the role is an aggregate.
    aggregates: Option<Vec<LabelSelector>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireRole {
    rules: Option<Vec<Rule>>,
    aggregation_rule: Option<WireAggregation>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireAggregation {
    cluster_role_selectors: Option<Vec<Value>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Binding {
    subjects: Option<Vec<Subject>>,
    role_ref: RoleRef,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleRef {
    kind: String,
    name: String,
}

/// What one binding gives to its subjects.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The rules, or why there are none.
    pub rules: Result<Arc<[Rule]>, Box<str>>,
    /// `ClusterRoleBinding "x" of ClusterRole "y" to …` for people.
    pub described: Box<str>,
}

/// Grants by subject, for the cluster and for each namespace.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    cluster: BySubject,
    namespaces: HashMap<Box<str>, BySubject>,
    /// Rules of every role, aggregates resolved; keys are `name` for cluster roles and `namespace/name` for roles.
    roles: HashMap<String, Arc<[Rule]>>,
    /// Aggregates whose stored rules are not what they should be.
    pub(crate) stale: Vec<(String, Arc<[Rule]>)>,
}

#[derive(Debug, Default)]
struct BySubject {
    users: HashMap<Box<str>, Vec<Arc<Grant>>>,
    groups: HashMap<Box<str>, Vec<Arc<Grant>>>,
}

impl BySubject {
    fn of<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Arc<Grant>> {
        let groups = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        self.users.get(user.name.as_str()).into_iter().chain(groups).flatten()
    }
}

impl Compiled {
    /// What a user was granted in the cluster, and in the namespace unless it is empty.
    pub(crate) fn grants<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = &'a Arc<Grant>> {
        let local = if namespace.is_empty() { None } else { self.namespaces.get(namespace) };
        self.cluster.of(user).chain(local.into_iter().flat_map(|by| by.of(user)))
    }

    /// The rules of a role; the namespace is empty for cluster roles.
    pub(crate) fn role(&self, namespace: &str, name: &str) -> Option<&Arc<[Rule]>> {
        self.roles.get(&api::meta::key(namespace, name))
    }
}

impl Sources {
    /// An object that cannot be read grants nothing.
    pub(super) fn put(&mut self, kind: usize, object: &Object) {
        let key = object.meta.key();
        match kind {
            0 => {
                let wire: WireRole = object.view().unwrap_or_default();
                let aggregates = wire.aggregation_rule.and_then(|a| a.cluster_role_selectors).map(|selectors| {
                    selectors.iter().filter_map(|s| LabelSelector::from_object(Some(s)).ok()).collect()
                });
                let rules = wire.rules.unwrap_or_default().into();
                self.cluster_roles.insert(key, ClusterRole { rules, labels: object.meta.labels.clone(), aggregates });
            }
            1 => drop(
                self.roles.insert(key, object.view::<WireRole>().unwrap_or_default().rules.unwrap_or_default().into()),
            ),
            2 => drop(self.cluster_bindings.insert(key, object.view().unwrap_or_default())),
            _ => drop(self.bindings.insert(key, object.view().unwrap_or_default())),
        }
    }

    pub(super) fn remove(&mut self, kind: usize, object: &Object) {
        let key = object.meta.key();
        match kind {
            0 => drop(self.cluster_roles.remove(&key)),
            1 => drop(self.roles.remove(&key)),
            2 => drop(self.cluster_bindings.remove(&key)),
            _ => drop(self.bindings.remove(&key)),
        }
    }

    pub(super) fn compile(&self) -> Compiled {
        let mut compiled = Compiled { roles: self.roles.clone(), ..Compiled::default() };
        for (name, role) in &self.cluster_roles {
            let mut path = Vec::new();
            let rules = self.resolve(name, role, &mut path);
            if role.aggregates.is_some() && *rules != *role.rules {
                compiled.stale.push((name.clone(), rules.clone()));
            }
            compiled.roles.insert(name.clone(), rules);
        }
        for (key, binding) in &self.cluster_bindings {
            let described =
                format!("ClusterRoleBinding \"{key}\" of {} \"{}\"", binding.role_ref.kind, binding.role_ref.name);
            let rules = compiled.granted(binding, "");
            add(&mut compiled.cluster, binding, "", &rules, &described);
        }
        for (key, binding) in &self.bindings {
            let (namespace, name) = api::meta::split_key(key);
            let described = format!(
                "RoleBinding \"{name}/{namespace}\" of {} \"{}\"",
                binding.role_ref.kind, binding.role_ref.name
            );
            let rules = compiled.granted(binding, namespace);
            add(compiled.namespaces.entry(namespace.into()).or_default(), binding, namespace, &rules, &described);
        }
        compiled
    }

    /// The rules of a cluster role: for an aggregate those of the roles its selectors find, in the order of their names,
    /// each once. Aggregates may find aggregates; `path` keeps them from running in circles.
    fn resolve<'a>(&'a self, name: &'a str, role: &'a ClusterRole, path: &mut Vec<&'a str>) -> Arc<[Rule]> {
        let Some(selectors) = &role.aggregates else { return role.rules.clone() };
        if path.contains(&name) {
            return Arc::default();
        }
        path.push(name);
        let mut found: Vec<(&String, &ClusterRole)> = self
            .cluster_roles
            .iter()
            .filter(|(other, r)| *other != name && selectors.iter().any(|s| s.matches(&r.labels)))
            .collect();
        found.sort_by_key(|(name, _)| *name);
        let mut rules: Vec<Rule> = Vec::new();
        for (name, role) in found {
            for rule in self.resolve(name, role, path).iter() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
        path.pop();
        rules.into()
    }
}

/// The rules of a binding's role, or why there are none.
type Granted = Result<Arc<[Rule]>, Box<str>>;

impl Compiled {
    fn granted(&self, binding: &Binding, namespace: &str) -> Granted {
        let role = &binding.role_ref;
        let (found, plural) = match &*role.kind {
            "ClusterRole" => (self.role("", &role.name), "clusterrole"),
            // A Role without a namespace to be in is nowhere.
            _ if namespace.is_empty() => (None, "role"),
            _ => (self.role(namespace, &role.name), "role"),
        };
        let missing =
            || format!("{plural}.rbac.authorization.k8s.io {} not found", api::quote::quote(&role.name)).into();
        found.cloned().ok_or_else(missing)
    }
}

fn add(by: &mut BySubject, binding: &Binding, namespace: &str, rules: &Granted, described: &str) {
    for subject in binding.subjects.iter().flatten() {
        let (map, name, shown) = match &*subject.kind {
            "User" => (&mut by.users, subject.name.clone(), subject.name.clone()),
            "Group" => (&mut by.groups, subject.name.clone(), subject.name.clone()),
            "ServiceAccount" => {
                let at = if subject.namespace.is_empty() { namespace } else { &subject.namespace };
                let name = format!("system:serviceaccount:{at}:{}", subject.name);
                (&mut by.users, name, format!("{}/{at}", subject.name))
            }
            _ => continue,
        };
        let described = format!("{described} to {} {}", subject.kind, api::quote::quote(&shown)).into();
        map.entry(name.into()).or_default().push(Arc::new(Grant { rules: rules.clone(), described }));
    }
}
