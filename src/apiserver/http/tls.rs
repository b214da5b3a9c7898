//! The certificate the server shows, replaceable while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::authentication::x509::AskForCertificate;

/// A certificate the server cannot show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The PEM holds no certificate, or one that cannot be read.
    #[error("the serving certificate cannot be read")]
    Certificate,
    /// The PEM holds no private key, or one of an unknown kind.
    #[error("the serving key cannot be read")]
    Key,
    /// They belong to different keys.
    #[error("the serving certificate and key do not belong together")]
    Mismatch(#[source] rustls::Error),
}

/// The serving certificate. Share it, and [`ServingCertificate::replace`] it when it is renewed: new connections see the
/// new one at once.
#[derive(Debug)]
pub struct ServingCertificate(ArcSwap<CertifiedKey>);

impl ServingCertificate {
    /// A chain, leaf first, and the leaf's private key, both PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CertificateError> {
        Ok(Self(ArcSwap::from(certified(chain, key)?)))
    }

    /// Shows another certificate from now on.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), CertificateError> {
        self.0.store(certified(chain, key)?);
        Ok(())
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::Certificate)?;
    if chain.is_empty() {
        return Err(CertificateError::Certificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertificateError::Key)?;
    let certified = CertifiedKey::new(chain, any_supported_type(&key).map_err(|_| CertificateError::Key)?);
    match certified.keys_match() {
        // A key whose public half cannot be told is taken at its word.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => Err(CertificateError::Mismatch(error)),
    }
}

/// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, a client certificate welcome.
pub(crate) fn config(serving: Arc<ServingCertificate>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(AskForCertificate::new()))
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
