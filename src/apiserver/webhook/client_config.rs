//! `clientConfig`, as configurations of admission and definitions of custom kinds have it.

use base64::Engine;
use serde::Deserialize;

use super::{Access, Place};

/// Where a webhook is and who vouches for it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClientConfig {
    url: Option<String>,
    service: Option<Service>,
    ca_bundle: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Service {
    namespace: String,
    name: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

impl ClientConfig {
    /// The certificates that vouch for it, PEM in base64; empty for the machine's.
    pub(crate) fn ca_bundle(&self) -> &str {
        self.ca_bundle.as_deref().unwrap_or_default()
    }

    /// What it describes, or why nobody can be called, in upstream's words.
    pub(crate) fn access(self) -> Result<Access, String> {
        let place = match (self.url, self.service) {
            (Some(url), _) => Place::Url(url.parse().map_err(|error| format!("Unparsable URL: {error}"))?),
            (None, Some(service)) => Place::Service {
                namespace: service.namespace,
                name: service.name,
                path: service.path.unwrap_or_default(),
                port: service.port.unwrap_or(443),
            },
            (None, None) => return Err("webhook configuration must have either service or URL".into()),
        };
        let bundle = base64::engine::general_purpose::STANDARD.decode(self.ca_bundle.unwrap_or_default());
        Ok(Access::new(place, &bundle.map_err(|_| "the caBundle is not base64".to_owned())?))
    }
}
