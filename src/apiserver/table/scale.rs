//! Scales: what tables show of a subresource that is of a kind of its own.

use std::sync::{Arc, LazyLock};

use api::Resource;
use api::resource::Scope;

use super::Kind;
use super::column::{AGE, number, text};
use super::row::row;
use super::text::{age, name};
use super::view::{self, view};

/// The row that stands for scales where objects are shown; there is no path to it.
pub(crate) fn row() -> &'static Arc<Resource> {
    static ROW: LazyLock<Arc<Resource>> = LazyLock::new(|| {
        Arc::new(Resource {
            group: "autoscaling".into(),
            version: "v1".into(),
            plural: "scales".into(),
            singular: "scale".into(),
            kind: "Scale".into(),
            list_kind: "ScaleList".into(),
            scope: Scope::Namespaced,
            short_names: Vec::new(),
            categories: Vec::new(),
            subresources: Vec::new(),
            fields: Vec::new(),
            columns: Vec::new(),
            verbs: &[],
            stored_as: None,
            stored: false,
            builtin: true,
            custom: None,
        })
    });
    &ROW
}

view! {
    Scale { spec: Replicas, status: Replicas }
    Replicas { replicas: i64 }
}

pub(super) const SCALE: Kind = (
    &[
        text("Name", "The name of what is scaled."),
        number("Desired", "How many replicas there are to be."),
        number("Available", "How many replicas there are."),
        AGE,
    ],
    |object| {
        let Scale { spec, status } = view::read(object)?;
        row![name(object), spec.replicas, status.replicas, age(object)]
    },
);
