//! A write to judge, and what is said of it.

use std::sync::Arc;

use api::{Resource, prune, schema};
use serde_json::{Value, json};

/// A write: a create, or a change of `old` through the object itself or a subresource.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) row: Arc<Resource>,
    pub(crate) subresource: String,
    pub(crate) old: Option<Value>,
    pub(crate) new: Value,
}

/// What is said of a write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The object as it would be stored, and the warnings.
    Taken { object: Value, warnings: Vec<String> },
    /// Complaints, each `field: reason: message`.
    Refused(Vec<String>),
    /// Something else is wrong with the body.
    Failed(String),
    /// Nothing: upstream's code panicked at it.
    Panicked,
}

impl Case {
    /// `Pod`, `Pod update`, `Pod/status update`.
    pub(crate) fn name(&self) -> String {
        let part = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        let what = if self.old.is_some() { "update" } else { "create" };
        format!("{}{part} {what}", self.row.qualified())
    }

    /// The namespace of the request.
    pub(crate) fn namespace(&self) -> &'static str {
        if self.row.is_namespaced() { "a" } else { "" }
    }
}

/// An object with the part that a subresource writes taken from another: objects are created without it.
pub(crate) fn with_part_of(object: &Value, other: &Value, part: &str) -> Value {
    let mut object = object.clone();
    if matches!(part, "status" | "approval")
        && let Some(status) = other.get("status")
    {
        object["status"] = status.clone();
    }
    // Approvals are stored with their times.
    if object["kind"] == "CertificateSigningRequest" {
        for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
            for time in ["lastUpdateTime", "lastTransitionTime"] {
                if let Some(condition) = condition.as_object_mut() {
                    condition.entry(time).or_insert_with(|| json!("2024-01-02T00:00:00Z"));
                }
            }
        }
    }
    object
}

/// An object as upstream's handlers give it to a strategy: nobody owns it twice.
pub(crate) fn owned_once(mut object: Value) -> Value {
    let Some(owners) = object["metadata"].get_mut("ownerReferences").and_then(Value::as_array_mut) else {
        return object;
    };
    let mut once: Vec<Value> = Vec::new();
    for owner in std::mem::take(owners) {
        if !once.contains(&owner) {
            once.push(owner);
        }
    }
    *owners = once;
    object
}

/// What no client can change by a write: requests that try are refused before anybody looks at the object.
pub(crate) fn same_identity(new: &mut Value, old: &Value) {
    for field in ["name", "namespace", "uid"] {
        let before = old["metadata"].get(field).cloned();
        let Some(metadata) = new["metadata"].as_object_mut() else { continue };
        match before {
            Some(before) => drop(metadata.insert(field.to_owned(), before)),
            None => drop(metadata.remove(field)),
        }
    }
}

/// A verdict without what differs from one moment to the next: identifiers made up, times of the day, and the order in which
/// upstream meets the volumes that stateful sets claim, which is that of a map. Objects are as they are read from the store,
/// which upstream's have not seen.
pub(crate) fn comparable(case: &Case, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Taken { mut object, warnings } => {
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.shift_remove("resourceVersion");
                metadata.shift_remove("managedFields");
            }
            if let Some(message) = schema::for_kind(&case.row.group, &case.row.version, &case.row.kind) {
                prune::canonical(&mut object, message);
            }
            if *case.row.plural == *"services" {
                chosen(case, &mut object["spec"]);
            }
            let text = timeless(&object.to_string());
            let object = serde_json::from_str(&text).unwrap_or(json!(text));
            Verdict::Taken { object, warnings: sorted(warnings) }
        }
        Verdict::Refused(causes) if *case.row.plural == *"statefulsets" => Verdict::Refused(sorted(
            causes.iter().map(|cause| without_index(cause, "spec.template.spec.volumes[")).collect(),
        )),
        Verdict::Refused(causes) if *case.row.plural == *"services" => {
            Verdict::Refused(sorted(causes.into_iter().map(|cause| without_given_port(case, cause)).collect()))
        }
        Verdict::Refused(causes) => Verdict::Refused(sorted(causes)),
        Verdict::Failed(_) | Verdict::Panicked => verdict,
    }
}

/// Takes out addresses and ports that nobody asked for: which are given is chance.
fn chosen(case: &Case, spec: &mut Value) {
    let asked = [Some(&case.new), case.old.as_ref()].into_iter().flatten();
    let asked: Vec<Value> = asked
        .flat_map(|service| given(&mut service["spec"].clone()).map(|value| value.take()).collect::<Vec<_>>())
        .collect();
    for value in given(spec).filter(|value| !value.is_null() && !asked.contains(value)) {
        *value = json!("GIVEN");
    }
}

/// A complaint about a node port that was given by chance, and not asked for, without its number.
fn without_given_port(case: &Case, cause: String) -> String {
    let duplicate = cause.split_once(".nodePort: FieldValueDuplicate: Duplicate value: ");
    let is_asked = |port: &str| {
        let services = [Some(&case.new), case.old.as_ref()].into_iter().flatten();
        let mut ports = services.flat_map(|service| service["spec"]["ports"].as_array().into_iter().flatten());
        port.parse::<u64>().is_ok_and(|port| ports.any(|asked| asked["nodePort"] == port))
    };
    match duplicate {
        Some((place, port)) if !is_asked(port) => format!("{place}.nodePort: a port that was given twice"),
        _ => cause,
    }
}

/// Where a service has addresses and ports that it may have been given.
fn given(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let given = |key: &str| matches!(key, "clusterIP" | "clusterIPs" | "ports" | "healthCheckNodePort");
    let fields = spec.as_object_mut().into_iter().flatten().filter(move |(key, _)| given(key));
    fields.flat_map(|(_, value)| match value {
        Value::Array(list) => list
            .iter_mut()
            .filter_map(|item| if item.is_object() { item.get_mut("nodePort") } else { Some(item) })
            .collect(),
        value => vec![value],
    })
}

/// A complaint without the number of the element of the list that it begins with.
fn without_index(cause: &str, list: &str) -> String {
    match cause.strip_prefix(list).and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => format!("{list}]{rest}"),
        None => cause.to_owned(),
    }
}

/// The order of complaints is not upstream's promise, nor is how often it makes one: metadata of changed objects is validated
/// twice there.
fn sorted(list: Vec<String>) -> Vec<String> {
    let mut list: Vec<String> = list.iter().map(|text| timeless(text)).collect();
    list.sort();
    list.dedup();
    list
}

fn timeless(text: &str) -> String {
    let today = jiff::Timestamp::now().to_string();
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if is_uuid(rest) {
            out.push_str("UID");
            rest = &rest[36..];
        } else if let Some(more) = rest.strip_prefix("selfType") {
            // Types of custom kinds are numbered by the clock.
            out.push_str("selfType");
            rest = more.trim_start_matches(|digit: char| digit.is_ascii_digit());
        } else if rest.starts_with(&today[..11]) {
            out.push_str("NOW");
            rest = rest.find('Z').map_or("", |end| &rest[end + 1..]);
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 36
        && bytes[..36].iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
