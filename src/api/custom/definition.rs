//! What the rows of a custom kind share: its definition, read as far as requests need it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Schema;
use crate::shape::Shape;
use crate::tree::Tree;
use crate::validation::field::ErrorList;
use crate::{Object, ObjectError, Status};

/// A CustomResourceDefinition.
#[derive(Debug)]
pub struct Definition {
    /// Group of the kind.
    pub group: Box<str>,
    /// The kind as it was accepted.
    pub kind: Box<str>,
    /// The version in which objects are stored.
    pub storage: Box<str>,
    /// How objects of one version become objects of another.
    pub conversion: Conversion,
    terminating: AtomicBool,
    versions: Box<[Version]>,
    /// The bytes that schemas are compiled from.
    object: Arc<Object>,
    compile_rules: CompileRules,
}

/// How objects change their version.
#[derive(Clone, Debug, Default)]
pub enum Conversion {
    /// By name only.
    #[default]
    None,
    /// By asking somebody.
    Webhook(Arc<dyn Convert>),
}

/// Somebody who converts objects.
pub trait Convert: std::fmt::Debug + Send + Sync {
    /// The objects in the other version (`group/version`), in their order.
    fn convert(&self, objects: Vec<Value>, api_version: String) -> BoxFuture<'_, Result<Vec<Value>, Status>>;
}

/// The validation rules of a schema, compiled.
pub trait Rules: std::fmt::Debug + Send + Sync {
    /// Complaints about an object, and warnings about what was wrong before and has not changed.
    fn check(&self, new: &Value, old: Option<&Value>) -> (ErrorList, Vec<String>);
}

/// Compiles the rules of a schema; `None` when it has none.
type CompileRules = fn(&Value, &Arc<Schema>) -> Option<Arc<dyn Rules>>;

/// One version of the kind.
#[derive(Debug)]
pub struct Version {
    /// `v1`.
    pub name: Box<str>,
    /// Whether requests may use it.
    pub served: bool,
    /// Whether status is a subresource.
    pub status: bool,
    /// Where replicas are, if scale is a subresource.
    pub scale: Option<Scale>,
    /// What requests for it are warned with.
    pub deprecation: Option<Box<str>>,
    /// The paths objects are selected by, without leading dots.
    pub selectable: Box<[Box<str>]>,
    schema: OnceLock<Arc<Schema>>,
    shape: OnceLock<Shape>,
    rules: OnceLock<Option<Arc<dyn Rules>>>,
}

/// The paths of the scale subresource, without leading dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    /// Of the wanted number.
    pub spec_replicas: Box<str>,
    /// Of the present number.
    pub status_replicas: Box<str>,
    /// Of the selector in its query form; empty for none.
    pub selector: Box<str>,
}

/// One version of a custom kind: what its row needs.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The definition, shared by the rows of all versions.
    pub definition: Arc<Definition>,
    at: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    group: Box<str>,
    names: Names,
    versions: Vec<ViewOfVersion>,
}

#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    kind: Box<str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ViewOfVersion {
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    served: bool,
    #[serde(default)]
    storage: bool,
    #[serde(default)]
    deprecated: bool,
    deprecation_warning: Option<Box<str>>,
    subresources: Option<Value>,
    #[serde(default)]
    selectable_fields: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct Schemas {
    spec: SchemasOfSpec,
}

#[derive(Deserialize)]
struct SchemasOfSpec {
    versions: Vec<SchemaOfVersion>,
}

#[derive(Deserialize)]
struct SchemaOfVersion {
    #[serde(default)]
    name: Box<str>,
    schema: Option<SchemaField>,
}

#[derive(Deserialize)]
struct SchemaField {
    #[serde(rename = "openAPIV3Schema")]
    schema: Option<Box<RawValue>>,
}

impl Definition {
    /// Reads a definition. Its schemas are read when they are needed.
    pub fn read(object: Arc<Object>, conversion: Conversion, compile_rules: CompileRules) -> Result<Self, ObjectError> {
        let view: View = object.view()?;
        let spec = view.spec;
        let storage = spec.versions.iter().find(|version| version.storage);
        let storage = storage.map(|version| version.name.clone()).unwrap_or_default();
        let names: Vec<(Box<str>, bool)> =
            spec.versions.iter().map(|v| (v.name.clone(), v.served && !v.deprecated)).collect();
        let versions = spec.versions.into_iter().map(|version| {
            let warning = version.deprecated.then(|| match version.deprecation_warning {
                Some(warning) => warning,
                None => deprecation(&spec.group, &spec.names.kind, &version.name, &names).into(),
            });
            let subresources = version.subresources.unwrap_or_default();
            let path = |name: &str| {
                let path = subresources.at("scale").map(|scale| scale.text(name)).unwrap_or_default();
                Box::from(path.strip_prefix('.').unwrap_or(path))
            };
            let selectable = version.selectable_fields.unwrap_or_default();
            let selectable =
                selectable.iter().map(|field| field.text("jsonPath")).map(|path| path.trim_start_matches('.'));
            Version {
                name: version.name,
                served: version.served,
                status: subresources.at("status").is_some(),
                scale: subresources.at("scale").map(|_| Scale {
                    spec_replicas: path("specReplicasPath"),
                    status_replicas: path("statusReplicasPath"),
                    selector: path("labelSelectorPath"),
                }),
                deprecation: warning,
                selectable: selectable.map(Box::from).collect(),
                schema: OnceLock::new(),
                shape: OnceLock::new(),
                rules: OnceLock::new(),
            }
        });
        Ok(Self {
            versions: versions.collect(),
            kind: spec.names.kind,
            group: spec.group,
            storage,
            conversion,
            terminating: AtomicBool::new(object.meta.is_deleting()),
            object,
            compile_rules,
        })
    }

    /// The definition's own object.
    pub fn object(&self) -> &Arc<Object> {
        &self.object
    }

    /// Whether the definition is on its way out: nothing new is made then.
    pub fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::Acquire)
    }

    /// Notes that the definition was marked for deletion. Everything else stays as it was read.
    pub fn terminate(&self) {
        self.terminating.store(true, Ordering::Release);
    }

    /// All versions, served or not.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// What the row of one version needs.
    pub fn custom(self: &Arc<Self>, version: &str) -> Option<Custom> {
        let at = self.versions.iter().position(|known| *known.name == *version)?;
        Some(Custom { definition: self.clone(), at })
    }

    /// `openAPIV3Schema` of a version as the definition has it, read anew each time: it is large, and rarely asked for.
    pub fn schema_text(&self, version: &str) -> Value {
        let schemas: Option<Schemas> = self.object.view().ok();
        let versions = schemas.map(|schemas| schemas.spec.versions).unwrap_or_default();
        let found = versions.into_iter().find(|known| *known.name == *version);
        let raw = found.and_then(|version| version.schema).and_then(|field| field.schema);
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The compiled schema of a version; `None` for a version the definition does not name.
    pub fn schema(&self, version: &str) -> Option<&Arc<Schema>> {
        let known = self.versions.iter().find(|known| *known.name == *version)?;
        Some(known.schema.get_or_init(|| Schema::compile(&self.schema_text(version))))
    }

    /// What objects are made of at a version, for merging; `None` for a version the definition does not name.
    pub fn shape(&self, version: &str) -> Option<&Shape> {
        let known = self.versions.iter().find(|known| *known.name == *version)?;
        Some(known.shape.get_or_init(|| Shape::from_open_api(&self.schema_text(version))))
    }

    /// Brings an object as it was stored to the form its own version's schema gives it now: what the schema has dropped
    /// since goes, what it has defaults for comes.
    pub fn refresh(&self, object: &mut Value) {
        let version = object.text("apiVersion").rsplit('/').next().unwrap_or_default().to_owned();
        let Some(schema) = self.schema(&version) else { return };
        // Metadata of embedded objects that cannot be read any more is shown as it is.
        let _ = schema.prune(object);
        schema.fill_in(object);
    }

    /// Whether objects may lack in the store what [`Self::refresh`] gives them although nothing has changed since: what is
    /// written in another version than the stored one is stored without the defaults of that.
    pub fn stores_less(&self) -> bool {
        let has_defaults = || self.schema(&self.storage).is_some_and(|schema| schema.holds.defaults);
        self.versions.len() > 1 && (matches!(self.conversion, Conversion::Webhook(_)) || has_defaults())
    }

    /// Whether it has the version: `group/version`.
    pub fn names(&self, api_version: &str) -> bool {
        let number = api_version.strip_prefix(&*self.group).and_then(|rest| rest.strip_prefix('/'));
        number.is_some_and(|number| self.versions.iter().any(|known| *known.name == *number))
    }

    fn api_version(&self, version: &str) -> String {
        format!("{}/{version}", self.group)
    }

    /// The objects in another version. Those that are in it already come back as they are.
    pub async fn convert(&self, objects: Vec<Value>, version: &str) -> Result<Vec<Value>, Status> {
        let to = self.api_version(version);
        let mut objects = objects;
        let foreign: Vec<usize> = objects
            .iter()
            .enumerate()
            .filter(|(_, object)| object.text("apiVersion") != to)
            .map(|(at, _)| at)
            .collect();
        if foreign.is_empty() {
            return Ok(objects);
        }
        // As upstream: what was stored in a version that the definition has no more cannot be read.
        if let Some(stray) = foreign.iter().map(|at| objects[*at].text("apiVersion")).find(|said| !self.names(said)) {
            let why = format!("request to convert CR from an invalid group/version: {stray}");
            return Err(Status::failure(500, "", why));
        }
        if let Conversion::Webhook(webhook) = &self.conversion {
            let asked = foreign.iter().map(|at| objects[*at].clone()).collect();
            let converted = webhook.convert(asked, to).await?;
            for (at, converted) in foreign.into_iter().zip(converted) {
                objects[at] = self.pruned(converted, version);
            }
            return Ok(objects);
        }
        for at in foreign {
            let mut object = std::mem::take(&mut objects[at]);
            object.put("apiVersion", to.as_str());
            objects[at] = self.pruned(object, version);
        }
        Ok(objects)
    }

    fn pruned(&self, mut object: Value, version: &str) -> Value {
        if let Some(schema) = self.schema(version) {
            let _ = schema.prune(&mut object);
        }
        object
    }
}

impl Custom {
    /// The version.
    pub fn version(&self) -> &Version {
        &self.definition.versions[self.at]
    }

    /// The compiled schema of the version.
    pub fn schema(&self) -> &Arc<Schema> {
        let version = self.version();
        version.schema.get_or_init(|| Schema::compile(&self.definition.schema_text(&version.name)))
    }

    /// The validation rules of the version, compiled; `None` when it has none.
    pub fn rules(&self) -> Option<&Arc<dyn Rules>> {
        let (definition, version) = (&self.definition, self.version());
        let compile = || (definition.compile_rules)(&definition.schema_text(&version.name), self.schema());
        version.rules.get_or_init(compile).as_ref()
    }

    /// Whether objects of the version are stored as they are.
    pub fn is_storage(&self) -> bool {
        *self.version().name == *self.definition.storage
    }
}

/// What clients of a deprecated version are told where the definition does not say.
fn deprecation(group: &str, kind: &str, version: &str, versions: &[(Box<str>, bool)]) -> String {
    let rank = crate::version::rank;
    let mut better: Vec<&str> = versions.iter().filter(|(_, good)| *good).map(|(name, _)| &**name).collect();
    better.retain(|name| rank(name) > rank(version));
    better.sort_by_key(|name| std::cmp::Reverse(rank(name)));
    match better.first() {
        Some(best) => format!("{group}/{version} {kind} is deprecated; use {group}/{best} {kind}"),
        None => format!("{group}/{version} {kind} is deprecated"),
    }
}
