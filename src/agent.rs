//! `isopod agent`: a worker.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bootstrap::data_dir::create_private;
use bootstrap::join::agent::{Membership, fetch_ca, join, kept};
use bootstrap::token::Token;
use tokio_util::sync::CancellationToken;

use crate::cli::AgentArgs;
use crate::instance::Instance;
use crate::node::Node;
use crate::progress::Progress;
use crate::renewal::Signer;
use crate::settings::Paths;
use crate::shutdown::on_signal;
use crate::{arguments, cli, node_identity, ready};

/// Joins, and runs the node until a signal.
pub(crate) async fn run(args: AgentArgs) -> Result<()> {
    let (server, token) = server_and_token(&args)?;
    arguments::of_node(&args.node)?;
    node_identity::check(&args.node)?;
    Node::preflight(&args.node)?;
    let paths = Paths::of(&args.node)?;
    let address = node_identity::address(&args.node)?;
    if paths.data.token().exists() {
        bail!("{} is a server's: an agent needs a --data-dir of its own", paths.data.root().display());
    }
    // The first contact writes nothing: a wrong server or token leaves no trace.
    if kept(&paths.data.agent(""))?.is_none() {
        first_contact(&server, &token).await?;
    }
    create_private(paths.data.root())?;
    let _instance = Instance::acquire(&paths)?;
    ready::clear(&paths);
    let name = node_identity::name(&args.node, &paths.data)?;
    let progress = Arc::new(Progress::begin(&format!("isopod agent {name} joins {server}")));
    let shutdown = CancellationToken::new();
    on_signal(shutdown.clone());
    let node = Node { args: args.node, paths, name, address, server_url: server.to_string() };
    let joined = async {
        progress.doing("joining");
        let membership =
            membership(&server, &token, &node.paths.data.agent(""), &node.name, &[node.address], &progress).await?;
        progress.done("joined the cluster");
        Ok(membership)
    };
    let (membership, runtime) = tokio::select! {
        both = async { tokio::try_join!(joined, node.start_runtime(&progress)) } => both?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let farewell = format!("\n  This machine is a worker of {server}. There: kubectl get nodes\n");
    node.run(membership, Signer::Elsewhere(server, token), runtime, progress, shutdown, farewell).await
}

fn server_and_token(args: &AgentArgs) -> Result<(http::Uri, Token)> {
    let Some(server) = &args.server else {
        bail!("--server is missing: the URL of the server to join, https://HOST:6443")
    };
    let url: http::Uri =
        server.trim_end_matches('/').parse().with_context(|| format!("--server {server:?} is no URL"))?;
    if url.scheme_str() != Some("https") || url.host().is_none() {
        bail!("--server {server:?} must be of the form https://HOST:6443");
    }
    let Some(token) = cli::secret("--token-file", args.token.as_ref(), args.token_file.as_deref())? else {
        bail!("--token is missing: the content of the server's <data-dir>/server/token")
    };
    Ok((url, Token::parse(&token)?))
}

/// Waits for the server, if it is not there yet; fails where waiting would not help. There is no `Progress` yet.
async fn first_contact(server: &http::Uri, token: &Token) -> Result<()> {
    if token.ca_hash.is_none() {
        tracing::warn!("the token carries no CA hash: whoever answers at {server} is trusted");
    }
    retry(None, || fetch_ca(server, token)).await.map(drop)
}

/// Joins anew at every start: certificates are fresh, settings current. Where the server is away or not ready, what an earlier join
/// left will do, if it is this node's.
async fn membership(
    server: &http::Uri,
    token: &Token,
    dir: &Path,
    name: &str,
    addresses: &[IpAddr],
    progress: &Progress,
) -> Result<Membership> {
    let attempt = || join(server, token, dir, name, addresses);
    match attempt().await {
        Ok(membership) => Ok(membership),
        Err(error) if error.may_pass() => match kept(dir)?.filter(|kept| kept.is_of(name)) {
            Some(kept) => {
                tracing::warn!(%error, "starting with what an earlier join left");
                Ok(kept)
            }
            None => retry(Some(progress), attempt).await,
        },
        Err(error) => Err(error.into()),
    }
}

/// Tries until it works or waiting would not help, and says each time why not yet.
async fn retry<T, F: Future<Output = bootstrap::Result<T>>>(
    progress: Option<&Progress>,
    mut attempt: impl FnMut() -> F,
) -> Result<T> {
    let mut wait = Duration::from_millis(500);
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) if error.may_pass() => {
                // Workers that lost a server must not come back at the same moment.
                let pause = client::jittered(wait);
                tracing::warn!(%error, retry_in_ms = pause.as_millis() as u64, "will try again");
                if let Some(progress) = progress {
                    progress.doing(&format!("joining: {error}; trying again"));
                }
                tokio::time::sleep(pause).await;
                wait = (wait * 2).min(Duration::from_secs(15));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
