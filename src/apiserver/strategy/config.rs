//! ConfigMaps, Secrets and ServiceAccounts.

use api::validation::config_map_key;
use api::validation::field::{Error, ErrorList, Path};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::Strategy;
use super::workloads::immutable;
use crate::defaults::Defaults;
use crate::tree::Tree;

/// The most data a ConfigMap or Secret holds.
const DATA_MAX: usize = 1 << 20;

pub(super) const CONFIG_MAP: Strategy = Strategy {
    validate: |map, errors| {
        let mut size = 0;
        for field in ["data", "binaryData"] {
            for (key, value) in map.entries(field) {
                let path = Path::root(field).key(key);
                errors.invalid_each(&path, key, config_map_key(key));
                if field == "binaryData" && map.at("data").is_some_and(|data| data.get(key).is_some()) {
                    errors.push(Error::invalid(&path, key.as_str(), "duplicate of key present in data"));
                }
                size += value.as_str().map_or(0, str::len);
            }
        }
        too_much(size, "", errors);
    },
    validate_update: |new, old, errors| frozen(new, old, &["data", "binaryData"], errors),
    ..Strategy::DEFAULT
};

pub(super) const SECRET: Strategy = Strategy {
    default: |secret| {
        // What was given as text is kept as bytes like the rest.
        if let Some(Value::Object(texts)) = secret.cut("stringData") {
            for (key, text) in texts {
                let bytes = BASE64_STANDARD.encode(text.as_str().unwrap_or_default());
                secret.map_mut("data").insert(key, bytes.into());
            }
        }
    },
    defaults: Some(|| Defaults::new(&[("type", r#""Opaque""#)])),
    validate: |secret, errors| {
        let mut size = 0;
        for (key, value) in secret.entries("data") {
            errors.invalid_each(&Path::root("data").key(key), key, config_map_key(key));
            size += value.as_str().map_or(0, |text| text.len() / 4 * 3);
        }
        too_much(size, "data", errors);
        let needed: &[&str] = match secret.text("type") {
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            "kubernetes.io/service-account-token" => {
                let name = secret.at("metadata.annotations").and_then(|a| a.get("kubernetes.io/service-account.name"));
                if name.and_then(Value::as_str).unwrap_or_default().is_empty() {
                    let path = Path::root("metadata.annotations").key("kubernetes.io/service-account.name");
                    errors.push(Error::required(&path, ""));
                }
                &[]
            }
            _ => &[],
        };
        for key in needed {
            if secret.at("data").is_none_or(|data| data.get(*key).is_none()) {
                errors.push(Error::required(&Path::root("data").key(key), ""));
            }
        }
    },
    validate_update: |new, old, errors| {
        immutable(new, old, "type", errors);
        frozen(new, old, &["data"], errors);
    },
    ..Strategy::DEFAULT
};

pub(super) const SERVICE_ACCOUNT: Strategy = Strategy { returns_deleted: true, ..Strategy::DEFAULT };

fn too_much(size: usize, field: &str, errors: &mut ErrorList) {
    if size > DATA_MAX {
        errors.push(Error::too_long(&Path::root(field), DATA_MAX));
    }
}

/// What was marked immutable stays so, and keeps its data.
fn frozen(new: &Value, old: &Value, fields: &[&str], errors: &mut ErrorList) {
    if !old.truth("immutable") {
        return;
    }
    if !new.truth("immutable") {
        errors.push(Error::forbidden(&Path::root("immutable"), "field is immutable when `immutable` is set"));
    }
    for field in fields {
        if new.at(field) != old.at(field) {
            errors.push(Error::forbidden(&Path::root(field), "field is immutable when `immutable` is set"));
        }
    }
}
