//! Bringing an object that a client wrote to the form its schema gives it: what Go's decoder would read, and what Go's
//! encoder would write.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::quantity::{self, Quantity};
use crate::quote::quote;
use crate::schema::{Field, Message, Type};
use crate::time;

mod canonical;
mod merged;
#[cfg(test)]
mod tests;

pub use canonical::canonical;
pub(crate) use canonical::filled;

/// Why an object cannot be of its kind, in the words of Go's decoder:
/// `json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container`.
///
/// Clients see it behind `Pod in version "v1" cannot be handled as a Pod: `, which [`DecodeError::for_kind`] puts there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The message of the 400 that clients get.
    pub fn for_kind(&self, kind: &str, version: &str) -> String {
        format!("{kind} in version {} cannot be handled as a {kind}: {}", quote(version), self.0)
    }
}

/// The warnings for unknown and duplicate fields under `fieldValidation=Warn`, which are the parts of the error under `Strict`.
pub fn warnings(unknown: &[String], duplicates: &[String]) -> Vec<String> {
    let unknown = unknown.iter().map(|path| format!("unknown field {}", quote(path)));
    let duplicates = duplicates.iter().map(|path| format!("duplicate field {}", quote(path)));
    unknown.chain(duplicates).collect()
}

/// Most unknown fields reported, as upstream.
const MAX_UNKNOWN: usize = 100;

/// Lists and maps that say something when they are empty, although Go never writes that: upstream's defaults and rules ask
/// whether they are there at all. By message, sorted.
const EMPTY_SAYS: &[(&str, &str)] = &[
    ("apiextensions/v1.JSONSchemaProps", "dependencies"),
    ("autoscaling/v2.HPAScalingRules", "policies"),
    ("core/v1.ConfigMap", "binaryData"),
    ("core/v1.EphemeralContainer", "ports"),
    ("core/v1.EphemeralContainer", "resizePolicy"),
    ("core/v1.EphemeralContainer", "restartPolicyRules"),
    ("core/v1.ResourceRequirements", "claims"),
    ("core/v1.Secret", "data"),
    ("storage/v1.StorageClass", "parameters"),
];

/// Fields in which all lists and maps say something when they are empty: to upstream, some have changed then, and of the
/// metadata of some templates most is refused. By message, sorted.
const EMPTY_SAYS_IN: &[(&str, &str)] = &[
    ("admissionregistration/v1.MutatingWebhookConfiguration", "webhooks"),
    ("admissionregistration/v1.ValidatingWebhookConfiguration", "webhooks"),
    ("core/v1.PersistentVolumeClaimTemplate", "metadata"),
    ("networking/v1.NetworkPolicy", "spec"),
    ("resource/v1.ResourceClaimTemplateSpec", "metadata"),
];

/// Reads an object the way Go reads it into its type, in place: fields the schema does not name are dropped, and so are
/// nulls and zero values that mean the same as nothing; quantities, times and bytes take their canonical form. So
/// defaulting and validation need to ask one question only: is the field there. A few lists and maps stay although they are
/// empty ([`EMPTY_SAYS`], [`EMPTY_SAYS_IN`]). [`canonical`] takes these out, and puts back what Go always writes. Returns the
/// paths of the fields that were dropped for being unknown.
///
/// Values inside a message made from a CRD keep their types and zero values: validation speaks about those.
pub fn decode(object: &mut Value, message: &Message) -> Result<Vec<String>, DecodeError> {
    let mut walker = Walker { unknown: Vec::new(), silent: false, merged: false };
    walker.message(object, message, None)?;
    Ok(walker.unknown)
}

/// Reads an object as [`decode`] does, out of what an apply has merged. Upstream has values there and no text: its numbers are
/// cut to the size of their fields, and its complaints name no fields.
pub fn decode_merged(object: &mut Value, message: &Message) -> Result<(), DecodeError> {
    let mut walker = Walker { unknown: Vec::new(), silent: true, merged: true };
    walker.message(object, message, None)
}

/// A step on the way to a value; the steps live on the stack.
struct Step<'a> {
    parent: Option<&'a Step<'a>>,
    place: Place<'a>,
}

enum Place<'a> {
    /// A field and the message it is of.
    Field(&'a Message, &'a str),
    Key(&'a str),
    Index(usize),
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match &self.place {
            Place::Index(index) => write!(f, "[{index}]"),
            Place::Field(_, key) | Place::Key(key) if self.parent.is_none() => f.write_str(key),
            Place::Field(_, key) | Place::Key(key) => write!(f, ".{key}"),
        }
    }
}

struct Walker {
    unknown: Vec<String>,
    /// Inside values that upstream decodes apart, without looking for unknown fields.
    silent: bool,
    /// What is read was never text.
    merged: bool,
}

impl Walker {
    fn message(&mut self, value: &mut Value, message: &Message, path: Option<&Step<'_>>) -> Result<(), DecodeError> {
        let map = match value {
            Value::Object(map) => map,
            Value::Null => {
                *value = Value::Object(Map::new());
                return Ok(());
            }
            _ if message.structural => return Ok(()),
            other => return Err(type_error(other, &message.reflected(), path)),
        };
        let mut failed = None;
        map.retain(|key, value| {
            if failed.is_some() {
                return true;
            }
            let step = Step { parent: path, place: Place::Field(message, key) };
            let Some(field) = message.field(key) else {
                if !message.preserve_unknown {
                    self.report(&step);
                }
                return message.preserve_unknown;
            };
            match self.field(value, field, message.structural, &step) {
                Ok(keep) => keep,
                Err(error) => {
                    failed = Some(error);
                    true
                }
            }
        });
        failed.map_or(Ok(()), Err)
    }

    fn report(&mut self, step: &Step<'_>) {
        if !self.silent && self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push(step.to_string());
        }
    }

    /// Reads a field's value; says whether the field stays.
    fn field(
        &mut self,
        value: &mut Value,
        field: &Field,
        structural: bool,
        step: &Step<'_>,
    ) -> Result<bool, DecodeError> {
        if value.is_null() {
            return Ok(structural);
        }
        self.value(value, &field.ty, structural, step)?;
        Ok(structural || !is_unset(value, field) || says_empty(value, step))
    }

    fn value(&mut self, value: &mut Value, ty: &Type, structural: bool, step: &Step<'_>) -> Result<(), DecodeError> {
        match (ty.resolved(), &mut *value) {
            (Type::Message(message), _) => return self.message(value, message, Some(step)),
            (Type::List(element), Value::Array(list)) => {
                for (index, value) in list.iter_mut().enumerate() {
                    let step = Step { parent: Some(step), place: Place::Index(index) };
                    self.element(value, element, structural, &step)?;
                }
            }
            (Type::Map(element), Value::Object(map)) => {
                let rounded = is_resource_list(ty, step);
                for (key, value) in map.iter_mut() {
                    let step = Step { parent: Some(step), place: Place::Key(key) };
                    self.element(value, element, structural, &step)?;
                    if rounded {
                        round_up(value);
                    }
                }
            }
            (Type::RawExtension | Type::FieldsV1 | Type::Json, _) => {}
            (Type::SchemaOrArray(schema), Value::Array(list)) => {
                for value in list {
                    self.apart(value, schema, step)?;
                }
            }
            (Type::SchemaOrBool(_), Value::Bool(_)) | (Type::SchemaOrStrings(_), Value::Array(_)) => {}
            (
                Type::SchemaOrArray(schema) | Type::SchemaOrBool(schema) | Type::SchemaOrStrings(schema),
                Value::Object(_),
            ) => self.apart(value, schema, step)?,
            (Type::SchemaOrBool(_), _) => return Err(DecodeError("boolean or JSON schema expected".to_owned())),
            _ if structural => {}
            (scalar, _) if self.merged => {
                merged::convert(value, scalar)?;
                return decode_scalar(value, scalar, ty, step);
            }
            (scalar, _) => return decode_scalar(value, scalar, ty, step),
        }
        Ok(())
    }

    /// An element of a list or map: null means the zero value there.
    fn element(&mut self, value: &mut Value, ty: &Type, structural: bool, step: &Step<'_>) -> Result<(), DecodeError> {
        if value.is_null() {
            if !structural {
                *value = canonical::zero(ty);
            }
            return Ok(());
        }
        self.value(value, ty, structural, step)
    }

    fn apart(&mut self, value: &mut Value, schema: &Message, step: &Step<'_>) -> Result<(), DecodeError> {
        // Upstream reads them from text whatever they are in.
        let before = (self.silent, self.merged);
        (self.silent, self.merged) = (true, false);
        let result = self.message(value, schema, Some(step).filter(|_| !before.1));
        (self.silent, self.merged) = before;
        result
    }
}

/// Whether a map is one of amounts of resources, of a type whose defaults make them whole thousandths: all but that of a
/// runtime class are.
fn is_resource_list(ty: &Type, step: &Step<'_>) -> bool {
    let of_core = |place: &Place<'_>| matches!(place, Place::Field(message, _) if message.name.starts_with("core/"));
    matches!(ty, Type::Alias(alias) if alias.name == "core/v1.ResourceList") && of_core(&step.place)
}

/// Makes an amount whole thousandths. What is less than that ends on one of these in canonical form.
fn round_up(value: &mut Value) {
    let Value::String(text) = value else { return };
    if !(text.ends_with(['u', 'n']) || text.ends_with("e-6") || text.ends_with("e-9")) {
        return;
    }
    if let Ok(amount) = Quantity::parse(text) {
        *text = Quantity::from_milli(amount.milli_value(), amount.format()).to_string();
    }
}

fn decode_scalar(value: &mut Value, scalar: &Type, named: &Type, step: &Step<'_>) -> Result<(), DecodeError> {
    let wrong = |value: &Value, ty: &str| Err(type_error(value, ty, Some(step)));
    match (scalar, &*value) {
        (Type::Bool, Value::Bool(_)) | (Type::String, Value::String(_)) => {}
        (Type::Int32, Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
        (Type::Int64, Value::Number(number)) if number.is_i64() => {}
        (Type::Float64, Value::Number(_)) => {}
        (Type::Bytes, Value::String(text)) => {
            let bytes = crate::base64::decode(text).map_err(|error| DecodeError(error.to_string()))?;
            *value = Value::String(STANDARD.encode(bytes));
        }
        (Type::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = match &*value {
                Value::String(text) => text.trim().to_owned(),
                other => other.to_string(),
            };
            let canonical = quantity::normalize(&text).map_err(|error| DecodeError(error.to_string()))?;
            *value = Value::String(canonical.into_owned());
        }
        (Type::Quantity, _) => return Err(DecodeError(quantity::QuantityError::Format.to_string())),
        (Type::Time, Value::String(text)) => *value = time_value(time::parse(text), time::format)?,
        (Type::MicroTime, Value::String(text)) => *value = time_value(time::parse_micro(text), time::format_micro)?,
        (Type::Time | Type::MicroTime, other) => return wrong(other, "string"),
        (Type::IntOrString, Value::String(_)) => {}
        (Type::IntOrString, Value::Number(number)) if number.as_i64().is_some_and(|n| i32::try_from(n).is_ok()) => {}
        (Type::IntOrString, other) => return wrong(other, "int32"),
        (_, other) => return wrong(other, &named.go_name()),
    }
    Ok(())
}

fn time_value(
    time: Result<jiff::Timestamp, time::TimeError>,
    format: fn(jiff::Timestamp) -> String,
) -> Result<Value, DecodeError> {
    let time = time.map_err(|error| DecodeError(error.to_string()))?;
    Ok(if time::is_zero(time) { Value::Null } else { Value::String(format(time)) })
}

/// Whether a value says no more than its absence. Lists and maps that Go always writes may be empty or null, so an empty
/// one there says something; structs are never left out.
pub(crate) fn is_unset(value: &Value, field: &Field) -> bool {
    if value.is_null() {
        return true;
    }
    !field.pointer
        && match (field.ty.resolved(), value) {
            (Type::Bool, Value::Bool(value)) => !value,
            (Type::Int32 | Type::Int64 | Type::Float64 | Type::IntOrString, Value::Number(number)) => {
                number.as_f64() == Some(0.0)
            }
            (Type::String, Value::String(text)) => text.is_empty(),
            (Type::Quantity, Value::String(text)) => text == "0",
            (Type::Bytes, Value::String(text)) => field.omitempty && text.is_empty(),
            (Type::List(_), Value::Array(list)) => field.omitempty && list.is_empty(),
            (Type::Map(_), Value::Object(map)) => field.omitempty && map.is_empty(),
            _ => false,
        }
}

/// Whether a list or map that is empty stays because of where it stands.
fn says_empty(value: &Value, step: &Step<'_>) -> bool {
    let is_in = |place: &Place<'_>, table: &[(&str, &str)]| matches!(place, Place::Field(message, name) if table.binary_search(&(&*message.name, name)).is_ok());
    // Without a schema nobody knows an empty map of labels from an empty struct, which is more than none.
    let labels =
        || value.is_object() && matches!(step.place, Place::Field(message, _) if message.name == "meta/v1.ObjectMeta");
    let inside = || std::iter::successors(Some(step), |step| step.parent).any(|step| is_in(&step.place, EMPTY_SAYS_IN));
    is_empty(value) && (is_in(&step.place, EMPTY_SAYS) || inside() && !labels())
}

/// Whether a value is a list or map that holds nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn type_error(value: &Value, ty: &str, path: Option<&Step<'_>>) -> DecodeError {
    let word = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) if ty.starts_with("int") || ty.starts_with("float") => format!("number {number}"),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    };
    // Go names the innermost struct, and all fields on the way without keys and indices.
    let mut fields = Vec::new();
    let mut innermost = None;
    let mut step = path;
    while let Some(Step { parent, place }) = step {
        if let Place::Field(message, name) = place {
            innermost.get_or_insert(message.go_name());
            fields.push(*name);
        }
        step = *parent;
    }
    fields.reverse();
    DecodeError(match innermost {
        Some(message) => {
            format!("json: cannot unmarshal {word} into Go struct field {message}.{} of type {ty}", fields.join("."))
        }
        None => format!("json: cannot unmarshal {word} into Go value of type {ty}"),
    })
}
