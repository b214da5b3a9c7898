//! Certificate authorities and what they sign.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::data_dir::{create_private, read, write};
use crate::{Error, Result};

/// How long an authority lives.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How long a leaf lives.
const LEAF_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// A leaf with less than this left is made anew.
pub const RENEW_BEFORE: Duration = Duration::from_secs(90 * 86_400);
/// Clocks differ, most of all on boards without a battery: certificates are valid from a little before they are made.
const BACKDATE: Duration = Duration::from_secs(3_600);

/// A certificate and its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, or the chain, leaf first.
    pub cert: String,
    /// The private key. Never logged.
    pub key: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").field("cert", &self.cert).finish_non_exhaustive()
    }
}

impl Pair {
    /// Whether the certificate is that of the key. A renewal cut off between its two files leaves a pair that is not.
    pub fn belongs_together(&self) -> bool {
        let Ok(key) = KeyPair::from_pem(&self.key) else { return false };
        let Ok(der) = pem::parse(&self.cert) else { return false };
        let parsed = X509Certificate::from_der(der.contents());
        parsed.is_ok_and(|(_, cert)| cert.public_key().raw == key.subject_public_key_info())
    }

    /// Whether it is time for another: the certificate expires within [`RENEW_BEFORE`] of `now`, or cannot be read.
    pub fn is_due(&self, now: SystemTime) -> bool {
        let Ok(der) = pem::parse(&self.cert) else { return true };
        !X509Certificate::from_der(der.contents()).is_ok_and(|(_, cert)| lasts(&cert, now))
    }

    /// The common name of the certificate: the user of a client.
    pub fn common_name(&self) -> Option<String> {
        let der = pem::parse(&self.cert).ok()?;
        let (_, cert) = X509Certificate::from_der(der.contents()).ok()?;
        let name = cert.subject().iter_common_name().next()?.as_str().ok()?;
        Some(name.to_owned())
    }
}

/// What a leaf is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Proving who one is to a server.
    Client,
    /// Being a server.
    Server,
}

/// What a leaf says.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// CN: the user of a client certificate.
    pub common_name: String,
    /// O: the group of a client certificate; empty for none.
    pub organization: String,
    /// What it is good for.
    pub usage: Usage,
    /// DNS names a server answers to.
    pub names: Vec<String>,
    /// Addresses a server answers at.
    pub addresses: Vec<IpAddr>,
}

/// A certificate authority with its key.
pub struct Authority {
    cert: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority kept in `dir` as `<name>.crt` and `<name>.key`, made if there is none.
    pub fn ensure(dir: &Path, name: &str, common_name: &str) -> Result<Self> {
        create_private(dir)?;
        let (cert_path, key_path) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let (cert, key) = match (read(&cert_path)?, read(&key_path)?) {
            (Some(cert), Some(key)) => {
                let key = KeyPair::from_pem(&key)
                    .map_err(|e| Error::Damaged { path: key_path, why: format!("not a private key ({e})") })?;
                (cert, key)
            }
            (None, None) => {
                let key = KeyPair::generate()?;
                let mut params = params(common_name, "", CA_LIFE, SystemTime::now());
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages =
                    vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
                let cert = params.self_signed(&key)?.pem();
                // The key first: a certificate without its key would be refused at the next start.
                write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
                write(&cert_path, cert.as_bytes(), 0o644)?;
                (cert, key)
            }
            (None, Some(_)) => {
                // Cut off between the two writes of the first start: nothing was signed yet.
                std::fs::remove_file(&key_path).map_err(|source| Error::File {
                    doing: "cannot remove the file",
                    path: key_path,
                    source,
                })?;
                return Self::ensure(dir, name, common_name);
            }
            (Some(_), None) => {
                let why = "the key of this CA is missing; put it back, or remove the certificate to make a new cluster"
                    .into();
                return Err(Error::Damaged { path: key_path, why });
            }
        };
        let issuer = Issuer::from_ca_cert_pem(&cert, key)
            .map_err(|e| Error::Damaged { path: cert_path, why: format!("not a CA certificate ({e})") })?;
        Ok(Self { cert, issuer })
    }

    /// The authority's certificate, PEM.
    pub fn cert(&self) -> &str {
        &self.cert
    }

    pub(crate) fn key(&self) -> &KeyPair {
        self.issuer.key()
    }

    /// Signs a new key. The certificate's year begins at `now`.
    pub fn issue(&self, leaf: &Leaf, now: SystemTime) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let cert = leaf.params(now).signed_by(&key, &self.issuer)?;
        Ok(Pair { cert: cert.pem(), key: key.serialize_pem() })
    }

    /// Signs the key of a request. Of the request only the key counts; what the certificate says is `leaf`,
    /// for a year from `now`.
    pub fn sign(&self, request_pem: &str, leaf: &Leaf, now: SystemTime) -> Result<String> {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem)?;
        request.params = leaf.params(now);
        Ok(request.signed_by(&self.issuer)?.pem())
    }
}

/// A new key with a request for it.
pub fn request(common_name: &str, organization: &str) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name, organization);
    Ok((params.serialize_request(&key)?.pem()?, key.serialize_pem()))
}

impl Leaf {
    /// A client certificate for `user` in `group`.
    pub fn client(user: &str, group: &str) -> Self {
        Self {
            common_name: user.into(),
            organization: group.into(),
            usage: Usage::Client,
            names: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// A server certificate.
    pub fn server(common_name: &str, organization: &str, names: Vec<String>, addresses: Vec<IpAddr>) -> Self {
        Self {
            common_name: common_name.into(),
            organization: organization.into(),
            usage: Usage::Server,
            names,
            addresses,
        }
    }

    fn params(&self, now: SystemTime) -> CertificateParams {
        let mut params = params(&self.common_name, &self.organization, LEAF_LIFE, now);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = vec![match self.usage {
            Usage::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Usage::Server => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let names = self.names.iter().filter_map(|n| n.as_str().try_into().ok()).map(SanType::DnsName);
        params.subject_alt_names = names.chain(self.addresses.iter().copied().map(SanType::IpAddress)).collect();
        params
    }

    /// Whether a certificate at hand still says this, is signed by `authority`, and will do for a while.
    pub fn is_met_by(&self, cert_pem: &str, authority: &Authority, now: SystemTime) -> bool {
        let Ok(der) = pem::parse(cert_pem) else { return false };
        let Ok((_, cert)) = X509Certificate::from_der(der.contents()) else { return false };
        let Ok(ca) = pem::parse(&authority.cert) else { return false };
        let Ok((_, ca)) = X509Certificate::from_der(ca.contents()) else { return false };
        lasts(&cert, now)
            && cert.issuer().as_raw() == ca.subject().as_raw()
            && cert.verify_signature(Some(ca.public_key())).is_ok()
            && subject_alternatives(&cert).is_superset(&self.alternatives())
            && cert.subject().iter_common_name().any(|cn| cn.as_str() == Ok(&self.common_name))
    }

    fn alternatives(&self) -> std::collections::BTreeSet<String> {
        self.names.iter().cloned().chain(self.addresses.iter().map(IpAddr::to_string)).collect()
    }
}

/// Whether a certificate has more than [`RENEW_BEFORE`] left.
fn lasts(cert: &X509Certificate<'_>, now: SystemTime) -> bool {
    cert.validity().not_after.timestamp() - unix(now) > RENEW_BEFORE.as_secs() as i64
}

fn subject_alternatives(cert: &X509Certificate<'_>) -> std::collections::BTreeSet<String> {
    use x509_parser::extensions::GeneralName;
    let Ok(Some(extension)) = cert.subject_alternative_name() else { return Default::default() };
    let each = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    });
    each.collect()
}

fn params(common_name: &str, organization: &str, life: Duration, now: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(common_name, organization);
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + life).into();
    params
}

fn distinguished_name(common_name: &str, organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if !organization.is_empty() {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// The hex SHA-256 of a PEM file's bytes: what a token says of the CA.
pub fn hash(pem: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pem.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text out of a Secret's `data`.
pub fn decode_base64(text: &str) -> Option<String> {
    use base64::Engine;
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok()
}
