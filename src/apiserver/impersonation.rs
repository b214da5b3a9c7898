//! Acting for somebody else: the `Impersonate-*` headers, each of which has to be allowed.

use std::sync::Arc;

use api::{Status, User, validation};
use http::HeaderMap;

use crate::authorization::{Attributes, Authorizer};
use crate::http::query::percent_decode;

const EXTRA: &str = "impersonate-extra-";

/// The user to act as: the asker, unless the headers name another whom the asker may impersonate.
pub(crate) async fn apply(authorizer: &Authorizer, asker: Arc<User>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
    let one = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (name, uid) = (one("impersonate-user"), one("impersonate-uid"));
    let groups: Vec<&str> = headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()).collect();
    let extra: Vec<(String, &str)> = headers
        .iter()
        .filter_map(|(key, value)| {
            let key = percent_decode(key.as_str().strip_prefix(EXTRA)?, false);
            Some((key.to_ascii_lowercase(), value.to_str().ok()?))
        })
        .collect();
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(asker);
        }
        // Upstream prints references to what is to be allowed.
        const AUTHENTICATION: &str = "authentication.k8s.io/v1";
        let groups = groups.iter().map(|group| format!("{{Group  {group}    }}"));
        let extra = extra.iter().map(|(key, value)| format!("{{UserExtra  {value}  {AUTHENTICATION}  {key}}}"));
        let uid = (!uid.is_empty()).then(|| format!("{{UID  {uid}  {AUTHENTICATION}  }}"));
        let asked: Vec<String> = groups.chain(extra).chain(uid).collect();
        let why = format!("requested [{}] without impersonating a user", asked.join(" "));
        return Err(Status::bad_request(why));
    }
    let may = async |what: Attributes<'_>| {
        let what = Attributes { verb: "impersonate", is_resource: true, ..what };
        authorizer.authorize(&asker, &what).await
    };
    let mut user = User { name: name.to_owned(), uid: uid.to_owned(), ..User::default() };
    match service_account(name) {
        Some((namespace, account)) => {
            may(Attributes { resource: "serviceaccounts", namespace, name: account, ..Attributes::default() }).await?;
            if groups.is_empty() {
                user.groups = User::service_account(namespace, account).groups;
            }
        }
        None => may(Attributes { resource: "users", name, ..Attributes::default() }).await?,
    }
    for group in &groups {
        may(Attributes { resource: "groups", name: group, ..Attributes::default() }).await?;
        user.groups.push((*group).to_owned());
    }
    let authentication = Attributes { group: "authentication.k8s.io", version: "v1", ..Attributes::default() };
    for (key, value) in extra {
        may(Attributes { resource: "userextras", subresource: &key, name: value, ..authentication }).await?;
        user.extra.entry(key).or_default().push(value.to_owned());
    }
    if !uid.is_empty() {
        may(Attributes { resource: "uids", name: uid, ..authentication }).await?;
    }
    let wanted = if name == "system:anonymous" { api::user::UNAUTHENTICATED } else { api::user::AUTHENTICATED };
    if !user.in_group(wanted) && !user.in_group(api::user::UNAUTHENTICATED) {
        user.groups.push(wanted.to_owned());
    }
    tracing::debug!(asker = %asker.name, user = %user.name, "impersonation");
    Ok(Arc::new(user))
}

/// Namespace and name of the service account that a user's name is of, if it can be one's.
fn service_account(name: &str) -> Option<(&str, &str)> {
    let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let good = validation::dns1123_label(namespace).is_empty() && validation::dns1123_subdomain(account).is_empty();
    good.then_some((namespace, account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_service_accounts_are_well_formed() {
        let check = |name: &str, expect: Option<(&str, &str)>| assert_eq!(service_account(name), expect, "{name}");
        check("system:serviceaccount:a:b", Some(("a", "b")));
        check("system:serviceaccount:a:b.c", Some(("a", "b.c")));
        for other in ["u", "system:serviceaccount:a", "system:serviceaccount:a:b:c", "system:serviceaccount:A:b"] {
            check(other, None);
        }
        check("system:serviceaccount::", None);
        check("system:serviceaccount:a.b:c", None);
    }
}
