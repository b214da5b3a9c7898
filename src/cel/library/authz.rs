//! `authorizer`: checks are built by members, and asked by `check(verb)`.

use std::sync::Arc;

use super::core::text;
use super::{Context, Cost, Row, row};
use crate::authorizer::{Check, Decision};
use crate::error::{Error, ErrorKind};
use crate::types::LibraryType;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    row("path", Cost::One, path, &["Authorizer.(string) -> PathCheck"]),
    row(
        "group",
        Cost::One,
        |_, args| built(args, |check, group| check.group = Some(group)),
        &["Authorizer.(string) -> GroupCheck"],
    ),
    row("serviceAccount", Cost::One, service_account, &["Authorizer.(string, string) -> Authorizer"]),
    row(
        "resource",
        Cost::One,
        |_, args| built(args, |check, resource| check.resource = resource),
        &["GroupCheck.(string) -> ResourceCheck"],
    ),
    row(
        "subresource",
        Cost::One,
        |_, args| built(args, |check, subresource| check.subresource = subresource),
        &["ResourceCheck.(string) -> ResourceCheck"],
    ),
    row(
        "namespace",
        Cost::One,
        |_, args| built(args, |check, namespace| check.namespace = namespace),
        &["ResourceCheck.(string) -> ResourceCheck"],
    ),
    row(
        "name",
        Cost::One,
        |_, args| built(args, |check, name| check.name = name),
        &["ResourceCheck.(string) -> ResourceCheck"],
    ),
    row(
        "fieldSelector",
        Cost::Selector,
        |_, args| built(args, |check, text| check.field_selector = Some(text)),
        &["ResourceCheck.(string) -> ResourceCheck"],
    ),
    row(
        "labelSelector",
        Cost::Selector,
        |_, args| built(args, |check, text| check.label_selector = Some(text)),
        &["ResourceCheck.(string) -> ResourceCheck"],
    ),
    row("check", Cost::Check, ask, &["PathCheck.(string) -> Decision", "ResourceCheck.(string) -> Decision"]),
    row("errored", Cost::One, |_, args| Ok(Value::Bool(decision(&args[0])?.error.is_some())), &["Decision.() -> bool"]),
    row(
        "error",
        Cost::One,
        |_, args| Ok(Value::from(decision(&args[0])?.error.clone().unwrap_or_default())),
        &["Decision.() -> string"],
    ),
    row("allowed", Cost::One, |_, args| Ok(Value::Bool(decision(&args[0])?.allowed)), &["Decision.() -> bool"]),
    row("reason", Cost::One, |_, args| Ok(Value::from(decision(&args[0])?.reason.clone())), &["Decision.() -> string"]),
];

fn check<'v>(value: &'v Value<'_>) -> Result<&'v Check, Error> {
    match value {
        Value::Check(check) => Ok(check),
        _ => Err(Error::no_overload()),
    }
}

fn decision<'v>(value: &'v Value<'_>) -> Result<&'v Decision, Error> {
    match value {
        Value::Decision(decision) => Ok(decision),
        _ => Err(Error::no_overload()),
    }
}

/// The check with one thing more.
fn built<'a>(args: &[Value<'a>], set: fn(&mut Check, String)) -> Result<Value<'a>, Error> {
    let mut next = check(&args[0])?.clone();
    set(&mut next, text(&args[1])?.to_string());
    Ok(Value::Check(Arc::new(next)))
}

fn path<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    if text(&args[1])?.is_empty() {
        return Err(Error::new("path must not be empty"));
    }
    built(args, |check, path| check.path = Some(path))
}

fn service_account<'a>(_: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let (namespace, name) = (text(&args[1])?, text(&args[2])?);
    if !api::validation::dns1123_subdomain(name).is_empty() {
        return Err(Error::new("Invalid service account name"));
    }
    if !api::validation::dns1123_label(namespace).is_empty() {
        return Err(Error::new("Invalid service account namespace"));
    }
    let mut next = check(&args[0])?.clone();
    next.service_account = Some((namespace.to_string(), name.to_string()));
    Ok(Value::Check(Arc::new(next)))
}

fn ask<'a>(context: &Context<'_>, args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let mut question = check(&args[0])?.clone();
    if !matches!(question.kind(), LibraryType::PathCheck | LibraryType::ResourceCheck) {
        return Err(Error::no_overload());
    }
    question.verb = text(&args[1])?.to_string();
    match context.authorizer.check(&question) {
        Some(decision) => Ok(Value::Decision(Arc::new(decision))),
        None => Err(Error { kind: ErrorKind::Pending, message: "the authorizer has not answered yet".to_owned() }),
    }
}
