//! One write as admission sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use api::{DeleteOptions, FieldValidation, Propagation, Request, Resource, Status, User, WriteOptions};
use serde_json::{Map, Value, json};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::Owners;
use crate::tree::Tree;

/// What kind of write is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new object, or a new sub-object (`binding`, `eviction`).
    Create,
    /// A change of an object or of one of its subresources.
    Update,
    /// An object's removal.
    Delete,
    /// A connection to what an object stands for: `exec`, `attach`, `portforward`, `proxy`.
    Connect,
}

impl Verb {
    /// As admission reviews and rules write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// What accompanies a write.
#[derive(Clone, Debug, Default)]
pub enum Options {
    /// Nothing: connections.
    #[default]
    None,
    /// `CreateOptions`.
    Create(WriteOptions),
    /// `UpdateOptions`, of patches too.
    Update(WriteOptions),
    /// `DeleteOptions`.
    Delete(DeleteOptions),
}

/// One write as admission sees it.
#[derive(Debug)]
pub struct Attributes {
    /// Who writes.
    pub user: Arc<User>,
    /// The row objects are stored under.
    pub resource: Arc<Resource>,
    /// The row that the request names: `resource`, or one that shows its objects at another version or in another group.
    pub requested: Arc<Resource>,
    /// The namespace; empty for objects of the cluster.
    pub namespace: String,
    /// The object's name; empty while a generated name is still to come.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// What is asked.
    pub verb: Verb,
    /// The object to be written, in stored form, which mutating plugins change; null for a delete. For a sub-object that is
    /// not stored (`binding`, `eviction`) and for a connection the sub-object.
    pub object: Value,
    /// The object as it is; null for a create.
    pub old: Value,
    /// Who owns what of both. See [`Attributes::whole`].
    pub owners: Owners,
    /// Whether a webhook or a policy has put another object in the place of the one that was sent.
    pub rewritten: bool,
    /// What accompanies the write.
    pub options: Options,
    /// Whether nothing will be persisted: side effects are out.
    pub dry_run: bool,
    /// Warnings for the answer.
    pub warnings: Vec<String>,
    /// Whether the mutating turns are taken once more.
    pub reinvocation: Reinvocation,
    /// That quotas were charged for this write; kept until it is made.
    pub(crate) charge: Option<TaskTrackerToken>,
}

/// Plugins that call others' code (webhooks, policies) may ask for a second round of the mutating turns, because what one
/// changed may be another's business. In the second round they call only those they remember as having to be called again.
#[derive(Debug, Default)]
pub struct Reinvocation {
    /// Whether this is the second round.
    pub second: bool,
    /// Whether there is to be one.
    pub wanted: bool,
    /// What each plugin remembers of the first round, by the plugin's name.
    pub plugins: BTreeMap<&'static str, Called>,
}

/// What a plugin remembers between the rounds.
#[derive(Debug, Default)]
pub struct Called {
    /// Who was called and may be called again.
    pub may: BTreeSet<Arc<str>>,
    /// Who has to be called again, because the object was changed afterwards.
    pub must: BTreeSet<Arc<str>>,
    /// The object as the plugin left it.
    pub left: Value,
}

impl Called {
    /// The object was changed: who was called so far and may be called again has to be.
    pub fn changed(&mut self) {
        self.must.append(&mut self.may);
    }
}

impl Attributes {
    /// A write that a request asks for. The objects are still to be filled in.
    pub fn new(request: &Request, verb: Verb, options: Options) -> Self {
        let dry_run = match &options {
            Options::None => false,
            Options::Create(options) | Options::Update(options) => options.dry_run,
            Options::Delete(options) => options.dry_run,
        };
        Self {
            user: request.user.clone(),
            resource: request.resource.storage(),
            requested: request.resource.clone(),
            namespace: request.namespace.clone(),
            name: request.name.clone(),
            subresource: request.subresource.clone(),
            verb,
            object: Value::Null,
            old: Value::Null,
            owners: Owners::default(),
            rewritten: false,
            options,
            dry_run,
            warnings: Vec::new(),
            reinvocation: Reinvocation::default(),
            charge: None,
        }
    }

    /// Whether this is a write of objects of the kind themselves, not of a subresource.
    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.subresource.is_empty() && *self.resource.group == *group && *self.resource.plural == *plural
    }

    /// Whether this is a new pod.
    pub(crate) fn is_new_pod(&self) -> bool {
        self.verb == Verb::Create && self.is("", "pods")
    }

    /// The namespace that the write is about: that of the object or, where the object is one, itself.
    pub fn about_namespace(&self) -> &str {
        let is_namespace = self.resource.is_core() && &*self.resource.plural == "namespaces";
        if is_namespace { &self.name } else { &self.namespace }
    }

    /// 403 for this write. An object that has no name yet goes by what its name will begin with.
    pub fn forbidden(&self, why: impl fmt::Display) -> Status {
        let names = [&*self.name, self.object.text("metadata.name"), self.object.text("metadata.generateName")];
        let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or("Unknown");
        Status::forbidden(&self.resource.group, &self.resource.plural, name, why)
    }
}

impl Options {
    /// As `meta.k8s.io/v1` has it, kind included; null where there are none.
    pub fn to_value(&self) -> Value {
        let (kind, members) = match self {
            Self::None => return Value::Null,
            Self::Create(options) => ("CreateOptions", write_options(options)),
            Self::Update(options) => ("UpdateOptions", write_options(options)),
            Self::Delete(options) => ("DeleteOptions", delete_options(options)),
        };
        let mut whole = Map::new();
        whole.insert("kind".into(), kind.into());
        whole.insert("apiVersion".into(), "meta.k8s.io/v1".into());
        whole.extend(members);
        Value::Object(whole)
    }
}

fn write_options(options: &WriteOptions) -> Map<String, Value> {
    let mut members = Map::new();
    if options.dry_run {
        members.insert("dryRun".into(), json!(["All"]));
    }
    if !options.field_manager.is_empty() {
        members.insert("fieldManager".into(), options.field_manager.as_str().into());
    }
    match options.field_validation {
        FieldValidation::Strict => drop(members.insert("fieldValidation".into(), "Strict".into())),
        FieldValidation::Ignore => drop(members.insert("fieldValidation".into(), "Ignore".into())),
        // What nobody asked for is not said.
        FieldValidation::Warn => {}
    }
    members
}

fn delete_options(options: &DeleteOptions) -> Map<String, Value> {
    let mut members = Map::new();
    if let Some(seconds) = options.grace_period_seconds {
        members.insert("gracePeriodSeconds".into(), seconds.into());
    }
    let named = [("uid", &options.uid), ("resourceVersion", &options.resource_version)];
    let preconditions: Map<String, Value> =
        named.iter().filter_map(|(name, value)| Some(((*name).into(), value.as_deref()?.into()))).collect();
    if !preconditions.is_empty() {
        members.insert("preconditions".into(), preconditions.into());
    }
    if let Some(propagation) = options.propagation {
        let name = match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        };
        members.insert("propagationPolicy".into(), name.into());
    }
    if options.dry_run {
        members.insert("dryRun".into(), json!(["All"]));
    }
    members
}
