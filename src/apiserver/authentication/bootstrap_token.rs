//! Bootstrap tokens: what a machine shows that is about to join. Each is a Secret in `kube-system`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::User;
use base64::Engine;
use serde::Deserialize;
use watch_cache::Cache;

const GROUP: &str = "system:bootstrappers";
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";

/// Looks bootstrap tokens up among the Secrets.
pub(crate) struct BootstrapTokens {
    pub(crate) secrets: Arc<Cache>,
}

/// `abcdef.0123456789abcdef`
pub(super) fn looks_like_one(token: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    matches!(token.split_once('.'), Some((id, secret)) if id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret))
}

#[derive(Deserialize)]
struct Secret {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

impl BootstrapTokens {
    /// Whose a token is; why nobody's otherwise. The reason is for the log: it never holds the token.
    pub(super) fn user(&self, token: &str) -> Result<User, String> {
        let (id, secret) = token.split_once('.').unwrap_or_default();
        let found = self.secrets.get("kube-system", &format!("bootstrap-token-{id}"));
        let found = found.filter(|s| !s.meta.is_deleting()).ok_or("no such bootstrap token")?;
        let view: Secret = found.view().map_err(|_| "the bootstrap token's Secret cannot be read")?;
        let value = |key: &str| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(view.data.get(key)?).ok()?;
            String::from_utf8(bytes).ok()
        };
        let is = |key: &str, expect: &str| {
            value(key).is_some_and(|v| {
                aws_lc_rs::constant_time::verify_slices_are_equal(v.as_bytes(), expect.as_bytes()).is_ok()
            })
        };
        if view.kind != SECRET_TYPE || !is("token-id", id) || !is("token-secret", secret) {
            return Err("the bootstrap token does not match its Secret".into());
        }
        if !is("usage-bootstrap-authentication", "true") {
            return Err("the bootstrap token is not for authentication".into());
        }
        if let Some(expiration) = value("expiration") {
            match expiration.trim().parse::<jiff::Timestamp>() {
                Ok(at) if at > jiff::Timestamp::now() => {}
                _ => return Err("the bootstrap token has expired".into()),
            }
        }
        let extra = value("auth-extra-groups").unwrap_or_default();
        let extra = extra.split(',').map(str::trim).filter(|g| g.starts_with("system:bootstrappers:"));
        Ok(User::new(format!("system:bootstrap:{id}"), std::iter::once(GROUP).chain(extra)))
    }
}
