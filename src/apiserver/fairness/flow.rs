//! To which flow a request belongs: the FlowSchema that matches it first, and that schema's priority level. Clients are
//! told both by uid.

use std::sync::Arc;

use api::User;
use arc_swap::ArcSwap;
use http::HeaderValue;
use serde::Deserialize;
use watch_cache::Cache;

use crate::authorization::Attributes;

/// Follows the FlowSchemas and PriorityLevelConfigurations.
pub(crate) struct Flows {
    schemas: Arc<Cache>,
    levels: Arc<Cache>,
    compiled: ArcSwap<Compiled>,
}

#[derive(Default)]
struct Compiled {
    /// Revisions of the two caches that this was made from.
    of: (u64, u64),
    flows: Vec<(Spec, Flow)>,
}

/// What headers tell of a flow.
#[derive(Clone)]
pub(crate) struct Flow {
    pub(crate) schema_uid: HeaderValue,
    pub(crate) level_uid: HeaderValue,
}

#[derive(Deserialize)]
struct FlowSchema {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    matching_precedence: i32,
    priority_level_configuration: Named,
    #[serde(default)]
    rules: Vec<Rules>,
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

impl Flows {
    pub(crate) fn new(schemas: Arc<Cache>, levels: Arc<Cache>) -> Self {
        Self { schemas, levels, compiled: ArcSwap::default() }
    }

    /// The flow of a request; `None` where no schema matches, or the matching one names no level there is.
    pub(crate) fn classify(&self, user: &User, what: &Attributes<'_>) -> Option<Flow> {
        let now = (self.schemas.revision(), self.levels.revision());
        if self.compiled.load().of != now {
            self.compiled.store(Arc::new(self.compile(now)));
        }
        let compiled = self.compiled.load();
        compiled.flows.iter().find(|(spec, _)| spec.rules.iter().any(|r| r.matches(user, what))).map(|(_, f)| f.clone())
    }

    fn compile(&self, of: (u64, u64)) -> Compiled {
        let mut flows = Vec::new();
        for object in self.schemas.list("") {
            let Ok(schema) = object.view::<FlowSchema>() else { continue };
            let Some(level) = self.levels.get("", &schema.spec.priority_level_configuration.name) else { continue };
            let uid = |uid: &str| HeaderValue::from_str(uid).ok();
            if let (Some(schema_uid), Some(level_uid)) = (uid(&object.meta.uid), uid(&level.meta.uid)) {
                flows.push((object.meta.name.clone(), schema.spec, Flow { schema_uid, level_uid }));
            }
        }
        flows.sort_by(|(a, left, _), (b, right, _)| {
            left.matching_precedence.cmp(&right.matching_precedence).then_with(|| a.cmp(b))
        });
        Compiled { of, flows: flows.into_iter().map(|(_, spec, flow)| (spec, flow)).collect() }
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
        let resource = match what.subresource {
            "" => what.resource.to_owned(),
            sub => format!("{}/{sub}", what.resource),
        };
        let place = match what.namespace {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        place && has(&self.verbs, what.verb) && has(&self.api_groups, what.group) && has(&self.resources, &resource)
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
