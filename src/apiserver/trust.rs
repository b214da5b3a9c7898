//! Whom the API server believes when it connects to somebody, and who it says it is: TLS towards kubelets, webhooks,
//! aggregated API servers, pods and services.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs::default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore, SignatureScheme,
};

/// How a block of PEM begins.
const BEGIN: &[u8] = b"-----BEGIN ";

/// Who vouches for the far end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'a> {
    /// Certificates in PEM: authorities, or the far end's own.
    Bundle(&'a [u8]),
    /// The authorities that the machine trusts.
    Machine,
    /// Nobody need: nobody can say which names the certificates of pods and services should have.
    Anyone,
}

/// Why there is no TLS to be had from what was given.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The bundle holds no certificate that can be read, and why.
    #[error("unable to load root certificates: {0}")]
    Bundle(&'static str),
    /// The machine's own authorities cannot be read.
    #[error("unable to load root certificates: {0}")]
    Machine(std::io::Error),
    /// The certificate or the key to be shown cannot be read.
    #[error("tls: failed to find any PEM data in the client certificate or its key")]
    Identity,
    /// TLS refuses them.
    #[error("tls: {0}")]
    Tls(#[from] Error),
}

/// TLS towards somebody. `identity` is a certificate chain and its key, both PEM.
pub(crate) fn client_config(trust: Trust<'_>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::Machine => builder.with_native_roots().map_err(TrustError::Machine)?,
        Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        Trust::Bundle(pem) => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Bundle::new(pem, provider)?))
        }
    };
    let Some((chain, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(chain).filter(|chain| !chain.is_empty()).ok_or(TrustError::Identity)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TrustError::Identity)?;
    Ok(builder.with_client_auth_cert(chain, key)?)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

/// What Go says of a bundle in which it finds no certificate.
const NONE: &str = "no valid certificate authority data seen";

/// The certificates of a bundle. As in Go, what cannot be read is passed over as long as something can.
fn bundled(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let blocks: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem).map_while(Result::ok).collect();
    let is_readable = |block: &CertificateDer<'_>| x509_parser::parse_x509_certificate(block).is_ok();
    let (readable, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_readable);
    match (readable.is_empty(), others.is_empty()) {
        (false, _) => Ok(readable),
        (true, false) => Err(TrustError::Bundle("failed to parse certificate: x509: malformed certificate")),
        (true, true) if pem.windows(BEGIN.len()).any(|window| window == BEGIN) => Err(TrustError::Bundle(NONE)),
        (true, true) => Err(TrustError::Bundle("unable to parse bytes as PEM block")),
    }
}

/// Why nobody can be believed for the sake of a bundle, if so.
pub(crate) fn check_bundle(pem: &[u8]) -> Result<(), TrustError> {
    Bundle::new(pem, Arc::new(default_provider())).map(drop)
}

/// Believes whom a bundle's authorities signed and, as Go does, whoever stands in the bundle themselves: many a webhook's
/// certificate is its own authority.
#[derive(Debug)]
struct Bundle {
    chains: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Bundle {
    fn new(pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let certificates = bundled(pem)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| TrustError::Bundle(NONE))?;
        Ok(Self { chains, certificates })
    }

    /// Whether the certificate, which is in the bundle, is in time and for the name.
    fn check_own(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|_| bad())?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now < parsed.validity().not_before.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        if now > parsed.validity().not_after.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Bundle {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.chains.verify_server_cert(certificate, intermediates, name, ocsp, now);
        if verified.is_err() && self.certificates.iter().any(|own| own == certificate) {
            return self.check_own(certificate, name, now);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Takes any certificate whose key the far end holds.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong in a handshake, in the words Go has for it.
pub(crate) fn explain(error: &Error) -> String {
    let untrusted = |why: &str| format!("tls: failed to verify certificate: x509: {why}");
    let why = match error {
        Error::InvalidCertificate(why) => why,
        // The first bytes are no TLS; what else stands at the port of a server that is asked for HTTPS speaks HTTP.
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return "http: server gave HTTP response to HTTPS client".to_owned();
        }
        other => return format!("tls: {other}"),
    };
    match why {
        CertificateError::UnknownIssuer => untrusted("certificate signed by unknown authority"),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            untrusted("certificate has expired or is not yet valid: current time is after its end")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            untrusted("certificate has expired or is not yet valid: current time is before its beginning")
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            // Of a certificate's names only those of the kind that is asked for are told.
            let kind = if matches!(expected, ServerName::IpAddress(_)) { "IpAddress" } else { "DnsName" };
            let of_kind = presented.iter().filter(|name| name.starts_with(kind));
            let names: Vec<&str> = of_kind.map(|name| shown_name(name)).collect();
            let is_address = kind == "IpAddress";
            let expected = expected.to_str();
            match names.is_empty() {
                true if is_address => untrusted(&format!(
                    "cannot validate certificate for {expected} because it doesn't contain any IP SANs"
                )),
                true => untrusted(&format!("certificate is not valid for any names, but wanted to match {expected}")),
                false => untrusted(&format!("certificate is valid for {}, not {expected}", names.join(", "))),
            }
        }
        other => untrusted(&other.to_string()),
    }
}

/// `DnsName("a.b")` without its wrapping.
fn shown_name(presented: &str) -> &str {
    let inner = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(presented);
    inner.trim_matches('"')
}
