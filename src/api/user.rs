//! Who asks: the outcome of authentication.

use std::collections::BTreeMap;

/// An authenticated (or anonymous) requester, as upstream's `user.Info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// `system:node:n1`, `system:serviceaccount:ns:name`, `alice` …
    pub name: String,
    /// The service account's or external user's uid; empty when unknown.
    pub uid: String,
    /// Groups, `system:authenticated` or `system:unauthenticated` included.
    pub groups: Vec<String>,
    /// Extra attributes, such as the pod a bound token belongs to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Members pass every authorizer.
pub const MASTERS: &str = "system:masters";
/// Every requester that proved who it is.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Every requester that did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Every node agent.
pub const NODES: &str = "system:nodes";

impl User {
    /// A user with the given groups, plus `system:authenticated`.
    pub fn new<G: Into<String>>(name: impl Into<String>, groups: impl IntoIterator<Item = G>) -> Self {
        let mut groups: Vec<String> = groups.into_iter().map(Into::into).collect();
        groups.push(AUTHENTICATED.into());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The requester without credentials.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// A service account, with the groups upstream gives it.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        )
    }

    /// One controller of the controller manager: each has a service account of its own in `kube-system`.
    pub fn controller(name: &str) -> Self {
        Self::service_account("kube-system", name)
    }

    /// Whether the user is in the group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}
