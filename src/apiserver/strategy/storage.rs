//! PersistentVolumes, claims, and the kinds of `storage.k8s.io`.

mod kinds;
mod validation;

use serde_json::{Value, json};

use super::warnings;
use super::workloads::immutable_spec;
use super::{Generation, Strategy};
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) use validation::claim_spec as validate_claim_spec;

/// What drivers within Kubernetes fill in, in the spec of a volume.
const SOURCE_DEFAULTS: &[(&str, &str)] = &[
    ("hostPath.type", r#""""#),
    ("rbd.pool", r#""rbd""#),
    ("rbd.user", r#""admin""#),
    ("rbd.keyring", r#""/etc/ceph/keyring""#),
    ("iscsi.iscsiInterface", r#""default""#),
    ("azureDisk.cachingMode", r#""ReadWrite""#),
    ("azureDisk.fsType", r#""ext4""#),
    ("azureDisk.kind", r#""Shared""#),
    ("azureDisk.readOnly", "false"),
    ("scaleIO.storageMode", r#""ThinProvisioned""#),
    ("scaleIO.fsType", r#""xfs""#),
];

pub(super) const VOLUME: Strategy = Strategy {
    status: Some(r#"{"phase":"Pending"}"#),
    prepare_create: |volume, _| {
        volume.put("status.lastPhaseTransitionTime", api::time::format(jiff::Timestamp::now()));
    },
    defaults: Some(|| {
        Defaults::new(&[
            ("status", "{}"),
            ("status.phase", r#""Pending""#),
            ("spec.persistentVolumeReclaimPolicy", r#""Retain""#),
            ("spec.volumeMode", r#""Filesystem""#),
            ("status", "{}"),
            ("status.phase", r#""Pending""#),
        ])
        .with("spec", SOURCE_DEFAULTS)
    }),
    validate: validation::volume,
    validate_update: validation::volume_update,
    returns_deleted: true,
    warnings: warnings::volume,
    ..Strategy::DEFAULT
};

pub(super) const CLAIM: Strategy = Strategy {
    status: Some(r#"{"phase":"Pending"}"#),
    prepare_create: |claim, _| data_source(claim, None),
    prepare_update: |claim, old| data_source(claim, Some(old)),
    defaults: Some(|| {
        Defaults::new(&[("spec.volumeMode", r#""Filesystem""#), ("status", "{}"), ("status.phase", r#""Pending""#)])
    }),
    validate: validation::claim,
    validate_update: validation::claim_update,
    validate_status: validation::claim_status,
    returns_deleted: true,
    warnings: warnings::claim,
    ..Strategy::DEFAULT
};

const OLD: &str = "spec.dataSource";
const NEW: &str = "spec.dataSourceRef";

/// Two fields say where the data comes from: the older one only knows claims and snapshots, of its own namespace, and forgot
/// what else it was told.
fn data_source(claim: &mut Value, old: Option<&Value>) {
    let used = |field| old.is_some_and(|old| old.at(field).is_some());
    // Sources in other namespaces are a feature that is off.
    if !used(NEW) && !claim.text("spec.dataSourceRef.namespace").is_empty() {
        claim.cut(NEW);
    }
    if !used(OLD) && !used(NEW) && claim.at(NEW).is_none() {
        let known = matches!(
            (claim.text("spec.dataSource.apiGroup"), claim.text("spec.dataSource.kind")),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        );
        if !known {
            claim.cut(OLD);
        }
    }
    name_both_sources(claim);
}

/// Who says in one of the fields where the data comes from says it in both.
fn name_both_sources(claim: &mut Value) {
    match (claim.at(OLD).cloned(), claim.at(NEW).cloned()) {
        (Some(source), None) => claim.put(NEW, source),
        (None, Some(mut source)) if source.text("namespace").is_empty() => {
            source.cut("namespace");
            claim.put(OLD, source);
        }
        _ => {}
    }
}

pub(super) const STORAGE_CLASS: Strategy = Strategy {
    defaults: Some(|| Defaults::new(&[("reclaimPolicy", r#""Delete""#), ("volumeBindingMode", r#""Immediate""#)])),
    validate: kinds::storage_class,
    validate_update: kinds::storage_class_update,
    returns_deleted: true,
    warnings: warnings::storage_class,
    ..Strategy::DEFAULT
};

pub(super) const CSI_DRIVER: Strategy = Strategy {
    generation: Generation::CountedFromSent,
    default: |driver| driver.default_to("spec", json!({})),
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.attachRequired", "true"),
            ("spec.podInfoOnMount", "false"),
            ("spec.storageCapacity", "false"),
            ("spec.fsGroupPolicy", r#""ReadWriteOnceWithFSType""#),
            ("spec.volumeLifecycleModes", r#"["Persistent"]"#),
            ("spec.requiresRepublish", "false"),
            ("spec.seLinuxMount", "false"),
        ])
    }),
    validate: kinds::driver,
    validate_update: kinds::driver_update,
    returns_deleted: true,
    unconditional_update: false,
    warnings: warnings::csi_driver,
    ..Strategy::DEFAULT
};

pub(super) const CSI_NODE: Strategy = Strategy {
    validate: kinds::node,
    validate_update: kinds::node_update,
    returns_deleted: true,
    unconditional_update: false,
    ..Strategy::DEFAULT
};

pub(super) const STORAGE_CAPACITY: Strategy = Strategy {
    validate: kinds::capacity,
    validate_update: kinds::capacity_update,
    unconditional_update: false,
    warnings: warnings::storage_capacity,
    ..Strategy::DEFAULT
};

pub(super) const ATTRIBUTES_CLASS: Strategy = Strategy {
    validate: kinds::attributes_class,
    validate_update: kinds::attributes_class_update,
    returns_deleted: true,
    ..Strategy::DEFAULT
};

pub(super) const VOLUME_ATTACHMENT: Strategy = Strategy {
    status: Some(r#"{"attached":false}"#),
    defaults: Some(|| Defaults::new(&[]).with("spec.source.inlineVolumeSpec", SOURCE_DEFAULTS)),
    validate: kinds::attachment,
    validate_create: kinds::new_attachment,
    validate_update: |new, old, errors| immutable_spec("VolumeAttachmentSpec", new, old, errors),
    validate_status: kinds::attachment_status,
    returns_deleted: true,
    unconditional_update: false,
    ..Strategy::DEFAULT
};
