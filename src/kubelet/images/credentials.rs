//! Registry credentials from imagePullSecrets.

use std::collections::BTreeMap;

use base64::Engine;
use client::events::EventType::Warning;
use runtime::types::RegistryAuth;
use serde::Deserialize;

use crate::agent::Agent;
use crate::pods::pod::Pod;
use crate::resources;
use crate::sources::secret_data;

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub(super) struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
    registrytoken: String,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Deserialize, Default)]
#[serde(default)]
struct DockerConfig {
    auths: Entries,
}

/// Credentials of the pod that fit the image's registry, the longest match first. A secret that is missing is told in an event only: the image may
/// be public.
pub(super) async fn for_image(agent: &Agent, pod: &Pod, image: &str) -> Vec<RegistryAuth> {
    let mut all = Vec::new();
    for secret in pod.spec.image_pull_secrets.iter().flatten() {
        match agent.sources.get(&pod.uid, resources::secrets(), &pod.namespace, &secret.name).await {
            Ok(Some(object)) => {
                let data = secret_data(&object);
                match (data.get(".dockerconfigjson"), data.get(".dockercfg")) {
                    (Some(config), _) => all.extend(parse(config, false)),
                    (None, Some(config)) => all.extend(parse(config, true)),
                    (None, None) => {}
                }
            }
            _ => {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    secret.name
                );
                agent.event(pod, None, Warning, "FailedToRetrieveImagePullSecret", message);
            }
        }
    }
    choose(all, image)
}

pub(super) fn parse(bytes: &[u8], old_form: bool) -> Vec<(String, Entry)> {
    let entries: Entries = if old_form {
        serde_json::from_slice(bytes).unwrap_or_default()
    } else {
        serde_json::from_slice::<DockerConfig>(bytes).unwrap_or_default().auths
    };
    entries.into_iter().collect()
}

/// Those for the image's registry and path.
pub(super) fn choose(all: Vec<(String, Entry)>, image: &str) -> Vec<RegistryAuth> {
    let (host, path) = split(image);
    let mut fitting: Vec<(usize, RegistryAuth)> = Vec::new();
    for (registry, entry) in all {
        let bare = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
        let (for_host, for_path) = bare.split_once('/').unwrap_or((bare, ""));
        let for_host =
            if matches!(for_host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { for_host };
        let wildcard =
            for_host.strip_prefix("*.").is_some_and(|tail| host.split_once('.').is_some_and(|(_, rest)| rest == tail));
        let path_fits = for_path.is_empty() || path == for_path || path.starts_with(&format!("{for_path}/"));
        if (for_host == host || wildcard) && path_fits {
            fitting.push((for_path.len(), auth(entry)));
        }
    }
    fitting.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    fitting.into_iter().map(|(_, auth)| auth).collect()
}

fn auth(entry: Entry) -> RegistryAuth {
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(entry.auth.trim())
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    let (username, password) = match decoded.as_deref().and_then(|text| text.split_once(':')) {
        Some((user, password)) if entry.username.is_empty() => {
            (user.to_owned(), password.trim_end_matches('\0').to_owned())
        }
        _ => (entry.username, entry.password),
    };
    RegistryAuth {
        username,
        password,
        identity_token: entry.identitytoken,
        registry_token: entry.registrytoken,
        ..RegistryAuth::default()
    }
}

/// Registry host and repository path, with Docker's defaults.
fn split(image: &str) -> (String, String) {
    let name = image.split('@').next().unwrap_or(image);
    let (host, rest) = match name.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("docker.io", name),
    };
    let rest = rest.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(rest, |(path, _)| path);
    let path = if host == "docker.io" && !rest.contains('/') { format!("library/{rest}") } else { rest.to_owned() };
    (host.to_owned(), path)
}
