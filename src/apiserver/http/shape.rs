//! The JSON of lists, tables and metadata-only objects, put together from stored bytes.

use api::{List, Object, Resource};
use jiff::Timestamp;

use super::accept::{MetaVersion, Shape};
use super::respond::Form;
use crate::table;

/// How much of each object a Table carries beside its cells: `includeObject` of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

/// What stands in a list's own metadata.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ListHead<'a> {
    pub revision: u64,
    pub continue_token: &'a str,
    pub remaining: Option<u64>,
    /// Whether the token is written although there is none: upstream's lists of custom resources have no types that would
    /// leave it out.
    pub says_last: bool,
}

impl<'a> ListHead<'a> {
    pub(crate) fn of(list: &'a List) -> Self {
        Self {
            revision: list.revision,
            continue_token: &list.continue_token,
            remaining: list.remaining,
            says_last: false,
        }
    }

    /// The metadata as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"resourceVersion\":\"");
        out.extend_from_slice(self.revision.to_string().as_bytes());
        out.push(b'"');
        if self.says_last || !self.continue_token.is_empty() {
            out.extend_from_slice(b",\"continue\":");
            text(self.continue_token, out);
        }
        if let Some(remaining) = self.remaining.filter(|remaining| *remaining > 0) {
            out.extend_from_slice(b",\"remainingItemCount\":");
            out.extend_from_slice(remaining.to_string().as_bytes());
        }
        out.push(b'}');
    }
}

/// A list in the shape asked for, up to its first item.
pub(crate) fn begin(resource: &Resource, shape: &Shape, head: &ListHead<'_>, out: &mut Vec<u8>) {
    match shape {
        Shape::Whole => {
            let head = ListHead { says_last: !resource.builtin, ..*head };
            open(&resource.list_kind, &resource.api_version(), &head, out);
        }
        Shape::Metadata { version, .. } => open("PartialObjectMetadataList", version.api_version(), head, out),
        Shape::Table(version) => return table_open(resource, *version, head, true, out),
    }
    out.extend_from_slice(b",\"items\":[");
}

/// An item of a list in the form asked for.
pub(crate) fn item(resource: &Resource, object: &Object, form: &Form, out: &mut Vec<u8>) {
    match form.accepted.shape {
        Shape::Whole => object.write_json(out),
        Shape::Metadata { version, .. } => metadata(object, version, out),
        Shape::Table(version) => table_row(resource, object, version, form.include, out),
    }
}

/// A Table up to its first row.
pub(crate) fn table_open(
    resource: &Resource,
    version: MetaVersion,
    head: &ListHead<'_>,
    columns: bool,
    out: &mut Vec<u8>,
) {
    open("Table", version.api_version(), head, out);
    out.extend_from_slice(b",\"columnDefinitions\":");
    let definitions = if columns { table::columns(resource) } else { serde_json::Value::Null };
    out.extend_from_slice(definitions.to_string().as_bytes());
    out.extend_from_slice(b",\"rows\":[");
}

/// A row of a Table.
pub(crate) fn table_row(
    resource: &Resource,
    object: &Object,
    version: MetaVersion,
    include: Include,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"cells\":");
    table::write_cells(resource, object, Timestamp::now(), out);
    if let Some(conditions) = table::conditions(resource, object) {
        out.extend_from_slice(b",\"conditions\":");
        out.extend_from_slice(conditions.to_string().as_bytes());
    }
    match include {
        Include::None => out.extend_from_slice(b",\"object\":null"),
        Include::Metadata => {
            out.extend_from_slice(b",\"object\":");
            metadata(object, version, out);
        }
        Include::Object => {
            out.extend_from_slice(b",\"object\":");
            object.write_json(out);
        }
    }
    out.push(b'}');
}

/// `PartialObjectMetadata` of an object: its metadata, copied as it stands.
pub(crate) fn metadata(object: &Object, version: MetaVersion, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":");
    text(version.api_version(), out);
    out.extend_from_slice(b",\"metadata\":");
    if object.write_metadata(out).is_err() {
        out.extend_from_slice(b"{}");
    }
    out.push(b'}');
}

fn open(kind: &str, api_version: &str, head: &ListHead<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":");
    text(kind, out);
    out.extend_from_slice(b",\"apiVersion\":");
    text(api_version, out);
    out.extend_from_slice(b",\"metadata\":");
    head.write(out);
}

fn text(text: &str, out: &mut Vec<u8>) {
    // Writing a string into a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}
