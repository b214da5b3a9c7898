//! Costs, estimated and measured, as Kubernetes counts them.

use std::sync::Arc;

use serde_json::json;

use super::Range;
use crate::{Activation, Authorize, Check, Decision, DeclType, Environment, Value};

struct Nothing;

impl<'a> Activation<'a> for Nothing {
    fn variable(&self, name: &str) -> Option<Value<'a>> {
        (name == "x").then_some(Value::Int(1))
    }

    fn authorizer(&self) -> &dyn Authorize {
        self
    }
}

impl Authorize for Nothing {
    fn check(&self, _: &Check) -> Option<Decision> {
        Some(Decision::default())
    }
}

#[test]
fn costs_are_upstreams() {
    let mut wrong = Vec::new();
    for (source, min, max, measured) in [
        ("url('https:://kubernetes.io/').getScheme()", 4, 4, 4),
        ("cidr('192.168.0.0/16')", 2, 2, 2),
        ("cidr('192.168.0.0/16').containsIP('192.168.0.1')", 5, 8, 5),
        ("'ABCDEFGHIJ abcdefghij'.lowerAscii()", 3, 3, 3),
        ("'ABCDEFGHIJ abcdefghij'.lowerAscii() == 'abcdefghij ABCDEFGHIJ'.lowerAscii()", 7, 9, 9),
        ("strings.quote('ABCDEFGHIJ abcdefghij')", 3, 3, 3),
        ("strings.quote('ABCDEFGHIJ abcdefghij') == strings.quote('ABCDEFGHIJ abcdefghij')", 7, 11, 9),
        ("'abc 123 def 123'.replace('123', '456')", 3, 3, 3),
        ("'abc 123 def 123'.split(' ')", 3, 3, 3),
        ("'abc 123 def 123'.substring(5)", 2, 2, 2),
        ("['aa', 'bb', 'cc', 'd', 'e', 'f', 'g', 'h', 'i', 'j'].join()", 10, 1_844_674_407_370_955_274, 13),
        ("'abc 123 def 123'.find('123')", 2, 2, 2),
        ("jsonpatch.escapeKey('abc/def~ abc/def~')", 2, 2, 2),
        ("authorizer.path('/healthz')", 2, 2, 2),
        (
            "authorizer.group('apps').resource('deployments').subresource('status').namespace('test').name('backend')",
            6,
            6,
            6,
        ),
        (
            "authorizer.group('').resource('pods').fieldSelector('spec.nodeName=example-node-name.fully.qualified.domain.name.example.com')",
            1821,
            1821,
            1821,
        ),
        ("authorizer.path('/healthz').check('get').allowed()", 350_003, 350_003, 350_003),
        ("quantity('12Mi')", 1, 1, 1),
        ("quantity('200M') == quantity('200M')", 3, 3, 3),
        ("quantity('200M') == quantity('0.2G') && quantity('0.2G') == quantity('200M')", 3, 6, 6),
        ("quantity('200M').compareTo(quantity('0.2G')) > 0", 4, 4, 4),
        ("quantity('50k').add(20).sub(quantity('100k')).sub(-50000).asInteger() > 0", 7, 7, 7),
        ("format.named('dns1123Label').value().validate('my-name')", 34, 34, 10),
        ("sets.contains([], [])", 21, 21, 21),
        ("sets.contains([1, 2, 3, 4], [2, 3])", 29, 29, 29),
        ("sets.equivalent([1, 2, 3], [3, 2, 1])", 39, 39, 39),
        ("!sets.contains([1], [2])", 23, 23, 23),
        ("x", 1, 1, 1),
        ("x + x", 3, 3, 3),
        ("x < 2 || x > 3", 2, 4, 2),
        ("true ? x : 1", 0, 1, 1),
        ("[1, 2, 3].all(i, true)", 20, 20, 20),
        ("{'a': 1}.a", 31, 31, 31),
        ("has({'a': 1}.a)", 30, 30, 30),
        ("1 in [1, 2, 3]", 13, 13, 13),
    ] {
        let program = match Environment::new().with_type("x", crate::Type::Int).with_authorizer().compile(source) {
            Ok(program) => program,
            Err(errors) => panic!("{errors}"),
        };
        let (result, cost) = program.measured(&Nothing);
        let estimate = program.cost();
        if estimate != (Range { min, max }) || cost != measured {
            wrong.push(format!("{source}: {estimate:?} {cost} ({result:?}), not {min}..{max} {measured}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The most an expression on `self` costs.
fn most(schema: serde_json::Value, source: &str) -> u64 {
    let decl: Arc<DeclType> = DeclType::from_structural(&schema, false, "selfType").unwrap();
    Environment::new().with("self", decl).compile(source).unwrap().cost().max
}

#[test]
fn sizes_come_from_the_schema() {
    let list = |items: serde_json::Value| json!({"type": "array", "items": items, "maxItems": 10});
    let text = json!({"type": "string", "maxLength": 5});
    for (schema, source, expect) in [
        (text.clone(), "self.contains('abc')", 3),
        (text.clone(), "self.startsWith('abcdefghijk')", 3),
        (list(text.clone()), "self.all(x, x == 'abcde')", 10 * (2 + 3) + 2),
        (list(text), "self.size() > 1", 3),
        (json!({"type": "array", "items": {"type": "string"}}), "self.size() < 3", 3),
        (list(list(json!({"type": "integer"}))), "self.all(x, x.all(y, y > 1))", 10 * (2 + 53) + 2),
        // The name of a type is as large as what the rule is about.
        (json!({"type": "integer"}), "type(self) == int", 3),
        (json!({"x-kubernetes-int-or-string": true}), "type(self) == int", 314_573 + 3),
        (json!({"type": "string", "maxLength": 1000}), "type(self) == string", 400 + 3),
    ] {
        assert_eq!(most(schema, source), expect, "{source}");
    }
    // Without limits only the size of a request limits it.
    let unlimited = json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}});
    assert!(most(unlimited, "self.all(x, x.all(y, y.contains(y)))") > 10_000_000);
}

#[test]
fn parts_of_what_is_computed_are_taken_for_the_whole() {
    let domain = json!({"type": "string", "maxLength": 253});
    let text = |most: u64| json!({"type": "string", "maxLength": most});
    let object = json!({"type": "object", "properties": {
        "a": text(100),
        "m": {"type": "object", "maxProperties": 10, "additionalProperties": text(7)},
        "l": {"type": "array", "maxItems": 5, "items": text(9)},
    }});
    let mut wrong = Vec::new();
    for (schema, source, expect) in [
        (&domain, "self.split('/')[0] != 'k8s.io'", 206),
        (&domain, "self.split('/')[0].contains('k8s')", 307),
        (&domain, "!format.dns1123Subdomain().validate(self.split('/')[0]).hasValue()", 3472),
        (&domain, "self.split('/').all(x, x.contains('k8s'))", 107_477),
        (&domain, "self.split('/').map(x, x + 'a')[0].contains('x')", 116_698),
        (&domain, "[self][0].contains('x')", 114),
        (&domain, "{'a': self}.a.contains('x')", 134),
        (&domain, "{'a': self}.all(k, k.contains('x'))", 138),
        (&domain, "self.split('/').join(',').contains('k')", 3_689_348_814_741_910_732),
        (&object, "self.a.split('/')[0].contains('x')", 83),
        (&object, "self.a.split('/').all(x, x.contains('y'))", 1683),
        (&object, "self.m.all(k, self.m[k].contains('x'))", 103),
        (&object, "self.m.map(k, self.m[k])[0].contains('x')", 177),
        (&object, "self.l.filter(x, x != '')[0].contains('x')", 88),
        (&object, "self.l[0].contains('x')", 7),
        (&object, "(self.l + self.l)[0].contains('x')", 6),
        (&object, "self.l.map(x, {'k': x})[0].k.contains('x')", 1_844_674_407_370_955_494),
        (&object, "self.l.all(i, x, x.contains('x'))", 43),
    ] {
        let cost = most(schema.clone(), source);
        if cost != expect {
            wrong.push(format!("{source}: {cost}, not {expect}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
