//! What is to be known about an issuer, checked.

use std::collections::BTreeMap;

use api::quote::quote;
use api::validation::field::{Error, ErrorList, Path};
use jsonwebtoken::Algorithm;

use super::expressions::{Expression, ValidationRule};

/// The prefix that keeps users and groups of an issuer apart from the cluster's own, and the claim they are read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The claim's name.
    pub claim: String,
    /// What is put before its value.
    pub prefix: String,
}

/// An issuer of tokens, as `--oidc-…` flags or an AuthenticationConfiguration describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtIssuer {
    /// The issuer, an `https` URL.
    pub url: String,
    /// Where its discovery document lies, if not below the URL.
    pub discovery_url: Option<String>,
    /// Who vouches for it, PEM; else the machine's authorities do.
    pub certificate_authority: Option<String>,
    /// The audiences a token may be for; one is enough.
    pub audiences: Vec<String>,
    /// Where the user's name is read from.
    pub username: ClaimMapping,
    /// Where the user's groups are read from, if at all.
    pub groups: Option<ClaimMapping>,
    /// The claim that is the user's uid, if any.
    pub uid_claim: Option<String>,
    /// What the user's name is, in place of a claim.
    pub username_expression: Option<Expression>,
    /// What the user's groups are, in place of a claim.
    pub groups_expression: Option<Expression>,
    /// What the user's uid is, in place of a claim.
    pub uid_expression: Option<Expression>,
    /// Further attributes of the user.
    pub extra: Vec<(String, Expression)>,
    /// What else claims have to meet.
    pub claim_rules: Vec<ValidationRule>,
    /// What the user has to meet.
    pub user_rules: Vec<ValidationRule>,
    /// Claims that a token has to have, with these values.
    pub required_claims: BTreeMap<String, String>,
    /// What tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
}

/// A description that no issuer fits.
#[derive(Debug, thiserror::Error)]
pub enum JwtIssuerError {
    /// Fields have values of no use.
    #[error("{0}")]
    Invalid(ErrorList),
    /// An algorithm that is unknown, or not served.
    #[error(
        "tokens signed with {0:?} are not accepted; known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384"
    )]
    Algorithm(String),
}

impl JwtIssuer {
    /// Every algorithm of an asymmetric key that we verify.
    pub const ALGORITHMS: [Algorithm; 8] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
    ];

    /// An issuer by its URL and audience, everything else being as upstream's flags have it when they are not given: the
    /// user is `sub`, prefixed with the issuer, in no group; tokens are signed with RS256.
    pub fn new(url: &str, audience: &str) -> Self {
        Self {
            url: url.to_owned(),
            discovery_url: None,
            certificate_authority: None,
            audiences: vec![audience.to_owned()],
            username: ClaimMapping { claim: "sub".into(), prefix: format!("{url}#") },
            groups: None,
            uid_claim: None,
            username_expression: None,
            groups_expression: None,
            uid_expression: None,
            extra: Vec::new(),
            claim_rules: Vec::new(),
            user_rules: Vec::new(),
            required_claims: BTreeMap::new(),
            algorithms: vec![Algorithm::RS256],
        }
    }

    /// Whether the description can be used.
    pub fn check(&self) -> Result<(), JwtIssuerError> {
        let mut errors = ErrorList::new();
        self.validate(&Path::root("jwt").index(0).child("issuer"), &[], &mut errors);
        if errors.is_empty() { Ok(()) } else { Err(JwtIssuerError::Invalid(errors)) }
    }

    /// Complains of what cannot be used. Tokens of `own` issuers are the cluster's own.
    pub(in crate::authentication) fn validate(&self, path: &Path, own: &[String], errors: &mut ErrorList) {
        let at = path.child("url");
        if self.url.is_empty() {
            errors.push(Error::required(&at, ""));
        } else {
            if own.contains(&self.url) {
                let why = format!("URL must not overlap with disallowed issuers: [{}]", own.join(" "));
                errors.push(Error::invalid(&at, &*self.url, why));
            }
            check_url(&self.url, &at, errors);
        }
        if let Some(url) = &self.discovery_url {
            let at = path.child("discoveryURL");
            if !self.url.is_empty() && url.trim_end_matches('/') == self.url.trim_end_matches('/') {
                errors.push(Error::invalid(&at, &**url, "discoveryURL must be different from URL"));
            }
            check_url(url, &at, errors);
        }
        let at = path.child("audiences");
        if self.audiences.is_empty() {
            errors.push(Error::required(&at, format!("at least one {at} is required")));
        }
        for (n, audience) in self.audiences.iter().enumerate() {
            if audience.is_empty() {
                errors.push(Error::required(&at.index(n), ""));
            }
            if self.audiences[..n].contains(audience) {
                errors.push(Error::duplicate(&at.index(n), &**audience));
            }
        }
    }

    /// The algorithm of a name.
    pub fn algorithm(name: &str) -> Result<Algorithm, JwtIssuerError> {
        let found = Self::ALGORITHMS.into_iter().find(|known| format!("{known:?}") == name);
        found.ok_or_else(|| JwtIssuerError::Algorithm(name.to_owned()))
    }
}

fn check_url(url: &str, at: &Path, errors: &mut ErrorList) {
    // Fragments are no part of what a URI is to others.
    let (whole, fragment) = url.split_once('#').unwrap_or((url, ""));
    let parsed = match whole.parse::<http::Uri>() {
        Ok(parsed) => parsed,
        Err(error) => return errors.push(Error::invalid(at, url, format!("parse {}: {error}", quote(url)))),
    };
    let named = parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
    for (wrong, why) in [
        (parsed.scheme_str() != Some("https"), "URL scheme must be https"),
        (named, "URL must not contain a username or password"),
        (parsed.query().is_some_and(|query| !query.is_empty()), "URL must not contain a query"),
        (!fragment.is_empty(), "URL must not contain a fragment"),
    ] {
        if wrong {
            errors.push(Error::invalid(at, url, why));
        }
    }
}
