//! Flags of k3s that its users have in their scripts and configuration files, and that need nothing done here, or cannot be had
//! yet. Help does not list them.

use anyhow::{Result, bail};
use clap::Args;

/// Flags that are taken, or refused with the reason, but not listed.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct FamiliarArgs {
    /// Network policies are not enforced
    #[arg(long, env = "ISOPOD_DISABLE_NETWORK_POLICY", hide = true)]
    pub(crate) disable_network_policy: bool,
    /// There is no cloud controller
    #[arg(long, env = "ISOPOD_DISABLE_CLOUD_CONTROLLER", hide = true)]
    pub(crate) disable_cloud_controller: bool,
    /// There is no controller of Helm charts
    #[arg(long, env = "ISOPOD_DISABLE_HELM_CONTROLLER", hide = true)]
    pub(crate) disable_helm_controller: bool,
    /// No part of the cluster is an image that is pulled
    #[arg(long, env = "ISOPOD_SYSTEM_DEFAULT_REGISTRY", value_name = "HOST", hide = true)]
    pub(crate) system_default_registry: Option<String>,
    /// Volumes of the local storage provisioner, which is not there yet
    #[arg(long, env = "ISOPOD_DEFAULT_LOCAL_STORAGE_PATH", value_name = "DIR", hide = true)]
    pub(crate) default_local_storage_path: Option<String>,
    /// Make a cluster of several servers, which is not there yet
    #[arg(long, env = "ISOPOD_CLUSTER_INIT", hide = true)]
    pub(crate) cluster_init: bool,
    /// A datastore elsewhere, for which there is no driver yet
    #[arg(long, env = "ISOPOD_DATASTORE_ENDPOINT", value_name = "URL", hide = true, hide_env_values = true)]
    pub(crate) datastore_endpoint: Option<String>,
}

impl FamiliarArgs {
    /// Refuses what cannot be had yet; errors name the flag.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(endpoint) = &self.datastore_endpoint {
            // With its password it would be in the log.
            let scheme = endpoint.split("://").next().unwrap_or_default();
            bail!(
                "--datastore-endpoint {scheme}://…: there is no driver for a datastore elsewhere yet; without the flag \
                 isopod keeps the cluster's state in <data-dir>/server/db"
            );
        }
        if self.cluster_init {
            bail!("--cluster-init: a cluster has one server as yet; without the flag this is it");
        }
        if let Some(path) = &self.default_local_storage_path {
            bail!("--default-local-storage-path {path}: there is no local storage provisioner yet");
        }
        Ok(())
    }
}
