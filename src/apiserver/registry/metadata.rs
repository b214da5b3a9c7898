//! What the server itself keeps in an object's metadata, and what is asked of the rest.

use super::intake;
use super::read::parse_version;
use api::validation::field::{Error, ErrorList, Path};
use api::validation::{prefix, qualified_name, validate_annotations, validate_labels};
use api::{Resource, Status, schema, time};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::strategy::{Generation, Strategy, off, same_as_written};
use crate::tree::Tree;

/// The longest prefix of a generated name; five characters follow.
const GENERATED_MAX: usize = 63 - 5;

/// Fields that say how an object leaves.
const LEAVING: [&str; 2] = ["metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds"];

/// Fields that are not kept in the tree: no self links since 1.24, and who owns what is written apart.
fn drop_unkept(object: &mut Value) {
    object.cut("metadata.selfLink");
    object.cut("metadata.managedFields");
}

/// The version that somebody gave an object that is to be new, which it loses; zero for none, and for what is no version.
pub(super) fn take_version(object: &mut Value) -> u64 {
    let version = object.cut("metadata.resourceVersion");
    version.and_then(|version| parse_version(version.as_str()?).ok()).unwrap_or_default()
}

/// Makes a client's object a new one.
pub(super) fn prepare_create(
    object: &mut Value,
    resource: &Resource,
    strategy: &Strategy,
    namespace: &str,
) -> Result<(), Status> {
    LEAVING.iter().for_each(|field| drop(object.cut(field)));
    drop_unkept(object);
    intake::name_namespace(object, resource, namespace)?;
    if !resource.is_namespaced() {
        object.cut("metadata.namespace");
    }
    object.put("metadata.uid", uuid::Uuid::new_v4().to_string());
    object.put("metadata.creationTimestamp", time::format(Timestamp::now()));
    if !matches!(strategy.generation, Generation::Sent | Generation::CountedFromSent) {
        object.put("metadata.generation", 1);
    }
    if !resource.builtin && resource.has_subresource("status") {
        object.cut("status");
    } else if let Some(status) = strategy.status {
        // The table is constant, and a test reads all of it.
        object.put("status", serde_json::from_str::<Value>(status).unwrap_or_default());
    }
    if object.text("metadata.name").is_empty() && !object.text("metadata.generateName").is_empty() {
        object.put("metadata.name", generate(object.text("metadata.generateName")));
    }
    off::take_out(object, None, strategy.off);
    Ok(())
}

/// A name from a prefix: five characters of an alphabet without vowels, in which no word can appear.
pub(crate) fn generate(prefix: &str) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut end = prefix.len().min(GENERATED_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = prefix[..end].to_owned();
    name.extend((0..5).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())])));
    name
}

/// Gives the new state of an object what only the server changes.
pub(super) fn prepare_update(new: &mut Value, old: &Value, strategy: &Strategy) {
    drop_unkept(new);
    if new.text("metadata.uid").is_empty() {
        new.put_or_remove("metadata.uid", old.at("metadata.uid").cloned());
    }
    for field in ["metadata.creationTimestamp", "metadata.generation"] {
        new.put_or_remove(field, old.at(field).cloned());
    }
    // What is leaving goes on leaving. A client that says otherwise is told so by the validation.
    let [time, grace] = LEAVING;
    if old.at(time).is_some() {
        new.put_or_remove(time, old.at(time).cloned());
    }
    if let Some(before) = old.at(grace) {
        new.default_to(grace, before.clone());
    }
    off::take_out(new, Some(old), strategy.off);
}

/// Raises the generation if what the kind counts changed. The status of a custom kind that does not have it as a
/// subresource is a field like others.
pub(super) fn count_change(new: &mut Value, old: &Value, resource: &Resource, strategy: &Strategy) {
    let also = match strategy.generation {
        Generation::Sent | Generation::One => return,
        Generation::Counted | Generation::CountedFromSent | Generation::CountedWithEmpty => None,
        Generation::CountedWith(field) => Some(field),
    };
    let apart = resource.builtin || resource.has_subresource("status");
    let aside = |key: &str| key == "metadata" || key == "status" && apart;
    let counted = |object: &Value| {
        let object = object.as_object().into_iter().flatten();
        object.filter(|(key, _)| !aside(key)).count()
    };
    let differs = counted(new) != counted(old)
        || new.as_object().into_iter().flatten().any(|(key, value)| !aside(key) && old.get(key) != Some(value));
    let really = || {
        if strategy.generation == Generation::CountedWithEmpty {
            return true;
        }
        let rest = |object: &Value| {
            let object = object.as_object().into_iter().flatten().filter(|(key, _)| !aside(key));
            Value::Object(object.map(|(key, value)| (key.clone(), value.clone())).collect())
        };
        !same_as_written(super::write::message(resource), &rest(new), &rest(old))
    };
    if differs && really() || also.is_some_and(|field| new.at(field) != old.at(field)) {
        new.put("metadata.generation", old.int("metadata.generation").unwrap_or(0) + 1);
    }
}

/// Takes out owners that are said twice; answers with the warning that upstream has for it.
pub(super) fn dedup_owners(object: &mut Value, admitted: bool) -> Option<String> {
    const OWNERS: &str = "metadata.ownerReferences";
    let owners = object.items(OWNERS);
    let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
    let mut twice = Vec::new();
    for owner in owners {
        if kept.contains(owner) { twice.push(owner.text("uid").to_owned()) } else { kept.push(owner.clone()) }
    }
    if twice.is_empty() {
        return None;
    }
    object.put(OWNERS, Value::Array(kept));
    let (when, twice) = (if admitted { " after mutating admission happens" } else { "" }, twice.join(", "));
    Some(format!(
        ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject \
         such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {twice}"
    ))
}

/// Complaints about the name of a new object, which it then has for good.
pub(super) fn validate_name(object: &Value, strategy: &Strategy) -> ErrorList {
    let meta = Path::root("metadata");
    let mut errors = ErrorList::new();
    let (name, generate_name) = (object.text("metadata.name"), object.text("metadata.generateName"));
    if !generate_name.is_empty() {
        errors.invalid_each(&meta.child("generateName"), generate_name, prefix(strategy.name, generate_name));
    }
    if name.is_empty() {
        errors.push(Error::required(&meta.child("name"), "name or generateName is required"));
        return errors;
    }
    errors.invalid_each(&meta.child("name"), name, (strategy.name)(name));
    // Upstream asks the kind first, and everybody's question only where the kind has nothing to say.
    if errors.is_empty() {
        errors.invalid_each(&meta.child("name"), name, api::validation::path_segment_name(name));
    }
    errors
}

/// Complaints about metadata of any object, names apart.
pub(super) fn validate(object: &Value, resource: &Resource) -> ErrorList {
    let meta = Path::root("metadata");
    let mut errors = ErrorList::new();
    let namespace = object.text("metadata.namespace");
    if resource.is_namespaced() {
        if namespace.is_empty() {
            errors.push(Error::required(&meta.child("namespace"), ""));
        } else {
            errors.invalid_each(&meta.child("namespace"), namespace, api::validation::dns1123_label(namespace));
        }
    }
    if let Some(generation) = object.int("metadata.generation").filter(|generation| *generation < 0) {
        errors.push(Error::invalid(&meta.child("generation"), generation, "must be greater than or equal to 0"));
    }
    let pairs = |path| object.entries(path).map(|(k, v)| (k.as_str(), v.as_str().unwrap_or_default()));
    errors.extend(validate_labels(pairs("metadata.labels"), &meta.child("labels")));
    errors.extend(validate_annotations(pairs("metadata.annotations"), &meta.child("annotations")));
    owners(object, &meta.child("ownerReferences"), &mut errors);
    let qualified = resource.builtin && !has_plain_finalizers(resource);
    for (at, finalizer) in object.items("metadata.finalizers").iter().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        let path = meta.child("finalizers");
        errors.invalid_each(&path, finalizer, qualified_name(finalizer));
        let known = matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion") || finalizer.contains('/');
        if qualified && !known {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(Error::invalid(&path.index(at), finalizer, why));
        }
    }
    let both = ["orphan", "foregroundDeletion"].iter().all(|f| object.items("metadata.finalizers").contains(&json!(f)));
    if both {
        let value = json!(object.items("metadata.finalizers"));
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(Error::invalid(&meta.child("finalizers"), value, why));
    }
    errors
}

/// Kinds that upstream validates as it does custom ones: their finalizers need not be qualified.
fn has_plain_finalizers(resource: &Resource) -> bool {
    match &*resource.group {
        "admissionregistration.k8s.io"
        | "apiextensions.k8s.io"
        | "apiregistration.k8s.io"
        | "coordination.k8s.io"
        | "node.k8s.io"
        | "policy" => true,
        _ => &*resource.plural == "events",
    }
}

fn owners(object: &Value, path: &Path, errors: &mut ErrorList) {
    let mut controller: Option<&Value> = None;
    // Upstream does not say which of them it is about.
    for owner in object.items("metadata.ownerReferences") {
        let version = match owner.text("apiVersion").split_once('/') {
            None => owner.text("apiVersion"),
            Some((_, version)) if version.contains('/') => "",
            Some((_, version)) => version,
        };
        for (field, empty, why) in [
            ("apiVersion", version.is_empty(), "version must not be empty"),
            ("kind", owner.text("kind").is_empty(), "must not be empty"),
            ("name", owner.text("name").is_empty(), "must not be empty"),
            ("uid", owner.text("uid").is_empty(), "must not be empty"),
        ] {
            if empty {
                errors.push(Error::invalid(&path.child(field), owner.text(field), why));
            }
        }
        if owner.text("apiVersion") == "v1" && owner.text("kind") == "Event" {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(Error::invalid(path, written(owner), why));
        }
        if owner.truth("controller") {
            if let Some(first) = controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
                    first.text("kind"),
                    first.text("name"),
                    owner.text("kind"),
                    owner.text("name"),
                );
                let all: Value = object.items("metadata.ownerReferences").iter().map(written).collect();
                errors.push(Error::invalid(path, all, why));
            }
            controller = controller.or(Some(owner));
        }
    }
}

/// An owner as Go writes one.
fn written(owner: &Value) -> Value {
    let mut owner = owner.clone();
    if let Some(message) = schema::message("meta/v1.OwnerReference") {
        api::prune::canonical(&mut owner, message);
    }
    owner
}

/// Complaints about a change of metadata.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut ErrorList) {
    let meta = Path::root("metadata");
    for field in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.at("metadata").and_then(|m| m.at(field)), old.at("metadata").and_then(|m| m.at(field)));
        if new != old {
            errors.push(Error::immutable(&meta.child(field), new.cloned().unwrap_or_default()));
        }
    }
    if old.at("metadata.deletionTimestamp").is_some() {
        let before = old.items("metadata.finalizers");
        let added: Vec<&str> =
            new.items("metadata.finalizers").iter().filter(|f| !before.contains(f)).filter_map(Value::as_str).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| api::quote::quote(f)).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            errors.push(Error::forbidden(&meta.child("finalizers"), why));
        }
    }
}
