//! ConfigMaps, Secrets and ServiceAccounts.

mod tls;

use api::validation::config_map_key;
use api::validation::field::{Error, ErrorList, Path};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::Strategy;
use super::workloads::immutable_text;
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
                if field == "data" && map.at("binaryData").is_some_and(|data| data.get(key).is_some()) {
                    errors.push(Error::invalid(&path, key.as_str(), "duplicate of key present in binaryData"));
                }
                let length = value.as_str().map_or(0, str::len);
                size += if field == "data" { length } else { length / 4 * 3 };
            }
        }
        // Of the object as a whole, as upstream calls it.
        too_much(size, "[]", errors);
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
        contents(secret, errors);
    },
    validate_update: |new, old, errors| {
        immutable_text(new, old, "type", errors);
        frozen(new, old, &["data"], errors);
    },
    warnings: |(secret, _)| {
        if secret.text("type") != "kubernetes.io/tls" {
            return Vec::new();
        }
        let file = |key: &str| {
            let text = secret.at("data").and_then(|data| data.get(key)).and_then(Value::as_str);
            BASE64_STANDARD.decode(text.unwrap_or_default()).unwrap_or_default()
        };
        tls::complaint(&file("tls.crt"), &file("tls.key")).into_iter().collect()
    },
    ..Strategy::DEFAULT
};

/// What a secret of a type has to hold.
fn contents(secret: &Value, errors: &mut ErrorList) {
    let holds = |key: &str| secret.at("data").and_then(|data| data.get(key)).is_some();
    let missing = |key: &str| Error::required(&Path::root("data").key(key), "");
    match secret.text("type") {
        "kubernetes.io/tls" => errors.extend(["tls.crt", "tls.key"].into_iter().filter(|key| !holds(key)).map(missing)),
        "kubernetes.io/dockerconfigjson" => json(secret, ".dockerconfigjson", errors),
        "kubernetes.io/dockercfg" => json(secret, ".dockercfg", errors),
        "kubernetes.io/basic-auth" if !holds("username") && !holds("password") => {
            errors.extend(["username", "password"].map(missing));
        }
        "kubernetes.io/ssh-auth" => {
            let key = secret.at("data").and_then(|data| data.get("ssh-privatekey")).and_then(Value::as_str);
            if key.unwrap_or_default().is_empty() {
                errors.push(missing("ssh-privatekey"));
            }
        }
        "kubernetes.io/service-account-token" => {
            let key = "kubernetes.io/service-account.name";
            let name = secret.at("metadata.annotations").and_then(|a| a.get(key)).and_then(Value::as_str);
            if name.unwrap_or_default().is_empty() {
                errors.push(Error::required(&Path::root("metadata.annotations").key(key), ""));
            }
        }
        _ => {}
    }
}

/// An entry has to be there and to be a JSON object. What is wrong with it is said without showing it.
fn json(secret: &Value, key: &str, errors: &mut ErrorList) {
    let path = Path::root("data").key(key);
    let Some(text) = secret.at("data").and_then(|data| data.get(key)).and_then(Value::as_str) else {
        errors.push(Error::required(&path, ""));
        return;
    };
    let bytes = BASE64_STANDARD.decode(text).unwrap_or_default();
    let why = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => {
            format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", kind_of(&other))
        }
        Err(_) if bytes.trim_ascii().is_empty() => "unexpected end of JSON input".to_owned(),
        Err(error) if error.is_eof() => "unexpected end of JSON input".to_owned(),
        Err(_) => "invalid character in JSON input".to_owned(),
    };
    errors.push(Error::invalid(&path, "<secret contents redacted>", why));
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        _ => "array",
    }
}

pub(super) const SERVICE_ACCOUNT: Strategy = Strategy {
    returns_deleted: true,
    prepare_create: |account, _| bare_secrets(account),
    prepare_update: |account, _| bare_secrets(account),
    ..Strategy::DEFAULT
};

/// Secrets of an account are known by their names alone.
fn bare_secrets(account: &mut Value) {
    for secret in account.items_mut("secrets") {
        *secret = secret.at("name").map_or_else(|| json!({}), |name| json!({"name": name}));
    }
}

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
