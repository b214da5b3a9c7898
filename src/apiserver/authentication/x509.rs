//! Client certificates. Any certificate passes the handshake, which only proves that the peer has its key; whether it
//! is one of ours is decided afterwards, as upstream does: a front proxy's certificate comes from another CA, and a
//! certificate of nobody's is a 401 that a client can read, not a torn connection.

use std::sync::Arc;

use api::User;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How many certificates may stand between a client's and one that is trusted. Whoever connects may show any, and the ways to
/// put them in a row grow as the factorial of their number where all have one name.
const INTERMEDIATES_MAX: usize = 5;

/// A CA bundle that is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The PEM holds no certificate, or one that cannot be read.
    #[error("the CA bundle holds no readable certificate")]
    Unreadable,
    /// The certificates are no trust anchors.
    #[error("the CA bundle holds no usable trust anchor")]
    Unusable(#[source] rustls::server::VerifierBuilderError),
}

/// Certificate authorities that vouch for clients. They can be replaced while the server runs.
#[derive(Debug)]
pub struct ClientCa(ArcSwap<Trust>);

#[derive(Debug)]
struct Trust {
    verifier: Arc<dyn ClientCertVerifier>,
    pem: String,
}

impl ClientCa {
    /// Trusts the certificates of a PEM bundle.
    pub fn from_pem(pem: &str) -> Result<Self, CaError> {
        Ok(Self(ArcSwap::from_pointee(trust(pem)?)))
    }

    /// Trusts another bundle from now on. Open connections keep who they are.
    pub fn replace(&self, pem: &str) -> Result<(), CaError> {
        self.0.store(Arc::new(trust(pem)?));
        Ok(())
    }

    /// The bundle, as it was given.
    pub(crate) fn pem(&self) -> String {
        self.0.load().pem.clone()
    }

    fn vouches_for(&self, chain: &[CertificateDer<'_>]) -> bool {
        let Some((leaf, intermediates)) = chain.split_first() else { return false };
        if intermediates.len() > INTERMEDIATES_MAX {
            return false;
        }
        self.0.load().verifier.verify_client_cert(leaf, intermediates, UnixTime::now()).is_ok()
    }
}

fn trust(pem: &str) -> Result<Trust, CaError> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| CaError::Unreadable)?;
        roots.add(certificate).map_err(|_| CaError::Unreadable)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(CaError::Unusable)?;
    Ok(Trust { verifier, pem: pem.to_owned() })
}

/// Asks for a client certificate, demands none, and checks only the proof of possession. Names no authorities: clients
/// show nothing that is not signed by one of those named, and ours can change while we run.
#[derive(Debug)]
pub(crate) struct AskForCertificate(rustls::crypto::WebPkiSupportedAlgorithms);

impl AskForCertificate {
    pub(crate) fn new() -> Self {
        Self(rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms)
    }
}

impl ClientCertVerifier for AskForCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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

/// The other end of a connection, as its certificate has it. Made once a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peer {
    /// Where it is; unknown for peers in this process.
    pub(crate) address: Option<std::net::SocketAddr>,
    client: Option<Arc<User>>,
    front_proxy: Option<Box<str>>,
    presented: bool,
    /// Unix seconds after which the certificate no longer counts, connection open or not.
    not_after: i64,
}

impl Peer {
    /// Judges the certificates of a finished handshake.
    pub(crate) fn judge(
        chain: &[CertificateDer<'_>],
        client: &ClientCa,
        front_proxy: Option<&ClientCa>,
        address: std::net::SocketAddr,
    ) -> Self {
        let mut peer = Self { address: Some(address), presented: !chain.is_empty(), ..Self::default() };
        let Some(leaf) = chain.first() else { return peer };
        let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return peer };
        peer.not_after = parsed.validity().not_after.timestamp();
        if front_proxy.is_some_and(|ca| ca.vouches_for(chain)) {
            peer.front_proxy = common_name(&parsed).map(Into::into);
        }
        if client.vouches_for(chain) {
            peer.client = user(&parsed, leaf).map(Arc::new);
        }
        peer
    }

    /// Somebody in this process, who is believed.
    pub(crate) fn in_process(user: Arc<User>) -> Self {
        Self { client: Some(user), ..Self::default() }
    }

    fn expired(&self) -> bool {
        self.presented && jiff::Timestamp::now().as_second() > self.not_after
    }

    /// The user of a certificate we trust and that has not expired since.
    pub(crate) fn client(&self) -> Option<&Arc<User>> {
        self.client.as_ref().filter(|_| !self.expired())
    }

    /// Seconds for which the certificate that says who the peer is will go on to do so.
    pub(crate) fn expires_in(&self) -> Option<i64> {
        let left = self.not_after - jiff::Timestamp::now().as_second();
        (self.presented && self.client.is_some() && left >= 0).then_some(left)
    }

    /// The common name of a front proxy we trust.
    pub(crate) fn front_proxy(&self) -> Option<&str> {
        if self.expired() { None } else { self.front_proxy.as_deref() }
    }

    /// Whether there is a certificate and nobody vouches for it, or no longer.
    pub(crate) fn presented_invalid(&self) -> bool {
        self.presented && (self.expired() || (self.client.is_none() && self.front_proxy.is_none()))
    }
}

fn common_name<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    certificate.subject().iter_common_name().next()?.as_str().ok().filter(|name| !name.is_empty())
}

/// The attribute of a subject that is the user's uid (`user.UIDOID` upstream).
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// The common name is the user, the organizations are the groups.
fn user(certificate: &X509Certificate<'_>, der: &[u8]) -> Option<User> {
    let name = common_name(certificate)?;
    let groups = certificate.subject().iter_organization().filter_map(|o| o.as_str().ok());
    let mut user = User::new(name, groups);
    let uid = certificate.subject().iter_attributes().find(|attribute| attribute.attr_type() == &UID);
    user.uid = uid.and_then(|uid| uid.as_str().ok()).unwrap_or_default().to_owned();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("X509SHA256={hex}")]);
    Some(user)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::testing::Ca;

    #[test]
    fn chains_are_short() {
        let ca = Ca::new("ca");
        let trusted = ClientCa::from_pem(&ca.pem).unwrap();
        let leaf = ca.issue("jane", &[], &[]).0;
        let check = |others: usize, expect: bool| {
            let pem = leaf.clone() + &ca.pem.repeat(others);
            let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
            assert_eq!(trusted.vouches_for(&chain), expect, "{others}");
        };
        check(0, true);
        check(INTERMEDIATES_MAX, true);
        check(INTERMEDIATES_MAX + 1, false);
    }
}
