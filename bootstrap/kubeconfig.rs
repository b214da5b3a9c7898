//! Kubeconfig files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Result;
use crate::pki::Pair;

/// A kubeconfig for one user of one cluster, as YAML that kubectl reads. Holds a private key: write it 0600.
pub fn render(cluster: &str, server: &str, ca_pem: &str, user: &str, pair: &Pair) -> Result<String> {
    let data = |pem: &str| Value::from(STANDARD.encode(pem));
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": data(ca_pem)}}],
        "users": [{"name": user, "user": {"client-certificate-data": data(&pair.cert), "client-key-data": data(&pair.key)}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
        "preferences": {},
    });
    // Strings and maps of strings always have a YAML form.
    Ok(serde_saphyr::to_string(&config).unwrap_or_else(|_| config.to_string()))
}
