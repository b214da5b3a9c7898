//! What nodes may do: read what the pods bound to them use, and write what is theirs.
//!
//! Which node uses what is an index over the pods, claims and attachments, kept as RBAC's index is: it catches up when asked.

mod graph;

use std::sync::Arc;

use api::User;
use parking_lot::Mutex;
use watch_cache::Cache;

use super::policy;
use super::{Attributes, Decision, Reason, Rule};
use graph::Graph;
pub(crate) use graph::pod_uses as uses_of_pod;

/// The kinds that tie objects to nodes.
#[derive(Clone)]
pub(crate) struct Caches {
    pub pods: Arc<Cache>,
    pub volumes: Arc<Cache>,
    pub attachments: Arc<Cache>,
    pub slices: Arc<Cache>,
}

/// The node authorizer.
pub(crate) struct NodeGraph {
    graph: Mutex<Graph>,
    rules: Vec<Rule>,
}

impl NodeGraph {
    /// The caches have to be filled.
    pub(super) fn new(caches: Caches) -> Self {
        Self { graph: Mutex::new(Graph::new(caches)), rules: policy::node_rules() }
    }

    pub(super) fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        let Some(node) = node_name(user) else { return Decision::NoOpinion(String::new()) };
        if what.is_resource {
            let own = |yes: bool, why: &str| {
                if yes { Decision::Allow(Reason::None) } else { Decision::NoOpinion(why.to_owned()) }
            };
            match (what.group, what.resource) {
                ("", "secrets" | "configmaps") => return self.read(node, what, true),
                ("", "persistentvolumeclaims") if what.subresource == "status" => {
                    return match what.verb {
                        "get" | "update" | "patch" => self.related(node, what),
                        _ => Decision::NoOpinion("can only get, update and patch the status of claims".into()),
                    };
                }
                ("", "persistentvolumeclaims" | "persistentvolumes") | ("resource.k8s.io", "resourceclaims") => {
                    return self.read(node, what, false);
                }
                ("storage.k8s.io", "volumeattachments") => return self.read(node, what, false),
                ("", "serviceaccounts") => return self.service_account(node, what),
                ("coordination.k8s.io", "leases") => {
                    let verb = matches!(what.verb, "get" | "create" | "update" | "patch" | "delete");
                    let named = what.verb == "create" || what.name == node;
                    return own(
                        verb && named && what.namespace == "kube-node-lease",
                        "can only access node lease with the same name as the requesting node",
                    );
                }
                ("storage.k8s.io", "csinodes") => {
                    let verb = matches!(what.verb, "get" | "create" | "update" | "patch" | "delete");
                    let named = what.verb == "create" || what.name == node;
                    return own(verb && named, "can only access CSINode with the same name as the requesting node");
                }
                ("resource.k8s.io", "resourceslices") => return self.slice(node, what),
                ("", "nodes") => return own_node(node, what),
                ("", "pods") => return self.pod(node, what),
                _ => {}
            }
        }
        let allowed = self.rules.iter().any(|rule| rule.allows(what));
        if allowed { Decision::Allow(Reason::None) } else { Decision::NoOpinion(String::new()) }
    }

    fn pod(&self, node: &str, what: &Attributes<'_>) -> Decision {
        match (what.subresource, what.verb) {
            ("", "get") => self.read(node, what, false),
            ("", "list" | "watch") if selects(what, node) => Decision::Allow(Reason::None),
            ("", "list" | "watch") => {
                Decision::NoOpinion("can only list/watch pods with spec.nodeName field selector".into())
            }
            // Which of them, is NodeRestriction's to know.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => {
                Decision::Allow(Reason::None)
            }
            _ => Decision::NoOpinion(String::new()),
        }
    }

    fn slice(&self, node: &str, what: &Attributes<'_>) -> Decision {
        if !what.subresource.is_empty() {
            return Decision::NoOpinion("cannot authorize ResourceSlice subresources".into());
        }
        match what.verb {
            // Which node's, is NodeRestriction's to know.
            "create" => Decision::Allow(Reason::None),
            "get" | "update" | "patch" | "delete" => self.related(node, what),
            "watch" | "list" | "deletecollection" if selects(what, node) => Decision::Allow(Reason::None),
            "watch" | "list" | "deletecollection" => Decision::NoOpinion(
                "can only list/watch/deletecollection resourceslices with nodeName field selector".into(),
            ),
            _ => Decision::NoOpinion(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
                    .into(),
            ),
        }
    }

    fn read(&self, node: &str, what: &Attributes<'_>, watchable: bool) -> Decision {
        if !what.subresource.is_empty() {
            return Decision::NoOpinion("cannot read subresource".into());
        }
        let verb = what.verb == "get" || (watchable && matches!(what.verb, "list" | "watch"));
        if !verb {
            let verbs = if watchable {
                "can only read resources of this type"
            } else {
                "can only get individual resources of this type"
            };
            return Decision::NoOpinion(verbs.into());
        }
        if watchable && what.namespace.is_empty() {
            return Decision::NoOpinion("can only read namespaced object of this type".into());
        }
        self.related(node, what)
    }

    fn related(&self, node: &str, what: &Attributes<'_>) -> Decision {
        if what.name.is_empty() {
            return Decision::NoOpinion("No Object name found".into());
        }
        if self.graph.lock().current().uses(node, what.resource, what.namespace, what.name) {
            return Decision::Allow(Reason::None);
        }
        Decision::NoOpinion(format!("no relationship found between node '{node}' and this object"))
    }

    fn service_account(&self, node: &str, what: &Attributes<'_>) -> Decision {
        match (what.verb, what.subresource) {
            ("create", "token") | ("get", "") => self.related(node, what),
            (_, "token") => Decision::NoOpinion("can only create tokens for individual service accounts".into()),
            _ => Decision::NoOpinion("can only get individual service accounts".into()),
        }
    }
}

/// Whether a request asks for nothing but what is on a node.
fn selects(what: &Attributes<'_>, node: &str) -> bool {
    let mut terms = what.field_selector.split(',').filter_map(|term| term.split_once('='));
    terms.any(|(field, value)| field == "spec.nodeName" && value.trim_start_matches('=') == node)
}

/// A node writes nodes and reads itself; NodeRestriction knows which it may write.
fn own_node(node: &str, what: &Attributes<'_>) -> Decision {
    match (what.subresource, what.verb) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Decision::Allow(Reason::None),
        ("", "get" | "list" | "watch") if what.name == node => Decision::Allow(Reason::None),
        ("", "get" | "list" | "watch") => {
            let other = if what.name.is_empty() { "all nodes".to_owned() } else { format!("'{}'", what.name) };
            Decision::NoOpinion(format!("node '{node}' cannot read {other}, only its own Node object"))
        }
        _ => Decision::NoOpinion(String::new()),
    }
}

/// The node a user is, if it is one.
pub(crate) fn node_name(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    (!name.is_empty() && user.in_group(api::user::NODES)).then_some(name)
}
