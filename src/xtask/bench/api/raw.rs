//! Connections for clients that do as little as they can: they share the processors with the server, and what they take is in the
//! figures of every server that is compared.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use kube::client::ConfigExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A connection to the server that a kubeconfig names, as its user, for one protocol. TLS by itself reads 4 KiB at a time, and
/// those reads would be half of what is measured: a buffer of `read` bytes below it takes what there is.
pub(super) async fn connect(
    kubeconfig: &Path,
    protocol: &[u8],
    read: usize,
) -> Result<TlsStream<BufReader<TcpStream>>> {
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await?;
    let host = config.cluster_url.host().context("the server has no host")?.to_owned();
    let tcp = TcpStream::connect((&*host, config.cluster_url.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let mut tls = config.rustls_client_config()?;
    tls.alpn_protocols = vec![protocol.to_vec()];
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls));
    Ok(tls.connect(host.try_into()?, BufReader::with_capacity(read, tcp)).await?)
}
