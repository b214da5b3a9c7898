//! What a write through a part of an object cannot set, and so nobody owns by it: upstream's `GetResetFields`.

use std::sync::LazyLock;

use api::Resource;
use api::apply::Reset;
use api::fields::Set;

use super::Part;

const STATUS: &[&str] = &["status"];
const SPEC: &[&str] = &["spec"];
const NONE: &[&str] = &[];
const SPEC_AND_METADATA: &[&str] = &["spec", "metadata"];

/// Where it is not the status for writes of the object, and the spec for writes of the status: group, plural, both lists.
const RESETS: &[(&str, &str, &[&str], &[&str])] = &[
    ("", "pods", STATUS, &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", STATUS, SPEC_AND_METADATA),
    ("apiextensions.k8s.io", "customresourcedefinitions", STATUS, SPEC_AND_METADATA),
    ("apiregistration.k8s.io", "apiservices", STATUS, SPEC_AND_METADATA),
    ("apps", "deployments", STATUS, &["spec", "metadata.labels"]),
    ("certificates.k8s.io", "certificatesigningrequests", &["spec", "status"], &["spec", "status.conditions"]),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", STATUS, SPEC_AND_METADATA),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", STATUS, SPEC_AND_METADATA),
    // Upstream's lists are of a group that does not exist.
    ("networking.k8s.io", "servicecidrs", NONE, NONE),
    ("resource.k8s.io", "resourceclaims", STATUS, SPEC_AND_METADATA),
    ("storage.k8s.io", "volumeattachments", STATUS, SPEC_AND_METADATA),
];

/// What a write through the part cannot set.
pub(super) fn of(resource: &Resource, part: Part) -> Reset {
    static STATUS_ALONE: LazyLock<Set> = LazyLock::new(|| Set::named(STATUS));
    let row = || RESETS.iter().find(|(group, plural, ..)| **group == *resource.group && **plural == *resource.plural);
    match part {
        Part::Main | Part::Finalize if resource.has_subresource("status") => match row() {
            Some((_, _, main, _)) if *main != STATUS => these(main),
            _ => Reset::These(STATUS_ALONE.clone()),
        },
        Part::Main | Part::Finalize | Part::Scale => Reset::Nothing,
        Part::Status => these(row().map_or(SPEC, |(_, _, _, status)| status)),
        Part::Approval => these(&["spec", "status.certificate"]),
        Part::EphemeralContainers => Reset::AllBut(&[&["spec", "ephemeralContainers"]]),
        Part::Resize => Reset::AllBut(&[
            &["spec", "containers", "*", "resources"],
            &["spec", "containers", "*", "resizePolicy"],
            &["spec", "initContainers", "*", "resources"],
            &["spec", "initContainers", "*", "resizePolicy"],
        ]),
    }
}

fn these(fields: &[&str]) -> Reset {
    if fields.is_empty() { Reset::Nothing } else { Reset::These(Set::named(fields)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_with_a_status_resets_what_upstream_resets() {
        let check = |group: &str, plural: &str, part, expect: &[&str]| {
            let all = api::resource::builtin();
            let row = all.iter().find(|row| *row.group == *group && *row.plural == *plural).unwrap();
            assert_eq!(format!("{:?}", of(row, part)), format!("{:?}", these(expect)), "{plural} {part:?}");
        };
        for (group, plural, main, status) in RESETS {
            check(group, plural, Part::Main, main);
            check(group, plural, Part::Status, status);
        }
        for (group, plural) in [
            ("", "namespaces"),
            ("", "nodes"),
            ("", "persistentvolumeclaims"),
            ("", "persistentvolumes"),
            ("", "replicationcontrollers"),
            ("", "resourcequotas"),
            ("", "services"),
            ("apps", "daemonsets"),
            ("apps", "replicasets"),
            ("apps", "statefulsets"),
            ("autoscaling", "horizontalpodautoscalers"),
            ("batch", "cronjobs"),
            ("batch", "jobs"),
            ("networking.k8s.io", "ingresses"),
            ("policy", "poddisruptionbudgets"),
        ] {
            check(group, plural, Part::Main, STATUS);
            check(group, plural, Part::Status, SPEC);
        }
        check("", "namespaces", Part::Finalize, STATUS);
        check("", "configmaps", Part::Main, NONE);
        check("apps", "deployments", Part::Scale, NONE);
        let approval = &["spec", "status.certificate"];
        check("certificates.k8s.io", "certificatesigningrequests", Part::Approval, approval);
    }
}
