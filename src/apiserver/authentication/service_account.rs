//! Service-account tokens: what is in them, and whether it still holds.
//!
//! A token is good as long as what it is bound to lives: its service account, and the pod, secret or node it was made for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::quote::quote;
use api::{Object, User};
use base64::Engine;
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::{Deserialize, Serialize};
use watch_cache::Cache;

use super::oidc::claimed_issuer;
use super::{Authenticated, ServiceAccountKeys, UNKNOWN_TOKEN};
use crate::digest_cache::{DigestCache, LONGEST};

/// The issuer of tokens that are kept in Secrets.
pub(crate) const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Marks a Secret whose token nobody has used for long.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Of a token whose object is gone.
const INVALIDATED: &str = "service account token has been invalidated";
/// How long a token outlives the deletion of the pod it is bound to.
const DELETION_LEEWAY_SECONDS: i64 = 60;
/// How long a signature is not verified again.
const REMEMBERED: Duration = Duration::from_secs(600);

/// Verifies tokens against the keys and the live objects.
pub(crate) struct ServiceAccounts {
    pub(crate) keys: Arc<ServiceAccountKeys>,
    /// The first is that of new tokens; tokens of the others are still good.
    pub(crate) issuers: Vec<String>,
    /// The audiences of the API server itself; the first is given to tokens that ask for none.
    pub(crate) api_audiences: Vec<String>,
    pub(crate) accounts: Arc<Cache>,
    pub(crate) pods: Arc<Cache>,
    pub(crate) secrets: Arc<Cache>,
    pub(crate) nodes: Arc<Cache>,
    pub(crate) limits: TokenLimits,
    /// Where uses of tokens that are kept in Secrets are reported.
    pub(crate) uses: super::legacy_tokens::Uses,
    /// Tokens whose signature was verified, and who each user is.
    pub(crate) verified: DigestCache<Arc<Verified>>,
}

/// How long tokens live.
#[derive(Clone, Copy, Debug)]
pub struct TokenLimits {
    /// The longest life somebody may ask for; longer ones are cut down to it.
    pub longest: Option<Duration>,
    /// Whether a pod's own token outlives its time by a year, for clients that never read it again.
    pub extend: bool,
}

impl Default for TokenLimits {
    fn default() -> Self {
        Self { longest: None, extend: true }
    }
}

/// What a token says that one of our keys has signed; and the user made of it, which is the same as long as the token holds.
pub(crate) struct Verified {
    claims: Claims,
    user: std::sync::OnceLock<Arc<User>>,
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
    exp: Option<i64>,
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

#[derive(Deserialize)]
struct SecretData {
    data: TokenData,
}

#[derive(Deserialize)]
struct TokenData {
    #[serde(default)]
    token: String,
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
    fn list(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
            Self::None => &[],
        }
    }
}

impl ServiceAccounts {
    pub(crate) fn audiences(&self) -> &[String] {
        &self.api_audiences
    }

    /// The issuer of new tokens.
    pub(crate) fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// Whose a token is, and for which of the asked audiences it speaks. The reason of a refusal is for the log.
    ///
    /// A signature is verified once; what the token is bound to is looked at every time.
    pub(super) fn authenticate(&self, token: &str, asked: &[String]) -> Result<Authenticated, String> {
        let digest = self.verified.digest(token, &[]);
        let verified = match self.verified.get(&digest) {
            Some(verified) => verified,
            None => {
                let claims = self.verify(token)?;
                let left = claims.exp.map_or(i64::MAX, |until| until - jiff::Timestamp::now().as_second());
                let life = Duration::from_secs(u64::try_from(left).unwrap_or(0)).min(REMEMBERED);
                let verified = Arc::new(Verified { claims, user: std::sync::OnceLock::new() });
                // Tokens may name thousands of audiences. Those are verified every time.
                if token.len() <= LONGEST {
                    self.verified.put(digest, verified.clone(), life);
                }
                verified
            }
        };
        self.judge(&verified, token, asked)
    }

    fn verify(&self, token: &str) -> Result<Claims, String> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| UNKNOWN_TOKEN)?;
        let issuer = claimed_issuer(token).unwrap_or_default();
        if issuer != LEGACY_ISSUER && !self.issuers.contains(&issuer) {
            return Err(UNKNOWN_TOKEN.into());
        }
        let mut problem = "invalid signature, no keys found".to_owned();
        for key in self.keys.candidates(header.kid.as_deref()) {
            let mut rules = Validation::new(key.algorithm);
            rules.leeway = 0;
            rules.validate_nbf = true;
            // Audiences are ours to compare, and the oldest tokens never expire.
            rules.validate_aud = false;
            rules.required_spec_claims.clear();
            match jsonwebtoken::decode::<Claims>(token, &key.key, &rules) {
                Ok(data) => return Ok(data.claims),
                Err(error) => problem = refusal(&error),
            }
        }
        Err(problem)
    }

    fn judge(&self, verified: &Verified, token: &str, asked: &[String]) -> Result<Authenticated, String> {
        let claims = &verified.claims;
        let (namespace, name, uid, audiences) = match &claims.bound {
            Some(bound) if self.issuers.contains(&claims.iss) => {
                let account = &bound.serviceaccount;
                (&*bound.namespace, &*account.name, &*account.uid, claims.aud.list())
            }
            None if claims.iss == LEGACY_ISSUER => {
                self.check_copy(claims, token)?;
                (&*claims.legacy_namespace, &*claims.legacy_name, &*claims.legacy_uid, &*self.api_audiences)
            }
            _ => return Err(UNKNOWN_TOKEN.into()),
        };
        let subject = claims.sub.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        if subject != Some((namespace, name)) {
            return Err("the token's subject is not its service account".into());
        }
        let shared: Vec<String> = asked.iter().filter(|a| audiences.contains(a)).cloned().collect();
        if shared.is_empty() {
            let quoted = |audiences: &[String]| audiences.iter().map(|a| quote(a)).collect::<Vec<_>>().join(" ");
            let (audiences, asked) = (quoted(audiences), quoted(asked));
            return Err(format!("token audiences [{audiences}] is invalid for the target audiences [{asked}]"));
        }
        let account = self.accounts.get(namespace, name);
        let account = account.ok_or_else(|| format!("serviceaccounts {} not found", quote(name)))?;
        if !uid.is_empty() && *account.meta.uid != *uid {
            return Err(format!("service account UID ({}) does not match claim ({uid})", account.meta.uid));
        }
        check_live(&account)?;
        if let Some(bound) = &claims.bound {
            self.check_bindings(namespace, bound)?;
        }
        let known = verified.user.get().filter(|user| *user.uid == *account.meta.uid);
        let user = known.cloned().unwrap_or_else(|| {
            let user = Arc::new(self.user(claims, namespace, name, &account));
            // Whoever was first was right: an account of another uid passes no token that names one.
            let _ = verified.user.set(user.clone());
            user
        });
        Ok(Authenticated { user, audiences: shared })
    }

    fn user(&self, claims: &Claims, namespace: &str, name: &str, account: &Object) -> User {
        let mut user = User::service_account(namespace, name);
        user.uid = account.meta.uid.to_string();
        if !claims.jti.is_empty() {
            let id = vec![format!("JTI={}", claims.jti)];
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), id);
        }
        if let Some(bound) = &claims.bound {
            user.extra.extend(extra(bound));
        }
        user
    }

    /// Whether a Secret still holds the token, and nobody has marked it as invalid.
    fn check_copy(&self, claims: &Claims, token: &str) -> Result<(), String> {
        let (namespace, account, name) = (&claims.legacy_namespace, &claims.legacy_name, &claims.legacy_secret);
        let secret = self.secrets.get(namespace, name).filter(|secret| !secret.meta.is_deleting());
        let secret = secret.ok_or("Token has been invalidated")?;
        let data: SecretData = secret.view().map_err(|_| "the token's Secret cannot be read")?;
        let kept = base64::engine::general_purpose::STANDARD.decode(data.data.token).unwrap_or_default();
        if aws_lc_rs::constant_time::verify_slices_are_equal(&kept, token.as_bytes()).is_err() {
            return Err("Token does not match server's copy".into());
        }
        if secret.meta.labels.get(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
            return Err(format!(
                "the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            ));
        }
        self.uses.report(&secret);
        Ok(())
    }

    fn check_bindings(&self, namespace: &str, bound: &Bound) -> Result<(), String> {
        if let Some(secret) = &bound.secret {
            check_bound(&self.secrets, namespace, secret)?;
        }
        match (&bound.pod, &bound.node) {
            (Some(pod), _) => check_bound(&self.pods, namespace, pod),
            (None, Some(node)) => check_bound(&self.nodes, "", node),
            (None, None) => Ok(()),
        }
    }
}

/// What a token is bound to is there, and no other one of the name.
fn check_bound(cache: &Cache, namespace: &str, to: &Reference) -> Result<(), String> {
    let object = cache.get(namespace, &to.name).ok_or(INVALIDATED)?;
    if !to.uid.is_empty() && *object.meta.uid != *to.uid {
        return Err(INVALIDATED.into());
    }
    check_live(&object)
}

/// It is not long on its way out.
fn check_live(object: &Object) -> Result<(), String> {
    let now = jiff::Timestamp::now().as_second();
    match object.meta.deletion_timestamp {
        Some(at) if at.as_second() + DELETION_LEEWAY_SECONDS < now => Err(INVALIDATED.into()),
        _ => Ok(()),
    }
}

/// Why a token that one of the keys could have signed is none.
fn refusal(error: &jsonwebtoken::errors::Error) -> String {
    match error.kind() {
        ErrorKind::ExpiredSignature => "service account token has expired".into(),
        ErrorKind::ImmatureSignature => "service account token is not valid yet".into(),
        ErrorKind::InvalidSignature => "go-jose/go-jose: error in cryptographic primitive".into(),
        _ => error.to_string(),
    }
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
