//! Who this server is to those it passes requests on to: a front proxy, whose word about users they believe.

use std::sync::Arc;

use api::User;
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::proxy::Connections;
use crate::trust::{self, Trust, TrustError};

/// The certificate by which aggregated API servers know this one; replaced when it is renewed.
#[derive(Debug)]
pub struct FrontProxyIdentity(ArcSwap<Shown>);

/// What is shown now.
pub(super) struct Shown {
    chain: Vec<u8>,
    key: Vec<u8>,
    /// To whoever answers: for questions to which nobody can give a harmful answer.
    pub(super) blind: Connections,
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shown")
    }
}

impl FrontProxyIdentity {
    /// A certificate chain and its key, PEM.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, TrustError> {
        Ok(Self(ArcSwap::from_pointee(Shown::new(chain, key)?)))
    }

    /// Shows another from now on.
    pub fn replace(&self, chain: &str, key: &str) -> Result<(), TrustError> {
        self.0.store(Arc::new(Shown::new(chain, key)?));
        Ok(())
    }

    /// Nothing to show.
    pub(super) fn none() -> Result<Self, TrustError> {
        Self::from_pem("", "")
    }

    pub(super) fn shown(&self) -> Arc<Shown> {
        self.0.load_full()
    }
}

impl Shown {
    fn new(chain: &str, key: &str) -> Result<Self, TrustError> {
        let (chain, key) = (chain.as_bytes().to_vec(), key.as_bytes().to_vec());
        let pair = (!chain.is_empty()).then_some((&*chain, &*key));
        let blind = Connections::new(Arc::new(trust::client_config(Trust::Anyone, pair)?), None);
        Ok(Self { chain, key, blind })
    }

    pub(super) fn pair(&self) -> Option<(&[u8], &[u8])> {
        (!self.chain.is_empty()).then_some((&*self.chain, &*self.key))
    }
}

/// The headers that say who a user is.
pub(super) fn headers(user: &User) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, value: &str| {
        // What is no header cannot be said; names that come from certificates and tokens are checked before.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    add(HeaderName::from_static("x-remote-user"), &user.name);
    if !user.uid.is_empty() {
        add(HeaderName::from_static("x-remote-uid"), &user.uid);
    }
    for group in &user.groups {
        add(HeaderName::from_static("x-remote-group"), group);
    }
    for (key, values) in &user.extra {
        let Ok(name) = HeaderName::from_bytes(format!("x-remote-extra-{}", escaped(key)).as_bytes()) else { continue };
        values.iter().for_each(|value| add(name.clone(), value));
    }
    headers
}

/// What a header's name may not hold is percent-encoded.
fn escaped(key: &str) -> String {
    let mut out = String::with_capacity(key.len());
    for byte in key.bytes() {
        // `%` itself, too: it begins an escape.
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_in_headers() {
        let mut user = User::new("alice", ["devs"]);
        user.uid = "u".into();
        user.extra.insert("example.com/scopes".into(), vec!["a".into(), "b".into()]);
        let headers = headers(&user);
        let all = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("x-remote-user"), ["alice"]);
        assert_eq!(all("x-remote-uid"), ["u"]);
        assert_eq!(all("x-remote-group"), ["devs", "system:authenticated"]);
        assert_eq!(all("x-remote-extra-example.com%2Fscopes"), ["a", "b"]);
    }
}
