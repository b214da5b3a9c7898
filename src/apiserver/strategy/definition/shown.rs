//! Versions and schemas as upstream shows them in complaints: in the form its server works with, in which what all versions
//! say stands at the top, and not in them.

use serde_json::{Map, Value, json};

use super::versions::{PARTS, is_common};
use crate::strategy::upstream_form;
use crate::tree::Tree;

/// What is inside of a field of a schema.
#[derive(Clone, Copy)]
enum Holds {
    /// Nothing of a form of its own; what stands there when it is absent.
    Plain(&'static str),
    Schema,
    Schemas,
    Named,
    OrArray,
    OrBool,
    OrStrings,
    Docs,
    Rules,
}

use Holds::{Docs, Named, OrArray, OrBool, OrStrings, Plain, Rules, Schema, Schemas};

const NULL: Holds = Plain("null");
const TEXT: Holds = Plain(r#""""#);
const FALSE: Holds = Plain("false");

/// The fields of a schema: the name that is shown, the name in JSON, and what is inside.
const SCHEMA: [(&str, &str, Holds); 43] = [
    ("ID", "id", TEXT),
    ("Schema", "$schema", TEXT),
    ("Ref", "$ref", NULL),
    ("Description", "description", TEXT),
    ("Type", "type", TEXT),
    ("Nullable", "nullable", FALSE),
    ("Format", "format", TEXT),
    ("Title", "title", TEXT),
    ("Default", "default", NULL),
    ("Maximum", "maximum", NULL),
    ("ExclusiveMaximum", "exclusiveMaximum", FALSE),
    ("Minimum", "minimum", NULL),
    ("ExclusiveMinimum", "exclusiveMinimum", FALSE),
    ("MaxLength", "maxLength", NULL),
    ("MinLength", "minLength", NULL),
    ("Pattern", "pattern", TEXT),
    ("MaxItems", "maxItems", NULL),
    ("MinItems", "minItems", NULL),
    ("UniqueItems", "uniqueItems", FALSE),
    ("MultipleOf", "multipleOf", NULL),
    ("Enum", "enum", NULL),
    ("MaxProperties", "maxProperties", NULL),
    ("MinProperties", "minProperties", NULL),
    ("Required", "required", NULL),
    ("Items", "items", OrArray),
    ("AllOf", "allOf", Schemas),
    ("OneOf", "oneOf", Schemas),
    ("AnyOf", "anyOf", Schemas),
    ("Not", "not", Schema),
    ("Properties", "properties", Named),
    ("AdditionalProperties", "additionalProperties", OrBool),
    ("PatternProperties", "patternProperties", Named),
    ("Dependencies", "dependencies", OrStrings),
    ("AdditionalItems", "additionalItems", OrBool),
    ("Definitions", "definitions", Named),
    ("ExternalDocs", "externalDocs", Docs),
    ("Example", "example", NULL),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields", NULL),
    ("XEmbeddedResource", "x-kubernetes-embedded-resource", FALSE),
    ("XIntOrString", "x-kubernetes-int-or-string", FALSE),
    ("XListMapKeys", "x-kubernetes-list-map-keys", NULL),
    ("XListType", "x-kubernetes-list-type", NULL),
    ("XMapType", "x-kubernetes-map-type", NULL),
];

/// A schema.
pub(super) fn schema(schema: &Value) -> Value {
    let field = |(shown, name, holds): &(&str, &str, Holds)| ((*shown).to_owned(), inside(*holds, schema.get(name)));
    let rules = ("XValidations", "x-kubernetes-validations", Rules);
    Value::Object(SCHEMA.iter().chain([&rules]).map(field).collect())
}

fn inside(holds: Holds, value: Option<&Value>) -> Value {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        let Plain(absent) = holds else { return Value::Null };
        return serde_json::from_str(absent).unwrap_or_default();
    };
    match (holds, value) {
        (Schema, value) => schema(value),
        (Schemas, Value::Array(list)) => list.iter().map(schema).collect(),
        (Named, Value::Object(map)) => named(map, schema),
        (OrStrings, Value::Object(map)) => named(map, |value| match value {
            Value::Array(_) => json!({"Schema": null, "Property": value}),
            value => json!({"Schema": schema(value), "Property": null}),
        }),
        (OrArray, Value::Array(list)) => {
            json!({"Schema": null, "JSONSchemas": list.iter().map(schema).collect::<Vec<_>>()})
        }
        (OrArray, value) => json!({"Schema": schema(value), "JSONSchemas": null}),
        (OrBool, Value::Bool(allows)) => json!({"Allows": allows, "Schema": null}),
        (OrBool, value) => json!({"Allows": true, "Schema": schema(value)}),
        (Docs, value) => upstream_form::of("ExternalDocumentation", value),
        (Rules, Value::Array(list)) => list.iter().map(super::rules::shown).collect(),
        (_, value) => upstream_form::sorted(value),
    }
}

/// Go writes maps in the order of their keys.
fn named(map: &Map<String, Value>, shown: impl Fn(&Value) -> Value) -> Value {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    Value::Object(entries.into_iter().map(|(name, value)| (name.clone(), shown(value))).collect())
}

/// The versions of a definition, `null` where it says nothing of any.
pub(super) fn versions(definition: &Value) -> Value {
    let Some(Value::Array(versions)) = definition.at("spec.versions") else { return Value::Null };
    let version = |version: &Value| {
        let mut own = version.clone();
        for (part, ..) in PARTS.iter().filter(|(part, ..)| is_common(versions, part)) {
            own.cut(part);
        }
        let mut shown = upstream_form::of("CustomResourceDefinitionVersion", &own);
        if let Some(schema) = own.at("schema") {
            shown.put("Schema", json!({"OpenAPIV3Schema": schema.at("openAPIV3Schema").map(self::schema)}));
        }
        shown
    };
    versions.iter().map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_versions_say_is_not_shown_in_them() {
        let columns = json!([{"name": "a", "type": "string", "jsonPath": ".x"}]);
        let version = |name: &str, ty: &str| {
            json!({
                "name": name, "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": {"type": ty, "additionalProperties": false}},
            })
        };
        let definition = json!({"spec": {"versions": [version("v1", "object"), version("v2", "")]}});
        let shown = versions(&definition);
        assert_eq!(shown[0]["AdditionalPrinterColumns"], Value::Null);
        let schema = &shown[0]["Schema"]["OpenAPIV3Schema"];
        assert_eq!(schema["Type"], "object");
        assert_eq!(schema["AdditionalProperties"], json!({"Allows": false, "Schema": null}));
        assert_eq!(versions(&json!({"spec": {}})), Value::Null);
    }
}
