//! Shapes from the schemas of custom kinds: OpenAPI v3 with Kubernetes' extensions.

use serde_json::{Map, Value};

use super::{FieldShape, ListShape, MapShape, Scalar, Shape};
use crate::schema::{ListType, Message, message};

impl Shape {
    /// The shape of the objects of a custom kind: what `schema` says (`openAPIV3Schema` of one version), and the metadata
    /// that all objects have. Without a schema everything else is deduced.
    pub fn from_open_api(schema: &Value) -> Self {
        let mut shape = match Self::of(schema, false) {
            Self::Map(map) => map,
            _ => Box::new(MapShape { atomic: false, fields: Vec::new(), rest: Some(Self::Deduced) }),
        };
        shape.add_meta();
        Self::Map(shape)
    }

    /// The shape of a schema as upstream publishes them, for comparison.
    #[cfg(test)]
    pub(super) fn of_document(schema: &Value) -> Self {
        Self::of(schema, false)
    }

    /// `open` is inherited: unknown fields are kept below a schema that says so.
    fn of(schema: &Value, open: bool) -> Self {
        let Some(map) = schema.as_object() else { return Self::Deduced };
        let flag = |name: &str| map.get(name).and_then(Value::as_bool).unwrap_or(false);
        let text = |name: &str| map.get(name).and_then(Value::as_str).unwrap_or_default();
        let open = open || flag("x-kubernetes-preserve-unknown-fields");
        if let Some(name) = reference(map) {
            return named(name);
        }
        match text("type") {
            "object" => Self::Map(Box::new(object(map, open, flag("x-kubernetes-embedded-resource")))),
            "array" => Self::List(Box::new(list(map, open))),
            "integer" | "number" => Self::Scalar(Scalar::Number),
            "boolean" => Self::Scalar(Scalar::Bool),
            "string" if matches!(text("format"), "" | "byte") => Self::Scalar(Scalar::String),
            "string" => Self::Scalar(Scalar::Any),
            "" if map.contains_key("properties") => {
                Self::Map(Box::new(object(map, open, flag("x-kubernetes-embedded-resource"))))
            }
            _ => Self::Deduced,
        }
    }
}

/// `$ref`, on its own or alone in `allOf`.
fn reference(schema: &Map<String, Value>) -> Option<&str> {
    let here = schema.get("$ref").and_then(Value::as_str);
    let wrapped = || match schema.get("allOf")?.as_array()?.as_slice() {
        [one] => one.get("$ref")?.as_str(),
        _ => None,
    };
    here.or_else(wrapped)
}

/// A type of upstream's documents: `#/components/schemas/io.k8s.api.core.v1.PodSpec`.
fn named(reference: &str) -> Shape {
    let name = reference.rsplit('/').next().unwrap_or_default();
    match name {
        "io.k8s.apimachinery.pkg.api.resource.Quantity" | "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => {
            return Shape::Scalar(Scalar::Any);
        }
        "io.k8s.apimachinery.pkg.runtime.RawExtension" => return Shape::Whole,
        "io.k8s.apimachinery.pkg.apis.meta.v1.Time" | "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" => {
            return Shape::Scalar(Scalar::Any);
        }
        _ => {}
    }
    // `io.k8s.api.core.v1.PodSpec` is `core/v1.PodSpec` in the table.
    let parts: Vec<&str> = name.split('.').collect();
    let found = match parts.as_slice() {
        [.., group, version, kind] => message(&format!("{group}/{version}.{kind}")),
        _ => None,
    };
    found.map_or(Shape::Deduced, Shape::Message)
}

fn object(schema: &Map<String, Value>, open: bool, embedded: bool) -> MapShape {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut fields: Vec<FieldShape> = properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| FieldShape {
            name: name.as_str().into(),
            shape: Shape::of(schema, open),
            default: schema.get("default").cloned(),
        })
        .collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    let rest = match schema.get("additionalProperties") {
        None if open || fields.is_empty() => Some(Shape::Deduced),
        None | Some(Value::Bool(false)) => None,
        Some(Value::Bool(true)) => Some(Shape::Deduced),
        Some(rest) => Some(Shape::of(rest, open)),
    };
    let atomic = schema.get("x-kubernetes-map-type").is_some_and(|how| how == "atomic");
    let mut map = MapShape { atomic, fields, rest };
    if embedded {
        map.add_meta();
    }
    map
}

impl MapShape {
    /// The fields that every object has, whatever its schema says of them.
    fn add_meta(&mut self) {
        let metadata =
            message("meta/v1.ObjectMeta").map_or(Shape::Deduced, |meta: &'static Message| Shape::Message(meta));
        let text = Shape::Scalar(Scalar::String);
        for (name, shape) in [("apiVersion", text.clone()), ("kind", text), ("metadata", metadata)] {
            let field = FieldShape { name: name.into(), shape, default: None };
            match self.fields.binary_search_by(|field| (*field.name).cmp(name)) {
                Ok(at) => self.fields[at] = field,
                Err(at) => self.fields.insert(at, field),
            }
        }
    }
}

fn list(schema: &Map<String, Value>, open: bool) -> ListShape {
    let text = |name: &str| schema.get(name).and_then(Value::as_str).unwrap_or_default();
    let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten();
    let mut keys: Vec<_> = keys.filter_map(Value::as_str).map(|key| key.to_owned().into()).collect();
    let how = match text("x-kubernetes-list-type") {
        "map" => ListType::Map,
        "set" => ListType::Set,
        // Older documents say only how strategic merge treats a list.
        "" if text("x-kubernetes-patch-strategy").starts_with("merge") => match text("x-kubernetes-patch-merge-key") {
            "" => ListType::Set,
            key => {
                keys = vec![key.to_owned().into()];
                ListType::Map
            }
        },
        _ => ListType::Atomic,
    };
    let element = schema.get("items").map_or(Shape::Whole, |items| Shape::of(items, open));
    ListShape { how, keys, element }
}
