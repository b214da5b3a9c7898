//! The schema table: what fields a message of the API has, and everything about them that decoding, patching, applying,
//! the protobuf codec and OpenAPI need. Built-in messages come from a checked-in text, decoded when first asked for;
//! a CRD's structural schema compiles to the same [`Message`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

mod atomic;
mod names;
mod table;
#[cfg(test)]
mod tests;

/// Text from the built-in table, or owned by a message made at run time.
pub type Str = Cow<'static, str>;

/// A built-in message by its name, which is the Go type with the module's path taken off: `core/v1.PodSpec`.
pub fn message(name: &str) -> Option<&'static Message> {
    table::entry(name)?.message()
}

/// The message of a kind. The kinds every group-version serves (`Status`, `DeleteOptions`, `Table` …) are found under any.
pub fn for_kind(group: &str, version: &str, kind: &str) -> Option<&'static Message> {
    let package = match group {
        "" => "core",
        "rbac.authorization.k8s.io" => "rbac",
        "flowcontrol.apiserver.k8s.io" => "flowcontrol",
        "internal.apiserver.k8s.io" => "apiserverinternal",
        _ => group.strip_suffix(".k8s.io").unwrap_or(group),
    };
    message(&format!("{package}/{version}.{kind}")).or_else(|| message(&format!("meta/v1.{kind}")))
}

/// The names of all built-in messages, sorted.
pub fn message_names() -> impl Iterator<Item = &'static str> {
    table::message_names()
}

/// One message: a Go struct, or an object of a structural schema.
#[derive(Debug, Default)]
pub struct Message {
    /// `core/v1.PodSpec`; for CRDs whatever tells people where they are.
    pub name: Str,
    /// The fields as JSON has them, in the order Go writes them; those of inline structs stand in line. Kinds start
    /// with `kind` and `apiVersion`.
    pub fields: Vec<Field>,
    /// Whether the message is a kind: a top-level object with `kind` and `apiVersion`.
    pub is_kind: bool,
    /// Fields the schema does not name are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// Made from a CRD: types are validated apart from decoding, and nulls and zero values stay.
    pub structural: bool,
    names: names::Names,
    /// The fields as protobuf has them, sorted by number.
    pub(crate) wire: Vec<Wire>,
}

impl Message {
    /// A message made at run time from a CRD: structural, without a protobuf form.
    pub fn new(name: impl Into<Str>, fields: Vec<Field>) -> Message {
        Message { structural: true, ..Message::with_wire(name.into(), fields, Vec::new()) }
    }

    fn with_wire(name: Str, fields: Vec<Field>, wire: Vec<Wire>) -> Message {
        let names = names::Names::of(&fields);
        Message { name, fields, names, wire, ..Message::default() }
    }

    /// A field by its JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|at| &self.fields[at])
    }

    /// The place of a field in `fields`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.position_of(name.as_bytes())
    }

    /// The same with a name that is not known to be text.
    pub(crate) fn position_of(&self, name: &[u8]) -> Option<usize> {
        self.names.find(name, &self.fields)
    }

    /// `PodSpec`.
    pub fn go_name(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(_, name)| name)
    }

    /// The message as Go's reflection prints it: `v1.PodSpec`.
    pub fn reflected(&self) -> String {
        reflected(&self.name)
    }

    /// The name of a built-in message in OpenAPI documents: `io.k8s.api.core.v1.PodSpec`.
    pub fn openapi_name(&self) -> String {
        openapi_name(&self.name)
    }
}

/// The OpenAPI name of a message or alias of the table.
pub fn openapi_name(name: &str) -> String {
    let module = match name.split('/').next().unwrap_or(name) {
        "meta" => "io.k8s.apimachinery.pkg.apis",
        "apiextensions" => "io.k8s.apiextensions-apiserver.pkg.apis",
        "apiregistration" => "io.k8s.kube-aggregator.pkg.apis",
        _ => "io.k8s.api",
    };
    format!("{module}.{}", name.replace('/', "."))
}

/// One field of a message.
#[derive(Debug, Clone, Default)]
pub struct Field {
    /// The name in JSON.
    pub name: Str,
    /// The number in protobuf; 0 for fields protobuf does not carry.
    pub number: u32,
    /// What the field holds.
    pub ty: Type,
    /// A Go pointer: absent and zero are different.
    pub pointer: bool,
    /// A zero value is left out in JSON.
    pub omitempty: bool,
    /// A zero struct is left out in JSON.
    pub omitzero: bool,
    /// OpenAPI lists the field as required.
    pub required: bool,
    /// A structural schema lets the field be null.
    pub nullable: bool,
    /// A named list that protobuf carries as a message around the list.
    pub wrapped: bool,
    /// How server-side apply merges a list.
    pub list: Option<ListType>,
    /// The keys of a list of type map.
    pub list_keys: Vec<Str>,
    /// A map or struct that server-side apply takes as a whole.
    pub atomic: bool,
    /// A struct that server-side apply takes apart here, although its type is taken as a whole elsewhere.
    pub granular: bool,
    /// How strategic merge patch treats the field.
    pub patch: PatchStrategy,
    /// The key by which strategic merge patch finds a list's elements.
    pub merge_key: Option<Str>,
    /// The value an absent field gets, as JSON. Only what upstream declares; most defaults are code.
    pub default: Option<Str>,
    /// Feature gates, joined by commas.
    pub feature_gates: Option<Str>,
}

impl Field {
    /// The default that upstream's documents show: what is declared, or the zero value of what Go always writes.
    pub fn documented_default(&self) -> Option<Value> {
        // The table is constant, and a test reads all of it.
        let declared = self.default.as_deref().and_then(|default| serde_json::from_str(default).ok());
        let always = |zero: &Value| !self.pointer && (zero.is_object() || !self.omitempty);
        declared.or_else(|| self.ty.zero().filter(always))
    }
}

/// How server-side apply merges a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListType {
    /// As a whole.
    Atomic,
    /// As a set of scalars.
    Set,
    /// Element by element, by keys.
    Map,
}

/// Strategic merge patch's marks on a field. Without marks lists are replaced and maps are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// A list is merged.
    pub merge: bool,
    /// A map is replaced.
    pub replace: bool,
    /// Keys the patch does not name can be dropped by `$retainKeys`.
    pub retain_keys: bool,
}

/// What a field, an element or a map's value holds.
#[derive(Debug, Clone, Default)]
pub enum Type {
    /// A boolean.
    Bool,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer, a number in JSON.
    Int64,
    /// A float.
    Float64,
    /// A string.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A quantity ([`crate::quantity`]).
    Quantity,
    /// A time of whole seconds ([`crate::time`]).
    Time,
    /// A time of microseconds.
    MicroTime,
    /// A 32-bit integer or a string.
    IntOrString,
    /// Any object, taken as it is.
    RawExtension,
    /// The field set of a managed-fields entry, taken as it is.
    FieldsV1,
    /// Any JSON, taken as it is.
    #[default]
    Json,
    /// `JSONSchemaProps` or a list of them.
    SchemaOrArray(MessageRef),
    /// `JSONSchemaProps` or a boolean.
    SchemaOrBool(MessageRef),
    /// `JSONSchemaProps` or a list of strings.
    SchemaOrStrings(MessageRef),
    /// A list.
    List(Box<Type>),
    /// A map with strings as keys.
    Map(Box<Type>),
    /// A message.
    Message(MessageRef),
    /// A named type: an enumeration of strings, or a named list or map. Use [`Type::resolved`] to see through it.
    Alias(&'static Alias),
}

impl Type {
    /// The type behind names.
    pub fn resolved(&self) -> &Type {
        match self {
            Type::Alias(alias) => alias.ty.resolved(),
            other => other,
        }
    }

    /// What Go has in a field nobody has set, as far as upstream's documents say it.
    pub fn zero(&self) -> Option<Value> {
        Some(match self.resolved() {
            // Types that describe themselves, such as times and quantities, have none.
            Type::Message(_) => Value::Object(serde_json::Map::new()),
            Type::String => "".into(),
            Type::Bool => false.into(),
            Type::Int32 | Type::Int64 | Type::Float64 => 0.into(),
            _ => return None,
        })
    }

    /// The message of a field that holds a message, a list of messages or a map of messages.
    pub fn element_message(&self) -> Option<&Message> {
        match self.resolved() {
            Type::Message(message) => Some(message),
            Type::List(element) | Type::Map(element) => element.element_message(),
            _ => None,
        }
    }

    /// The values of an enumeration; none when any string will do.
    pub fn enum_values(&self) -> &'static [Str] {
        match self {
            Type::Alias(alias) => &alias.values,
            _ => &[],
        }
    }

    /// The type as Go's reflection prints it in error texts: `[]v1.Container`.
    pub fn go_name(&self) -> String {
        match self {
            Type::Bool => "bool".to_owned(),
            Type::Int32 => "int32".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Float64 => "float64".to_owned(),
            Type::String => "string".to_owned(),
            Type::Bytes => "[]uint8".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::Time => "v1.Time".to_owned(),
            Type::MicroTime => "v1.MicroTime".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::RawExtension => "runtime.RawExtension".to_owned(),
            Type::FieldsV1 => "v1.FieldsV1".to_owned(),
            Type::Json => "v1.JSON".to_owned(),
            Type::SchemaOrArray(_) => "v1.JSONSchemaPropsOrArray".to_owned(),
            Type::SchemaOrBool(_) => "v1.JSONSchemaPropsOrBool".to_owned(),
            Type::SchemaOrStrings(_) => "v1.JSONSchemaPropsOrStringArray".to_owned(),
            Type::List(element) => format!("[]{}", element.go_name()),
            Type::Map(value) => format!("map[string]{}", value.go_name()),
            Type::Message(message) => message.reflected(),
            Type::Alias(alias) => reflected(&alias.name),
        }
    }
}

/// `core/v1.Pod` is `v1.Pod` to Go's reflection.
fn reflected(name: &str) -> String {
    name.rsplit('/').next().unwrap_or(name).to_owned()
}

/// A named type that is no message.
#[derive(Debug)]
pub struct Alias {
    /// `core/v1.PullPolicy`.
    pub name: Str,
    /// What it stands for.
    pub ty: Type,
    /// The values of an enumeration.
    pub values: Vec<Str>,
}

/// A message that another refers to. Built-in messages are decoded when they are looked at, so messages may refer to
/// themselves.
#[derive(Clone)]
pub enum MessageRef {
    /// One of the built-in table.
    BuiltIn(BuiltIn),
    /// One that is decoded already.
    Static(&'static Message),
    /// One made at run time.
    Dynamic(Arc<Message>),
}

/// A message of the built-in table, decoded or not yet.
#[derive(Clone, Copy)]
pub struct BuiltIn(&'static table::Entry);

/// A reference to a message of the built-in table, for messages made at run time that contain one.
impl From<&'static Message> for MessageRef {
    fn from(message: &'static Message) -> MessageRef {
        MessageRef::Static(message)
    }
}

impl Deref for MessageRef {
    type Target = Message;
    fn deref(&self) -> &Message {
        match self {
            // The table's own test walks every reference, so this one leads to a message.
            MessageRef::BuiltIn(BuiltIn(entry)) => entry.message().unwrap_or(&table::NO_MESSAGE),
            MessageRef::Static(message) => message,
            MessageRef::Dynamic(message) => message,
        }
    }
}

/// The name only: messages can be endless trees.
impl fmt::Debug for MessageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageRef::BuiltIn(BuiltIn(entry)) => f.write_str(entry.name()),
            MessageRef::Static(message) => f.write_str(&message.name),
            MessageRef::Dynamic(message) => f.write_str(&message.name),
        }
    }
}

/// A field as protobuf has it.
#[derive(Debug, Clone)]
pub(crate) enum Wire {
    /// A field of the message, by its place in `fields`.
    Field(u32, u16),
    /// An inline struct: a message of its own in protobuf, whose fields stand among this one's in JSON.
    Inline(u32, Vec<Wire>),
}

impl Wire {
    pub(crate) fn number(&self) -> u32 {
        match self {
            Wire::Field(number, _) | Wire::Inline(number, _) => *number,
        }
    }
}
