//! What is particular about a kind, as plain functions beside the generic path: one row a kind, defaults for the rest.

use std::collections::HashMap;
use std::sync::LazyLock;

use api::validation::field::ErrorList;
use api::{Resource, User, validation};
use embedded_store::Durability;
use serde_json::Value;

/// What becomes of dependents when a delete does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Garbage {
    /// They are collected after the owner is gone.
    Background,
    /// They stay: what kinds older than garbage collection promise.
    Orphan,
    /// Nothing of this kind has dependents.
    Unsupported,
}

/// The behaviour of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strategy {
    /// Complaints about a name.
    pub(crate) name: fn(&str) -> Vec<String>,
    /// Whether `metadata.generation` counts changes of the spec.
    pub(crate) generation: bool,
    /// The status a new object begins with, as JSON; `None` keeps what the client sent.
    pub(crate) status: Option<&'static str>,
    /// Fills in what the client left out; runs after every decode.
    pub(crate) default: fn(&mut Value),
    /// Changes a new object; runs after mutating admission.
    pub(crate) prepare_create: fn(&mut Value, &User),
    /// Changes a main write of an object (new, old); runs after mutating admission.
    pub(crate) prepare_update: fn(&mut Value, &Value),
    /// Complaints about an object.
    pub(crate) validate: fn(&Value, &mut ErrorList),
    /// Complaints about a change by a main write (new, old), beside those about the new object.
    pub(crate) validate_update: fn(&Value, &Value, &mut ErrorList),
    /// Warnings about an object.
    pub(crate) warnings: fn(&Value) -> Vec<String>,
    /// Whether a PUT without resourceVersion is taken.
    pub(crate) unconditional_update: bool,
    /// Whether a PUT may create.
    pub(crate) create_on_update: bool,
    /// Whether a delete answers with the object rather than with a Status.
    pub(crate) returns_deleted: bool,
    /// What becomes of dependents by default.
    pub(crate) garbage: Garbage,
    /// The seconds an object may take to go, by the object and what the delete asks; `None` where objects go at once.
    pub(crate) grace: Option<fn(&Value, Option<i64>) -> i64>,
    /// When writes are acknowledged.
    pub(crate) durability: Durability,
}

impl Strategy {
    pub(crate) const DEFAULT: Self = Self {
        name: validation::dns1123_subdomain,
        generation: false,
        status: None,
        default: |_| {},
        prepare_create: |_, _| {},
        prepare_update: |_, _| {},
        validate: |_, _| {},
        validate_update: |_, _, _| {},
        warnings: |_| Vec::new(),
        unconditional_update: true,
        create_on_update: false,
        returns_deleted: false,
        garbage: Garbage::Background,
        grace: None,
        durability: Durability::Synced,
    };
}

/// Custom resources: schema apart, they are all alike.
const CUSTOM: Strategy = Strategy { generation: true, unconditional_update: false, ..Strategy::DEFAULT };

/// The strategy of a row.
pub(crate) fn of(resource: &Resource) -> &'static Strategy {
    if !resource.builtin {
        return &CUSTOM;
    }
    static DEFAULT: Strategy = Strategy::DEFAULT;
    TABLE.get(&*resource.group).and_then(|group| group.get(&*resource.plural)).unwrap_or(&DEFAULT)
}

static TABLE: LazyLock<HashMap<&'static str, HashMap<&'static str, Strategy>>> = LazyLock::new(|| {
    let mut table: HashMap<_, HashMap<_, _>> = HashMap::new();
    for (group, plural, strategy) in rows() {
        table.entry(group).or_default().insert(plural, strategy);
    }
    table
});

fn rows() -> Vec<(&'static str, &'static str, Strategy)> {
    const D: Strategy = Strategy::DEFAULT;
    vec![
        (
            "",
            "events",
            Strategy { create_on_update: true, durability: Durability::Deferred, garbage: Garbage::Unsupported, ..D },
        ),
        (
            "coordination.k8s.io",
            "leases",
            Strategy { create_on_update: true, durability: Durability::Deferred, unconditional_update: false, ..D },
        ),
    ]
}
