//! RBAC's kinds.

use api::selector::LabelSelector;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1123_subdomain, path_segment_name};
use serde_json::Value;

use super::Strategy;
use super::at::{At, Rule};
use super::upstream_form;
use crate::tree::Tree;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) const ROLE: Strategy =
    Strategy { name: path_segment_name, validate: validate_role, create_on_update: true, ..Strategy::DEFAULT };

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
            let value = upstream_form::of("RoleRef", new.at("roleRef").unwrap_or(&Value::Null));
            errors.push(Error::invalid(&Path::root("roleRef"), value, "cannot change roleRef"));
        }
    },
    create_on_update: true,
    ..Strategy::DEFAULT
};

fn validate_role(role: &Value, errors: &mut ErrorList) {
    let root = At::root(role);
    for rule in root.each("rules") {
        if rule.items("verbs").is_empty() {
            rule.get("verbs").required(errors, "verbs must contain at least one value");
        }
        let urls = rule.get("nonResourceURLs");
        if !urls.is_empty() {
            if role.text("kind") == "Role" {
                urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|list| !rule.items(list).is_empty()) {
                urls.invalid(errors, "rules cannot apply to both regular resources and non-resource URLs");
            }
            continue;
        }
        for (list, what) in [("apiGroups", "api group"), ("resources", "resource")] {
            if rule.items(list).is_empty() {
                rule.get(list).required(errors, format!("resource rules must supply at least one {what}"));
            }
        }
    }
    let aggregation = root.get("aggregationRule");
    if aggregation.is_set() {
        let selectors = aggregation.get("clusterRoleSelectors");
        if selectors.is_empty() {
            selectors.required(errors, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for selector in aggregation.each("clusterRoleSelectors") {
            errors.extend(api::validation::validate_label_selector(selector.value(), &selector.path()));
            if LabelSelector::from_object(Some(selector.value())).is_err() {
                selector.wrong(errors, Value::Null, "invalid label selector.");
            }
        }
    }
}

fn validate_binding(binding: &Value, errors: &mut ErrorList) {
    let root = At::root(binding);
    let group = root.get("roleRef.apiGroup");
    if group.str() != GROUP {
        group.unsupported(errors, &[GROUP]);
    }
    let cluster = binding.text("kind") == "ClusterRoleBinding";
    let kinds: &[&str] = if cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    let kind = root.get("roleRef.kind");
    if !kinds.contains(&kind.str()) {
        kind.unsupported(errors, kinds);
    }
    root.check(&[("roleRef.name", Rule::NeedName(path_segment_name))], errors);
    for subject in root.each("subjects") {
        subject.check(&[("name", Rule::Need)], errors);
        let group = subject.get("apiGroup");
        match subject.text("kind") {
            "ServiceAccount" => {
                subject.check(&[("name", Rule::Name(dns1123_subdomain))], errors);
                if !group.is_empty() {
                    group.unsupported(errors, &[""]);
                }
                if cluster {
                    subject.check(&[("namespace", Rule::Need)], errors);
                }
            }
            "User" | "Group" if group.str() != GROUP => group.unsupported(errors, &[GROUP]),
            "User" | "Group" => {}
            _ => subject.get("kind").unsupported(errors, &["ServiceAccount", "User", "Group"]),
        }
    }
}
