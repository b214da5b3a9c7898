//! Volumes, their claims and classes, and what drives them.

use std::collections::BTreeMap;

use api::Object;
use api::quantity::Quantity;
use serde_json::Value;

use super::Kind;
use super::column::{AGE, NAME, flag, number, text, wide};
use super::row::row;
use super::text::{age, name, or_none};
use super::view::{self, view};

/// `RWO,ROX`: each mode once, in a fixed order.
fn access_modes(modes: &[String]) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let named = short.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode));
    named.map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

fn storage(amounts: &BTreeMap<String, Value>) -> String {
    let amount = amounts.get("storage").and_then(|amount| Quantity::from_json(amount).ok());
    amount.unwrap_or_else(Quantity::zero).to_string()
}

const UNSET: &str = "<unset>";

view! {
    Meta { annotations: BTreeMap<String, String> }
}

impl Meta {
    /// The annotation that named the class before there was a field for it.
    fn class(&self, field: Option<String>) -> String {
        let annotation = self.annotations.get("volume.beta.kubernetes.io/storage-class").cloned();
        annotation.or(field).unwrap_or_default()
    }

    fn is(&self, annotations: &[&str]) -> bool {
        annotations.iter().any(|key| self.annotations.get(*key).is_some_and(|value| value == "true"))
    }
}

fn phase(object: &Object, phase: String) -> String {
    if object.meta.is_deleting() { "Terminating".to_owned() } else { phase }
}

pub(super) const PERSISTENT_VOLUME: Kind = (
    &[
        NAME,
        text("Capacity", "The size of the volume."),
        text("Access Modes", "How the volume can be mounted."),
        text("Reclaim Policy", "What becomes of the volume without its claim."),
        text("Status", "How the volume is doing."),
        text("Claim", "The claim the volume is bound to."),
        text("StorageClass", "The class of the volume."),
        text("VolumeAttributesClass", "The class of the volume's attributes."),
        text("Reason", "Why the volume is not well."),
        AGE,
        wide("VolumeMode", "Whether the volume is a file system or a block device."),
    ],
    |object| {
        view! {
            PersistentVolume { metadata: Meta, spec: Spec, status: Status }
            Spec {
                capacity: BTreeMap<String, Value>,
                access_modes: Vec<String>,
                persistent_volume_reclaim_policy: String,
                claim_ref: Option<Claim>,
                storage_class_name: Option<String>,
                volume_attributes_class_name: Option<String>,
                volume_mode: Option<String>,
            }
            Claim { namespace: String, name: String }
            Status { phase: String, reason: String }
        }
        let PersistentVolume { metadata, spec, status } = view::read_whole(object)?;
        let claim = spec.claim_ref.map(|claim| format!("{}/{}", claim.namespace, claim.name));
        row![
            name(object),
            storage(&spec.capacity),
            access_modes(&spec.access_modes),
            spec.persistent_volume_reclaim_policy,
            phase(object, status.phase),
            claim.unwrap_or_default(),
            metadata.class(spec.storage_class_name),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()),
            status.reason,
            age(object),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()),
        ]
    },
);

pub(super) const PERSISTENT_VOLUME_CLAIM: Kind = (
    &[
        NAME,
        text("Status", "How the claim is doing."),
        text("Volume", "The volume the claim is bound to."),
        text("Capacity", "The size of the volume."),
        text("Access Modes", "How the volume can be mounted."),
        text("StorageClass", "The class of the claim."),
        text("VolumeAttributesClass", "The class of the volume's attributes."),
        AGE,
        wide("VolumeMode", "Whether the volume is a file system or a block device."),
    ],
    |object| {
        view! {
            PersistentVolumeClaim { metadata: Meta, spec: Spec, status: Status }
            Spec {
                volume_name: String,
                storage_class_name: Option<String>,
                volume_attributes_class_name: Option<String>,
                volume_mode: Option<String>,
            }
            Status { phase: String, capacity: BTreeMap<String, Value>, access_modes: Vec<String> }
        }
        let PersistentVolumeClaim { metadata, spec, status } = view::read_whole(object)?;
        let (capacity, modes) = match &*spec.volume_name {
            "" => (String::new(), String::new()),
            _ => (storage(&status.capacity), access_modes(&status.access_modes)),
        };
        row![
            name(object),
            phase(object, status.phase),
            spec.volume_name,
            capacity,
            modes,
            metadata.class(spec.storage_class_name),
            spec.volume_attributes_class_name.unwrap_or_else(|| UNSET.to_owned()),
            age(object),
            spec.volume_mode.unwrap_or_else(|| UNSET.to_owned()),
        ]
    },
);

pub(super) const STORAGE_CLASS: Kind = (
    &[
        NAME,
        text("Provisioner", "Who makes the volumes."),
        text("ReclaimPolicy", "What becomes of volumes without their claims."),
        text("VolumeBindingMode", "When claims are bound."),
        text("AllowVolumeExpansion", "Whether volumes can grow."),
        AGE,
    ],
    |object| {
        view! {
            StorageClass {
                metadata: Meta,
                provisioner: String,
                reclaim_policy: Option<String>,
                volume_binding_mode: Option<String>,
                allow_volume_expansion: bool,
            }
        }
        let class: StorageClass = view::read_whole(object)?;
        let default =
            ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
        row![
            with_default(object, class.metadata.is(&default)),
            class.provisioner,
            class.reclaim_policy.unwrap_or_else(|| "Delete".to_owned()),
            class.volume_binding_mode.unwrap_or_else(|| "Immediate".to_owned()),
            class.allow_volume_expansion,
            age(object),
        ]
    },
);

pub(super) const VOLUME_ATTRIBUTES_CLASS: Kind =
    (&[NAME, text("DriverName", "The driver that knows the attributes."), AGE], |object| {
        view! { VolumeAttributesClass { metadata: Meta, driver_name: String } }
        let class: VolumeAttributesClass = view::read_whole(object)?;
        let default = class.metadata.is(&["storageclass.kubernetes.io/is-default-class"]);
        row![with_default(object, default), class.driver_name, age(object)]
    });

fn with_default(object: &Object, is_default: bool) -> String {
    let name = &*object.meta.name;
    if is_default { format!("{name} (default)") } else { name.to_owned() }
}

pub(super) const VOLUME_ATTACHMENT: Kind = (
    &[
        NAME,
        text("Attacher", "The driver that attaches the volume.").named(),
        text("PV", "The volume."),
        text("Node", "The node the volume is attached to."),
        flag("Attached", "Whether the volume is attached."),
        AGE,
    ],
    |object| {
        view! {
            VolumeAttachment { spec: Spec, status: Status }
            Spec { attacher: String, node_name: String, source: Source }
            Source { persistent_volume_name: String }
            Status { attached: bool }
        }
        let VolumeAttachment { spec, status } = view::read(object)?;
        let volume = spec.source.persistent_volume_name;
        row![name(object), spec.attacher, volume, spec.node_name, status.attached, age(object)]
    },
);

pub(super) const CSI_NODE: Kind = (&[NAME, number("Drivers", "How many drivers the node has."), AGE], |object| {
    view! {
        CsiNode { spec: Spec }
        Spec { drivers: view::Count }
    }
    let CsiNode { spec } = view::read(object)?;
    row![name(object), spec.drivers.0, age(object)]
});

pub(super) const CSI_DRIVER: Kind = (
    &[
        NAME,
        flag("AttachRequired", "Whether volumes have to be attached before they are mounted."),
        flag("PodInfoOnMount", "Whether the driver is told about the pod."),
        flag("StorageCapacity", "Whether the driver says how much storage it has."),
        text("TokenRequests", "The audiences of the tokens the driver gets."),
        flag("RequiresRepublish", "Whether volumes are published again from time to time."),
        text("Modes", "The lifecycles of volumes the driver knows."),
        AGE,
    ],
    |object| {
        view! {
            CsiDriver { spec: Spec }
            Spec {
                attach_required: Option<bool>,
                pod_info_on_mount: bool,
                storage_capacity: bool,
                token_requests: Option<Vec<TokenRequest>>,
                requires_republish: bool,
                volume_lifecycle_modes: Vec<String>,
            }
            TokenRequest { audience: String }
        }
        let CsiDriver { spec } = view::read(object)?;
        let audiences = spec
            .token_requests
            .map(|requests| requests.into_iter().map(|request| request.audience).collect::<Vec<_>>().join(","));
        row![
            name(object),
            spec.attach_required.unwrap_or(true),
            spec.pod_info_on_mount,
            spec.storage_capacity,
            audiences.unwrap_or_else(|| UNSET.to_owned()),
            spec.requires_republish,
            or_none(spec.volume_lifecycle_modes.join(",")),
            age(object),
        ]
    },
);
