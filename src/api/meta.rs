//! The part of an object that stays parsed: what lists, selectors, garbage collection and caches ask all the time.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// The parsed metadata of one object. Annotations and managed fields are left in the bytes: few consumers want them.
#[derive(Clone, Debug, Default)]
pub struct Meta {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.namespace`; empty for objects of the cluster.
    pub namespace: Box<str>,
    /// `metadata.uid`.
    pub uid: Box<str>,
    /// The revision of the last write; for a deleted object that of the delete. 0 when the object was never stored.
    pub resource_version: u64,
    /// `metadata.generation`; 0 when absent.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub creation_timestamp: Option<Timestamp>,
    /// `metadata.deletionTimestamp`: set while finalizers or a grace period hold the object.
    pub deletion_timestamp: Option<Timestamp>,
    /// `metadata.deletionGracePeriodSeconds`.
    pub deletion_grace_period_seconds: Option<i64>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.ownerReferences`.
    pub owner_references: Vec<OwnerReference>,
    /// `metadata.finalizers`.
    pub finalizers: Vec<Box<str>>,
    /// The values of the row's selectable fields, in the row's order; empty where absent.
    pub fields: Box<[Box<str>]>,
}

impl Meta {
    /// `namespace/name`, or the name alone for objects of the cluster: the key of caches and queues.
    pub fn key(&self) -> String {
        key(&self.namespace, &self.name)
    }

    /// The owner that manages this object, if any.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller)
    }

    /// Whether the object is on its way out.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// The key of caches and queues for a namespace (empty for objects of the cluster) and a name.
pub fn key(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// The inverse of [`key`].
pub fn split_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or(("", key))
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OwnerReference {
    /// Group and version of the owner.
    #[serde(default)]
    pub api_version: Box<str>,
    /// Kind of the owner.
    #[serde(default)]
    pub kind: Box<str>,
    /// Name of the owner, in the same namespace or of the cluster.
    #[serde(default)]
    pub name: Box<str>,
    /// Uid of the owner: a new object of the same name is another owner.
    #[serde(default)]
    pub uid: Box<str>,
    /// Whether this owner manages the object.
    #[serde(default)]
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

/// Labels, sorted by key: a few pairs in one allocation each, looked up by bisection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The value of one label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        Some(&self.0[at].1)
    }

    /// All pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Labels {
    /// Later pairs win over earlier ones of the same key.
    fn from_iter<T: IntoIterator<Item = (K, V)>>(pairs: T) -> Self {
        let map: std::collections::BTreeMap<Box<str>, Box<str>> =
            pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self(map.into_iter().collect())
    }
}

/// `metadata` as it stands on the wire, read in one pass over the bytes.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WireMeta {
    #[serde(deserialize_with = "or_default")]
    name: Box<str>,
    #[serde(deserialize_with = "or_default")]
    namespace: Box<str>,
    #[serde(deserialize_with = "or_default")]
    uid: Box<str>,
    #[serde(deserialize_with = "or_default")]
    resource_version: Box<str>,
    #[serde(deserialize_with = "or_default")]
    generation: i64,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    deletion_grace_period_seconds: Option<i64>,
    labels: Option<std::collections::BTreeMap<Box<str>, Option<Box<str>>>>,
    #[serde(deserialize_with = "or_default")]
    owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "or_default")]
    finalizers: Vec<Box<str>>,
}

/// `null` reads as absent, as it does in Go.
pub fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl From<WireMeta> for Meta {
    fn from(wire: WireMeta) -> Self {
        Self {
            name: wire.name,
            namespace: wire.namespace,
            uid: wire.uid,
            resource_version: wire.resource_version.parse().unwrap_or(0),
            generation: wire.generation,
            creation_timestamp: wire.creation_timestamp,
            deletion_timestamp: wire.deletion_timestamp,
            deletion_grace_period_seconds: wire.deletion_grace_period_seconds,
            labels: wire.labels.unwrap_or_default().into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect(),
            owner_references: wire.owner_references,
            finalizers: wire.finalizers,
            fields: Box::default(),
        }
    }
}
