//! What the cluster's signers sign: requests whose subject and names are taken over as they stand.
//!
//! The certificate is put together here, because a subject may name several organizations (groups), which the library that
//! makes our own certificates knows no way to say.

use std::time::{Duration, SystemTime};

use api::certificate_request::CertificateRequest;
use rcgen::SigningKey;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

use crate::pki::Authority;
use crate::{Error, Result};

/// How long before it is made a certificate begins: clocks differ.
const BACKDATE: Duration = Duration::from_secs(300);
/// What lives shorter than this lives for as long as was asked, the time before it was made not counted.
const SHORT: Duration = Duration::from_secs(8 * 3600);

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// The usages of a key, by upstream's names, and their bits.
const KEY_USAGES: [(&str, u32); 10] = [
    ("signing", 0),
    ("digital signature", 0),
    ("content commitment", 1),
    ("key encipherment", 2),
    ("data encipherment", 3),
    ("key agreement", 4),
    ("cert sign", 5),
    ("crl sign", 6),
    ("encipher only", 7),
    ("decipher only", 8),
];

/// The extended usages of a key, by upstream's names, and the contents of their object identifiers.
const EXTENDED_USAGES: [(&str, &[u8]); 13] = [
    ("any", &[0x55, 0x1d, 0x25, 0x00]),
    ("server auth", &[0x2b, 6, 1, 5, 5, 7, 3, 1]),
    ("client auth", &[0x2b, 6, 1, 5, 5, 7, 3, 2]),
    ("code signing", &[0x2b, 6, 1, 5, 5, 7, 3, 3]),
    ("email protection", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("s/mime", &[0x2b, 6, 1, 5, 5, 7, 3, 4]),
    ("ipsec end system", &[0x2b, 6, 1, 5, 5, 7, 3, 5]),
    ("ipsec tunnel", &[0x2b, 6, 1, 5, 5, 7, 3, 6]),
    ("ipsec user", &[0x2b, 6, 1, 5, 5, 7, 3, 7]),
    ("timestamping", &[0x2b, 6, 1, 5, 5, 7, 3, 8]),
    ("ocsp signing", &[0x2b, 6, 1, 5, 5, 7, 3, 9]),
    ("microsoft sgc", &[0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 3, 3]),
    ("netscape sgc", &[0x60, 0x86, 0x48, 1, 0x86, 0xf8, 0x42, 4, 1]),
];

impl Authority {
    /// Signs a request (PEM) as it stands, for the usages named, for `life` from `now`, but no longer than the authority
    /// itself lives. Whether it may be signed is the caller's to know. The certificate, PEM.
    pub fn sign_request(&self, request: &str, usages: &[String], life: Duration, now: SystemTime) -> Result<String> {
        let request = CertificateRequest::parse(request.as_bytes()).map_err(Error::Request)?;
        let authority = pem::parse(self.cert()).map_err(|_| Error::Request("the authority is unreadable".into()))?;
        let (_, authority) = X509Certificate::from_der(authority.contents())
            .map_err(|_| Error::Request("the authority is unreadable".into()))?;
        let algorithm = algorithm(self.key().algorithm())?;
        let begin = unix(now) - BACKDATE.as_secs() as i64;
        let end = if life < SHORT { unix(now) } else { begin } + life.as_secs() as i64;
        let end = end.min(authority.validity().not_after.timestamp());
        let mut serial = rcgen::KeyPair::generate()?.public_key_raw()[1..17].to_vec();
        // Positive, and with a first byte that counts.
        serial[0] = serial[0] & 0x7f | 0x40;
        let extensions = extensions(&request, usages, &authority);
        let body = der(
            SEQUENCE,
            &[
                &[0xa0, 3, 2, 1, 2],
                &der(INTEGER, &[&serial]),
                algorithm,
                authority.subject().as_raw(),
                &der(SEQUENCE, &[&time(begin), &time(end)]),
                &request.subject_der,
                &request.public_key_der,
                &der(0xa3, &[&der(SEQUENCE, &[&extensions])]),
            ],
        );
        let signature = self.key().sign(&body)?;
        let certificate = der(SEQUENCE, &[&body, algorithm, &der(BIT_STRING, &[&[0], &signature])]);
        Ok(pem::encode_config(
            &pem::Pem::new("CERTIFICATE", certificate),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        ))
    }
}

fn extensions(request: &CertificateRequest, usages: &[String], authority: &X509Certificate<'_>) -> Vec<u8> {
    let extension = |id: u8, critical: bool, content: Vec<u8>| {
        let critical = if critical { TRUE } else { &[] };
        der(SEQUENCE, &[&der(OID, &[&[0x55, 0x1d, id]]), critical, &der(OCTET_STRING, &[&content])])
    };
    let mut all = Vec::new();
    let bits = KEY_USAGES.iter().filter(|(name, _)| usages.iter().any(|usage| usage == name));
    let bits = bits.fold(0_u16, |bits, (_, at)| bits | 0x8000 >> at);
    if bits != 0 {
        let bytes = bits.to_be_bytes();
        let used = if bytes[1] == 0 { &bytes[..1] } else { &bytes[..] };
        let unused = used[used.len() - 1].trailing_zeros() as u8;
        all.extend(extension(15, true, der(BIT_STRING, &[&[unused], used])));
    }
    let extended = EXTENDED_USAGES.iter().filter(|(name, _)| usages.iter().any(|usage| usage == name));
    let mut extended: Vec<Vec<u8>> = extended.map(|(_, id)| der(OID, &[id])).collect();
    extended.dedup();
    if !extended.is_empty() {
        all.extend(extension(37, false, der(SEQUENCE, &[&extended.concat()])));
    }
    // Never an authority itself.
    all.extend(extension(19, true, der(SEQUENCE, &[])));
    let identifier = authority.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    });
    if let Some(identifier) = identifier {
        all.extend(extension(35, false, der(SEQUENCE, &[&der(0x80, &[identifier])])));
    }
    let mut names = Vec::new();
    request.emails.iter().for_each(|name| names.extend(der(0x81, &[name.as_bytes()])));
    request.dns_names.iter().for_each(|name| names.extend(der(0x82, &[name.as_bytes()])));
    request.uris.iter().for_each(|name| names.extend(der(0x86, &[name.as_bytes()])));
    for address in &request.addresses {
        match address {
            std::net::IpAddr::V4(v4) => names.extend(der(0x87, &[&v4.octets()])),
            std::net::IpAddr::V6(v6) => names.extend(der(0x87, &[&v6.octets()])),
        }
    }
    if !names.is_empty() {
        let nameless = request.subject_der.len() == 2;
        all.extend(extension(17, nameless, der(SEQUENCE, &[&names])));
    }
    all
}

/// One DER value: tag, length, content.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match length {
        0..128 => out.push(length as u8),
        128..256 => out.extend([0x81, length as u8]),
        _ => {
            let bytes = (length as u32).to_be_bytes();
            let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            out.push(0x80 | used.len() as u8);
            out.extend(used);
        }
    }
    content.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A moment: two digits of the year until 2049, four from then on.
fn time(unix: i64) -> Vec<u8> {
    let at = jiff::Timestamp::from_second(unix).unwrap_or_default();
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    if (1950..2050).contains(&at.year()) {
        der(0x17, &[at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes()])
    } else {
        der(0x18, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
    }
}

/// The identifier of what a key signs with.
fn algorithm(of: &rcgen::SignatureAlgorithm) -> Result<&'static [u8]> {
    const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    const ECDSA_SHA384: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
    const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
    const RSA_SHA256: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 11, 5, 0];
    let known = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, ECDSA_SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, ECDSA_SHA384),
        (&rcgen::PKCS_ED25519, ED25519),
        (&rcgen::PKCS_RSA_SHA256, RSA_SHA256),
    ];
    let found = known.iter().find(|(algorithm, _)| *algorithm == of);
    found.map(|(_, id)| *id).ok_or_else(|| Error::Request("the authority's key is of a kind that cannot sign".into()))
}

fn unix(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    #[test]
    fn a_request_is_signed_as_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::ensure(dir.path(), "ca", "test-ca").unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned(), "10.1.2.3".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "dev");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), "ops");
        params.distinguished_name.push(DnType::CommonName, "alice");
        let request = params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let usages = ["digital signature", "key encipherment", "client auth"].map(str::to_owned);
        let now = SystemTime::now();
        let signed = authority.sign_request(&request, &usages, Duration::from_secs(3600), now).unwrap();
        let signed = pem::parse(signed).unwrap();
        let (rest, certificate) = X509Certificate::from_der(signed.contents()).unwrap();
        assert!(rest.is_empty());
        let ca = pem::parse(authority.cert()).unwrap();
        let (_, ca) = X509Certificate::from_der(ca.contents()).unwrap();
        certificate.verify_signature(Some(ca.public_key())).unwrap();
        let groups: Vec<_> = certificate.subject().iter_organization().map(|o| o.as_str().unwrap()).collect();
        assert_eq!(groups, ["dev", "ops"]);
        assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
        assert!(certificate.key_usage().unwrap().unwrap().value.key_encipherment());
        assert!(!certificate.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert!(certificate.extended_key_usage().unwrap().unwrap().value.client_auth);
        assert!(!certificate.is_ca());
        assert_eq!(certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
        assert_eq!(certificate.validity().not_after.timestamp(), unix(now) + 3600);
    }
}
