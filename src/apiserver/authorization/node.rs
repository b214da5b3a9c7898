//! What nodes may do: read what the pods bound to them use, and write what is theirs.
//!
//! Which node uses what is an index over the pods, claims and attachments, kept as RBAC's index is: it catches up when asked.

mod graph;

use std::sync::Arc;

use api::User;
use parking_lot::Mutex;
use watch_cache::Cache;

use super::policy;
use super::{Attributes, Decision, Rule};
use graph::Graph;

/// The kinds that tie objects to nodes.
#[derive(Clone)]
pub(crate) struct Caches {
    pub pods: Arc<Cache>,
    pub volumes: Arc<Cache>,
    pub attachments: Arc<Cache>,
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
                if yes { Decision::Allow(String::new()) } else { Decision::NoOpinion(why.to_owned()) }
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
                ("resource.k8s.io", "resourceslices") => {
                    let selected = what.field_selector.split(',').any(|t| t == format!("spec.nodeName={node}"));
                    let verb = match what.verb {
                        "list" | "watch" | "deletecollection" => selected,
                        "get" | "create" | "update" | "patch" | "delete" => true,
                        _ => false,
                    };
                    return own(
                        verb,
                        "can only list/watch/deletecollection resourceslices with nodeName field selector",
                    );
                }
                ("", "nodes") if what.subresource.is_empty() && matches!(what.verb, "get" | "list" | "watch") => {
                    return own(what.name == node, "node can only read its own Node object");
                }
                ("", "pods") if what.subresource.is_empty() && matches!(what.verb, "list" | "watch" | "get") => {
                    return self.pods(node, what);
                }
                _ => {}
            }
        }
        let allowed = self.rules.iter().any(|rule| rule.allows(what));
        if allowed { Decision::Allow(String::new()) } else { Decision::NoOpinion(String::new()) }
    }

    fn pods(&self, node: &str, what: &Attributes<'_>) -> Decision {
        let selected =
            what.field_selector.split(',').any(|term| term.replace("==", "=") == format!("spec.nodeName={node}"));
        let its = match what.verb {
            "get" => self.graph.lock().current().pod_is_on(what.namespace, what.name, node),
            _ => selected,
        };
        if its {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion("can only list/watch pods with spec.nodeName field selector".into())
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
        self.related(node, what)
    }

    fn related(&self, node: &str, what: &Attributes<'_>) -> Decision {
        if what.name.is_empty() {
            return Decision::NoOpinion("No Object name found".into());
        }
        if self.graph.lock().current().uses(node, what.resource, what.namespace, what.name) {
            return Decision::Allow(String::new());
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

/// The node a user is, if it is one.
pub(crate) fn node_name(user: &User) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    (!name.is_empty() && user.in_group(api::user::NODES)).then_some(name)
}
