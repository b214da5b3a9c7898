//! The complaints are those that upstream's validator makes of the same schemas and values.

use serde_json::{Value, json};

use super::{Schema, validate_structural};
use crate::validation::field::{ErrorList, Path};

fn field(schema: Value) -> std::sync::Arc<Schema> {
    Schema::compile(&json!({ "type": "object", "properties": { "x": schema } }))
}

fn sorted(errors: ErrorList) -> Vec<String> {
    let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}

fn expected(texts: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    texts.sort();
    texts
}

#[test]
#[rustfmt::skip]
fn values_are_held_against_their_schema() {
    let check = |schema: Value, value: Value, expect: &[&str]| {
        let (compiled, object) = (field(schema.clone()), json!({ "x": value }));
        let mut errors = compiled.validate(&object, "");
        errors.extend(compiled.validate_lists(&object));
        assert_eq!(sorted(errors), expected(expect), "{schema} {object}");
    };
    check(json!({"type": "integer"}), json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type integer: "number""#]);
    check(json!({"type": "string"}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type string: "integer""#]);
    check(json!({"type": "string"}), json!("12%"), &[]);
    check(json!({"type": "number"}), json!("a"), &[r#"x: Invalid value: "string": x in body must be of type number: "string""#]);
    check(json!({"type": "boolean"}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type boolean: "integer""#]);
    check(json!({"type": "object"}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type object: "integer""#]);
    check(json!({"type": "object"}), json!({"a": 1}), &[]);
    check(json!({"type": "array", "items": {"type": "string"}}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type array: "integer""#]);
    check(json!({"type": "array", "items": {"type": "string"}}), json!(["a", 1]), &[r#"x[1]: Invalid value: "integer": x[1] in body must be of type string: "integer""#]);
    check(json!({"x-kubernetes-int-or-string": true}), json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type integer,string: "number""#]);
    check(json!({"x-kubernetes-preserve-unknown-fields": true}), json!(1.5), &[]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type string: "integer""#, r#"x: Unsupported value: 1: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type string: "number""#, r#"x: Unsupported value: 1.5: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!("12%"), &[r#"x: Unsupported value: "12%": supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(true), &[r#"x: Invalid value: "boolean": x in body must be of type string: "boolean""#, r#"x: Unsupported value: true: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(null), &[r#"x: Invalid value: "null": x in body must be of type string: "null""#, r#"x: Unsupported value: null: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!([]), &[r#"x: Invalid value: "array": x in body must be of type string: "array""#, r#"x: Unsupported value: []: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(["a", 1]), &[r#"x: Invalid value: "array": x in body must be of type string: "array""#, r#"x: Unsupported value: ["a",1]: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!({}), &[r#"x: Invalid value: "object": x in body must be of type string: "object""#, r#"x: Unsupported value: {}: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!({"a": 1}), &[r#"x: Invalid value: "object": x in body must be of type string: "object""#, r#"x: Unsupported value: {"a":1}: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(-3), &[r#"x: Invalid value: "integer": x in body must be of type string: "integer""#, r#"x: Unsupported value: -3: supported values: "a", "b""#]);
    check(json!({"type": "string", "enum": ["a", "b"]}), json!(1e+30), &[r#"x: Invalid value: "number": x in body must be of type string: "number""#, r#"x: Unsupported value: 1e+30: supported values: "a", "b""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!("a"), &[r#"x: Invalid value: "string": x in body must be of type integer: "string""#, r#"x: Unsupported value: "a": supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(true), &[r#"x: Invalid value: "boolean": x in body must be of type integer: "boolean""#, r#"x: Unsupported value: true: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(null), &[r#"x: Invalid value: "null": x in body must be of type integer: "null""#, r#"x: Unsupported value: null: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!([]), &[r#"x: Invalid value: "array": x in body must be of type integer: "array""#, r#"x: Unsupported value: []: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(["a", 1]), &[r#"x: Invalid value: "array": x in body must be of type integer: "array""#, r#"x: Unsupported value: ["a",1]: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!({}), &[r#"x: Invalid value: "object": x in body must be of type integer: "object""#, r#"x: Unsupported value: {}: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!({"a": 1}), &[r#"x: Invalid value: "object": x in body must be of type integer: "object""#, r#"x: Unsupported value: {"a":1}: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(-3), &[r#"x: Unsupported value: -3: supported values: "1", "2""#]);
    check(json!({"type": "integer", "enum": [1, 2]}), json!(1e+30), &[r#"x: Invalid value: "number": x in body must be of type integer: "number""#, r#"x: Unsupported value: 1e+30: supported values: "1", "2""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(1), &[r#"x: Invalid value: "integer": x in body must be of type string: "integer""#, r#"x: Unsupported value: 1: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type string: "number""#, r#"x: Unsupported value: 1.5: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!("12%"), &[r#"x: Unsupported value: "12%": supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(true), &[r#"x: Invalid value: "boolean": x in body must be of type string: "boolean""#, r#"x: Unsupported value: true: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(null), &[r#"x: Unsupported value: null: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!([]), &[r#"x: Invalid value: "array": x in body must be of type string: "array""#, r#"x: Unsupported value: []: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(["a", 1]), &[r#"x: Invalid value: "array": x in body must be of type string: "array""#, r#"x: Unsupported value: ["a",1]: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!({}), &[r#"x: Invalid value: "object": x in body must be of type string: "object""#, r#"x: Unsupported value: {}: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!({"a": 1}), &[r#"x: Invalid value: "object": x in body must be of type string: "object""#, r#"x: Unsupported value: {"a":1}: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(-3), &[r#"x: Invalid value: "integer": x in body must be of type string: "integer""#, r#"x: Unsupported value: -3: supported values: "a""#]);
    check(json!({"type": "string", "enum": ["a"], "nullable": true}), json!(1e+30), &[r#"x: Invalid value: "number": x in body must be of type string: "number""#, r#"x: Unsupported value: 1e+30: supported values: "a""#]);
    check(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+%$"}), json!(1.5), &[r#"x: Invalid value: "number": x in body must be of type integer,string: "number""#, r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#, r#"x: Invalid value: "number": x in body must be of type integer: "number""#]);
    check(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+%$"}), json!(2.0), &[]);
    check(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+%$"}), json!("a"), &[r#"x: Invalid value: "a": x in body should match '^[0-9]+%$'"#]);
    check(json!({"type": "number", "minimum": 5}), json!(0), &[r#"x: Invalid value: 0: x in body should be greater than or equal to 5"#]);
    check(json!({"type": "number", "minimum": 5, "exclusiveMinimum": true}), json!(0), &[r#"x: Invalid value: 0: x in body should be greater than 5"#]);
    check(json!({"type": "number", "multipleOf": 0.5}), json!(0), &[r#"x: Invalid value: 0: factor MultipleOf declared for x must be positive: 0"#]);
    check(json!({"type": "number", "maximum": 5.5}), json!(0), &[]);
    check(json!({"type": "integer", "minimum": 1e+22}), json!(0), &[]);
    check(json!({"type": "integer", "maximum": 5}), json!(5), &[]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(5), &[]);
    check(json!({"type": "number", "multipleOf": 3}), json!(5), &[r#"x: Invalid value: 5: x in body should be a multiple of 3"#]);
    check(json!({"type": "number", "maximum": 5}), json!(10), &[r#"x: Invalid value: 10: x in body should be less than or equal to 5"#]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(10), &[r#"x: Invalid value: 10: x in body should be less than 10"#]);
    check(json!({"type": "number", "maximum": 5}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be less than or equal to 5"#]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be less than 10"#]);
    check(json!({"type": "number", "multipleOf": 3}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be a multiple of 3"#]);
    check(json!({"type": "number", "maximum": 5.5}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be less than or equal to 5.5"#]);
    check(json!({"type": "number", "minimum": 1000000.5}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be greater than or equal to 1.0000005e+06"#]);
    check(json!({"type": "number", "minimum": 2000000}), json!(10.5), &[r#"x: Invalid value: 10.5: x in body should be greater than or equal to 2e+06"#]);
    check(json!({"type": "number", "multipleOf": 0.1}), json!(10.5), &[]);
    check(json!({"type": "number", "maximum": 5}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be less than or equal to 5"#]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be less than 10"#]);
    check(json!({"type": "number", "multipleOf": 3}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be a multiple of 3"#]);
    check(json!({"type": "number", "maximum": 5.5}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be less than or equal to 5.5"#]);
    check(json!({"type": "number", "minimum": 1000000.5}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be greater than or equal to 1.0000005e+06"#]);
    check(json!({"type": "number", "minimum": 2000000}), json!(1000000.0), &[r#"x: Invalid value: 1e+06: x in body should be greater than or equal to 2e+06"#]);
    check(json!({"type": "number", "multipleOf": 0.5}), json!(1e+21), &[r#"x: Invalid value: 1e+21: x in body should be a multiple of 0.5"#]);
    check(json!({"type": "number", "maximum": 5}), json!(123456789.5), &[r#"x: Invalid value: 1.234567895e+08: x in body should be less than or equal to 5"#]);
    check(json!({"type": "number", "minimum": 5, "exclusiveMinimum": true}), json!(123456789.5), &[]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(123456789.5), &[r#"x: Invalid value: 1.234567895e+08: x in body should be less than 10"#]);
    check(json!({"type": "number", "multipleOf": 3}), json!(123456789.5), &[r#"x: Invalid value: 1.234567895e+08: x in body should be a multiple of 3"#]);
    check(json!({"type": "number", "maximum": 5.5}), json!(123456789.5), &[r#"x: Invalid value: 1.234567895e+08: x in body should be less than or equal to 5.5"#]);
    check(json!({"type": "number", "minimum": 1e+22}), json!(123456789.5), &[r#"x: Invalid value: 1.234567895e+08: x in body should be greater than or equal to 1e+22"#]);
    check(json!({"type": "number", "minimum": 5}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be greater than or equal to 5"#]);
    check(json!({"type": "number", "minimum": 5, "exclusiveMinimum": true}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be greater than 5"#]);
    check(json!({"type": "number", "multipleOf": 3}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be a multiple of 3"#]);
    check(json!({"type": "number", "multipleOf": 0.5}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be a multiple of 0.5"#]);
    check(json!({"type": "number", "minimum": 1000000.5}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be greater than or equal to 1.0000005e+06"#]);
    check(json!({"type": "number", "minimum": 2000000}), json!(1e-05), &[r#"x: Invalid value: 1e-05: x in body should be greater than or equal to 2e+06"#]);
    check(json!({"type": "number", "minimum": 5}), json!(-1), &[r#"x: Invalid value: -1: x in body should be greater than or equal to 5"#]);
    check(json!({"type": "number", "minimum": 5, "exclusiveMinimum": true}), json!(-1), &[r#"x: Invalid value: -1: x in body should be greater than 5"#]);
    check(json!({"type": "number", "maximum": 10, "exclusiveMaximum": true}), json!(-1), &[]);
    check(json!({"type": "number", "multipleOf": 3}), json!(-1), &[r#"x: Invalid value: -1: x in body should be a multiple of 3"#]);
    check(json!({"type": "string", "minLength": 2}), json!(""), &[r#"x: Invalid value: "": x in body should be at least 2 chars long"#]);
    check(json!({"type": "string", "pattern": "^a+$"}), json!(""), &[r#"x: Invalid value: "": x in body should match '^a+$'"#]);
    check(json!({"type": "string", "maxLength": 1, "pattern": "x"}), json!(""), &[r#"x: Invalid value: "": x in body should match 'x'"#]);
    check(json!({"type": "string", "maxLength": 1}), json!("abc"), &[r#"x: Too long: may not be more than 1 byte"#]);
    check(json!({"type": "string", "maxLength": 3}), json!("abcdef"), &[r#"x: Too long: may not be more than 3 bytes"#]);
    check(json!({"type": "array", "items": {"type": "string"}, "minItems": 1}), json!([]), &[r#"x: Invalid value: 0: x in body should have at least 1 items"#]);
    check(json!({"type": "array", "items": {"type": "string"}, "maxItems": 1}), json!(["a", "a"]), &[r#"x: Too many: 2: must have at most 1 item"#]);
    check(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true}), json!(["a", "a"]), &[r#"x: Invalid value: "": x in body shouldn't contain duplicates"#]);
    check(json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}), json!(["a", "a"]), &[r#"x[1]: Duplicate value: "a""#]);
    check(json!({"type": "array", "items": {"type": "string"}, "maxItems": 2}), json!(["a", "b", "c"]), &[r#"x: Too many: 3: must have at most 2 items"#]);
    check(json!({"type": "object", "minProperties": 1}), json!({}), &[r#"x: Invalid value: 0: x in body should have at least 1 properties"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "c"]}), json!({}), &[r#"x.a: Required value"#, r#"x.c: Required value"#]);
    check(json!({"type": "object", "additionalProperties": false}), json!({"a": "b"}), &[r#"x: Invalid value: "a": x.a in body is a forbidden property"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "c"]}), json!({"a": "b"}), &[r#"x.c: Required value"#]);
    check(json!({"type": "object", "additionalProperties": {"type": "string"}}), json!({"a": 1}), &[r#"x.a: Invalid value: "integer": x.a in body must be of type string: "integer""#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "c"]}), json!({"a": 1}), &[r#"x.a: Invalid value: "integer": x.a in body must be of type string: "integer""#, r#"x.c: Required value"#]);
    check(json!({"type": "object", "additionalProperties": false}), json!({"a": "b", "c": "d"}), &[r#"x: Invalid value: "a": x.a in body is a forbidden property"#, r#"x: Invalid value: "c": x.c in body is a forbidden property"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({}), &[r#"<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid"#, r#"x.a: Required value"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({}), &[r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#, r#"x.a: Required value"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({}), &[r#"x.a: Required value"#, r#"x.b: Required value"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf). None validated"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"a": "x"}), &[]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"a": "x"}), &[r#"x.b: Required value"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "not": {"required": ["a"]}}), json!({"a": "x"}), &[r#"<nil>: Invalid value: "": "x" must not validate the schema (not)"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "oneOf": [{"properties": {"a": {"enum": ["x"]}}, "required": ["a"]}, {"properties": {"b": {"minimum": 5}}}]}), json!({"a": "x"}), &[r#"<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "anyOf": [{"properties": {"a": {"pattern": "^y"}}}, {"properties": {"c": {"required": ["d"]}}, "required": ["c"]}]}), json!({"a": "x"}), &[r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#, r#"x.a: Invalid value: "x": x.a in body should match '^y'"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"b": 1}), &[r#"x.a: Required value"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "oneOf": [{"properties": {"a": {"enum": ["x"]}}, "required": ["a"]}, {"properties": {"b": {"minimum": 5}}}]}), json!({"b": 1}), &[r#"<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found none valid"#, r#"x.b: Invalid value: 1: x.b in body should be greater than or equal to 5"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"anyOf": [{"required": ["c"]}, {"not": {"required": ["b"]}}]}, {"properties": {"b": {"maximum": 1}}}]}), json!({"b": 1}), &[r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#, r#"x.c: Required value"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"anyOf": [{"required": ["c"]}, {"not": {"required": ["b"]}}]}, {"properties": {"b": {"maximum": 1}}}]}), json!({"a": "x", "b": 2}), &[r#"<nil>: Invalid value: "": "x" must validate at least one schema (anyOf)"#, r#"x.c: Required value"#, r#"x.b: Invalid value: 2: x.b in body should be less than or equal to 1"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf). None validated"#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"a": 1}), &[r#"x.b: Required value"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#, r#"x.a: Invalid value: "integer": x.a in body must be of type string: "integer""#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "not": {"required": ["a"]}}), json!({"a": 1}), &[r#"<nil>: Invalid value: "": "x" must not validate the schema (not)"#, r#"x.a: Invalid value: "integer": x.a in body must be of type string: "integer""#]);
    check(json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}, "c": {"type": "object", "properties": {"d": {"type": "string"}}}}, "allOf": [{"anyOf": [{"required": ["c"]}, {"not": {"required": ["b"]}}]}, {"properties": {"b": {"maximum": 1}}}]}), json!({"a": "x", "b": 2, "c": {"d": "q"}}), &[r#"x.b: Invalid value: 2: x.b in body should be less than or equal to 1"#, r#"<nil>: Invalid value: "": "x" must validate all the schemas (allOf)"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{"k": "a"}, {"k": "a"}]), &[r#"x[1]: Duplicate value: {"k":"a"}"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{}, {}]), &[r#"x[0].k: Required value"#, r#"x[1].k: Required value"#, r#"x[1]: Duplicate value: {}"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{"k": "a", "v": 9}]), &[r#"x[0].v: Invalid value: 9: x[0].v in body should be less than or equal to 5"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!(["x"]), &[r#"x[0]: Invalid value: "string": x[0] in body must be of type object: "string""#, r#"x[0]: Invalid value: "x": must be an object for an array of list-type map"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}), json!([{"a": 1, "b": 2}, {"b": 2, "a": 1}]), &[r#"x[1]: Duplicate value: {"a":1,"b":2}"#]);
}

#[test]
#[rustfmt::skip]
fn what_was_wrong_before_and_has_not_changed_is_let_be() {
    let check = |schema: Value, value: Value, old: Value, expect: &[&str]| {
        let errors = field(schema.clone()).validate_update(&json!({ "x": value }), &json!({ "x": old }), "");
        assert_eq!(sorted(errors), expected(expect), "{schema} {value} {old}");
    };
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{"k": "a", "v": 9}]), json!([{"k": "a", "v": 9}]), &[]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{"k": "b", "v": 9}, {"k": "a", "v": 9}]), json!([{"k": "a", "v": 9}]), &[r#"x[0].v: Invalid value: 9: x[0].v in body should be less than or equal to 5"#]);
    check(json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}, "p": {"type": "string"}}}}), json!([{"k": "b"}, {"k": "a", "v": 9}]), json!([{"k": "a", "v": 9}, {"k": "b"}]), &[]);
    check(json!({"type": "string", "enum": ["a"]}), json!("z"), json!("z"), &[]);
    check(json!({"type": "string", "enum": ["a"]}), json!("z"), json!("y"), &[r#"x: Unsupported value: "z": supported values: "a""#]);
    check(json!({"type": "array", "maxItems": 1, "items": {"type": "string", "maxLength": 1}}), json!(["aa", "b"]), json!(["aa", "b"]), &[]);
    check(json!({"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 1}}), json!(["aa", "b"]), json!(["aa"]), &[r#"x[0]: Too long: may not be more than 1 byte"#]);
    check(json!({"type": "object", "required": ["q"], "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"type": "integer"}, "q": {"type": "string"}}}), json!({"a": "y", "b": 1}), json!({"a": "y", "b": 2}), &[r#"x.q: Required value"#]);
    check(json!({"type": "object", "required": ["q"], "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"type": "integer"}, "q": {"type": "string"}}}), json!({"a": "y", "b": 1}), json!({"a": "y", "b": 1}), &[]);
    check(json!({"type": "object", "required": ["q"], "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"type": "integer"}, "q": {"type": "string"}}}), json!({"a": "y", "b": 1}), json!({"a": "z", "b": 1}), &[r#"x.a: Unsupported value: "y": supported values: "x""#, r#"x.q: Required value"#]);
    check(json!({"type": "object", "required": ["q"], "properties": {"a": {"type": "string", "enum": ["x"]}, "b": {"type": "integer"}, "q": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}), json!({"a": "y", "b": 1}), json!({"a": "y", "b": 2}), &[r#"<nil>: Invalid value: "": "x" must validate one and only one schema (oneOf). Found 2 valid alternatives"#, r#"x.q: Required value"#]);
    check(json!({"type": "object", "additionalProperties": {"type": "integer", "maximum": 3}}), json!({"a": 5, "b": 6}), json!({"a": 5}), &[r#"x.b: Invalid value: 6: x.b in body should be less than or equal to 3"#]);
}

#[test]
fn unknown_fields_and_empty_nulls_go() {
    let check = |schema: Value, object: Value, expect: Value, unknown: &[&str]| {
        let mut object = object;
        let schema = Schema::compile(&schema);
        assert_eq!(schema.prune(&mut object).unwrap(), unknown);
        schema.fill_in(&mut object);
        assert_eq!(object, expect);
    };
    let schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": {
            "known": { "type": "string", "default": "d" },
            "nullable": { "type": "string", "nullable": true, "default": "n" },
            "plain": { "type": "string" },
            "map": { "type": "object", "additionalProperties": { "type": "object", "properties": { "a": { "type": "integer", "default": 1 } } } },
            "any": { "type": "object", "additionalProperties": true },
            "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "closed": { "type": "object", "properties": { "a": { "type": "string" } } } } },
            "list": { "type": "array", "items": { "type": "object", "properties": { "a": { "type": "string", "default": "x" } } } },
            "inner": { "type": "object", "x-kubernetes-embedded-resource": true, "properties": { "spec": { "type": "object" } } },
        } },
    } });
    check(
        schema.clone(),
        json!({ "apiVersion": "a/v1", "kind": "K", "metadata": { "x": 1 }, "other": 1, "spec": { "zzz": 1, "plain": null, "nullable": null } }),
        json!({ "apiVersion": "a/v1", "kind": "K", "metadata": { "x": 1 }, "spec": { "nullable": null, "known": "d" } }),
        &["other", "spec.zzz"],
    );
    check(
        schema.clone(),
        json!({ "spec": { "known": null, "map": { "k": { "b": 1 }, "l": {} }, "any": { "k": { "a": 1 }, "l": 1 }, "list": [{ "b": 1 }, {}] } }),
        json!({ "spec": { "known": "d", "map": { "k": { "a": 1 }, "l": { "a": 1 } }, "any": { "k": {}, "l": 1 }, "list": [{ "a": "x" }, { "a": "x" }], "nullable": "n" } }),
        &["spec.any.k.a", "spec.list[0].b", "spec.map.k.b"],
    );
    check(
        schema.clone(),
        json!({ "spec": { "open": { "free": { "a": 1 }, "closed": { "a": "x", "b": 1 } } } }),
        json!({ "spec": { "open": { "free": { "a": 1 }, "closed": { "a": "x" } }, "known": "d", "nullable": "n" } }),
        &["spec.open.closed.b"],
    );
    check(
        schema,
        json!({ "spec": { "inner": { "apiVersion": "v1", "kind": "K", "metadata": { "name": "n", "labels": {}, "bad": 1 }, "spec": { "a": 1 }, "x": 1 } } }),
        json!({ "spec": { "inner": { "apiVersion": "v1", "kind": "K", "metadata": { "name": "n" }, "spec": {} }, "known": "d", "nullable": "n" } }),
        &["spec.inner.spec.a", "spec.inner.x", "spec.inner.metadata.bad"],
    );
}

#[test]
fn embedded_objects_have_types_that_are_texts() {
    let schema = Schema::compile(
        &json!({ "type": "object", "properties": { "x": { "type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true } } }),
    );
    let error = schema.prune(&mut json!({ "x": { "kind": 1 } })).unwrap_err();
    assert_eq!(error.to_string(), "x.kind: Invalid value: 1: must be a string");
    let errors = schema.validate_embedded(&json!({ "x": { "apiVersion": "a/b/c", "metadata": { "name": "a/b" } } }));
    assert_eq!(
        sorted(errors),
        [
            "x.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
            "x.kind: Required value",
            "x.metadata.name: Invalid value: \"a/b\": may not contain '/'",
        ]
    );
}

#[test]
fn equal_subtrees_are_one() {
    let leaf = json!({ "type": "object", "properties": { "a": { "type": "string", "description": "one" } } });
    let other = json!({ "type": "object", "properties": { "a": { "type": "string", "description": "two" } } });
    let schema = Schema::compile(&json!({ "type": "object", "properties": { "x": leaf, "y": other } }));
    assert!(std::sync::Arc::ptr_eq(schema.property("x").unwrap(), schema.property("y").unwrap()));
}

#[test]
fn every_value_has_a_type_outside_of_junctors() {
    let check = |schema: Value, expect: &[&str]| {
        assert_eq!(sorted(validate_structural(&schema, &Path::root("s"))), expected(expect), "{schema}");
    };
    check(
        json!({ "type": "object", "properties": { "metadata": { "type": "object", "properties": { "name": { "type": "string", "pattern": "^a" } } } } }),
        &[],
    );
    check(json!({}), &["s.type: Required value: must not be empty at the root"]);
    check(
        json!({ "type": "object", "properties": { "a": {}, "b": { "type": "array" }, "c": { "type": "array", "items": {} } } }),
        &[
            "s.properties[a].type: Required value: must not be empty for specified object fields",
            "s.properties[b].items: Required value: must be specified",
            "s.properties[c].items.type: Required value: must not be empty for specified array items",
        ],
    );
    check(
        json!({ "type": "object", "anyOf": [{ "properties": { "a": { "type": "string", "minLength": 1 } } }] }),
        &[
            "s.anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
            "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]",
        ],
    );
    check(
        json!({ "type": "object", "properties": { "p": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] } } }),
        &[],
    );
    check(
        json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        &["s.additionalProperties: Forbidden: must not be used at the root"],
    );
    check(
        json!({ "type": "object", "properties": { "metadata": { "type": "object", "description": "d" } } }),
        &[
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ],
    );
}
