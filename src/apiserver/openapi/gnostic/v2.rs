//! The messages of `OpenAPIv2.proto`.

use serde_json::Value;

use super::Kind::{Any, Anys, Flag, Integer, Many, Number, One, SchemaOrFlag, Text, Texts, TypeName};
use super::{Message, map, message};

pub(in super::super) fn schema(_: &Value) -> (&'static [u32], &'static Message) {
    (&[], &SCHEMA)
}

pub(in super::super) fn path_item(_: &Value) -> (&'static [u32], &'static Message) {
    (&[], &PATH_ITEM)
}

/// A document but for its paths and definitions.
pub(in super::super) static DOCUMENT: Message = message(
    &[
        ("swagger", 1, Text),
        ("info", 2, One(|_| (&[], &INFO))),
        ("security", 12, Many(|_| (&[], &REQUIREMENT))),
        ("securityDefinitions", 13, One(|_| (&[], &SECURITY))),
    ],
    16,
);

static INFO: Message = message(&[("title", 1, Text), ("version", 2, Text), ("description", 3, Text)], 7);
static REQUIREMENT: Message = map(1, |_| (&[], &NOTHING));
static NOTHING: Message = message(&[], 0);
static SECURITY: Message = map(1, |_| (&[2], &API_KEY));
static API_KEY: Message =
    message(&[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)], 5);

static PATH_ITEM: Message = message(
    &[
        ("$ref", 1, Text),
        ("get", 2, One(operation)),
        ("put", 3, One(operation)),
        ("post", 4, One(operation)),
        ("delete", 5, One(operation)),
        ("options", 6, One(operation)),
        ("head", 7, One(operation)),
        ("patch", 8, One(operation)),
        ("parameters", 9, Many(parameter)),
    ],
    10,
);

fn operation(_: &Value) -> (&'static [u32], &'static Message) {
    (&[], &OPERATION)
}

static OPERATION: Message = message(
    &[
        ("tags", 1, Texts),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Many(parameter)),
        ("responses", 9, One(|_| (&[], &RESPONSES))),
        ("schemes", 10, Texts),
        ("deprecated", 11, Flag),
    ],
    13,
);

fn parameter(value: &Value) -> (&'static [u32], &'static Message) {
    match value["in"].as_str() {
        Some("body") => (&[1, 1], &BODY_PARAMETER),
        Some("path") => (&[1, 2, 4], &PATH_PARAMETER),
        _ => (&[1, 2, 3], &QUERY_PARAMETER),
    }
}

static BODY_PARAMETER: Message = message(
    &[("description", 1, Text), ("name", 2, Text), ("in", 3, Text), ("required", 4, Flag), ("schema", 5, One(schema))],
    6,
);
static PATH_PARAMETER: Message = message(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("format", 6, Text),
        ("uniqueItems", 19, Flag),
    ],
    22,
);
static QUERY_PARAMETER: Message = message(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("format", 7, Text),
        ("uniqueItems", 20, Flag),
    ],
    23,
);

static RESPONSES: Message = Message { members: &[], entries: Some((1, |_| (&[1], &RESPONSE))), extensions: 2 };
static RESPONSE: Message = message(&[("description", 1, Text), ("schema", 2, One(|_| (&[1], &SCHEMA)))], 5);

static SCHEMA: Message = message(
    &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Any),
        ("multipleOf", 6, Number),
        ("maximum", 7, Number),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Number),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Integer),
        ("minLength", 12, Integer),
        ("pattern", 13, Text),
        ("maxItems", 14, Integer),
        ("minItems", 15, Integer),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Integer),
        ("minProperties", 18, Integer),
        ("required", 19, Texts),
        ("enum", 20, Anys),
        ("additionalProperties", 21, SchemaOrFlag(schema)),
        ("type", 22, TypeName),
        ("items", 23, One(|_| (&[1], &SCHEMA))),
        ("allOf", 24, Many(schema)),
        ("properties", 25, One(|_| (&[], &PROPERTIES))),
        ("example", 30, Any),
    ],
    31,
);
static PROPERTIES: Message = map(1, schema);
