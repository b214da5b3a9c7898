//! The messages of `OpenAPIv3.proto`.

use serde_json::Value;

use super::Kind::{Any, Anys, Default, Flag, Integer, Many, Number, One, SchemaOrFlag, Text, Texts};
use super::{Message, map, message};

pub(in super::super) fn schema(value: &Value) -> (&'static [u32], &'static Message) {
    if value.get("$ref").is_some() { (&[2], &REFERENCE) } else { (&[1], &SCHEMA) }
}

pub(in super::super) fn path_item(_: &Value) -> (&'static [u32], &'static Message) {
    (&[], &PATH_ITEM)
}

/// A document but for its paths and components.
pub(in super::super) static DOCUMENT: Message = message(&[("openapi", 1, Text), ("info", 2, One(|_| (&[], &INFO)))], 9);

/// The components but for the schemas.
pub(in super::super) static COMPONENTS: Message = message(&[("securitySchemes", 7, One(|_| (&[], &SECURITY)))], 10);

static INFO: Message = message(&[("title", 1, Text), ("description", 2, Text), ("version", 6, Text)], 7);
static SECURITY: Message = map(1, |_| (&[1], &SCHEME));
static SCHEME: Message = message(&[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)], 9);
static REFERENCE: Message = message(&[("$ref", 1, Text), ("description", 3, Text)], 0);

static PATH_ITEM: Message = message(
    &[
        ("$ref", 1, Text),
        ("summary", 2, Text),
        ("description", 3, Text),
        ("get", 4, One(operation)),
        ("put", 5, One(operation)),
        ("post", 6, One(operation)),
        ("delete", 7, One(operation)),
        ("options", 8, One(operation)),
        ("head", 9, One(operation)),
        ("patch", 10, One(operation)),
        ("parameters", 13, Many(parameter)),
    ],
    14,
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
        ("parameters", 6, Many(parameter)),
        ("requestBody", 7, One(|_| (&[1], &REQUEST_BODY))),
        ("responses", 8, One(|_| (&[], &RESPONSES))),
        ("deprecated", 10, Flag),
    ],
    13,
);

fn parameter(_: &Value) -> (&'static [u32], &'static Message) {
    (&[1], &PARAMETER)
}

static PARAMETER: Message = message(
    &[("name", 1, Text), ("in", 2, Text), ("description", 3, Text), ("required", 4, Flag), ("schema", 10, One(schema))],
    14,
);
static REQUEST_BODY: Message =
    message(&[("description", 1, Text), ("content", 2, One(|_| (&[], &MEDIA_TYPES))), ("required", 3, Flag)], 4);
static MEDIA_TYPES: Message = map(1, |_| (&[], &MEDIA_TYPE));
static MEDIA_TYPE: Message = message(&[("schema", 1, One(schema)), ("example", 2, Any)], 5);
static RESPONSES: Message = Message { members: &[], entries: Some((2, |_| (&[1], &RESPONSE))), extensions: 3 };
static RESPONSE: Message = message(&[("description", 1, Text), ("content", 3, One(|_| (&[], &MEDIA_TYPES)))], 5);

static SCHEMA: Message = message(
    &[
        ("nullable", 1, Flag),
        ("example", 7, Any),
        ("deprecated", 8, Flag),
        ("title", 9, Text),
        ("multipleOf", 10, Number),
        ("maximum", 11, Number),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Number),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Integer),
        ("minLength", 16, Integer),
        ("pattern", 17, Text),
        ("maxItems", 18, Integer),
        ("minItems", 19, Integer),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Integer),
        ("minProperties", 22, Integer),
        ("required", 23, Texts),
        ("enum", 24, Anys),
        ("type", 25, Text),
        ("allOf", 26, Many(schema)),
        ("oneOf", 27, Many(schema)),
        ("anyOf", 28, Many(schema)),
        ("not", 29, One(|_| (&[], &SCHEMA))),
        ("items", 30, One(items)),
        ("properties", 31, One(|_| (&[], &PROPERTIES))),
        ("additionalProperties", 32, SchemaOrFlag(schema)),
        ("default", 33, Default),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    36,
);
static PROPERTIES: Message = map(1, schema);

/// A list of one, in a message of its own.
fn items(value: &Value) -> (&'static [u32], &'static Message) {
    if value.get("$ref").is_some() { (&[1, 2], &REFERENCE) } else { (&[1, 1], &SCHEMA) }
}
