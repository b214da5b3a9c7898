//! The labels themselves: they have to be readable, and whoever asks more than before learns which pods fall short.

use std::collections::BTreeMap;

use api::validation::field::{Error, ErrorList, Path};
use api::{Object, Status};
use serde_json::Value;

use super::{Level, PREFIX, Policy, Standard, checks, is_version};
use crate::Registry;
use crate::admission::{Attributes, Verb};
use crate::tree::Tree;

/// Most pods that are looked at for warnings.
const PODS_MAX: usize = 3000;

/// Checks the labels of a namespace that is written.
pub(super) fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    let (new, old) = (&attributes.object, &attributes.old);
    let errors = complaints(new);
    if attributes.verb == Verb::Delete {
        return Ok(());
    }
    if !errors.is_empty() && (attributes.verb == Verb::Create || errors != complaints(old)) {
        return Err(Status::invalid("", "Namespace", &attributes.name, errors.iter().map(api::Cause::from).collect()));
    }
    let enforced = |namespace: &Value| Policy::of(|name| label(namespace, name)).enforce;
    let (now, before) = (enforced(new), enforced(old));
    let relaxed = now.version == before.version && now.level <= before.level;
    if attributes.verb == Verb::Update && !relaxed && now.level != Level::Privileged {
        let warnings = pods_that_fall_short(registry, &attributes.name, &now)?;
        attributes.warnings.extend(warnings);
    }
    Ok(())
}

fn label<'a>(namespace: &'a Value, name: &str) -> Option<&'a str> {
    namespace.at("metadata.labels")?.get(name)?.as_str()
}

fn complaints(namespace: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    for mode in ["enforce", "audit", "warn"] {
        for (suffix, good, why) in [
            (
                "",
                (|text: &str| Level::parse(text).is_some()) as fn(&str) -> bool,
                "must be one of privileged, baseline, restricted",
            ),
            ("-version", is_version, "must be \"latest\" or \"v1.x\""),
        ] {
            let name = format!("{PREFIX}{mode}{suffix}");
            if let Some(text) = label(namespace, &name).filter(|text| !good(text)) {
                errors.push(Error::invalid(&Path::root("metadata.labels").key(&name), text, why));
            }
        }
    }
    errors
}

fn pods_that_fall_short(registry: &Registry, namespace: &str, standard: &Standard) -> Result<Vec<String>, Status> {
    let pods = registry.cached("", "v1", "pods").list(namespace);
    let mut warnings = Vec::new();
    if pods.len() > PODS_MAX {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_MAX} of {} existing pods",
            pods.len()
        ));
    }
    let mut short: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods.iter().take(PODS_MAX) {
        if let Some(reasons) = reasons(pod, standard)? {
            short.entry(reasons).or_default().push(pod.meta.name.to_string());
        }
    }
    if !short.is_empty() {
        let quoted = api::quote::quote(namespace);
        warnings.push(format!(
            "existing pods in namespace {quoted} violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut lines: Vec<String> = short
        .into_iter()
        .map(|(reasons, mut names)| {
            names.sort();
            let first = &names[0];
            match names.len() {
                1 => format!("{first}: {reasons}"),
                2 => format!("{first} (and 1 other pod): {reasons}"),
                count => format!("{first} (and {} other pods): {reasons}", count - 1),
            }
        })
        .collect();
    lines.sort();
    warnings.extend(lines);
    Ok(warnings)
}

/// What the standard refuses of a pod, without the particulars.
fn reasons(pod: &Object, standard: &Standard) -> Result<Option<String>, Status> {
    let pod = pod.to_value().map_err(Status::internal)?;
    let violations = checks::violations(&pod, standard);
    let short: Vec<&str> =
        violations.iter().map(|why| why.split_once(" (").map_or(&**why, |(reason, _)| reason)).collect();
    Ok((!short.is_empty()).then(|| short.join(", ")))
}
