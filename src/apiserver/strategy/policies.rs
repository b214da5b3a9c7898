//! Admission policies and their bindings: what they may say. Expressions are compiled as admission will compile them.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1035_label, dns1123_subdomain, path_segment_name, qualified_name, validate_label_selector};
use cel::Type;
use serde_json::Value;

use super::at::{At, Rule};
use super::conditions::conditions;
use super::webhooks::validate_rule;
use super::{Generation, Strategy};
use crate::admission::expressions::{Names, compile};
use crate::admission::policy::result_types;
use crate::defaults::Defaults;
use crate::tree::Tree;

/// How many match conditions there may be.
const CONDITIONS: usize = 64;
/// Each variable knows the types of those before it, so many cost the square of their number. Upstream has no bound.
const VARIABLES: usize = 256;
/// How many audit annotations there may be.
const ANNOTATIONS: usize = 20;
/// The longest expression of an audit annotation. Bytes.
const ANNOTATION: usize = 5 * 1024;

fn policy_defaults() -> Defaults {
    Defaults::new(&[
        ("spec.failurePolicy", r#""Fail""#),
        ("spec.matchConstraints.matchPolicy", r#""Equivalent""#),
        ("spec.matchConstraints.namespaceSelector", "{}"),
        ("spec.matchConstraints.objectSelector", "{}"),
        ("spec.matchConstraints.resourceRules[].scope", r#""*""#),
        ("spec.matchConstraints.excludeResourceRules[].scope", r#""*""#),
    ])
}

fn binding_defaults() -> Defaults {
    Defaults::new(&[
        ("spec.matchResources.matchPolicy", r#""Equivalent""#),
        ("spec.matchResources.namespaceSelector", "{}"),
        ("spec.matchResources.objectSelector", "{}"),
        ("spec.matchResources.resourceRules[].scope", r#""*""#),
        ("spec.matchResources.excludeResourceRules[].scope", r#""*""#),
    ])
}

pub(super) const VALIDATING: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some("{}"),
    defaults: Some(policy_defaults),
    validate: validate_policy,
    validate_status: |new, _, errors| validate_policy_status(&At::root(new).get("status"), errors),
    unconditional_update: false,
    ..Strategy::DEFAULT
};

fn validate_policy_status(status: &At, errors: &mut ErrorList) {
    conditions(status, errors);
    for warning in status.get("typeChecking").each("expressionWarnings") {
        warning.check(&[("warning", Rule::Need), ("fieldRef", Rule::Need)], errors);
    }
}

pub(super) const VALIDATING_BINDING: Strategy = Strategy {
    generation: Generation::Counted,
    defaults: Some(binding_defaults),
    validate: |binding, errors| {
        validate_binding(binding, errors);
        validate_actions(binding.items("spec.validationActions"), &spec().child("validationActions"), errors);
    },
    unconditional_update: false,
    ..Strategy::DEFAULT
};

pub(super) const MUTATING: Strategy = Strategy {
    generation: Generation::Counted,
    defaults: Some(policy_defaults),
    validate: validate_mutating,
    unconditional_update: false,
    ..Strategy::DEFAULT
};

pub(super) const MUTATING_BINDING: Strategy = Strategy {
    generation: Generation::Counted,
    defaults: Some(binding_defaults),
    validate: |binding, errors| {
        validate_binding(binding, errors);
        validate_mutable(binding, "spec.matchResources.resourceRules", errors);
    },
    unconditional_update: false,
    ..Strategy::DEFAULT
};

fn spec() -> Path {
    Path::root("spec")
}

fn validate_policy(policy: &Value, errors: &mut ErrorList) {
    let (names, variables) = validate_common(policy, Names { authorizer: true, ..Names::default() }, errors);
    // A policy without variables does not know the word.
    let composed = |environment: cel::Environment| match policy.items("spec.variables") {
        [] => environment,
        _ => environment.with_lazy("variables", &variables),
    };
    let environment = composed(names.environment());
    let plain = composed(Names { authorizer: false, ..names }.environment());
    let validations = policy.items("spec.validations");
    let annotations = policy.items("spec.auditAnnotations");
    if validations.is_empty() && annotations.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        errors.push(Error::required(&spec().child("validations"), why));
        errors.push(Error::required(&spec().child("auditAnnotations"), why));
    }
    for (at, validation) in validations.iter().enumerate() {
        validate_validation(validation, &environment, &plain, &spec().child("validations").index(at), errors);
    }
    let path = spec().child("auditAnnotations");
    if annotations.len() > ANNOTATIONS {
        let why = format!("must not have more than {ANNOTATIONS} auditAnnotations");
        errors.push(Error::invalid(&path, annotations.to_vec(), why));
    }
    let mut keys = HashSet::new();
    for (at, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(at), annotation.text("key"));
        let name = policy.text("metadata.name");
        let whole = format!("{name}/{key}");
        match name {
            "" => errors.push(Error::invalid(&path.child("key"), key, "requires metadata.name be non-empty")),
            _ => errors.invalid_each(&path.child("key"), &whole, qualified_name(&whole)),
        }
        if !keys.insert(key) {
            errors.push(Error::duplicate(&path.child("key"), key));
        }
        let (path, source) = (path.child("valueExpression"), annotation.text("valueExpression"));
        if source.trim().is_empty() {
            errors.push(Error::required(&path, "valueExpression is not specified"));
        } else if source.trim().len() > ANNOTATION {
            errors.push(Error::required(&path, format!("must not exceed {ANNOTATION} bytes in length")));
        } else if let Err(why) = compile(source.trim(), &environment, &[Type::String, Type::Null]) {
            errors.push(Error::invalid(&path, source, why));
        }
    }
}

fn validate_mutating(policy: &Value, errors: &mut ErrorList) {
    let names = Names { authorizer: true, objects: true, ..Names::default() };
    let (names, variables) = validate_common(policy, names, errors);
    let environment = names.environment().with_lazy("variables", &variables);
    let mutations = policy.items("spec.mutations");
    if mutations.is_empty() {
        errors.push(Error::required(&spec().child("mutations"), "mutations must contain at least one item"));
    }
    validate_mutable(policy, "spec.matchConstraints.resourceRules", errors);
    let (configuration, patch) = result_types();
    for (at, mutation) in mutations.iter().enumerate() {
        let path = spec().child("mutations").index(at);
        const KINDS: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];
        let (field, other, returns) = match mutation.text("patchType") {
            "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", &configuration),
            "JSONPatch" => ("jsonPatch", "applyConfiguration", &patch),
            "" => {
                errors.push(Error::required(&path.child("patchType"), ""));
                continue;
            }
            said => {
                errors.push(Error::not_supported(&path.child("patchType"), said, &KINDS));
                continue;
            }
        };
        let kind = mutation.text("patchType");
        if mutation.at(other).is_some() {
            let why = format!("must not be specified when patchType is {kind}");
            errors.push(Error::invalid(&path.child(other), format!("{{{other}}}"), why));
        }
        let Some(holder) = mutation.at(field) else {
            let why = format!("must be specified when patchType is {kind}");
            errors.push(Error::required(&path.child(field), why));
            continue;
        };
        let (path, source) = (path.child(field).child("expression"), holder.text("expression"));
        if source.trim().is_empty() {
            errors.push(Error::required(&path, ""));
        } else if let Err(why) = compile(source, &environment, std::slice::from_ref(returns)) {
            errors.push(Error::invalid(&path, source, why));
        }
    }
    const POLICIES: [&str; 2] = ["IfNeeded", "Never"];
    match policy.text("spec.reinvocationPolicy") {
        "" => errors.push(Error::required(&spec().child("reinvocationPolicy"), "")),
        said if !POLICIES.contains(&said) => {
            errors.push(Error::not_supported(&spec().child("reinvocationPolicy"), said, &POLICIES));
        }
        _ => {}
    }
}

/// Only what makes or changes something can be mutated.
fn validate_mutable(object: &Value, rules: &str, errors: &mut ErrorList) {
    const OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
    let operations = object.items(rules).iter().flat_map(|rule| rule.items("operations")).filter_map(Value::as_str);
    for operation in operations.filter(|operation| !OPERATIONS.contains(operation)) {
        errors.push(Error::not_supported(&Path::root(rules).child("operations"), operation, &OPERATIONS));
    }
}

/// What both kinds of policies have in common. Gives the names their expressions can use, and the variables with their types.
fn validate_common(policy: &Value, names: Names, errors: &mut ErrorList) -> (Names, Vec<(std::sync::Arc<str>, Type)>) {
    let names = Names { params: policy.at("spec.paramKind").is_some(), ..names };
    const FAILURE: [&str; 2] = ["Fail", "Ignore"];
    match policy.at("spec.failurePolicy").and_then(Value::as_str) {
        None => errors.push(Error::required(&spec().child("failurePolicy"), "")),
        Some(said) if !FAILURE.contains(&said) => {
            errors.push(Error::not_supported(&spec().child("failurePolicy"), said, &FAILURE));
        }
        _ => {}
    }
    if let Some(kind) = policy.at("spec.paramKind") {
        validate_param_kind(kind, &spec().child("paramKind"), errors);
    }
    let constraints = spec().child("matchConstraints");
    match policy.at("spec.matchConstraints") {
        None => errors.push(Error::required(&constraints, "")),
        Some(resources) => {
            validate_match_resources(resources, &constraints, errors);
            if resources.items("resourceRules").is_empty() {
                errors.push(Error::required(&constraints.child("resourceRules"), ""));
            }
        }
    }
    // Only mutations make objects.
    let plain = Names { objects: false, ..names };
    validate_conditions(policy.items("spec.matchConditions"), plain, &spec().child("matchConditions"), errors);
    (names, validate_variables(policy.items("spec.variables"), plain, errors))
}

fn validate_variables(variables: &[Value], names: Names, errors: &mut ErrorList) -> Vec<(std::sync::Arc<str>, Type)> {
    let mut types = Vec::new();
    if variables.len() > VARIABLES {
        errors.push(Error::too_many(&spec().child("variables"), variables.len(), VARIABLES));
        return types;
    }
    for (at, variable) in variables.iter().enumerate() {
        let path = spec().child("variables").index(at);
        let (name, source) = (variable.text("name"), variable.text("expression"));
        if name.trim().is_empty() {
            errors.push(Error::required(&path.child("name"), "name is not specified"));
        } else if !is_identifier(name) {
            errors.push(Error::invalid(&path.child("name"), name, "must be a valid CEL identifier"));
        }
        if source.trim().is_empty() {
            errors.push(Error::required(&path.child("expression"), "expression is not specified"));
            continue;
        }
        let environment = names.environment().with_lazy("variables", &types);
        let ty = match compile(source, &environment, &[]) {
            Ok(program) => program.returns().clone(),
            Err(why) => {
                errors.push(Error::invalid(&path.child("expression"), source, why));
                Type::Dyn
            }
        };
        types.push((name.into(), ty));
    }
    types
}

/// A name that expressions can use as it is.
fn is_identifier(name: &str) -> bool {
    cel::escape(name).is_some_and(|escaped| escaped == name) && !name.contains(['.', '-', '/'])
}

fn validate_validation(
    validation: &Value,
    environment: &cel::Environment,
    plain: &cel::Environment,
    path: &Path,
    errors: &mut ErrorList,
) {
    let source = validation.text("expression");
    if source.trim().is_empty() {
        errors.push(Error::required(&path.child("expression"), "expression is not specified"));
    } else if let Err(why) = compile(source, environment, &[Type::Bool]) {
        errors.push(Error::invalid(&path.child("expression"), source, why));
    }
    let source = validation.text("messageExpression");
    if !source.is_empty() && source.trim().is_empty() {
        let why = "must be non-empty if specified";
        errors.push(Error::invalid(&path.child("messageExpression"), source, why));
    } else if !source.is_empty()
        && let Err(why) = compile(source, plain, &[Type::String])
    {
        errors.push(Error::invalid(&path.child("messageExpression"), source, why));
    }
    let message = validation.text("message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(Error::invalid(&path.child("message"), message, "must be non-empty if specified"));
    } else if message.trim().contains(['\n', '\r']) {
        errors.push(Error::invalid(&path.child("message"), message, "must not contain line breaks"));
    }
    const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
    if let Some(reason) = validation.at("reason").and_then(Value::as_str).filter(|reason| !REASONS.contains(reason)) {
        errors.push(Error::not_supported(&path.child("reason"), reason, &REASONS));
    }
}

/// Conditions of a webhook or a policy.
pub(super) fn validate_conditions(conditions: &[Value], names: Names, path: &Path, errors: &mut ErrorList) {
    if conditions.len() > CONDITIONS {
        errors.push(Error::too_many(path, conditions.len(), CONDITIONS));
    }
    if conditions.is_empty() {
        return;
    }
    let environment = names.environment();
    let mut seen = HashSet::new();
    for (at, condition) in conditions.iter().enumerate() {
        let path = path.index(at);
        let (name, source) = (condition.text("name"), condition.text("expression").trim());
        if source.is_empty() {
            errors.push(Error::required(&path.child("expression"), ""));
        } else if let Err(why) = compile(source, &environment, &[Type::Bool]) {
            errors.push(Error::invalid(&path.child("expression"), source, why));
        }
        if name.is_empty() {
            errors.push(Error::required(&path.child("name"), ""));
        } else {
            errors.invalid_each(&path.child("name"), name, qualified_name(name));
        }
        if !name.is_empty() && !seen.insert(name) {
            errors.push(Error::duplicate(&path.child("name"), name));
        }
    }
}

fn validate_param_kind(kind: &Value, path: &Path, errors: &mut ErrorList) {
    let (api_version, name) = (kind.text("apiVersion"), kind.text("kind"));
    let version_path = path.child("apiVersion");
    let parts: Vec<&str> = api_version.split('/').collect();
    match parts.as_slice() {
        [""] => errors.push(Error::required(&version_path, "")),
        [version] => errors.invalid_each(&version_path, version, dns1035_label(version)),
        [group, version] => {
            let complaints = dns1123_subdomain(group);
            if !group.is_empty() && !complaints.is_empty() {
                errors.push(Error::invalid(&version_path, *group, complaints.join(",")));
            }
            let complaints = dns1035_label(version);
            if version.is_empty() {
                errors.push(Error::invalid(&version_path, api_version, "version must be specified"));
            } else if !complaints.is_empty() {
                errors.push(Error::invalid(&version_path, *version, complaints.join(",")));
            }
        }
        _ => {
            let why = format!("unexpected GroupVersion string: {api_version}");
            errors.push(Error::invalid(&version_path, api_version, why));
        }
    }
    let complaints = dns1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(Error::required(&path.child("kind"), ""));
    } else if !complaints.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", complaints.join(","));
        errors.push(Error::invalid(&path.child("kind"), name, why));
    }
}

fn validate_match_resources(resources: &Value, path: &Path, errors: &mut ErrorList) {
    const POLICIES: [&str; 2] = ["Equivalent", "Exact"];
    match resources.at("matchPolicy").and_then(Value::as_str) {
        None => errors.push(Error::required(&path.child("matchPolicy"), "")),
        Some(said) if !POLICIES.contains(&said) => {
            errors.push(Error::not_supported(&path.child("matchPolicy"), said, &POLICIES));
        }
        _ => {}
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match resources.at(field) {
            None => errors.push(Error::required(&path.child(field), "")),
            Some(selector) => errors.extend(validate_label_selector(selector, &path.child(field))),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (at, rule) in resources.items(field).iter().enumerate() {
            let path = path.child(field).index(at);
            let names = rule.items("resourceNames");
            let mut seen = HashSet::new();
            for (at, name) in names.iter().enumerate() {
                let path = path.child("resourceNames").index(at);
                let text = name.as_str().unwrap_or_default();
                errors.invalid_each(&path, text, path_segment_name(text));
                if !seen.insert(name) {
                    errors.push(Error::duplicate(&path, text));
                }
            }
            validate_rule(rule, &path, errors);
        }
    }
}

fn validate_binding(binding: &Value, errors: &mut ErrorList) {
    let path = spec().child("policyName");
    match binding.text("spec.policyName") {
        "" => errors.push(Error::required(&path, "")),
        name => errors.invalid_each(&path, name, dns1123_subdomain(name)),
    }
    if let Some(reference) = binding.at("spec.paramRef") {
        validate_param_ref(reference, &spec().child("paramRef"), errors);
    }
    if let Some(resources) = binding.at("spec.matchResources") {
        // Upstream's path has this name.
        validate_match_resources(resources, &spec().child("matchResources"), errors);
    }
}

fn validate_param_ref(reference: &Value, path: &Path, errors: &mut ErrorList) {
    let (name, selector) = (reference.text("name"), reference.at("selector"));
    if !name.is_empty() {
        errors.invalid_each(&path.child("name"), name, path_segment_name(name));
    }
    if let Some(selector) = selector {
        errors.extend(validate_label_selector(selector, &path.child("selector")));
    }
    match (name.is_empty(), selector.is_some()) {
        (false, true) => {
            let why = "name and selector are mutually exclusive";
            errors.push(Error::forbidden(&path.child("name"), why));
            errors.push(Error::forbidden(&path.child("selector"), why));
        }
        (true, false) => errors.push(Error::required(path, "one of name or selector must be specified")),
        _ => {}
    }
    const ACTIONS: [&str; 2] = ["Deny", "Allow"];
    let path = path.child("parameterNotFoundAction");
    match reference.text("parameterNotFoundAction") {
        "" => errors.push(Error::required(&path, "")),
        said if !ACTIONS.contains(&said) => errors.push(Error::not_supported(&path, said, &ACTIONS)),
        _ => {}
    }
}

fn validate_actions(actions: &[Value], path: &Path, errors: &mut ErrorList) {
    const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
    let mut seen = HashSet::new();
    for (at, action) in actions.iter().enumerate() {
        let text = action.as_str().unwrap_or_default();
        if !ACTIONS.contains(&text) {
            errors.push(Error::not_supported(&path.index(at), text, &ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(Error::duplicate(&path.index(at), text));
        }
    }
    let has = |wanted: &str| actions.iter().any(|action| action == wanted);
    if has("Deny") && has("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        errors.push(Error::invalid(path, actions.to_vec(), why));
    }
    if actions.is_empty() {
        errors.push(Error::required(path, "at least one validation action is required"));
    }
}
