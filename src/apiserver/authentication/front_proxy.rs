//! The word of a front proxy: an aggregator or gateway that has authenticated the user itself.

use api::User;
use http::HeaderMap;

use super::RequestHeaders;
use crate::http::query::percent_decode;

/// The user the headers name; `None` without a name. Headers of a name that came in another spelling (`X_Remote_User`) are
/// other headers: nobody reads them.
pub(super) fn user(headers: &HeaderMap, names: &RequestHeaders) -> Option<User> {
    let one = |names: &[String]| {
        let texts = names.iter().filter_map(|name| headers.get(name.as_str())?.to_str().ok());
        texts.map(str::trim).find(|text| !text.is_empty())
    };
    let mut user = User { name: one(&names.username)?.to_owned(), ..User::default() };
    user.uid = one(&names.uid).unwrap_or_default().to_owned();
    let groups = names.groups.iter().flat_map(|name| headers.get_all(name.as_str()));
    user.groups =
        groups.filter_map(|value| value.to_str().ok().filter(|group| !group.is_empty()).map(str::to_owned)).collect();
    super::add_authenticated(&mut user);
    for (name, value) in headers {
        let key = names.extra_prefixes.iter().find_map(|prefix| name.as_str().strip_prefix(prefix.as_str()));
        if let (Some(key), Ok(value)) = (key, value.to_str()) {
            user.extra.entry(percent_decode(key, false)).or_default().push(value.to_owned());
        }
    }
    Some(user)
}
