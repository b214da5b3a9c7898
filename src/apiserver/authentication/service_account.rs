//! Service-account tokens: what is in them, and whether it still holds.
//!
//! A token is good as long as what it is bound to lives: its service account, and the pod, secret or node it was made for.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, User};
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use watch_cache::Cache;

use super::{Authenticated, ServiceAccountKeys};

/// The issuer of tokens that are kept in Secrets.
pub(crate) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// How long a token outlives the deletion of the pod it is bound to.
const DELETION_LEEWAY_SECONDS: i64 = 60;

/// Verifies tokens against the keys and the live objects.
pub(crate) struct ServiceAccounts {
    pub(crate) keys: ServiceAccountKeys,
    pub(crate) issuer: String,
    /// The audiences of the API server itself; the first is given to tokens that ask for none.
    pub(crate) api_audiences: Vec<String>,
    pub(crate) accounts: Arc<Cache>,
    pub(crate) pods: Arc<Cache>,
    pub(crate) secrets: Arc<Cache>,
    pub(crate) nodes: Arc<Cache>,
}

/// The private claims of bound tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bound {
    #[serde(default)]
    pub namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    #[serde(default)]
    pub serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// A name, and the uid of the one object of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    #[serde(default)]
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    jti: String,
    #[serde(default, rename = "kubernetes.io")]
    bound: Option<Bound>,
    #[serde(default, rename = "kubernetes.io/serviceaccount/namespace")]
    legacy_namespace: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/secret.name")]
    legacy_secret: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.name")]
    legacy_name: String,
    #[serde(default, rename = "kubernetes.io/serviceaccount/service-account.uid")]
    legacy_uid: String,
}

/// One audience may stand without a list around it.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

impl Audience {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
            Self::None => Vec::new(),
        }
    }
}

impl ServiceAccounts {
    pub(crate) fn audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// Whose a token is, and for which of the asked audiences it speaks. The reason of a refusal is for the log.
    pub(super) fn authenticate(&self, token: &str, asked: &[String]) -> Result<Authenticated, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| "the token is of no known kind")?;
        let mut problem = "no key has signed the token".to_owned();
        for key in self.keys.candidates(header.kid.as_deref()) {
            let mut rules = Validation::new(key.algorithm);
            rules.leeway = 0;
            rules.validate_nbf = true;
            // Audiences are ours to compare, and the oldest tokens never expire.
            rules.validate_aud = false;
            rules.required_spec_claims.clear();
            match jsonwebtoken::decode::<Claims>(token, &key.key, &rules) {
                Ok(data) => return self.judge(data.claims, asked),
                Err(error) => problem = error.to_string(),
            }
        }
        Err(problem)
    }

    fn judge(&self, claims: Claims, asked: &[String]) -> Result<Authenticated, String> {
        let (namespace, reference, bound, audiences) = match &claims.bound {
            Some(bound) if claims.iss == self.issuer => {
                let audiences = claims.aud.list();
                (bound.namespace.clone(), bound.serviceaccount.clone(), Some(bound.clone()), audiences)
            }
            None if claims.iss == LEGACY_ISSUER => {
                let reference = Reference { name: claims.legacy_name, uid: claims.legacy_uid };
                let secret = Reference { name: claims.legacy_secret, uid: String::new() };
                let bound = Bound { secret: Some(secret), ..Bound::default() };
                (claims.legacy_namespace, reference, Some(bound), self.api_audiences.clone())
            }
            _ => return Err("the token has another issuer".into()),
        };
        if claims.sub != format!("system:serviceaccount:{namespace}:{}", reference.name) {
            return Err("the token's subject is not its service account".into());
        }
        let shared: Vec<String> = asked.iter().filter(|a| audiences.contains(a)).cloned().collect();
        if shared.is_empty() {
            return Err(format!("token audiences {audiences:?} is invalid for the target audiences {asked:?}"));
        }
        let account = live(&self.accounts, &namespace, &reference, "service account")?;
        let mut user = User::service_account(&namespace, &reference.name);
        user.uid = account.meta.uid.to_string();
        if !claims.jti.is_empty() {
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={}", claims.jti)]);
        }
        if let Some(bound) = &bound {
            self.check_bindings(&namespace, bound)?;
            user.extra.extend(extra(bound));
        }
        Ok(Authenticated { user, audiences: shared })
    }

    fn check_bindings(&self, namespace: &str, bound: &Bound) -> Result<(), String> {
        if let Some(secret) = &bound.secret {
            live(&self.secrets, namespace, secret, "secret")?;
        }
        match (&bound.pod, &bound.node) {
            (Some(pod), _) => live(&self.pods, namespace, pod, "pod").map(drop),
            (None, Some(node)) => live(&self.nodes, "", node, "node").map(drop),
            (None, None) => Ok(()),
        }
    }
}

/// The object a token is bound to, unless it is gone, another one now, or long on its way out.
fn live(cache: &Cache, namespace: &str, reference: &Reference, what: &str) -> Result<Arc<Object>, String> {
    let object = cache.get(namespace, &reference.name).ok_or_else(|| format!("the token's {what} is gone"))?;
    if !reference.uid.is_empty() && *object.meta.uid != *reference.uid {
        return Err(format!("the token's {what} is another one now"));
    }
    let now = jiff::Timestamp::now().as_second();
    if object.meta.deletion_timestamp.is_some_and(|at| at.as_second() + DELETION_LEEWAY_SECONDS < now) {
        return Err(format!("the token's {what} has been deleted"));
    }
    Ok(object)
}

fn extra(bound: &Bound) -> BTreeMap<String, Vec<String>> {
    let mut extra = BTreeMap::new();
    for (what, reference) in [("pod", &bound.pod), ("node", &bound.node)] {
        if let Some(reference) = reference {
            extra.insert(format!("authentication.kubernetes.io/{what}-name"), vec![reference.name.clone()]);
            if !reference.uid.is_empty() {
                extra.insert(format!("authentication.kubernetes.io/{what}-uid"), vec![reference.uid.clone()]);
            }
        }
    }
    extra
}
