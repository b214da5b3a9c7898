//! Webhooks described by a kubeconfig, as those of authentication and authorization are: the current context's cluster is
//! the webhook, its user is who we are to it.

use std::path::Path;

use base64::Engine;
use serde::Deserialize;

use super::access::Authorization;
use super::{Access, Identity, Place};

/// A kubeconfig that describes no webhook.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// It is no kubeconfig.
    #[error("the kubeconfig cannot be parsed: {0}")]
    Unparsable(String),
    /// Something is named that is not there.
    #[error("the kubeconfig has no {0} {1:?}")]
    Missing(&'static str, String),
    /// A field's value is of no use.
    #[error("the kubeconfig's {0} cannot be used")]
    Field(&'static str),
    /// A file it names cannot be read.
    #[error("cannot read {0}, which the kubeconfig names")]
    File(String, #[source] std::io::Error),
    /// It asks for what we do not do.
    #[error("{0} in the kubeconfig of a webhook is not supported")]
    Unsupported(&'static str),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Kubeconfig {
    current_context: String,
    contexts: Vec<NamedContext>,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

impl Access {
    /// The webhook that a kubeconfig describes. Paths in it are relative to `folder`, the one it lies in.
    pub fn from_kubeconfig(text: &str, folder: &Path) -> Result<Self, KubeconfigError> {
        let config: Kubeconfig =
            serde_saphyr::from_str(text).map_err(|error| KubeconfigError::Unparsable(error.to_string()))?;
        let missing = |what, name: &str| KubeconfigError::Missing(what, name.to_owned());
        let context = config.contexts.iter().find(|context| context.name == config.current_context);
        let context = &context.ok_or_else(|| missing("context", &config.current_context))?.context;
        let cluster = config.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user = match &*context.user {
            "" => User::default(),
            name => config.users.into_iter().find(|user| user.name == name).ok_or_else(|| missing("user", name))?.user,
        };
        let read = |data: Option<String>, file: Option<String>, what| pem(data, file, folder, what);
        let url = cluster.server.parse().map_err(|_| KubeconfigError::Field("server"))?;
        let chain = read(user.client_certificate_data, user.client_certificate, "client-certificate-data")?;
        let key = read(user.client_key_data, user.client_key, "client-key-data")?;
        let identity = match (chain, key) {
            (Some(chain), Some(key)) => Some(Identity { chain, key }),
            (None, None) => None,
            (Some(_), None) => return Err(KubeconfigError::Field("client-key")),
            (None, Some(_)) => return Err(KubeconfigError::Field("client-certificate")),
        };
        if user.exec.is_some() {
            return Err(KubeconfigError::Unsupported("exec"));
        }
        if user.auth_provider.is_some() {
            return Err(KubeconfigError::Unsupported("auth-provider"));
        }
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let authorization = match (said(user.token_file), said(user.token), said(user.username)) {
            (Some(file), ..) => Authorization::BearerFile(folder.join(file)),
            (_, Some(token), _) => Authorization::Bearer(token),
            (.., Some(name)) => Authorization::Basic(name, user.password.unwrap_or_default()),
            _ => Authorization::None,
        };
        Ok(Self {
            place: Place::Url(url),
            ca: read(cluster.certificate_authority_data, cluster.certificate_authority, "certificate-authority-data")?,
            insecure: cluster.insecure_skip_tls_verify,
            server_name: said(cluster.tls_server_name),
            identity,
            authorization,
            http2: true,
        })
    }
}

/// What stands in the kubeconfig itself, in base64, goes before what a file holds.
fn pem(
    data: Option<String>,
    file: Option<String>,
    folder: &Path,
    what: &'static str,
) -> Result<Option<Vec<u8>>, KubeconfigError> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let decoded = base64::engine::general_purpose::STANDARD.decode(data.trim());
        return decoded.map(Some).map_err(|_| KubeconfigError::Field(what));
    }
    let Some(file) = file.filter(|file| !file.is_empty()) else { return Ok(None) };
    let path = folder.join(file);
    std::fs::read(&path).map(Some).map_err(|error| KubeconfigError::File(path.display().to_string(), error))
}
