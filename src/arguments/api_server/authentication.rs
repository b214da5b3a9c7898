//! The arguments about who users are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::webhook::Access;
use apiserver::{
    Anonymous, Authentication, ClaimMapping, ConfigFile, JwtIssuer, RequestHeaders, TokenFile, TokenWebhook,
};

use super::super::values::words;
use super::file;

/// What was given, one by one.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) anonymous: Option<bool>,
    /// The file of `authentication-config`.
    pub(super) config: Option<ConfigFile>,
    pub(super) headers: RequestHeaders,
    pub(super) oidc: Oidc,
    pub(super) tokens: TokenFile,
    pub(super) webhook: Option<Access>,
    pub(super) webhook_ttl: Duration,
    pub(super) webhook_version: String,
}

/// One issuer, by arguments of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Oidc {
    pub(super) issuer_url: String,
    pub(super) client_id: String,
    pub(super) ca: Option<String>,
    pub(super) username_claim: String,
    pub(super) username_prefix: Option<String>,
    pub(super) groups_claim: String,
    pub(super) groups_prefix: String,
    pub(super) algorithms: Vec<String>,
    pub(super) required: BTreeMap<String, String>,
}

impl Default for Given {
    fn default() -> Self {
        let allowed_names = vec!["front-proxy-client".into()];
        Self {
            anonymous: None,
            config: None,
            headers: RequestHeaders { allowed_names, ..RequestHeaders::default() },
            oidc: Oidc::default(),
            tokens: TokenFile::default(),
            webhook: None,
            webhook_ttl: Duration::from_secs(120),
            webhook_version: "v1beta1".into(),
        }
    }
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Given").field("oidc", &self.oidc).finish_non_exhaustive()
    }
}

impl Given {
    /// What all of it comes to. Tokens of `own` issuers are service accounts'.
    pub(super) fn settle(&self, own: &[String]) -> Result<Authentication> {
        let mut settled = Authentication {
            anonymous: match self.anonymous {
                Some(false) => Anonymous::Nowhere,
                _ => Anonymous::Everywhere,
            },
            static_tokens: self.tokens.clone(),
            request_headers: self.headers.clone(),
            issuers: self.oidc.settle()?.into_iter().collect(),
            webhook: self.webhook.clone().map(|access| TokenWebhook {
                access,
                cache_ttl: self.webhook_ttl,
                version: self.webhook_version.clone(),
            }),
        };
        let Some(config) = &self.config else { return Ok(settled) };
        if self.oidc != Oidc::default() {
            bail!("--kube-apiserver-arg: authentication-config file and oidc-* flags are mutually exclusive");
        }
        let said = config.text.lines().any(|line| line.starts_with("anonymous:"));
        if self.anonymous.is_some() && said {
            bail!(
                "--kube-apiserver-arg: anonymous-auth cannot be set when the authentication-config file says it, too"
            );
        }
        settled.read(&config.text, own).context("--kube-apiserver-arg authentication-config")?;
        Ok(settled)
    }
}

impl Oidc {
    /// One more claim that tokens have to have: `key=value`.
    pub(super) fn require(&mut self, text: &str) -> Result<(), String> {
        let (claim, value) = text.split_once('=').ok_or("expected key=value")?;
        self.required.insert(claim.to_owned(), value.to_owned());
        Ok(())
    }

    fn settle(&self) -> Result<Option<JwtIssuer>> {
        if *self == Self::default() {
            return Ok(None);
        }
        if self.issuer_url.is_empty() || self.client_id.is_empty() {
            bail!(
                "--kube-apiserver-arg: oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
            );
        }
        let claim = if self.username_claim.is_empty() { "sub" } else { &self.username_claim };
        let prefix = match self.username_prefix.as_deref() {
            Some("-") => String::new(),
            Some(prefix) if !prefix.is_empty() => prefix.to_owned(),
            // Addresses are known beyond one issuer.
            _ if claim == "email" => String::new(),
            _ => format!("{}#", self.issuer_url),
        };
        let mut issuer = JwtIssuer::new(&self.issuer_url, &self.client_id);
        issuer.username = ClaimMapping { claim: claim.to_owned(), prefix };
        if !self.groups_claim.is_empty() {
            issuer.groups = Some(ClaimMapping { claim: self.groups_claim.clone(), prefix: self.groups_prefix.clone() });
        }
        issuer.certificate_authority.clone_from(&self.ca);
        issuer.required_claims.clone_from(&self.required);
        if !self.algorithms.is_empty() {
            issuer.algorithms =
                self.algorithms.iter().map(|name| JwtIssuer::algorithm(name)).collect::<Result<_, _>>()?;
        }
        issuer.check().context("--kube-apiserver-arg oidc-issuer-url")?;
        Ok(Some(issuer))
    }
}

pub(super) fn algorithms(text: &str) -> Result<Vec<String>, String> {
    let named = words(text);
    for name in &named {
        JwtIssuer::algorithm(name).map_err(|error| error.to_string())?;
    }
    Ok(named)
}

/// Names of headers, in lower case.
pub(super) fn headers(text: &str) -> Result<Vec<String>, String> {
    let names = words(&text.to_ascii_lowercase());
    if names.is_empty() { Err("expected at least one header's name".into()) } else { Ok(names) }
}

pub(super) fn tokens(path: &str) -> Result<TokenFile, String> {
    TokenFile::parse(&file(path)?).map_err(|error| error.to_string())
}

/// The webhook that a kubeconfig describes.
pub(super) fn webhook(path: &str) -> Result<Access, String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    Access::from_kubeconfig(&file(path)?, folder).map_err(|error| error.to_string())
}

pub(super) fn version(text: &str) -> Result<String, String> {
    if matches!(text, "v1" | "v1beta1") { Ok(text.to_owned()) } else { Err("expected v1 or v1beta1".into()) }
}

/// How long answers hold; 0 for not at all.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    api::duration::parse(text).ok_or_else(|| "expected a duration such as 30s, 5m or 1h30m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_by_arguments_is_as_upstream_has_it() {
        let mut oidc = Oidc { issuer_url: "https://i.example".into(), client_id: "me".into(), ..Oidc::default() };
        let prefix = |oidc: &Oidc| oidc.settle().unwrap().unwrap().username.prefix;
        assert_eq!(prefix(&oidc), "https://i.example#");
        oidc.username_claim = "email".into();
        assert_eq!(prefix(&oidc), "");
        oidc.username_prefix = Some("x:".into());
        assert_eq!(prefix(&oidc), "x:");
        oidc.username_prefix = Some("-".into());
        assert_eq!(prefix(&oidc), "");
        oidc.require("hd=x").unwrap();
        assert!(oidc.require("hd").is_err());
        assert_eq!(oidc.settle().unwrap().unwrap().required_claims.len(), 1);
        oidc.client_id.clear();
        assert!(oidc.settle().unwrap_err().to_string().contains("must be specified together"));
        assert!(Oidc::default().settle().unwrap().is_none());
        assert!(algorithms("RS256,HS256").is_err());
    }
}
