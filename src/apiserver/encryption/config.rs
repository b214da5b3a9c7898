//! The file that says what is encrypted how: upstream's `EncryptionConfiguration`, with upstream's complaints.

use api::validation::field::{Error, ErrorList, Path};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::EncryptionError;
use super::provider::{Cipher, Provider};

const AES_KEYS: &[usize] = &[16, 24, 32];
const SECRETBOX_KEYS: &[usize] = &[32];

/// What is done with some resources: read with any of the providers, written with the first.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) resources: Vec<String>,
    pub(super) providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    resources: Vec<ResourceConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceConfig {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<ProviderConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderConfig {
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
    secretbox: Option<Keys>,
    identity: Option<serde_json::Value>,
    kms: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

/// Reads the file's text, YAML or JSON.
pub(super) fn parse(text: &str) -> Result<Vec<Rule>, EncryptionError> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| EncryptionError::Syntax(error.to_string()))?;
    let known = matches!(&*file.api_version, "apiserver.config.k8s.io/v1" | "v1");
    if !known || file.kind != "EncryptionConfiguration" {
        let what = format!("{}, Kind={}", file.api_version, file.kind);
        return Err(EncryptionError::Syntax(format!("no kind is registered for the type {what}")));
    }
    let mut errors = ErrorList::new();
    let root = Path::root("resources");
    if file.resources.is_empty() {
        errors.push(Error::required(&root, "at least one resources is required"));
    }
    let mut rules = Vec::new();
    for (at, config) in file.resources.into_iter().enumerate() {
        let path = root.index(at);
        check_resources(&config.resources, &path.child("resources"), &mut errors);
        let providers = providers(config.providers, &path.child("providers"), &mut errors);
        rules.push(Rule { resources: config.resources, providers });
    }
    if errors.is_empty() {
        return match masked(&rules) {
            None => Ok(rules),
            Some((name, by)) => Err(EncryptionError::Masked(name, by)),
        };
    }
    Err(EncryptionError::Invalid(errors.to_string()))
}

fn check_resources(resources: &[String], path: &Path, errors: &mut ErrorList) {
    if resources.is_empty() {
        errors.push(Error::required(path, format!("at least one {path} is required")));
    }
    let group = |name: &str| name.split_once('.').map_or("", |(_, group)| group).to_owned();
    // Complaints about the list as a whole come first, each once.
    let whole = |why: &str| Error::invalid(path, resources.to_vec(), why);
    if resources.iter().enumerate().any(|(at, name)| resources[..at].contains(name)) {
        errors.push(whole("the same resource cannot be specified multiple times"));
    }
    if resources.len() > 1 && resources.iter().any(|name| masks(name, resources)) {
        errors.push(whole(
            "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
        ));
    }
    for (at, name) in resources.iter().enumerate() {
        let path = path.index(at);
        let why = match name.as_str() {
            name if name.chars().any(char::is_uppercase) => "resource name should not contain capital letters",
            "*" => "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
            name if group(name) == "events.k8s.io" => {
                "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' instead in the config file"
            }
            name if group(name) == "extensions" => {
                "'extensions' group has been removed and cannot be used for encryption"
            }
            name if group(name) == "*" && name != "*.*" => {
                "encrypting the same resource across groups is not supported"
            }
            _ => continue,
        };
        errors.push(Error::invalid(&path, name.as_str(), why));
    }
}

/// Whether a name stands for others of the list, too.
fn masks(name: &str, all: &[String]) -> bool {
    let Some(group) = name.strip_prefix("*.") else { return false };
    let of = |other: &str| other.split_once('.').map_or("", |(_, group)| group).to_owned();
    group == "*" || all.iter().any(|other| other != name && of(other) == group)
}

/// A name that a wildcard of an earlier rule stands for already, and that wildcard.
fn masked(rules: &[Rule]) -> Option<(String, String)> {
    let mut earlier: Vec<&String> = Vec::new();
    for rule in rules {
        for name in &rule.resources {
            let all = [(*name).clone()];
            if let Some(by) = earlier.iter().find(|by| *by != &name && masks(by, &all)) {
                return Some((name.clone(), (**by).clone()));
            }
        }
        earlier.extend(&rule.resources);
    }
    None
}

fn providers(configs: Vec<ProviderConfig>, path: &Path, errors: &mut ErrorList) -> Vec<Provider> {
    if configs.is_empty() {
        errors.push(Error::required(path, format!("at least one {path} is required")));
    }
    let mut providers = Vec::new();
    for (at, config) in configs.into_iter().enumerate() {
        let path = path.index(at);
        let found = [
            config.aesgcm.is_some(),
            config.aescbc.is_some(),
            config.secretbox.is_some(),
            config.identity.is_some(),
            config.kms.is_some(),
        ];
        match found.iter().filter(|found| **found).count() {
            1 => {}
            0 => {
                let why =
                    "provider does not contain any of the expected providers: KMS, AESGCM, AESCBC, Secretbox, Identity";
                let found = json!({"AESGCM": null, "AESCBC": null, "Secretbox": null, "Identity": null, "KMS": null});
                errors.push(Error::invalid(&path, found, why));
                continue;
            }
            _ => {
                let why =
                    "more than one provider specified in a single element, should split into different list elements";
                errors.push(Error::invalid(&path, "REDACTED", why));
                continue;
            }
        }
        if config.kms.is_some() {
            let why = "KMS plugins are not supported here: use secretbox, aesgcm or aescbc";
            errors.push(Error::invalid(&path.child("kms"), "REDACTED", why));
        }
        if config.identity.is_some() {
            providers.push(Provider::Identity);
        }
        let keyed = [
            ("aesgcm", Cipher::AesGcm, AES_KEYS, config.aesgcm),
            ("aescbc", Cipher::AesCbc, AES_KEYS, config.aescbc),
            ("secretbox", Cipher::Secretbox, SECRETBOX_KEYS, config.secretbox),
        ];
        for (name, cipher, lengths, keys) in keyed {
            if let Some(keys) = keys {
                let keys = read_keys(keys, lengths, &path.child(name).child("keys"), errors);
                providers.push(Provider::Keyed { cipher, keys });
            }
        }
    }
    providers
}

fn read_keys(keys: Keys, lengths: &[usize], path: &Path, errors: &mut ErrorList) -> Vec<super::provider::Key> {
    if keys.keys.is_empty() {
        errors.push(Error::required(path, "at least one keys is required"));
    }
    let mut read = Vec::new();
    for (at, key) in keys.keys.into_iter().enumerate() {
        let path = path.index(at);
        if key.name.is_empty() {
            errors.push(Error::required(&path.child("name"), "name is a mandatory field for a key"));
        }
        let at = path.child("secret");
        if key.secret.is_empty() {
            errors.push(Error::required(&at, "secret is a mandatory field for a key"));
            continue;
        }
        match BASE64_STANDARD.decode(&key.secret) {
            Err(_) => errors.push(Error::invalid(&at, "REDACTED", "secrets must be base64 encoded")),
            Ok(secret) if !lengths.contains(&secret.len()) => {
                let expected: Vec<String> = lengths.iter().map(ToString::to_string).collect();
                let why = format!(
                    "secret is not of the expected length, got {}, expected one of [{}]",
                    secret.len(),
                    expected.join(" ")
                );
                errors.push(Error::invalid(&at, "REDACTED", why));
            }
            Ok(secret) => read.push(super::provider::Key { name: key.name, secret: secret.into() }),
        }
    }
    read
}
