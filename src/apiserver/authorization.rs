//! Who may do what: the authorizers that configuration names, in its order; the first that has an opinion decides.

mod abac;
pub(crate) mod aggregation;
pub(crate) mod bootstrap;
mod conditions;
mod config;
mod node;
mod policy;
pub(crate) mod rbac;
pub(crate) mod review;
mod rule;
#[cfg(test)]
mod tests;
mod webhook;

use std::fmt;
use std::sync::Arc;

use api::validation::field::aggregate;
use api::{Status, User};
use arc_swap::ArcSwap;

pub use abac::{AbacError, AbacPolicies};
pub use conditions::MatchConditions;
pub use config::{AuthorizationConfigError, read_authorization};
pub(crate) use node::uses_of_pod;
pub(crate) use rule::Rule;
pub use webhook::{AuthorizationWebhook, OnFailure};

use node::NodeGraph;
use rbac::{Grant, Rbac};

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
    /// `fieldSelector` of lists, watches and deletions of collections.
    pub field_selector: &'a str,
    /// `labelSelector` of the same.
    pub label_selector: &'a str,
}

/// One authorizer of the chain.
#[derive(Clone, Debug)]
pub enum AuthorizationMode {
    /// Nodes may do what their pods need.
    Node,
    /// Roles and bindings.
    Rbac,
    /// Everybody may do everything.
    AlwaysAllow,
    /// Nobody may do anything, `system:masters` excepted.
    AlwaysDeny,
    /// What a file of policies says.
    Abac(AbacPolicies),
    /// What a webhook says.
    Webhook(Box<AuthorizationWebhook>),
}

/// Why something is or is not allowed, for people; may be empty. Nothing is copied to say it.
#[derive(Clone, Debug)]
pub(crate) enum Reason {
    None,
    /// A grant of RBAC.
    Granted(Arc<Grant>),
    Text(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Granted(grant) => write!(f, "RBAC: allowed by {}", grant.described),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Reason {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::None } else { Self::Text(text.to_owned()) }
    }
}

/// The outcome, with a reason for people.
#[derive(Clone, Debug)]
pub(crate) enum Decision {
    Allow(Reason),
    /// Nobody had an opinion, which is a refusal in the end.
    NoOpinion(String),
    /// Refused, whatever others would say.
    Deny(String),
    /// Nobody could be asked, and nobody else allowed it: what went wrong. Nobody else was to be asked where it `denies`.
    Failed {
        why: String,
        denies: bool,
    },
}

impl Decision {
    pub(crate) fn allows(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// Whether the request may go on; a refusal is 403 in upstream's words, and 500 where nobody could be asked.
    pub(crate) fn into_permission(self, user: &User, what: &Attributes<'_>) -> Result<(), Status> {
        match self {
            Self::Allow(_) => Ok(()),
            Self::NoOpinion(reason) | Self::Deny(reason) => Err(forbidden(user, what, &reason)),
            Self::Failed { why, .. } => {
                tracing::warn!(%why, "nobody could be asked whether a request is allowed");
                Err(Status::internal(why))
            }
        }
    }
}

/// An authorizer, ready to be asked.
enum Mode {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
    Abac(AbacPolicies),
    Webhook(Box<webhook::Reviewer>),
}

/// Authorizers that can be asked.
fn ready(
    modes: Vec<AuthorizationMode>,
    client: &crate::webhook::Client,
) -> Result<Vec<Mode>, crate::webhook::TrustError> {
    let ready = |mode| {
        Ok::<_, crate::webhook::TrustError>(match mode {
            AuthorizationMode::Node => Mode::Node,
            AuthorizationMode::Rbac => Mode::Rbac,
            AuthorizationMode::AlwaysAllow => Mode::AlwaysAllow,
            AuthorizationMode::AlwaysDeny => Mode::AlwaysDeny,
            AuthorizationMode::Abac(policies) => Mode::Abac(policies),
            AuthorizationMode::Webhook(webhook) => {
                let target = client.target(&webhook.access)?;
                Mode::Webhook(Box::new(webhook::Reviewer::new(*webhook, target)))
            }
        })
    };
    modes.into_iter().map(ready).collect()
}

/// The chain of authorizers.
pub(crate) struct Authorizer {
    modes: ArcSwap<Vec<Mode>>,
    /// What ABAC goes by, if it is asked, or was at the start.
    policies: Option<AbacPolicies>,
    pub(crate) rbac: Arc<Rbac>,
    nodes: NodeGraph,
}

impl fmt::Debug for Authorizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorizer").field("modes", &self.modes.load().len()).finish_non_exhaustive()
    }
}

impl Authorizer {
    pub(crate) fn new(
        modes: Vec<AuthorizationMode>,
        rbac: Arc<Rbac>,
        caches: node::Caches,
        client: &crate::webhook::Client,
    ) -> Result<Self, crate::webhook::TrustError> {
        let policies = modes.iter().find_map(|mode| match mode {
            AuthorizationMode::Abac(policies) => Some(policies.clone()),
            _ => None,
        });
        let modes = ArcSwap::from_pointee(ready(modes, client)?);
        Ok(Self { modes, policies, rbac, nodes: NodeGraph::new(caches) })
    }

    /// What ABAC goes by; none where it was not asked at the start.
    pub(crate) fn policies(&self) -> Option<&AbacPolicies> {
        self.policies.as_ref()
    }

    /// Other authorizers decide from now on.
    pub(crate) fn replace(
        &self,
        modes: Vec<AuthorizationMode>,
        client: &crate::webhook::Client,
    ) -> Result<(), crate::webhook::TrustError> {
        self.modes.store(Arc::new(ready(modes, client)?));
        Ok(())
    }

    /// Asks each authorizer in turn; the first that has an opinion decides. Waits only for webhooks.
    pub(crate) async fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        if user.in_group(api::user::MASTERS) {
            return Decision::Allow(Reason::None);
        }
        let (mut reasons, mut failures) = (Vec::new(), Vec::new());
        let modes = self.modes.load_full();
        for mode in modes.iter() {
            let decision = match mode {
                Mode::AlwaysAllow => Decision::Allow(Reason::None),
                Mode::AlwaysDeny => Decision::NoOpinion("Everything is forbidden.".into()),
                Mode::Node => self.nodes.decide(user, what),
                Mode::Rbac => self.rbac.decide(user, what),
                Mode::Abac(policies) => policies.decide(user, what),
                Mode::Webhook(webhook) => Box::pin(webhook.decide(user, what)).await,
            };
            match decision {
                Decision::NoOpinion(reason) if reason.is_empty() => {}
                Decision::NoOpinion(reason) => reasons.push(reason),
                Decision::Failed { why, denies: false } => failures.push(why),
                decided => return decided,
            }
        }
        if failures.is_empty() {
            Decision::NoOpinion(reasons.join("\n"))
        } else {
            Decision::Failed { why: aggregate(failures), denies: false }
        }
    }

    /// As [`Authorizer::decide`], a refusal being 403 in upstream's words.
    pub(crate) async fn authorize(&self, user: &User, what: &Attributes<'_>) -> Result<(), Status> {
        self.decide(user, what).await.into_permission(user, what)
    }

    /// Every rule by which a user may do something in a namespace; and why there may be more that nobody can list.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<&'static str>) {
        let (mut rules, mut unlisted) = (Vec::new(), Vec::new());
        for mode in self.modes.load().iter() {
            match mode {
                Mode::Rbac => rules.extend(self.rbac.rules(user, namespace)),
                Mode::Abac(policies) => rules.extend(policies.rules(user, namespace)),
                Mode::AlwaysAllow => rules.extend(Rule::everything()),
                Mode::Node if node::node_name(user).is_some() => {
                    unlisted.push("node authorizer does not support user rule resolution");
                }
                Mode::Webhook(_) => unlisted.push("webhook authorizer does not support user rule resolution"),
                Mode::Node | Mode::AlwaysDeny => {}
            }
        }
        (rules, unlisted)
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
