//! PersistentVolumes, claims, and the kinds of `storage.k8s.io`.

mod kinds;
mod validation;

use serde_json::json;

use super::Strategy;
use super::warnings;
use super::workloads::immutable;
use crate::defaults::Defaults;
use crate::tree::Tree;

pub(super) use validation::claim_spec as validate_claim_spec;

pub(super) const VOLUME: Strategy = Strategy {
    status: Some(r#"{"phase":"Pending"}"#),
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.persistentVolumeReclaimPolicy", r#""Retain""#),
            ("spec.volumeMode", r#""Filesystem""#),
            ("spec.hostPath.type", r#""""#),
            ("spec.claimRef.kind", r#""PersistentVolumeClaim""#),
            ("spec.claimRef.apiVersion", r#""v1""#),
        ])
    }),
    validate: validation::volume,
    validate_update: validation::volume_update,
    returns_deleted: true,
    warnings: warnings::volume,
    ..Strategy::DEFAULT
};

pub(super) const CLAIM: Strategy = Strategy {
    status: Some(r#"{"phase":"Pending"}"#),
    default: |claim| {
        // Two fields for where the data comes from; the older one only knows volumes and snapshots.
        match (claim.at("spec.dataSource").cloned(), claim.at("spec.dataSourceRef").cloned()) {
            (Some(source), None) => claim.put("spec.dataSourceRef", source),
            (None, Some(source)) if source.text("namespace").is_empty() => claim.put("spec.dataSource", source),
            _ => {}
        }
    },
    defaults: Some(|| Defaults::new(&[("spec.volumeMode", r#""Filesystem""#)])),
    validate: validation::claim,
    validate_update: validation::claim_update,
    validate_status: validation::claim_status,
    returns_deleted: true,
    warnings: warnings::claim,
    ..Strategy::DEFAULT
};

pub(super) const STORAGE_CLASS: Strategy = Strategy {
    defaults: Some(|| Defaults::new(&[("reclaimPolicy", r#""Delete""#), ("volumeBindingMode", r#""Immediate""#)])),
    validate: kinds::storage_class,
    validate_update: kinds::storage_class_update,
    returns_deleted: true,
    warnings: warnings::storage_class,
    ..Strategy::DEFAULT
};

pub(super) const CSI_DRIVER: Strategy = Strategy {
    generation: true,
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
    warnings: warnings::csi_driver,
    ..Strategy::DEFAULT
};

pub(super) const CSI_NODE: Strategy =
    Strategy { validate: kinds::node, validate_update: kinds::node_update, returns_deleted: true, ..Strategy::DEFAULT };

pub(super) const STORAGE_CAPACITY: Strategy = Strategy {
    validate: kinds::capacity,
    validate_update: kinds::capacity_update,
    returns_deleted: true,
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
    validate: kinds::attachment,
    validate_update: |new, old, errors| immutable(new, old, "spec", errors),
    validate_status: kinds::attachment_status,
    returns_deleted: true,
    ..Strategy::DEFAULT
};
