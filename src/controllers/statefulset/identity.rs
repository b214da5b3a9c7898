//! What makes a stateful set's pod the one of its ordinal: name, labels, host name, and claims of its own.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::revisions::HASH_LABEL;

/// The labels that say which pod it is.
const NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
const INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// Makes a pod of the template the one of an ordinal and a revision.
pub(super) fn pod_for(
    mut pod: Value,
    set: &str,
    ordinal: i64,
    service: &str,
    revision: &str,
    claims: &[Claim],
) -> Value {
    let name = format!("{set}-{ordinal}");
    let metadata = &mut pod["metadata"];
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("generateName");
    }
    metadata["name"] = name.clone().into();
    metadata["labels"][NAME_LABEL] = name.clone().into();
    metadata["labels"][INDEX_LABEL] = ordinal.to_string().into();
    metadata["labels"][HASH_LABEL] = revision.into();
    let spec = &mut pod["spec"];
    spec["hostname"] = name.into();
    if !service.is_empty() {
        spec["subdomain"] = service.into();
    }
    // A volume of the template with the name of a claim gives way to the claim.
    let named = |volume: &Value| claims.iter().any(|claim| volume["name"] == claim.template.as_str());
    let mut volumes: Vec<Value> = claims
        .iter()
        .map(|claim| json!({ "name": claim.template, "persistentVolumeClaim": { "claimName": claim.name } }))
        .collect();
    volumes.extend(spec["volumes"].as_array().into_iter().flatten().filter(|volume| !named(volume)).cloned());
    if !volumes.is_empty() {
        spec["volumes"] = volumes.into();
    }
    pod
}

/// One claim of a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    /// The name of its template, and of the volume.
    pub(super) template: String,
    pub(super) name: String,
    /// The claim to create.
    pub(super) value: Value,
}

/// The claims of an ordinal. `labels` are those of the set's selector.
pub(super) fn claims(templates: &[Value], set: &str, ordinal: i64, labels: &BTreeMap<String, String>) -> Vec<Claim> {
    let one = |template: &Value| {
        let of = template["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let name = format!("{of}-{set}-{ordinal}");
        let mut value = json!({ "metadata": { "name": name }, "spec": template["spec"] });
        for field in ["labels", "annotations"] {
            if let Some(given) = template["metadata"][field].as_object() {
                value["metadata"][field] = given.clone().into();
            }
        }
        for (key, label) in labels {
            value["metadata"]["labels"][key] = label.as_str().into();
        }
        Claim { template: of, name, value }
    };
    templates.iter().map(one).collect()
}
