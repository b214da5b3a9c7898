//! Volumes of pods: made before containers start, refreshed when their sources change, removed when the pod is gone.
//!
//! Every step is idempotent: setting up a volume that is there refreshes it, cleaning up one that is gone is done. Paths are upstream's:
//! `pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`.

mod atomic;
mod claim;
mod host_path;
pub(crate) mod mounts;
mod ownership;
mod payload;
pub(crate) mod subpath;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{NFSVolumeSource, Volume};

use crate::agent::Agent;
use crate::error::{Error, Result, invalid};
use crate::pods::pod::Pod;
use crate::pods::qos;
use ownership::Ownership;
pub(crate) use token::Tokens;

/// A volume on this node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ready {
    pub(crate) path: PathBuf,
    pub(crate) read_only: bool,
}

/// A volume that could not be set up.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) volume: String,
    pub(crate) error: Error,
}

/// Sets up all volumes containers of the pod mount, and refreshes those that are there.
pub(crate) async fn set_up(agent: &Agent, pod: &Pod) -> Result<BTreeMap<String, Ready>, Failed> {
    let mut ready = BTreeMap::new();
    for volume in pod.spec.volumes.iter().flatten() {
        let one = set_up_one(agent, pod, volume).await;
        let one = one.map_err(|error| Failed { volume: volume.name.clone(), error })?;
        ready.insert(volume.name.clone(), one);
    }
    Ok(ready)
}

/// Brings volumes of files to what their sources are now. The others do not change by themselves.
pub(crate) async fn refresh(agent: &Agent, pod: &Pod) -> Result<(), Failed> {
    let owner = Ownership::of(pod);
    for volume in pod.spec.volumes.iter().flatten() {
        let one = files(agent, pod, volume, &owner).await;
        one.map_err(|error| Failed { volume: volume.name.clone(), error })?;
    }
    Ok(())
}

/// Writes a volume of files; None if it is another kind of volume.
async fn files(agent: &Agent, pod: &Pod, volume: &Volume, owner: &Ownership) -> Result<Option<Ready>> {
    let Some(payload) = payload::collect(agent, pod, volume, owner).await? else { return Ok(None) };
    let path = dir(agent, pod, payload.plugin, &volume.name);
    if payload.in_memory {
        mounts::tmpfs(&path, None)?;
    } else {
        make_dir(&path, 0o777)?;
    }
    owner.apply_to_root(&path)?;
    atomic::write(&path, &payload.files, owner)?;
    Ok(Some(Ready { path, read_only: false }))
}

fn dir(agent: &Agent, pod: &Pod, plugin: &str, name: &str) -> PathBuf {
    agent.config.pod_dir(&pod.uid).join("volumes").join(format!("kubernetes.io~{plugin}")).join(name)
}

/// When the first token of the pod wants renewing.
pub(crate) fn next_refresh(agent: &Agent, uid: &str) -> Option<Timestamp> {
    agent.tokens.next_refresh(uid)
}

async fn set_up_one(agent: &Agent, pod: &Pod, volume: &Volume) -> Result<Ready> {
    let owner = Ownership::of(pod);
    let dir = |plugin: &str| dir(agent, pod, plugin, &volume.name);
    let writable = |path| Ready { path, read_only: false };
    if let Some(empty) = &volume.empty_dir {
        let path = dir("empty-dir");
        let is_new = !path.exists();
        empty_dir(
            pod,
            &path,
            empty.medium.as_deref().unwrap_or_default(),
            empty.size_limit.as_ref().map(|q| q.0.as_str()),
        )?;
        // What containers make of it later is theirs.
        if is_new {
            owner.apply(&path, false)?;
        }
        return Ok(writable(path));
    }
    if let Some(host) = &volume.host_path {
        host_path::check(Path::new(&host.path), host.type_.as_deref().unwrap_or_default())?;
        return Ok(writable(host.path.clone().into()));
    }
    if let Some(ready) = files(agent, pod, volume, &owner).await? {
        return Ok(ready);
    }
    if let Some(claim) = &volume.persistent_volume_claim {
        let read_only = claim.read_only.unwrap_or(false);
        return claim::set_up(agent, pod, &claim.claim_name, None, read_only, &owner, &dir).await;
    }
    if volume.ephemeral.is_some() {
        let name = format!("{}-{}", pod.name, volume.name);
        return claim::set_up(agent, pod, &name, Some(&pod.uid), false, &owner, &dir).await;
    }
    if let Some(nfs) = &volume.nfs {
        return mount_nfs(nfs, &dir("nfs")).await;
    }
    if let Some(csi) = &volume.csi {
        return invalid(format!(
            "kubernetes.io/csi: driver name {} not found in the list of registered CSI drivers",
            csi.driver
        ));
    }
    invalid(format!("no volume plugin of this node supports the source of volume \"{}\"", volume.name))
}

fn empty_dir(pod: &Pod, path: &Path, medium: &str, limit: Option<&str>) -> Result<()> {
    match medium {
        "" => make_dir(path, 0o777),
        "Memory" => {
            // Without a limit of its own it may not outgrow what the pod may use.
            let own = limit.and_then(|l| api::quantity::Quantity::parse(l).ok()).map(|q| q.value());
            let size = own.filter(|n| *n > 0).or(qos::pod_amounts(&pod.spec).1.memory.filter(|n| *n > 0));
            mounts::tmpfs(path, size)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(Error::io("set permissions of", path))
        }
        other => invalid(format!("storage medium \"{other}\" is not supported by this node")),
    }
}

/// Makes a directory with exactly this mode, whatever the umask.
pub(crate) fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(Error::io("make directory", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set permissions of", path))
}

async fn mount_nfs(nfs: &NFSVolumeSource, path: &Path) -> Result<Ready> {
    let read_only = nfs.read_only.unwrap_or(false);
    let ready = Ready { path: path.to_owned(), read_only };
    if mounts::is_mounted(path) {
        return Ok(ready);
    }
    make_dir(path, 0o750)?;
    // The kernel leaves name lookup and protocol negotiation to mount.nfs, so there is no way around the program.
    let source = format!("{}:{}", nfs.server, nfs.path);
    let options = if read_only { "ro" } else { "rw" };
    let mut mount = tokio::process::Command::new("mount");
    mount.args(["-t", "nfs", "-o", options, &source]).arg(path).kill_on_drop(true);
    let output = tokio::time::timeout(std::time::Duration::from_secs(60), mount.output()).await;
    match output {
        Ok(Ok(output)) if output.status.success() => Ok(ready),
        Ok(Ok(output)) => {
            invalid(format!("mount failed: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
        }
        Ok(Err(error)) => Err(Error::io("mount nfs at", path)(error)),
        Err(_) => invalid(format!("mount failed: {source} did not answer within 60 s")),
    }
}

/// Unmounts and removes everything of a pod below its directory, logs aside. Refuses to remove what it could not unmount.
pub(crate) fn clean_up(pod_dir: &Path) -> Result<()> {
    mounts::unmount_below(pod_dir)?;
    match fs::remove_dir_all(pod_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", pod_dir)(error)),
        _ => Ok(()),
    }
}
