//! What expressions can name: variables with their types, and types.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::check;
use crate::cost;
use crate::error::CompileErrors;
use crate::parser;
use crate::plan;
use crate::program::Program;
use crate::schema::DeclType;
use crate::types::{LibraryType, Type};

/// The declarations expressions are compiled against. Cheap to clone and extend.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: HashMap<Arc<str>, Variable>,
    /// Whether `Object` and `JSONPatch` are types.
    objects: bool,
}

/// A variable: what the checker knows, and the sizes of its data.
#[derive(Clone, Debug)]
struct Variable {
    ty: Type,
    decl: Option<Arc<DeclType>>,
    /// Its fields are computed when they are asked for.
    lazy: bool,
}

impl Environment {
    /// An environment with all libraries and without variables.
    pub fn new() -> Environment {
        Environment::default()
    }

    /// With a variable of data that is declared. Its name may be qualified: `authorizer.requestResource`.
    pub fn with(mut self, name: &str, decl: Arc<DeclType>) -> Environment {
        self.variables.insert(name.into(), Variable { ty: decl.ty(), decl: Some(decl), lazy: false });
        self
    }

    /// With a variable of a type.
    pub fn with_type(mut self, name: &str, ty: Type) -> Environment {
        self.variables.insert(name.into(), Variable { ty, decl: None, lazy: false });
        self
    }

    /// With an object whose fields are computed when they are asked for, by [`crate::Activation::field`].
    pub fn with_lazy(mut self, name: &str, fields: &[(Arc<str>, Type)]) -> Environment {
        let decl = DeclType::computed(name, fields);
        self.variables.insert(name.into(), Variable { ty: Type::Object(decl), decl: None, lazy: true });
        self
    }

    /// With a variable that can be anything.
    pub fn with_dynamic(self, name: &str) -> Environment {
        self.with_type(name, Type::Dyn)
    }

    /// With `authorizer`, and `authorizer.requestResource`: the check of the request's own resource.
    pub fn with_authorizer(self) -> Environment {
        self.with_type("authorizer", Type::Library(LibraryType::Authorizer))
            .with_type("authorizer.requestResource", Type::Library(LibraryType::ResourceCheck))
    }

    /// With the types expressions make objects of in mutations: `Object{spec: Object.spec{…}}` and `JSONPatch{…}`. Any
    /// field will do; [`crate::Struct::misnamed`] tells whether the names of types say where their objects stand.
    pub fn with_objects(mut self) -> Environment {
        self.objects = true;
        self
    }

    /// The type of `Object{…}`, which apply configurations are.
    pub fn object_type() -> Type {
        Type::Object(DeclType::open("Object"))
    }

    /// Parses, checks and plans an expression.
    pub fn compile(&self, source: &str) -> Result<Program, CompileErrors> {
        let errors = |issues| CompileErrors::new(source, issues);
        let mut parsed = parser::parse(source).map_err(errors)?;
        let checked = check::check(&mut parsed.expr, &parsed.offsets, source, self).map_err(errors)?;
        let cost = cost::estimate(&parsed.expr, &checked, self);
        let returns = checked.ty(&parsed.expr).clone();
        Ok(Program::new(plan::plan(&parsed.expr, &checked, self), returns, cost))
    }

    /// Whether an expression reads, without checking it.
    pub fn parse(source: &str) -> Result<(), CompileErrors> {
        parser::parse(source).map(drop).map_err(|issues| CompileErrors::new(source, issues))
    }

    pub(crate) fn variable(&self, name: &str) -> Option<Type> {
        self.variables.get(name).map(|variable| variable.ty.clone())
    }

    pub(crate) fn is_lazy(&self, name: &str) -> bool {
        self.variables.get(name).is_some_and(|variable| variable.lazy)
    }

    pub(crate) fn declaration(&self, name: &str) -> Option<&Arc<DeclType>> {
        self.variables.get(name)?.decl.as_ref()
    }

    pub(crate) fn type_named(&self, name: &str) -> Option<Type> {
        if self.objects && (name == "Object" || name.starts_with("Object.")) {
            return Some(Type::Object(DeclType::open(name)));
        }
        TYPES.get(name).filter(|ty| self.objects || **ty != Type::Library(LibraryType::JsonPatch)).cloned()
    }

    /// The fields of a type that expressions can make.
    pub(crate) fn struct_fields(&self, ty: &Type) -> Option<Arc<DeclType>> {
        match ty {
            Type::Object(decl) => Some(decl.clone()),
            Type::Library(LibraryType::JsonPatch) => Some(JSON_PATCH.clone()),
            _ => None,
        }
    }
}

static JSON_PATCH: LazyLock<Arc<DeclType>> = LazyLock::new(|| {
    let fields = [
        ("op", DeclType::string()),
        ("path", DeclType::string()),
        ("from", DeclType::string()),
        ("value", DeclType::dynamic()),
    ];
    DeclType::object("JSONPatch", fields)
});

static TYPES: LazyLock<HashMap<&'static str, Type>> = LazyLock::new(|| {
    let plain = [
        ("bool", Type::Bool),
        ("bytes", Type::Bytes),
        ("double", Type::Double),
        ("int", Type::Int),
        ("uint", Type::Uint),
        ("string", Type::String),
        ("null_type", Type::Null),
        ("type", Type::Type(None)),
        ("dyn", Type::Dyn),
        ("list", Type::list(Type::Dyn)),
        ("map", Type::map(Type::Dyn, Type::Dyn)),
        ("optional_type", Type::optional(Type::Dyn)),
        ("google.protobuf.Duration", Type::Duration),
        ("google.protobuf.Timestamp", Type::Timestamp),
    ];
    let libraries = LibraryType::ALL.iter().map(|library| (library.name(), Type::Library(*library)));
    plain.into_iter().chain(libraries).collect()
});
