//! What the runtime is asked to make, from a pod's spec.

pub(crate) mod container;
pub(crate) mod env;
pub(crate) mod fields;
pub(crate) mod network;
pub(crate) mod sandbox;
pub(crate) mod security;
