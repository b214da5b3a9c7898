//! Connections to one API server, and the identity presented on them.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use base64::Engine;
use http::Response;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tower::{BoxError, Layer, ServiceExt};

use super::ConnectError;
use crate::controller::chain;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that has been quiet for so long is asked whether it lives (client-go's figures).
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// Servers allow 100 streams a connection or more. Watches past that would wait for each other for ever.
const WATCHES_PER_LANE: usize = 80;

/// A connection pool that keeps one HTTP/2 connection. Held by every watch on it, so that its users can be counted.
#[derive(Clone)]
pub(crate) struct Lane(Arc<kube::Client>);

/// One lane for requests, and as many for watches as there are watches: requests never queue behind watches.
pub(crate) struct Connections {
    config: Mutex<kube::Config>,
    lanes: Mutex<Lanes>,
}

struct Lanes {
    requests: Lane,
    watches: Vec<Lane>,
}

/// What is known without an identity.
pub(super) fn config(server_url: &str, ca_pem: &[u8]) -> Result<kube::Config, ConnectError> {
    let mut config = kube::Config::new(server_url.parse()?);
    let roots: Result<Vec<Vec<u8>>, _> =
        CertificateDer::pem_slice_iter(ca_pem).map(|root| root.map(|root| root.to_vec())).collect();
    config.root_cert = Some(roots?);
    Ok(config)
}

pub(super) fn with_identity(mut config: kube::Config, cert_pem: &[u8], key_pem: &[u8]) -> kube::Config {
    let encode = |pem: &[u8]| base64::engine::general_purpose::STANDARD.encode(pem);
    // Data wins over files in a kubeconfig, and the files named there are the old identity.
    config.auth_info.client_certificate = None;
    config.auth_info.client_key = None;
    config.auth_info.client_certificate_data = Some(encode(cert_pem));
    config.auth_info.client_key_data = Some(encode(key_pem).into());
    config
}

impl Connections {
    pub(super) fn new(config: kube::Config) -> Result<Self, ConnectError> {
        let requests = Lane::new(&config)?;
        let lanes = Lanes { requests, watches: Vec::new() };
        Ok(Self { config: Mutex::new(config), lanes: Mutex::new(lanes) })
    }

    pub(crate) fn server(&self) -> String {
        self.config.lock().cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    pub(super) fn replace_identity(&self, cert_pem: &[u8], key_pem: &[u8]) -> Result<(), ConnectError> {
        let mut config = self.config.lock();
        let new = with_identity(config.clone(), cert_pem, key_pem);
        let requests = Lane::new(&new)?;
        *config = new;
        *self.lanes.lock() = Lanes { requests, watches: Vec::new() };
        Ok(())
    }

    /// The answer's head, and the lane it came on. A server that cannot be reached answers 503, in our words.
    pub(super) async fn send(
        &self,
        request: http::Request<Body>,
        watch: bool,
    ) -> Result<(Response<Body>, Lane), Status> {
        let lane = self.lane(watch)?;
        let error = match lane.0.send(request).await {
            Ok(response) => return Ok((response, lane)),
            Err(kube::Error::Service(error)) => chain(&*error),
            Err(error) => chain(&error),
        };
        Err(Status::unavailable(format!("cannot reach the API server at {}: {error}", self.server())))
    }

    fn lane(&self, watch: bool) -> Result<Lane, Status> {
        let mut lanes = self.lanes.lock();
        if !watch {
            return Ok(lanes.requests.clone());
        }
        // One of the counted references is the list's own.
        if let Some(lane) = lanes.watches.iter().find(|lane| Arc::strong_count(&lane.0) <= WATCHES_PER_LANE) {
            return Ok(lane.clone());
        }
        let lane = Lane::new(&self.config.lock()).map_err(|e| Status::internal(chain(&e)))?;
        lanes.watches.push(lane.clone());
        Ok(lane)
    }
}

impl Lane {
    fn new(config: &kube::Config) -> Result<Self, ConnectError> {
        let identity = |error| ConnectError::Identity(Box::new(error));
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let mut tls = config.rustls_client_config().map_err(identity)?;
        tls.alpn_protocols.clear();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(tcp);
        let pool: Pool<_, Body> = Pool::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_AFTER)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_adaptive_window(true)
            .build(connector);
        let base = config.base_uri_layer();
        let client = match config.auth_layer().map_err(identity)? {
            Some(auth) => kube::Client::new(base.layer(auth.layer(pool.map_err(BoxError::from))), "default"),
            None => kube::Client::new(base.layer(pool.map_err(BoxError::from)), "default"),
        };
        Ok(Self(Arc::new(client)))
    }
}
