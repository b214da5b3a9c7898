//! The word of a front proxy: an aggregator or gateway that has authenticated the user itself.

use api::User;
use http::HeaderMap;

use crate::http::query::percent_decode;

/// The user the `X-Remote-*` headers name; `None` without a name. Headers of a name that came in another spelling
/// (`X_Remote_User`) are other headers: nobody reads them.
pub(super) fn user(headers: &HeaderMap) -> Option<User> {
    let one = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim).filter(|v| !v.is_empty());
    let mut user = User { name: one("x-remote-user")?.to_owned(), ..User::default() };
    user.uid = one("x-remote-uid").unwrap_or_default().to_owned();
    let groups = headers.get_all("x-remote-group").iter().filter_map(|v| v.to_str().ok());
    user.groups = groups.map(str::to_owned).collect();
    if user.name != "system:anonymous" && !user.in_group(api::user::AUTHENTICATED) {
        user.groups.push(api::user::AUTHENTICATED.into());
    }
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix("x-remote-extra-"), value.to_str()) {
            user.extra.entry(percent_decode(key, false)).or_default().push(value.to_owned());
        }
    }
    Some(user)
}
