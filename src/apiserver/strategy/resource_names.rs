//! What resources are called, and where which may stand.

use api::quantity::Quantity;
use api::validation::field::ErrorList;
use api::validation::qualified_name;

use super::at::At;

const COUNTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

const COMPUTE: [&str; 11] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
];

/// Huge pages of some size.
pub(super) fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Kubernetes' own: without a domain, or with that of Kubernetes.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A resource of somebody's domain, such as a device.
pub(super) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether more may be promised than there is.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// What a pod as a whole can ask for.
pub(super) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

/// What a quota can bound, of the names without a domain.
pub(super) fn is_quota(name: &str) -> bool {
    is_standard(name) && name != "storage"
}

fn is_standard(name: &str) -> bool {
    COUNTS.contains(&name)
        || COMPUTE.contains(&name)
        || is_huge_page(name)
        || name.strip_prefix("requests.").is_some_and(is_huge_page)
}

/// The name of any resource; `at` stands at its amount. Says whether it passed.
pub(super) fn any(name: &str, at: &At, errors: &mut ErrorList) -> bool {
    let complaints = qualified_name(name);
    let mut good = complaints.is_empty();
    complaints.into_iter().for_each(|why| at.wrong(errors, name, why));
    if good && !name.contains('/') && !is_standard(name) {
        at.wrong(errors, name, "must be a standard resource type or fully qualified");
        good = false;
    }
    good
}

/// The name of a resource of containers.
pub(super) fn container(name: &str, at: &At, errors: &mut ErrorList) {
    any(name, at, errors);
    if !name.contains('/') {
        if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_page(name) {
            at.wrong(errors, name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        at.wrong(errors, name, "doesn't follow extended resource name standard");
    }
}

/// The name of a resource of whole pods.
pub(super) fn pod(name: &str, at: &At, errors: &mut ErrorList) {
    if any(name, at, errors) && !is_pod_level(name) {
        use api::validation::field::Error;
        errors.push(Error::not_supported(&at.path(), name, &["cpu", "hugepages-", "memory"]));
    }
}

/// The name of what a quota bounds.
pub(super) fn quota(name: &str, at: &At, errors: &mut ErrorList) {
    any(name, at, errors);
    if !name.contains('/') && !is_quota(name) {
        at.wrong(errors, name, "must be a standard resource for quota");
    }
}

/// The amount of a resource: not below zero, and whole where it counts things.
pub(super) fn amount(name: &str, amount: &Quantity, at: &At, errors: &mut ErrorList) {
    if amount.signum() < 0 {
        at.wrong(errors, amount.to_string(), super::at::NEGATIVE);
    }
    let counted = COUNTS.contains(&name) || is_extended(name);
    if counted && !amount.is_whole() {
        at.wrong(errors, amount.to_string(), "must be an integer");
    }
}

/// Whether an amount of huge pages is made of whole ones.
pub(super) fn whole_pages(name: &str, amount: &Quantity) -> bool {
    let size = name.strip_prefix("hugepages-").and_then(|size| Quantity::parse(size).ok());
    size.is_some_and(|size| size.value() > 0 && amount.value() % size.value() == 0)
}

/// Whether a quota's scope has anything to do with a resource.
pub(super) fn scope_fits(scope: &str, name: &str) -> bool {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"].contains(&name);
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" | "CrossNamespacePodAffinity" => {
            name == "pods" || compute
        }
        _ => true,
    }
}
