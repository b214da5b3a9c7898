//! PodSecurity: a namespace's labels say how much its pods may ask of their node. `enforce` refuses pods; `warn` warns about
//! pods and about the kinds that will make them. Where only `enforce` is said, workloads are warned about it, because their
//! pods will be refused later, where nobody looks.

mod checks;
mod namespaces;

use api::{Resource, Status};
use serde_json::Value;

use super::{Attributes, Plugin, Step, Verb};
use crate::tree::Tree;
use crate::{Registry, notes};

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// Reads a label's value.
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// A level, and the version of Kubernetes whose idea of it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standard {
    level: Level,
    version: String,
}

/// The version served, of which no standard is newer.
const NEWEST: u32 = 35;

impl Standard {
    /// The number of the version's minor.
    fn minor(&self) -> u32 {
        let number = self.version.strip_prefix("v1.").and_then(|number| number.parse().ok());
        number.unwrap_or(NEWEST).min(NEWEST)
    }
}

impl std::fmt::Display for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.level.name(), self.version)
    }
}

const PREFIX: &str = "pod-security.kubernetes.io/";

/// What a namespace's labels ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Policy {
    enforce: Standard,
    audit: Standard,
    warn: Standard,
}

impl Policy {
    /// Reads labels. One that cannot be read is the strictest where it refuses, and nothing where it only warns.
    fn of<'a>(label: impl Fn(&str) -> Option<&'a str>) -> Self {
        let level = |mode: &str| label(&format!("{PREFIX}{mode}"));
        let version = |mode: &str| {
            let version = label(&format!("{PREFIX}{mode}-version")).filter(|version| is_version(version));
            version.unwrap_or("latest").to_owned()
        };
        let enforced = level("enforce").map(Level::parse);
        let enforce = Standard {
            level: enforced.map_or(Level::Privileged, |level| level.unwrap_or(Level::Restricted)),
            version: version("enforce"),
        };
        let said = |mode: &str| Standard {
            level: level(mode).and_then(Level::parse).unwrap_or(Level::Privileged),
            version: version(mode),
        };
        let (audit, mut warn) = (said("audit"), said("warn"));
        if level("warn").is_none() && enforced.flatten().is_some_and(|enforced| enforced > warn.level) {
            warn.level = enforce.level;
            if label(&format!("{PREFIX}warn-version")).is_none() {
                warn.version.clone_from(&enforce.version);
            }
        }
        Self { enforce, audit, warn }
    }
}

/// `latest`, or `v1.` and a number.
fn is_version(text: &str) -> bool {
    let number = text.strip_prefix("v1.");
    text == "latest"
        || number.is_some_and(|n| n == "0" || !n.starts_with('0') && n.parse::<u32>().is_ok() && !n.starts_with('+'))
}

pub(super) fn plugin() -> Plugin {
    Plugin::validating("PodSecurity", Step::Now(admit))
}

fn admit(registry: &Registry, attributes: &mut Attributes) -> Result<(), Status> {
    if attributes.is("", "namespaces") {
        return namespaces::admit(registry, attributes);
    }
    let looked_at = attributes.subresource.is_empty() || attributes.subresource == "ephemeralcontainers";
    if attributes.verb == Verb::Delete || !looked_at || attributes.namespace.is_empty() {
        return Ok(());
    }
    let Some(path) = template(&attributes.resource) else { return Ok(()) };
    let Some(namespace) = registry.namespace(&attributes.namespace) else { return Ok(()) };
    let policy = Policy::of(|name| namespace.meta.labels.get(name));
    if [&policy.enforce, &policy.audit, &policy.warn].iter().all(|standard| standard.level == Level::Privileged) {
        if path.is_empty() {
            notes::annotate(format!("{PREFIX}enforce-policy"), "privileged:latest".to_owned());
        }
        return Ok(());
    }
    let at = |object: &Value| if path.is_empty() { Some(object.clone()) } else { object.at(path).cloned() };
    let Some(now) = at(&attributes.object) else { return Ok(()) };
    let is_pod = path.is_empty();
    // What an update of a pod does not touch was judged before.
    if is_pod && attributes.verb == Verb::Update && attributes.old.at("spec") == now.at("spec") {
        return Ok(());
    }
    if is_pod {
        notes::annotate(format!("{PREFIX}enforce-policy"), policy.enforce.to_string());
    }
    let audited = checks::violations(&now, &policy.audit);
    if !audited.is_empty() {
        let words = format!("would violate PodSecurity \"{}\": {}", policy.audit, audited.join(", "));
        notes::annotate(format!("{PREFIX}audit-violations"), words);
    }
    if is_pod {
        let violations = checks::violations(&now, &policy.enforce);
        if !violations.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, violations.join(", "));
            return Err(attributes.forbidden(why));
        }
    }
    let violations = checks::violations(&now, &policy.warn);
    if !violations.is_empty() {
        let warning = format!("would violate PodSecurity \"{}\": {}", policy.warn, violations.join(", "));
        attributes.warnings.push(warning);
    }
    Ok(())
}

/// Where the pod, or the template of pods, of a kind stands.
fn template(resource: &Resource) -> Option<&'static str> {
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => Some(""),
        ("", "podtemplates") => Some("template"),
        ("", "replicationcontrollers") | ("batch", "jobs") => Some("spec.template"),
        ("apps", "controllerrevisions") => None,
        ("apps", _) => Some("spec.template"),
        ("batch", "cronjobs") => Some("spec.jobTemplate.spec.template"),
        _ => None,
    }
}

/// All containers of a spec, of the three lists.
fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| spec.items(list))
}
