//! Who may do what: the node authorizer, then RBAC, unless configuration says always or never.

pub(crate) mod aggregation;
pub(crate) mod bootstrap;
mod node;
mod policy;
pub(crate) mod rbac;
pub(crate) mod review;
mod rule;

use std::sync::Arc;

use api::{Status, User};

pub(crate) use rule::Rule;

use node::NodeGraph;
use rbac::Rbac;

/// What is about to be done, as authorization sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub version: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// Whether it is about a resource; else `path` counts.
    pub is_resource: bool,
    pub path: &'a str,
    /// `fieldSelector` of lists and watches.
    pub field_selector: &'a str,
}

/// One authorizer of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizationMode {
    /// Nodes may do what their pods need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everybody may do everything.
    AlwaysAllow,
    /// Nobody may do anything, `system:masters` excepted.
    AlwaysDeny,
}

/// The outcome, with a reason for people; a refusal's reason may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow(String),
    /// Nobody had an opinion, which is a refusal in the end.
    NoOpinion(String),
}

/// The chain of authorizers.
pub(crate) struct Authorizer {
    pub(crate) modes: Vec<AuthorizationMode>,
    pub(crate) rbac: Arc<Rbac>,
    pub(crate) nodes: NodeGraph,
}

impl Authorizer {
    pub(crate) fn new(modes: Vec<AuthorizationMode>, rbac: Arc<Rbac>, caches: node::Caches) -> Self {
        Self { modes, rbac, nodes: NodeGraph::new(caches) }
    }

    /// Asks each authorizer in turn; the first that has an opinion decides.
    pub(crate) async fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        if user.in_group(api::user::MASTERS) {
            return Decision::Allow(String::new());
        }
        let mut reasons = Vec::new();
        for mode in &self.modes {
            let decision = match mode {
                AuthorizationMode::AlwaysAllow => Decision::Allow(String::new()),
                AuthorizationMode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".into()),
                AuthorizationMode::Node => self.nodes.decide(user, what),
                AuthorizationMode::Rbac => self.rbac.decide(user, what),
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }

    /// As [`Authorizer::decide`], a refusal being 403 in upstream's words.
    pub(crate) async fn authorize(&self, user: &User, what: &Attributes<'_>) -> Result<(), Status> {
        match self.decide(user, what).await {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(forbidden(user, what, &reason)),
        }
    }
}

pub(crate) use node::Caches as NodeCaches;

/// 403 with upstream's sentence about who cannot do what.
pub(crate) fn forbidden(user: &User, what: &Attributes<'_>, reason: &str) -> Status {
    // Browsers may show this text.
    let tame = |text: String| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let (who, verb) = (api::quote::quote(&user.name), what.verb);
    let sentence = if what.is_resource {
        let resource = match what.subresource {
            "" => what.resource.to_owned(),
            sub => format!("{}/{sub}", what.resource),
        };
        let (resource, group) = (api::quote::quote(&resource), api::quote::quote(what.group));
        let place = match what.namespace {
            "" => "at the cluster scope".to_owned(),
            ns => format!("in the namespace {}", api::quote::quote(ns)),
        };
        tame(format!("User {who} cannot {verb} resource {resource} in API group {group} {place}"))
    } else {
        tame(format!("User {who} cannot {verb} path {}", api::quote::quote(what.path)))
    };
    let why = if reason.is_empty() { sentence } else { format!("{sentence}: {reason}") };
    if what.is_resource {
        Status::forbidden(what.group, what.resource, what.name, why)
    } else {
        Status::failure(403, "Forbidden", format!("forbidden: {why}")).about("", "", "")
    }
}

impl std::fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authorizer").field(&self.modes).finish()
    }
}
