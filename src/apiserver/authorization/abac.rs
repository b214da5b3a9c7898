//! ABAC: a file with one policy a line, `abac.authorization.kubernetes.io/v1beta1`.

use api::User;
use serde::Deserialize;

use super::{Attributes, Decision, Reason, Rule};

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the policy file: {why}")]
pub struct AbacError {
    line: usize,
    why: String,
}

/// What a file of policies allows.
#[derive(Clone, Debug, Default)]
pub struct AbacPolicies(Vec<Policy>);

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    api_version: String,
    kind: String,
    spec: Policy,
}

impl AbacPolicies {
    /// Reads the content of a policy file. Empty lines and those that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, AbacError> {
        let mut policies = Vec::new();
        let lines =
            text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (at, line) in lines {
            let wrong = |why: String| AbacError { line: at + 1, why };
            let line: Line = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if (&*line.api_version, &*line.kind) != ("abac.authorization.kubernetes.io/v1beta1", "Policy") {
                return Err(wrong(format!("{} {} is no policy that is known", line.api_version, line.kind)));
            }
            let mut policy = line.spec;
            // Anybody means anybody who is somebody.
            if policy.user == "*" || policy.group == "*" {
                policy.group = api::user::AUTHENTICATED.to_owned();
                if policy.user == "*" {
                    policy.user.clear();
                }
            }
            policies.push(policy);
        }
        Ok(Self(policies))
    }

    pub(super) fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        if self.0.iter().any(|policy| policy.is_about(user) && policy.allows(what)) {
            return Decision::Allow(Reason::None);
        }
        Decision::NoOpinion("No policy matched.".into())
    }

    pub(super) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let mut rules = Vec::new();
        let one = |word: &str| vec![Box::from(word)];
        for policy in self.0.iter().filter(|policy| policy.is_about(user)) {
            let verbs: Vec<Box<str>> =
                if policy.readonly { ["get", "list", "watch"].map(Box::from).to_vec() } else { one("*") };
            if !policy.resource.is_empty() && (policy.namespace == "*" || policy.namespace == namespace) {
                let (api_groups, resources) = (one(&policy.api_group), one(&policy.resource));
                rules.push(Rule { verbs: verbs.clone(), api_groups, resources, ..Rule::default() });
            }
            if !policy.non_resource_path.is_empty() {
                let non_resource_urls = one(&policy.non_resource_path);
                rules.push(Rule { verbs, non_resource_urls, ..Rule::default() });
            }
        }
        rules
    }
}

impl Policy {
    fn is_about(&self, user: &User) -> bool {
        (!self.user.is_empty() || !self.group.is_empty())
            && (self.user.is_empty() || self.user == user.name)
            && (self.group.is_empty() || user.in_group(&self.group))
    }

    fn allows(&self, what: &Attributes<'_>) -> bool {
        if self.readonly && !matches!(what.verb, "get" | "list" | "watch") {
            return false;
        }
        let is = |policy: &str, asked: &str| policy == "*" || policy == asked;
        if what.is_resource {
            return is(&self.namespace, what.namespace)
                && is(&self.resource, what.resource)
                && is(&self.api_group, what.group);
        }
        let below = |prefix: &str| what.path.starts_with(prefix);
        self.non_resource_path == what.path || self.non_resource_path.strip_suffix('*').is_some_and(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
# everybody reads what everybody may
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"group": "*", "readonly": true, "nonResourcePath": "/version*"}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "alice", "namespace": "*", "resource": "*", "apiGroup": "*"}}
{"apiVersion": "abac.authorization.kubernetes.io/v1beta1", "kind": "Policy", "spec": {"user": "bob", "namespace": "a", "resource": "pods", "readonly": true}}
"#;

    #[test]
    fn policies_allow_what_they_name() {
        let policies = AbacPolicies::parse(FILE).unwrap();
        let check = |name: &str, verb: &str, resource: &str, namespace: &str, expect: bool| {
            let what = Attributes { verb, resource, namespace, is_resource: true, ..Attributes::default() };
            let user = User::new(name, ["dev"]);
            assert_eq!(policies.decide(&user, &what).allows(), expect, "{name} {verb} {resource} {namespace}");
        };
        check("alice", "delete", "secrets", "x", true);
        check("bob", "list", "pods", "a", true);
        check("bob", "list", "pods", "b", false);
        check("bob", "create", "pods", "a", false);
        check("carol", "get", "pods", "a", false);
        let path = Attributes { verb: "get", path: "/version", ..Attributes::default() };
        assert!(policies.decide(&User::new("carol", ["dev"]), &path).allows());
        assert!(!policies.decide(&User::anonymous(), &path).allows());
        assert_eq!(policies.rules(&User::new("bob", ["dev"]), "a").len(), 2);
        assert!(AbacPolicies::parse("{}").unwrap_err().to_string().starts_with("line 1 of the policy file"));
    }
}
