//! What a value is made of for those who merge: which lists are merged element by element and by which keys, what is taken
//! as a whole, what is known of a kind's fields.
//!
//! For built-in kinds this is read from the schema table; a [`Shape`] is made from the schema of a custom kind. Both are
//! looked at through a [`Form`], which costs nothing to make.

mod open_api;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::schema::{Field, ListType, Message, Str, Type};

/// What a value is made of, as a schema says.
#[derive(Clone, Debug)]
pub enum Shape {
    /// A scalar.
    Scalar(Scalar),
    /// Anything, taken as a whole.
    Whole,
    /// Anything; what it is made of is seen by looking at it. Lists are taken as a whole.
    Deduced,
    /// A list.
    List(Box<ListShape>),
    /// An object.
    Map(Box<MapShape>),
    /// A message of the schema table.
    Message(&'static Message),
}

/// A list of a schema.
#[derive(Clone, Debug)]
pub struct ListShape {
    how: ListType,
    keys: Vec<Str>,
    element: Shape,
}

/// An object of a schema.
#[derive(Clone, Debug)]
pub struct MapShape {
    atomic: bool,
    /// Sorted by name.
    fields: Vec<FieldShape>,
    /// What other members are; `None` where there may be none.
    rest: Option<Shape>,
}

#[derive(Clone, Debug)]
struct FieldShape {
    name: Box<str>,
    shape: Shape,
    default: Option<Value>,
}

/// What a scalar may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// A number.
    Number,
    /// A string.
    String,
    /// A boolean.
    Bool,
    /// Any of them.
    Any,
}

/// What a value is made of, seen from one place of an object.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// A scalar.
    Scalar(Scalar),
    /// Anything, taken as a whole.
    Whole,
    /// Anything, as the value shows.
    Deduced,
    /// A list.
    List(List<'a>),
    /// An object.
    Map(MapForm<'a>),
}

/// A list, seen from where it stands.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    /// How its elements are told apart.
    pub how: ListType,
    /// The keys of a list of type map.
    pub keys: &'a [Str],
    element: Inner<'a>,
}

/// An object, seen from where it stands.
#[derive(Clone, Copy, Debug)]
pub struct MapForm<'a> {
    /// Whether it is taken as a whole.
    pub atomic: bool,
    members: Members<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Members<'a> {
    Message(&'a Message),
    Of(&'a Type),
    Made(&'a MapShape),
    Deduced,
}

#[derive(Clone, Copy, Debug)]
enum Inner<'a> {
    Type(&'a Type),
    Made(&'a Shape),
}

impl Shape {
    /// The shape, to look at.
    pub fn form(&self) -> Form<'_> {
        match self {
            Self::Scalar(scalar) => Form::Scalar(*scalar),
            Self::Whole => Form::Whole,
            Self::Deduced => Form::Deduced,
            Self::List(list) => {
                Form::List(List { how: list.how, keys: &list.keys, element: Inner::Made(&list.element) })
            }
            Self::Map(map) => Form::Map(MapForm { atomic: map.atomic, members: Members::Made(map) }),
            Self::Message(message) => Form::of_message(message),
        }
    }
}

impl<'a> Form<'a> {
    /// What a message is made of.
    pub fn of_message(message: &'a Message) -> Self {
        Self::Map(MapForm { atomic: message.is_atomic(), members: Members::Message(message) })
    }

    /// What a map is made of whose members show what they are.
    pub(crate) const DEDUCED_MAP: MapForm<'static> = MapForm { atomic: false, members: Members::Deduced };

    fn of_type(ty: &'a Type) -> Self {
        match ty.resolved() {
            Type::Bool => Self::Scalar(Scalar::Bool),
            Type::Int32 | Type::Int64 | Type::Float64 => Self::Scalar(Scalar::Number),
            Type::String | Type::Bytes => Self::Scalar(Scalar::String),
            Type::Quantity | Type::Time | Type::MicroTime => Self::Scalar(Scalar::Any),
            // Upstream's documents say of the second that it is anything, and leave it to whoever reads it.
            Type::RawExtension | Type::IntOrString => Self::Whole,
            Type::FieldsV1 | Type::Json | Type::SchemaOrArray(_) | Type::SchemaOrBool(_) | Type::SchemaOrStrings(_) => {
                Self::Deduced
            }
            Type::List(element) => Self::List(List { how: ListType::Atomic, keys: &[], element: Inner::Type(element) }),
            Type::Map(value) => Self::Map(MapForm { atomic: false, members: Members::Of(value) }),
            Type::Message(message) => Self::of_message(message),
            // `resolved` has seen through it.
            Type::Alias(_) => Self::Deduced,
        }
    }

    fn of_field(field: &'a Field) -> Self {
        match Self::of_type(&field.ty) {
            Self::List(list) => {
                // A list that says only how strategic merge treats it is merged the same way.
                let (how, keys) = match (field.list, &field.merge_key) {
                    (Some(how), _) => (how, &*field.list_keys),
                    (None, Some(key)) if field.patch.merge => (ListType::Map, std::slice::from_ref(key)),
                    (None, None) if field.patch.merge => (ListType::Set, &[][..]),
                    (None, _) => (ListType::Atomic, &[][..]),
                };
                Self::List(List { how, keys, ..list })
            }
            Self::Map(map) => Self::Map(MapForm { atomic: field.is_taken_whole(), ..map }),
            form => form,
        }
    }
}

impl<'a> Inner<'a> {
    fn form(self) -> Form<'a> {
        match self {
            Self::Type(ty) => Form::of_type(ty),
            Self::Made(shape) => shape.form(),
        }
    }
}

impl<'a> List<'a> {
    /// What the elements are made of.
    pub fn element(self) -> Form<'a> {
        self.element.form()
    }

    /// The value of a key that an element does not have.
    pub(crate) fn default_of(self, key: &str) -> Option<Value> {
        match self.element() {
            Form::Map(map) => map.default_of(key),
            _ => None,
        }
    }
}

impl<'a> MapForm<'a> {
    /// What a member is made of; `None` where there may be none of that name.
    pub fn member(self, name: &str) -> Option<Form<'a>> {
        match self.members {
            Members::Message(message) => match message.field(name) {
                Some(field) => Some(Form::of_field(field)),
                None => message.preserve_unknown.then_some(Form::Deduced),
            },
            Members::Of(value) => Some(Form::of_type(value)),
            Members::Made(map) => map.field(name).map(|field| &field.shape).or(map.rest.as_ref()).map(Shape::form),
            Members::Deduced => Some(Form::Deduced),
        }
    }

    /// Whether the schema names the member: the fields of structs are named, the keys of maps are not.
    pub fn names(self, name: &str) -> bool {
        match self.members {
            Members::Message(message) => message.field(name).is_some(),
            Members::Made(map) => map.field(name).is_some(),
            Members::Of(_) | Members::Deduced => false,
        }
    }

    /// The message, where this is one of the schema table: its values may be in the minimal form.
    pub(crate) fn message(self) -> Option<&'a Message> {
        match self.members {
            Members::Message(message) => Some(message),
            _ => None,
        }
    }

    /// Whether nothing is known of the members.
    pub(crate) fn is_deduced(self) -> bool {
        match self.members {
            Members::Deduced => true,
            Members::Made(map) => map.fields.is_empty() && matches!(map.rest, Some(Shape::Deduced)),
            _ => false,
        }
    }

    fn default_of(self, key: &str) -> Option<Value> {
        match self.members {
            Members::Message(message) => message.field(key)?.documented_default(),
            Members::Made(map) => map.field(key)?.default.clone(),
            _ => None,
        }
    }
}

impl MapShape {
    fn field(&self, name: &str) -> Option<&FieldShape> {
        let at = self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        Some(&self.fields[at])
    }
}
