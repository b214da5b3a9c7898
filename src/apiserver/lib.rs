//! The API server: the request chain, the generic registry, the watch caches, HTTP.
//!
//! One path for all kinds: `http` decodes a request into [`api::Request`], `chain` authorizes and accounts for it,
//! `registry` carries it out against the store, and the watch caches show the outcome to everybody.

pub mod admission;
mod aggregation;
mod allocator;
mod audit;
mod authentication;
mod authorization;
mod bootstrap_objects;
pub mod catalog;
mod chain;
mod charges;
mod custom;
mod defaults;
mod digest_cache;
mod discovery;
mod encryption;
mod endpoints;
mod fairness;
mod feed;
mod health;
mod http;
mod impersonation;
mod maintenance;
mod metrics;
mod notes;
mod openapi;
mod proxy;
pub mod registry;
mod reload;
mod runtime_config;
mod server;
mod single_flight;
mod strategy;
mod table;
#[cfg(test)]
mod testing;
mod trust;
pub mod webhook;

use api::tree;

pub use aggregation::FrontProxyIdentity;
pub use audit::{AuditError, AuditOptions, LogOptions, Mode as AuditMode, Truncation, WebhookOptions};
pub use authentication::x509::{CaError, ClientCa};
pub use authentication::{
    Anonymous, Authentication, AuthenticationConfigError, ClaimMapping, Expression, JwtIssuer, JwtIssuerError,
    KeyError, RequestHeaders, ServiceAccountKeys, TokenFile, TokenFileError, TokenLimits, TokenWebhook, ValidationRule,
};
pub use authorization::{
    AbacError, AbacPolicies, AuthorizationConfigError, AuthorizationMode, AuthorizationWebhook, MatchConditions,
    OnFailure, read_authorization,
};
pub use catalog::{Catalog, CustomKind};
pub use encryption::{Encryption, EncryptionError};
pub use fairness::InFlight;
pub use health::HealthCheck;
pub use http::tls::{CertificateError, ServingCertificate};
pub use metrics::MoreMetrics;
pub use openapi::OpenApi;
pub use proxy::{KubeletAccess, KubeletAccessError, is_global_unicast};
pub use registry::{Delivery, Registry, RegistryConfig, RegistryError, Verdict, Watch};
pub use reload::{ConfigFile, ConfigFiles};
pub use runtime_config::RuntimeConfig;
pub use server::{ApiServer, BuildError, ServerConfig};
