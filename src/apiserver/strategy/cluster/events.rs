//! Events: of both groups, which show the same objects and ask for different things.

use api::validation::field::ErrorList;
use api::validation::{dns1123_subdomain, qualified_name};
use serde_json::Value;

use super::validation::unqualified;
use crate::strategy::at::At;
use crate::strategy::semantic;
use crate::tree::Tree;

/// Complaints about an event as the core group has it.
pub(super) fn event(object: &Value, errors: &mut ErrorList) {
    common(object, "reportingComponent", errors);
}

/// Complaints about an event as events.k8s.io has it.
pub(super) fn event_v1(object: &Value, errors: &mut ErrorList) {
    common(object, "reportingController", errors);
}

/// New events say who reports what, old ones only where.
fn common(object: &Value, reporter: &str, errors: &mut ErrorList) {
    let root = At::root(object);
    let (namespace, about) = (root.text("metadata.namespace"), root.get("involvedObject.namespace"));
    let is_new = !root.text("eventTime").is_empty();
    let fits = match (about.str(), is_new) {
        ("", false) => matches!(namespace, "" | "default"),
        ("", true) => matches!(namespace, "default" | "kube-system"),
        (other, false) => namespace == other,
        (_, true) => true,
    };
    if !fits {
        about.invalid(errors, "does not match event.namespace");
    }
    if is_new {
        let reporter = root.get(reporter).with(root.get("reportingComponent").value());
        if reporter.is_empty() {
            reporter.required(errors, "");
        }
        reporter.complain(errors, qualified_name(reporter.str()));
        for (field, most, needed) in
            [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
        {
            let at = root.get(field);
            if needed && at.is_empty() {
                at.required(errors, "");
            }
            if at.str().len() > most {
                at.wrong(errors, "", format!("can have at most {most} characters"));
            }
        }
    }
    let at = root.get("namespace");
    dns1123_subdomain(namespace).into_iter().for_each(|why| at.wrong(errors, namespace, why));
}

/// Complaints about a new event of events.k8s.io: what only the older group fills in stays empty.
pub(super) fn new_event_v1(object: &Value, errors: &mut ErrorList) {
    let root = At::root(object);
    root.each("metadata.finalizers").for_each(|finalizer| unqualified(&finalizer, errors));
    series(&root, errors);
    if root.get("eventTime").is_empty() {
        root.get("eventTime").required(errors, "");
    }
    let kind = root.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        root.get("type").wrong(errors, "", format!("has invalid value: {kind}"));
    }
    let source = ["component", "host"].iter().any(|field| !root.get("source").text(field).is_empty());
    let said = [
        ("firstTimestamp", !root.get("firstTimestamp").is_empty()),
        ("lastTimestamp", !root.get("lastTimestamp").is_empty()),
        ("count", root.int("count").unwrap_or(0) != 0),
        ("source", source),
    ];
    for (field, _) in said.iter().filter(|(_, said)| *said) {
        root.get(field).wrong(errors, "", "needs to be unset");
    }
}

fn series(root: &At, errors: &mut ErrorList) {
    let series = root.get("series");
    if !series.is_set() {
        return;
    }
    if series.int("count").unwrap_or(0) < 2 {
        root.get("series.count").wrong(errors, "", "should be at least 2");
    }
    if series.get("lastObservedTime").is_empty() {
        root.get("series.lastObservedTime").required(errors, "");
    }
}

/// Complaints about a change of an event of events.k8s.io: only its series goes on.
pub(super) fn event_v1_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = At::root(new);
    if !semantic::same_at(new, old, "series") {
        series(&root, errors);
    }
    for (field, kind) in [
        ("involvedObject", Some("ObjectReference")),
        ("reason", None),
        ("message", None),
        ("source", Some("EventSource")),
        ("firstTimestamp", None),
        ("lastTimestamp", None),
        ("count", None),
        ("type", None),
        ("eventTime", None),
        ("action", None),
        ("related", Some("ObjectReference")),
        ("reportingComponent", None),
        ("reportingInstance", None),
    ] {
        let at = root.get(field);
        let at = if field == "reportingComponent" { at.called("reportingController") } else { at };
        let shown = kind.filter(|_| at.is_set()).map(|kind| at.as_upstream(kind));
        let before = old.at(field);
        if !semantic::same(at.value(), before.unwrap_or(&Value::Null)) {
            let zero = match field {
                "count" => Value::from(0),
                "reason" | "message" | "type" | "action" | "reportingComponent" | "reportingInstance" => "".into(),
                _ => Value::Null,
            };
            let value = if at.is_set() { at.value().clone() } else { zero };
            at.wrong(errors, shown.unwrap_or(value), "field is immutable");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_one_group_asks_the_other_does_not() {
        let about = json!({"namespace": "a"});
        let old = json!({
            "metadata": {"namespace": "a", "finalizers": ["x"]}, "involvedObject": about, "count": 1,
            "source": {"host": "n"}, "series": {"count": 1},
        });
        let said = |check: fn(&Value, &mut ErrorList), object: &Value| {
            let mut errors = ErrorList::new();
            check(object, &mut errors);
            errors.iter().map(|error| error.field.clone()).collect::<Vec<_>>()
        };
        assert!(said(event, &old).is_empty());
        let expect = [
            "metadata.finalizers[0]",
            "series.count",
            "series.lastObservedTime",
            "eventTime",
            "type",
            "count",
            "source",
        ];
        assert_eq!(said(new_event_v1, &old), expect);
        let new =
            json!({"metadata": {"namespace": "a"}, "involvedObject": about, "eventTime": "2024-01-02T00:00:00.0Z"});
        assert_eq!(said(event, &new)[0], "reportingComponent");
        assert_eq!(said(event_v1, &new)[0], "reportingController");
    }

    #[test]
    fn only_the_series_goes_on() {
        let event = |note: &str, count: i64| json!({"message": note, "series": {"count": count, "lastObservedTime": "2024-01-02T00:00:00.0Z"}});
        let said = |new: &Value| {
            let mut errors = ErrorList::new();
            event_v1_update(new, &event("a", 2), &mut errors);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(said(&event("a", 3)), "");
        assert_eq!(
            said(&event("b", 1)),
            "series.count: Invalid value: \"\": should be at least 2; \
            message: Invalid value: \"b\": field is immutable"
        );
    }
}
