//! A server on a port of its own over the memory store, with certificates made for the occasion, and a client for it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{
    ApiServer, AuditOptions, Authentication, AuthorizationMode, ClientCa, InFlight, KubeletAccess, Registry,
    RegistryConfig, ServerConfig, ServiceAccountKeys, ServingCertificate, TokenLimits,
};

/// A certificate authority.
pub(crate) struct Ca {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key, PEM.
    pub(crate) fn issue(&self, name: &str, groups: &[&str], hosts: &[&str]) -> (String, String) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A certificate request as objects hold it.
pub(crate) fn certificate_request(name: &str, groups: &[&str]) -> String {
    use base64::Engine;
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    let pem = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    base64::engine::general_purpose::STANDARD.encode(pem)
}

/// A running server.
pub(crate) struct TestServer {
    pub(crate) api: ApiServer,
    pub(crate) registry: Arc<Registry>,
    pub(crate) address: SocketAddr,
    pub(crate) ca: Ca,
    shutdown: CancellationToken,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, change).await
    }

    pub(crate) async fn on(listener: TcpListener, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let ca = Ca::new("test-ca");
        let address = listener.local_addr().unwrap();
        let mut config = config(&ca, address);
        change(&mut config);
        // Everything there is.
        let served = "api/all=true".parse().unwrap();
        let registry_config = RegistryConfig { served, ..RegistryConfig::default() };
        let registry = Registry::start(embedded_store::memory(), registry_config).await.unwrap();
        let api = ApiServer::build(config, registry.clone()).unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn({
            let (api, shutdown) = (api.clone(), shutdown.clone());
            async move { api.serve(listener, shutdown).await }
        });
        let began = std::time::Instant::now();
        while let Err(failing) = api.ready() {
            assert!(began.elapsed().as_secs() < 30, "not ready: {failing:?}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        Self { api, registry, address, ca, shutdown }
    }

    /// A client with a certificate of the server's CA.
    pub(crate) fn client(&self, name: &str, groups: &[&str]) -> TestClient {
        self.client_of(&self.ca, name, groups)
    }

    pub(crate) fn admin(&self) -> TestClient {
        self.client("admin", &["system:masters"])
    }

    /// A client with a certificate of another CA.
    pub(crate) fn client_of(&self, ca: &Ca, name: &str, groups: &[&str]) -> TestClient {
        let (chain, key) = ca.issue(name, groups, &[]);
        TestClient { address: self.address, tls: client_tls(&self.ca, Some((&chain, &key))), headers: Vec::new() }
    }

    pub(crate) fn nobody(&self) -> TestClient {
        TestClient { address: self.address, tls: client_tls(&self.ca, None), headers: Vec::new() }
    }
}

fn config(ca: &Ca, address: SocketAddr) -> ServerConfig {
    let (chain, key) = ca.issue("kube-apiserver", &[], &["127.0.0.1", "localhost"]);
    let (kubelet_chain, kubelet_key) = ca.issue("kube-apiserver-kubelet-client", &["system:masters"], &[]);
    let signing = KeyPair::generate().unwrap().serialize_pem();
    ServerConfig {
        serving: Arc::new(ServingCertificate::from_pem(&chain, &key).unwrap()),
        client_ca: Arc::new(ClientCa::from_pem(&ca.pem).unwrap()),
        front_proxy_ca: None,
        front_proxy_client: None,
        service_account_keys: Arc::new(ServiceAccountKeys::from_pem(&signing, &[]).unwrap()),
        issuers: vec!["https://kubernetes.default.svc.cluster.local".into()],
        api_audiences: Vec::new(),
        token_limits: TokenLimits::default(),
        jwks_uri: None,
        authentication: Authentication::default(),
        proxied: |_| true,
        kubelet: Arc::new(KubeletAccess::from_pem(&ca.pem, &kubelet_chain, &kubelet_key).unwrap()),
        authorization: vec![AuthorizationMode::Node, AuthorizationMode::Rbac],
        files: crate::ConfigFiles::default(),
        extra_routes: None,
        more_metrics: crate::MoreMetrics::default(),
        checks: Vec::new(),
        audit: AuditOptions::default(),
        in_flight: InFlight::default(),
        advertised: address.to_string(),
    }
}

fn client_tls(ca: &Ca, identity: Option<(&str, &str)>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap()).unwrap()
        }
    })
}

/// Sends requests, each on a connection of its own.
pub(crate) struct TestClient {
    address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    headers: Vec<(String, String)>,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl TestClient {
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `GET /path`, and a body that is JSON unless a header says otherwise.
    pub(crate) async fn send(&self, request: &str, body: impl Into<Body>) -> Answer {
        let response = self.open(request, body).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { code: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), Body::empty()).await
    }

    /// The answer's head, the body still to come.
    pub(crate) async fn open(&self, request: &str, body: impl Into<Body>) -> Response<hyper::body::Incoming> {
        let (method, path) = request.split_once(' ').unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut builder = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        sender.send_request(builder.body(body.into()).unwrap()).await.unwrap()
    }

    /// A connection of HTTP/2, for many requests at a time. Their paths are whole addresses.
    pub(crate) async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Body> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let executor = hyper_util::rt::TokioExecutor::new();
        let (sender, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// The body of a new object of a custom kind, as clients send it: it says what it is, in the version of the path.
pub(crate) fn of_kind(path: &str, plural: &str, kind: &str, body: &Value) -> Value {
    let mut body = body.clone();
    let parts: Vec<&str> = path.trim_start_matches("/apis/").split(['/', '?']).collect();
    if parts.contains(&plural) && body.get("kind").is_none() {
        body["kind"] = kind.into();
        body["apiVersion"] = format!("{}/{}", parts[0], parts[1]).into();
    }
    body
}
