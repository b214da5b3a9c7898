//! What is asked of the API server and what it answers, apart from how it travels.
//!
//! HTTP handlers build a [`Request`] from a route and a body; controllers and the scheduler build one by hand. From there
//! on there is one path.

use std::pin::Pin;
use std::sync::Arc;

use futures::Stream;
use serde_json::Value;

use crate::{Object, Resource, Status, User};

/// One request to one resource.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub user: Arc<User>,
    /// Of which kind.
    pub resource: Arc<Resource>,
    /// In which namespace; empty for objects of the cluster and for lists over all namespaces.
    pub namespace: String,
    /// Which object; empty for collections.
    pub name: String,
    /// `status`, `scale`, `binding` …; empty for the object itself.
    pub subresource: String,
    /// What to do.
    pub operation: Operation,
}

/// The verbs, with what each needs.
#[derive(Clone, Debug)]
pub enum Operation {
    /// One object. The resourceVersion, if given, is a lower bound.
    Get {
        /// `resourceVersion` of the query.
        resource_version: Option<String>,
    },
    /// A collection.
    List(ListOptions),
    /// Changes of a collection (or of one object, through a field selector on `metadata.name`).
    Watch(WatchOptions),
    /// A new object; the name may come from `generateName`.
    Create(Value, WriteOptions),
    /// A whole object in place of the old one.
    Update(Value, WriteOptions),
    /// A change of an object.
    Patch(Patch, WriteOptions),
    /// An object's removal.
    Delete(DeleteOptions),
    /// The removal of all objects that a list would show.
    DeleteCollection(DeleteOptions, ListOptions),
}

impl Operation {
    /// The verb as authorization and audit name it.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Get { .. } => "get",
            Self::List(_) => "list",
            Self::Watch(_) => "watch",
            Self::Create(..) => "create",
            Self::Update(..) => "update",
            Self::Patch(..) => "patch",
            Self::Delete(_) => "delete",
            Self::DeleteCollection(..) => "deletecollection",
        }
    }
}

/// A patch body, by its content type.
#[derive(Clone, Debug)]
pub enum Patch {
    /// `application/json-patch+json`: the array of operations.
    Json(Value),
    /// `application/merge-patch+json` (RFC 7386).
    Merge(Value),
    /// `application/strategic-merge-patch+json`: built-in kinds only.
    Strategic(Value),
    /// `application/apply-patch+yaml`: server-side apply.
    Apply(Value),
}

/// Which objects, and from when.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// `labelSelector` of the query.
    pub label_selector: String,
    /// `fieldSelector` of the query.
    pub field_selector: String,
    /// At most this many; 0 for all.
    pub limit: usize,
    /// `continue` of the query: the place behind the previous page.
    pub continue_token: String,
    /// `resourceVersion`; `None` asks for the most recent state.
    pub resource_version: Option<String>,
    /// `resourceVersionMatch`: `Exact` or `NotOlderThan`.
    pub resource_version_match: String,
}

/// Which changes, and how long.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Selectors and `resourceVersion`: changes after it are sent; absent or `0` sends the present state first.
    pub list: ListOptions,
    /// Whether `BOOKMARK` events are wanted.
    pub bookmarks: bool,
    /// WatchList: send the present state and mark its end with a bookmark. `None` where the query does not say.
    pub initial_events: Option<bool>,
    /// Seconds after which the watch ends by itself; zero leaves it to the server.
    pub timeout_seconds: Option<i64>,
}

/// How strictly unknown and duplicate fields are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped in silence.
    Ignore,
    /// Dropped, with a warning in the answer: the default.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

/// What accompanies a write.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Run everything and persist nothing.
    pub dry_run: bool,
    /// Who owns the fields this write sets, as the request says. Admission sees it.
    pub field_manager: String,
    /// Who owns them where the request does not say: what the client calls itself.
    pub agent: String,
    /// How unknown fields are taken.
    pub field_validation: FieldValidation,
    /// Take fields over from other managers (apply only).
    pub force: bool,
    /// Paths of fields that stood more than once in the body. A decoded tree no longer shows them, so the codec says;
    /// validation treats them as it treats unknown fields.
    pub duplicate_fields: Vec<String>,
    /// The same of a YAML body, as complaints in the words of upstream's parser: `line 3: key "a" already set in map`.
    pub duplicate_keys: Vec<String>,
}

/// What becomes of dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They lose their owner and stay.
    Orphan,
    /// They are collected after the owner is gone.
    Background,
    /// They are collected before the owner goes.
    Foreground,
}

/// What accompanies a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Seconds the object may take to go; `None` is the kind's default.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of dependents; `None` is the kind's default.
    pub propagation: Option<Propagation>,
    /// Delete only the object of this uid.
    pub uid: Option<String>,
    /// Delete only this version of the object.
    pub resource_version: Option<String>,
    /// Run everything and persist nothing.
    pub dry_run: bool,
}

/// A successful answer.
pub enum Reply {
    /// One object; `created` tells 201 from 200.
    Object {
        /// The object as it is now stored, or as a dry run would have stored it.
        object: Arc<Object>,
        /// Whether this request made it.
        created: bool,
        /// Warnings for the `Warning` header.
        warnings: Vec<String>,
    },
    /// A collection.
    List(List),
    /// The outcome of a delete that left no object to show.
    Status(Box<Status>),
    /// A stream of changes.
    Watch(WatchStream),
}

/// A page of a collection.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// The objects, by namespace and name.
    pub items: Vec<Arc<Object>>,
    /// The revision the collection was read at.
    pub revision: u64,
    /// The token for the next page; empty on the last.
    pub continue_token: String,
    /// How many objects follow this page, when known.
    pub remaining: Option<u64>,
}

/// One change as a watcher sees it, selectors applied.
#[derive(Clone, Debug)]
pub enum WatchEvent {
    /// The object came into the watcher's view.
    Added(Arc<Object>),
    /// The object changed in view.
    Modified(Arc<Object>),
    /// The object left the view; its last state in view, at the revision of the change.
    Deleted(Arc<Object>),
    /// Nothing changed up to this revision.
    Bookmark {
        /// Where a new watch may begin.
        revision: u64,
        /// Whether this marks the end of the initial state (WatchList).
        initial_events_end: bool,
    },
    /// The watch is over; most often 410 Expired.
    Error(Box<Status>),
}

/// A watch in progress. Dropping it ends it.
pub type WatchStream = Pin<Box<dyn Stream<Item = WatchEvent> + Send>>;
