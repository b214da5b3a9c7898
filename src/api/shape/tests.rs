use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::schema::message;

fn of<'a>(form: Form<'a>, path: &str) -> Form<'a> {
    path.split('.').fold(form, |form, step| match form {
        Form::List(list) if step == "[]" => list.element(),
        Form::Map(map) => map.member(step).unwrap_or_else(|| panic!("no {step} on the way {path}")),
        _ => panic!("{step} of what has nothing in it: {path}"),
    })
}

/// `map[a,b]`, `set`, `atomic`, `object`, `whole object`, `scalar`, `deduced`, `whole`.
fn words(form: Form<'_>) -> String {
    match form {
        Form::Scalar(_) => "scalar".into(),
        Form::Whole => "whole".into(),
        Form::Deduced => "deduced".into(),
        Form::Map(map) if map.atomic => "whole object".into(),
        Form::Map(_) => "object".into(),
        Form::List(List { how: ListType::Map, keys, .. }) => format!("map[{}]", keys.join(",")),
        Form::List(List { how: ListType::Set, .. }) => "set".into(),
        Form::List(_) => "atomic".into(),
    }
}

#[test]
fn the_table_knows_how_lists_and_objects_are_merged() {
    for (name, path, expect) in [
        ("core/v1.Pod", "spec.containers", "map[name]"),
        ("core/v1.Pod", "spec.containers.[].ports", "map[containerPort,protocol]"),
        ("core/v1.Pod", "spec.containers.[].command", "atomic"),
        ("core/v1.Pod", "spec.containers.[].resources.limits", "object"),
        ("core/v1.Pod", "spec.nodeSelector", "whole object"),
        ("core/v1.Pod", "spec.imagePullSecrets", "map[name]"),
        ("core/v1.Pod", "spec.imagePullSecrets.[]", "whole object"),
        ("core/v1.Pod", "metadata.finalizers", "set"),
        ("core/v1.Pod", "metadata.ownerReferences", "map[uid]"),
        ("core/v1.Pod", "metadata.ownerReferences.[]", "whole object"),
        ("core/v1.Pod", "metadata.labels.anything", "scalar"),
        ("core/v1.Pod", "spec.topologySpreadConstraints", "map[topologyKey,whenUnsatisfiable]"),
        ("core/v1.Service", "spec.ports", "map[port,protocol]"),
        ("core/v1.Service", "spec.selector", "whole object"),
        ("core/v1.ServiceAccount", "secrets", "map[name]"),
        ("apps/v1.Deployment", "spec.selector", "whole object"),
        ("apps/v1.ControllerRevision", "data", "whole"),
        ("core/v1.Event", "involvedObject", "whole object"),
        ("core/v1.PersistentVolume", "spec.claimRef", "object"),
        ("rbac/v1.ClusterRole", "rules", "atomic"),
        ("apiextensions/v1.CustomResourceDefinition", "spec.versions", "atomic"),
    ] {
        assert_eq!(words(of(Form::of_message(message(name).unwrap()), path)), expect, "{name} {path}");
    }
}

#[test]
fn keys_may_have_defaults() {
    for path in ["spec.containers.[].ports", "spec.initContainers.[].ports"] {
        let Form::List(list) = of(Form::of_message(message("core/v1.Pod").unwrap()), path) else { panic!("no list") };
        assert_eq!(list.default_of("protocol"), Some(json!("TCP")));
        // What Go always writes is its zero value where nobody says it.
        assert_eq!(list.default_of("containerPort"), Some(json!(0)));
        assert_eq!(list.default_of("hostIP"), None);
    }
}

#[test]
fn schemas_of_custom_kinds() {
    let shape = Shape::from_open_api(&json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "name": {"type": "string"},
            "when": {"type": "string", "format": "date-time"},
            "port": {"x-kubernetes-int-or-string": true},
            "list": {"type": "array", "items": {"type": "string"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k", "p"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "p": {"type": "string", "default": "x"}}},
            },
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "labels": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}}}},
            "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        }},
        "metadata": {"type": "object"},
    }}));
    for (path, expect) in [
        ("spec", "object"),
        ("spec.name", "scalar"),
        ("spec.when", "scalar"),
        ("spec.port", "deduced"),
        ("spec.list", "atomic"),
        ("spec.set", "set"),
        ("spec.map", "map[k,p]"),
        ("spec.whole", "whole object"),
        ("spec.labels", "object"),
        ("spec.labels.x", "atomic"),
        ("spec.open.anything", "deduced"),
        ("spec.open.a.anything", "deduced"),
        ("spec.pod.metadata.ownerReferences", "map[uid]"),
        ("spec.pod.spec", "deduced"),
        ("metadata.finalizers", "set"),
    ] {
        assert_eq!(words(of(shape.form(), path)), expect, "{path}");
    }
    let Form::Map(spec) = of(shape.form(), "spec") else { panic!("no object") };
    assert!(spec.member("unknown").is_none() && spec.names("name") && !spec.names("unknown"));
    let Form::List(list) = of(shape.form(), "spec.map") else { panic!("no list") };
    assert_eq!(list.default_of("p"), Some(json!("x")));
    let nothing = Shape::from_open_api(&Value::Null);
    assert_eq!(words(of(nothing.form(), "metadata.finalizers")), "set");
    assert_eq!(words(of(nothing.form(), "spec")), "deduced");
}

/// Where the table and the documents differ: what stands beside a reference is not read from these.
const APART: &[&str] = &["PersistentVolumeSpec.claimRef: object here, whole object there"];

#[test]
#[expect(clippy::print_stderr, reason = "a test that has nothing to read must say so")]
fn the_table_says_what_upstreams_documents_say() {
    let Some(data) = std::env::var_os("ISOPOD_TESTDATA") else {
        eprintln!("no documents here: set ISOPOD_TESTDATA to the folder that has openapi-v3/");
        return;
    };
    let mut differ = BTreeSet::new();
    let mut compared = 0;
    for name in ["api__v1", "apis__apps__v1", "apis__batch__v1", "apis__discovery.k8s.io__v1"] {
        let path = PathBuf::from(&data).join(format!("openapi-v3/{name}.json"));
        let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            let parts: Vec<&str> = name.split('.').collect();
            let [.., group, version, kind] = parts.as_slice() else { continue };
            let Some(message) = message(&format!("{group}/{version}.{kind}")) else { continue };
            let (here, there) = (Form::of_message(message), Shape::of_document(schema));
            assert_eq!(words(here), words(there.form()), "{name}");
            for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
                let (Form::Map(here), Form::Map(there)) = (here, there.form()) else { continue };
                let (Some(here), Some(there)) = (here.member(field), there.member(field)) else { continue };
                compared += 1;
                if words(here) != words(there) {
                    differ.insert(format!("{kind}.{field}: {} here, {} there", words(here), words(there)));
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert_eq!(differ.into_iter().collect::<Vec<_>>(), APART);
}
