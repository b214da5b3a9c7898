//! A claim, its persistent volume, and the volume's source on this node.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};

use super::{Ownership, Ready, host_path, mount_nfs};
use crate::agent::Agent;
use crate::error::{Error, Result, invalid};
use crate::pods::pod::Pod;
use crate::resources;

/// Sets up the volume a claim is bound to. `owner_uid` is the pod a generic ephemeral claim must belong to.
pub(super) async fn set_up(
    agent: &Agent,
    pod: &Pod,
    claim_name: &str,
    owner_uid: Option<&str>,
    read_only: bool,
    owner: &Ownership,
    dir: &(dyn Fn(&str) -> PathBuf + Sync),
) -> Result<Ready> {
    // Nodes may read claims and volumes one by one, not watch them.
    let object = match agent.client.get(resources::claims(), &pod.namespace, claim_name).await {
        Err(error) if error.is_not_found() => {
            return invalid(format!("error getting PVC {}/{claim_name}: could not find PVC", pod.namespace));
        }
        other => other?,
    };
    let claim: PersistentVolumeClaim = object.view().map_err(|e| Error::Invalid(e.to_string()))?;
    if let Some(uid) = owner_uid
        && !object.meta.owner_references.iter().any(|o| o.controller && &*o.uid == uid)
    {
        return invalid(format!(
            "PVC {}/{claim_name} was not created for pod {}/{} (pod is not owner)",
            pod.namespace, pod.namespace, pod.name
        ));
    }
    if object.meta.is_deleting() {
        return invalid(format!("error getting PVC {}/{claim_name}: PVC is being deleted", pod.namespace));
    }
    let bound = claim.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Bound");
    let Some(name) = claim.spec.as_ref().and_then(|s| s.volume_name.clone()).filter(|name| bound && !name.is_empty())
    else {
        return invalid(format!("error getting PVC {}/{claim_name}: PVC is not bound", pod.namespace));
    };
    let volume = agent.client.get(resources::persistent_volumes(), "", &name).await?;
    let volume: PersistentVolume = volume.view().map_err(|e| Error::Invalid(e.to_string()))?;
    let Some(spec) = volume.spec else { return invalid(format!("persistent volume {name} has no spec")) };
    if spec.claim_ref.as_ref().and_then(|r| r.uid.as_deref()) != Some(&*object.meta.uid) {
        return invalid(format!("PV {name} is bound to another claim than {}/{claim_name}", pod.namespace));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return invalid(format!("PV {name} is a block volume, which is not supported by this node"));
    }
    if let Some(local) = &spec.local {
        let path = PathBuf::from(&local.path);
        if !path.is_dir() {
            return invalid(format!("local volume \"{name}\" path \"{}\" does not exist", local.path));
        }
        owner.apply(&path, read_only)?;
        return Ok(Ready { path, read_only });
    }
    if let Some(host) = &spec.host_path {
        host_path::check(Path::new(&host.path), host.type_.as_deref().unwrap_or_default())?;
        return Ok(Ready { path: host.path.clone().into(), read_only });
    }
    if let Some(nfs) = &spec.nfs {
        let mut ready = mount_nfs(nfs, &dir("nfs")).await?;
        ready.read_only |= read_only;
        return Ok(ready);
    }
    if let Some(csi) = &spec.csi {
        return invalid(format!(
            "kubernetes.io/csi: driver name {} not found in the list of registered CSI drivers",
            csi.driver
        ));
    }
    invalid(format!("no volume plugin of this node supports the source of persistent volume \"{name}\""))
}
