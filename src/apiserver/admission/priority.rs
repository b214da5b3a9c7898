//! Priority: a pod's class becomes a number; only one class is everybody's.

use api::Status;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

pub(super) fn plugin() -> Plugin {
    Plugin { name: "Priority", mutate: Some(Step::Now(set)), validate: Some(Step::Now(check_class)) }
}

fn set(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if !attributes.is("", "pods") || attributes.verb == Verb::Delete {
        return Ok(());
    }
    let pod = &mut attributes.object;
    if attributes.verb == Verb::Update {
        // An update that leaves the numbers out does not take them away.
        for field in ["spec.priority", "spec.preemptionPolicy"] {
            if let Some(value) = attributes.old.at(field) {
                pod.default_to(field, value.clone());
            }
        }
        return Ok(());
    }
    let asked = pod.text("spec.priorityClassName").to_owned();
    let class = match asked.as_str() {
        "" => everybodys(registry)?,
        name => match class(registry, name)? {
            Some(class) => Some(class),
            None => return Err(attributes.forbidden(format!("no PriorityClass with name {name} was found"))),
        },
    };
    let (name, value, policy) = match &class {
        Some(class) => {
            let policy = class.text("preemptionPolicy");
            (
                class.text("metadata.name"),
                class.int("value").unwrap_or(0),
                if policy.is_empty() { "PreemptLowerPriority" } else { policy },
            )
        }
        None => ("", 0, "PreemptLowerPriority"),
    };
    if let Some(given) = pod.int("spec.priority").filter(|given| *given != value) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(why));
    }
    let given = pod.text("spec.preemptionPolicy");
    if !given.is_empty() && given != policy {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller \
             computed {policy} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(why));
    }
    if !name.is_empty() {
        pod.put("spec.priorityClassName", name);
    }
    pod.put("spec.priority", value);
    pod.put("spec.preemptionPolicy", policy);
    Ok(())
}

fn check_class(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let class = &attributes.object;
    if !attributes.is("scheduling.k8s.io", "priorityclasses") || !class.truth("globalDefault") {
        return Ok(());
    }
    match everybodys(registry)? {
        Some(other) if other.text("metadata.name") != class.text("metadata.name") => {
            let other = other.text("metadata.name");
            Err(attributes
                .forbidden(format!("PriorityClass {other} is already marked as default. Only one default can exist")))
        }
        _ => Ok(()),
    }
}

fn class(registry: &Registry, name: &str) -> Result<Option<serde_json::Value>, Status> {
    let class = registry.cached("scheduling.k8s.io", "v1", "priorityclasses").get("", name);
    class.map(|class| class.to_value().map_err(Status::internal)).transpose()
}

const MARK: &[u8] = b"\"globalDefault\":true";

/// The class of pods that name none.
fn everybodys(registry: &Registry) -> Result<Option<serde_json::Value>, Status> {
    for class in registry.cached("scheduling.k8s.io", "v1", "priorityclasses").list("") {
        // Few classes, read for every pod: look at the bytes before they are decoded.
        if class.stored_bytes().windows(MARK.len()).any(|window| window == MARK) {
            let class = class.to_value().map_err(Status::internal)?;
            if class.truth("globalDefault") {
                return Ok(Some(class));
            }
        }
    }
    Ok(None)
}
