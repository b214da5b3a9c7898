//! Connecting to kubelets, pods and services.

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs::default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Target;

/// Upstream's patience with the far end.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// A client certificate or CA that kubelets cannot be reached with.
#[derive(Debug, thiserror::Error)]
pub enum KubeletAccessError {
    /// A PEM cannot be read.
    #[error("the kubelet client certificate, its key or the CA cannot be read")]
    Unreadable,
    /// TLS refuses them.
    #[error("TLS refuses the kubelet client certificate")]
    Tls(#[from] rustls::Error),
}

/// How the API server proves itself to kubelets, and knows theirs: by client certificate, and the cluster's CA.
#[derive(Debug)]
pub struct KubeletAccess(ArcSwap<ClientConfig>);

impl KubeletAccess {
    /// The CA of the kubelets' serving certificates, and our certificate chain and key, all PEM.
    pub fn from_pem(ca: &str, chain: &str, key: &str) -> Result<Self, KubeletAccessError> {
        Ok(Self(ArcSwap::from(config(ca, chain, key)?)))
    }

    /// Uses others from now on.
    pub fn replace(&self, ca: &str, chain: &str, key: &str) -> Result<(), KubeletAccessError> {
        self.0.store(config(ca, chain, key)?);
        Ok(())
    }

    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.0.load_full()
    }
}

fn config(ca: &str, chain: &str, key: &str) -> Result<Arc<ClientConfig>, KubeletAccessError> {
    let certificates = |pem: &str| CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).map_err(|_| KubeletAccessError::Unreadable)? {
        roots.add(certificate)?;
    }
    let chain = certificates(chain).map_err(|_| KubeletAccessError::Unreadable)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| KubeletAccessError::Unreadable)?;
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}

/// TLS that takes any certificate, as upstream's proxies of pods and services do.
pub(super) fn blind() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = default_provider();
    let verifier = AnyCertificate(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A byte stream to somewhere.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to a target; 503 when nobody is there.
pub(super) async fn connect(target: &Target) -> Result<Box<dyn Stream>, Status> {
    let failed = |why: &dyn std::fmt::Display| {
        tracing::debug!(authority = %target.authority, %why, "the far end of a proxied request cannot be reached");
        Status::unavailable(format!("error trying to reach service: dial tcp {}: {why}", target.authority))
    };
    let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(&target.authority));
    let stream = match connected.await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => return Err(failed(&"i/o timeout")),
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let Some(tls) = &target.tls else { return Ok(Box::new(stream)) };
    let host = target.authority.rsplit_once(':').map_or(&*target.authority, |(host, _)| host);
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|error| failed(&error))?;
    let shaken =
        tokio::time::timeout(CONNECT_TIME, tokio_rustls::TlsConnector::from(tls.clone()).connect(name, stream));
    match shaken.await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => Err(failed(&"TLS handshake timeout")),
    }
}
