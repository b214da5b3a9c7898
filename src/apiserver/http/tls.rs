//! The certificate the server shows, replaceable while it runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig};

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
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider(has_aes())))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_client_cert_verifier(Arc::new(AskForCertificate::new()))
        .with_cert_resolver(serving);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    Ok(config)
}

/// Ciphers in the order in which Go's servers prefer them, whatever clients would: AES with the shorter key, which is no less safe
/// here and the faster one; where processors have no instructions for AES, what is fast without.
fn provider(has_aes: bool) -> CryptoProvider {
    use CipherSuite as Suite;
    let first: [Suite; 3] = if has_aes {
        [
            Suite::TLS13_AES_128_GCM_SHA256,
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        ]
    } else {
        [
            Suite::TLS13_CHACHA20_POLY1305_SHA256,
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ]
    };
    let mut provider = default_provider();
    provider.cipher_suites.sort_by_key(|suite| !first.contains(&suite.suite()));
    provider
}

#[cfg(target_arch = "x86_64")]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_cipher_is_first_and_none_is_lost() {
        let all = default_provider().cipher_suites.len();
        for (has_aes, first) in
            [(true, CipherSuite::TLS13_AES_128_GCM_SHA256), (false, CipherSuite::TLS13_CHACHA20_POLY1305_SHA256)]
        {
            let suites = provider(has_aes).cipher_suites;
            assert_eq!((suites[0].suite(), suites.len()), (first, all));
        }
    }
}
