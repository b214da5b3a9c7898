//! `--kube-apiserver-arg`.

use std::time::Duration;

use apiserver::{AuthorizationMode, InFlight, RegistryConfig, TokenFile};

use super::values::{duration, number, put, switch, words};
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
        }
    }
}

/// The arguments, by name.
pub(super) const TABLE: &[Argument<Options>] = &[
    argument("anonymous-auth", |options, text| put(&mut options.anonymous, switch(text))),
    argument("api-audiences", |options, text| put(&mut options.api_audiences, Ok(words(text)))),
    argument("authorization-mode", |options, text| put(&mut options.authorization, authorization(text))),
    argument("default-watch-cache-size", |options, text| put(&mut options.history, number(text, 16..=1 << 20))),
    argument("disable-admission-plugins", |options, text| put(&mut options.disabled_plugins, Ok(words(text)))),
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

fn issuer(text: &str) -> Result<String, String> {
    let url = text.strip_prefix("https://").is_some_and(|host| !host.is_empty());
    if url { Ok(text.into()) } else { Err("expected an https URL".into()) }
}

fn tokens(path: &str) -> Result<TokenFile, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    TokenFile::parse(&text).map_err(|error| error.to_string())
}
