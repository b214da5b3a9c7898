//! The API server: the request chain, the generic registry, the watch caches, HTTP.
//!
//! One path for all kinds: `http` decodes a request into [`api::Request`], `chain` authorizes and accounts for it,
//! `registry` carries it out against the store, and the watch caches show the outcome to everybody.

pub mod admission;
mod allocator;
mod bootstrap_objects;
pub mod catalog;
mod defaults;
mod feed;
mod maintenance;
pub mod registry;
mod strategy;
mod tree;

pub use catalog::Catalog;
pub use registry::{Delivery, Registry, RegistryConfig, RegistryError, Verdict, Watch};
