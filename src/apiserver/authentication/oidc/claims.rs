//! From claims to a user.

use api::User;
use api::quote::json_type;
use serde_json::{Map, Value};

use super::config::{ClaimMapping, JwtIssuer};
use super::expressions;

type Claims = Map<String, Value>;

impl JwtIssuer {
    /// The user whom verified claims describe; why nobody otherwise, in upstream's words.
    pub(in crate::authentication) fn user(&self, claims: &Claims) -> Result<User, String> {
        // Only expressions need the claims as one tree.
        let tree = if self.has_expressions() { expressions::tree(claims) } else { Value::Null };
        let mut user = User { name: self.name(claims, &tree)?, ..User::default() };
        user.groups = match (&self.groups, &self.groups_expression) {
            (Some(mapping), _) => groups(mapping, claims)?,
            (None, Some(expression)) => {
                let failed = |why: &str| format!("oidc: error evaluating group claim expression: {why}");
                expression.texts(&tree).map_err(|why| failed(&why))?.map_err(failed)?
            }
            (None, None) => Vec::new(),
        };
        user.uid = match (&self.uid_claim, &self.uid_expression) {
            (Some(claim), _) => {
                text(claims, claim).map_err(|why| format!("oidc: parse uid claim {claim:?}: {why}"))?.to_owned()
            }
            (None, Some(expression)) => expression.text(&tree, "uid")?,
            (None, None) => String::new(),
        };
        if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]);
        }
        for (key, expression) in &self.extra {
            let failed = |why: &str| format!("oidc: error evaluating extra claim expression: {why}");
            let values = expression.texts(&tree).map_err(|why| failed(&why))?;
            let values = values.map_err(|why| failed(&format!("{}: {why}", expression.source())))?;
            if !values.is_empty() {
                user.extra.insert(key.clone(), values);
            }
        }
        for (claim, wanted) in &self.required_claims {
            if !claims.contains_key(claim) {
                return Err(format!("oidc: required claim {claim} not present in ID token"));
            }
            let found = text(claims, claim).map_err(|why| format!("oidc: parse claim {claim}: {why}"))?;
            if found != wanted {
                return Err(format!(
                    "oidc: required claim {claim} value does not match. Got = {found}, want = {wanted}"
                ));
            }
        }
        self.claim_rules.iter().try_for_each(|rule| rule.check_claims(&tree))?;
        self.user_rules.iter().try_for_each(|rule| rule.check_user(&user))?;
        Ok(user)
    }

    fn has_expressions(&self) -> bool {
        let mappings = [&self.username_expression, &self.groups_expression, &self.uid_expression];
        mappings.iter().any(|mapping| mapping.is_some()) || !self.extra.is_empty() || !self.claim_rules.is_empty()
    }

    fn name(&self, claims: &Claims, tree: &Value) -> Result<String, String> {
        if let Some(expression) = &self.username_expression {
            let name = expression.text(tree, "username")?;
            let empty = "oidc: empty username via CEL expression is not allowed";
            return if name.is_empty() { Err(empty.into()) } else { Ok(name) };
        }
        let ClaimMapping { claim, prefix } = &self.username;
        let name = text(claims, claim).map_err(|why| format!("oidc: parse username claims {claim:?}: {why}"))?;
        if claim == "email" {
            // Who has not shown that an address is theirs is not known by it.
            match claims.get("email_verified") {
                None | Some(Value::Bool(true)) => {}
                Some(Value::Bool(false) | Value::Null) => return Err("oidc: email not verified".into()),
                Some(other) => return Err(format!("oidc: parse 'email_verified' claim: {}", no(other, "bool"))),
            }
        }
        Ok(format!("{prefix}{name}"))
    }
}

fn groups(mapping: &ClaimMapping, claims: &Claims) -> Result<Vec<String>, String> {
    let ClaimMapping { claim, prefix } = mapping;
    let wrong = |found: &Value| format!("oidc: parse groups claim {claim:?}: {}", no(found, "string"));
    let prefixed = |name: &str| format!("{prefix}{name}");
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![prefixed(one)]),
        Some(list @ Value::Array(many)) => {
            many.iter().map(|name| name.as_str().map(prefixed).ok_or_else(|| wrong(list))).collect()
        }
        Some(other) => Err(wrong(other)),
    }
}

/// The text of a claim. As for Go, null is none.
fn text<'a>(claims: &'a Claims, claim: &str) -> Result<&'a str, String> {
    match claims.get(claim) {
        None => Err("claim not present".into()),
        Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(no(other, "string")),
    }
}

/// What Go says of a value that is of another type than the wanted one.
pub(super) fn no(found: &Value, wanted: &str) -> String {
    let kind = json_type(found);
    format!("json: cannot unmarshal {kind} into Go value of type {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer() -> JwtIssuer {
        let groups = ClaimMapping { claim: "groups".into(), prefix: "oidc:".into() };
        JwtIssuer { groups: Some(groups), ..JwtIssuer::new("https://issuer", "me") }
    }

    fn check(issuer: &JwtIssuer, claims: Value, expect: Result<(&str, &[&str]), &str>) {
        let seen = issuer.user(claims.as_object().unwrap());
        match (&seen, expect) {
            (Ok(user), Ok((name, groups))) => assert_eq!(
                (&*user.name, user.groups.as_slice()),
                (name, groups.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>().as_slice())
            ),
            (Err(why), Err(expect)) => assert!(why.contains(expect), "{why}"),
            _ => panic!("{seen:?} instead of {expect:?}"),
        }
    }

    #[test]
    fn claims_become_users() {
        let plain = issuer();
        check(&plain, json!({"sub": "a", "groups": ["x", "y"]}), Ok(("https://issuer#a", &["oidc:x", "oidc:y"])));
        check(&plain, json!({"sub": "a", "groups": "x"}), Ok(("https://issuer#a", &["oidc:x"])));
        check(&plain, json!({"sub": "a"}), Ok(("https://issuer#a", &[])));
        check(&plain, json!({"sub": 1}), Err("cannot unmarshal number into Go value of type string"));
        check(&plain, json!({}), Err("oidc: parse username claims \"sub\": claim not present"));
        check(&plain, json!({"sub": "a", "groups": [1]}), Err("parse groups claim"));
        let email = JwtIssuer {
            username: ClaimMapping { claim: "email".into(), prefix: String::new() },
            ..JwtIssuer::new("https://issuer", "me")
        };
        check(&email, json!({"email": "a@b"}), Ok(("a@b", &[])));
        check(&email, json!({"email": "a@b", "email_verified": true}), Ok(("a@b", &[])));
        check(&email, json!({"email": "a@b", "email_verified": false}), Err("email not verified"));
        let strict = JwtIssuer {
            required_claims: [("hd".to_owned(), "x.com".to_owned())].into(),
            ..JwtIssuer::new("https://i", "me")
        };
        check(&strict, json!({"sub": "a"}), Err("required claim hd not present"));
        check(&strict, json!({"sub": "a", "hd": "y.com"}), Err("value does not match"));
        check(&strict, json!({"sub": "a", "hd": "x.com"}), Ok(("https://i#a", &[])));
    }
}
