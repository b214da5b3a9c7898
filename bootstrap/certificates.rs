//! The certificates of a server, as one table: who each is for and what it says.

use std::net::IpAddr;
use std::path::PathBuf;
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
    pub ca: Authority,
    /// Signs the certificate with which aggregated API servers recognize this one.
    pub front_proxy_ca: Authority,
    /// The API server's serving certificate.
    pub apiserver: Pair,
    /// With which the API server calls node agents.
    pub kubelet_client: Pair,
    /// With which the API server calls aggregated API servers.
    pub front_proxy_client: Pair,
    /// The administrator's.
    pub admin: Pair,
    /// The key that signs service-account tokens, PEM (PKCS#8), and its public half.
    pub service_account: Pair,
}

/// One row: the file's name, which authority signs it, what it says.
struct Row<'a> {
    file: &'a str,
    authority: &'a Authority,
    leaf: Leaf,
}

impl ServerCertificates {
    /// Finds, makes or renews everything below `server/tls`.
    pub fn ensure(data: &DataDir, names: &Names) -> Result<Self> {
        let dir = data.server("tls");
        let ca = Authority::ensure(&dir, "ca", "isopod-ca")?;
        let front_proxy_ca = Authority::ensure(&dir, "front-proxy-ca", "isopod-front-proxy-ca")?;
        let leaf = |file, authority, leaf| ensure_leaf(&dir, &Row { file, authority, leaf });
        let serving = Leaf::server("kube-apiserver", "", names.dns(), names.addresses.clone());
        Ok(Self {
            apiserver: leaf("apiserver", &ca, serving)?,
            kubelet_client: leaf(
                "apiserver-kubelet-client",
                &ca,
                Leaf::client("kube-apiserver-kubelet-client", "system:masters"),
            )?,
            front_proxy_client: leaf("front-proxy-client", &front_proxy_ca, Leaf::client("front-proxy-client", ""))?,
            admin: leaf("admin", &ca, Leaf::client("kubernetes-admin", "system:masters"))?,
            service_account: ensure_service_account_key(&dir)?,
            ca,
            front_proxy_ca,
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

fn ensure_leaf(dir: &std::path::Path, row: &Row) -> Result<Pair> {
    let (cert_path, key_path) = (dir.join(format!("{}.crt", row.file)), dir.join(format!("{}.key", row.file)));
    if let (Some(cert), Some(key)) = (read(&cert_path)?, read(&key_path)?)
        && row.leaf.is_met_by(&cert, row.authority, SystemTime::now())
        && KeyPair::from_pem(&key).is_ok()
    {
        return Ok(Pair { cert, key });
    }
    let pair = row.authority.issue(&row.leaf)?;
    write(&key_path, pair.key.as_bytes(), 0o600)?;
    write(&cert_path, pair.cert.as_bytes(), 0o644)?;
    tracing::info!(certificate = row.file, "certificate issued");
    Ok(pair)
}

fn ensure_service_account_key(dir: &std::path::Path) -> Result<Pair> {
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
