//! Fields that have other names at other versions, and conversions that have to be asked for.

use std::cell::RefCell;

use super::*;
use crate::managed_fields::Entry;

/// A kind whose `a` is called `b` at `v2`, and which is converted by somebody who has to be asked.
struct Renamed {
    shape: Shape,
    known: RefCell<Vec<(Question, Value)>>,
    /// How many questions came at once.
    asked: RefCell<Vec<usize>>,
}

impl Kind for Renamed {
    fn form(&self, version: &str) -> Option<Form<'_>> {
        matches!(version, "v1" | "v2" | "v3").then(|| self.shape.form())
    }
    fn convert(&self, object: &Value, from: &str, to: &str) -> Result<Value, Unconverted> {
        let mut object = object.clone();
        object["apiVersion"] = from.into();
        let question = Question { object, to: to.into() };
        let found = self.known.borrow().iter().find(|(known, _)| *known == question).map(|(_, answer)| answer.clone());
        found.ok_or_else(|| Unconverted::Unasked(Box::new(question)))
    }
    fn reset(&self, _version: &str) -> &Reset {
        &Reset::Nothing
    }
    fn may_have_changed(&self) -> bool {
        true
    }
}

impl Renamed {
    fn new() -> Self {
        let text = || json!({"type": "string"});
        let properties = json!({"apiVersion": text(), "a": text(), "b": text(), "c": text()});
        let shape = Shape::from_open_api(&json!({"type": "object", "properties": properties}));
        Self { shape, known: RefCell::default(), asked: RefCell::default() }
    }

    /// Asks until nothing is missing.
    fn settled<T>(&self, mut attempt: impl FnMut() -> Result<T, ApplyError>) -> Result<T, ApplyError> {
        loop {
            let questions = match attempt() {
                Err(ApplyError::Unasked(questions)) => questions,
                done => return done,
            };
            self.asked.borrow_mut().push(questions.len());
            for question in questions {
                let mut answer = question.object.clone();
                let (from, to) = if &*question.to == "v2" { ("a", "b") } else { ("b", "a") };
                let members = answer.as_object_mut().unwrap();
                if let Some(value) = members.remove(from) {
                    members.insert(to.into(), value);
                }
                members.insert("apiVersion".into(), (*question.to).into());
                self.known.borrow_mut().push((question, answer));
            }
        }
    }
}

#[test]
fn a_field_that_is_renamed_has_the_owner_it_had() {
    let kind = Renamed::new();
    let now = jiff::Timestamp::from_second(1).unwrap();
    let one = || World::manager("one@v1", Operation::Apply);
    let two = || World::manager("two@v2", Operation::Apply);
    let at = |version: &str, mut object: Value| {
        object["apiVersion"] = version.into();
        object
    };
    let mut managed = ManagedFields::default();
    let applied = at("v1", json!({"a": "x", "c": "y"}));
    let live = kind.settled(|| apply(&mut managed, &kind, &json!({}), &applied, one(), false, now)).unwrap().unwrap();
    assert!(kind.asked.borrow().is_empty(), "nobody else is there");

    // At another version the field is another's.
    let live = at("v2", json!({"b": live["a"], "c": live["c"]}));
    let stolen = at("v2", json!({"b": "z"}));
    let attempt = |force| {
        let apply = || {
            let mut managed = managed.clone();
            apply(&mut managed, &kind, &live, &stolen, two(), force, now).map(|object| (object, managed))
        };
        kind.settled(apply)
    };
    assert_eq!(attempt(false).unwrap_err().to_string(), "Apply failed with 1 conflict: conflict with \"one\": .a");
    assert_eq!(*kind.asked.borrow(), [2], "both states in one go");
    let (object, managed) = attempt(true).unwrap();
    assert_eq!(object.unwrap(), at("v2", json!({"b": "z", "c": "y"})));
    let fields = |of: Manager| {
        managed.of(&of).unwrap().set().unwrap().paths().iter().map(|path| crate::fields::show(path)).collect::<Vec<_>>()
    };
    assert_eq!((fields(one()), fields(two())), (vec![".c".to_owned()], vec![".b".to_owned()]));
}

#[test]
fn what_was_applied_at_one_version_is_given_up_at_another() {
    let kind = Renamed::new();
    let now = jiff::Timestamp::from_second(1).unwrap();
    let manager = |version: &str| World::manager(&format!("one@{version}"), Operation::Apply);
    let mut managed = ManagedFields::default();
    let applied = json!({"apiVersion": "v1", "a": "x", "c": "y"});
    kind.settled(|| apply(&mut managed, &kind, &json!({}), &applied, manager("v1"), false, now)).unwrap();
    let live = json!({"apiVersion": "v2", "b": "x", "c": "y"});
    let less = json!({"apiVersion": "v2", "c": "y"});
    let (object, managed) = kind
        .settled(|| {
            let mut managed = managed.clone();
            apply(&mut managed, &kind, &live, &less, manager("v2"), false, now).map(|object| (object, managed))
        })
        .unwrap();
    assert_eq!(object.unwrap(), less);
    assert_eq!(managed.entries().len(), 1);
    assert_eq!(&*managed.entries()[0].manager.api_version, "v2");
}

#[test]
fn an_update_takes_what_is_called_otherwise_elsewhere() {
    let kind = Renamed::new();
    let now = jiff::Timestamp::from_second(1).unwrap();
    let mut managed = ManagedFields::default();
    let applied = json!({"apiVersion": "v1", "a": "x", "c": "y"});
    kind.settled(|| {
        apply(&mut managed, &kind, &json!({}), &applied, World::manager("one@v1", Operation::Apply), false, now)
    })
    .unwrap();
    let (old, new) = (json!({"apiVersion": "v2", "b": "x", "c": "y"}), json!({"apiVersion": "v2", "b": "z", "c": "y"}));
    let updater = || World::manager("two@v2", Operation::Update);
    kind.settled(|| track(&mut managed, &kind, &old, &new, updater(), now)).unwrap();
    let mut text = Vec::new();
    managed.of(&World::manager("one@v1", Operation::Apply)).unwrap().set().unwrap().write_json(&mut text);
    assert_eq!(String::from_utf8(text).unwrap(), r#"{"f:c":{}}"#);
}

/// A kind whose `v1` has `old` and whose `v2` has `new`; nobody converts either.
struct Apart(Shape, Shape);

impl Kind for Apart {
    fn form(&self, version: &str) -> Option<Form<'_>> {
        match version {
            "v1" => Some(self.0.form()),
            "v2" => Some(self.1.form()),
            _ => None,
        }
    }
    fn convert(&self, object: &Value, _from: &str, _to: &str) -> Result<Value, Unconverted> {
        Ok(object.clone())
    }
    fn reset(&self, _version: &str) -> &Reset {
        &Reset::Nothing
    }
    fn may_have_changed(&self) -> bool {
        true
    }
}

#[test]
fn what_another_version_does_not_know_is_not_lost_in_silence() {
    let shape = |own: &str| {
        let text = || json!({"type": "string"});
        let list = json!({"type": "array", "x-kubernetes-list-type": "set", "items": text()});
        Shape::from_open_api(&json!({"type": "object", "properties": {"a": text(), own: text(), "set": list}}))
    };
    let kind = Apart(shape("old"), shape("new"));
    let now = jiff::Timestamp::from_second(1).unwrap();
    let mut managed = ManagedFields::default();
    let live = json!({"a": "x"});
    let one = || World::manager("one@v1", Operation::Apply);
    let two = || World::manager("two@v2", Operation::Apply);
    apply(&mut managed, &kind, &json!({}), &live, one(), false, now).unwrap();
    let check = |live: Value, applied: Value, expect: &str| {
        let outcome = apply(&mut managed.clone(), &kind, &live, &applied, two(), false, now);
        assert_eq!(outcome.unwrap_err().to_string(), expect);
    };
    check(live.clone(), json!({"new": "x"}), "failed to convert new object: .new: field not declared in schema");
    check(json!({"new": "x"}), json!({"a": "x"}), ".new: field not declared in schema");
    // Elements that come twice can be somebody's at their own version alone.
    check(json!({"set": ["x", "x"]}), json!({"a": "x"}), ".set: duplicate entries for key [=\"x\"]");
    let unlike =
        "failed to create typed live object (/; /, Kind=): .a: expected string, got &value.valueUnstructured{Value:1}";
    check(json!({"a": 1}), json!({"a": "x"}), unlike);

    let updater = || World::manager("three@v2", Operation::Update);
    let error = track(&mut managed.clone(), &kind, &live, &json!({"a": "x", "new": "x"}), updater(), now).unwrap_err();
    assert!(matches!(error, ApplyError::Untyped(_)), "{error}");
    track(&mut managed.clone(), &kind, &live, &json!({"a": "z"}), updater(), now).unwrap();
}

#[test]
fn who_names_fields_at_no_version_is_forgotten_even_where_nothing_changes() {
    let mut world = World::new();
    world.apply("one", json!({"a": "x"})).unwrap();
    let set = Set::named(&["b"]);
    let mut put =
        |name: &str| world.managed.insert(Entry::new(World::manager(name, Operation::Update), None, set.clone()));
    put("other@gone");
    world.update("two", json!({"a": "x"}));
    world.expect(json!({"a": "x"}), &[r#"one@v1 {"f:a":{}}"#]);
    world.managed.insert(Entry::new(World::manager("other@a/b/c", Operation::Update), None, set));
    let error = world.apply("one", json!({"a": "x"})).unwrap_err();
    assert_eq!(error, "unexpected GroupVersion string: a/b/c");
}
