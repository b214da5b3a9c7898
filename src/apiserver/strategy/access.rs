//! RBAC's kinds.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::path_segment_name;
use serde_json::Value;

use super::Strategy;
use crate::tree::Tree;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROLE: Strategy = Strategy {
    name: path_segment_name,
    validate: |role, errors| {
        for (at, rule) in role.items("rules").iter().enumerate() {
            let path = Path::root("rules").index(at);
            if rule.items("verbs").is_empty() {
                errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
            }
            if !rule.items("nonResourceURLs").is_empty() {
                if role.text("kind") == "Role" {
                    let why = "namespaced rules cannot apply to non-resource URLs";
                    let urls = rule.at("nonResourceURLs").cloned().unwrap_or_default();
                    errors.push(Error::invalid(&path.child("nonResourceURLs"), urls, why));
                }
                continue;
            }
            if rule.items("apiGroups").is_empty() {
                errors.push(Error::required(
                    &path.child("apiGroups"),
                    "resource rules must supply at least one api group",
                ));
            }
            if rule.items("resources").is_empty() {
                errors.push(Error::required(
                    &path.child("resources"),
                    "resource rules must supply at least one resource",
                ));
            }
        }
    },
    create_on_update: true,
    ..Strategy::DEFAULT
};

pub(super) const BINDING: Strategy = Strategy {
    name: path_segment_name,
    default: |binding| {
        binding.default_to("roleRef.apiGroup", GROUP);
        for subject in binding.items_mut("subjects") {
            if matches!(subject.text("kind"), "User" | "Group") {
                subject.default_to("apiGroup", GROUP);
            }
        }
    },
    validate: validate_binding,
    validate_update: |new, old, errors| {
        if new.at("roleRef") != old.at("roleRef") {
            let value = new.at("roleRef").cloned().unwrap_or_default();
            errors.push(Error::invalid(&Path::root("roleRef"), value, "cannot change roleRef"));
        }
    },
    create_on_update: true,
    ..Strategy::DEFAULT
};

fn validate_binding(binding: &Value, errors: &mut ErrorList) {
    let role = Path::root("roleRef");
    if binding.text("roleRef.apiGroup") != GROUP {
        errors.push(Error::not_supported(&role.child("apiGroup"), binding.text("roleRef.apiGroup"), &[GROUP]));
    }
    let cluster = binding.text("kind") == "ClusterRoleBinding";
    let kinds: &[&str] = if cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    if !kinds.contains(&binding.text("roleRef.kind")) {
        errors.push(Error::not_supported(&role.child("kind"), binding.text("roleRef.kind"), kinds));
    }
    if binding.text("roleRef.name").is_empty() {
        errors.push(Error::required(&role.child("name"), ""));
    }
    for (at, subject) in binding.items("subjects").iter().enumerate() {
        let path = Path::root("subjects").index(at);
        if subject.text("name").is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        }
        match subject.text("kind") {
            "ServiceAccount" if cluster && subject.text("namespace").is_empty() => {
                errors.push(Error::required(&path.child("namespace"), ""));
            }
            "ServiceAccount" => {}
            "User" | "Group" => {
                if subject.text("apiGroup") != GROUP {
                    errors.push(Error::not_supported(&path.child("apiGroup"), subject.text("apiGroup"), &[GROUP]));
                }
            }
            other => {
                errors.push(Error::not_supported(&path.child("kind"), other, &["ServiceAccount", "User", "Group"]))
            }
        }
    }
}
