//! Subresources: of which kind they are, and what can be done with them.

use api::Resource;

/// What one subresource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subresource {
    /// Group, version and kind of what it takes and gives, where that is not the resource's own.
    pub kind: Option<(&'static str, &'static str, &'static str)>,
    pub verbs: &'static [&'static str],
}

const READ_WRITE: &[&str] = &["get", "patch", "update"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const CONNECT: &[&str] = &["create", "get"];

/// What a subresource of a row is. Names the row does not serve have the form of a `status`.
pub(crate) fn describe(resource: &Resource, name: &str) -> Subresource {
    let core = |kind| Some(("", "v1", kind));
    let (kind, verbs) = match (&*resource.plural, name) {
        (_, "scale") => (Some(("autoscaling", "v1", "Scale")), READ_WRITE),
        ("pods", "attach") => (core("PodAttachOptions"), CONNECT),
        ("pods", "exec") => (core("PodExecOptions"), CONNECT),
        ("pods", "portforward") => (core("PodPortForwardOptions"), CONNECT),
        ("pods", "proxy") => (core("PodProxyOptions"), PROXY),
        ("services", "proxy") => (core("ServiceProxyOptions"), PROXY),
        ("nodes", "proxy") => (core("NodeProxyOptions"), PROXY),
        ("pods", "log") => (None, &["get"] as &[_]),
        ("pods", "binding") => (core("Binding"), &["create"] as &[_]),
        ("pods", "eviction") => (Some(("policy", "v1", "Eviction")), &["create"] as &[_]),
        ("serviceaccounts", "token") => (Some(("authentication.k8s.io", "v1", "TokenRequest")), &["create"] as &[_]),
        ("namespaces", "finalize") => (None, &["update"] as &[_]),
        _ => (None, READ_WRITE),
    };
    Subresource { kind, verbs }
}

/// Whether requests for it go to a node or a service, not to the registry.
pub(crate) fn is_connect(resource: &Resource, name: &str) -> bool {
    resource.is_core()
        && matches!(
            (&*resource.plural, name),
            ("pods", "attach" | "exec" | "log" | "portforward" | "proxy") | ("services" | "nodes", "proxy")
        )
}
