//! What the registry does with objects of custom kinds beyond what it does with all: they are read, validated and admitted
//! in the version of the request, and stored in the one version their definition names.

use std::sync::Arc;

use api::custom::{Custom, Scale};
use api::quote::go_type;
use api::validation::field::{Error, ErrorList, ErrorType, Path};
use api::validation::qualified_name;
use api::{Object, Resource, Status};
use serde_json::Value;

use super::part::Part;
use super::write::{self, Owners};
use crate::tree::Tree;

/// Finalizers that need no domain of their own.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

/// An object from the store in the version of the row, and what the store has where that may be out of date.
pub(super) async fn current(
    row: &Resource,
    object: Object,
    mut value: Value,
    managed: Option<&str>,
) -> Result<(Object, Value, Option<Value>), Status> {
    let Some(custom) = &row.custom else { return Ok((object, value, None)) };
    let definition = &custom.definition;
    let before = value.clone();
    definition.refresh(&mut value);
    let storage = format!("{}/{}", definition.group, definition.storage);
    let is_outdated = value != before || value.text("apiVersion") != storage;
    let value = one(Box::pin(definition.convert(vec![value], &custom.version().name)).await?)?;
    if value == before {
        return Ok((object, value, is_outdated.then_some(before)));
    }
    let (managed, revision) = (managed.unwrap_or_default().as_bytes(), object.meta.resource_version);
    let shown = Object::encode_with(&value, managed, revision, row).map_err(Status::internal)?;
    Ok((shown, value, is_outdated.then_some(before)))
}

/// The form in which an object of the row's version is stored, where that is another than its own.
pub(super) async fn stored(row: &Resource, value: &Value, owners: &Owners) -> Result<Option<Object>, Status> {
    match stored_value(row, value).await? {
        Some(value) => write::encode(&value, owners, row).map(Some),
        None => Ok(None),
    }
}

/// As upstream, the defaults of the stored version are not stored: they come when it is read.
async fn stored_value(row: &Resource, value: &Value) -> Result<Option<Value>, Status> {
    let Some(custom) = row.custom.as_ref().filter(|custom| !custom.is_storage()) else { return Ok(None) };
    let definition = &custom.definition;
    one(Box::pin(definition.convert(vec![value.clone()], &definition.storage)).await?).map(Some)
}

/// Whether what the store has of an object, revision apart, is what would be written of it now.
pub(super) async fn is_current(row: &Resource, stored: &Value, value: &Value) -> Result<bool, Status> {
    Ok(stored_value(row, value).await?.as_ref().unwrap_or(value) == stored)
}

/// An object as it could be read after this was written.
pub(super) async fn would_be(row: &Resource, value: &Value, owners: &Owners) -> Result<Object, Status> {
    match stored(row, value, owners).await? {
        Some(stored) => read_back(row, stored).await,
        None => write::encode(value, owners, row),
    }
}

/// What was stored for an object of the row's version, as the row shows it: what the conversion made of it both ways.
pub(super) async fn read_back(row: &Resource, stored: Object) -> Result<Object, Status> {
    let (value, managed) = stored.split().map_err(Status::internal)?;
    current(row, stored, value, managed.as_deref()).await.map(|(shown, ..)| shown)
}

fn one(values: Vec<Value>) -> Result<Value, Status> {
    values.into_iter().next().ok_or_else(|| Status::internal("an object was lost in its conversion"))
}

/// An object that is in the version of one row of a custom kind in the version of another; of other kinds as it is.
pub(super) async fn converted(from: &Resource, to: &Resource, value: Value) -> Result<Value, Status> {
    match (&from.custom, &to.custom) {
        (Some(_), Some(custom)) if from.version != to.version => {
            one(Box::pin(custom.definition.convert(vec![value], &to.version)).await?)
        }
        _ => Ok(value),
    }
}

/// Objects as they are stored, in the version of the row. Those that are in it are passed on as they are.
pub(crate) async fn shown(row: &Resource, objects: Vec<Arc<Object>>) -> Result<Vec<Arc<Object>>, Status> {
    let Some(custom) = &row.custom else { return Ok(objects) };
    let foreign: Vec<usize> = (0..objects.len()).filter(|at| is_foreign(row, &objects[*at])).collect();
    if foreign.is_empty() {
        return Ok(objects);
    }
    let values = foreign.iter().map(|at| objects[*at].to_value()).collect::<Result<Vec<_>, _>>();
    let mut values = values.map_err(Status::internal)?;
    // What is stored does not know its revision, and no webhook is told.
    values.iter_mut().for_each(|value| drop(value.cut("metadata.resourceVersion")));
    let converted = Box::pin(custom.definition.convert(values, &custom.version().name)).await?;
    let mut objects = objects;
    for (at, value) in foreign.into_iter().zip(converted) {
        let revision = objects[at].meta.resource_version;
        objects[at] = Arc::new(Object::encode(&value, revision, row).map_err(Status::internal)?);
    }
    Ok(objects)
}

/// Whether an object is in another version than the row's.
pub(crate) fn is_foreign(row: &Resource, object: &Object) -> bool {
    row.custom.as_ref().is_some_and(|custom| {
        let version = object.api_version().and_then(|said| said.rsplit('/').next());
        version.is_some_and(|version| *version != *custom.version().name)
    })
}

/// 403 for a new object of a kind that is about to go.
pub(super) fn refuse_if_terminating(row: &Resource, name: &str) -> Result<(), Status> {
    if row.custom.as_ref().is_some_and(|custom| custom.definition.is_terminating()) {
        let why = "create not allowed while custom resource definition is terminating";
        return Err(Status::forbidden(&row.group, &row.plural, name, why));
    }
    Ok(())
}

/// Complaints about an object through a part of it, its metadata apart. `old` is what it replaces.
pub(super) fn validate(row: &Resource, part: Part, new: &Value, old: Option<&Value>) -> ErrorList {
    let Some(custom) = &row.custom else { return ErrorList::new() };
    let mut errors = match (part, old) {
        (Part::Status, Some(old)) => validate_status(custom, new, old),
        (_, Some(old)) => custom.schema().validate_update(new, old, ""),
        (_, None) => custom.schema().validate(new, ""),
    };
    if let Some(scale) = &custom.version().scale {
        validate_scale(scale, part, new, &mut errors);
    }
    let schema = custom.schema();
    if part != Part::Status {
        errors.extend(schema.validate_embedded(new));
    }
    // A list that was no set before need not be one now.
    if old.is_none_or(|old| schema.validate_lists(old).is_empty()) {
        errors.extend(schema.validate_lists(new));
    }
    if let Some(rules) = custom.rules() {
        if errors.iter().any(is_blocking) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
            errors.push(Error::invalid(&Path::root("<nil>"), Value::Null, why));
        } else {
            let (complaints, warnings) = rules.check(new, old);
            errors.extend(complaints);
            warnings.iter().for_each(crate::notes::warn);
        }
    }
    errors
}

/// Whether a complaint makes rules pointless: they rely on types and sizes.
fn is_blocking(error: &Error) -> bool {
    use ErrorType::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
    matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
}

fn validate_status(custom: &Custom, new: &Value, old: &Value) -> ErrorList {
    let (Some(schema), Some(status)) = (custom.schema().property("status"), new.get("status")) else {
        return ErrorList::new();
    };
    match old.get("status") {
        Some(old) => schema.validate_update(status, old, "status"),
        None => schema.validate(status, "status"),
    }
}

fn validate_scale(scale: &Scale, part: Part, object: &Value, errors: &mut ErrorList) {
    let paths = [(&scale.spec_replicas, part != Part::Status), (&scale.status_replicas, true)];
    for (path, _) in paths.into_iter().filter(|(_, asked)| *asked) {
        let Some(value) = walk(object, path) else { continue };
        let field = Path::root(&format!(".{path}"));
        match value.as_i64() {
            None => {
                let why = format!(
                    ".{path} accessor error: {} is of the type {}, expected int64",
                    plain(value),
                    go_type(value)
                );
                errors.push(Error::invalid(&field, 0, why));
            }
            Some(replicas) if replicas < 0 => {
                errors.push(Error::invalid(&field, replicas, "should be a non-negative integer"));
            }
            Some(replicas) if replicas > i64::from(i32::MAX) => {
                let why = format!("should be less than or equal to {}", i32::MAX);
                errors.push(Error::invalid(&field, replicas, why));
            }
            Some(_) => {}
        }
    }
    if let Some(value) = walk(object, &scale.selector).filter(|value| !value.is_string()) {
        let path = &scale.selector;
        let why =
            format!(".{path} accessor error: {} is of the type {}, expected string", plain(value), go_type(value));
        errors.push(Error::invalid(&Path::root(&format!(".{path}")), "", why));
    }
}

/// The value at a path; unlike [`Tree::at`] it shows nulls.
fn walk<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() {
        return None;
    }
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// Go's `%v`.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Warnings about finalizers that are new on an object.
pub(super) fn warnings(row: &Resource, new: &Value, old: Option<&Value>) -> Vec<String> {
    if row.builtin {
        return Vec::new();
    }
    let before = old.map_or(&[] as &[Value], |old| old.items("metadata.finalizers"));
    let added = new.items("metadata.finalizers").iter().filter(|finalizer| !before.contains(finalizer));
    let mut added: Vec<&str> = added.filter_map(Value::as_str).collect();
    added.sort_unstable();
    let mut warnings = Vec::new();
    for finalizer in added {
        let quoted = api::quote::quote(finalizer);
        let mut warn = |why: &str| warnings.push(format!("metadata.finalizers: {quoted}: {why}"));
        qualified_name(finalizer).iter().for_each(|why| warn(why));
        if finalizer.contains('/') || STANDARD_FINALIZERS.contains(&finalizer) {
            continue;
        }
        warn(match finalizer.contains('.') {
            true => {
                "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
            }
            false => {
                "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
            }
        });
    }
    warnings
}
