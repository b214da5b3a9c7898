//! Label and field selectors of a request, made ready to be matched against metadata alone.

use std::borrow::Cow;
use std::sync::Arc;

use api::custom::Conversion;
use api::selector::{FieldSelector, LabelSelector};
use api::{ListOptions, Object, Resource, Status};

/// What a list or watch shows.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: Vec<Field>,
    /// The fields of a custom kind that are asked for, in the order of [`Source::Custom`]. They are read from the bytes when
    /// somebody selects by them.
    custom: Vec<Box<str>>,
    /// Whether a webhook converts the objects: then each version may have labels of its own.
    converted: bool,
}

#[derive(Clone, Debug)]
struct Field {
    source: Source,
    equals: bool,
    value: String,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Name,
    Namespace,
    /// Place in `Selection::custom`.
    Custom(usize),
    /// Place in `Meta::fields`, and what an absent field counts as.
    Row(usize, &'static str),
    /// Places in `Meta::fields`: the second counts where the first is absent.
    Either(usize, usize),
}

impl Selection {
    /// Reads both selectors of a request for a row; 400 when one does not parse or names a field that the kind is not selected
    /// by.
    pub(crate) fn parse(row: &Arc<Resource>, options: &ListOptions) -> Result<Self, Status> {
        let resource = &*row.storage();
        let labels = LabelSelector::parse(&options.label_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let fields = FieldSelector::parse(&options.field_selector).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut custom = Vec::new();
        let mut field = |r: &api::selector::FieldRequirement| {
            let path = stored_field(row, &r.field)?;
            Ok(Field { source: source(resource, &path, &mut custom)?, equals: r.equals, value: r.value.clone() })
        };
        let fields = fields.requirements().iter().map(&mut field).collect::<Result<_, Status>>()?;
        let conversion = resource.custom.as_ref().map(|custom| &custom.definition.conversion);
        Ok(Self { labels, fields, custom, converted: matches!(conversion, Some(Conversion::Webhook(_))) })
    }

    /// Whether the object is shown.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let meta = &object.meta;
        let custom = if self.custom.is_empty() { Box::default() } else { object.fields(&self.custom) };
        self.fields.iter().all(|field| {
            let value: &str = match field.source {
                Source::Name => &meta.name,
                Source::Namespace => &meta.namespace,
                Source::Custom(at) => custom.get(at).map_or("", |value| value),
                Source::Row(at, absent) => said(meta, at).unwrap_or(absent),
                Source::Either(at, or) => said(meta, at).or_else(|| said(meta, or)).unwrap_or_default(),
            };
            (value == field.value) == field.equals
        }) && self.labels.matches(&meta.labels)
    }

    /// Whether it asks for what another version of an object may have otherwise: fields of a custom kind, or labels that a
    /// webhook may change. Then objects are selected after they were converted.
    pub(crate) fn is_of_version(&self) -> bool {
        !self.custom.is_empty() || self.converted && !self.labels.is_everything()
    }

    /// The part of it that can be told from objects as they are stored.
    pub(crate) fn of_stored(&self) -> Self {
        let fields = self.fields.iter().filter(|field| !matches!(field.source, Source::Custom(_)));
        let labels = if self.converted { LabelSelector::everything() } else { self.labels.clone() };
        Self { labels, fields: fields.cloned().collect(), custom: Vec::new(), converted: self.converted }
    }

    /// Whether everything is shown.
    pub(crate) fn is_everything(&self) -> bool {
        self.fields.is_empty() && self.labels.is_everything()
    }

    /// The one name an object must have to be shown, if there is such a name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.exact(|source| matches!(source, Source::Name))
    }

    /// The one namespace an object must have to be shown, if there is such a namespace.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.exact(|source| matches!(source, Source::Namespace))
    }

    fn exact(&self, of: impl Fn(Source) -> bool) -> Option<&str> {
        self.fields.iter().find(|field| field.equals && of(field.source)).map(|field| field.value.as_str())
    }
}

fn said(meta: &api::Meta, at: usize) -> Option<&str> {
    meta.fields.get(at).map(|value| &**value).filter(|value| !value.is_empty())
}

/// What a field of the row is called in the row that stores its objects: today's events have other names for the old ones'.
fn stored_field<'a>(row: &Resource, path: &'a str) -> Result<Cow<'a, str>, Status> {
    if &*row.group != "events.k8s.io" {
        return Ok(path.into());
    }
    match path {
        "metadata.name" | "metadata.namespace" | "reason" | "type" => Ok(path.into()),
        "reportingController" => Ok("reportingComponent".into()),
        _ => match path.strip_prefix("regarding.") {
            Some(field) => Ok(format!("involvedObject.{field}").into()),
            None => Err(Status::bad_request(format!("field label not supported: {path}"))),
        },
    }
}

fn source(resource: &Resource, path: &str, custom: &mut Vec<Box<str>>) -> Result<Source, Status> {
    match path {
        "metadata.name" => return Ok(Source::Name),
        "metadata.namespace" if resource.is_namespaced() || resource.builtin && !names_its_fields(resource) => {
            return Ok(Source::Namespace);
        }
        _ => {}
    }
    if let Some(version) = resource.custom.as_ref().map(|custom| custom.version())
        && version.selectable.iter().any(|selectable| **selectable == *path)
    {
        custom.push(path.into());
        return Ok(Source::Custom(custom.len() - 1));
    }
    // The rows name fields by where they stand; two have another name in selectors.
    let stands = match path {
        "source" => "source.component",
        "reportingController" => "reportingComponent",
        "spec.host" => "spec.nodeName",
        path => path,
    };
    match resource.field(stands) {
        // Whoever reports an event of today's kind is its source.
        Some(at) if path == "source" => {
            Ok(resource.field("reportingComponent").map_or(Source::Row(at, ""), |or| Source::Either(at, or)))
        }
        Some(at) => Ok(Source::Row(at, absent(path))),
        None => Err(Status::bad_request(unsupported(resource, path))),
    }
}

/// Kinds of the cluster whose own list of fields leaves out the namespace, which others may be asked for.
fn names_its_fields(resource: &Resource) -> bool {
    resource.is_core() && matches!(&*resource.plural, "namespaces" | "nodes")
}

/// Why a field selects nothing: kinds that are selected by their metadata alone say which fields those are.
fn unsupported(resource: &Resource, path: &str) -> String {
    match (&*resource.group, &*resource.plural) {
        ("batch", "jobs") => format!("field label {} not supported for Job", api::quote::quote(path)),
        ("resource.k8s.io", "resourceslices") => {
            format!("field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {path}")
        }
        _ if resource.builtin && resource.fields.is_empty() => {
            let quoted = api::quote::quote(path);
            format!("{quoted} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        _ => format!("field label not supported: {path}"),
    }
}

/// Upstream selects by typed fields, so an absent number or boolean reads as its zero.
fn absent(path: &str) -> &'static str {
    match path {
        "status.replicas" | "status.successful" => "0",
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(plural: &str, object: serde_json::Value, selector: &str, expect: bool) {
        let row = api::resource::find("", "v1", plural).unwrap();
        let options = ListOptions { field_selector: selector.into(), ..ListOptions::default() };
        let selection = Selection::parse(row, &options).unwrap();
        assert_eq!(selection.matches(&Object::encode(&object, 1, row).unwrap()), expect, "{selector} of {object}");
    }

    #[test]
    fn the_source_of_an_event_is_who_reports_it() {
        let old = json!({ "source": { "component": "a" }, "reportingComponent": "b" });
        check("events", old.clone(), "source=a", true);
        check("events", old.clone(), "source=b", false);
        check("events", old, "reportingComponent=b", true);
        check("events", json!({ "reportingComponent": "b" }), "source=b", true);
        check("events", json!({}), "source=b", false);
        check("events", json!({}), "source=", true);
    }

    #[test]
    fn events_are_selected_by_the_names_of_their_group() {
        let of = |group: &str, selector: &str| {
            let row = api::resource::find(group, "v1", "events").unwrap();
            let options = ListOptions { field_selector: selector.into(), ..ListOptions::default() };
            Selection::parse(row, &options).map_err(|status| status.message)
        };
        let object = json!({ "involvedObject": { "kind": "Pod" }, "reportingComponent": "b" });
        let row = api::resource::find("", "v1", "events").unwrap();
        let object = Object::encode(&object, 1, row).unwrap();
        assert!(of("events.k8s.io", "regarding.kind=Pod,reportingController=b").unwrap().matches(&object));
        assert!(!of("events.k8s.io", "regarding.kind=Node").unwrap().matches(&object));
        for path in ["involvedObject.kind", "reportingComponent", "source", "regarding.x"] {
            assert!(of("events.k8s.io", &format!("{path}=x")).unwrap_err().starts_with("field label not supported: "));
        }
        assert!(of("", "regarding.kind=Pod").is_err());
    }

    #[test]
    fn kinds_of_the_cluster_have_namespaces_but_for_two() {
        let options = ListOptions { field_selector: "metadata.namespace=x".into(), ..ListOptions::default() };
        for (plural, expect) in [("persistentvolumes", true), ("namespaces", false), ("nodes", false)] {
            let row = api::resource::find("", "v1", plural).unwrap();
            assert_eq!(Selection::parse(row, &options).is_ok(), expect, "{plural}");
        }
    }

    #[test]
    fn what_is_absent_counts_as_its_zero() {
        check("pods", json!({ "spec": {} }), "spec.hostNetwork=false", true);
        check("nodes", json!({}), "spec.unschedulable=true", false);
        check("nodes", json!({ "spec": { "unschedulable": true } }), "spec.unschedulable=true", true);
    }
}
