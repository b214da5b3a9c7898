//! How a worker joins: fetch the CA without trust, compare its hash with the token's, then speak TLS only; prove the token
//! and the node's password; get certificates for the node and the cluster's settings.

pub mod agent;
mod claims;
pub mod server;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The path of the CA's certificate, readable by anyone.
pub const CA_PATH: &str = "/cacerts";
/// The path of the join.
pub const JOIN_PATH: &str = "/v1-isopod/join";

/// What a node asks with. The token travels in the `Authorization` header.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JoinRequest {
    /// The name the node wants.
    pub node_name: String,
    /// Its own password: who has used the name once is the only one to use it again.
    pub node_password: String,
    /// The addresses its serving certificate must name.
    pub addresses: Vec<IpAddr>,
    /// A PEM certificate request for the key the kubelet calls the API server with.
    pub client_request: String,
    /// A PEM certificate request for the key the kubelet serves with.
    pub serving_request: String,
}

/// What a node gets.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JoinReply {
    /// For the kubelet as a client: `system:node:<name>` in `system:nodes`.
    pub client_certificate: String,
    /// For the kubelet as a server.
    pub serving_certificate: String,
    /// The settings every node shares.
    pub cluster: ClusterSettings,
}

/// What every node must know of its cluster.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSettings {
    /// All pods' addresses.
    pub cluster_cidr: String,
    /// All services' addresses.
    pub service_cidr: String,
    /// Where cluster DNS answers.
    pub cluster_dns: IpAddr,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// `vxlan`, `host-gw` or `none`.
    pub flannel_backend: String,
    /// Whether nodes serve cluster DNS.
    pub dns: bool,
    /// Whether nodes run the service proxy.
    pub kube_proxy: bool,
}
