//! Tables: how `kubectl get` shows objects. The columns are the server's business, so that clients need not know kinds.
//!
//! One table of kinds says which columns a kind has and which function fills them. The functions read narrow views of an
//! object's bytes; what they print is upstream's, word for word, since people and scripts read it.

mod cluster;
mod column;
mod config;
mod custom;
mod duration;
mod json_path;
mod json_path_parser;
mod network;
mod pod;
mod policy;
mod row;
mod scale;
mod storage;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod workloads;

use std::sync::Arc;

use api::{Object, ObjectError, Resource};
use jiff::Timestamp;
use serde_json::{Value, json};

use column::Column;
use row::Row;
pub(crate) use scale::row as scale;

/// What fills the cells of one object, in the order of the columns.
type Cells = fn(&Object) -> Result<Row, ObjectError>;

/// The columns of a kind, and what fills them.
type Kind = (&'static [Column], Cells);

/// The column definitions of a kind.
pub(crate) fn columns(resource: &Resource) -> Value {
    match kind(resource) {
        Some((columns, _)) => columns.iter().map(Column::definition).collect(),
        None => custom::definitions(resource),
    }
}

/// Appends one object's cells as they are at `now`, in the order of [`columns`]. The cells of custom kinds are up to a definition,
/// which may change; the others' are kept with the object.
pub(crate) fn write_cells(resource: &Resource, object: &Object, now: Timestamp, out: &mut Vec<u8>) {
    if !resource.builtin {
        return custom::cells(resource, object).write(now, out);
    }
    if !Row::write_kept(object, now, out) {
        let row = cells(resource, object);
        row.write(now, out);
        row.keep(object);
    }
}

fn cells(resource: &Resource, object: &Object) -> Row {
    let Some((columns, cells)) = kind(resource) else { return custom::cells(resource, object) };
    cells(object).unwrap_or_else(|_| {
        // What is stored has passed the schema, so this is an object from elsewhere. It has a name at least.
        let mut row = Row::default();
        columns.iter().for_each(|column| row.push(if column.is_name() { text::name(object) } else { "<unknown>" }));
        row
    })
}

/// Puts objects into the order in which a Table shows them: that of their keys, but for flow schemas, which are shown in the
/// order in which they are tried.
pub(crate) fn arrange(resource: &Resource, objects: &mut [Arc<Object>]) {
    if resource.builtin && (&*resource.group, &*resource.plural) == ("flowcontrol.apiserver.k8s.io", "flowschemas") {
        objects.sort_by_cached_key(|object| (policy::precedence(object), object.meta.name.clone()));
    }
}

/// A row's `conditions`, by which clients tell finished pods from others.
pub(crate) fn conditions(resource: &Resource, object: &Object) -> Option<Value> {
    if !resource.is_core() || &*resource.plural != "pods" {
        return None;
    }
    let phase = object.meta.fields.get(resource.field("status.phase")?)?;
    let message = match &**phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": phase, "message": message }]))
}

/// The columns of a built-in kind that has its own; `None` for those shown by name and time of creation, and for custom
/// resources.
fn kind(resource: &Resource) -> Option<Kind> {
    if !resource.builtin {
        return None;
    }
    Some(match (&*resource.group, &*resource.plural) {
        ("", "componentstatuses") => cluster::COMPONENT_STATUS,
        ("", "configmaps") => config::CONFIG_MAP,
        ("", "endpoints") => network::ENDPOINTS,
        ("" | "events.k8s.io", "events") => cluster::EVENT,
        ("", "namespaces") => cluster::NAMESPACE,
        ("", "nodes") => cluster::NODE,
        ("", "persistentvolumeclaims") => storage::PERSISTENT_VOLUME_CLAIM,
        ("", "persistentvolumes") => storage::PERSISTENT_VOLUME,
        ("", "pods") => pod::POD,
        ("", "podtemplates") => workloads::POD_TEMPLATE,
        ("", "replicationcontrollers") => workloads::REPLICATION_CONTROLLER,
        ("", "resourcequotas") => config::RESOURCE_QUOTA,
        ("", "secrets") => config::SECRET,
        ("", "serviceaccounts") => config::NAME_AND_AGE,
        ("", "services") => network::SERVICE,
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations" | "validatingwebhookconfigurations") => {
            policy::WEBHOOKS
        }
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies") => policy::MUTATING_POLICY,
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings") => policy::VALIDATING_POLICY_BINDING,
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => policy::VALIDATING_POLICY,
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => policy::VALIDATING_POLICY_BINDING,
        ("apiregistration.k8s.io", "apiservices") => cluster::API_SERVICE,
        ("autoscaling", "scales") => scale::SCALE,
        ("apps", "controllerrevisions") => workloads::CONTROLLER_REVISION,
        ("apps", "daemonsets") => workloads::DAEMON_SET,
        ("apps", "deployments") => workloads::DEPLOYMENT,
        ("apps", "replicasets") => workloads::REPLICA_SET,
        ("apps", "statefulsets") => workloads::STATEFUL_SET,
        ("autoscaling", "horizontalpodautoscalers") => policy::HORIZONTAL_POD_AUTOSCALER,
        ("batch", "cronjobs") => workloads::CRON_JOB,
        ("batch", "jobs") => workloads::JOB,
        ("certificates.k8s.io", "certificatesigningrequests") => policy::CERTIFICATE_SIGNING_REQUEST,
        ("coordination.k8s.io", "leases") => cluster::LEASE,
        ("discovery.k8s.io", "endpointslices") => network::ENDPOINT_SLICE,
        ("flowcontrol.apiserver.k8s.io", "flowschemas") => policy::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations") => policy::PRIORITY_LEVEL,
        ("networking.k8s.io", "ingressclasses") => network::INGRESS_CLASS,
        ("networking.k8s.io", "ingresses") => network::INGRESS,
        ("networking.k8s.io", "ipaddresses") => network::IP_ADDRESS,
        ("networking.k8s.io", "networkpolicies") => network::NETWORK_POLICY,
        ("networking.k8s.io", "servicecidrs") => network::SERVICE_CIDR,
        ("node.k8s.io", "runtimeclasses") => cluster::RUNTIME_CLASS,
        ("policy", "poddisruptionbudgets") => policy::POD_DISRUPTION_BUDGET,
        ("rbac.authorization.k8s.io", "clusterrolebindings" | "rolebindings") => policy::ROLE_BINDING,
        ("resource.k8s.io", "deviceclasses" | "resourceclaimtemplates") => config::NAME_AND_AGE,
        ("resource.k8s.io", "resourceclaims") => config::RESOURCE_CLAIM,
        ("resource.k8s.io", "resourceslices") => config::RESOURCE_SLICE,
        ("scheduling.k8s.io", "priorityclasses") => cluster::PRIORITY_CLASS,
        ("storage.k8s.io", "csidrivers") => storage::CSI_DRIVER,
        ("storage.k8s.io", "csinodes") => storage::CSI_NODE,
        ("storage.k8s.io", "storageclasses") => storage::STORAGE_CLASS,
        ("storage.k8s.io", "volumeattachments") => storage::VOLUME_ATTACHMENT,
        ("storage.k8s.io", "volumeattributesclasses") => storage::VOLUME_ATTRIBUTES_CLASS,
        _ => return None,
    })
}
