//! One webhook of a configuration, compiled: which writes it is about, and how it is called.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::{Object, ObjectError, Resource, Status};
use serde::Deserialize;
use serde_json::Value;

use super::review::{self, Answer, Version};
use crate::Registry;
use crate::admission::Attributes;
use crate::admission::expressions::{self, Answers, Inputs, MatchConditions, Names};
use crate::admission::matching::{self, Equivalents, Rule, Selection};
use crate::webhook::{Called, Client, ClientConfig, Target};

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
    selection: Selection,
    conditions: MatchConditions,
    dry_runs: bool,
    timeout: Duration,
    version: Option<Version>,
    target: Result<Arc<Target>, String>,
}

/// Why a webhook did not let a write pass.
pub(super) enum Failure {
    /// It could not be asked, or gave no answer that makes sense: `failurePolicy` decides. In upstream's words, and with the
    /// code it counts as.
    Call { why: String, code: u16 },
    /// It refused.
    Refusal(Box<Status>),
    /// It can never be asked about such a write, or what it wants cannot be done.
    Broken(Box<Status>),
}

impl Failure {
    /// Of the webhook `name`.
    pub(super) fn call(name: &str, code: u16, why: impl std::fmt::Display) -> Self {
        let name = api::quote::quote(name);
        Self::Call { why: format!("failed calling webhook {name}: {why}"), code }
    }
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
    match_conditions: Vec<Value>,
}

impl Hook {
    /// All webhooks of a configuration.
    pub(super) fn compile(configuration: &Object, client: &Client) -> Result<Vec<Self>, ObjectError> {
        let Configuration { webhooks } = configuration.view()?;
        let name = &*configuration.meta.name;
        let mut times: HashMap<String, usize> = HashMap::new();
        let hook = |entry: Entry| {
            let times = times.entry(entry.name.clone()).or_default();
            let number = *times;
            *times += 1;
            Self::new(name, number, entry, client)
        };
        Ok(webhooks.into_iter().map(hook).collect())
    }

    fn new(configuration: &str, number: usize, entry: Entry, client: &Client) -> Self {
        Self {
            id: format!("{configuration}/{}/{number}", entry.name).into(),
            configuration: configuration.to_owned(),
            reinvocable: entry.reinvocation_policy == "IfNeeded",
            fails_open: entry.failure_policy == "Ignore",
            rules: entry.rules,
            equivalent: entry.match_policy != "Exact",
            selection: Selection::new(entry.namespace_selector.as_ref(), entry.object_selector.as_ref()),
            conditions: conditions(&entry.match_conditions),
            dry_runs: matches!(&*entry.side_effects, "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(entry.timeout_seconds.unwrap_or(10)),
            version: entry.admission_review_versions.iter().find_map(|version| Version::named(version)),
            target: target(entry.client_config, client),
            name: entry.name,
        }
    }

    /// The row through which the webhook wants to see such writes, by its rules alone.
    pub(super) fn row<'a>(
        &self,
        attributes: &'a Attributes,
        equivalents: &'a Equivalents,
    ) -> Option<&'a Arc<Resource>> {
        matching::row(&self.rules, self.equivalent, attributes, equivalents)
    }

    /// Whether its selectors want to see the write.
    pub(super) async fn selects(&self, registry: &Registry, attributes: &Attributes) -> Result<bool, Status> {
        self.selection.selects(registry, attributes).await
    }

    /// Whether the write meets its conditions. One that cannot be evaluated refuses the write, or leaves the webhook out.
    pub(super) async fn meets(
        &self,
        registry: &Registry,
        attributes: &Attributes,
        row: &Resource,
        object: &Value,
        old: &Value,
    ) -> Result<bool, Status> {
        if self.conditions.is_empty() {
            return Ok(true);
        }
        let request = expressions::request(attributes, row);
        let answers = Answers::new(registry.authorizer().map(|authorizer| &**authorizer), attributes);
        match self.conditions.met(&Inputs::new(object, old, &request, &answers)).await {
            Ok(met) => Ok(met),
            Err(why) if self.fails_open => {
                tracing::warn!(webhook = self.name, why, "match conditions failed, and the webhook is left out");
                Ok(false)
            }
            Err(why) => Err(attributes.forbidden(why)),
        }
    }

    /// Counts a call of the webhook, `admit` or `validating`, and how it ended.
    pub(super) fn count<T>(
        &self,
        kind: &'static str,
        registry: &Registry,
        attributes: &Attributes,
        outcome: &Result<T, Failure>,
        took: Duration,
    ) {
        let called = match outcome {
            Ok(_) => Called::Allowed,
            Err(Failure::Call { code, .. }) => Called::Failed { code: *code, open: self.fails_open },
            Err(Failure::Refusal(status)) => Called::Rejected(status.code),
            Err(Failure::Broken(_)) => Called::Broken,
        };
        registry.webhooks().admissions().observe(&self.name, kind, attributes.verb.name(), called, took);
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
        let call = |code: u16, why: String| Failure::call(&self.name, code, why);
        if attributes.dry_run && !self.dry_runs {
            let why = format!("admission webhook {} does not support dry run", api::quote::quote(&self.name));
            return Err(Failure::Broken(Box::new(Status::bad_request(why))));
        }
        let version = self.version.ok_or_else(|| {
            let why = "webhook does not accept known AdmissionReview versions (v1, v1beta1)";
            call(400, format!("could not create admission objects: {why}"))
        })?;
        let target = self.target.as_ref().map_err(|why| call(500, format!("could not get REST client: {why}")))?;
        let (uid, body) = review::question(version, attributes, row, object, old);
        let answered = target.post(body, self.timeout).await;
        let bytes = answered.map_err(|error| call(error.code(), format!("failed to call webhook: {error}")))?;
        let answer = review::answer(version, &uid, &bytes, mutating).map_err(|error| call(503, error.to_string()))?;
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

fn conditions(conditions: &[Value]) -> MatchConditions {
    if conditions.is_empty() {
        return MatchConditions::default();
    }
    MatchConditions::compile(conditions, &Names { authorizer: true, ..Names::default() }.environment())
}

fn target(config: ClientConfig, client: &Client) -> Result<Arc<Target>, String> {
    client.target(&config.access()?).map_err(|error| error.to_string())
}
