//! The keys that sign service-account tokens, and what the world may know of them.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

/// A key of no use for tokens.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The PEM holds no key, or one that cannot be read.
    #[error("the service-account key cannot be read")]
    Unreadable,
    /// Neither RSA nor ECDSA on P-256.
    #[error("the service-account key is neither RSA nor ECDSA P-256")]
    Unsupported,
}

/// Signs with one key and verifies with several, so that keys can be rotated.
pub struct ServiceAccountKeys {
    signing: EncodingKey,
    verifying: Vec<Verifying>,
}

pub(crate) struct Verifying {
    pub id: String,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
    jwk: Value,
}

impl std::fmt::Debug for ServiceAccountKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.verifying.iter().map(|key| &key.id)).finish()
    }
}

impl ServiceAccountKeys {
    /// `signing` is a private key (PKCS#8; RSA also PKCS#1) in PEM; `others` are further public or private keys whose
    /// tokens are still good.
    pub fn from_pem(signing: &str, others: &[&str]) -> Result<Self, KeyError> {
        let first = Verifying::from_pem(signing)?;
        let key = match first.algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(signing.as_bytes()),
            _ => EncodingKey::from_ec_pem(signing.as_bytes()),
        };
        let mut verifying = vec![first];
        for pem in others {
            let other = Verifying::from_pem(pem)?;
            if verifying.iter().all(|key| key.id != other.id) {
                verifying.push(other);
            }
        }
        Ok(Self { signing: key.map_err(|_| KeyError::Unreadable)?, verifying })
    }

    /// A token without end for a Secret of a service account, as long as that Secret holds it. Errors are for people.
    pub fn secret_token(&self, namespace: &str, account: &str, uid: &str, secret: &str) -> Result<String, String> {
        let claims = json!({
            "iss": super::service_account::LEGACY_ISSUER,
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": account,
            "kubernetes.io/serviceaccount/service-account.uid": uid,
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        self.sign(&claims).map_err(|error| error.to_string())
    }

    /// Signs claims into a compact JWT.
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, jsonwebtoken::errors::Error> {
        let key = &self.verifying[0];
        let header =
            jsonwebtoken::Header { typ: None, kid: Some(key.id.clone()), ..jsonwebtoken::Header::new(key.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.signing)
    }

    /// The keys that a token with this key id may be signed with.
    pub(crate) fn candidates<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Verifying> {
        self.verifying.iter().filter(move |key| id.is_none_or(|id| key.id == id))
    }

    /// The key set of `/openid/v1/jwks`.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": self.verifying.iter().map(|key| &key.jwk).collect::<Vec<_>>()})
    }

    /// `id_token_signing_alg_values_supported` of the discovery document.
    pub(crate) fn algorithms(&self) -> Vec<String> {
        let mut names: Vec<String> = self.verifying.iter().map(|key| format!("{:?}", key.algorithm)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl Verifying {
    fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if let Ok(public) = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()) {
            return Self::from_spki(&public);
        }
        let private = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::Unreadable)?;
        let der = private.secret_der();
        let rsa = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
        let public: PublicKeyX509Der<'_> = match rsa {
            Ok(pair) => pair.public_key().as_der().map_err(|_| KeyError::Unreadable)?,
            Err(_) => EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, der)
                .map_err(|_| KeyError::Unsupported)?
                .public_key()
                .as_der()
                .map_err(|_| KeyError::Unreadable)?,
        };
        Self::from_spki(public.as_ref())
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        // The key's id is upstream's: a digest of its public form.
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, der));
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| KeyError::Unreadable)?;
        let unsigned = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(&bytes[bytes.iter().take_while(|b| **b == 0).count()..]);
        match info.parsed().map_err(|_| KeyError::Unreadable)? {
            PublicKey::RSA(rsa) => {
                let (n, e) = (unsigned(rsa.modulus), unsigned(rsa.exponent));
                let key = DecodingKey::from_rsa_components(&n, &e).map_err(|_| KeyError::Unreadable)?;
                let jwk = json!({"use": "sig", "kty": "RSA", "kid": id, "alg": "RS256", "n": n, "e": e});
                Ok(Self { id, algorithm: Algorithm::RS256, key, jwk })
            }
            PublicKey::EC(point) if point.data().len() == 65 => {
                let (x, y) = point.data()[1..].split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                let key = DecodingKey::from_ec_components(&x, &y).map_err(|_| KeyError::Unreadable)?;
                let jwk = json!({"use": "sig", "kty": "EC", "kid": id, "crv": "P-256", "alg": "ES256", "x": x, "y": y});
                Ok(Self { id, algorithm: Algorithm::ES256, key, jwk })
            }
            _ => Err(KeyError::Unsupported),
        }
    }
}
