//! The resource table's row: everything that routing, discovery, store keys, selectors and garbage collection derive from.

mod builtin;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};

pub use builtin::{builtin, find};

/// Whether objects live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace each.
    Namespaced,
    /// Directly in the cluster.
    Cluster,
}

/// One kind at one version, built in or made by a CustomResourceDefinition.
#[derive(Clone, Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: Box<str>,
    /// Version within the group.
    pub version: Box<str>,
    /// Plural, lower case: the word in paths.
    pub plural: Box<str>,
    /// Singular, lower case.
    pub singular: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Kind of its lists.
    pub list_kind: Box<str>,
    /// In namespaces or not.
    pub scope: Scope,
    /// `po`, `deploy` …
    pub short_names: Vec<Box<str>>,
    /// `all` …
    pub categories: Vec<Box<str>>,
    /// `status`, `scale`, `log` …
    pub subresources: Vec<Box<str>>,
    /// Paths of selectable fields beside `metadata.name` and `metadata.namespace`.
    pub fields: Vec<Box<str>>,
    /// The columns of tables, for custom resources whose definition gives them. Built-in kinds have theirs in code.
    pub columns: Vec<PrinterColumn>,
    /// The verbs served.
    pub verbs: &'static [&'static str],
    /// Group, version and plural under which objects are stored, where that is another row (`events.k8s.io` shows core's events).
    pub stored_as: Option<(&'static str, &'static str, &'static str)>,
    /// Whether objects are stored at all; reviews and bindings are not.
    pub stored: bool,
    /// Whether a built-in row: strategic merge and protobuf are only for these.
    pub builtin: bool,
    /// What a custom kind's version needs beyond its row. Rows that are not built in and have none take anything.
    pub custom: Option<Arc<crate::custom::Custom>>,
}

/// A column of a custom resource's tables: an `additionalPrinterColumns` entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrinterColumn {
    /// The heading.
    pub name: Box<str>,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub ty: Box<str>,
    /// The OpenAPI format, mostly empty.
    pub format: Box<str>,
    /// What the column shows.
    pub description: Box<str>,
    /// Columns above 0 are shown with `-o wide` only.
    pub priority: i32,
    /// Where the value is.
    pub json_path: Box<str>,
}

/// What every stored kind answers.
pub const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Those of the verbs that are among [`ALL_VERBS`], in their order there.
pub fn verbs<'a>(names: impl IntoIterator<Item = &'a str>) -> &'static [&'static str] {
    // One list for each set of eight verbs there can be.
    static SETS: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
        let has = |set: usize, at: usize| set & (1 << at) != 0;
        let list = |set| ALL_VERBS.iter().enumerate().filter(|(at, _)| has(set, *at)).map(|(_, verb)| *verb).collect();
        (0..1 << ALL_VERBS.len()).map(list).collect()
    });
    let bit = |name: &str| ALL_VERBS.iter().position(|verb| *verb == name).map_or(0, |at| 1 << at);
    &SETS[names.into_iter().fold(0, |set, name| set | bit(name))]
}

impl Resource {
    /// `group/version`, or the version alone for core.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the row serves the subresource.
    pub fn has_subresource(&self, name: &str) -> bool {
        self.subresources.iter().any(|s| &**s == name)
    }

    /// The position of a selectable field in [`crate::Meta::fields`].
    pub fn field(&self, path: &str) -> Option<usize> {
        self.fields.iter().position(|f| &**f == path)
    }

    /// The path below the API root: `/api/v1` or `/apis/group/version`.
    pub fn is_core(&self) -> bool {
        self.group.is_empty()
    }

    /// `plural.group`, as messages and quotas name it.
    pub fn qualified(&self) -> String {
        crate::status::qualified(&self.plural, &self.group)
    }

    /// The row whose objects these are: itself, unless it shows another row's.
    pub fn storage(self: &Arc<Self>) -> Arc<Self> {
        match self.stored_as {
            Some((group, version, plural)) => find(group, version, plural).unwrap_or(self).clone(),
            None => self.clone(),
        }
    }

    /// The prefix of the kind's keys in the store, as upstream lays it out, with a trailing slash.
    pub fn store_prefix(&self) -> String {
        match (&*self.group, &*self.plural) {
            ("", "services") => "/registry/services/specs/".into(),
            ("", "endpoints") => "/registry/services/endpoints/".into(),
            ("", "nodes") => "/registry/minions/".into(),
            ("networking.k8s.io", "ingresses") => "/registry/ingress/".into(),
            ("apiextensions.k8s.io" | "apiregistration.k8s.io", plural) => {
                format!("/registry/{}/{plural}/", self.group)
            }
            (_, "controllers" | "replicationcontrollers") => "/registry/controllers/".into(),
            (_, plural) if self.builtin => format!("/registry/{plural}/"),
            (group, plural) => format!("/registry/{group}/{plural}/"),
        }
    }

    /// The key of one object in the store.
    pub fn store_key(&self, namespace: &str, name: &str) -> String {
        let prefix = self.store_prefix();
        if namespace.is_empty() { format!("{prefix}{name}") } else { format!("{prefix}{namespace}/{name}") }
    }
}
