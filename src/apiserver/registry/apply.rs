//! Server-side apply: what the applier says is merged into the object, and the applier owns it. See [`api::apply`].

use std::sync::Arc;

use api::apply::{self, ApplyError, Conflict, Kind};
use api::managed_fields::{ManagedFields, Operation};
use api::quote::json_type;
use api::status::Details;
use api::{Cause, FieldValidation, Reply, Request, Status, WriteOptions, prune, schema};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::create::{self, New};
use super::ownership::Written;
use super::part::Part;
use super::write::Current;
use super::{Registry, intake, versions};
use crate::authorization;
use crate::tree::Tree;

/// The manager whose applies take over from `kubectl apply` without `--server-side`.
const KUBECTL: &str = "kubectl";

/// What an apply makes of an object.
pub(super) struct Applied {
    /// The object at the row's version; `None` when nothing of it changes.
    pub(super) object: Option<Value>,
    /// Who owns what then.
    pub(super) owners: ManagedFields,
}

impl Registry {
    /// Merges an applied configuration into the object, or into nothing.
    pub(super) async fn apply(
        &self,
        request: &Request,
        part: Part,
        body: &Value,
        options: &WriteOptions,
        current: Option<&Current>,
        warnings: &mut Vec<String>,
    ) -> Result<Applied, Status> {
        let resource = &request.resource;
        let (group, version, kind) = part.kind(resource);
        check_kind(body, group, version, kind)?;
        if body.at("metadata.managedFields").is_some() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let mut written = Written::new(resource, part);
        let manager = written.manager(options, &request.subresource, Operation::Apply);
        let api_version = manager.api_version.to_string();
        if written.form(&api_version).is_none() {
            return Err(failed(&ApplyError::Version(api_version)));
        }
        let mut live = match current {
            None => json!({}),
            Some(current) => part.show(resource, versions::from_storage(resource, current.value.clone())),
        };
        if let Some(message) = schema::for_kind(group, version, kind)
            .filter(|_| current.is_some() && (resource.builtin || part == Part::Scale))
        {
            prune::canonical(&mut live, message);
        }
        let whole = current.and_then(|current| current.managed.as_deref()).map(ManagedFields::parse).transpose();
        let whole =
            whole.map_err(|error| Status::failure(500, "", format!("failed to decode managed fields: {error}")))?;
        let whole = whole.unwrap_or_default();
        let before = if part == Part::Scale { written.scale_owners(&whole) } else { whole.clone() };
        let now = Timestamp::now();
        let attempt = |written: &Written, force| {
            let mut owners = before.clone();
            let object = apply::apply(&mut owners, written, &live, body, manager.clone(), force, now)?;
            Ok((object, owners))
        };
        let outcome = written.with_answers(|written| {
            let conflicts = match attempt(written, options.force) {
                Err(ApplyError::Conflicts(conflicts)) if &*manager.name == KUBECTL => conflicts,
                outcome => return outcome,
            };
            let own = written.form(&api_version).and_then(|form| apply::from_last_applied(form, &live, &api_version));
            let rest: Vec<Conflict> = match own {
                Some(own) => conflicts.into_iter().filter(|conflict| !own.has(&conflict.path)).collect(),
                None => conflicts,
            };
            if rest.is_empty() { attempt(written, true) } else { Err(ApplyError::Conflicts(rest)) }
        });
        let (mut object, owners) = outcome.await?.map_err(|error| failed(&error))?;
        duplicates(options, warnings)?;
        if &*manager.name == KUBECTL {
            let mut synced = object.clone().unwrap_or_else(|| live.clone());
            apply::sync_last_applied(&mut synced, body);
            if object.is_some() || synced != live {
                object = Some(synced);
            }
        }
        let owners = if part == Part::Scale { written.owners_after_scale(whole, owners) } else { owners };
        Ok(Applied { object, owners })
    }

    /// An object that is not there yet, from an applied configuration.
    pub(super) async fn apply_new(
        &self,
        request: &Request,
        body: &Value,
        options: &WriteOptions,
    ) -> Result<Reply, Status> {
        let resource = &request.resource;
        let mut warnings = Vec::new();
        let applied = self.apply(request, Part::Main, body, options, None, &mut warnings).await?;
        let object = applied.object.unwrap_or_else(|| body.clone());
        let labelled = create::is_labelled(&object);
        let decoded = self.decode_applied(resource, Part::Main, object);
        let mut object = decoded.map_err(|status| unconvertible(status, body))?;
        let uid = object.text("metadata.uid");
        if !uid.is_empty() {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Status::conflict(&resource.group, &resource.plural, &request.name, why));
        }
        intake::name_namespace(&mut object, &request.resource, &request.namespace)?;
        intake::check_name(&object, request)?;
        object.cut("metadata.resourceVersion");
        if let Some(authorizer) = self.authorizer() {
            // Whoever may patch need not be allowed to create.
            let what = authorization::Attributes {
                verb: "create",
                group: &resource.group,
                version: &resource.version,
                resource: &resource.plural,
                namespace: &request.namespace,
                name: &request.name,
                is_resource: true,
                ..authorization::Attributes::default()
            };
            authorizer.authorize(&request.user, &what).await?;
        }
        let new = New { object, owners: applied.owners, labelled };
        let (created, more) = self.create_stored(request, new, options).await?;
        warnings.extend(more);
        let object: Arc<_> = versions::show(resource, created).await?;
        Ok(Reply::Object { object, created: true, warnings })
    }
}

/// What is said of a configuration that can be merged and not be read: upstream comes to that too late to call it a bad request.
pub(super) fn unconvertible(status: Status, body: &Value) -> Status {
    let Some((_, why)) = status.message.split_once(&format!(" cannot be handled as a {}: ", body.text("kind"))) else {
        return status;
    };
    let (what, kind) = (apply::described(body), apply::kind_of(body));
    let why = format!("unable to convert unstructured object to {kind}: {why}");
    Status::failure(500, "", format!("failed to convert new object ({what}) to proper version: {why}"))
}

/// An applied configuration has to say what it is.
fn check_kind(body: &Value, group: &str, version: &str, kind: &str) -> Result<(), Status> {
    if !matches!(body, Value::Object(_) | Value::Null) {
        return Err(Status::bad_request(format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go \
             value of type map[string]interface {{}}",
            json_type(body)
        )));
    }
    let expected = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let (said, said_kind) = (body.text("apiVersion"), body.text("kind"));
    if said == expected && said_kind == kind {
        return Ok(());
    }
    let said = if said.is_empty() { "/" } else { said };
    // Upstream prints the core group with its slash.
    let said = if said.contains('/') { said.to_owned() } else { format!("/{said}") };
    Err(Status::bad_request(format!("invalid object type: {said}, Kind={said_kind}")))
}

/// Keys that come twice in what is applied; unknown fields are refused anyway.
fn duplicates(options: &WriteOptions, warnings: &mut Vec<String>) -> Result<(), Status> {
    let Some(error) = intake::yaml_error(options) else { return Ok(()) };
    match options.field_validation {
        FieldValidation::Ignore => Ok(()),
        FieldValidation::Warn => {
            warnings.extend(options.duplicate_keys.iter().cloned());
            Ok(())
        }
        FieldValidation::Strict => {
            let why = format!("error strict decoding patch: error converting YAML to JSON: {error}");
            Err(Status::bad_request(why))
        }
    }
}

fn failed(error: &ApplyError) -> Status {
    let ApplyError::Conflicts(conflicts) = error else { return Status::failure(500, "", error.to_string()) };
    let cause = |conflict: &Conflict| Cause {
        reason: "FieldManagerConflict".into(),
        message: format!("conflict with {}", conflict.owner()),
        field: conflict.field(),
    };
    let mut status = Status::failure(409, "Conflict", error.to_string());
    status.details = Some(Details { causes: conflicts.iter().map(cause).collect(), ..Details::default() });
    status
}
