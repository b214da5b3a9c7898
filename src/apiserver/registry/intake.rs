//! Bodies become objects: the right kind, the schema's fields, the storage row's form, defaults filled in.

use std::sync::Arc;

use api::managed_fields::ManagedFields;
use api::validation::field::{Error, ErrorList, Path};
use api::{FieldValidation, Patch, Request, Resource, Status, WriteOptions, prune, schema};
use serde_json::Value;

use super::ownership::Written;
use super::part::Part;
use super::{Registry, versions};
use crate::authentication::token_request;
use crate::discovery::subresource;
use crate::strategy;
use crate::tree::Tree;

impl Registry {
    /// Reads the body of something that is answered and not kept, and who owns what of it.
    pub(crate) async fn read_review(
        &self,
        request: &Request,
        body: &Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<(Value, ManagedFields), Status> {
        let mut review = self.decode(&request.resource, Part::Main, body.clone(), options, warnings)?;
        if request.resource.is_namespaced() {
            name_namespace(&mut review, &request.resource, &request.namespace)?;
        } else if !review.text("metadata.namespace").is_empty() {
            review.cut("metadata.namespace");
        }
        let sent = review.cut("metadata.managedFields");
        let owners = Written::new(&request.resource, Part::Main).of_new(&review, options, sent.as_ref()).await;
        Ok((review, owners))
    }

    /// Reads a body written through a part of the row's objects. Warnings are added to `warnings`. What the client says of
    /// managed fields is still there.
    pub(super) fn decode(
        &self,
        resource: &Arc<Resource>,
        part: Part,
        mut body: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let (group, version, kind) = part.kind(resource);
        name_kind(&mut body, group, version, kind)?;
        let forgets =
            body.at("metadata.managedFields").is_some_and(|said| ManagedFields::is_reset(said, resource.builtin));
        let mut unknown = decode_metadata(resource, part, &mut body)?;
        let custom = resource.custom.as_ref().filter(|_| part != Part::Scale);
        if let Some(custom) = custom {
            let dropped = custom
                .schema()
                .prune(&mut body)
                .map_err(|error| Status::bad_request(prune::DecodeError::from(error).for_kind(kind, version)))?;
            unknown.extend(dropped);
        }
        if let Some(message) =
            schema::for_kind(group, version, kind).filter(|_| resource.builtin || part == Part::Scale)
        {
            unknown = prune::decode(&mut body, message)
                .map_err(|error| Status::bad_request(error.for_kind(kind, version)))?;
        }
        complain(&unknown, options, (version, kind), warnings)?;
        if part == Part::Scale {
            return Ok(body);
        }
        if forgets {
            // An entry that says nothing says something here.
            body.put("metadata.managedFields", serde_json::json!([{}]));
        }
        Ok(fill_in(resource, body))
    }

    /// Reads what came of an apply. Of a custom kind, as upstream, which decodes that no more, nulls stay, and are refused where
    /// none may be.
    pub(super) fn decode_applied(
        &self,
        resource: &Arc<Resource>,
        part: Part,
        mut body: Value,
    ) -> Result<Value, Status> {
        if resource.builtin || part == Part::Scale {
            let (group, version, kind) = part.kind(resource);
            name_kind(&mut body, group, version, kind)?;
            if let Some(message) = schema::for_kind(group, version, kind) {
                prune::decode_merged(&mut body, message)
                    .map_err(|error| Status::bad_request(error.for_kind(kind, version)))?;
            }
            return Ok(if part == Part::Scale { body } else { fill_in(resource, body) });
        }
        decode_metadata(resource, part, &mut body)?;
        Ok(fill_in(resource, body))
    }
}

/// What is said of fields that are unknown or come twice.
fn complain(
    unknown: &[String],
    options: &WriteOptions,
    (version, kind): (&str, &str),
    warnings: &mut Vec<String>,
) -> Result<(), Status> {
    let found = prune::warnings(unknown, &options.duplicate_fields);
    match options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            warnings.extend(options.duplicate_keys.iter().cloned());
            warnings.extend(found);
            Ok(())
        }
        FieldValidation::Strict => {
            let parts: Vec<String> = yaml_error(options).into_iter().chain(found).collect();
            if parts.is_empty() {
                return Ok(());
            }
            let (quoted, error) = (api::quote::quote(version), parts.join(", "));
            Err(Status::bad_request(format!(
                "{kind} in version {quoted} cannot be handled as a {kind}: strict decoding error: {error}"
            )))
        }
    }
}

/// Reads what a request creates that is not stored and of its own kind: a binding, an eviction, a token's request. Warnings are
/// added to `warnings`.
pub(crate) fn read_sub_object(
    request: &Request,
    body: &Value,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let (resource, mut object) = (&request.resource, body.clone());
    let unknown = decode_apart(resource, &request.subresource, &mut object)?;
    let (_, version, kind) = kind_apart(resource, &request.subresource);
    complain(&unknown, options, (version, kind), warnings)?;
    name_namespace(&mut object, resource, &request.namespace)?;
    Ok(object)
}

/// Decodes a sub-object of its own kind, with defaults. Answers which fields of it are unknown.
pub(super) fn decode_apart(resource: &Resource, subresource: &str, object: &mut Value) -> Result<Vec<String>, Status> {
    let (group, version, kind) = kind_apart(resource, subresource);
    let Some(message) = schema::for_kind(group, version, kind) else { return Ok(Vec::new()) };
    let unknown = prune::decode(object, message).map_err(|error| Status::bad_request(error.for_kind(kind, version)))?;
    if kind == "TokenRequest" {
        object.default_to("spec.expirationSeconds", token_request::DEFAULT_SECONDS);
    }
    Ok(unknown)
}

/// Group, version and kind of what is written through a subresource that has a kind of its own.
pub(super) fn kind_apart<'a>(resource: &'a Resource, subresource: &str) -> (&'a str, &'a str, &'a str) {
    let own = (&*resource.group, &*resource.version, &*resource.kind);
    subresource::describe(resource, subresource).kind.unwrap_or(own)
}

/// For bodies whose senders are not told what is unknown in them.
pub(super) fn lenient() -> WriteOptions {
    WriteOptions { field_validation: FieldValidation::Ignore, ..WriteOptions::default() }
}

/// Whatever else a custom kind holds, its metadata is everybody's. Answers which fields of it are unknown.
fn decode_metadata(resource: &Resource, part: Part, body: &mut Value) -> Result<Vec<String>, Status> {
    if resource.builtin || part == Part::Scale {
        return Ok(Vec::new());
    }
    let (Some(metadata), Some(message)) = (body.get_mut("metadata"), schema::message("meta/v1.ObjectMeta")) else {
        return Ok(Vec::new());
    };
    let (_, version, kind) = part.kind(resource);
    let dropped =
        prune::decode(metadata, message).map_err(|error| Status::bad_request(error.for_kind(kind, version)))?;
    Ok(dropped.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// The stored form of a whole object, with what it does not say filled in.
fn fill_in(resource: &Arc<Resource>, mut body: Value) -> Value {
    if let Some(custom) = &resource.custom {
        custom.schema().fill_in(&mut body);
    }
    let mut object = versions::into_storage(resource, body);
    strategy::of(&resource.storage()).fill_in(&mut object);
    object
}

/// What upstream's parser says of keys that come twice in YAML.
pub(super) fn yaml_error(options: &WriteOptions) -> Option<String> {
    let keys = &options.duplicate_keys;
    (!keys.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", keys.join("\n  ")))
}

/// Checks that the body says it is what the path says it is; a body that does not say is. Those that are sent whole were asked
/// before.
fn name_kind(body: &mut Value, group: &str, version: &str, kind: &str) -> Result<(), Status> {
    if !body.is_object() {
        return Err(Status::bad_request("the body of the request is no object"));
    }
    for field in ["apiVersion", "kind"] {
        if let Some(said) = body.get(field).filter(|said| !said.is_string() && !said.is_null()) {
            let said = api::quote::json_type(said);
            let why = format!("{NO_KIND}json: cannot unmarshal {said} into Go struct field .{field} of type string");
            return Err(unreadable(kind, version, &why));
        }
    }
    let expected = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let says = |field: &str, expected: &str| {
        let said = body.text(field);
        said.is_empty() || said == expected
    };
    if !says("apiVersion", &expected) || !says("kind", kind) {
        let said = |field: &str, unsaid: &str| {
            let said = body.text(field);
            if said.is_empty() { unsaid.to_owned() } else { said.to_owned() }
        };
        return Err(Status::bad_request(unknown_kind(
            &said("apiVersion", &expected),
            &said("kind", kind),
            group,
            kind,
        )));
    }
    body.put("kind", kind);
    body.put("apiVersion", expected);
    Ok(())
}

/// What upstream says of a body of another kind than its path takes: either it knows the kind and cannot make one of the other,
/// or it does not know it.
pub(crate) fn unknown_kind(api_version: &str, said: &str, group: &str, kind: &str) -> String {
    let (said_group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let why = if schema::for_kind(said_group, version, said).is_some() {
        let package = package_of(group);
        format!("converting ({version}.{said}) to ({package}.{kind}): unknown conversion")
    } else {
        let (said, api_version) = (api::quote::quote(said), api::quote::quote(api_version));
        format!("no kind {said} is registered for version {api_version} in scheme \"pkg/runtime/scheme.go:111\"")
    };
    format!("{said} in version {} cannot be handled as a {kind}: {why}", api::quote::quote(version))
}

/// How the complaint begins about what does not say of itself of which kind it is.
const NO_KIND: &str = "couldn't get version/kind; json parse error: ";

fn unreadable(kind: &str, version: &str, why: &str) -> Status {
    let version = api::quote::quote(version);
    Status::bad_request(format!("{kind} in version {version} cannot be handled as a {kind}: {why}"))
}

/// What a patch may make of an object's kind: nothing else. Of custom kinds nothing but the object tells upstream which it is, so
/// it has to be told.
pub(super) fn keeps_kind(patched: &Value, request: &Request, part: Part) -> Result<(), Status> {
    let resource = &request.resource;
    let (_, version, kind) = part.kind(resource);
    if resource.builtin || part == Part::Scale {
        return Ok(());
    }
    let said = |field: &str| patched.get(field).filter(|said| !said.is_null());
    match (said("apiVersion"), said("kind")) {
        (_, None) => Err(unreadable(kind, version, &format!("Object 'Kind' is missing in '{patched}'"))),
        (None, _) => {
            let why = "Object 'apiVersion' is missing in 'object has no apiVersion field'";
            Err(Status::internal(why))
        }
        (Some(Value::String(api_version)), Some(Value::String(said))) => {
            let expected = resource.api_version();
            let mut errors = ErrorList::new();
            if said != kind {
                errors.push(Error::invalid(&Path::root("kind"), said.as_str(), format!("must be {kind}")));
            }
            if *api_version != expected {
                let field = Path::root("apiVersion");
                errors.push(Error::invalid(&field, api_version.as_str(), format!("must be {expected}")));
            }
            if errors.is_empty() {
                return Ok(());
            }
            let group = api_version.split_once('/').map_or("", |(group, _)| group);
            Err(Status::invalid(group, said, &request.name, super::error::causes(&errors)))
        }
        // Whoever reads it says what is wrong.
        _ => Ok(()),
    }
}

/// The Go package of upstream's forms of a group's kinds that have no version.
pub(crate) fn package_of(group: &str) -> &str {
    match group.split('.').next().unwrap_or_default() {
        "" | "events" => "core",
        package => package,
    }
}

/// What a patch gets that makes of an object what cannot be read: 422 about the patch, with what was to be read.
pub(super) fn unfit(status: Status, patch: &Patch, patched: impl FnOnce() -> Value, kind: &str) -> Status {
    let Some((_, why)) = status.message.split_once(&format!(" cannot be handled as a {kind}: ")) else { return status };
    if status.code != 400 {
        return status;
    }
    let (read, why) = match patch {
        Patch::Strategic(patch) => (go_text(patch), conversion(why).unwrap_or_else(|| why.to_owned())),
        _ => (patched().to_string(), why.to_owned()),
    };
    let mut errors = ErrorList::new();
    errors.push(Error::invalid(&Path::root("patch"), read, why));
    Status::invalid("", "", "", super::error::causes(&errors))
}

/// What Go's converter of trees, which strategic patches go through, says where its decoder says `why`: scalars that can become
/// one another by rounding or reinterpreting are refused in other words than those that cannot.
fn conversion(why: &str) -> Option<String> {
    let why = why.strip_prefix(NO_KIND).unwrap_or(why);
    let (found, wanted) = why.strip_prefix("json: cannot unmarshal ")?.split_once(" into Go ")?;
    let (_, wanted) = wanted.split_once(" of type ")?;
    let (kind, go) = match found.split_once(' ').unwrap_or((found, "")) {
        ("number", digits) if digits.contains(['.', 'e', 'E']) => ("float64", "float64"),
        ("number", _) => ("int64", "int64"),
        ("array", _) => ("slice", "[]interface {}"),
        ("object", _) => ("map", "map[string]interface {}"),
        (plain, _) => (plain, plain),
    };
    Some(match wanted {
        _ if wanted.starts_with("[]") => format!("cannot restore slice from {kind}"),
        _ if wanted.starts_with("map[") => format!("cannot restore map from {kind}"),
        "int32" | "int64" if kind == "float64" => format!("cannot convert {go} to {wanted}"),
        "string" if kind == "int64" => format!("cannot convert {go} to {wanted}"),
        "bool" | "string" | "int32" | "int64" | "float64" => format!("unrecognized type: {wanted}"),
        _ => format!("cannot restore struct from: {kind}"),
    })
}

/// A tree as Go prints it.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut fields: Vec<String> = map.iter().map(|(key, value)| format!("{key}:{}", go_text(value))).collect();
            fields.sort_unstable();
            format!("map[{}]", fields.join(" "))
        }
        plain => plain.to_string(),
    }
}

/// Checks the namespace of a body, or of what admission made of it, against the path's, and fills it in.
pub(super) fn name_namespace(object: &mut Value, resource: &Resource, namespace: &str) -> Result<(), Status> {
    if !resource.is_namespaced() {
        return Ok(());
    }
    let said = object.text("metadata.namespace");
    if !said.is_empty() && said != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    object.put("metadata.namespace", namespace);
    Ok(())
}

/// Checks the body's name against the path's.
pub(super) fn check_name(object: &Value, request: &Request) -> Result<(), Status> {
    let said = object.text("metadata.name");
    if said.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            request.name
        )));
    }
    if said != request.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({})",
            request.name
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_strategic_patch_cannot_be_is_said_as_upstreams_converter_does() {
        for (found, wanted, expect) in [
            ("string", "map[string]string", "cannot restore map from string"),
            ("object", "[]v1.Container", "cannot restore slice from map"),
            ("array", "v1.PodSpec", "cannot restore struct from: slice"),
            ("string", "int32", "unrecognized type: int32"),
            ("number 1.5", "int32", "cannot convert float64 to int32"),
            ("number", "string", "cannot convert int64 to string"),
            ("bool", "string", "unrecognized type: string"),
        ] {
            let why = format!("json: cannot unmarshal {found} into Go struct field A.b of type {wanted}");
            assert_eq!(conversion(&why).as_deref(), Some(expect));
        }
        assert_eq!(conversion("strict decoding error: unknown field \"a\""), None);
    }
}
