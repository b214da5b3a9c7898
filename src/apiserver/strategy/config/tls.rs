//! Whether the certificate and the key of a secret belong together, in the words of Go's library.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A block of a PEM file.
struct Block<'a> {
    kind: &'a str,
    bytes: Vec<u8>,
}

/// What is wrong with a pair of PEM files, if anything is.
pub(super) fn complaint(certificate: &[u8], key: &[u8]) -> Option<String> {
    let (certificate, key) = (blocks(certificate), blocks(key));
    let Some(first) = certificate.iter().find(|block| block.kind == "CERTIFICATE") else {
        return Some(match certificate.as_slice() {
            [] => "tls: failed to find any PEM data in certificate input".to_owned(),
            [only] if is_key(only.kind) => {
                "tls: failed to find certificate PEM data in certificate input, but did find \
                                            a private key; PEM inputs may have been switched"
                    .to_owned()
            }
            several => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following \
                 types: {}",
                kinds(several)
            ),
        });
    };
    let Some(key) = key.iter().find(|block| is_key(block.kind)) else {
        return Some(match key.as_slice() {
            [] => "tls: failed to find any PEM data in key input".to_owned(),
            [only] if only.kind == "CERTIFICATE" => {
                "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
            }
            several => format!(
                "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of \
                 the following types: {}",
                kinds(several)
            ),
        });
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&first.bytes) else {
        return Some("x509: malformed certificate".to_owned());
    };
    // A key of a kind that is not known here may be one that Go knows.
    let public = public_key(key)?;
    let of_certificate = parsed.public_key();
    let (_, of_key) = x509_parser::x509::SubjectPublicKeyInfo::from_der(&public).ok()?;
    if of_certificate.algorithm.algorithm != of_key.algorithm.algorithm {
        return Some("tls: private key type does not match public key type".to_owned());
    }
    let same = of_certificate.subject_public_key.data == of_key.subject_public_key.data;
    (!same).then(|| "tls: private key does not match public key".to_owned())
}

fn is_key(kind: &str) -> bool {
    kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY")
}

fn kinds(blocks: &[Block<'_>]) -> String {
    format!("[{}]", blocks.iter().map(|block| block.kind).collect::<Vec<_>>().join(" "))
}

/// The public half of a private key.
fn public_key(key: &Block<'_>) -> Option<Vec<u8>> {
    let bytes = key.bytes.clone();
    let key = match key.kind {
        "RSA PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(bytes)),
        "EC PRIVATE KEY" => PrivateKeyDer::from(PrivateSec1KeyDer::from(bytes)),
        _ => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bytes)),
    };
    Some(any_supported_type(&key).ok()?.public_key()?.to_vec())
}

/// The blocks of a file; what is none is skipped.
fn blocks(file: &[u8]) -> Vec<Block<'_>> {
    let Ok(text) = std::str::from_utf8(file) else { return Vec::new() };
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        rest = after;
        // The line ends the beginning, so each is looked for once.
        let Some((line, body)) = after.split_once('\n') else { break };
        let Some(kind) = line.trim_end_matches('\r').strip_suffix("-----") else { continue };
        // The next dashes have to be its end: looking further would cost the length of the file for every beginning.
        let Some((body, end)) = body.find("-----").map(|at| body.split_at(at)) else { break };
        let end = end.strip_prefix("-----END ").and_then(|end| end.strip_prefix(kind));
        let Some(next) = end.and_then(|end| end.strip_prefix("-----")) else { continue };
        // Headers, which a line without text ends.
        let body = body.rsplit_once("\n\n").map_or(body, |(_, body)| body);
        let joined: String = body.split_ascii_whitespace().collect();
        if let Ok(bytes) = BASE64_STANDARD.decode(joined) {
            found.push(Block { kind, bytes });
            rest = next;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_do_not_belong_together_are_told_apart() {
        let signed = |key: &rcgen::KeyPair| {
            let parameters = rcgen::CertificateParams::new(vec!["a.example.com".to_owned()]).unwrap();
            parameters.self_signed(key).unwrap().pem()
        };
        let [one, two] = [(); 2].map(|()| rcgen::KeyPair::generate().unwrap());
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let (certificate, key) = (signed(&one), one.serialize_pem());
        let check = |certificate: &str, key: &str, expect: Option<&str>| {
            assert_eq!(complaint(certificate.as_bytes(), key.as_bytes()).as_deref(), expect);
        };
        check(&certificate, &key, None);
        check(&certificate, &two.serialize_pem(), Some("tls: private key does not match public key"));
        check(&certificate, &other.serialize_pem(), Some("tls: private key type does not match public key type"));
        let begun = "-----BEGIN X-----\n".repeat(50_000);
        check(&begun, &key, Some("tls: failed to find any PEM data in certificate input"));
        check(&format!("{begun}{certificate}"), &key, None);
        check("a", "b", Some("tls: failed to find any PEM data in certificate input"));
        check(&certificate, "b", Some("tls: failed to find any PEM data in key input"));
        let switched = "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs \
                        may have been switched";
        check(&key, &certificate, Some(switched));
        let twice = "tls: found a certificate rather than a key in the PEM for the private key";
        check(&certificate, &certificate, Some(twice));
        let broken = "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n";
        check(broken, &key, Some("x509: malformed certificate"));
    }
}
