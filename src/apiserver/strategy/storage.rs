//! PersistentVolumes, claims, and the kinds of `storage.k8s.io`.

use api::quantity::Quantity;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::{Value, json};

use super::Strategy;
use super::workloads::immutable;
use crate::defaults::Defaults;
use crate::tree::Tree;

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

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
    validate: |volume, errors| {
        let spec = Path::root("spec");
        access_modes(volume, errors);
        match volume.at("spec.capacity") {
            None => errors.push(Error::required(&spec.child("capacity"), "")),
            Some(capacity) if capacity.at("storage").is_none() => {
                errors.push(Error::not_supported(&spec.child("capacity"), capacity.clone(), &["storage"]));
            }
            _ => {}
        }
        let sources = volume.entries("spec").filter(|(key, value)| is_source(key) && !value.is_null()).count();
        if sources == 0 {
            errors.push(Error::required(&spec, "must specify a volume type"));
        } else if sources > 1 {
            errors.push(Error::forbidden(&spec, "may not specify more than 1 volume type"));
        }
        let policy = volume.text("spec.persistentVolumeReclaimPolicy");
        if !matches!(policy, "Delete" | "Recycle" | "Retain") {
            let all = ["Delete", "Recycle", "Retain"];
            errors.push(Error::not_supported(&spec.child("persistentVolumeReclaimPolicy"), policy, &all));
        }
        if volume.at("spec.local").is_some() && volume.at("spec.nodeAffinity").is_none() {
            errors.push(Error::required(&spec.child("nodeAffinity"), "Local volume requires node affinity"));
        }
    },
    validate_update: |new, old, errors| {
        let source = |volume: &Value| -> Vec<(String, Value)> {
            volume.entries("spec").filter(|(key, _)| is_source(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
        };
        if source(new) != source(old) {
            let why = "spec.persistentvolumesource is immutable after creation";
            errors.push(Error::forbidden(&Path::root("spec.persistentvolumesource"), why));
        }
        immutable(new, old, "spec.volumeMode", errors);
        if old.at("spec.nodeAffinity").is_some() {
            immutable(new, old, "spec.nodeAffinity", errors);
        }
    },
    returns_deleted: true,
    ..Strategy::DEFAULT
};

fn is_source(key: &str) -> bool {
    !matches!(
        key,
        "capacity"
            | "accessModes"
            | "claimRef"
            | "persistentVolumeReclaimPolicy"
            | "storageClassName"
            | "mountOptions"
            | "volumeMode"
            | "nodeAffinity"
            | "volumeAttributesClassName"
    )
}

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
    validate: |claim, errors| {
        access_modes(claim, errors);
        let path = Path::root("spec").child("resources").key("storage");
        match claim.at("spec.resources.requests.storage").map(Quantity::from_json) {
            None => errors.push(Error::required(&path, "")),
            Some(Ok(storage)) if storage.signum() <= 0 => {
                errors.push(Error::invalid(&path, storage.to_string(), "must be greater than zero"));
            }
            _ => {}
        }
    },
    validate_update: |new, old, errors| {
        let fixed = |claim: &Value| {
            let mut spec = claim.at("spec").cloned().unwrap_or_default();
            spec.cut("resources.requests.storage");
            spec.cut("volumeAttributesClassName");
            // A bound claim learns its volume, and the default class, once.
            if old.text("spec.volumeName").is_empty() {
                spec.cut("volumeName");
            }
            if old.at("spec.storageClassName").is_none() {
                spec.cut("storageClassName");
            }
            spec
        };
        if fixed(new) != fixed(old) {
            errors.push(Error::forbidden(
                &Path::root("spec"),
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
            ));
        }
        let storage = |claim: &Value| {
            claim.at("spec.resources.requests.storage").and_then(|storage| Quantity::from_json(storage).ok())
        };
        if let (Some(new), Some(old)) = (storage(new), storage(old))
            && new < old
        {
            let path = Path::root("spec").child("resources.requests.storage");
            errors.push(Error::forbidden(&path, "field can not be less than status.capacity"));
        }
    },
    returns_deleted: true,
    ..Strategy::DEFAULT
};

fn access_modes(object: &Value, errors: &mut ErrorList) {
    let path = Path::root("spec").child("accessModes");
    let modes = object.items("spec.accessModes");
    if modes.is_empty() {
        errors.push(Error::required(
            &path,
            if object.text("kind") == "PersistentVolume" { "" } else { "at least 1 access mode is required" },
        ));
    }
    for mode in modes.iter().filter_map(Value::as_str).filter(|mode| !MODES.contains(mode)) {
        errors.push(Error::not_supported(&path, mode, &MODES));
    }
}

pub(super) const STORAGE_CLASS: Strategy = Strategy {
    defaults: Some(|| Defaults::new(&[("reclaimPolicy", r#""Delete""#), ("volumeBindingMode", r#""Immediate""#)])),
    validate: |class, errors| {
        if class.text("provisioner").is_empty() {
            errors.push(Error::required(&Path::root("provisioner"), ""));
        }
    },
    validate_update: |new, old, errors| {
        for (field, why) in [
            ("parameters", "updates to parameters are forbidden."),
            ("provisioner", "updates to provisioner are forbidden."),
            ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
        ] {
            if new.at(field) != old.at(field) {
                errors.push(Error::forbidden(&Path::root(field), why));
            }
        }
        immutable(new, old, "volumeBindingMode", errors);
    },
    returns_deleted: true,
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
    returns_deleted: true,
    ..Strategy::DEFAULT
};

/// Kinds whose deletes answer with the object, and nothing else particular.
pub(super) const RETURNED: Strategy = Strategy { returns_deleted: true, ..Strategy::DEFAULT };

pub(super) const VOLUME_ATTACHMENT: Strategy = Strategy {
    status: Some(r#"{"attached":false}"#),
    validate_update: |new, old, errors| immutable(new, old, "spec", errors),
    returns_deleted: true,
    ..Strategy::DEFAULT
};
