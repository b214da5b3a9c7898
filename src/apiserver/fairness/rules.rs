//! Which requests a FlowSchema means.

use api::User;
use serde::Deserialize;

use crate::authorization::Attributes;

/// The specification of a FlowSchema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    #[serde(default)]
    matching_precedence: i32,
    priority_level_configuration: Named,
    #[serde(default)]
    distinguisher_method: Option<Method>,
    #[serde(default)]
    rules: Vec<Rules>,
}

/// What tells the flows of one schema apart.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Distinguisher {
    ByUser,
    ByNamespace,
}

#[derive(Deserialize)]
struct Method {
    #[serde(rename = "type")]
    kind: Distinguisher,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    user: Option<Account>,
    group: Option<Account>,
    service_account: Option<Account>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Account {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

impl Spec {
    /// Lower is asked first.
    pub(super) fn precedence(&self) -> i32 {
        self.matching_precedence
    }

    /// The name of the level it sends its requests to.
    pub(super) fn level(&self) -> &str {
        &self.priority_level_configuration.name
    }

    pub(super) fn distinguisher(&self) -> Option<Distinguisher> {
        self.distinguisher_method.as_ref().map(|method| method.kind)
    }

    /// Whether it means a request.
    pub(super) fn matches(&self, user: &User, what: &Attributes<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(user, what))
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|w| w == "*" || w == word)
}

impl Rules {
    fn matches(&self, user: &User, what: &Attributes<'_>) -> bool {
        self.subjects.iter().any(|subject| subject.is(user))
            && if what.is_resource {
                self.resource_rules.iter().any(|rule| rule.matches(what))
            } else {
                self.non_resource_rules.iter().any(|rule| rule.matches(what))
            }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        let account =
            |a: &Account| match user.name.strip_prefix("system:serviceaccount:").and_then(|n| n.split_once(':')) {
                Some((namespace, name)) => namespace == a.namespace && (a.name == "*" || a.name == name),
                None => false,
            };
        self.user.as_ref().is_some_and(|u| u.name == "*" || u.name == user.name)
            || self.group.as_ref().is_some_and(|g| g.name == "*" || user.in_group(&g.name))
            || self.service_account.as_ref().is_some_and(account)
    }
}

impl ResourceRule {
    fn matches(&self, what: &Attributes<'_>) -> bool {
        let named = |word: &String| match what.subresource {
            "" => word == what.resource,
            sub => word.split_once('/').is_some_and(|(resource, part)| resource == what.resource && part == sub),
        };
        let resources = || self.resources.iter().any(|word| word == "*" || named(word));
        let place = match what.namespace {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        place && has(&self.verbs, what.verb) && has(&self.api_groups, what.group) && resources()
    }
}

impl PathRule {
    fn matches(&self, what: &Attributes<'_>) -> bool {
        let below = |url: &String| match url.strip_suffix('*') {
            Some(prefix) => what.path.starts_with(prefix),
            None => url == what.path,
        };
        has(&self.verbs, what.verb) && self.urls.iter().any(below)
    }
}
