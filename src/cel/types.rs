//! The types of the checker, and how cel-go prints them.

use std::fmt;
use std::sync::Arc;

use crate::schema::DeclType;

/// What the checker knows about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Known only when evaluated.
    Dyn,
    /// What an expression has that did not check; agrees with everything, so that one mistake is reported once.
    Error,
    /// `null`.
    Null,
    /// `true`, `false`.
    Bool,
    /// 64 bits, signed.
    Int,
    /// 64 bits, unsigned.
    Uint,
    /// 64 bits, floating.
    Double,
    /// Unicode text.
    String,
    /// Bytes.
    Bytes,
    /// A length of time in nanoseconds.
    Duration,
    /// A point in time.
    Timestamp,
    /// A list of one type.
    List(Arc<Type>),
    /// A map.
    Map(Arc<(Type, Type)>),
    /// A type parameter: of a signature, or a free variable of inference.
    Param(u32),
    /// A type as a value: `type(int)`.
    Type(Option<Arc<Type>>),
    /// `optional_type(T)`.
    Optional(Arc<Type>),
    /// A type of a library.
    Library(LibraryType),
    /// An object with declared fields.
    Object(Arc<DeclType>),
}

/// How many types a type may be made of.
pub(crate) const LARGEST: u32 = 100;

/// The types that libraries bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LibraryType {
    /// An IP address.
    Ip,
    /// A network.
    Cidr,
    /// A quantity.
    Quantity,
    /// A URL.
    Url,
    /// A semantic version.
    Semver,
    /// A named format.
    Format,
    /// Who authorization is asked for.
    Authorizer,
    /// A check of a path.
    PathCheck,
    /// A check of an API group, still without a resource.
    GroupCheck,
    /// A check of a resource.
    ResourceCheck,
    /// What a check came to.
    Decision,
    /// One operation of a JSON patch, as mutating policies make them.
    JsonPatch,
}

impl LibraryType {
    /// The type's name, as `type()` and error texts have it.
    pub fn name(self) -> &'static str {
        match self {
            LibraryType::Ip => "net.IP",
            LibraryType::Cidr => "net.CIDR",
            LibraryType::Quantity => "kubernetes.Quantity",
            LibraryType::Url => "kubernetes.URL",
            LibraryType::Semver => "kubernetes.Semver",
            LibraryType::Format => "kubernetes.NamedFormat",
            LibraryType::Authorizer => "kubernetes.authorization.Authorizer",
            LibraryType::PathCheck => "kubernetes.authorization.PathCheck",
            LibraryType::GroupCheck => "kubernetes.authorization.GroupCheck",
            LibraryType::ResourceCheck => "kubernetes.authorization.ResourceCheck",
            LibraryType::Decision => "kubernetes.authorization.Decision",
            LibraryType::JsonPatch => "JSONPatch",
        }
    }

    /// Those that expressions can name.
    pub(crate) const ALL: [LibraryType; 12] = [
        LibraryType::Ip,
        LibraryType::Cidr,
        LibraryType::Quantity,
        LibraryType::Url,
        LibraryType::Semver,
        LibraryType::Format,
        LibraryType::Authorizer,
        LibraryType::PathCheck,
        LibraryType::GroupCheck,
        LibraryType::ResourceCheck,
        LibraryType::Decision,
        LibraryType::JsonPatch,
    ];
}

impl Type {
    /// A list of `element`.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// A map from `key` to `value`.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// An optional `value`.
    pub fn optional(value: Type) -> Type {
        Type::Optional(Arc::new(value))
    }

    /// The name `type()` gives values of the type.
    pub(crate) fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Param(_) => "param",
            Type::Type(_) => "type",
            Type::Optional(_) => "optional_type",
            Type::Library(library) => library.name(),
            Type::Object(object) => object.name(),
        }
    }

    /// Whether the type is of a size that can be walked through without a second thought.
    pub(crate) fn is_small(&self) -> bool {
        fn walk(ty: &Type, left: &mut u32) -> bool {
            *left = left.saturating_sub(1);
            *left > 0
                && match ty {
                    Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => walk(inner, left),
                    Type::Map(types) => walk(&types.0, left) && walk(&types.1, left),
                    _ => true,
                }
        }
        walk(self, &mut LARGEST.clone())
    }

    /// Whether nothing is known before evaluation.
    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// Whether values of the type have the same size always.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
            Type::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }
}

/// As cel-go's error texts write types.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("null"),
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::List(element) => write!(f, "list({element})"),
            Type::Map(types) => write!(f, "map({}, {})", types.0, types.1),
            Type::Param(id) if *id < 26 => write!(f, "{}", char::from(b'A' + *id as u8)),
            Type::Param(id) => write!(f, "_var{}", id - 26),
            Type::Type(Some(inner)) => write!(f, "type({inner})"),
            Type::Optional(inner) => write!(f, "optional_type({inner})"),
            other => f.write_str(other.name()),
        }
    }
}
