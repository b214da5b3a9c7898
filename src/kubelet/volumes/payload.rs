//! The files of configMap, secret, downwardAPI and projected volumes.

use k8s_openapi::api::core::v1::{Container, DownwardAPIVolumeFile, KeyToPath, Volume};

use super::Ownership;
use super::atomic::{File, Files};
use crate::agent::Agent;
use crate::error::{Result, invalid};
use crate::pods::pod::Pod;
use crate::pods::spec::fields::{self, Context};
use crate::resources;
use crate::sources::{Data, config_map_data, secret_data};

/// Files to be shown, and where they live.
pub(super) struct Payload {
    pub(super) plugin: &'static str,
    /// Secrets never reach a disk.
    pub(super) in_memory: bool,
    pub(super) files: Files,
}

const DEFAULT_MODE: i32 = 0o644;

/// What a volume shows; None if it is no volume of files.
pub(super) async fn collect(agent: &Agent, pod: &Pod, volume: &Volume, owner: &Ownership) -> Result<Option<Payload>> {
    let mut files = Files::new();
    let (plugin, in_memory) = if let Some(source) = &volume.config_map {
        let data = config_map(agent, pod, &source.name, source.optional).await?;
        keys(
            &mut files,
            data,
            source.items.as_deref(),
            source.default_mode,
            &described("configmap", pod, &source.name),
            source.optional,
        )?;
        ("configmap", false)
    } else if let Some(source) = &volume.secret {
        let name = source.secret_name.as_deref().unwrap_or_default();
        let data = secret(agent, pod, name, source.optional).await?;
        keys(
            &mut files,
            data,
            source.items.as_deref(),
            source.default_mode,
            &described("secret", pod, name),
            source.optional,
        )?;
        ("secret", true)
    } else if let Some(source) = &volume.downward_api {
        downward(&mut files, agent, pod, source.items.as_deref().unwrap_or_default(), source.default_mode)?;
        ("downward-api", true)
    } else if let Some(source) = &volume.projected {
        for one in source.sources.iter().flatten() {
            if let Some(s) = &one.config_map {
                let data = config_map(agent, pod, &s.name, s.optional).await?;
                keys(
                    &mut files,
                    data,
                    s.items.as_deref(),
                    source.default_mode,
                    &described("configmap", pod, &s.name),
                    s.optional,
                )?;
            } else if let Some(s) = &one.secret {
                let data = secret(agent, pod, &s.name, s.optional).await?;
                keys(
                    &mut files,
                    data,
                    s.items.as_deref(),
                    source.default_mode,
                    &described("secret", pod, &s.name),
                    s.optional,
                )?;
            } else if let Some(s) = &one.downward_api {
                downward(&mut files, agent, pod, s.items.as_deref().unwrap_or_default(), source.default_mode)?;
            } else if let Some(s) = &one.service_account_token {
                let token = agent.tokens.get(agent, pod, &volume.name, s).await?;
                let private = owner.user.is_some() || owner.group.is_some();
                let mode = if private { 0o600 } else { mode(None, source.default_mode) };
                files.insert(s.path.clone(), File { content: token.into_bytes(), mode, user: owner.user });
            } else if one.cluster_trust_bundle.is_some() {
                return invalid("ClusterTrustBundle projection is not supported in this kubelet");
            } else if one.pod_certificate.is_some() {
                return invalid("PodCertificate projection is not supported in this kubelet");
            }
        }
        ("projected", true)
    } else {
        return Ok(None);
    };
    Ok(Some(Payload { plugin, in_memory, files }))
}

fn described(kind: &str, pod: &Pod, name: &str) -> String {
    format!("{kind} \"{}/{name}\"", pod.namespace)
}

async fn config_map(agent: &Agent, pod: &Pod, name: &str, optional: Option<bool>) -> Result<Data> {
    match agent.sources.get(&pod.uid, resources::config_maps(), &pod.namespace, name).await? {
        Some(object) => Ok(config_map_data(&object)),
        None if optional.unwrap_or(false) => Ok(Data::new()),
        None => invalid(format!("configmap \"{name}\" not found")),
    }
}

async fn secret(agent: &Agent, pod: &Pod, name: &str, optional: Option<bool>) -> Result<Data> {
    match agent.sources.get(&pod.uid, resources::secrets(), &pod.namespace, name).await? {
        Some(object) => Ok(secret_data(&object)),
        None if optional.unwrap_or(false) => Ok(Data::new()),
        None => invalid(format!("secret \"{name}\" not found")),
    }
}

fn mode(own: Option<i32>, default: Option<i32>) -> u32 {
    u32::try_from(own.or(default).unwrap_or(DEFAULT_MODE)).unwrap_or(0o644)
}

/// All keys, or those of `items` at their paths.
pub(super) fn keys(
    files: &mut Files,
    data: Data,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    what: &str,
    optional: Option<bool>,
) -> Result<()> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let all =
            data.into_iter().map(|(key, content)| (key, File { content, mode: mode(None, default_mode), user: None }));
        files.extend(all);
        return Ok(());
    };
    for item in items {
        match data.get(&item.key) {
            Some(content) => {
                let file = File { content: content.clone(), mode: mode(item.mode, default_mode), user: None };
                files.insert(item.path.clone(), file);
            }
            None if optional.unwrap_or(false) => {}
            None => {
                return invalid(format!(
                    "{} references non-existent config key: {}",
                    what.split(' ').next().unwrap_or(what),
                    item.key
                ));
            }
        }
    }
    Ok(())
}

fn downward(
    files: &mut Files,
    agent: &Agent,
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: Option<i32>,
) -> Result<()> {
    let context = Context { pod, pod_ips: &[], host_ips: &agent.config.node_ips, node: agent.node_amounts };
    for item in items {
        let content = if let Some(reference) = &item.field_ref {
            fields::field(&context, &reference.field_path)?
        } else if let Some(reference) = &item.resource_field_ref {
            fields::resource_field(&context, &Container::default(), reference)?
        } else {
            continue;
        };
        let file = File { content: content.into_bytes(), mode: mode(item.mode, default_mode), user: None };
        files.insert(item.path.clone(), file);
    }
    Ok(())
}
