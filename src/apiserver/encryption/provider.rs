//! The ciphers: upstream's formats on disk, so that a store can come from elsewhere and go there.
//!
//! A value begins with `k8s:enc:<cipher>:v1:<key name>:`. The store key is authenticated with AES-GCM, so that a value cannot
//! be moved to another object; the other two formats have no place for it.

use std::fmt;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    self, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
};
use aws_lc_rs::iv::FixedLength;
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};

/// What no value in the clear begins with.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// One way to keep values.
#[derive(Debug)]
pub(super) enum Provider {
    /// In the clear.
    Identity,
    /// Encrypted, with the first of the keys; read with any of them.
    Keyed { cipher: Cipher, keys: Vec<Key> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cipher {
    AesGcm,
    AesCbc,
    Secretbox,
}

/// A key and its name, which stands before every value it encrypts.
pub(super) struct Key {
    pub(super) name: String,
    pub(super) secret: Box<[u8]>,
}

impl fmt::Debug for Key {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Encrypts with the first provider.
pub(super) fn seal(providers: &[Provider], plain: &[u8], store_key: &str) -> Result<Vec<u8>, String> {
    match providers.first() {
        None | Some(Provider::Identity) => Ok(plain.to_vec()),
        Some(Provider::Keyed { cipher, keys }) => {
            let key = keys.first().ok_or("there is no key")?;
            let mut sealed = cipher.prefix(&key.name);
            let body = cipher.seal(&key.secret, plain, store_key).ok_or("encryption failed")?;
            sealed.extend_from_slice(&body);
            Ok(sealed)
        }
    }
}

/// Decrypts with whichever provider and key fit. `Err` says why none does, in upstream's words.
pub(super) fn open(providers: &[Provider], sealed: &[u8], store_key: &str) -> Result<Vec<u8>, String> {
    let mut failed = None;
    for provider in providers {
        match provider {
            Provider::Identity if sealed.starts_with(ENCRYPTED) => {}
            Provider::Identity => return Ok(sealed.to_vec()),
            Provider::Keyed { cipher, keys } => {
                let Some(rest) = sealed.strip_prefix(&*cipher.common_prefix()) else { continue };
                let named =
                    |key: &&Key| rest.strip_prefix(key.name.as_bytes()).is_some_and(|r| r.first() == Some(&b':'));
                let Some(key) = keys.iter().find(named) else {
                    failed.get_or_insert("no matching key was found for the provided AES transformer");
                    continue;
                };
                match cipher.open(&key.secret, &rest[key.name.len() + 1..], store_key) {
                    Some(plain) => return Ok(plain),
                    None => {
                        failed = Some("the stored data could not be decrypted: it is damaged, or the key is another")
                    }
                }
            }
        }
    }
    Err(failed.unwrap_or("no matching prefix found").to_owned())
}

/// Whether a value is as the first provider would write it.
pub(super) fn is_current(providers: &[Provider], sealed: &[u8]) -> bool {
    match providers.first() {
        None | Some(Provider::Identity) => !sealed.starts_with(ENCRYPTED),
        Some(Provider::Keyed { cipher, keys }) => {
            keys.first().is_some_and(|key| sealed.starts_with(&cipher.prefix(&key.name)))
        }
    }
}

impl Cipher {
    fn common_prefix(self) -> Vec<u8> {
        let name = match self {
            Self::AesGcm => "aesgcm",
            Self::AesCbc => "aescbc",
            Self::Secretbox => "secretbox",
        };
        format!("k8s:enc:{name}:v1:").into_bytes()
    }

    fn prefix(self, key: &str) -> Vec<u8> {
        let mut prefix = self.common_prefix();
        prefix.extend_from_slice(key.as_bytes());
        prefix.push(b':');
        prefix
    }

    fn seal(self, secret: &[u8], plain: &[u8], store_key: &str) -> Option<Vec<u8>> {
        match self {
            Self::AesGcm => {
                let nonce: [u8; 12] = random()?;
                let mut out = plain.to_vec();
                let aad = Aad::from(store_key.as_bytes());
                gcm(secret)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut out).ok()?;
                Some([&nonce[..], &out].concat())
            }
            Self::AesCbc => {
                let iv: [u8; 16] = random()?;
                let key = PaddedBlockEncryptingKey::cbc_pkcs7(cbc(secret)?).ok()?;
                let mut out = plain.to_vec();
                key.less_safe_encrypt(&mut out, EncryptionContext::Iv128(FixedLength::from(iv))).ok()?;
                Some([&iv[..], &out].concat())
            }
            Self::Secretbox => {
                let nonce: [u8; 24] = random()?;
                let body = XSalsa20Poly1305::new_from_slice(secret).ok()?.encrypt(&nonce.into(), plain).ok()?;
                Some([&nonce[..], &body].concat())
            }
        }
    }

    fn open(self, secret: &[u8], sealed: &[u8], store_key: &str) -> Option<Vec<u8>> {
        match self {
            Self::AesGcm => {
                let (nonce, body) = sealed.split_first_chunk::<12>()?;
                let mut out = body.to_vec();
                let aad = Aad::from(store_key.as_bytes());
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let length = gcm(secret)?.open_in_place(nonce, aad, &mut out).ok()?.len();
                out.truncate(length);
                Some(out)
            }
            Self::AesCbc => {
                let (iv, body) = sealed.split_first_chunk::<16>()?;
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(cbc(secret)?).ok()?;
                let mut out = body.to_vec();
                let length = key.decrypt(&mut out, DecryptionContext::Iv128(FixedLength::from(*iv))).ok()?.len();
                out.truncate(length);
                Some(out)
            }
            Self::Secretbox => {
                let (nonce, body) = sealed.split_first_chunk::<24>()?;
                XSalsa20Poly1305::new_from_slice(secret).ok()?.decrypt(&(*nonce).into(), body).ok()
            }
        }
    }
}

fn gcm(secret: &[u8]) -> Option<LessSafeKey> {
    let algorithm = match secret.len() {
        16 => &aead::AES_128_GCM,
        24 => &aead::AES_192_GCM,
        _ => &aead::AES_256_GCM,
    };
    UnboundKey::new(algorithm, secret).ok().map(LessSafeKey::new)
}

fn cbc(secret: &[u8]) -> Option<cipher::UnboundCipherKey> {
    let algorithm = match secret.len() {
        16 => &cipher::AES_128,
        24 => &cipher::AES_192,
        _ => &cipher::AES_256,
    };
    cipher::UnboundCipherKey::new(algorithm, secret).ok()
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(cipher: Cipher, keys: &[(&str, u8, usize)]) -> Provider {
        let key = |(name, byte, length): &(&str, u8, usize)| Key {
            name: (*name).to_owned(),
            secret: vec![*byte; *length].into(),
        };
        Provider::Keyed { cipher, keys: keys.iter().map(key).collect() }
    }

    #[test]
    fn what_is_sealed_can_be_opened_and_nothing_else() {
        for (cipher, length, name) in [
            (Cipher::AesGcm, 16, "aesgcm"),
            (Cipher::AesGcm, 24, "aesgcm"),
            (Cipher::AesGcm, 32, "aesgcm"),
            (Cipher::AesCbc, 16, "aescbc"),
            (Cipher::AesCbc, 24, "aescbc"),
            (Cipher::AesCbc, 32, "aescbc"),
            (Cipher::Secretbox, 32, "secretbox"),
        ] {
            let providers = [keyed(cipher, &[("a", 1, length)]), Provider::Identity];
            let plain = br#"{"data":{"password":"c2VjcmV0"}}"#;
            let sealed = seal(&providers, plain, "/k").unwrap();
            assert!(sealed.starts_with(format!("k8s:enc:{name}:v1:a:").as_bytes()));
            assert!(!sealed.windows(8).any(|window| window == b"password"));
            assert_eq!(open(&providers, &sealed, "/k").unwrap(), plain);
            assert_eq!(open(&providers, plain, "/k").unwrap(), plain);
            assert_ne!(sealed, seal(&providers, plain, "/k").unwrap(), "no nonce twice");

            let rotated = [keyed(cipher, &[("b", 2, length), ("a", 1, length)])];
            assert_eq!(open(&rotated, &sealed, "/k").unwrap(), plain);
            assert!(is_current(&providers, &sealed) && !is_current(&rotated, &sealed));
            assert!(!is_current(&providers, plain));

            let mut damaged = sealed.clone();
            let last = damaged.len() - 20;
            damaged.truncate(last);
            assert!(open(&providers, &damaged, "/k").unwrap_err().contains("damaged"));
            let lost = [keyed(cipher, &[("c", 1, length)])];
            assert!(open(&lost, &sealed, "/k").unwrap_err().contains("no matching key"));
            assert!(open(&[Provider::Identity], &sealed, "/k").unwrap_err().contains("no matching prefix"));
            let moved = open(&providers, &sealed, "/other");
            assert_eq!(moved.is_err(), cipher == Cipher::AesGcm);
        }
    }

    #[test]
    fn the_formats_have_upstreams_lengths() {
        let secret = b"0123456789abcdef0123456789abcdef";
        let sealed = Cipher::AesCbc.seal(secret, b"0123456789abcdef", "").unwrap();
        assert_eq!(sealed.len(), 16 + 32);
        assert_eq!(Cipher::Secretbox.seal(secret, b"abc", "").unwrap().len(), 24 + 16 + 3);
        assert_eq!(Cipher::AesGcm.seal(secret, b"abc", "").unwrap().len(), 12 + 3 + 16);
    }
}
