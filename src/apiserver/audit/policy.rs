//! The policy file: which requests are recorded, and how much of them.

use api::User;
use api::validation::dns1123_subdomain;
use api::validation::field::{Error, ErrorList, Path};
use serde::{Deserialize, Serialize};

use super::AuditError;
use crate::authorization::Attributes;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(crate) enum Level {
    /// Nothing.
    None,
    /// Who did what, and what came of it.
    Metadata,
    /// The body of the request, too.
    Request,
    /// And that of the answer.
    RequestResponse,
}

/// When something is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Stage {
    RequestReceived,
    /// Long-running requests only.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

/// An audit policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupResources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// What the policy says of one request.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) level: Level,
    pub(crate) omit_managed_fields: bool,
    omitted: Vec<Stage>,
}

impl Decision {
    /// Whether something is recorded at a stage.
    pub(crate) fn records(&self, stage: Stage) -> bool {
        self.level != Level::None && !self.omitted.contains(&stage)
    }
}

impl Policy {
    /// Reads a policy, YAML or JSON.
    pub(crate) fn parse(text: &str) -> Result<Self, AuditError> {
        let policy: Self = serde_saphyr::from_str(text).map_err(|error| AuditError::Policy(error.to_string()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            let what = format!("unknown group version field {}, kind {} in policy", policy.api_version, policy.kind);
            return Err(AuditError::Policy(what));
        }
        if policy.rules.is_empty() {
            return Err(AuditError::Policy("loaded illegal policy with 0 rules".into()));
        }
        let mut errors = ErrorList::new();
        for (at, rule) in policy.rules.iter().enumerate() {
            rule.validate(&Path::root("rules").index(at), &mut errors);
        }
        if errors.is_empty() {
            return Ok(policy);
        }
        Err(AuditError::Policy(errors.to_string()))
    }

    /// The first rule that matches decides; nothing is recorded where none does.
    pub(crate) fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        let Some(rule) = self.rules.iter().find(|rule| rule.matches(user, what)) else {
            return Decision { level: Level::None, omit_managed_fields: false, omitted: Vec::new() };
        };
        Decision {
            level: rule.level,
            omit_managed_fields: rule.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            omitted: self.omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
        }
    }
}

impl Rule {
    fn validate(&self, path: &Path, errors: &mut ErrorList) {
        for (at, url) in self.urls.iter().enumerate() {
            let at = path.child("nonResourceURLs").index(at);
            if url != "*" && !url.starts_with('/') {
                let why = "non-resource URL rules must begin with a '/' character";
                errors.push(Error::invalid(&at, url.as_str(), why));
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                errors.push(Error::invalid(&at, url.as_str(), why));
            }
        }
        let at = path.child("resources");
        for group in &self.resources {
            // A version is no part of a group, and all groups have no name.
            let wrong = if group.group.is_empty() { Vec::new() } else { dns1123_subdomain(&group.group) };
            if !wrong.is_empty() {
                errors.push(Error::invalid(&at.child("group"), group.group.as_str(), wrong.join(",")));
            }
            if !group.resource_names.is_empty() && group.resources.is_empty() {
                let why = "using resourceNames requires at least one resource";
                errors.push(Error::invalid(&at.child("resourceNames"), group.resource_names.clone(), why));
            }
        }
        let of_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if of_resources && !self.urls.is_empty() {
            let why = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(Error::invalid(&path.child("nonResourceURLs"), self.urls.clone(), why));
        }
    }

    fn matches(&self, user: &User, what: &Attributes<'_>) -> bool {
        let has = |words: &[String], word: &str| words.is_empty() || words.iter().any(|w| w == word);
        let grouped = self.user_groups.is_empty() || self.user_groups.iter().any(|group| user.in_group(group));
        if !has(&self.users, &user.name) || !grouped || !has(&self.verbs, what.verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return what.is_resource
                && has(&self.namespaces, what.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|group| group.matches(what)));
        }
        if self.urls.is_empty() {
            return true;
        }
        let below = |url: &String| match url.strip_suffix('*') {
            Some(prefix) => what.path.starts_with(prefix),
            None => url == what.path,
        };
        !what.is_resource && self.urls.iter().any(below)
    }
}

impl GroupResources {
    fn matches(&self, what: &Attributes<'_>) -> bool {
        if self.group != what.group {
            return false;
        }
        let named = self.resource_names.is_empty() || self.resource_names.iter().any(|name| name == what.name);
        let fits = |word: &String| match word.split_once('/') {
            None => word == "*" || (what.subresource.is_empty() && word == what.resource),
            Some(("*", part)) => part == what.subresource,
            Some((resource, "*")) => resource == what.resource,
            Some((resource, part)) => resource == what.resource && part == what.subresource,
        };
        self.resources.is_empty() || (named && self.resources.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: ["watch"]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: RequestResponse
  omitManagedFields: true
  resources: [{group: "", resources: ["pods/*"], resourceNames: ["web"]}]
- level: Request
  namespaces: ["kube-system"]
  resources: [{group: "", resources: ["configmaps"]}]
- level: Metadata
  userGroups: ["devs"]
  omitStages: [ResponseStarted]
"#;

    fn check(user: &str, what: Attributes<'_>, level: Level) {
        let policy = Policy::parse(POLICY).unwrap();
        let decision = policy.decide(&User::new(user, ["devs"]), &what);
        assert_eq!(decision.level, level, "{user} {what:?}");
    }

    #[test]
    fn the_first_rule_decides() {
        let pod =
            Attributes { verb: "get", resource: "pods", namespace: "a", is_resource: true, ..Attributes::default() };
        check("system:kube-proxy", Attributes { verb: "watch", ..pod }, Level::None);
        check("system:kube-proxy", pod, Level::Metadata);
        check("u", Attributes { path: "/healthz/ping", verb: "get", ..Attributes::default() }, Level::None);
        check("u", Attributes { path: "/versions", verb: "get", ..Attributes::default() }, Level::Metadata);
        check("u", Attributes { subresource: "log", name: "web", ..pod }, Level::RequestResponse);
        check("u", Attributes { subresource: "log", name: "db", ..pod }, Level::Metadata);
        check("u", Attributes { resource: "configmaps", namespace: "kube-system", ..pod }, Level::Request);
        check("u", Attributes { resource: "configmaps", ..pod }, Level::Metadata);
        let policy = Policy::parse(POLICY).unwrap();
        assert_eq!(policy.decide(&User::new("u", ["ops"]), &pod).level, Level::None);
        let decision = policy.decide(&User::new("u", ["devs"]), &pod);
        assert!(decision.records(Stage::ResponseComplete) && !decision.records(Stage::RequestReceived));
        assert!(!decision.records(Stage::ResponseStarted) && !decision.omit_managed_fields);
    }

    #[test]
    fn policies_that_make_no_sense_are_refused() {
        let check = |text: &str, expect: &str| {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{expect}: {error}");
        };
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        check(head, "0 rules");
        // Fields that nobody knows are no reason, as upstream has it.
        assert!(Policy::parse(&format!("{head}more: 1\nrules: [{{level: None, less: 2}}]")).is_ok());
        check("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]", "unknown group version");
        check(&format!("{head}rules: [{{level: All}}]"), "All");
        check(
            &format!("{head}rules: [{{level: None, nonResourceURLs: [\"/a\"], namespaces: [b]}}]"),
            "both regular resources",
        );
        check(&format!("{head}rules: [{{level: None, nonResourceURLs: [\"/a*b\"]}}]"), "must be the final character");
        check(
            &format!("{head}rules: [{{level: None, resources: [{{resourceNames: [a]}}]}}]"),
            "rules[0].resources.resourceNames: Invalid value: [\"a\"]: using resourceNames requires at least one resource",
        );
        let group = "rules[0].resources.group: Invalid value: \"apps/v1\": a lowercase RFC 1123 subdomain";
        check(&format!("{head}rules: [{{level: None, resources: [{{group: apps/v1}}]}}]"), group);
        check(&format!("{head}rules: [{{level: None, resources: [{{group: \"*\"}}]}}]"), "Invalid value: \"*\"");
    }
}
