//! What becomes of an object and its owners by a row of operations, as upstream's tests have them.

mod versions;

use serde_json::{Value, json};

use super::*;
use crate::fields::Set;
use crate::managed_fields::{ManagedFields, Manager, Operation};
use crate::shape::{Form, Shape};

/// A kind that looks the same at every version but `gone`.
struct Any {
    shape: Shape,
    reset: Reset,
}

impl Kind for Any {
    fn form(&self, version: &str) -> Option<Form<'_>> {
        (version != "gone").then(|| self.shape.form())
    }
    fn convert(&self, object: &Value, _from: &str, to: &str) -> Result<Value, Unconverted> {
        if to == "gone" { Err(Unconverted::NoVersion) } else { Ok(object.clone()) }
    }
    fn reset(&self, _version: &str) -> &Reset {
        &self.reset
    }
    fn may_have_changed(&self) -> bool {
        true
    }
}

fn kind() -> Any {
    let item = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "value": {"type": "integer"},
        "ports": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}, "name": {"type": "string"},
            }},
        },
    }});
    let shape = Shape::from_open_api(&json!({"type": "object", "properties": {
        "a": {"type": "string"}, "b": {"type": "string"}, "n": {"type": "number"},
        "struct": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item},
        "atomic": {"type": "array", "items": {"type": "string"}},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }}));
    Any { shape, reset: Reset::Nothing }
}

/// An object that is written again and again.
struct World {
    kind: Any,
    live: Value,
    managed: ManagedFields,
    now: i64,
}

impl World {
    fn new() -> Self {
        Self { kind: kind(), live: json!({}), managed: ManagedFields::default(), now: 0 }
    }

    fn manager(name: &str, operation: Operation) -> Manager {
        let (name, version) = name.split_once('@').unwrap_or((name, "v1"));
        Manager { name: name.into(), operation, api_version: version.into(), subresource: "".into() }
    }

    fn apply(&mut self, name: &str, object: Value) -> Result<bool, String> {
        self.apply_with(name, object, false)
    }

    fn apply_with(&mut self, name: &str, object: Value, force: bool) -> Result<bool, String> {
        self.now += 1;
        let now = jiff::Timestamp::from_second(self.now).unwrap();
        validate(self.kind.shape.form(), &object, false)?;
        let manager = Self::manager(name, Operation::Apply);
        let mut managed = self.managed.clone();
        let new =
            apply(&mut managed, &self.kind, &self.live, &object, manager, force, now).map_err(|e| e.to_string())?;
        self.managed = managed;
        let changed = new.is_some();
        self.live = new.unwrap_or_else(|| self.live.clone());
        Ok(changed)
    }

    fn update(&mut self, name: &str, object: Value) {
        self.now += 1;
        let now = jiff::Timestamp::from_second(self.now).unwrap();
        let manager = Self::manager(name, Operation::Update);
        track(&mut self.managed, &self.kind, &self.live, &object, manager, now).unwrap();
        self.live = object;
    }

    /// `name: fields` of each manager; those who update have a star.
    fn owners(&self) -> Vec<String> {
        let show = |entry: &crate::managed_fields::Entry| {
            let mut text = Vec::new();
            entry.set().unwrap().write_json(&mut text);
            let star = if entry.manager.operation == Operation::Update { "*" } else { "" };
            format!("{star}{}@{} {}", entry.manager.name, entry.manager.api_version, String::from_utf8(text).unwrap())
        };
        self.managed.entries().iter().map(show).collect()
    }

    #[track_caller]
    fn expect(&self, live: Value, owners: &[&str]) {
        assert_eq!(self.live, live);
        assert_eq!(self.owners(), owners);
    }
}

#[test]
fn what_is_no_longer_applied_goes_if_nobody_else_owns_it() {
    let mut world = World::new();
    world.apply("one", json!({"list": [{"name": "a"}, {"name": "b"}], "a": "x", "map": {"k": "v", "l": "w"}})).unwrap();
    world.apply("two@v2", json!({"list": [{"name": "c"}], "map": {"l": "w"}})).unwrap();
    world.apply("one@v3", json!({"list": [{"name": "a"}]})).unwrap();
    world.expect(
        json!({"list": [{"name": "a"}, {"name": "c"}], "map": {"l": "w"}}),
        &[
            r#"two@v2 {"f:list":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}},"f:map":{"f:l":{}}}"#,
            r#"one@v3 {"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}"#,
        ],
    );
    world.apply("one@v3", json!({})).unwrap();
    world.expect(
        json!({"list": [{"name": "c"}], "map": {"l": "w"}}),
        &[r#"two@v2 {"f:list":{"k:{\"name\":\"c\"}":{".":{},"f:name":{}}},"f:map":{"f:l":{}}}"#],
    );
}

#[test]
fn the_same_value_is_shared_and_another_is_a_conflict() {
    let mut world = World::new();
    world.apply("one", json!({"list": [{"name": "a", "value": 0}]})).unwrap();
    assert_eq!(world.apply("two", json!({"list": [{"name": "a", "value": 0}]})), Ok(false));
    assert_eq!(world.owners().len(), 2);
    assert_eq!(
        world.apply("two", json!({"list": [{"name": "a", "value": 1}]})),
        Err(r#"Apply failed with 1 conflict: conflict with "one": .list[name="a"].value"#.into())
    );
    // Forced, the other owner loses what was changed and keeps the rest.
    world.apply_with("two", json!({"list": [{"name": "a", "value": 1}]}), true).unwrap();
    world.expect(
        json!({"list": [{"name": "a", "value": 1}]}),
        &[
            r#"one@v1 {"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}}}"#,
            r#"two@v1 {"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:value":{}}}}"#,
        ],
    );
}

#[test]
fn conflicts_name_every_owner_and_field() {
    let mut world = World::new();
    world.apply("one", json!({"a": "1", "struct": {"x": "1"}})).unwrap();
    let mut new = world.live.clone();
    new["b"] = json!("1");
    world.update("other@apps/v1", new);
    let why = world.apply("two", json!({"a": "2", "b": "2", "struct": {"x": "2"}})).unwrap_err();
    assert_eq!(
        why,
        "Apply failed with 3 conflicts: conflicts with \"one\":\n- .a\n- .struct.x\nconflicts with \"other\" using apps/v1:\n- .b"
    );
}

#[test]
fn an_update_owns_what_it_changes() {
    let mut world = World::new();
    world.apply("one", json!({"a": "1", "list": [{"name": "a"}], "set": ["x"]})).unwrap();
    world.update("ctl", json!({"a": "2", "list": [{"name": "a", "value": 3}], "set": ["x", "y"]}));
    let ctl = r#"*ctl@v1 {"f:a":{},"f:list":{"k:{\"name\":\"a\"}":{"f:value":{}}},"f:set":{"v:\"y\"":{}}}"#;
    world.expect(
        json!({"a": "2", "list": [{"name": "a", "value": 3}], "set": ["x", "y"]}),
        &[r#"one@v1 {"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{}}},"f:set":{"v:\"x\"":{}}}"#, ctl],
    );
    // Nothing new is nobody's.
    let before = world.managed.to_value();
    world.update("somebody", world.live.clone());
    assert_eq!(world.managed.to_value(), before);
    // What an applier no longer wants stays if another owns it; an element goes with all that is in it.
    world.apply("one", json!({})).unwrap();
    world.expect(json!({"a": "2", "list": null, "set": ["y"]}), &[r#"*ctl@v1 {"f:a":{},"f:set":{"v:\"y\"":{}}}"#]);
    // What is removed is nobody's.
    world.update("ctl", json!({}));
    world.expect(json!({}), &[]);
}

#[test]
fn whole_values_are_owned_as_one() {
    let mut world = World::new();
    world.apply("one", json!({"whole": {"a": "1"}, "atomic": ["x"], "map": {"a": "1"}})).unwrap();
    let why = world.apply("two", json!({"whole": {"b": "1"}})).unwrap_err();
    assert_eq!(why, r#"Apply failed with 1 conflict: conflict with "one": .whole"#);
    world.apply("two", json!({"map": {"b": "1"}})).unwrap();
    world.apply_with("two", json!({"atomic": ["y"], "map": {"b": "1"}}), true).unwrap();
    world.expect(
        json!({"whole": {"a": "1"}, "atomic": ["y"], "map": {"a": "1", "b": "1"}}),
        &[r#"one@v1 {"f:map":{"f:a":{}},"f:whole":{}}"#, r#"two@v1 {"f:atomic":{},"f:map":{"f:b":{}}}"#],
    );
}

#[test]
fn lists_keep_the_order_applied() {
    for (live, applied, expect) in [
        (&["a", "b", "c"][..], &["d"][..], &["a", "b", "c", "d"][..]),
        (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
        (&["a", "b"], &["x", "a"], &["x", "a", "b"]),
        (&["a", "b", "c", "d"], &["b", "x", "d"], &["a", "b", "c", "x", "d"]),
        (&[], &["b", "a"], &["b", "a"]),
        (&["a", "b"], &[], &["a", "b"]),
    ] {
        let kind = kind();
        let merged = merge(kind.shape.form(), &json!({"set": live}), &json!({"set": applied}));
        assert_eq!(merged["set"], json!(expect), "{live:?} {applied:?}");
        let named = |names: &[&str]| Value::from_iter(names.iter().map(|name| json!({"name": name})));
        let merged = merge(kind.shape.form(), &json!({"list": named(live)}), &json!({"list": named(applied)}));
        assert_eq!(merged["list"], named(expect), "{live:?} {applied:?}");
    }
}

#[test]
fn keys_with_defaults_need_not_be_applied() {
    let mut world = World::new();
    let ports = |ports: Value| json!({"list": [{"name": "a", "ports": ports}]});
    world.apply("one", ports(json!([{"port": 80}]))).unwrap();
    assert_eq!(
        world.owners(),
        [
            r#"one@v1 {"f:list":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}}"#
        ]
    );
    world
        .apply("one", ports(json!([{"port": 80, "protocol": "TCP", "name": "x"}, {"port": 80, "protocol": "UDP"}])))
        .unwrap();
    assert_eq!(
        world.live["list"][0]["ports"],
        json!([{"port": 80, "protocol": "TCP", "name": "x"}, {"port": 80, "protocol": "UDP"}])
    );
}

#[test]
fn duplicates_are_owned_as_one_and_not_applied() {
    let mut world = World::new();
    world.update(
        "old",
        json!({"list": [{"name": "a", "value": 1}, {"name": "a", "value": 2}, {"name": "b"}], "set": ["x", "x"]}),
    );
    world.expect(world.live.clone(), &[
        r#"*old@v1 {"f:list":{".":{},"k:{\"name\":\"a\"}":{},"k:{\"name\":\"b\"}":{".":{},"f:name":{}}},"f:set":{".":{},"v:\"x\"":{}}}"#,
    ]);
    let why = world.apply("one", json!({"set": ["x", "x"]})).unwrap_err();
    assert_eq!(why, r#".set: duplicate entries for key [="x"]"#);
    // Applied, the duplicate becomes one.
    world.apply_with("one", json!({"list": [{"name": "a", "value": 3}]}), true).unwrap();
    assert_eq!(world.live["list"], json!([{"name": "a", "value": 3}, {"name": "b"}]));
}

#[test]
fn empty_and_null_values_are_told_apart() {
    let mut world = World::new();
    world.apply("one", json!({"struct": {}, "map": {}, "list": null, "a": null, "atomic": [], "set": []})).unwrap();
    world.expect(
        json!({"struct": {}, "map": {}, "list": null, "a": null, "atomic": [], "set": []}),
        &[r#"one@v1 {"f:a":{},"f:atomic":{},"f:list":{},"f:map":{},"f:struct":{}}"#],
    );
    assert_eq!(world.apply("one", world.live.clone()), Ok(false));
}

#[test]
fn nobody_owns_what_every_object_has() {
    let mut world = World::new();
    let object = json!({"apiVersion": "e.io/v1", "kind": "K", "metadata": {"name": "n", "labels": {"a": "b"}, "uid": "u"}, "a": "1"});
    world.apply("one", object.clone()).unwrap();
    let expect = r#"one@v1 {"f:a":{},"f:metadata":{"f:labels":{"f:a":{}}}}"#;
    assert_eq!(world.owners(), [expect]);
    let mut world = World::new();
    world.update("two", object);
    assert_eq!(world.owners(), [r#"*two@v1 {"f:a":{},"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#]);
}

#[test]
fn what_was_there_before_the_first_apply_is_somebodys() {
    let mut world = World::new();
    world.live = json!({"a": "1", "b": "1"});
    let why = world.apply("one", json!({"a": "2"})).unwrap_err();
    assert_eq!(why, r#"Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .a"#);
    world.apply_with("one", json!({"a": "2"}), true).unwrap();
    world.expect(json!({"a": "2", "b": "1"}), &[r#"one@v1 {"f:a":{}}"#, r#"*before-first-apply@v1 {"f:b":{}}"#]);
}

#[test]
fn owners_at_versions_that_are_gone_are_forgotten() {
    let mut world = World::new();
    world.apply("one", json!({"a": "1", "b": "1"})).unwrap();
    let mut entry = world.managed.entries()[0].clone();
    entry.manager.api_version = "gone".into();
    world.managed = ManagedFields::default();
    world.managed.insert(entry);
    world.apply("two", json!({"a": "2"})).unwrap();
    world.expect(json!({"a": "2", "b": "1"}), &[r#"two@v1 {"f:a":{}}"#]);
}

#[test]
fn what_a_write_cannot_set_is_not_its_own() {
    let mut world = World::new();
    world.kind.reset = Reset::These(Set::named(&["status"]));
    world.apply("one", json!({"a": "1", "status": {"x": "1"}})).unwrap();
    assert_eq!(world.owners(), [r#"one@v1 {"f:a":{}}"#]);
    world.kind.reset = Reset::AllBut(&[&["status"]]);
    world.update("ctl", json!({"a": "2", "status": {"x": "2"}}));
    assert_eq!(world.owners(), [r#"one@v1 {"f:a":{}}"#, r#"*ctl@v1 {"f:status":{"f:x":{}}}"#]);
    world.kind.reset = Reset::AllBut(&[&["list", "*", "value"]]);
    world.update("ctl", json!({"a": "3", "list": [{"name": "a", "value": 1}]}));
    assert_eq!(
        world.owners()[1],
        r#"*ctl@v1 {"f:list":{".":{},"k:{\"name\":\"a\"}":{".":{},"f:value":{}}},"f:status":{"f:x":{}}}"#
    );
}

#[test]
fn owners_follow_a_schema_that_takes_more_as_a_whole() {
    let mut world = World::new();
    world.apply("one", json!({"list": [{"name": "a"}], "map": {"k": "v"}})).unwrap();
    let shape = json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        "map": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "a": {"type": "string"},
    }});
    world.kind.shape = Shape::from_open_api(&shape);
    let why = world.apply("two", json!({"map": {"l": "v"}})).unwrap_err();
    assert_eq!(why, r#"Apply failed with 1 conflict: conflict with "one": .map"#);
    world.apply("two", json!({"a": "1"})).unwrap();
    assert_eq!(world.owners()[0], r#"one@v1 {"f:list":{},"f:map":{}}"#);
}

#[test]
fn what_is_deduced_is_merged_by_what_it_is() {
    let mut world = World::new();
    world.apply("one", json!({"open": {"m": {"x": 1}, "l": [1], "s": "a"}})).unwrap();
    world.apply("two", json!({"open": {"m": {"y": 2}}})).unwrap();
    world.expect(
        json!({"open": {"m": {"x": 1, "y": 2}, "l": [1], "s": "a"}}),
        &[
            r#"one@v1 {"f:open":{"f:l":{},"f:m":{".":{},"f:x":{}},"f:s":{}}}"#,
            r#"two@v1 {"f:open":{"f:m":{".":{},"f:y":{}}}}"#,
        ],
    );
    // A map that becomes something else loses its members.
    world.update("ctl", json!({"open": {"m": "text", "l": [1], "s": {"now": "map"}}}));
    assert_eq!(
        world.owners(),
        [r#"one@v1 {"f:open":{"f:l":{}}}"#, r#"*ctl@v1 {"f:open":{"f:m":{},"f:s":{".":{},"f:now":{}}}}"#,]
    );
}

#[test]
fn what_does_not_fit_the_schema_is_refused_in_upstreams_words() {
    for (object, expect) in [
        (json!({"nope": 1}), ".nope: field not declared in schema"),
        (json!({"a": 1}), ".a: expected string, got &value.valueUnstructured{Value:1}"),
        (json!({"n": "x"}), ".n: expected numeric (int or float), got string"),
        (json!({"list": {"a": "b"}}), ".list: expected list, got &{map[a:b]}"),
        (json!({"struct": ["a"]}), ".struct: expected map, got &{[a]}"),
        (
            json!({"list": [{"value": 1}]}),
            r#".list: element 0: associative list with keys has an element that omits all key fields ["name"] (and doesn't have default values for any key fields)"#,
        ),
        (json!({"list": [{"name": "a"}, {"name": "a"}]}), r#".list: duplicate entries for key [name="a"]"#),
        (json!({"list": [{"name": "a", "x": 1}]}), r#".list[name="a"].x: field not declared in schema"#),
        (
            json!({"a": 1, "b": {"c": [true, null]}}),
            "errors:\n  .a: expected string, got &value.valueUnstructured{Value:1}\n  .b: expected string, got \
             &value.valueUnstructured{Value:map[string]interface {}{\"c\":[]interface {}{true, interface {}(nil)}}}",
        ),
    ] {
        assert_eq!(validate(kind().shape.form(), &object, false), Err(expect.to_owned()));
    }
}

#[test]
fn a_set_that_does_not_change_is_not_written_anew() {
    let form = r#"{ "f:a":{}, "f:b":{} }"#;
    let text = format!(
        r#"[{{"manager":"ctl","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{form}}}]"#
    );
    let mut world = World::new();
    world.managed = ManagedFields::parse(&text).unwrap();
    world.kind.shape = Shape::from_open_api(
        &json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}}}),
    );
    world.live = json!({"a": "1", "b": "1"});
    world.update("ctl", json!({"a": "2", "b": "1"}));
    let mut written = Vec::new();
    world.managed.write_json(&mut written);
    assert!(String::from_utf8(written).unwrap().contains(form));
    world.update("ctl", json!({"a": "2", "b": "1", "c": "1"}));
    assert_eq!(world.owners(), [r#"*ctl@v1 {"f:a":{},"f:b":{},"f:c":{}}"#]);
}

#[test]
fn what_kubectl_applied_before_is_its_own() {
    let kind = kind();
    let last = json!({"apiVersion": "v1", "a": "1", "b": "1", "map": {"k": "v"}});
    let annotations = json!({(last_applied::LAST_APPLIED): last.to_string()});
    let live = json!({"apiVersion": "v1", "metadata": {"annotations": annotations}, "a": "1", "b": "other", "n": 3, "map": {"k": "v"}});
    let own = from_last_applied(kind.shape.form(), &live, "v1").unwrap();
    assert_eq!(own, Set::named(&["apiVersion", "a", "map.k"]));
    assert!(from_last_applied(kind.shape.form(), &live, "v2").is_none());
    let mut live = live;
    sync_last_applied(&mut live, &json!({"b": "2", "apiVersion": "v1"}));
    assert_eq!(live["metadata"]["annotations"][last_applied::LAST_APPLIED], "{\"apiVersion\":\"v1\",\"b\":\"2\"}\n");
}

#[test]
fn what_is_very_deep_is_owned_as_a_whole() {
    let deep = |value: i32| (0..120).fold(json!(value), |inside, _| json!({"x": inside}));
    let mut world = World::new();
    world.apply("one", json!({"open": deep(1)})).unwrap();
    world.update("two", json!({"open": deep(2)}));
    let paths = |at: usize| world.managed.entries()[at].set().unwrap().paths();
    assert!(world.managed.entries().iter().enumerate().all(|(at, _)| paths(at).iter().all(|path| path.len() <= DEPTH)));
    assert_eq!(paths(1).len(), 1);
    let whole = json!({"metadata": {"managedFields": world.managed.to_value()}}).to_string();
    assert!(serde_json::from_str::<Value>(&whole).is_ok());
}
