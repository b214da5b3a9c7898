//! What the API server is told about authentication: by flags, or by the file of `--authentication-config`.

use api::validation::domain_prefixed_path;
use api::validation::field::{Error, ErrorList, Path};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::oidc::{ClaimMapping, Expression, JwtIssuer, ValidationRule};
use super::{TokenFile, TokenWebhook};
use crate::trust;

/// Everything beside certificates and service accounts.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// Whether requests without credentials are somebody (`system:anonymous`).
    pub anonymous: Anonymous,
    /// Tokens an administrator wrote down.
    pub static_tokens: TokenFile,
    /// What front proxies say, and who they are.
    pub request_headers: RequestHeaders,
    /// Issuers whose tokens are good.
    pub issuers: Vec<JwtIssuer>,
    /// Who is asked about tokens that nobody here knows.
    pub webhook: Option<TokenWebhook>,
}

/// Where requests without credentials are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// Everywhere.
    #[default]
    Everywhere,
    /// At these paths alone.
    At(Vec<String>),
    /// Nowhere.
    Nowhere,
}

impl Anonymous {
    pub(super) fn lets_in(&self, path: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::At(paths) => paths.iter().any(|known| known == path),
            Self::Nowhere => false,
        }
    }
}

/// The headers in which front proxies say who the user is. Names are in lower case; the first that is there counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeaders {
    /// Of the user's name.
    pub username: Vec<String>,
    /// Of the user's uid.
    pub uid: Vec<String>,
    /// Of the user's groups, each in a header of its own; all of them count.
    pub groups: Vec<String>,
    /// The beginnings of headers with further attributes.
    pub extra_prefixes: Vec<String>,
    /// Common names of front proxies; empty for any that the front-proxy CA signed.
    pub allowed_names: Vec<String>,
}

impl Default for RequestHeaders {
    fn default() -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            username: one("x-remote-user"),
            uid: one("x-remote-uid"),
            groups: one("x-remote-group"),
            extra_prefixes: one("x-remote-extra-"),
            allowed_names: Vec::new(),
        }
    }
}

/// An AuthenticationConfiguration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationConfigError {
    /// It is no such document.
    #[error("it is no AuthenticationConfiguration: {0}")]
    Unreadable(String),
    /// Fields have values of no use.
    #[error("invalid authentication configuration: {0}")]
    Invalid(ErrorList),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    jwt: Vec<Jwt>,
    anonymous: Option<AnonymousConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnonymousConfig {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all(serialize = "PascalCase"))]
struct Condition {
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Jwt {
    #[serde(default)]
    issuer: IssuerConfig,
    #[serde(default)]
    claim_validation_rules: Vec<ClaimRule>,
    #[serde(default)]
    claim_mappings: Mappings,
    #[serde(default)]
    user_validation_rules: Vec<UserRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct IssuerConfig {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: Option<String>,
    certificate_authority: Option<String>,
    audiences: Vec<String>,
    audience_match_policy: String,
    egress_selector_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct ClaimRule {
    claim: String,
    required_value: String,
    expression: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mappings {
    username: Mapping,
    groups: Mapping,
    uid: ClaimOrExpression,
    extra: Vec<Extra>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extra {
    key: String,
    #[serde(default)]
    value_expression: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserRule {
    #[serde(default)]
    expression: String,
    #[serde(default)]
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Mapping {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClaimOrExpression {
    claim: String,
    expression: String,
}

impl Authentication {
    /// Takes over a file of `--authentication-config`, YAML or JSON. Tokens of `own` issuers are the cluster's own.
    pub fn read(&mut self, text: &str, own: &[String]) -> Result<(), AuthenticationConfigError> {
        let document: Document =
            serde_saphyr::from_str(text).map_err(|error| AuthenticationConfigError::Unreadable(error.to_string()))?;
        let versions = ["v1", "v1beta1", "v1alpha1"].map(|version| format!("apiserver.config.k8s.io/{version}"));
        if document.kind != "AuthenticationConfiguration" || !versions.contains(&document.api_version) {
            let what = format!("{}, kind {}", document.api_version, document.kind);
            return Err(AuthenticationConfigError::Unreadable(what));
        }
        let mut errors = ErrorList::new();
        self.issuers.clear();
        for (at, jwt) in document.jwt.into_iter().enumerate() {
            let path = Path::root("jwt").index(at);
            let read = issuer(jwt, &path, own, &mut errors);
            let path = path.child("issuer");
            if self.issuers.iter().any(|other| other.url == read.url) {
                errors.push(Error::duplicate(&path.child("url"), &*read.url));
            }
            if let Some(url) = &read.discovery_url
                && self.issuers.iter().any(|other| other.discovery_url.as_ref() == Some(url))
            {
                errors.push(Error::duplicate(&path.child("discoveryURL"), &**url));
            }
            self.issuers.push(read);
        }
        if let Some(anonymous) = document.anonymous {
            if !anonymous.enabled && !anonymous.conditions.is_empty() {
                let why = "enabled should be set to true when conditions are defined";
                errors.push(Error::invalid(&Path::root("anonymous.conditions"), json!(anonymous.conditions), why));
            }
            self.anonymous = match anonymous.conditions {
                _ if !anonymous.enabled => Anonymous::Nowhere,
                conditions if conditions.is_empty() => Anonymous::Everywhere,
                conditions => Anonymous::At(conditions.into_iter().map(|condition| condition.path).collect()),
            };
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(AuthenticationConfigError::Invalid(errors))
    }
}

fn issuer(jwt: Jwt, path: &Path, own: &[String], errors: &mut ErrorList) -> JwtIssuer {
    let mut issuer = JwtIssuer {
        discovery_url: jwt.issuer.discovery_url.filter(|url| !url.is_empty()),
        certificate_authority: jwt.issuer.certificate_authority.filter(|pem| !pem.is_empty()),
        audiences: jwt.issuer.audiences,
        algorithms: JwtIssuer::ALGORITHMS.to_vec(),
        ..JwtIssuer::new(&jwt.issuer.url, "")
    };
    let at = path.child("issuer");
    issuer.validate(&at, own, errors);
    let policy = jwt.issuer.audience_match_policy;
    let why = match issuer.audiences.len() {
        0 => None,
        1 => Some("audienceMatchPolicy must be empty or MatchAny for single audience").filter(|_| !policy.is_empty()),
        _ => Some("audienceMatchPolicy must be MatchAny for multiple audiences"),
    };
    if let Some(why) = why.filter(|_| policy != "MatchAny") {
        errors.push(Error::invalid(&at.child("audienceMatchPolicy"), policy, why));
    }
    if let Some(pem) = &issuer.certificate_authority
        && trust::check_bundle(pem.as_bytes()).is_err()
    {
        let why = "data does not contain any valid RSA or ECDSA certificates";
        errors.push(Error::invalid(&at.child("certificateAuthority"), "<omitted>", why));
    }
    match &*jwt.issuer.egress_selector_type {
        "" => {}
        known @ ("controlplane" | "cluster") => {
            let why = format!("there is no egress selector {known} here");
            errors.push(Error::forbidden(&at.child("egressSelectorType"), why));
        }
        other => {
            let why = "egress selector must be either controlplane or cluster";
            errors.push(Error::invalid(&at.child("egressSelectorType"), other, why));
        }
    }
    for (n, rule) in jwt.claim_validation_rules.into_iter().enumerate() {
        claim_rule(rule, &path.child("claimValidationRules").index(n), &mut issuer, errors);
    }
    mappings(jwt.claim_mappings, &path.child("claimMappings"), &mut issuer, errors);
    for (n, rule) in jwt.user_validation_rules.into_iter().enumerate() {
        let at = path.child("userValidationRules").index(n).child("expression");
        if rule.expression.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if issuer.user_rules.iter().any(|known| known.condition.source() == rule.expression) {
            errors.push(Error::duplicate(&at, rule.expression));
        } else if let Some(condition) = compiled(Expression::condition_of_user, &rule.expression, &at, errors) {
            issuer.user_rules.push(ValidationRule { condition, message: rule.message });
        }
    }
    issuer
}

fn claim_rule(rule: ClaimRule, path: &Path, issuer: &mut JwtIssuer, errors: &mut ErrorList) {
    match (rule.claim.is_empty(), rule.expression.is_empty()) {
        (false, false) => errors.push(Error::invalid(path, rule.claim, "claim and expression can't both be set")),
        (true, true) => errors.push(Error::required(path, "claim or expression is required")),
        (false, true) if !rule.message.is_empty() => {
            let why = "may not be specified when claim is set";
            errors.push(Error::invalid(&path.child("message"), rule.message, why));
        }
        (false, true) => {
            if issuer.required_claims.insert(rule.claim.clone(), rule.required_value).is_some() {
                errors.push(Error::duplicate(&path.child("claim"), rule.claim));
            }
        }
        (true, false) if !rule.required_value.is_empty() => {
            let why = "may not be specified when expression is set";
            errors.push(Error::invalid(&path.child("requiredValue"), rule.required_value, why));
        }
        (true, false) if issuer.claim_rules.iter().any(|known| known.condition.source() == rule.expression) => {
            errors.push(Error::duplicate(&path.child("expression"), rule.expression));
        }
        (true, false) => {
            let condition =
                compiled(Expression::condition_of_claims, &rule.expression, &path.child("expression"), errors);
            let rule = condition.map(|condition| ValidationRule { condition, message: rule.message });
            issuer.claim_rules.extend(rule);
        }
    }
}

fn mappings(given: Mappings, path: &Path, issuer: &mut JwtIssuer, errors: &mut ErrorList) {
    if given.username.claim.is_empty() && given.username.expression.is_empty() {
        errors.push(Error::required(&path.child("username"), "claim or expression is required"));
    }
    let (claim, expression) = mapping(given.username, &path.child("username"), errors);
    issuer.username = claim.unwrap_or_default();
    issuer.username_expression = expression;
    (issuer.groups, issuer.groups_expression) = mapping(given.groups, &path.child("groups"), errors);
    let (at, ClaimOrExpression { claim, expression }) = (path.child("uid"), given.uid);
    match (claim.is_empty(), expression.is_empty()) {
        (false, false) => errors.push(Error::invalid(&at, "", "claim and expression can't both be set")),
        (true, false) => {
            issuer.uid_expression = compiled(Expression::of_claims, &expression, &at.child("expression"), errors);
        }
        (false, true) => issuer.uid_claim = Some(claim),
        (true, true) => {}
    }
    for (n, extra) in given.extra.into_iter().enumerate() {
        let path = path.child("extra").index(n);
        let domain = extra.key.split_once('/').map(|(domain, _)| domain);
        errors.extend(domain_prefixed_path(&path.child("key"), &extra.key));
        if extra.key != extra.key.to_lowercase() {
            errors.push(Error::invalid(&path.child("key"), &*extra.key, "must be lowercase"));
        }
        let reserved = |root: &str| domain.is_some_and(|d| d == root || d.ends_with(&format!(".{root}")));
        if reserved("kubernetes.io") || reserved("k8s.io") {
            let why = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use";
            errors.push(Error::invalid(&path.child("key"), &*extra.key, why));
        }
        if issuer.extra.iter().any(|(key, _)| *key == extra.key) {
            errors.push(Error::duplicate(&path.child("key"), &*extra.key));
            continue;
        }
        let at = path.child("valueExpression");
        if extra.value_expression.is_empty() {
            errors.push(Error::required(&at, ""));
        } else if let Some(expression) = compiled(Expression::of_claims, &extra.value_expression, &at, errors) {
            issuer.extra.push((extra.key, expression));
        }
    }
    let reads_email = issuer.username_expression.as_ref().is_some_and(|expression| expression.reads("email"));
    let others = issuer.extra.iter().map(|(_, expression)| expression);
    let all = others.chain(&issuer.username_expression).chain(issuer.claim_rules.iter().map(|rule| &rule.condition));
    if reads_email && !all.into_iter().any(|expression| expression.reads("email_verified")) {
        let why = "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression";
        let source = issuer.username_expression.as_ref().map(Expression::source).unwrap_or_default();
        errors.push(Error::invalid(&path.child("username").child("expression"), source, why));
    }
}

/// An expression, or a complaint.
fn compiled(
    compile: fn(&str) -> Result<Expression, String>,
    source: &str,
    path: &Path,
    errors: &mut ErrorList,
) -> Option<Expression> {
    compile(source).map_err(|why| errors.push(Error::invalid(path, source, why))).ok()
}

fn mapping(given: Mapping, path: &Path, errors: &mut ErrorList) -> (Option<ClaimMapping>, Option<Expression>) {
    if !given.expression.is_empty() {
        if !given.claim.is_empty() {
            errors.push(Error::invalid(path, "", "claim and expression can't both be set"));
            return (None, None);
        }
        if let Some(prefix) = given.prefix {
            errors.push(Error::invalid(&path.child("prefix"), prefix, "may not be specified when expression is set"));
        }
        return (None, compiled(Expression::of_claims, &given.expression, &path.child("expression"), errors));
    }
    if given.claim.is_empty() {
        return (None, None);
    }
    if given.prefix.is_none() {
        let why = "prefix is required when claim is set. It can be set to an empty string to disable prefixing";
        errors.push(Error::required(&path.child("prefix"), why));
    }
    (Some(ClaimMapping { claim: given.claim, prefix: given.prefix.unwrap_or_default() }), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://a.example
    audiences: [one, two]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - claim: hd
    requiredValue: x
  claimMappings:
    username: {claim: email, prefix: ""}
    groups: {claim: groups, prefix: "a:"}
    uid: {claim: oid}
- issuer: {url: https://b.example, audiences: [b]}
  claimMappings:
    username: {claim: sub, prefix: "b:"}
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}]
"#;

    #[test]
    fn a_file_names_issuers_and_open_paths() {
        let mut read = Authentication::default();
        read.read(GOOD, &[]).unwrap();
        assert_eq!(read.anonymous, Anonymous::At(vec!["/livez".into(), "/readyz".into()]));
        assert!(read.anonymous.lets_in("/livez") && !read.anonymous.lets_in("/livez/ping"));
        let [a, b] = read.issuers.as_slice() else { panic!("{:?}", read.issuers) };
        assert_eq!((&*a.username.claim, a.audiences.len(), a.uid_claim.as_deref()), ("email", 2, Some("oid")));
        assert_eq!((&*b.url, &*b.username.prefix, &b.groups), ("https://b.example", "b:", &None));
    }

    #[test]
    fn expressions_make_users() {
        let text = r#"
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer: {url: https://a.example, audiences: [a]}
  claimValidationRules:
  - expression: "claims.level >= 2"
    message: "too low"
  claimMappings:
    username: {expression: "'a:' + claims.sub"}
    groups: {expression: "claims.roles.split(',')"}
    extra: [{key: "a.example/team", valueExpression: "claims.?team.orValue('')"}]
  userValidationRules:
  - expression: "!user.username.startsWith('a:system:')"
    message: "reserved"
"#;
        let mut read = Authentication::default();
        read.read(text, &[]).unwrap();
        let check = |claims: serde_json::Value, expect: Result<&str, &str>| {
            let seen = read.issuers[0].user(claims.as_object().unwrap());
            match (seen, expect) {
                (Ok(user), Ok(expect)) => {
                    assert_eq!(format!("{} {:?} {:?}", user.name, user.groups, user.extra), expect)
                }
                (Err(why), Err(expect)) => assert!(why.contains(expect), "{why}"),
                (seen, expect) => panic!("{seen:?} instead of {expect:?}"),
            }
        };
        let claims =
            |sub: &str, level: i64| serde_json::json!({"sub": sub, "roles": "x,y", "level": level, "team": "t"});
        check(claims("jane", 2), Ok(r#"a:jane ["x", "y"] {"a.example/team": ["t"]}"#));
        check(claims("jane", 1), Err("validation expression 'claims.level >= 2' failed: too low"));
        check(claims("system:x", 2), Err("failed: reserved"));
        check(serde_json::json!({"sub": "jane", "level": 2}), Err("oidc: error evaluating group claim expression"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let check = |from: &str, to: &str, expect: &str| {
            assert!(GOOD.contains(from), "{from}");
            let error = Authentication::default().read(&GOOD.replace(from, to), &["https://own".into()]).unwrap_err();
            assert!(error.to_string().contains(expect), "{error}");
        };
        check("kind: Auth", "kind: X", "no AuthenticationConfiguration");
        check("anonymous:", "nonsense:", "nonsense");
        check("https://b.example", "https://a.example", "jwt[1].issuer.url: Duplicate");
        check("https://b.example", "https://own", "URL must not overlap with disallowed issuers: [https://own]");
        check(
            "https://b.example",
            "http://b.example",
            r#"jwt[1].issuer.url: Invalid value: "http://b.example": URL scheme"#,
        );
        check("https://b.example", "https://b.example?a=b", "URL must not contain a query");
        check("url: https://b.example", "url: ''", "jwt[1].issuer.url: Required value");
        check("audiences: [b]", "audiences: []", "at least one jwt[1].issuer.audiences is required");
        check(
            "audiences: [b]",
            "audiences: [b], audienceMatchPolicy: All",
            "must be empty or MatchAny for single audience",
        );
        check(
            "audiences: [b]",
            "audiences: [b], certificateAuthority: x",
            r#"Invalid value: "<omitted>": data does not"#,
        );
        check(
            "audiences: [one, two]",
            "audiences: [one, one]",
            r#"jwt[0].issuer.audiences[1]: Duplicate value: "one""#,
        );
        check("    audienceMatchPolicy: MatchAny\n", "", "must be MatchAny");
        check(r#"{claim: sub, prefix: "b:"}"#, "{claim: sub}", "prefix is required");
        check(r#"{claim: sub, prefix: "b:"}"#, "{expression: claims.}", "compilation failed");
        check(r#"{claim: sub, prefix: "b:"}"#, "{expression: claims.email}", "claims.email_verified must be used");
        let refused =
            r#"anonymous.conditions: Invalid value: [{"Path":"/livez"},{"Path":"/readyz"}]: enabled should be set"#;
        check("enabled: true", "enabled: false", refused);
        check(
            r#"{claim: sub, prefix: "b:"}"#,
            "{}",
            "jwt[1].claimMappings.username: Required value: claim or expression",
        );
        check(
            r#"{claim: sub, prefix: "b:"}"#,
            "{claim: sub, expression: claims.sub}",
            "claim and expression can't both be set",
        );
        check(
            r#"{claim: sub, prefix: "b:"}"#,
            "{expression: claims.sub, prefix: ''}",
            "may not be specified when expression is set",
        );
    }
}
