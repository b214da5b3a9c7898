//! The certificates of a server, as one table: who each is for and what it says.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::KeyPair;

use crate::data_dir::{DataDir, read, write};
use crate::pki::{Authority, Leaf, Pair};
use crate::{Error, Result};

/// What a server's certificates must name.
#[derive(Clone, Debug)]
pub struct Names {
    /// The node's name.
    pub node_name: String,
    /// Addresses clients reach the server at: its own, the advertised one, loopback, the `kubernetes` Service's.
    pub addresses: Vec<IpAddr>,
    /// Further names (`--tls-san`).
    pub extra: Vec<String>,
    /// `cluster.local`.
    pub cluster_domain: String,
}

/// All keys and certificates of a server.
pub struct ServerCertificates {
    /// Signs every certificate of the cluster.
    pub ca: Arc<Authority>,
    /// Signs the certificate with which aggregated API servers recognize this one.
    pub front_proxy_ca: Arc<Authority>,
    /// What they signed for the server itself.
    pub leaves: Leaves,
    /// The key that signs service-account tokens, PEM (PKCS#8), and its public half.
    pub service_account: Pair,
}

/// The certificates that expire within a year and are renewed before.
#[derive(Clone)]
pub struct Leaves {
    /// The API server's serving certificate.
    pub apiserver: Pair,
    /// With which the API server calls node agents.
    pub kubelet_client: Pair,
    /// With which the API server calls aggregated API servers.
    pub front_proxy_client: Pair,
    /// The administrator's.
    pub admin: Pair,
}

/// One row: the file's name, which authority signs it, what it says.
struct Row<'a> {
    file: &'a str,
    authority: &'a Authority,
    leaf: Leaf,
}

impl ServerCertificates {
    /// Finds, makes or renews everything below `server/tls`. What expires soon after `now` is renewed.
    pub fn ensure(data: &DataDir, names: &Names, now: SystemTime) -> Result<Self> {
        let dir = data.server("tls");
        let ca = Arc::new(Authority::ensure(&dir, "ca", "isopod-ca")?);
        let front_proxy_ca = Arc::new(Authority::ensure(&dir, "front-proxy-ca", "isopod-front-proxy-ca")?);
        Ok(Self {
            leaves: Leaves::ensure(&dir, &ca, &front_proxy_ca, names, now)?,
            service_account: ensure_service_account_key(&dir)?,
            ca,
            front_proxy_ca,
        })
    }

    /// The leaves as they should be at `now`: those on disk, or new ones, then on disk, where those would not do any longer.
    /// The authorities are the ones at hand: a running server never changes them.
    pub fn leaves_at(&self, data: &DataDir, names: &Names, now: SystemTime) -> Result<Leaves> {
        Leaves::ensure(&data.server("tls"), &self.ca, &self.front_proxy_ca, names, now)
    }
}

impl Leaves {
    fn ensure(dir: &Path, ca: &Authority, front_proxy_ca: &Authority, names: &Names, now: SystemTime) -> Result<Self> {
        let leaf = |file, authority, leaf| ensure_leaf(dir, &Row { file, authority, leaf }, now);
        let serving = Leaf::server("kube-apiserver", "", names.dns(), names.addresses.clone());
        let kubelet_client = Leaf::client("kube-apiserver-kubelet-client", "system:masters");
        Ok(Self {
            apiserver: leaf("apiserver", ca, serving)?,
            kubelet_client: leaf("apiserver-kubelet-client", ca, kubelet_client)?,
            front_proxy_client: leaf("front-proxy-client", front_proxy_ca, Leaf::client("front-proxy-client", ""))?,
            admin: leaf("admin", ca, Leaf::client("kubernetes-admin", "system:masters"))?,
        })
    }
}

impl Names {
    fn dns(&self) -> Vec<String> {
        let mut names = vec![
            "kubernetes".to_owned(),
            "kubernetes.default".into(),
            "kubernetes.default.svc".into(),
            format!("kubernetes.default.svc.{}", self.cluster_domain),
            "localhost".into(),
            self.node_name.clone(),
        ];
        names.extend(self.extra.iter().cloned());
        names.dedup();
        names
    }
}

fn ensure_leaf(dir: &Path, row: &Row, now: SystemTime) -> Result<Pair> {
    let (cert_path, key_path) = (dir.join(format!("{}.crt", row.file)), dir.join(format!("{}.key", row.file)));
    let kept = read(&cert_path)?.zip(read(&key_path)?).map(|(cert, key)| Pair { cert, key });
    if let Some(kept) =
        kept.filter(|kept| kept.belongs_together() && row.leaf.is_met_by(&kept.cert, row.authority, now))
    {
        return Ok(kept);
    }
    let pair = row.authority.issue(&row.leaf, now)?;
    write(&key_path, pair.key.as_bytes(), 0o600)?;
    write(&cert_path, pair.cert.as_bytes(), 0o644)?;
    tracing::info!(certificate = row.file, "certificate issued");
    Ok(pair)
}

fn ensure_service_account_key(dir: &Path) -> Result<Pair> {
    let (public_path, key_path): (PathBuf, PathBuf) = (dir.join("sa.pub"), dir.join("sa.key"));
    let key = match read(&key_path)? {
        Some(key) => KeyPair::from_pem(&key).map_err(|e| Error::Damaged {
            path: key_path,
            why: format!("not a private key ({e}); tokens cannot be signed"),
        })?,
        None => {
            let key = KeyPair::generate()?;
            write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
            key
        }
    };
    let public = key.public_key_pem();
    if read(&public_path)?.as_ref() != Some(&public) {
        write(&public_path, public.as_bytes(), 0o644)?;
    }
    Ok(Pair { cert: public, key: key.serialize_pem() })
}
