//! Declarations of data: what the checker knows of `self` and `object`, how views read JSON, and how large things can get.
//! Made from structural schemas ([`DeclType::from_structural`]) or from the built-in messages ([`DeclType::of_message`]).

use std::sync::Arc;

use api::schema::{Message, Type as ApiType};
use serde_json::Value as Json;

use crate::escape::{self, escape};
use crate::types::{LibraryType, Type};

mod structural;

/// The largest request upstream accepts: what has no limit of its own is limited by it. Bytes.
const LARGEST_REQUEST: u64 = 3 * 1024 * 1024;
/// How deep built-in messages are followed.
const DEEPEST: usize = 24;

/// The type of a piece of data, and its sizes.
#[derive(Clone, Debug)]
pub struct DeclType {
    pub(crate) kind: DeclKind,
    /// The largest number of elements, characters or bytes; none when nothing limits it.
    pub(crate) max_elements: Option<u64>,
    /// The fewest bytes the data takes as JSON.
    pub(crate) min_size: u64,
    /// The keys of a map, where it is known how large they are.
    pub(crate) keys: Option<Arc<DeclType>>,
}

#[derive(Clone, Debug)]
pub(crate) enum DeclKind {
    Dyn,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Duration,
    Date,
    Timestamp,
    List {
        element: Arc<DeclType>,
        set: bool,
        keys: Vec<String>,
    },
    Map(Arc<DeclType>),
    Object {
        name: Arc<str>,
        fields: Vec<DeclField>,
    },
    /// What an expression computes.
    Computed(Type),
    /// An object with any fields.
    Open(Arc<str>),
}

/// A field of an object.
#[derive(Clone, Debug)]
pub(crate) struct DeclField {
    /// The name expressions use.
    pub name: Arc<str>,
    /// The name in JSON.
    pub json_name: Arc<str>,
    pub ty: Arc<DeclType>,
}

/// Objects are the same type when they have the same name.
impl PartialEq for DeclType {
    fn eq(&self, other: &Self) -> bool {
        let object = |decl: &Self| matches!(decl.kind, DeclKind::Object { .. } | DeclKind::Open(_));
        std::ptr::eq(self, other) || (object(self) && object(other) && self.name() == other.name())
    }
}

impl Eq for DeclType {}

impl DeclType {
    /// The declaration of data with this structural schema (a CRD's `openAPIV3Schema`, or a part of it); none when the
    /// schema says nothing that expressions could use. `root` is set for whole resources: their `apiVersion`, `kind`,
    /// `metadata.name` and `metadata.generateName` are there whatever the schema says. `name` is the type's name in
    /// error texts; parts are named by their path below it.
    pub fn from_structural(schema: &Json, root: bool, name: &str) -> Option<Arc<DeclType>> {
        structural::declare(schema, root, name).map(Arc::new)
    }

    /// The declaration of a built-in message. Types that hold themselves are dynamic where they begin again.
    pub fn of_message(message: &Message, name: &str) -> Arc<DeclType> {
        Arc::new(of_message(message, name, &mut Vec::new()))
    }

    /// An object made of these fields, by their names in JSON: for `request` and the like.
    pub fn object(name: &str, fields: impl IntoIterator<Item = (&'static str, Arc<DeclType>)>) -> Arc<DeclType> {
        let fields = fields.into_iter().map(|(name, ty)| (name.to_owned(), ty));
        Arc::new(DeclType::with_fields(name, fields.collect(), 2))
    }

    /// Anything.
    pub fn dynamic() -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Dyn, 1))
    }

    /// The fewest bytes of JSON that a value takes, by which upstream estimates how many there may be.
    pub fn min_size(&self) -> u64 {
        self.min_size
    }

    /// Any text.
    pub fn string() -> Arc<DeclType> {
        Arc::new(DeclType { max_elements: None, ..DeclType::plain(DeclKind::String, 2) })
    }

    /// An integer.
    pub fn int() -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Int, 1))
    }

    /// A point in time.
    pub fn timestamp() -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Timestamp, 21))
    }

    /// A boolean.
    pub fn bool() -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Bool, 4))
    }

    /// A list.
    pub fn list(element: Arc<DeclType>) -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::List { element, set: false, keys: Vec::new() }, 2))
    }

    /// A quantity.
    pub fn quantity() -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Computed(Type::Library(LibraryType::Quantity)), 8))
    }

    /// A map with these texts as keys.
    pub fn keyed(keys: Arc<DeclType>, value: Arc<DeclType>) -> Arc<DeclType> {
        Arc::new(DeclType { keys: Some(keys), ..DeclType::plain(DeclKind::Map(value), 2) })
    }

    /// The same of at most so many elements, characters or bytes.
    pub fn at_most(mut self: Arc<Self>, most: u64) -> Arc<DeclType> {
        Arc::make_mut(&mut self).max_elements = Some(most);
        self
    }

    /// A map with text as keys.
    pub fn map(value: Arc<DeclType>) -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Map(value), 2))
    }

    /// An object with any fields.
    pub(crate) fn open(name: &str) -> Arc<DeclType> {
        Arc::new(DeclType::plain(DeclKind::Open(name.into()), 2))
    }

    /// Whether its type is known only when evaluated.
    pub(crate) fn is_dynamic(&self) -> bool {
        matches!(self.kind, DeclKind::Dyn)
    }

    /// The type of a field by the name expressions use.
    pub(crate) fn type_of_field(&self, name: &str) -> Option<Type> {
        match &self.kind {
            DeclKind::Open(_) => Some(Type::Dyn),
            _ => self.field(name).map(|field| field.ty.ty()),
        }
    }

    /// An object whose fields are computed, and have any types.
    pub(crate) fn computed(name: &str, fields: &[(Arc<str>, Type)]) -> Arc<DeclType> {
        let field = |(name, ty): &(Arc<str>, Type)| DeclField {
            name: name.clone(),
            json_name: name.clone(),
            ty: Arc::new(DeclType::plain(DeclKind::Computed(ty.clone()), 1)),
        };
        let mut fields: Vec<_> = fields.iter().map(field).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Arc::new(DeclType::plain(DeclKind::Object { name: name.into(), fields }, 2))
    }

    fn plain(kind: DeclKind, min_size: u64) -> DeclType {
        DeclType { kind, max_elements: None, min_size, keys: None }
    }

    /// Fields whose names cannot be escaped cannot be used, and are left out.
    fn with_fields(name: &str, fields: Vec<(String, Arc<DeclType>)>, min_size: u64) -> DeclType {
        let field = |(json_name, ty): (String, _)| {
            let name = escape(&json_name)?.into();
            Some(DeclField { name, json_name: json_name.into(), ty })
        };
        let mut fields: Vec<_> = fields.into_iter().filter_map(field).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        DeclType::plain(DeclKind::Object { name: name.into(), fields }, min_size)
    }

    /// The type's name: an object's own, otherwise the kind's.
    pub fn name(&self) -> &str {
        match &self.kind {
            DeclKind::Dyn => "dyn",
            DeclKind::Bool => "bool",
            DeclKind::Int => "int",
            DeclKind::Double => "double",
            DeclKind::String => "string",
            DeclKind::Bytes => "bytes",
            DeclKind::Duration => "duration",
            DeclKind::Date | DeclKind::Timestamp => "timestamp",
            DeclKind::List { .. } => "list",
            DeclKind::Map(_) => "map",
            DeclKind::Object { name, .. } => name,
            DeclKind::Computed(ty) => ty.name(),
            DeclKind::Open(name) => name,
        }
    }

    /// The type for the checker.
    pub fn ty(self: &Arc<Self>) -> Type {
        match &self.kind {
            DeclKind::Dyn => Type::Dyn,
            DeclKind::Bool => Type::Bool,
            DeclKind::Int => Type::Int,
            DeclKind::Double => Type::Double,
            DeclKind::String => Type::String,
            DeclKind::Bytes => Type::Bytes,
            DeclKind::Duration => Type::Duration,
            DeclKind::Date | DeclKind::Timestamp => Type::Timestamp,
            DeclKind::List { element, .. } => Type::list(element.ty()),
            DeclKind::Map(value) => Type::map(Type::String, value.ty()),
            DeclKind::Object { .. } | DeclKind::Open(_) => Type::Object(self.clone()),
            DeclKind::Computed(ty) => ty.clone(),
        }
    }

    /// What a list or a map holds.
    pub fn element(&self) -> Option<&DeclType> {
        self.element_arc().map(|element| &**element)
    }

    pub(crate) fn element_arc(&self) -> Option<&Arc<DeclType>> {
        match &self.kind {
            DeclKind::List { element, .. } | DeclKind::Map(element) => Some(element),
            _ => None,
        }
    }

    /// A field by the name expressions use.
    pub(crate) fn field(&self, name: &str) -> Option<&DeclField> {
        let DeclKind::Object { fields, .. } = &self.kind else { return None };
        let find = |name: &str| fields.binary_search_by(|field| (*field.name).cmp(name)).ok();
        // `metadata.namespace`: words the language keeps may stand behind a dot as they are.
        let at = find(name).or_else(|| find(&escape::reserved(name)?))?;
        Some(&fields[at])
    }

    pub(crate) fn field_by_json_name(&self, name: &str) -> Option<&DeclField> {
        self.field(&escape(name)?)
    }

    /// The declaration of a field, by its name in JSON.
    pub fn field_type(&self, json_name: &str) -> Option<&Arc<DeclType>> {
        self.field_by_json_name(json_name).map(|field| &field.ty)
    }
}

fn of_message(message: &Message, name: &str, above: &mut Vec<String>) -> DeclType {
    if above.len() >= DEEPEST || above.iter().any(|above| **above == *message.name) {
        return DeclType::plain(DeclKind::Dyn, 1);
    }
    above.push(message.name.to_string());
    let field = |field: &api::schema::Field| {
        let ty = of_type(&field.ty, &format!("{name}.{}", field.name), above);
        (field.name.to_string(), Arc::new(ty))
    };
    let fields: Vec<_> = message.fields.iter().map(field).collect();
    above.pop();
    DeclType::with_fields(name, fields, 2)
}

fn of_type(ty: &ApiType, name: &str, above: &mut Vec<String>) -> DeclType {
    let plain = |kind| DeclType::plain(kind, 1);
    match ty.resolved() {
        ApiType::Bool => plain(DeclKind::Bool),
        ApiType::Int32 | ApiType::Int64 => plain(DeclKind::Int),
        ApiType::Float64 => plain(DeclKind::Double),
        ApiType::String => plain(DeclKind::String),
        ApiType::Bytes => plain(DeclKind::Bytes),
        ApiType::Time | ApiType::MicroTime => plain(DeclKind::Timestamp),
        ApiType::List(element) => {
            let element = Arc::new(of_type(element, &format!("{name}.@idx"), above));
            plain(DeclKind::List { element, set: false, keys: Vec::new() })
        }
        ApiType::Map(value) => plain(DeclKind::Map(Arc::new(of_type(value, &format!("{name}.@elem"), above)))),
        ApiType::Message(message) => of_message(message, name, above),
        _ => plain(DeclKind::Dyn),
    }
}
