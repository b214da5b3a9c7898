//! FlowSchemas and PriorityLevelConfigurations.

use api::validation::field::{Error, ErrorList, Path};
use api::validation::{dns1123_label, dns1123_subdomain};
use serde_json::{Value, json};

use super::{Generation, Strategy};
use crate::bootstrap_objects::flow_control::mandatory;
use crate::defaults::Defaults;
use crate::fairness::{HASH_BITS, entropy_bits};
use crate::tree::Tree;

/// Higher precedences are numbers lower than this.
const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
const VERBS: [&str; 9] = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

pub(super) const FLOW_SCHEMA: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some("{}"),
    defaults: Some(|| Defaults::new(&[("spec.matchingPrecedence", "1000")])),
    validate: |schema, errors| {
        let path = Path::root("spec");
        flow_schema(schema.text("metadata.name"), schema, &path, errors);
        if let Some(fixed) = mandatory("FlowSchema", schema.text("metadata.name"))
            && schema.at("spec") != fixed.at("spec")
        {
            let why = format!("spec of '{}' must equal the fixed value", schema.text("metadata.name"));
            errors.push(Error::invalid(&path, schema["spec"].clone(), why));
        }
        conditions(schema, errors);
    },
    validate_status: |schema, _, errors| conditions(schema, errors),
    ..Strategy::DEFAULT
};

pub(super) const PRIORITY_LEVEL: Strategy = Strategy {
    generation: Generation::Counted,
    status: Some("{}"),
    default: |level| {
        if level.text("spec.type") == "Exempt" {
            level.default_to("spec.exempt", json!({}));
        }
    },
    defaults: Some(|| {
        Defaults::new(&[
            ("spec.exempt.nominalConcurrencyShares", "0"),
            ("spec.exempt.lendablePercent", "0"),
            ("spec.limited.nominalConcurrencyShares", "30"),
            ("spec.limited.lendablePercent", "0"),
            ("spec.limited.limitResponse.queuing.queues", "64"),
            ("spec.limited.limitResponse.queuing.handSize", "8"),
            ("spec.limited.limitResponse.queuing.queueLengthLimit", "50"),
        ])
    }),
    validate: |level, errors| {
        let (name, path) = (level.text("metadata.name"), Path::root("spec"));
        priority_level(name, level, &path, errors);
        fixed_level(name, level, &path, errors);
        conditions(level, errors);
    },
    validate_status: |level, _, errors| conditions(level, errors),
    ..Strategy::DEFAULT
};

/// What is mandatory stays as it is, except what the exempt level counts for in the shares of the others.
fn fixed_level(name: &str, level: &Value, path: &Path, errors: &mut ErrorList) {
    let Some(mut fixed) = mandatory("PriorityLevelConfiguration", name) else { return };
    let mut spec = level.at("spec").cloned().unwrap_or_default();
    let exempt = name == "exempt";
    if exempt {
        spec.cut("exempt");
        fixed.cut("spec.exempt");
    }
    if Some(&spec) != fixed.at("spec") {
        let except = if exempt { " except the 'spec.exempt' field" } else { "" };
        let why = format!("spec of '{name}'{except} must equal the fixed value");
        errors.push(Error::invalid(path, level["spec"].clone(), why));
    }
}

fn conditions(object: &Value, errors: &mut ErrorList) {
    let path = Path::root("status").child("conditions");
    let mut seen = Vec::new();
    for (at, condition) in object.items("status.conditions").iter().enumerate() {
        let (path, kind) = (path.index(at).child("type"), condition.text("type"));
        if seen.contains(&kind) {
            errors.push(Error::duplicate(&path, kind));
        }
        if kind.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        seen.push(kind);
    }
}

fn flow_schema(name: &str, schema: &Value, path: &Path, errors: &mut ErrorList) {
    let precedence = schema.int("spec.matchingPrecedence").unwrap_or(0);
    let at = path.child("matchingPrecedence");
    if precedence <= 0 {
        errors.push(Error::invalid(&at, precedence, "must be a positive value"));
    }
    if precedence > PRECEDENCE_MAX {
        errors.push(Error::invalid(&at, precedence, format!("must not be greater than {PRECEDENCE_MAX}")));
    }
    if precedence == 1 && name != "exempt" {
        let why = "only the schema named 'exempt' may have matchingPrecedence 1";
        errors.push(Error::invalid(&at, precedence, why));
    }
    if schema.at("spec.distinguisherMethod").is_some() {
        let kind = schema.text("spec.distinguisherMethod.type");
        if !matches!(kind, "ByNamespace" | "ByUser") {
            let at = path.child("distinguisherMethod").child("type");
            // Upstream shows what the type is in, not the type.
            errors.push(Error::not_supported(&at, json!({ "Type": kind }), &["ByNamespace", "ByUser"]));
        }
    }
    let (level, at) =
        (schema.text("spec.priorityLevelConfiguration.name"), path.child("priorityLevelConfiguration.name"));
    if level.is_empty() {
        errors.push(Error::required(&at, "must reference a priority level"));
    } else {
        errors.invalid_each(&at, level, dns1123_subdomain(level));
    }
    for (at, rule) in schema.items("spec.rules").iter().enumerate() {
        policy_rule(rule, &path.child("rules").index(at), errors);
    }
}

fn policy_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    if rule.items("subjects").is_empty() {
        errors.push(Error::required(&path.child("subjects"), "subjects must contain at least one value"));
    }
    for (at, one) in rule.items("subjects").iter().enumerate() {
        subject(one, &path.child("subjects").index(at), errors);
    }
    let (resources, urls) = (rule.items("resourceRules"), rule.items("nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        let why = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(Error::required(path, why));
    }
    for (at, rule) in resources.iter().enumerate() {
        resource_rule(rule, &path.child("resourceRules").index(at), errors);
    }
    for (at, rule) in urls.iter().enumerate() {
        url_rule(rule, &path.child("nonResourceRules").index(at), errors);
    }
}

fn subject(subject: &Value, path: &Path, errors: &mut ErrorList) {
    const KINDS: [(&str, &str); 3] = [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];
    let kind = subject.text("kind");
    let Some((_, own)) = KINDS.iter().find(|(known, _)| *known == kind) else {
        errors.push(Error::not_supported(&path.child("kind"), kind, &KINDS.map(|(known, _)| known)));
        return;
    };
    let at = path.child(own);
    match subject.at(own) {
        None => errors.push(Error::required(&at, format!("{own} is required when subject kind is '{kind}'"))),
        Some(_) => named(subject, own, &at, errors),
    }
    for (other, field) in KINDS.iter().filter(|(other, field)| *other != kind && subject.at(field).is_some()) {
        let why = format!("{field} is forbidden when subject kind is not '{other}'");
        errors.push(Error::forbidden(&path.child(field), why));
    }
}

fn named(subject: &Value, own: &str, path: &Path, errors: &mut ErrorList) {
    let name = subject.text(&format!("{own}.name"));
    if name.is_empty() {
        errors.push(Error::required(&path.child("name"), ""));
    }
    if own != "serviceAccount" {
        return;
    }
    if !matches!(name, "" | "*") {
        errors.invalid_each(&path.child("name"), name, dns1123_subdomain(name));
    }
    match subject.text("serviceAccount.namespace") {
        "" => errors.push(Error::required(&path.child("namespace"), "must specify namespace for service account")),
        namespace => errors.invalid_each(&path.child("namespace"), namespace, dns1123_label(namespace)),
    }
}

/// Whether a list of words holds `*`, which must then stand alone.
fn wildcard(rule: &Value, field: &str, what: &str, path: &Path, errors: &mut ErrorList) -> bool {
    let words = rule.items(field);
    let all = words.iter().any(|word| word == "*");
    if all && words.len() > 1 {
        let why = format!("if '*' is present, must not specify other {what}");
        errors.push(Error::invalid(&path.child(field), words.to_vec(), why));
    }
    all
}

fn verbs(rule: &Value, path: &Path, errors: &mut ErrorList) {
    let words = rule.items("verbs");
    if words.is_empty() {
        errors.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    } else if !wildcard(rule, "verbs", "verbs", path, errors)
        && !words.iter().all(|verb| verb.as_str().is_some_and(|verb| VERBS.contains(&verb)))
    {
        errors.push(Error::not_supported(&path.child("verbs"), words.to_vec(), &VERBS));
    }
}

fn resource_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    verbs(rule, path, errors);
    for (field, one, what) in [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")] {
        if rule.items(field).is_empty() {
            errors.push(Error::required(&path.child(field), format!("resource rules must supply at least one {one}")));
        } else {
            wildcard(rule, field, what, path, errors);
        }
    }
    let namespaces = rule.items("namespaces");
    if namespaces.is_empty() && !rule.truth("clusterScope") {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.push(Error::required(&path.child("namespaces"), why));
    } else if !wildcard(rule, "namespaces", "namespaces", path, errors) {
        for (at, namespace) in namespaces.iter().filter_map(Value::as_str).enumerate() {
            for complaint in dns1123_label(namespace) {
                let why = format!("each member of this list must be '*' or a DNS-1123 label; {complaint}");
                errors.push(Error::invalid(&path.child("namespaces").index(at), namespace, why));
            }
        }
    }
}

fn url_rule(rule: &Value, path: &Path, errors: &mut ErrorList) {
    verbs(rule, path, errors);
    let urls = rule.items("nonResourceURLs");
    if urls.is_empty() {
        let why = "nonResourceURLs must contain at least one value";
        errors.push(Error::required(&path.child("nonResourceURLs"), why));
    } else if !wildcard(rule, "nonResourceURLs", "non-resource URLs", path, errors) {
        for (at, url) in urls.iter().filter_map(Value::as_str).enumerate() {
            if let Some(why) = url_complaint(url) {
                errors.push(Error::invalid(&path.child("nonResourceURLs").index(at), url, why));
            }
        }
    }
}

fn url_complaint(url: &str) -> Option<&'static str> {
    let stars = url.matches('*').count();
    match url {
        "" => Some("must not be empty"),
        "/" => None,
        url if !url.starts_with('/') => Some("must start with slash"),
        url if url.contains(' ') => Some("must not contain white-space"),
        url if url.contains("//") => Some("must not contain double slash"),
        url if stars > 1 || (stars == 1 && !url.ends_with("/*")) => Some("wildcard can only do suffix matching"),
        _ => None,
    }
}

fn priority_level(name: &str, level: &Value, path: &Path, errors: &mut ErrorList) {
    let kind = level.text("spec.type");
    if (name == "exempt") != (kind == "Exempt") {
        let why = "must be 'Exempt' if and only if `name` is 'exempt'";
        errors.push(Error::invalid(&path.child("type"), kind, why));
    }
    match (kind, level.at("spec.limited"), level.at("spec.exempt")) {
        ("Exempt", limited, exempt) => {
            if limited.is_some() {
                errors.push(Error::forbidden(&path.child("limited"), "must be nil if the type is not Limited"));
            }
            if let Some(exempt) = exempt {
                shares(exempt, &path.child("exempt"), errors);
            }
        }
        ("Limited", limited, exempt) => {
            if exempt.is_some() {
                errors.push(Error::forbidden(&path.child("exempt"), "must be nil if the type is Limited"));
            }
            match limited {
                Some(of) => limited_level(of, &path.child("limited"), errors),
                None => errors.push(Error::required(&path.child("limited"), "must not be empty when type is Limited")),
            }
        }
        (other, ..) => errors.push(Error::not_supported(&path.child("type"), other, &["Exempt", "Limited"])),
    }
}

fn shares(of: &Value, path: &Path, errors: &mut ErrorList) {
    if let Some(shares) = of.int("nominalConcurrencyShares").filter(|shares| *shares < 0) {
        let at = path.child("nominalConcurrencyShares");
        errors.push(Error::invalid(&at, shares, "must be a non-negative integer"));
    }
    if let Some(percent) = of.int("lendablePercent").filter(|percent| !(0..=100).contains(percent)) {
        let at = path.child("lendablePercent");
        errors.push(Error::invalid(&at, percent, "must be between 0 and 100, inclusive"));
    }
}

fn limited_level(of: &Value, path: &Path, errors: &mut ErrorList) {
    shares(of, path, errors);
    if let Some(percent) = of.int("borrowingLimitPercent").filter(|percent| *percent < 0) {
        let at = path.child("borrowingLimitPercent");
        errors.push(Error::invalid(&at, percent, "if specified, must be a non-negative integer"));
    }
    let path = path.child("limitResponse");
    match (of.text("limitResponse.type"), of.at("limitResponse.queuing")) {
        ("Reject", Some(_)) => {
            let why = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(Error::forbidden(&path.child("queuing"), why));
        }
        ("Reject", None) => {}
        ("Queue", None) => {
            let why = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(Error::required(&path.child("queuing"), why));
        }
        ("Queue", Some(queuing)) => queues(queuing, &path.child("queuing"), errors),
        (other, _) => errors.push(Error::not_supported(&path.child("type"), other, &["Queue", "Reject"])),
    }
}

fn queues(queuing: &Value, path: &Path, errors: &mut ErrorList) {
    let number = |field: &str| queuing.int(field).unwrap_or(0);
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if length <= 0 {
        errors.push(Error::invalid(&path.child("queueLengthLimit"), length, "must be positive"));
    }
    if queues <= 0 {
        errors.push(Error::invalid(&path.child("queues"), queues, "must be positive"));
    } else if queues > QUEUES_MAX {
        let why = format!("must not be greater than {QUEUES_MAX}");
        errors.push(Error::invalid(&path.child("queues"), queues, why));
    }
    let at = path.child("handSize");
    if hand <= 0 {
        errors.push(Error::invalid(&at, hand, "must be positive"));
    } else if hand > queues {
        errors.push(Error::invalid(&at, hand, format!("should not be greater than queues ({queues})")));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        errors.push(Error::invalid(&at, hand, why));
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::tests::server;
    use serde_json::{Value, json};

    fn schema(change: impl FnOnce(&mut Value)) -> Value {
        let mut schema = json!({"metadata": {"name": "x"}, "spec": {
            "matchingPrecedence": 50,
            "priorityLevelConfiguration": {"name": "system"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "u"}}],
                "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["a"]}],
            }],
        }});
        change(&mut schema);
        schema
    }

    fn level(change: impl FnOnce(&mut Value)) -> Value {
        let mut level = json!({"metadata": {"name": "x"}, "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 5,
            "limitResponse": {"type": "Queue", "queuing": {"queues": 8, "handSize": 2, "queueLengthLimit": 5}},
        }}});
        change(&mut level);
        level
    }

    #[tokio::test]
    async fn complaints_are_upstreams() {
        let server = server().await;
        let check = async |plural: &str, body: Value, expect: &str| match server.create(plural, body).await {
            Ok(_) => assert_eq!(expect, ""),
            Err(status) => {
                assert!(!expect.is_empty() && status.message.contains(expect), "{expect}: {}", status.message);
            }
        };
        for (change, expect) in [
            ((|_| {}) as fn(&mut Value), ""),
            (
                |s| s["spec"]["matchingPrecedence"] = 1.into(),
                "only the schema named 'exempt' may have matchingPrecedence 1",
            ),
            (|s| s["spec"]["matchingPrecedence"] = (-1).into(), "must be a positive value"),
            (|s| s["spec"]["matchingPrecedence"] = 10_001.into(), "must not be greater than 10000"),
            (
                |s| s["spec"]["distinguisherMethod"]["type"] = "x".into(),
                "supported values: \"ByNamespace\", \"ByUser\"",
            ),
            (|s| s["spec"]["priorityLevelConfiguration"]["name"] = "".into(), "must reference a priority level"),
            (|s| s["spec"]["rules"][0]["subjects"] = json!([]), "subjects must contain at least one value"),
            (
                |s| s["spec"]["rules"][0]["subjects"][0]["kind"] = "Group".into(),
                "group is required when subject kind is 'Group'",
            ),
            (
                |s| s["spec"]["rules"][0]["resourceRules"][0]["verbs"] = json!(["*", "get"]),
                "must not specify other verbs",
            ),
            (
                |s| s["spec"]["rules"][0]["resourceRules"][0]["verbs"] = json!(["eat"]),
                "supported values: \"create\", \"delete\"",
            ),
            (
                |s| s["spec"]["rules"][0]["resourceRules"][0]["namespaces"] = json!([]),
                "must supply at least one namespace",
            ),
            (
                |s| s["spec"]["rules"][0]["nonResourceRules"] = json!([{"verbs": ["get"], "nonResourceURLs": ["/a*"]}]),
                "wildcard can only do suffix matching",
            ),
            (
                |s| s["spec"]["rules"][0]["resourceRules"] = json!([]),
                "at least one of resourceRules and nonResourceRules",
            ),
        ] {
            check("flowschemas", schema(change), expect).await;
        }
        for (change, expect) in [
            ((|_| {}) as fn(&mut Value), ""),
            (|l| l["spec"]["type"] = "Exempt".into(), "must be 'Exempt' if and only if `name` is 'exempt'"),
            (|l| l["spec"]["limited"] = Value::Null, "must not be empty when type is Limited"),
            (|l| l["spec"]["limited"]["lendablePercent"] = 101.into(), "must be between 0 and 100, inclusive"),
            (
                |l| l["spec"]["limited"]["limitResponse"]["type"] = "Reject".into(),
                "must be nil if limited.limitResponse.type",
            ),
            (
                |l| l["spec"]["limited"]["limitResponse"]["queuing"]["handSize"] = 9.into(),
                "should not be greater than queues (8)",
            ),
            (
                |l| {
                    l["spec"]["limited"]["limitResponse"]["queuing"] =
                        json!({"queues": 9_000_000, "handSize": 8, "queueLengthLimit": 5})
                },
                "required entropy bits of deckSize 9000000 and handSize 8 should not be greater than 60",
            ),
        ] {
            check("prioritylevelconfigurations", level(change), expect).await;
        }
    }

    #[tokio::test]
    async fn the_mandatory_objects_cannot_be_changed() {
        let server = server().await;
        let update = async |path: &str, change: Value| server.merge(path, json!({ "spec": change })).await;
        let refused = update("flowschemas/catch-all", json!({"matchingPrecedence": 5})).await.unwrap_err();
        assert!(refused.message.contains("spec of 'catch-all' must equal the fixed value"), "{}", refused.message);
        let shares = json!({"limited": {"nominalConcurrencyShares": 50}});
        let refused = update("prioritylevelconfigurations/catch-all", shares).await.unwrap_err();
        assert!(refused.message.contains("spec of 'catch-all' must equal the fixed value"), "{}", refused.message);
        update("prioritylevelconfigurations/exempt", json!({"exempt": {"nominalConcurrencyShares": 5}})).await.unwrap();
        update("flowschemas/probes", json!({"matchingPrecedence": 5})).await.unwrap();
    }
}
