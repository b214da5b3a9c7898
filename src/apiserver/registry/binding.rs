//! Binding a pod to a node: `pods/binding`, and `bindings` that name their pod themselves.

use api::validation::field::{Error, ErrorList, Path};
use api::{Reply, Request, Resource, Status, WriteOptions, time};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::part::Part;
use super::update::Intent;
use super::{Registry, error, intake};
use crate::admission::{self, Attributes, Options, Verb};
use crate::notes;
use crate::tree::Tree;

impl Registry {
    /// Sets a pod's node, once.
    pub(super) async fn bind(&self, request: &Request, body: &Value, options: &WriteOptions) -> Result<Reply, Status> {
        let pods = self.catalog().get("", "v1", "pods").ok_or_else(Status::no_such_path)?;
        let mut warnings = Vec::new();
        let binding = intake::read_sub_object(request, body, options, &mut warnings)?;
        notes::warn_all(&warnings);
        let name = binding.text("metadata.name").to_owned();
        if request.name.is_empty() && name.is_empty() {
            return Err(Status::bad_request("Name parameter required."));
        }
        if !request.name.is_empty() && name != request.name {
            return Err(Status::bad_request("name in URL does not match name in Binding object"));
        }
        let target = Path::root("target");
        let mut errors = ErrorList::new();
        if !matches!(binding.text("target.kind"), "" | "Node") {
            errors.push(Error::not_supported(&target.child("kind"), binding.text("target.kind"), &["Node", "<empty>"]));
        }
        if binding.text("target.name").is_empty() {
            errors.push(Error::required(&target.child("name"), ""));
        }
        if !errors.is_empty() {
            // Upstream takes these complaints for failures of its own.
            return Err(Status::failure(500, "", errors.to_string()));
        }
        let mut attributes = Attributes::new(request, Verb::Create, Options::Create(options.clone()));
        attributes.name.clone_from(&name);
        attributes.object = binding;
        admission::mutate(self, &mut attributes).await?;
        admission::validate(self, &mut attributes).await?;
        let binding = attributes.object;
        let row = pods.clone();
        let change = |pod: &mut Value| assign(&row, pod, &binding, &name);
        let inner = Request { resource: pods, name: name.clone(), subresource: "binding".into(), ..request.clone() };
        self.update(&inner, Part::Main, Intent::Own(&change), options).await?;
        Ok(made())
    }
}

/// What the creation of something that is not kept answers.
pub(super) fn made() -> Reply {
    let status = Status {
        kind: "Status".into(),
        api_version: "v1".into(),
        status: "Success".into(),
        code: 201,
        ..Status::default()
    };
    Reply::Status(Box::new(status))
}

fn assign(pods: &Resource, pod: &mut Value, binding: &Value, name: &str) -> Result<(), Status> {
    for (what, path) in [("UID", "metadata.uid"), ("ResourceVersion", "metadata.resourceVersion")] {
        let (expected, is) = (binding.text(path), pod.text(path));
        if !expected.is_empty() && expected != is {
            return Err(error::unmet(pods, pod.text("metadata.namespace"), name, (what, expected, is)));
        }
    }
    let conflict = |why: String| Err(Status::conflict("", "pods/binding", name, why));
    if pod.at("metadata.deletionTimestamp").is_some() {
        return conflict(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    if !pod.text("spec.nodeName").is_empty() {
        return conflict(format!(
            "pod {name} is already assigned to node {}",
            api::quote::quote(pod.text("spec.nodeName"))
        ));
    }
    if !pod.items("spec.schedulingGates").is_empty() {
        return conflict(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.put("spec.nodeName", binding.text("target.name"));
    for notes in ["metadata.annotations", "metadata.labels"] {
        for (key, value) in binding.entries(notes) {
            pod.map_mut(notes).insert(key.clone(), value.clone());
        }
    }
    let scheduled = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": time::format(Timestamp::now()),
    });
    let mut conditions: Vec<Value> =
        pod.items("status.conditions").iter().filter(|c| c.text("type") != "PodScheduled").cloned().collect();
    conditions.push(scheduled);
    pod.put("status.conditions", conditions);
    Ok(())
}
