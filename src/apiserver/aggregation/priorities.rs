//! In which order clients are shown groups and their versions: upstream's figures, which stand in the APIServices too.

/// A group, its priority, and its versions with theirs. Higher goes first.
type Row = (&'static str, i64, &'static [(&'static str, i64)]);

const BUILTIN: &[Row] = &[
    ("", 18000, &[("v1", 1)]),
    ("apps", 17800, &[("v1", 15)]),
    ("events.k8s.io", 17750, &[("v1", 15)]),
    ("authentication.k8s.io", 17700, &[("v1", 15)]),
    ("authorization.k8s.io", 17600, &[("v1", 15)]),
    ("autoscaling", 17500, &[("v2", 30), ("v1", 15)]),
    ("batch", 17400, &[("v1", 15)]),
    ("certificates.k8s.io", 17300, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("networking.k8s.io", 17200, &[("v1", 15), ("v1beta1", 9)]),
    ("policy", 17100, &[("v1", 15)]),
    ("rbac.authorization.k8s.io", 17000, &[("v1", 15)]),
    ("storage.k8s.io", 16800, &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)]),
    ("admissionregistration.k8s.io", 16700, &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)]),
    ("apiextensions.k8s.io", 16700, &[("v1", 15)]),
    ("scheduling.k8s.io", 16600, &[("v1", 15)]),
    ("coordination.k8s.io", 16500, &[("v1", 15), ("v1beta1", 13), ("v1alpha2", 12)]),
    ("node.k8s.io", 16300, &[("v1", 15)]),
    ("discovery.k8s.io", 16200, &[("v1", 15)]),
    ("resource.k8s.io", 16200, &[("v1", 21), ("v1beta2", 15), ("v1beta1", 9), ("v1alpha3", 1)]),
    ("flowcontrol.apiserver.k8s.io", 16100, &[("v1", 21)]),
];

/// The group of APIServices has none itself, and goes first.
pub(crate) const OWN_GROUP: (&str, i64) = ("apiregistration.k8s.io", 20000);
/// Custom resources'.
const CUSTOM: (i64, i64) = (1000, 100);

/// The priorities of a group and a version of those built in; `None` for others.
pub(super) fn builtin(group: &str, version: &str) -> Option<(i64, i64)> {
    let (_, priority, versions) = BUILTIN.iter().find(|(name, ..)| *name == group)?;
    versions.iter().find(|(name, _)| *name == version).map(|(_, of_version)| (*priority, *of_version))
}

/// The priorities of what this server serves itself.
pub(crate) fn local(group: &str, version: &str) -> (i64, i64) {
    if group == OWN_GROUP.0 {
        return (OWN_GROUP.1, 0);
    }
    builtin(group, version).unwrap_or(CUSTOM)
}

/// Those of custom resources.
pub(super) fn custom() -> (i64, i64) {
    CUSTOM
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_version_has_its_priorities() {
        for row in api::resource::builtin() {
            let known = builtin(&row.group, &row.version).is_some() || &*row.group == OWN_GROUP.0;
            assert!(known, "{}/{}", row.group, row.version);
        }
    }
}
