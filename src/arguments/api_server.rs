//! `--kube-apiserver-arg`.

mod authentication;
mod authorization;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use apiserver::webhook::Access;
use apiserver::{
    AuditMode, AuditOptions, Authentication, AuthorizationMode, ConfigFile, ConfigFiles, InFlight, LogOptions,
    RegistryConfig, RuntimeConfig, TokenLimits, Truncation, WebhookOptions, admission,
};

use super::values::{duration, number, only, put, switch, words};
use super::{Argument, argument, feature_gates};

/// What may be said about the API server; the defaults are upstream's.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Audiences of the API server's tokens; empty for the issuers alone.
    pub(crate) api_audiences: Vec<String>,
    /// How users prove who they are: what [`Options::settle`] makes of the arguments.
    pub(crate) authentication: Authentication,
    /// Authorizers, in the order they are asked: what [`Options::settle`] makes of the arguments.
    pub(crate) authorization: Vec<AuthorizationMode>,
    /// Admission plugins that take no part.
    pub(crate) disabled_plugins: Vec<String>,
    enabled_plugins: Vec<String>,
    /// How much history the store keeps.
    pub(crate) compaction: Duration,
    /// How long Events live.
    pub(crate) event_ttl: Duration,
    /// How many changes of each kind are remembered for watches.
    pub(crate) history: usize,
    /// How many requests are carried out at once.
    pub(crate) in_flight: InFlight,
    /// The issuers of service-account tokens, the one of new ones first.
    pub(crate) issuers: Vec<String>,
    /// Who vouches for clients beside the cluster's own CA, PEM; empty for nobody.
    pub(crate) client_ca: String,
    /// Who vouches for front proxies beside the cluster's own CA, PEM; empty for nobody.
    pub(crate) front_proxy_ca: String,
    /// Where the key set of service-account tokens is said to lie.
    pub(crate) jwks_uri: Option<String>,
    /// How long service-account tokens live.
    pub(crate) token_limits: TokenLimits,
    /// The key that signs service-account tokens, PEM, in place of the cluster's own.
    pub(crate) signing_key: Option<String>,
    /// Further keys whose tokens are good, PEM.
    pub(crate) verifying_keys: Vec<String>,
    authn: authentication::Given,
    authz: authorization::Given,
    /// The text of the audit policy.
    audit_policy: Option<String>,
    /// The audit log; a path of nothing is none.
    audit_log: LogOptions,
    /// The kubeconfig that describes the audit webhook.
    audit_webhook: Option<Access>,
    audit_buffer: usize,
    audit_batch: usize,
    audit_wait: Duration,
    audit_backoff: Duration,
    audit_webhook_truncation: Truncation,
    /// Which versions of built-in kinds are served.
    pub(crate) served: RuntimeConfig,
    /// What is encrypted in the store.
    pub(crate) encryption_config: Option<PathBuf>,
    /// Whether that file is read again when it changes.
    pub(crate) encryption_reload: bool,
}

impl Options {
    /// The files that are followed.
    pub(crate) fn files(&self) -> ConfigFiles {
        ConfigFiles { authentication: self.authn.config.clone(), authorization: self.authz.config.clone() }
    }

    /// Which requests are recorded, and where.
    pub(crate) fn audit(&self) -> AuditOptions {
        if self.audit_policy.is_none() {
            return AuditOptions::default();
        }
        let log = Some(self.audit_log.clone()).filter(|log| !log.path.as_os_str().is_empty());
        let webhook = self.audit_webhook.clone().map(|access| WebhookOptions {
            access,
            buffer: self.audit_buffer,
            batch: self.audit_batch,
            wait: self.audit_wait,
            backoff: self.audit_backoff,
            truncation: self.audit_webhook_truncation,
        });
        AuditOptions { policy: self.audit_policy.clone(), log, webhook }
    }
}

impl Default for Options {
    fn default() -> Self {
        let RegistryConfig { compaction, event_ttl, history, .. } = RegistryConfig::default();
        Self {
            api_audiences: Vec::new(),
            authentication: Authentication::default(),
            authorization: Vec::new(),
            disabled_plugins: Vec::new(),
            enabled_plugins: Vec::new(),
            compaction,
            event_ttl,
            history,
            in_flight: InFlight::default(),
            issuers: Vec::new(),
            client_ca: String::new(),
            front_proxy_ca: String::new(),
            jwks_uri: None,
            token_limits: TokenLimits::default(),
            signing_key: None,
            verifying_keys: Vec::new(),
            authn: authentication::Given::default(),
            authz: authorization::Given::default(),
            audit_policy: None,
            audit_log: LogOptions { path: PathBuf::new(), ..LogOptions::default() },
            audit_webhook: None,
            audit_buffer: 10_000,
            audit_batch: 400,
            audit_wait: Duration::from_secs(30),
            audit_backoff: Duration::from_secs(10),
            audit_webhook_truncation: Truncation::default(),
            served: RuntimeConfig::default(),
            encryption_config: None,
            encryption_reload: false,
        }
    }
}

impl Options {
    /// Puts together what several arguments say, in a cluster of this domain; reads the files they name.
    pub(super) fn settle(&mut self, domain: &str) -> Result<()> {
        if self.issuers.is_empty() {
            self.issuers.push(format!("https://kubernetes.default.svc.{domain}"));
        }
        if let Some(both) = self.enabled_plugins.iter().find(|name| self.disabled_plugins.contains(name)) {
            bail!("--kube-apiserver-arg: the plugin {both} is enabled and disabled");
        }
        for (backend, truncation) in [("log", self.audit_log.truncation), ("webhook", self.audit_webhook_truncation)] {
            let (event, batch) = (truncation.max_event_size, truncation.max_batch_size);
            if batch < event {
                bail!(
                    "--kube-apiserver-arg: invalid audit truncate {backend} max batch size {batch}, must be greater than max event size ({event})"
                );
            }
        }
        self.authentication = self.authn.settle(&self.issuers)?;
        self.authorization = self.authz.settle()?;
        Ok(())
    }
}

/// The arguments, by name.
pub(super) const TABLE: &[Argument<Options>] = &[
    argument("anonymous-auth", |options, text| put(&mut options.authn.anonymous, switch(text).map(Some))),
    argument("api-audiences", |options, text| put(&mut options.api_audiences, Ok(words(text)))),
    argument("audit-log-compress", |options, text| put(&mut options.audit_log.compress, switch(text))),
    argument("audit-log-format", |_, text| only(text, "json")),
    argument("audit-log-maxage", |options, text| put(&mut options.audit_log.max_age, number(text, 0..=100_000))),
    argument("audit-log-maxbackup", |options, text| put(&mut options.audit_log.max_backups, number(text, 0..=100_000))),
    argument("audit-log-maxsize", |options, text| put(&mut options.audit_log.max_size, number(text, 0..=1 << 30))),
    argument("audit-log-mode", |options, text| put(&mut options.audit_log.mode, mode(text))),
    argument("audit-log-path", |options, text| put(&mut options.audit_log.path, Ok(text.into()))),
    argument("audit-log-truncate-enabled", |options, text| {
        put(&mut options.audit_log.truncation.enabled, switch(text))
    }),
    argument("audit-log-truncate-max-batch-size", |options, text| {
        put(&mut options.audit_log.truncation.max_batch_size, number(text, 1..=1 << 30))
    }),
    argument("audit-log-truncate-max-event-size", |options, text| {
        put(&mut options.audit_log.truncation.max_event_size, number(text, 1..=1 << 30))
    }),
    argument("audit-policy-file", |options, text| put(&mut options.audit_policy, file(text).map(Some))),
    argument("audit-webhook-batch-buffer-size", |options, text| {
        put(&mut options.audit_buffer, number(text, 1..=1 << 20))
    }),
    argument("audit-webhook-batch-max-size", |options, text| put(&mut options.audit_batch, number(text, 1..=10_000))),
    argument("audit-webhook-batch-max-wait", |options, text| put(&mut options.audit_wait, duration(text))),
    argument("audit-webhook-config-file", |options, text| {
        put(&mut options.audit_webhook, authentication::webhook(text).map(Some))
    }),
    argument("audit-webhook-initial-backoff", |options, text| put(&mut options.audit_backoff, duration(text))),
    argument("audit-webhook-mode", |_, text| only(text, "batch")),
    argument("audit-webhook-truncate-enabled", |options, text| {
        put(&mut options.audit_webhook_truncation.enabled, switch(text))
    }),
    argument("audit-webhook-truncate-max-batch-size", |options, text| {
        put(&mut options.audit_webhook_truncation.max_batch_size, number(text, 1..=1 << 30))
    }),
    argument("audit-webhook-truncate-max-event-size", |options, text| {
        put(&mut options.audit_webhook_truncation.max_event_size, number(text, 1..=1 << 30))
    }),
    argument("authentication-config", |options, text| put(&mut options.authn.config, followed(text).map(Some))),
    argument("authentication-token-webhook-cache-ttl", |options, text| {
        put(&mut options.authn.webhook_ttl, authentication::ttl(text))
    }),
    argument("authentication-token-webhook-config-file", |options, text| {
        put(&mut options.authn.webhook, authentication::webhook(text).map(Some))
    }),
    argument("authentication-token-webhook-version", |options, text| {
        put(&mut options.authn.webhook_version, authentication::version(text))
    }),
    argument("authorization-config", |options, text| put(&mut options.authz.config, followed(text).map(Some))),
    argument("authorization-mode", |options, text| put(&mut options.authz.modes, authorization::modes(text).map(Some))),
    argument("authorization-policy-file", |options, text| {
        put(&mut options.authz.policies, authorization::policies(text).map(Some))
    }),
    argument("authorization-webhook-cache-authorized-ttl", |options, text| {
        put(&mut options.authz.authorized_ttl, authentication::ttl(text))
    }),
    argument("authorization-webhook-cache-unauthorized-ttl", |options, text| {
        put(&mut options.authz.unauthorized_ttl, authentication::ttl(text))
    }),
    argument("authorization-webhook-config-file", |options, text| {
        put(&mut options.authz.webhook, authentication::webhook(text).map(Some))
    }),
    argument("authorization-webhook-version", |options, text| {
        put(&mut options.authz.webhook_version, authentication::version(text))
    }),
    argument("client-ca-file", |options, text| put(&mut options.client_ca, file(text))),
    argument("default-watch-cache-size", |options, text| put(&mut options.history, number(text, 16..=1 << 20))),
    argument("disable-admission-plugins", |options, text| put(&mut options.disabled_plugins, plugins(text))),
    argument("enable-admission-plugins", |options, text| put(&mut options.enabled_plugins, plugins(text))),
    argument("enable-bootstrap-token-auth", |_, text| only(text, "true")),
    argument("encryption-provider-config", |options, text| put(&mut options.encryption_config, Ok(Some(text.into())))),
    argument("encryption-provider-config-automatic-reload", |options, text| {
        put(&mut options.encryption_reload, switch(text))
    }),
    argument("etcd-compaction-interval", |options, text| put(&mut options.compaction, duration(text))),
    argument("event-ttl", |options, text| put(&mut options.event_ttl, duration(text))),
    argument("feature-gates", |_, text| feature_gates::check(text)),
    argument("max-mutating-requests-inflight", |options, text| {
        put(&mut options.in_flight.writes, number(text, 1..=100_000))
    }),
    argument("max-requests-inflight", |options, text| put(&mut options.in_flight.reads, number(text, 1..=100_000))),
    argument("oidc-ca-file", |options, text| put(&mut options.authn.oidc.ca, file(text).map(Some))),
    argument("oidc-client-id", |options, text| put(&mut options.authn.oidc.client_id, Ok(text.to_owned()))),
    argument("oidc-groups-claim", |options, text| put(&mut options.authn.oidc.groups_claim, Ok(text.to_owned()))),
    argument("oidc-groups-prefix", |options, text| put(&mut options.authn.oidc.groups_prefix, Ok(text.to_owned()))),
    argument("oidc-issuer-url", |options, text| put(&mut options.authn.oidc.issuer_url, Ok(text.to_owned()))),
    argument("oidc-required-claim", |options, text| options.authn.oidc.require(text)),
    argument("oidc-signing-algs", |options, text| {
        put(&mut options.authn.oidc.algorithms, authentication::algorithms(text))
    }),
    argument("oidc-username-claim", |options, text| put(&mut options.authn.oidc.username_claim, Ok(text.to_owned()))),
    argument("oidc-username-prefix", |options, text| {
        put(&mut options.authn.oidc.username_prefix, Ok(Some(text.to_owned())))
    }),
    argument("requestheader-allowed-names", |options, text| {
        put(&mut options.authn.headers.allowed_names, Ok(words(text)))
    }),
    argument("requestheader-client-ca-file", |options, text| put(&mut options.front_proxy_ca, file(text))),
    argument("requestheader-extra-headers-prefix", |options, text| {
        put(&mut options.authn.headers.extra_prefixes, authentication::headers(text))
    }),
    argument("requestheader-group-headers", |options, text| {
        put(&mut options.authn.headers.groups, authentication::headers(text))
    }),
    argument("requestheader-uid-headers", |options, text| {
        put(&mut options.authn.headers.uid, authentication::headers(text))
    }),
    argument("requestheader-username-headers", |options, text| {
        put(&mut options.authn.headers.username, authentication::headers(text))
    }),
    argument("runtime-config", |options, text| put(&mut options.served, text.parse())),
    argument("service-account-extend-token-expiration", |options, text| {
        put(&mut options.token_limits.extend, switch(text))
    }),
    argument("service-account-issuer", |options, text| more(&mut options.issuers, issuer(text))),
    argument("service-account-jwks-uri", |options, text| put(&mut options.jwks_uri, issuer(text).map(Some))),
    argument("service-account-key-file", |options, text| more(&mut options.verifying_keys, file(text))),
    argument("service-account-lookup", |_, text| only(text, "true")),
    argument("service-account-max-token-expiration", |options, text| {
        put(&mut options.token_limits.longest, longest(text))
    }),
    argument("service-account-signing-key-file", |options, text| put(&mut options.signing_key, file(text).map(Some))),
    argument("token-auth-file", |options, text| put(&mut options.authn.tokens, authentication::tokens(text))),
];

/// Names of plugins there are.
fn plugins(text: &str) -> Result<Vec<String>, String> {
    let (named, known) = (words(text), admission::names());
    match named.iter().find(|name| !known.contains(&&***name)) {
        Some(other) => Err(format!("there is no admission plugin {other:?}; there is {}", known.join(", "))),
        None => Ok(named),
    }
}

fn more(place: &mut Vec<String>, value: Result<String, String>) -> Result<(), String> {
    place.push(value?);
    Ok(())
}

/// A file that is read again when it changes.
fn followed(path: &str) -> Result<ConfigFile, String> {
    Ok(ConfigFile { path: path.into(), text: file(path)? })
}

/// What a file holds.
fn file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))
}

/// An hour at least, as upstream has it.
fn longest(text: &str) -> Result<Option<Duration>, String> {
    let asked = duration(text)?;
    let fits = (Duration::from_secs(3600)..=Duration::from_secs(1 << 32)).contains(&asked);
    if fits { Ok(Some(asked)) } else { Err("expected a duration from 1h to 2^32 seconds".to_owned()) }
}

fn mode(text: &str) -> Result<AuditMode, String> {
    match text {
        "batch" => Ok(AuditMode::Batch),
        "blocking" => Ok(AuditMode::Blocking),
        "blocking-strict" => Ok(AuditMode::BlockingStrict),
        other => Err(format!("{other:?} is no mode: there is batch, blocking and blocking-strict")),
    }
}

fn issuer(text: &str) -> Result<String, String> {
    let url = text.strip_prefix("https://").is_some_and(|host| !host.is_empty());
    if url { Ok(text.into()) } else { Err("expected an https URL".into()) }
}
