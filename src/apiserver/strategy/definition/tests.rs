//! Definitions as values: what is let pass because it was there before, and what defaults have to be.

use serde_json::{Value, json};

use super::*;

fn definition(schema: &Value, spec: Value) -> Value {
    let version = json!({ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema } });
    let names = json!({ "plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList" });
    let mut whole = json!({
        "metadata": { "name": "things.example.com" },
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": names, "versions": [version],
            "conversion": { "strategy": "None" },
        },
        "status": {
            "acceptedNames": names, "storedVersions": ["v1"],
            "conditions": [{ "type": "Established", "status": "True" }],
        },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        whole["spec"][field] = value.clone();
    }
    whole
}

fn told(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn created(new: &Value) -> Vec<String> {
    let mut errors = ErrorList::new();
    (DEFINITION.validate_create)(new, &mut errors);
    told(&errors)
}

fn updated(new: &Value, old: &Value) -> Vec<String> {
    let mut errors = ErrorList::new();
    (DEFINITION.validate_update)(new, old, &mut errors);
    told(&errors)
}

fn converted(bundle: &str, versions: &[&str]) -> Value {
    let client = json!({ "url": "https://example.com/convert", "caBundle": bundle });
    json!({ "conversion": {
        "strategy": "Webhook", "webhook": { "clientConfig": client, "conversionReviewVersions": versions },
    } })
}

#[test]
fn bundles_are_looked_at_once_a_kind_is_served() {
    use base64::Engine;
    let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    let with = |bundle: &str| definition(&json!({ "type": "object" }), converted(bundle, &["v1"]));
    let valid = encode(&crate::testing::Ca::new("ca").pem);
    let why = |bundle: &str, why: &str| {
        let path = "spec.conversion.webhookClientConfig.caBundle";
        vec![format!("{path}: Invalid value: \"{bundle}\": unable to load root certificates: {why}")]
    };
    for (pem, complaint) in [
        ("\n", "unable to parse bytes as PEM block"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "failed to parse certificate: x509: malformed certificate",
        ),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no valid certificate authority data seen"),
    ] {
        let (bad, good) = (with(&encode(pem)), with(&valid));
        assert_eq!(created(&bad), [""; 0], "it is not served yet");
        assert_eq!(updated(&bad, &bad), [""; 0], "it was so before");
        assert_eq!(updated(&bad, &good), why(&encode(pem), complaint));
        let mut unserved = good.clone();
        unserved["status"]["conditions"] = json!([]);
        assert_eq!(updated(&bad, &unserved), [""; 0]);
        assert_eq!(updated(&good, &bad), [""; 0]);
        assert_eq!(updated(&bad, &definition(&json!({ "type": "object" }), json!({}))), why(&encode(pem), complaint));
    }
    // Of several certificates one is enough.
    let mixed = encode(&format!(
        "{}-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        crate::testing::Ca::new("ca").pem
    ));
    assert_eq!(updated(&with(&mixed), &with(&valid)), [""; 0]);
}

#[test]
fn what_was_let_pass_before_is_let_pass_again() {
    let object = json!({ "type": "object" });
    let with = |versions: &[&str]| definition(&object, converted("", versions));
    let why =
        "spec.conversion.conversionReviewVersions: Invalid value: [\"v9\"]: must include at least one of v1, v1beta1";
    assert_eq!(created(&with(&["v9"])), [why]);
    assert_eq!(updated(&with(&["v9"]), &with(&["v1"])), [why]);
    assert_eq!(updated(&with(&["v9"]), &with(&["v8"])), [""; 0]);

    let fields: serde_json::Map<String, Value> =
        (0..9).map(|n| (format!("f{n}"), json!({ "type": "string" }))).collect();
    let schema = json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": fields } } });
    let mut many = definition(&schema, json!({}));
    let select = |count: usize| -> Value { (0..count).map(|n| json!({ "jsonPath": format!(".spec.f{n}") })).collect() };
    many["spec"]["versions"][0]["selectableFields"] = select(9);
    let mut few = many.clone();
    few["spec"]["versions"][0]["selectableFields"] = select(8);
    let why = "spec.selectableFields: Too many: 9: must have at most 8 items";
    assert_eq!(updated(&many, &few), [why]);
    assert_eq!(updated(&few, &many), [""; 0]);
    assert_eq!(updated(&many, &many), [""; 0]);

    let costly = |rule: &str| {
        let rules = json!([{ "rule": rule }]);
        let list = json!({ "type": "array", "items": { "type": "string", "maxLength": 10 }, "maxItems": 2500, "x-kubernetes-validations": rules });
        definition(&json!({ "type": "object", "properties": { "list": list } }), json!({}))
    };
    let rule = costly("self.all(x, self.all(y, x == y))");
    let complaints = created(&rule);
    assert!(complaints[0].contains("estimated rule cost exceeds budget by factor of"), "{complaints:?}");
    assert_eq!(updated(&rule, &rule), [""; 0], "what a rule costs alone is not held against a schema that stays");
    assert_eq!(updated(&rule, &costly("self.size() > 0")), complaints);

    let mut open = definition(&object, json!({ "preserveUnknownFields": true }));
    assert_eq!(updated(&open, &open), [""; 0]);
    open["spec"]["conversion"] = converted("", &["v1"])["conversion"].clone();
    let why =
        "spec.conversion.strategy: Invalid value: \"Webhook\": must be None if spec.preserveUnknownFields is true";
    assert_eq!(updated(&open, &open), [why]);
}

#[test]
fn the_old_value_is_as_large_as_the_new_one() {
    let rule = json!({ "rule": "self.a == oldSelf.a", "messageExpression": "'from ' + oldSelf.a + ' to ' + self.a" });
    let fields = json!({ "a": { "type": "string" } });
    let schema = json!({ "type": "object", "properties": fields, "x-kubernetes-validations": [rule] });
    assert_eq!(created(&definition(&schema, json!({}))), [""; 0]);
}

#[test]
fn urls_are_those_that_go_can_read() {
    let check = |url: &str, why: &str| {
        let mut definition = definition(&json!({ "type": "object" }), converted("", &["v1"]));
        definition["spec"]["conversion"]["webhook"]["clientConfig"]["url"] = url.into();
        let path = "spec.conversion.webhookClientConfig.url";
        assert_eq!(created(&definition), [format!("{path}: {why}; desired format: https://host[/path]")]);
    };
    let no_url = |quoted: &str, why: &str| format!("Required value: url must be a valid URL: parse {quoted}: {why}");
    check("https://a b/", &no_url("\"https://a b/\"", "invalid character \" \" in host name"));
    check("https://h:x/", &no_url("\"https://h:x/\"", "invalid port \":x\" after host"));
    check("https://h/%zz", &no_url("\"https://h/%zz\"", "invalid URL escape \"%zz\""));
    check("://h", &no_url("\"://h\"", "missing protocol scheme"));
    check("https://h\n", &no_url("\"https://h\\n\"", "net/url: invalid control character in URL"));
    check("https:///p", "Invalid value: \"\": host must be specified");
    check("http://h", "Invalid value: \"http\": 'https' is the only allowed URL scheme");
    check("HTTP://h", "Invalid value: \"http\": 'https' is the only allowed URL scheme");
}

#[test]
fn rules_are_looked_at_where_the_schema_is_one() {
    let rule = json!([{ "rule": "true", "optionalOldSelf": true }]);
    let why = |path: &str| {
        format!(
            "{path}.x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"
        )
    };
    let check = |b: Value, expect: &[&str]| {
        let a = json!({ "type": "string", "x-kubernetes-validations": rule });
        let schema = json!({ "type": "object", "properties": { "a": a, "b": b }, "x-kubernetes-validations": rule });
        let path = "spec.validation.openAPIV3Schema";
        let expect: Vec<String> = expect.iter().map(|rest| format!("{path}{rest}")).collect();
        assert_eq!(created(&definition(&schema, json!({}))), expect, "{schema}");
    };
    let (a, root) = (why(".properties[a]"), why(""));
    check(json!({ "type": "string" }), &[&a, &root]);
    let unique = ".properties[b].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    check(json!({ "type": "array", "items": { "type": "string" }, "uniqueItems": true }), &[unique, &a]);
    let definitions = ".properties[b].definitions: Forbidden: definitions is not supported";
    let inside = ".properties[b].definitions[c].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    let c = json!({ "type": "array", "uniqueItems": true });
    check(json!({ "type": "string", "definitions": { "c": c } }), &[definitions, inside]);
}

#[test]
fn defaults_are_held_against_rules_and_metadata() {
    let check = |field: Value, expect: &[&str]| {
        let schema = json!({ "type": "object", "properties": { "f": field } });
        let path = "spec.validation.openAPIV3Schema.properties[f]";
        let expect: Vec<String> = expect.iter().map(|why| format!("{path}{why}")).collect();
        assert_eq!(created(&definition(&schema, json!({}))), expect, "{schema}");
    };
    let ruled = |default: Value, rule: Value| json!({ "type": "string", "default": default, "x-kubernetes-validations": [rule] });
    check(ruled(json!("x"), json!({ "rule": "self == 'x'" })), &[]);
    check(
        ruled(json!("x"), json!({ "rule": "self != 'x'" })),
        &[".default: Invalid value: \"x\": failed rule: self != 'x'"],
    );
    check(
        ruled(json!("x"), json!({ "rule": "self != 'x'", "message": "not x", "reason": "FieldValueForbidden" })),
        &[".default: Forbidden: not x"],
    );
    // A default is a value that stays what it was, and one that is new.
    check(ruled(json!("x"), json!({ "rule": "self == oldSelf" })), &[]);
    check(
        ruled(json!("x"), json!({ "rule": "oldSelf.hasValue()", "optionalOldSelf": true })),
        &[".default: Invalid value: \"x\": failed rule: oldSelf.hasValue()"],
    );
    // Rules deeper in the default.
    let inner = json!({ "type": "integer", "x-kubernetes-validations": [{ "rule": "self > 1" }] });
    check(
        json!({ "type": "object", "properties": { "a": inner }, "default": { "a": 1 } }),
        &[".default.a: Invalid value: 1: failed rule: self > 1"],
    );

    let embedded = |name: Value| {
        let metadata = json!({ "type": "object", "properties": { "name": name } });
        json!({ "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "metadata": metadata, "spec": { "type": "object" } } })
    };
    check(embedded(json!({ "type": "string", "default": "fine" })), &[]);
    check(
        embedded(json!({ "type": "string", "default": "a/b" })),
        &[
            ".properties[metadata].properties[name].default: Invalid value: \"a/b\": must result in valid metadata: metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ],
    );
    let kind = |default: &str| {
        let kind = json!({ "type": "string", "default": default });
        json!({ "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "kind": kind, "spec": { "type": "object" } } })
    };
    check(kind("Pod"), &[]);
    check(
        kind("%"),
        &[
            ".properties[kind].default: Invalid value: \"%\": must result in valid metadata: kind: Invalid value: \"%\": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
        ],
    );
}
