//! The downward API: fields of the pod, and resources of its containers, as text.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, ResourceFieldSelector};

use crate::error::{Result, invalid};
use crate::pods::pod::Pod;
use crate::pods::qos;

/// What fields are read from.
pub(crate) struct Context<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) pod_ips: &'a [IpAddr],
    pub(crate) host_ips: &'a [IpAddr],
    /// CPU in thousandths and memory in bytes, where a container has no limit.
    pub(crate) node: NodeAmounts,
}

/// What of a node pods may use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NodeAmounts {
    pub(crate) cpu_milli: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral_storage: i64,
}

/// The value of a `fieldRef`.
pub(crate) fn field(context: &Context<'_>, path: &str) -> Result<String> {
    let pod = context.pod;
    let join = |ips: &[IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let first = |ips: &[IpAddr]| ips.first().map(ToString::to_string).unwrap_or_default();
    let pod_ips = if pod.host_network() { context.host_ips } else { context.pod_ips };
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &pod.labels,
            "metadata.annotations" => &pod.annotations,
            _ => return invalid(format!("invalid fieldPath: {path}")),
        };
        return Ok(map.get(key).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => pod.name.clone(),
        "metadata.namespace" => pod.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "metadata.labels" => lines(&pod.labels),
        "metadata.annotations" => lines(&pod.annotations),
        "spec.nodeName" => pod.spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => pod.spec.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => first(context.host_ips),
        "status.hostIPs" => join(context.host_ips),
        "status.podIP" => first(pod_ips),
        "status.podIPs" => join(pod_ips),
        _ => return invalid(format!("unsupported fieldPath: {path}")),
    })
}

fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once('[')?;
    let key = rest.strip_suffix(']')?;
    let key = key
        .strip_prefix('\'')
        .and_then(|k| k.strip_suffix('\''))
        .or_else(|| key.strip_prefix('"')?.strip_suffix('"'))?;
    Some((map, key))
}

fn lines(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a `resourceFieldRef`, in units of its divisor, rounded up. `container` is the one it stands in.
pub(crate) fn resource_field(
    context: &Context<'_>,
    container: &Container,
    selector: &ResourceFieldSelector,
) -> Result<String> {
    let named = selector.container_name.as_deref().filter(|n| !n.is_empty());
    let owned;
    let container = match named {
        None => container,
        Some(name) => match context.pod.container(name) {
            Some((_, found, _)) => {
                owned = found;
                &owned
            }
            None => return invalid(format!("container {name} not found")),
        },
    };
    let resources = container.resources.as_ref();
    let Some((list, resource)) = selector.resource.split_once('.') else {
        return invalid(format!("unsupported container resource : {}", selector.resource));
    };
    let (limits, requests) = (resources.and_then(|r| r.limits.as_ref()), resources.and_then(|r| r.requests.as_ref()));
    let amount = match list {
        "limits" => qos::quantity(limits, resource).or_else(|| allocatable(context.node, resource)),
        "requests" => qos::quantity(requests, resource).or_else(|| qos::quantity(limits, resource)),
        _ => return invalid(format!("unsupported container resource : {}", selector.resource)),
    };
    let amount = amount.unwrap_or_else(Quantity::zero);
    let divisor = selector.divisor.as_ref().and_then(|d| Quantity::parse(&d.0).ok()).filter(|d| !d.is_zero());
    let divided = if resource == "cpu" {
        let by = divisor.map_or(1000, |d| d.milli_value()).max(1);
        (amount.milli_value() + by - 1) / by
    } else {
        let by = divisor.map_or(1, |d| d.value()).max(1);
        (amount.value() + by - 1) / by
    };
    Ok(divided.to_string())
}

fn allocatable(node: NodeAmounts, resource: &str) -> Option<Quantity> {
    use api::quantity::Format;
    match resource {
        "cpu" => Some(Quantity::from_milli(node.cpu_milli, Format::DecimalSI)),
        "memory" => Some(Quantity::new(node.memory, Format::BinarySI)),
        "ephemeral-storage" => Some(Quantity::new(node.ephemeral_storage, Format::BinarySI)),
        _ => None,
    }
}
