//! Connections for clients that do as little as they can: they share the processors with the server, and what they take is in the
//! figures of every server that is compared.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use kube::client::ConfigExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
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

/// A client that sends prepared bytes over HTTP/2, one request after the other, and decodes nothing of the answers.
#[derive(Clone)]
pub(super) struct Sender(Arc<Mutex<Connection>>);

struct Connection {
    requests: SendRequest<Bytes>,
    /// Driven by who waits for an answer, so that no other task has to be woken for it.
    connection: Pin<Box<dyn Future<Output = Result<(), h2::Error>> + Send>>,
}

impl Sender {
    /// `count` clients with a connection each.
    pub(super) async fn several(kubeconfig: &Path, count: usize) -> Result<Vec<Self>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = connect(kubeconfig, b"h2", 32 * 1024).await?;
            let (requests, connection) = h2::client::handshake(stream).await?;
            all.push(Self(Arc::new(Mutex::new(Connection { requests, connection: Box::pin(connection) }))));
        }
        Ok(all)
    }

    /// Sends a request, with a body if there is something to say, and waits for the end of the answer, which must be a good one.
    pub(super) async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<()> {
        let mut held = self.0.lock().await;
        let Connection { requests, connection } = &mut *held;
        let answered = async {
            let mut ready = requests.clone().ready().await?;
            let (answer, mut sent) = ready.send_request(request.body(())?, body.is_empty())?;
            if !body.is_empty() {
                sent.send_data(body, true)?;
            }
            let answer = answer.await?;
            ensure!(answer.status().is_success(), "the server answers {}", answer.status());
            let mut body = answer.into_body();
            while let Some(data) = body.data().await {
                body.flow_control().release_capacity(data?.len())?;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            answered = answered => answered,
            ended = connection => bail!("the connection ended: {ended:?}"),
        }
    }
}
