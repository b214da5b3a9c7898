//! Data: views of JSON with and without declarations, lazy variables, budgets, the authorizer.

use std::sync::Arc;

use super::*;
use crate::{Activation, Authorize, Check, Decision, Error};

fn structural(schema: Json) -> Arc<DeclType> {
    DeclType::from_structural(&schema, true, "selfType").unwrap()
}

fn declared() -> Arc<DeclType> {
    structural(json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer"},
            "ratio": {"type": "number"},
            "x-y": {"type": "string"},
            "namespace": {"type": "string"},
            "when": {"type": "string", "format": "date-time"},
            "every": {"type": "string", "format": "duration"},
            "blob": {"type": "string", "format": "byte"},
            "port": {"x-kubernetes-int-or-string": true},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "pairs": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }},
    }}))
}

#[test]
fn declared_data_is_read_as_declared() {
    let decl = declared();
    let environment = Environment::new().with("self", decl.clone());
    let object = json!({
        "apiVersion": "v1", "kind": "X", "metadata": {"name": "n", "labels": {"a": "b"}},
        "spec": {
            "replicas": 3, "ratio": 1, "x-y": "dash", "namespace": "ns", "when": "2020-01-01T00:00:00Z",
            "every": "1m", "blob": "aGk=", "port": "http", "tags": ["b", "a"],
            "pairs": [{"k": "x", "v": 1}, {"k": "y", "v": 2}], "labels": {"l": "m"}, "free": {"a": 1},
        },
    });
    for (source, expect) in [
        ("self.spec.replicas + 1", "4"),
        ("self.spec.ratio", "1.0"),
        ("self.spec.x__dash__y", r#""dash""#),
        ("self.spec.__namespace__", r#""ns""#),
        ("self.spec.when.getFullYear()", "2020"),
        ("self.spec.every", "60s"),
        ("self.spec.blob", "b\"hi\""),
        ("type(self.spec.port) == string", "true"),
        ("self.spec.tags == ['a', 'b']", "true"),
        ("self.spec.tags + ['a', 'c']", r#"["b", "a", "c"]"#),
        ("self.spec.pairs.all(p, p.v > 0)", "true"),
        ("self.spec.pairs == self.spec.pairs", "true"),
        ("self.spec.labels.l", r#""m""#),
        ("self.spec.labels.all(k, k == 'l')", "true"),
        ("has(self.spec.labels.x)", "false"),
        ("has(self.spec.free)", "true"),
        ("self.spec.namespace", r#""ns""#),
        ("self.metadata.name", r#""n""#),
        ("self.spec.nothing", "compile: undefined field 'nothing'"),
        ("self.metadata.labels", "compile: undefined field 'labels'"),
        ("self.spec.free.a", "compile: undefined field 'a'"),
        ("self.spec.replicas == 'a'", "compile: found no matching overload for '_==_' applied to '(int, string)'"),
    ] {
        let found = match environment.compile(source) {
            Err(errors) => format!("compile: {}", errors.issues()[0].message),
            Ok(program) => {
                let variables = Variables::new().with("self", Value::json(&object, Some(&decl)));
                match program.evaluate(&variables, &mut Budget::default()) {
                    Ok(value) => shown(&value),
                    Err(error) => format!("error: {error}"),
                }
            }
        };
        assert_eq!(found, expect, "{source}");
    }
}

#[test]
fn undeclared_data_is_looked_into_as_it_is() {
    let environment = Environment::new().with_dynamic("object");
    let object = json!({"a": {"b": [1, 2.5, null, "x", true]}, "x-y": 1, "big": 18446744073709551615u64});
    for (source, expect) in [
        ("object.a.b[0]", "1"),
        ("object.a.b[1]", "2.5"),
        ("object.a.b[2] == null", "true"),
        ("object['x-y']", "1"),
        ("object.a.c", "error: no such key: c"),
        ("object.a.b.c", "error: no such overload"),
        ("has(object.a.c) || object.a.b.size() == 5", "true"),
        ("object.?z.?y.orValue('d')", r#""d""#),
        ("object.a.b.exists(x, x == 'x')", "true"),
        ("type(object) == map", "true"),
        ("object.a == {'b': [dyn(1), dyn(2.5), dyn(null), dyn('x'), dyn(true)]}", "true"),
    ] {
        let program = environment.compile(source).unwrap();
        let variables = Variables::new().with("object", &object);
        let found = program.evaluate(&variables, &mut Budget::default());
        let found = found.map_or_else(|error| format!("error: {error}"), |value| shown(&value));
        assert_eq!(found, expect, "{source}");
    }
}

#[test]
fn built_in_messages_are_declarations() {
    let message = api::schema::message("core/v1.Pod").unwrap();
    let environment = Environment::new().with("object", DeclType::of_message(message, "Pod"));
    for (source, expect) in [
        ("object.spec.containers.all(c, c.name != '')", ""),
        ("object.metadata.labels['a'] == 'b'", ""),
        ("object.metadata.creationTimestamp.getFullYear() > 0", ""),
        ("object.spec.containers[0].ports[0].containerPort > 80", ""),
        ("object.spec.conteiners", "undefined field 'conteiners'"),
        ("object.spec.replicas > 1", "undefined field 'replicas'"),
        ("object.spec.nodeName + 1", "found no matching overload for '_+_' applied to '(string, int)'"),
    ] {
        let found =
            environment.compile(source).map_or_else(|errors| errors.issues()[0].message.clone(), |_| String::new());
        assert_eq!(found, expect, "{source}");
    }
    // Schemas that hold themselves end.
    let message = api::schema::message("apiextensions/v1.CustomResourceDefinition").unwrap();
    DeclType::of_message(message, "CustomResourceDefinition");
}

/// One lazy variable whose fields count how often they are asked for.
struct Lazy(std::cell::Cell<u64>);

impl<'a> Activation<'a> for Lazy {
    fn variable(&self, _: &str) -> Option<Value<'a>> {
        None
    }

    fn field(&self, variable: &str, field: &str, budget: &mut Budget) -> Option<Result<Value<'a>, Error>> {
        assert_eq!((variable, field), ("variables", "a"));
        self.0.set(self.0.get() + 1);
        Some(budget.spend(5).map(|()| Value::Int(7)))
    }
}

#[test]
fn lazy_variables_are_computed_when_asked_for() {
    let fields = [("a".into(), Type::Int), ("b".into(), Type::String)];
    let environment = Environment::new().with_lazy("variables", &fields);
    let lazy = Lazy(std::cell::Cell::new(0));
    let mut budget = Budget::new(100);
    let program = environment.compile("false && variables.a == 1 || variables.a == 7").unwrap();
    assert!(program.evaluate(&lazy, &mut budget).unwrap().is_true());
    assert_eq!(lazy.0.get(), 1);
    assert!(budget.remaining() < 95);
    let errors = environment.compile("variables.c").unwrap_err();
    assert_eq!(errors.issues()[0].message, "undefined field 'c'");
}

#[test]
fn costs_end_evaluations() {
    let program = Environment::new().compile("lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))").unwrap();
    let error = program.evaluate(&Variables::new(), &mut Budget::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cost);
    // Nothing absorbs it.
    let program = Environment::new().compile("lists.range(1000000).all(x, true) || true").unwrap();
    assert_eq!(program.evaluate(&Variables::new(), &mut Budget::default()).unwrap_err().kind, ErrorKind::Cost);
    let program = Environment::new().compile("[1, 2, 3].all(x, x > 0)").unwrap();
    let mut budget = Budget::new(30);
    assert!(program.evaluate(&Variables::new(), &mut budget).unwrap().is_true());
    let error = program.evaluate(&Variables::new(), &mut budget).unwrap_err();
    assert_eq!((error.kind, budget.remaining()), (ErrorKind::Budget, 0));
}

#[test]
fn doubling_ends_before_memory_does() {
    for start in ["['x']", "'x'", "b'x'"] {
        let mut source = "v40".to_owned();
        for n in (1..=40).rev() {
            source = format!("cel.bind(v{n}, v{} + v{}, {source})", n - 1, n - 1);
        }
        let source = format!("cel.bind(v0, {start}, {source}).size() > 0");
        let program = Environment::new().compile(&source).unwrap();
        assert_eq!(program.evaluate(&Variables::new(), &mut Budget::default()).unwrap_err().kind, ErrorKind::Cost);
    }
}

/// Allows `get`, and knows nothing of `later`.
struct Gets;

impl Authorize for Gets {
    fn check(&self, check: &Check) -> Option<Decision> {
        let about = format!("{}/{}/{}/{}", check.group.as_deref()?, check.resource, check.namespace, check.name);
        (check.verb != "later").then(|| Decision { allowed: check.verb == "get", reason: about, error: None })
    }
}

impl<'a> Activation<'a> for Gets {
    fn variable(&self, name: &str) -> Option<Value<'a>> {
        let check = Check { group: Some("apps".into()), resource: "deployments".into(), ..Check::default() };
        (name == "authorizer.requestResource").then(|| Value::Check(Arc::new(check)))
    }

    fn authorizer(&self) -> &dyn Authorize {
        self
    }
}

#[test]
fn the_authorizer_is_asked() {
    let environment = Environment::new().with_authorizer();
    let ask = |source: &str| {
        let result = environment.compile(source).unwrap().evaluate(&Gets, &mut Budget::default());
        result.map_or_else(|error| format!("{:?}", error.kind), |value| shown(&value))
    };
    for (source, expect) in [
        ("authorizer.group('').resource('pods').namespace('a').name('b').check('get').allowed()", "true"),
        ("authorizer.group('').resource('pods').namespace('a').name('b').check('get').reason()", r#""/pods/a/b""#),
        ("authorizer.group('').resource('pods').check('list').allowed()", "false"),
        ("authorizer.requestResource.check('get').allowed()", "true"),
        ("authorizer.group('').resource('pods').check('later').allowed() || true", "Pending"),
        ("authorizer.group('').resource('pods').check('get').errored()", "false"),
    ] {
        assert_eq!(ask(source), expect, "{source}");
    }
}

#[test]
fn objects_are_made() {
    let environment = Environment::new().with_objects();
    let source = "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{containers: [Object.spec.containers{name: 'c'}]}}";
    let value = environment.compile(source).unwrap().evaluate(&Variables::new(), &mut Budget::default()).unwrap();
    let expect = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}]}});
    assert_eq!(value.to_json().unwrap(), expect);
    for (source, expect) in [
        ("JSONPatch{op: 1}", "expected type of field 'op' is 'string' but provided type is 'int'"),
        ("JSONPatch{nothing: 1}", "undefined field 'nothing'"),
        ("Objects{}", "undeclared reference to 'Objects' (in container '')"),
    ] {
        assert_eq!(environment.compile(source).unwrap_err().issues()[0].message, expect);
    }
    let program = environment.compile("Object{spec: Object.status{}}").unwrap();
    let Ok(Value::Struct(object)) = program.evaluate(&Variables::new(), &mut Budget::default()) else { panic!() };
    assert_eq!(
        object.misnamed(),
        [
            r#"unexpected type name "Object.status", expected "Object.spec", which matches field name path from root Object type"#
        ]
    );
    assert!(Environment::new().compile("Object{}").is_err());
    let source = "[JSONPatch{op: 'add', path: '/a', value: {'x': 1}}]";
    let value = environment.compile(source).unwrap().evaluate(&Variables::new(), &mut Budget::default()).unwrap();
    assert_eq!(value.to_json().unwrap(), json!([{"op": "add", "path": "/a", "value": {"x": 1}}]));
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::Program>();
    shared::<Environment>();
}
