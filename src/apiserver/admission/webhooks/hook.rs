//! One webhook of a configuration, compiled: which writes it is about, and how it is called.

use std::sync::Arc;
use std::time::Duration;

use api::selector::{LabelSelector, SelectorError};
use api::{Object, ObjectError, Resource, Status};
use base64::Engine;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Equivalents;
use super::review::{self, Answer, Version};
use crate::Registry;
use crate::admission::{Attributes, Verb};
use crate::tree::Tree;
use crate::webhook::{Access, Client, Place, Target};

/// One webhook.
#[derive(Debug)]
pub(super) struct Hook {
    /// Unique among all webhooks of the kind: `configuration/name/number`.
    pub(super) id: Arc<str>,
    pub(super) configuration: String,
    pub(super) name: String,
    /// Whether it is called again when the object was changed after it (mutating webhooks).
    pub(super) reinvocable: bool,
    /// Whether a write goes on when it cannot be asked.
    pub(super) fails_open: bool,
    rules: Vec<Rule>,
    equivalent: bool,
    namespaces: Result<LabelSelector, SelectorError>,
    objects: Result<LabelSelector, SelectorError>,
    dry_runs: bool,
    timeout: Duration,
    version: Option<Version>,
    target: Result<Arc<Target>, String>,
}

/// Why a webhook did not let a write pass.
pub(super) enum Failure {
    /// It could not be asked, or gave no answer that makes sense: `failurePolicy` decides. In upstream's words.
    Call(String),
    /// It refused, or it can never be asked about such a write.
    Refusal(Box<Status>),
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    webhooks: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: String,
    client_config: ClientConfig,
    rules: Vec<Rule>,
    failure_policy: String,
    match_policy: String,
    namespace_selector: Option<Value>,
    object_selector: Option<Value>,
    side_effects: String,
    timeout_seconds: Option<u64>,
    admission_review_versions: Vec<String>,
    reinvocation_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ClientConfig {
    url: Option<String>,
    service: Option<Service>,
    ca_bundle: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    namespace: String,
    name: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

/// What a webhook wants to see.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    operations: Vec<String>,
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    resources: Vec<String>,
    scope: Option<String>,
}

impl Hook {
    /// All webhooks of a configuration.
    pub(super) fn compile(configuration: &Object, client: &Client) -> Result<Vec<Self>, ObjectError> {
        let Configuration { webhooks } = configuration.view()?;
        let name = &*configuration.meta.name;
        let number = |at: usize| webhooks[..at].iter().filter(|other| other.name == webhooks[at].name).count();
        let numbers: Vec<usize> = (0..webhooks.len()).map(number).collect();
        Ok(webhooks.into_iter().zip(numbers).map(|(entry, number)| Self::new(name, number, entry, client)).collect())
    }

    fn new(configuration: &str, number: usize, entry: Entry, client: &Client) -> Self {
        Self {
            id: format!("{configuration}/{}/{number}", entry.name).into(),
            configuration: configuration.to_owned(),
            reinvocable: entry.reinvocation_policy == "IfNeeded",
            fails_open: entry.failure_policy == "Ignore",
            rules: entry.rules,
            equivalent: entry.match_policy != "Exact",
            namespaces: selector(entry.namespace_selector),
            objects: selector(entry.object_selector),
            dry_runs: matches!(&*entry.side_effects, "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(entry.timeout_seconds.unwrap_or(10)),
            version: entry.admission_review_versions.iter().find_map(|version| Version::named(version)),
            target: entry.client_config.target(client),
            name: entry.name,
        }
    }

    /// The row through which the webhook wants to see such writes, by its rules alone.
    pub(super) fn row<'a>(
        &self,
        attributes: &'a Attributes,
        equivalents: &'a Equivalents,
    ) -> Option<&'a Arc<Resource>> {
        let wants = |row: &Resource| self.rules.iter().any(|rule| rule.matches(attributes, row));
        if wants(&attributes.requested) {
            return Some(&attributes.requested);
        }
        if !self.equivalent {
            return None;
        }
        let serves = |row: &Resource| attributes.subresource.is_empty() || row.has_subresource(&attributes.subresource);
        // Earlier rules go before later ones.
        let find = |rule: &Rule| {
            equivalents.of(&attributes.requested).find(|row| serves(row) && rule.matches(attributes, row))
        };
        self.rules.iter().find_map(find)
    }

    /// Whether its selectors want to see the write.
    pub(super) async fn selects(&self, registry: &Registry, attributes: &Attributes) -> Result<bool, Status> {
        Ok(self.selects_namespace(registry, attributes).await? && self.selects_object(attributes)?)
    }

    async fn selects_namespace(&self, registry: &Registry, attributes: &Attributes) -> Result<bool, Status> {
        let (namespace, is_namespace) = (attributes.about_namespace(), is_namespace(&attributes.requested));
        if namespace.is_empty() && !is_namespace {
            // Objects of the cluster are of no namespace that could be left out.
            return Ok(true);
        }
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        if selector.is_everything() {
            return Ok(true);
        }
        if is_namespace && attributes.subresource.is_empty() && matches!(attributes.verb, Verb::Create | Verb::Update) {
            return Ok(selector.matches(&labels(&attributes.object)));
        }
        let found = match registry.namespace(namespace) {
            Some(found) => Some(found),
            None => registry.namespace_now(namespace).await?,
        };
        let found = found.ok_or_else(|| Status::not_found("", "namespaces", namespace))?;
        Ok(selector.matches(&found.meta.labels))
    }

    fn selects_object(&self, attributes: &Attributes) -> Result<bool, Status> {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        // A scale has no labels, whatever it is the scale of.
        let scale = attributes.subresource == "scale";
        let matches = |object: &Value| match object.at("metadata") {
            None => false,
            Some(_) if scale => selector.matches(&Map::new()),
            Some(_) => selector.matches(&labels(object)),
        };
        Ok(selector.is_everything() || matches(&attributes.object) || matches(&attributes.old))
    }

    /// Asks the webhook. `object` and `old` are as `row` shows them.
    pub(super) async fn ask(
        &self,
        attributes: &Attributes,
        row: &Resource,
        object: &Value,
        old: &Value,
        mutating: bool,
    ) -> Result<Answer, Failure> {
        let quoted = api::quote::quote(&self.name);
        let call = |why: String| Failure::Call(format!("failed calling webhook {quoted}: {why}"));
        if attributes.dry_run && !self.dry_runs {
            let why = format!("admission webhook {quoted} does not support dry run");
            return Err(Failure::Refusal(Box::new(Status::bad_request(why))));
        }
        let version = self.version.ok_or_else(|| {
            let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            call(format!("could not create admission objects: {why}"))
        })?;
        let target = self.target.as_ref().map_err(|why| call(format!("could not get REST client: {why}")))?;
        let (uid, body) = review::question(version, attributes, row, object, old);
        let answered = target.post(body, self.timeout).await;
        let bytes = answered.map_err(|error| call(format!("failed to call webhook: {error}")))?;
        let answer = review::answer(version, &uid, &bytes, mutating).map_err(|error| call(error.to_string()))?;
        for (key, value) in &answer.audit_annotations {
            crate::notes::annotate(format!("{}/{key}", self.name), value.clone());
        }
        answer.warnings.iter().for_each(crate::notes::warn);
        if answer.allowed {
            Ok(answer)
        } else {
            Err(Failure::Refusal(Box::new(review::refusal(&self.name, answer.status))))
        }
    }
}

impl ClientConfig {
    fn target(self, client: &Client) -> Result<Arc<Target>, String> {
        let place = match (self.url, self.service) {
            (Some(url), _) => Place::Url(url.parse().map_err(|error| format!("Unparsable URL: {error}"))?),
            (None, Some(service)) => Place::Service {
                namespace: service.namespace,
                name: service.name,
                path: service.path.unwrap_or_default(),
                port: service.port.unwrap_or(443),
            },
            (None, None) => return Err("webhook configuration must have either service or URL".into()),
        };
        let bundle = base64::engine::general_purpose::STANDARD.decode(self.ca_bundle.unwrap_or_default());
        let bundle = bundle.map_err(|_| "the caBundle is not base64".to_owned())?;
        client.target(&Access::new(place, &bundle)).map_err(|error| error.to_string())
    }
}

impl Rule {
    fn matches(&self, attributes: &Attributes, row: &Resource) -> bool {
        let has = |items: &[String], wanted: &str| items.iter().any(|item| item == "*" || item == wanted);
        self.in_scope(attributes, row)
            && has(&self.operations, attributes.verb.name())
            && has(&self.api_groups, &row.group)
            && has(&self.api_versions, &row.version)
            && self.resources.iter().any(|named| {
                let (plural, subresource) = named.split_once('/').unwrap_or((named, ""));
                (plural == "*" || *plural == *row.plural)
                    && (subresource == "*" || subresource == attributes.subresource)
            })
    }

    fn in_scope(&self, attributes: &Attributes, row: &Resource) -> bool {
        let of_cluster = attributes.namespace.is_empty() || is_namespace(row);
        match self.scope.as_deref() {
            None | Some("*" | "") => true,
            Some("Namespaced") => !of_cluster,
            Some("Cluster") => of_cluster,
            Some(_) => false,
        }
    }
}

fn is_namespace(row: &Resource) -> bool {
    row.is_core() && &*row.plural == "namespaces"
}

/// No selector selects everything, as its default says.
fn selector(selector: Option<Value>) -> Result<LabelSelector, SelectorError> {
    match selector.filter(|selector| !selector.is_null()) {
        None => Ok(LabelSelector::everything()),
        some => LabelSelector::from_object(some.as_ref()),
    }
}

fn labels(object: &Value) -> Map<String, Value> {
    object.at("metadata.labels").and_then(Value::as_object).cloned().unwrap_or_default()
}
