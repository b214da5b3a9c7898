//! What is particular about a kind, as plain functions beside the generic path: one row a kind, defaults for the rest.

mod access;
mod at;
mod autoscaling;
mod batch;
pub(crate) mod certificates;
mod cluster;
mod conditions;
mod config;
pub(crate) mod definition;
mod devices;
mod extension;
mod flow_control;
mod networking;
pub(crate) mod off;
mod pod;
mod pod_preparation;
mod pod_validation;
mod pod_warnings;
mod policies;
mod resource_names;
mod semantic;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod unified_diff;
mod upstream_form;
mod warnings;
mod webhooks;
mod workloads;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use api::validation::field::ErrorList;
use api::{Resource, User, validation};
use embedded_store::Durability;
use parking_lot::RwLock;
use serde_json::Value;

use crate::defaults::Defaults;
use crate::tree::Tree;

/// The quality-of-service class of a pod.
pub(crate) use api::qos::class as pod_quality;
/// Complaints about a write of a namespace's finalizers.
pub(crate) use cluster::finalize as validate_finalize;
/// Where devices are asked for with the rights of an administrator.
pub(crate) use devices::admin_access;
/// Complaints about writes of a pod's ephemeral containers and of its resources (new, old).
pub(crate) use pod_validation::{validate_ephemeral, validate_resize};
pub(crate) use semantic::same_as_written;
/// Complaints about the addresses that a service asks for (new, old).
pub(crate) use service::addresses;
pub(crate) use workloads::TEMPLATE_GENERATION;

/// What becomes of dependents when a delete does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// They are collected after the owner is gone.
    Background,
    /// They stay: what kinds older than garbage collection promise. Who deletes without saying so may be warned.
    Orphan(Option<&'static str>),
    /// Nothing of this kind has dependents.
    Unsupported,
}

/// When an object's `metadata.generation` rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Never: it is what the client sent with the new object.
    Sent,
    /// Never: it is one.
    One,
    /// From one, when anything but metadata and status changes.
    Counted,
    /// As `Counted`, and when this part of the metadata changes.
    CountedWith(&'static str),
    /// As `Counted`, and whenever an empty list or map is sent: the store has none, and upstream takes that for a change.
    CountedWithEmpty,
    /// As `Counted`, but from what the client sent.
    CountedFromSent,
}

/// What a strategy is told of a new object that the object does not say.
#[derive(Debug)]
pub(crate) struct Creation<'a> {
    /// Who creates it.
    pub(crate) user: &'a User,
    /// Whether it was sent without labels, and no webhook or policy has rewritten it: labels that it has are a default.
    pub(crate) labels_defaulted: bool,
}

/// The behaviour of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strategy {
    /// Complaints about a name.
    pub(crate) name: fn(&str) -> Vec<String>,
    /// When `metadata.generation` rises.
    pub(crate) generation: Generation,
    /// Fields of features that 1.35 has off by default, a list a feature. They are dropped, unless the object already uses
    /// one of its feature.
    pub(crate) off: off::Features,
    /// The status a new object begins with, as JSON; `None` keeps what the client sent.
    pub(crate) status: Option<&'static str>,
    /// Fills in what the client left out and no table can say; runs after every decode, before `defaults`.
    pub(crate) default: fn(&mut Value),
    /// The table of defaults.
    pub(crate) defaults: Option<fn() -> Defaults>,
    /// Changes a new object; runs after mutating admission.
    pub(crate) prepare_create: fn(&mut Value, &Creation<'_>),
    /// Changes a main write of an object (new, old); runs after mutating admission.
    pub(crate) prepare_update: fn(&mut Value, &Value),
    /// Whether complaints about the metadata of a new object wait until nothing else is wrong with it.
    pub(crate) metadata_last: bool,
    /// Complaints about an object.
    pub(crate) validate: fn(&Value, &mut ErrorList),
    /// Complaints about a new object, beside those about any.
    pub(crate) validate_create: fn(&Value, &mut ErrorList),
    /// Changes an object that is marked for deletion.
    pub(crate) prepare_delete: fn(&mut Value),
    /// Complaints about a change by a main write (new, old), beside those about the new object.
    pub(crate) validate_update: fn(&Value, &Value, &mut ErrorList),
    /// Complaints about a change by a write of the status (new, old).
    pub(crate) validate_status: fn(&Value, &Value, &mut ErrorList),
    /// Warnings about an object that is new or has changed by a main write (new, old).
    pub(crate) warnings: fn((&Value, Option<&Value>)) -> Vec<String>,
    /// Warnings about what a write of the status says.
    pub(crate) status_warnings: fn(&Value) -> Vec<String>,
    /// Whether a PUT without resourceVersion is taken.
    pub(crate) unconditional_update: bool,
    /// Whether a PUT may create.
    pub(crate) create_on_update: bool,
    /// Whether a delete answers with the object rather than with a Status.
    pub(crate) returns_deleted: bool,
    /// What becomes of dependents by default.
    pub(crate) garbage: Garbage,
    /// The seconds an object may take to go, by the object and what the delete asks; `None` where objects go at once.
    pub(crate) grace: Option<fn(&Value, Option<i64>) -> i64>,
    /// When writes are acknowledged.
    pub(crate) durability: Durability,
}

impl Strategy {
    pub(crate) const DEFAULT: Self = Self {
        name: validation::dns1123_subdomain,
        generation: Generation::Sent,
        off: &[],
        status: None,
        default: |_| {},
        defaults: None,
        prepare_create: |_, _| {},
        prepare_update: |_, _| {},
        metadata_last: false,
        validate: |_, _| {},
        validate_create: |_, _| {},
        prepare_delete: |_| {},
        validate_update: |_, _, _| {},
        validate_status: |_, _, _| {},
        warnings: |_| Vec::new(),
        status_warnings: |_| Vec::new(),
        unconditional_update: true,
        create_on_update: false,
        returns_deleted: false,
        garbage: Garbage::Background,
        grace: None,
        durability: Durability::Synced,
    };
}

impl Strategy {
    /// Complaints about a main write of an object (new, old). What is wrong with the object already is not held against a
    /// write that leaves it as it is: rules become stricter, and objects have to remain changeable.
    pub(crate) fn validate_change(&self, new: &Value, old: &Value, errors: &mut ErrorList) {
        let mut found = ErrorList::new();
        (self.validate)(new, &mut found);
        if !found.is_empty() {
            let mut before = ErrorList::new();
            (self.validate)(old, &mut before);
            found.retain(|error| !before.contains(error));
        }
        errors.extend(found);
    }

    /// Fills in what the client left out.
    pub(crate) fn fill_in(&self, object: &mut Value) {
        // An object that says nothing has a spec all the same, of defaults.
        if self.defaults.is_some_and(|defaults| compiled(defaults).reaches("spec")) {
            object.default_to("spec", Value::Object(serde_json::Map::new()));
        }
        (self.default)(object);
        if let Some(defaults) = self.defaults {
            compiled(defaults).apply(object);
        }
    }
}

/// The tree of a table, built when a kind is first written.
fn compiled(table: fn() -> Defaults) -> Arc<Defaults> {
    static TREES: LazyLock<RwLock<HashMap<usize, Arc<Defaults>>>> = LazyLock::new(RwLock::default);
    // Two kinds may share a table, and then its tree.
    let key = table as usize;
    if let Some(tree) = TREES.read().get(&key) {
        return tree.clone();
    }
    TREES.write().entry(key).or_insert_with(|| Arc::new(table())).clone()
}

/// Custom resources: schema apart, they are all alike.
const CUSTOM: Strategy = Strategy { generation: Generation::Counted, unconditional_update: false, ..Strategy::DEFAULT };

/// The strategy of a row.
pub(crate) fn of(resource: &Resource) -> &'static Strategy {
    if !resource.builtin {
        return &CUSTOM;
    }
    static DEFAULT: Strategy = Strategy::DEFAULT;
    TABLE.get(&*resource.group).and_then(|group| group.get(&*resource.plural)).unwrap_or(&DEFAULT)
}

/// The strategy of writes to a row: what shows another row's objects may ask for more than that one does.
pub(crate) fn of_writes(resource: &Arc<Resource>) -> &'static Strategy {
    let own = TABLE.get(&*resource.group).and_then(|group| group.get(&*resource.plural));
    own.filter(|_| resource.builtin).unwrap_or_else(|| of(&resource.storage()))
}

static TABLE: LazyLock<HashMap<&'static str, HashMap<&'static str, Strategy>>> = LazyLock::new(|| {
    let mut table: HashMap<_, HashMap<_, _>> = HashMap::new();
    for (group, plural, strategy) in rows() {
        table.entry(group).or_default().insert(plural, strategy);
    }
    table
});

#[rustfmt::skip]
fn rows() -> Vec<(&'static str, &'static str, Strategy)> {
    vec![
        ("", "configmaps", config::CONFIG_MAP),
        ("", "endpoints", service::ENDPOINTS),
        ("", "events", cluster::EVENT),
        ("", "limitranges", cluster::LIMIT_RANGE),
        ("", "namespaces", cluster::NAMESPACE),
        ("", "nodes", cluster::NODE),
        ("", "persistentvolumeclaims", storage::CLAIM),
        ("", "persistentvolumes", storage::VOLUME),
        ("", "pods", pod::STRATEGY),
        ("", "podtemplates", workloads::POD_TEMPLATE),
        ("", "replicationcontrollers", workloads::REPLICATION_CONTROLLER),
        ("", "resourcequotas", cluster::RESOURCE_QUOTA),
        ("", "secrets", config::SECRET),
        ("", "serviceaccounts", config::SERVICE_ACCOUNT),
        ("", "services", service::SERVICE),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", webhooks::MUTATING),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies", policies::MUTATING),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", policies::MUTATING_BINDING),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies", policies::VALIDATING),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", policies::VALIDATING_BINDING),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations", webhooks::VALIDATING),
        ("apiextensions.k8s.io", "customresourcedefinitions", definition::DEFINITION),
        ("apiregistration.k8s.io", "apiservices", extension::API_SERVICE),
        ("apps", "controllerrevisions", workloads::CONTROLLER_REVISION),
        ("apps", "daemonsets", workloads::DAEMON_SET),
        ("apps", "deployments", workloads::DEPLOYMENT),
        ("apps", "replicasets", workloads::REPLICA_SET),
        ("apps", "statefulsets", workloads::STATEFUL_SET),
        ("autoscaling", "horizontalpodautoscalers", autoscaling::AUTOSCALER),
        ("batch", "cronjobs", batch::CRON_JOB),
        ("batch", "jobs", batch::JOB),
        ("certificates.k8s.io", "certificatesigningrequests", certificates::SIGNING_REQUEST),
        ("coordination.k8s.io", "leases", cluster::LEASE),
        ("discovery.k8s.io", "endpointslices", service::ENDPOINT_SLICE),
        ("events.k8s.io", "events", cluster::EVENT_V1),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", flow_control::FLOW_SCHEMA),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", flow_control::PRIORITY_LEVEL),
        ("networking.k8s.io", "ingressclasses", networking::INGRESS_CLASS),
        ("networking.k8s.io", "ingresses", networking::INGRESS),
        ("networking.k8s.io", "ipaddresses", networking::IP_ADDRESS),
        ("networking.k8s.io", "networkpolicies", networking::NETWORK_POLICY),
        ("networking.k8s.io", "servicecidrs", networking::SERVICE_CIDR),
        ("node.k8s.io", "runtimeclasses", cluster::RUNTIME_CLASS),
        ("policy", "poddisruptionbudgets", extension::DISRUPTION_BUDGET),
        ("rbac.authorization.k8s.io", "clusterrolebindings", access::BINDING),
        ("rbac.authorization.k8s.io", "clusterroles", access::ROLE),
        ("rbac.authorization.k8s.io", "rolebindings", access::BINDING),
        ("rbac.authorization.k8s.io", "roles", access::ROLE),
        ("resource.k8s.io", "deviceclasses", extension::DEVICE_CLASS),
        ("resource.k8s.io", "resourceclaims", extension::RESOURCE_CLAIM),
        ("resource.k8s.io", "resourceclaimtemplates", extension::RESOURCE_CLAIM_TEMPLATE),
        ("resource.k8s.io", "resourceslices", extension::RESOURCE_SLICE),
        ("scheduling.k8s.io", "priorityclasses", cluster::PRIORITY_CLASS),
        ("storage.k8s.io", "csidrivers", storage::CSI_DRIVER),
        ("storage.k8s.io", "csinodes", storage::CSI_NODE),
        ("storage.k8s.io", "csistoragecapacities", storage::STORAGE_CAPACITY),
        ("storage.k8s.io", "storageclasses", storage::STORAGE_CLASS),
        ("storage.k8s.io", "volumeattachments", storage::VOLUME_ATTACHMENT),
        ("storage.k8s.io", "volumeattributesclasses", storage::ATTRIBUTES_CLASS),
    ]
}
