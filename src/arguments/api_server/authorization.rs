//! The arguments about what users may do.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::webhook::Access;
use apiserver::{
    AbacPolicies, AuthorizationMode, AuthorizationWebhook, ConfigFile, MatchConditions, OnFailure, read_authorization,
};

use super::super::values::words;
use super::file;

/// How long a request waits for the webhook.
const WAIT: Duration = Duration::from_secs(30);

/// What was given, one by one.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) modes: Option<Vec<String>>,
    /// The file of `authorization-config`.
    pub(super) config: Option<ConfigFile>,
    pub(super) policies: Option<AbacPolicies>,
    pub(super) webhook: Option<Access>,
    pub(super) webhook_version: String,
    pub(super) authorized_ttl: Duration,
    pub(super) unauthorized_ttl: Duration,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            modes: None,
            config: None,
            policies: None,
            webhook: None,
            webhook_version: "v1beta1".into(),
            authorized_ttl: Duration::from_secs(300),
            unauthorized_ttl: Duration::from_secs(30),
        }
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("modes", &self.modes).finish_non_exhaustive()
    }
}

impl Given {
    /// The authorizers, in their order.
    pub(super) fn settle(&self) -> Result<Vec<AuthorizationMode>> {
        if let Some(config) = &self.config {
            if self.modes.is_some() || self.webhook.is_some() {
                bail!(
                    "--kube-apiserver-arg: authorization-config can not be specified when authorization-mode or authorization-webhook-* flags are set"
                );
            }
            let modes = read_authorization(&config.text, self.policies.as_ref());
            return modes.context("--kube-apiserver-arg authorization-config");
        }
        let default = || ["Node", "RBAC"].map(str::to_owned).to_vec();
        let modes = self.modes.clone().unwrap_or_else(default);
        let without = |argument: &str, mode: &str| -> Result<()> {
            bail!("--kube-apiserver-arg: {argument} goes with authorization-mode {mode}, and the mode with it")
        };
        if self.policies.is_some() != modes.iter().any(|mode| mode == "ABAC") {
            without("authorization-policy-file", "ABAC")?;
        }
        if self.webhook.is_some() != modes.iter().any(|mode| mode == "Webhook") {
            without("authorization-webhook-config-file", "Webhook")?;
        }
        Ok(modes.iter().filter_map(|mode| self.mode(mode)).collect())
    }

    fn mode(&self, name: &str) -> Option<AuthorizationMode> {
        Some(match name {
            "Node" => AuthorizationMode::Node,
            "RBAC" => AuthorizationMode::Rbac,
            "AlwaysAllow" => AuthorizationMode::AlwaysAllow,
            "AlwaysDeny" => AuthorizationMode::AlwaysDeny,
            "ABAC" => AuthorizationMode::Abac(self.policies.clone()?),
            _ => AuthorizationMode::Webhook(Box::new(AuthorizationWebhook {
                access: self.webhook.clone()?,
                version: self.webhook_version.clone(),
                authorized_ttl: self.authorized_ttl,
                unauthorized_ttl: self.unauthorized_ttl,
                timeout: WAIT,
                on_failure: OnFailure::NoOpinion,
                conditions: MatchConditions::default(),
            })),
        })
    }
}

pub(super) fn modes(text: &str) -> Result<Vec<String>, String> {
    const KNOWN: [&str; 6] = ["ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook"];
    let modes = words(text);
    for (at, mode) in modes.iter().enumerate() {
        if !KNOWN.contains(&&**mode) {
            return Err(format!("{mode:?} is no mode: there is {}", KNOWN.join(", ")));
        }
        if modes[..at].contains(mode) {
            return Err(format!("{mode} is said more than once"));
        }
    }
    if modes.is_empty() { Err("at least one mode must be passed".into()) } else { Ok(modes) }
}

pub(super) fn policies(path: &str) -> Result<AbacPolicies, String> {
    AbacPolicies::parse(&file(path)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_go_with_what_they_need() {
        let given = |text: &str| Given { modes: Some(modes(text).unwrap()), ..Given::default() };
        assert_eq!(Given::default().settle().unwrap().len(), 2);
        assert_eq!(given("AlwaysDeny,RBAC").settle().unwrap().len(), 2);
        assert!(given("ABAC").settle().unwrap_err().to_string().contains("authorization-policy-file"));
        assert!(given("Webhook").settle().is_err());
        let with = Given { policies: Some(AbacPolicies::default()), ..given("RBAC,ABAC") };
        assert_eq!(with.settle().unwrap().len(), 2);
        assert!(modes("RBAC,RBAC").is_err() && modes("X").is_err() && modes("").is_err());
    }
}
