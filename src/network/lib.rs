//! A node's network: flannel's pod network, the CNI plugin, the nftables service proxy.
//!
//! Everything is split the same way: a `plan` that turns objects into the kernel state there should be, as plain data,
//! and an `act` that compares it with what the kernel has and changes the difference through netlink. Neither `ip` nor
//! `nft` nor `iptables` is needed on the machine.
//!
//! What is ours in the kernel, and nothing else is ever touched: the links `flannel.1` and `cni0` with its veth pairs,
//! routes into the cluster CIDR, the nftables tables `ip isopod-network`, `ip isopod-proxy` and `ip isopod-hostport`,
//! the cluster DNS address on `lo`, a route to the service CIDR where there is no default route, and two rules with our
//! comment in the chain `FORWARD` of `ip filter` where that drops by default.

pub mod addresses;
mod cidr;
pub mod cni;
mod config;
mod error;
pub mod flannel;
mod forward;
pub mod local_address;
mod masquerade;
mod netlink;
mod nft;
pub mod proxy;
mod subnet_env;
mod sysctl;
mod teardown;

#[cfg(test)]
mod testbed;

pub use cidr::{Ipv4Cidr, ParseCidrError};
pub use config::{Backend, Config};
pub use error::{Error, Result};
pub use teardown::teardown;
