//! Evicting a pod: a delete that its disruption budget may refuse for now.

use api::selector::LabelSelector;
use api::validation::field::{Error, Path};
use api::{Cause, DeleteOptions, Object, Propagation, Reply, Request, Status, WriteOptions, time};
use jiff::Timestamp;
use serde_json::Value;

use super::part::Part;
use super::update::Intent;
use super::{Registry, binding, error, intake};
use crate::admission::{self, Attributes, Options, Verb};
use crate::notes;
use crate::tree::Tree;

/// When a refused eviction may be tried again, in seconds.
const RETRY: u32 = 10;

/// At most so many evicted pods may be waited for at once.
const DISRUPTED_MAX: usize = 2000;

impl Registry {
    /// Deletes a pod, unless that would disrupt more than its budget allows.
    pub(super) async fn evict(&self, request: &Request, body: &Value, options: &WriteOptions) -> Result<Reply, Status> {
        let mut warnings = Vec::new();
        let eviction = intake::read_sub_object(request, body, options, &mut warnings)?;
        notes::warn_all(&warnings);
        if eviction.text("metadata.name") != request.name {
            return Err(Status::bad_request("name in URL does not match name in Eviction object"));
        }
        let mut delete = delete_options(&eviction)?;
        delete.dry_run |= options.dry_run;
        let mut attributes = Attributes::new(request, Verb::Create, Options::Create(options.clone()));
        attributes.dry_run = delete.dry_run;
        attributes.object = eviction;
        admission::mutate(self, &mut attributes).await?;
        admission::validate(self, &mut attributes).await?;
        self.catch_up().await?;
        let Some(pod) = self.current(&request.resource, &request.namespace, &request.name).await? else {
            return Err(error::not_found(&request.resource, &request.name));
        };
        if !goes_anyway(&pod.value) {
            self.spend_budget(request, &pod.object, &pod.value, &delete).await?;
        }
        if !delete.dry_run {
            self.mark_disrupted(request, &mut delete).await?;
        }
        // It was admitted as an eviction.
        self.delete_admitted(&request.resource, &request.namespace, &request.name, &delete).await?;
        Ok(binding::made())
    }

    /// Tells job policies and people why the pod ends. The version that the deletion insists on is the marked one afterwards.
    async fn mark_disrupted(&self, request: &Request, delete: &mut DeleteOptions) -> Result<(), Status> {
        let expected = delete.clone();
        let mark = |pod: &mut Value| {
            for (what, path, expected) in [
                ("UID", "metadata.uid", &expected.uid),
                ("ResourceVersion", "metadata.resourceVersion", &expected.resource_version),
            ] {
                let Some(expected) = expected.as_deref().filter(|expected| *expected != pod.text(path)) else {
                    continue;
                };
                let why = format!(
                    "the {what} in the precondition ({expected}) does not match the {what} in record ({}). The object might have been {}",
                    pod.text(path),
                    if what == "UID" { "deleted and then recreated" } else { "modified" },
                );
                return Err(Status::conflict("", "Pod", &request.name, why));
            }
            let mut conditions: Vec<Value> = pod.items("status.conditions").to_vec();
            let known = conditions.iter().find(|condition| condition.text("type") == "DisruptionTarget");
            // The time is that of the change to True.
            let since =
                known.filter(|known| known.text("status") == "True").map(|known| known["lastTransitionTime"].clone());
            conditions.retain(|condition| condition.text("type") != "DisruptionTarget");
            conditions.push(serde_json::json!({
                "type": "DisruptionTarget",
                "status": "True",
                "lastTransitionTime": since.unwrap_or_else(|| time::format(Timestamp::now()).into()),
                "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting",
            }));
            pod.put("status.conditions", conditions);
            Ok(())
        };
        let inner = Request { subresource: "status".into(), ..request.clone() };
        let marked = self.update(&inner, Part::Status, Intent::Own(&mark), &WriteOptions::default()).await?;
        if let (Some(version), Reply::Object { object, .. }) = (&mut delete.resource_version, marked) {
            *version = object.meta.resource_version.to_string();
        }
        Ok(())
    }

    /// Takes one disruption from the pod's budget; refuses when there is none left.
    async fn spend_budget(
        &self,
        request: &Request,
        pod: &Object,
        value: &Value,
        delete: &DeleteOptions,
    ) -> Result<(), Status> {
        let budgets =
            api::resource::find("policy", "v1", "poddisruptionbudgets").cloned().ok_or_else(Status::no_such_path)?;
        let mut about = Vec::new();
        for budget in self.cache(&budgets).list(&request.namespace) {
            let tree = budget.to_value().map_err(Status::internal)?;
            // What does not parse selects nothing.
            let selector = LabelSelector::from_object(tree.at("spec.selector"));
            if selector.is_ok_and(|selector| selector.matches(&pod.meta.labels)) {
                about.push((budget, tree));
            }
        }
        let (budget, tree) = match about.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                let why =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                // Upstream has no reason for it.
                return Err(Status::failure(500, "", why));
            }
        };
        if !is_ready(value) && unhealthy_may_go(tree) {
            return Ok(());
        }
        let name = budget.meta.name.to_string();
        let inner = Request { resource: budgets, name: name.clone(), subresource: "status".into(), ..request.clone() };
        let options = WriteOptions { dry_run: delete.dry_run, ..WriteOptions::default() };
        let pod_name = pod.meta.name.to_string();
        let change = |budget: &mut Value| spend(budget, &name, &pod_name);
        self.update(&inner, Part::Status, Intent::Own(&change), &options).await.map(drop)
    }
}

/// Whether no budget counts the pod any more, or does so yet.
fn goes_anyway(pod: &Value) -> bool {
    matches!(pod.text("status.phase"), "Succeeded" | "Failed" | "Pending")
        || pod.at("metadata.deletionTimestamp").is_some()
}

fn is_ready(pod: &Value) -> bool {
    pod.items("status.conditions").iter().any(|c| c.text("type") == "Ready" && c.text("status") == "True")
}

/// Whether the budget lets pods that are not ready go without spending anything.
fn unhealthy_may_go(budget: &Value) -> bool {
    let (healthy, desired) =
        (budget.int("status.currentHealthy").unwrap_or(0), budget.int("status.desiredHealthy").unwrap_or(0));
    budget.text("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow" || healthy >= desired && desired > 0
}

fn spend(budget: &mut Value, name: &str, pod: &str) -> Result<(), Status> {
    let refuse = |why: String| {
        let text = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut status = Status::too_many_requests(text, 0);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause { reason: "DisruptionBudget".into(), message: why, field: String::new() });
        }
        status
    };
    if budget.int("status.observedGeneration").unwrap_or(0) < budget.int("metadata.generation").unwrap_or(0) {
        let mut status = refuse(format!("The disruption budget {name} is still being processed by the server."));
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = RETRY;
        }
        return Err(status);
    }
    let allowed = budget.int("status.disruptionsAllowed").unwrap_or(0);
    let forbidden = |why| Err(Status::forbidden("policy", "poddisruptionbudgets", name, why));
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if budget.entries("status.disruptedPods").count() > DISRUPTED_MAX {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return Err(refuse(format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            budget.int("status.desiredHealthy").unwrap_or(0),
            budget.int("status.currentHealthy").unwrap_or(0),
        )));
    }
    let allowed = allowed - 1;
    budget.put("status.disruptionsAllowed", allowed);
    if allowed == 0 {
        let mut conditions: Vec<Value> = budget
            .items("status.conditions")
            .iter()
            .filter(|c| c.text("type") != "DisruptionAllowed")
            .cloned()
            .collect();
        conditions.push(serde_json::json!({
            "type": "DisruptionAllowed",
            "status": "False",
            "observedGeneration": budget.int("metadata.generation").unwrap_or(0),
            "lastTransitionTime": time::format(Timestamp::now()),
            "reason": "InsufficientPods",
            "message": "",
        }));
        budget.put("status.conditions", conditions);
    }
    // The controller counts the pod as gone until it sees it go.
    budget.map_mut("status.disruptedPods").insert(pod.to_owned(), time::format(Timestamp::now()).into());
    Ok(())
}

/// The options an eviction carries.
fn delete_options(eviction: &Value) -> Result<DeleteOptions, Status> {
    let options = eviction.at("deleteOptions").unwrap_or(&Value::Null);
    let text = |path: &str| Some(options.text(path)).filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    let propagation = match options.text("propagationPolicy") {
        "" => None,
        "Orphan" => Some(Propagation::Orphan),
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        other => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            let complaint = Error::not_supported(&Path::root("propagationPolicy"), other, &supported);
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", vec![(&complaint).into()]));
        }
    };
    Ok(DeleteOptions {
        grace_period_seconds: options.int("gracePeriodSeconds"),
        propagation,
        uid: text("preconditions.uid"),
        resource_version: text("preconditions.resourceVersion"),
        dry_run: options.items("dryRun").iter().any(|value| value == "All"),
    })
}
