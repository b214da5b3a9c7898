//! A node's two certificates: the one the kubelet calls the API server with, and the one it serves with.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use apiserver::ServingCertificate;
use bootstrap::join::agent::{self, Membership, keep, prepare};
use bootstrap::join::server::Joins;
use bootstrap::token::Token;
use client::Https;

use super::Renew;

/// Who signs a node's certificates.
pub(crate) enum Signer {
    /// The server this node is part of. It joins without asking anyone.
    Own(Arc<Joins>),
    /// A server elsewhere. It wants the token or the certificate the node has.
    Elsewhere(http::Uri, Token),
}

/// A node's certificates and who shows them.
pub(crate) struct NodeCertificates {
    /// Who signs new ones.
    pub(crate) signer: Signer,
    /// Where they are kept.
    pub(crate) dir: PathBuf,
    /// The node's name.
    pub(crate) name: String,
    /// The node's addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// What the node holds now.
    pub(crate) membership: Membership,
    /// Calls the API server.
    pub(crate) client: Https,
    /// The kubelet's server.
    pub(crate) serving: Arc<ServingCertificate>,
}

/// The membership of the server's own node, signed without a join.
pub(crate) fn own_membership(
    joins: &Joins,
    dir: &Path,
    name: &str,
    addresses: &[IpAddr],
    now: SystemTime,
) -> Result<Membership> {
    let (request, keys) = prepare(dir, name, addresses)?;
    Ok(keep(dir, joins.ca.cert().to_owned(), keys, joins.issue(&request, now)?)?)
}

impl Renew for NodeCertificates {
    const WHOSE: &'static str = "the node";

    async fn renew(&mut self, now: SystemTime) -> Result<()> {
        let Self { dir, name, addresses, membership, .. } = self;
        if !membership.is_due(now) {
            return Ok(());
        }
        let new = match &self.signer {
            Signer::Own(joins) => own_membership(joins, dir, name, addresses, now)?,
            Signer::Elsewhere(server, token) => agent::renew(server, token, dir, name, addresses, membership).await?,
        };
        let (client, serving) = (&new.client, &new.serving);
        self.serving.replace(&serving.cert, &serving.key).context("the kubelet's serving certificate")?;
        self.client
            .replace_identity(client.cert.as_bytes(), client.key.as_bytes())
            .context("the kubelet's client certificate")?;
        self.membership = new;
        tracing::info!(node = self.name, "the node shows new certificates");
        Ok(())
    }
}
