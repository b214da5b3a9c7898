//! PodSecurity: a namespace's labels say how much its pods may ask of their node. `enforce` refuses pods; `warn` warns about
//! pods and about the kinds that will make them.

mod checks;

use api::{Resource, Status};
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::Registry;
use crate::tree::Tree;

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// Reads a label; one that cannot be read counts as the strictest.
    fn of(label: Option<&str>) -> Self {
        match label {
            None | Some("privileged") => Self::Privileged,
            Some("baseline") => Self::Baseline,
            Some(_) => Self::Restricted,
        }
    }
}

pub(super) fn plugin() -> Plugin {
    Plugin::validating("PodSecurity", Step::Now(admit))
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let looked_at = attributes.subresource.is_empty() || attributes.subresource == "ephemeralcontainers";
    if attributes.verb == Verb::Delete || !looked_at || attributes.namespace.is_empty() {
        return Ok(());
    }
    let Some(path) = spec(&attributes.resource) else { return Ok(()) };
    let Some(namespace) = registry.namespace(&attributes.namespace) else { return Ok(()) };
    let label =
        |mode: &str| namespace.meta.labels.get(&format!("pod-security.kubernetes.io/{mode}")).map(ToOwned::to_owned);
    let (enforce, warn) = (label("enforce"), label("warn"));
    if enforce.is_none() && warn.is_none() {
        return Ok(());
    }
    let Some(now) = attributes.object.at(path) else { return Ok(()) };
    let is_pod = path == "spec";
    // What an update of a pod does not touch was judged before.
    if is_pod && attributes.verb == Verb::Update && attributes.old.at(path) == Some(now) {
        return Ok(());
    }
    let version = |mode: &str| label(&format!("{mode}-version")).unwrap_or_else(|| "latest".to_owned());
    let judge = |mode: &str, word: Option<&str>| {
        let violations = checks::violations(now, Level::of(word));
        let level = format!("{}:{}", word.unwrap_or_default(), version(mode));
        (!violations.is_empty()).then(|| {
            format!(
                "violate{} PodSecurity \"{level}\": {}",
                if mode == "enforce" { "s" } else { "" },
                violations.join(", ")
            )
        })
    };
    if is_pod && let Some(why) = judge("enforce", enforce.as_deref()) {
        return Err(attributes.forbidden(why));
    }
    if let Some(why) = judge("warn", warn.as_deref()) {
        attributes.warnings.push(format!("would {why}"));
    }
    Ok(())
}

/// Where the pod spec of a kind stands.
fn spec(resource: &Resource) -> Option<&'static str> {
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => Some("spec"),
        ("", "podtemplates") => Some("template.spec"),
        ("", "replicationcontrollers") | ("batch", "jobs") => Some("spec.template.spec"),
        ("apps", "controllerrevisions") => None,
        ("apps", _) => Some("spec.template.spec"),
        ("batch", "cronjobs") => Some("spec.jobTemplate.spec.template.spec"),
        _ => None,
    }
}

/// All containers of a spec, of the three lists.
fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| spec.items(list))
}
