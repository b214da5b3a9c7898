//! `--kube-apiserver-arg`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apiserver::webhook::Access;
use apiserver::{
    AuditMode, AuditOptions, AuthorizationMode, InFlight, LogOptions, RegistryConfig, TokenFile, WebhookOptions,
};

use super::values::{duration, number, only, put, switch, words};
use super::{Argument, argument};

/// What may be said about the API server; the defaults are upstream's.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Whether requests without credentials are somebody.
    pub(crate) anonymous: bool,
    /// Audiences of the API server's tokens; empty for the issuer alone.
    pub(crate) api_audiences: Vec<String>,
    /// Authorizers, in the order they are asked.
    pub(crate) authorization: Vec<AuthorizationMode>,
    /// Admission plugins that take no part.
    pub(crate) disabled_plugins: Vec<String>,
    /// How much history the store keeps.
    pub(crate) compaction: Duration,
    /// How long Events live.
    pub(crate) event_ttl: Duration,
    /// How many changes of each kind are remembered for watches.
    pub(crate) history: usize,
    /// How many requests are carried out at once.
    pub(crate) in_flight: InFlight,
    /// The issuer of service-account tokens; `None` for the cluster's own name.
    pub(crate) issuer: Option<String>,
    /// Common names of front proxies; empty for any with a certificate of the front-proxy CA.
    pub(crate) front_proxy_names: Vec<String>,
    /// Tokens an administrator wrote down.
    pub(crate) tokens: TokenFile,
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
    /// What is encrypted in the store.
    pub(crate) encryption_config: Option<PathBuf>,
    /// Whether that file is read again when it changes.
    pub(crate) encryption_reload: bool,
}

impl Options {
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
        });
        AuditOptions { policy: self.audit_policy.clone(), log, webhook }
    }
}

impl Default for Options {
    fn default() -> Self {
        let RegistryConfig { compaction, event_ttl, history, .. } = RegistryConfig::default();
        Self {
            anonymous: true,
            api_audiences: Vec::new(),
            authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
            disabled_plugins: Vec::new(),
            compaction,
            event_ttl,
            history,
            in_flight: InFlight::default(),
            issuer: None,
            front_proxy_names: vec!["front-proxy-client".into()],
            tokens: TokenFile::default(),
            audit_policy: None,
            audit_log: LogOptions { path: PathBuf::new(), ..LogOptions::default() },
            audit_webhook: None,
            audit_buffer: 10_000,
            audit_batch: 400,
            audit_wait: Duration::from_secs(30),
            audit_backoff: Duration::from_secs(10),
            encryption_config: None,
            encryption_reload: false,
        }
    }
}

/// The arguments, by name.
pub(super) const TABLE: &[Argument<Options>] = &[
    argument("anonymous-auth", |options, text| put(&mut options.anonymous, switch(text))),
    argument("api-audiences", |options, text| put(&mut options.api_audiences, Ok(words(text)))),
    argument("audit-log-format", |_, text| only(text, "json")),
    argument("audit-log-maxage", |options, text| put(&mut options.audit_log.max_age, number(text, 0..=100_000))),
    argument("audit-log-maxbackup", |options, text| put(&mut options.audit_log.max_backups, number(text, 0..=100_000))),
    argument("audit-log-maxsize", |options, text| put(&mut options.audit_log.max_size, number(text, 0..=1 << 30))),
    argument("audit-log-mode", |options, text| put(&mut options.audit_log.mode, mode(text))),
    argument("audit-log-path", |options, text| put(&mut options.audit_log.path, Ok(text.into()))),
    argument("audit-policy-file", |options, text| put(&mut options.audit_policy, file(text).map(Some))),
    argument("audit-webhook-batch-buffer-size", |options, text| {
        put(&mut options.audit_buffer, number(text, 1..=1 << 20))
    }),
    argument("audit-webhook-batch-max-size", |options, text| put(&mut options.audit_batch, number(text, 1..=10_000))),
    argument("audit-webhook-batch-max-wait", |options, text| put(&mut options.audit_wait, duration(text))),
    argument("audit-webhook-config-file", |options, text| put(&mut options.audit_webhook, webhook(text).map(Some))),
    argument("audit-webhook-initial-backoff", |options, text| put(&mut options.audit_backoff, duration(text))),
    argument("audit-webhook-mode", |_, text| only(text, "batch")),
    argument("authorization-mode", |options, text| put(&mut options.authorization, authorization(text))),
    argument("default-watch-cache-size", |options, text| put(&mut options.history, number(text, 16..=1 << 20))),
    argument("disable-admission-plugins", |options, text| put(&mut options.disabled_plugins, Ok(words(text)))),
    argument("encryption-provider-config", |options, text| put(&mut options.encryption_config, Ok(Some(text.into())))),
    argument("encryption-provider-config-automatic-reload", |options, text| {
        put(&mut options.encryption_reload, switch(text))
    }),
    argument("etcd-compaction-interval", |options, text| put(&mut options.compaction, duration(text))),
    argument("event-ttl", |options, text| put(&mut options.event_ttl, duration(text))),
    argument("max-mutating-requests-inflight", |options, text| {
        put(&mut options.in_flight.writes, number(text, 1..=100_000))
    }),
    argument("max-requests-inflight", |options, text| put(&mut options.in_flight.reads, number(text, 1..=100_000))),
    argument("requestheader-allowed-names", |options, text| put(&mut options.front_proxy_names, Ok(words(text)))),
    argument("service-account-issuer", |options, text| put(&mut options.issuer, issuer(text).map(Some))),
    argument("token-auth-file", |options, text| put(&mut options.tokens, tokens(text))),
];

fn authorization(text: &str) -> Result<Vec<AuthorizationMode>, String> {
    let mode = |word: String| match word.as_str() {
        "Node" => Ok(AuthorizationMode::Node),
        "RBAC" => Ok(AuthorizationMode::Rbac),
        "AlwaysAllow" => Ok(AuthorizationMode::AlwaysAllow),
        "AlwaysDeny" => Ok(AuthorizationMode::AlwaysDeny),
        other => Err(format!("{other:?} is no mode: there is Node, RBAC, AlwaysAllow and AlwaysDeny")),
    };
    let modes = words(text).into_iter().map(mode).collect::<Result<Vec<_>, _>>()?;
    if modes.is_empty() { Err("at least one mode must be passed".into()) } else { Ok(modes) }
}

fn mode(text: &str) -> Result<AuditMode, String> {
    match text {
        "batch" => Ok(AuditMode::Batch),
        "blocking" => Ok(AuditMode::Blocking),
        "blocking-strict" => Ok(AuditMode::BlockingStrict),
        other => Err(format!("{other:?} is no mode: there is batch, blocking and blocking-strict")),
    }
}

fn file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))
}

fn webhook(path: &str) -> Result<Access, String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("."));
    Access::from_kubeconfig(&file(path)?, folder).map_err(|error| error.to_string())
}

fn issuer(text: &str) -> Result<String, String> {
    let url = text.strip_prefix("https://").is_some_and(|host| !host.is_empty());
    if url { Ok(text.into()) } else { Err("expected an https URL".into()) }
}

fn tokens(path: &str) -> Result<TokenFile, String> {
    TokenFile::parse(&file(path)?).map_err(|error| error.to_string())
}
