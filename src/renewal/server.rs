//! The server's own certificates: what the API server shows to clients and to kubelets, and the administrator's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use apiserver::{FrontProxyIdentity, KubeletAccess, ServingCertificate};
use bootstrap::certificates::{Leaves, Names, ServerCertificates};
use bootstrap::data_dir::{DataDir, write};
use bootstrap::kubeconfig;
use bootstrap::pki::Pair;
use nix::unistd::{Gid, chown};

use super::Renew;

/// The file an administrator reaches the cluster with.
pub(crate) struct AdminKubeconfig {
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its mode.
    pub(crate) mode: u32,
    /// The group that it belongs to; `None` for the server's.
    pub(crate) group: Option<Gid>,
    /// The server's URL as it says it.
    pub(crate) server: String,
}

impl AdminKubeconfig {
    fn write(&self, ca: &str, admin: &Pair) -> Result<()> {
        let text = kubeconfig::render("isopod", &self.server, ca, "admin", admin)?;
        write(&self.path, text.as_bytes(), self.mode)?;
        if self.group.is_some() {
            chown(&self.path, None, self.group).context("--write-kubeconfig-group")?;
        }
        Ok(())
    }
}

/// The server's certificates and who shows them.
pub(crate) struct ServerLeaves {
    data: DataDir,
    /// What the certificates name.
    pub(crate) names: Names,
    pub(super) kubeconfig: AdminKubeconfig,
    /// Authorities, keys and the leaves as they are shown now.
    pub(crate) certificates: ServerCertificates,
    /// What clients of the API see.
    pub(crate) serving: Arc<ServingCertificate>,
    /// What kubelets see.
    pub(crate) kubelet: Arc<KubeletAccess>,
    /// What aggregated API servers see.
    pub(crate) front_proxy: Arc<FrontProxyIdentity>,
}

impl ServerLeaves {
    /// Finds, makes or renews all of them, and writes the administrator's kubeconfig.
    pub(crate) fn ensure(data: DataDir, names: Names, kubeconfig: AdminKubeconfig, now: SystemTime) -> Result<Self> {
        let certificates = ServerCertificates::ensure(&data, &names, now)?;
        let Leaves { apiserver, kubelet_client, front_proxy_client, admin } = &certificates.leaves;
        let ca = certificates.ca.cert();
        kubeconfig.write(ca, admin)?;
        let serving = ServingCertificate::from_pem(&apiserver.cert, &apiserver.key)?;
        let kubelet = KubeletAccess::from_pem(ca, &kubelet_client.cert, &kubelet_client.key)?;
        let front_proxy = FrontProxyIdentity::from_pem(&front_proxy_client.cert, &front_proxy_client.key)?;
        let (serving, kubelet, front_proxy) = (Arc::new(serving), Arc::new(kubelet), Arc::new(front_proxy));
        Ok(Self { serving, kubelet, front_proxy, data, names, kubeconfig, certificates })
    }
}

impl Renew for ServerLeaves {
    const WHOSE: &'static str = "the server";

    async fn renew(&mut self, now: SystemTime) -> Result<()> {
        let new = self.certificates.leaves_at(&self.data, &self.names, now)?;
        let (ca, shown) = (self.certificates.ca.cert(), &self.certificates.leaves);
        if new.apiserver != shown.apiserver {
            self.serving.replace(&new.apiserver.cert, &new.apiserver.key).context("the API server's certificate")?;
            tracing::info!("the API server shows a new certificate");
        }
        if new.kubelet_client != shown.kubelet_client {
            let Pair { cert, key } = &new.kubelet_client;
            self.kubelet.replace(ca, cert, key).context("the certificate shown to kubelets")?;
            tracing::info!("the API server shows a new certificate to kubelets");
        }
        if new.front_proxy_client != shown.front_proxy_client {
            let Pair { cert, key } = &new.front_proxy_client;
            self.front_proxy.replace(cert, key).context("the certificate shown to aggregated API servers")?;
            tracing::info!("the API server shows a new certificate to aggregated API servers");
        }
        if new.admin != shown.admin {
            self.kubeconfig.write(ca, &new.admin).context("the administrator's kubeconfig")?;
            tracing::info!(kubeconfig = %self.kubeconfig.path.display(), "the administrator's kubeconfig is renewed; copies of it expire");
        }
        self.certificates.leaves = new;
        Ok(())
    }
}
