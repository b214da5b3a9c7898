//! What the cluster is made of, and what happens in it.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Kind;
use super::column::{AGE, NAME, flag, number, text, wide};
use super::row::{Words, row};
use super::text::{age, name, or_none};
use super::view::{self, view};

view! {
    Condition { r#type: String, status: String, reason: String, message: String, error: String }
}

pub(super) const NODE: Kind = (
    &[
        NAME,
        text("Status", "Whether the node is ready."),
        text("Roles", "What the node is for."),
        AGE,
        text("Version", "The version of the node's kubelet."),
        wide("Internal-IP", "The node's address in the cluster."),
        wide("External-IP", "The node's address outside the cluster."),
        wide("OS-Image", "The operating system."),
        wide("Kernel-Version", "The kernel."),
        wide("Container-Runtime", "The container runtime."),
    ],
    |object| {
        view! {
            Node { spec: Spec, status: Status }
            Spec { unschedulable: bool }
            Status { conditions: Vec<Condition>, addresses: Vec<Address>, node_info: Info }
            Address { r#type: String, address: String }
            Info {
                kubelet_version: String,
                os_image: String,
                kernel_version: String,
                container_runtime_version: String,
            }
        }
        let Node { spec, status } = view::read(object)?;
        let ready = status.conditions.iter().rev().find(|condition| condition.r#type == "Ready");
        let mut words = vec![match ready {
            Some(ready) if ready.status == "True" => "Ready",
            Some(_) => "NotReady",
            None => "Unknown",
        }];
        if spec.unschedulable {
            words.push("SchedulingDisabled");
        }
        let role = |(key, value): (&'_ str, &'_ str)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role.to_owned(),
            None if key == "kubernetes.io/role" => value.to_owned(),
            None => String::new(),
        };
        let roles: BTreeSet<String> = object.meta.labels.iter().map(role).filter(|role| !role.is_empty()).collect();
        let address = |ty: &str| {
            or_none(status.addresses.iter().find(|a| a.r#type == ty).map(|a| &*a.address).unwrap_or_default())
        };
        let known = |text: &str| if text.is_empty() { "<unknown>".to_owned() } else { text.to_owned() };
        row![
            name(object),
            words.join(","),
            or_none(roles.into_iter().collect::<Vec<_>>().join(",")),
            age(object),
            status.node_info.kubelet_version,
            address("InternalIP"),
            address("ExternalIP"),
            known(&status.node_info.os_image),
            known(&status.node_info.kernel_version),
            known(&status.node_info.container_runtime_version),
        ]
    },
);

pub(super) const NAMESPACE: Kind = (&[NAME, text("Status", "The phase of the namespace."), AGE], |object| {
    view! {
        Namespace { status: Status }
        Status { phase: String }
    }
    let Namespace { status } = view::read(object)?;
    row![name(object), status.phase, age(object)]
});

/// Both groups' events: what one calls regarding the other calls involved.
pub(super) const EVENT: Kind = (
    &[
        text("Last Seen", "The time since it last happened."),
        text("Type", "Whether it is normal."),
        text("Reason", "What happened, in one word."),
        text("Object", "What it happened to."),
        wide("Subobject", "The part of the object it happened to."),
        wide("Source", "Who reports it."),
        text("Message", "What happened."),
        wide("First Seen", "The time since it first happened."),
        wide("Count", "How often it happened."),
        wide("Name", "The name, unique within a namespace.").named(),
    ],
    |object| {
        view! {
            Event {
                involved_object: Involved,
                regarding: Involved,
                reason: String,
                message: String,
                note: String,
                r#type: String,
                count: i64,
                deprecated_count: i64,
                first_timestamp: Option<Timestamp>,
                deprecated_first_timestamp: Option<Timestamp>,
                last_timestamp: Option<Timestamp>,
                deprecated_last_timestamp: Option<Timestamp>,
                event_time: Option<Timestamp>,
                series: Option<Series>,
                source: Source,
                deprecated_source: Source,
                reporting_component: String,
                reporting_controller: String,
                reporting_instance: String,
            }
            Involved { kind: String, name: String, field_path: String }
            Series { count: i64, last_observed_time: Option<Timestamp> }
            Source { component: String, host: String }
        }
        let event: Event = view::read(object)?;
        let first = event.first_timestamp.or(event.deprecated_first_timestamp).or(event.event_time);
        let last = event.last_timestamp.or(event.deprecated_last_timestamp).or(first);
        let (last, count) = match event.series {
            Some(series) => (series.last_observed_time, series.count),
            // An event that happened once need not say so.
            None => (last, event.count.max(event.deprecated_count).max(1)),
        };
        let involved = if event.involved_object.kind.is_empty() { event.regarding } else { event.involved_object };
        let kind = involved.kind.to_lowercase();
        let target = if involved.name.is_empty() { kind } else { format!("{kind}/{}", involved.name) };
        let first_of = |texts: [String; 3]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
        let component = [event.source.component, event.deprecated_source.component];
        let [component, deprecated] = component;
        let reporter = first_of([event.reporting_component, event.reporting_controller, String::new()]);
        let component = first_of([component, deprecated, reporter]);
        let host = first_of([event.source.host, event.deprecated_source.host, event.reporting_instance]);
        row![
            Words::since(last),
            event.r#type,
            event.reason,
            target,
            involved.field_path,
            if host.is_empty() { component } else { format!("{component}, {host}") },
            first_of([event.message, event.note, String::new()]).trim(),
            Words::since(first),
            count,
            name(object),
        ]
    },
);

pub(super) const COMPONENT_STATUS: Kind = (
    &[
        NAME,
        text("Status", "Whether the component is well."),
        text("Message", "What the component says."),
        text("Error", "What is wrong."),
    ],
    |object| {
        view! { ComponentStatus { conditions: Vec<Condition> } }
        let ComponentStatus { conditions } = view::read(object)?;
        let healthy = conditions.into_iter().find(|condition| condition.r#type == "Healthy");
        let word = healthy.as_ref().map_or("Unknown", |c| if c.status == "True" { "Healthy" } else { "Unhealthy" });
        let healthy = healthy.as_ref();
        row![
            name(object),
            word,
            healthy.map(|condition| &*condition.message).unwrap_or_default(),
            healthy.map(|condition| &*condition.error).unwrap_or_default(),
        ]
    },
);

pub(super) const API_SERVICE: Kind = (
    &[
        NAME,
        text("Service", "The service that answers; Local for this server."),
        text("Available", "Whether it answers."),
        AGE,
    ],
    |object| {
        view! {
            ApiService { spec: Spec, status: Status }
            Spec { service: Option<Service> }
            Service { namespace: String, name: String }
            Status { conditions: Vec<Condition> }
        }
        let ApiService { spec, status } = view::read(object)?;
        let service = spec.service.map_or_else(|| "Local".to_owned(), |s| format!("{}/{}", s.namespace, s.name));
        let available = status.conditions.into_iter().find(|condition| condition.r#type == "Available");
        let available = match available {
            None => "Unknown".to_owned(),
            Some(condition) if condition.status == "True" => condition.status,
            Some(condition) => format!("{} ({})", condition.status, condition.reason),
        };
        row![name(object), service, available, age(object)]
    },
);

pub(super) const LEASE: Kind = (&[NAME, text("Holder", "Who holds the lease."), AGE], |object| {
    view! {
        Lease { spec: Spec }
        Spec { holder_identity: String }
    }
    let Lease { spec } = view::read(object)?;
    row![name(object), spec.holder_identity, age(object)]
});

pub(super) const RUNTIME_CLASS: Kind =
    (&[NAME, text("Handler", "The runtime's name for its configuration."), AGE], |object| {
        view! { RuntimeClass { handler: String } }
        let RuntimeClass { handler } = view::read(object)?;
        row![name(object), handler, age(object)]
    });

pub(super) const PRIORITY_CLASS: Kind = (
    &[
        NAME,
        number("Value", "The priority of pods of the class."),
        flag("Global-Default", "Whether pods without a class are of this one."),
        AGE,
        text("PreemptionPolicy", "Whether pods of the class make others go."),
    ],
    |object| {
        view! { PriorityClass { value: i64, global_default: bool, preemption_policy: String } }
        let class: PriorityClass = view::read(object)?;
        row![name(object), class.value, class.global_default, age(object), class.preemption_policy]
    },
);
