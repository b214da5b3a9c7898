//! Changing an object: PUT and PATCH, of the object itself or of the part a subresource stands for.

use std::sync::Arc;

use api::managed_fields::ManagedFields;
use api::validation::field::{Error, ErrorList, Path};
use api::{Object, Operation, Patch, Reply, Request, Resource, Status, User, WriteOptions, schema, user};
use embedded_store::Expect;
use serde_json::Value;

use super::apply::{Applied, unconvertible};
use super::ownership::{self, Written};
use super::part::Part;
use super::read::parse_version;
use super::write::{self, Current};
use super::{Registry, custom, error, intake, metadata, versions};
use crate::admission::{self, Attributes, Options, Verb};
use crate::allocator::Hold;
use crate::notes;
use crate::strategy::{self, Strategy, same_as_written};
use crate::tree::Tree;

/// How often a change that names no version is tried on newer versions. Each failure is another writer's success.
const ATTEMPTS: usize = 100;

/// The manager of what the server changes itself.
const OWN: &str = "kube-apiserver";

/// What is to become of the object.
pub(super) enum Intent<'a> {
    /// This.
    Put(&'a Value),
    /// What the patch makes of it.
    Patch(&'a Patch),
    /// What a function makes of the stored form: the server's own changes, which need no admission.
    Own(&'a (dyn Fn(&mut Value) -> Result<(), Status> + Sync)),
}

/// What a write makes of an object, before admission.
struct Intended {
    /// The object in stored form.
    object: Value,
    /// Who owns what; `None` where that stays.
    owners: Option<ManagedFields>,
}

/// An object ready to be stored.
struct After {
    object: Value,
    owners: Option<ManagedFields>,
    /// Whether it is not worth storing without its owners.
    needed: bool,
}

/// What came of one try.
enum Outcome {
    /// The object as it is now.
    Done(Arc<Object>),
    /// The object as it would be, had it not lost with this write the last thing that held it.
    Gone(Arc<Object>),
    /// Somebody else wrote in between; this is what is there now.
    Raced(Option<Current>),
}

impl Registry {
    /// Carries out a PUT or PATCH.
    pub(super) async fn update(
        &self,
        request: &Request,
        part: Part,
        intent: Intent<'_>,
        options: &WriteOptions,
    ) -> Result<Reply, Status> {
        let storage = request.resource.storage();
        let strategy = strategy::of_writes(&request.resource);
        let mut warnings = Vec::new();
        let mut current = self.current(&storage, &request.namespace, &request.name).await?;
        for _ in 0..ATTEMPTS {
            let Some(now) = current else {
                match (part, &intent) {
                    (Part::Main, Intent::Put(body)) if strategy.create_on_update => {
                        return self.put_new(request, (*body).clone(), options).await;
                    }
                    (Part::Main, Intent::Patch(Patch::Apply(body))) => {
                        match self.apply_new(request, body, options).await {
                            // Somebody else made it in between.
                            Err(status) if status.is_already_exists() => {
                                current = self.current(&storage, &request.namespace, &request.name).await?;
                                continue;
                            }
                            made => return made,
                        }
                    }
                    (_, Intent::Put(body)) => {
                        self.understood(request, part, (*body).clone(), options, &mut warnings)?;
                        notes::warn_all(&warnings);
                        return Err(error::not_found(&request.resource, &request.name));
                    }
                    _ => return Err(error::not_found(&request.resource, &request.name)),
                }
            };
            warnings.clear();
            let tried = self.try_update(request, part, &intent, options, &storage, strategy, now, &mut warnings).await;
            match tried.inspect_err(|_| notes::warn_all(&warnings))? {
                Outcome::Done(object) | Outcome::Gone(object) => {
                    let object = self.shown(request, part, object).await?;
                    return Ok(Reply::Object { object, created: false, warnings });
                }
                Outcome::Raced(now) => current = now,
            }
        }
        Err(Status::stale(&storage.group, &storage.plural, &request.name))
    }

    /// Changes the status of an object in the server's own name, without admission.
    pub(crate) async fn change_own(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        name: &str,
        dry_run: bool,
        change: &(dyn Fn(&mut Value) -> Result<(), Status> + Sync),
    ) -> Result<(), Status> {
        let options = WriteOptions { dry_run, field_manager: OWN.into(), ..WriteOptions::default() };
        let request = Request {
            user: Arc::new(User::new("system:apiserver", [user::MASTERS])),
            resource: resource.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            subresource: "status".into(),
            operation: Operation::Get { resource_version: None },
        };
        // Boxed, because admission itself comes here from within a write.
        Box::pin(self.update(&request, Part::Status, Intent::Own(change), &options)).await.map(drop)
    }

    async fn put_new(&self, request: &Request, mut body: Value, options: &WriteOptions) -> Result<Reply, Status> {
        intake::check_name(&body, request)?;
        // Whoever names a uid means an object that is gone. A version alone says nothing to upstream.
        let uid = body.text("metadata.uid");
        if !uid.is_empty() {
            let row = request.resource.storage();
            return Err(error::unmet(&row, &request.namespace, &request.name, ("UID", uid, "")));
        }
        body.cut("metadata.resourceVersion");
        self.create(request, body, options).await
    }

    #[expect(clippy::too_many_arguments, reason = "one try of the loop above, apart for its length")]
    async fn try_update(
        &self,
        request: &Request,
        part: Part,
        intent: &Intent<'_>,
        options: &WriteOptions,
        storage: &Arc<Resource>,
        strategy: &Strategy,
        current: Current,
        warnings: &mut Vec<String>,
    ) -> Result<Outcome, Status> {
        let old = &current.value;
        let Intended { object: mut new, owners } =
            self.intended(request, part, intent, options, &current, warnings).await?;
        if matches!(intent, Intent::Put(_)) {
            warnings.extend(metadata::dedup_owners(&mut new, false));
        }
        let unconditional = check_version(&mut new, &current, part, intent, storage, strategy)?;
        let mut attributes = Attributes::new(request, Verb::Update, Options::Update(options.clone()));
        (attributes.object, attributes.old) = (new, old.clone());
        attributes.owners = admission::Owners { new: owners, old: current.managed.clone() };
        let own = matches!(intent, Intent::Own(_));
        if !own {
            admission::mutate(self, &mut attributes).await?;
            let twice = metadata::dedup_owners(&mut attributes.object, true);
            attributes.warnings.extend(twice);
        }
        // Admission may have touched what this write may not: the part is taken out of its result once more.
        let mut new = match part {
            _ if own => std::mem::take(&mut attributes.object),
            Part::Scale => std::mem::take(&mut attributes.object),
            part => part.merge(storage, std::mem::take(&mut attributes.object), old)?,
        };
        intake::name_namespace(&mut new, storage, &request.namespace)?;
        metadata::prepare_update(&mut new, old, strategy);
        if !own {
            if part == Part::Main {
                (strategy.prepare_update)(&mut new, old);
            }
            if !matches!(part, Part::Status | Part::Approval) {
                metadata::count_change(&mut new, old, storage, strategy);
            }
        }
        let mut hold = match part {
            Part::Main => self.allocate(storage, &mut new, Some(old))?,
            _ => None,
        };
        let mut errors = metadata::validate(&new, storage);
        metadata::validate_update(&new, old, &mut errors);
        errors.extend(ownership::validate(attributes.owners.new.as_ref()));
        match part {
            Part::Main if !own => {
                strategy.validate_change(&new, old, &mut errors);
                (strategy.validate_update)(&new, old, &mut errors);
                attributes.warnings.extend((strategy.warnings)((&new, Some(old))));
            }
            Part::Status if !own => {
                self.check_admin_access(storage, &request.namespace, &new, Some(old), &mut errors).await?;
                (strategy.validate_status)(&new, old, &mut errors);
                part.validate(&new, old, &mut errors);
                attributes.warnings.extend((strategy.status_warnings)(&new));
            }
            Part::EphemeralContainers | Part::Resize => {
                strategy.validate_change(&new, old, &mut errors);
                part.validate(&new, old, &mut errors);
            }
            Part::Status | Part::Approval | Part::Finalize => part.validate(&new, old, &mut errors),
            // Whoever scales is warned of the whole.
            Part::Scale if !own => attributes.warnings.extend((strategy.warnings)((&new, Some(old)))),
            _ => {}
        }
        if !own {
            errors.extend(custom::validate(storage, part, &new, Some(old)));
            attributes.warnings.extend(custom::warnings(storage, &new, Some(old)));
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&storage.group, &storage.kind, &request.name, error::causes(&errors)));
        }
        attributes.object = new;
        if unconditional {
            // Who validates sees what the write is about to replace.
            attributes.object.put("metadata.resourceVersion", current.revision().to_string());
        }
        if !own {
            admission::validate(self, &mut attributes).await?;
        }
        warnings.append(&mut attributes.warnings);
        if !options.dry_run {
            hold.iter_mut().for_each(Hold::begin);
        }
        let needed = matches!(intent, Intent::Patch(Patch::Apply(_)));
        let after = After { object: attributes.object, owners: attributes.owners.new, needed };
        let outcome = self.finish(storage, current, after, options.dry_run, unconditional).await;
        match (hold, &outcome) {
            (Some(hold), Ok(Outcome::Done(_))) if !options.dry_run => hold.keep(),
            // A lost race is no doubt: somebody else's write was made, not this one. And what is gone gave up its own.
            (Some(mut hold), Ok(_)) => hold.fail(),
            (Some(mut hold), Err(status)) if status.is_conflict() || status.is_not_found() => hold.fail(),
            _ => {}
        }
        outcome
    }

    /// Stores the new state, if it is one; or removes the object, if nothing holds it any more.
    async fn finish(
        &self,
        storage: &Arc<Resource>,
        mut current: Current,
        after: After,
        dry_run: bool,
        unconditional: bool,
    ) -> Result<Outcome, Status> {
        let After { object: mut new, owners, needed } = after;
        let gone = may_go(&new, &current.value);
        // What is compared, and written, has no version.
        current.value.cut("metadata.resourceVersion");
        new.cut("metadata.resourceVersion");
        let same = same_as_written(write::message(storage), &new, &current.value)
            && !gone
            && same_owners(owners.as_ref(), &current);
        if same && (dry_run || !self.is_outdated(storage, &current).await?) {
            return Ok(Outcome::Done(current.object));
        }
        let owners = match &owners {
            Some(owners) => write::Owners { text: ownership::write(owners), needed },
            None => current.owners(),
        };
        if dry_run {
            let object = custom::would_be(storage, &new, &owners).await?;
            return Ok(Outcome::Done(Arc::new(object.at_revision(current.revision()))));
        }
        let written = if gone {
            let object = write::encode(&new, &owners, storage)?;
            let last = self.remove(storage, &current).await?;
            last.map(|last| Outcome::Gone(Arc::new(object.at_revision(last.meta.resource_version))))
        } else {
            self.put(storage, &new, &owners, Expect::Revision(current.revision())).await?.map(Outcome::Done)
        };
        match written {
            Ok(outcome) => Ok(outcome),
            Err(now) if unconditional => Ok(Outcome::Raced(now)),
            Err(Some(_)) => Err(Status::stale(&storage.group, &storage.plural, &current.object.meta.name)),
            Err(None) => Err(error::not_found(storage, &current.object.meta.name)),
        }
    }

    /// Whether a write that changes nothing has something to do all the same.
    async fn is_outdated(&self, storage: &Arc<Resource>, current: &Current) -> Result<bool, Status> {
        if let Some(stored) = &current.outdated
            && !custom::is_current(storage, stored, &current.value).await?
        {
            return Ok(true);
        }
        self.is_stale(storage, &current.object).await
    }

    /// The whole object the client wants, in stored form, and who owns what of it.
    async fn intended(
        &self,
        request: &Request,
        part: Part,
        intent: &Intent<'_>,
        options: &WriteOptions,
        current: &Current,
        warnings: &mut Vec<String>,
    ) -> Result<Intended, Status> {
        let old = &current.value;
        match intent {
            Intent::Own(change) => {
                let mut new = old.clone();
                change(&mut new)?;
                let written = Written::new(&request.resource, part);
                let managed = current.managed.as_deref();
                let owners = written.of_change(managed, None, (old, &new), options, &request.subresource).await;
                Ok(Intended { object: new, owners: Some(owners) })
            }
            Intent::Put(body) => self.changed(request, part, (*body).clone(), options, current, warnings).await,
            Intent::Patch(Patch::Apply(body)) => {
                let Applied { object, owners } =
                    self.apply(request, part, body, options, Some(current), warnings).await?;
                let object = match object {
                    Some(object) => {
                        let read = self.decode_applied(&request.resource, part, object);
                        let (view, _) = placed(read.map_err(|status| unconvertible(status, body))?, request)?;
                        part.merge(&request.resource.storage(), view, old)?
                    }
                    None => old.clone(),
                };
                Ok(Intended { object, owners: Some(owners) })
            }
            Intent::Patch(patch) => {
                let seen = patched(request, part, patch, current)?;
                let (_, _, kind) = part.kind(&request.resource);
                let changed = match intake::keeps_kind(&seen, request, part) {
                    Ok(()) => self.changed(request, part, seen, options, current, warnings).await,
                    Err(status) => Err(status),
                };
                // Made once more for the complaint: most patches are fine.
                let seen = || patched(request, part, patch, current).unwrap_or_default();
                changed.map_err(|status| intake::unfit(status, patch, seen, kind))
            }
        }
    }

    /// What becomes of the object by a body that is no apply.
    async fn changed(
        &self,
        request: &Request,
        part: Part,
        body: Value,
        options: &WriteOptions,
        current: &Current,
        warnings: &mut Vec<String>,
    ) -> Result<Intended, Status> {
        let old = &current.value;
        let (view, sent) = self.understood(request, part, body, options, warnings)?;
        let written = Written::new(&request.resource, part);
        let managed = current.managed.as_deref();
        let storage = request.resource.storage();
        // Who writes a status owns what else it says, if it is not known of the kind that this changes nothing.
        let (object, owners) = if part == Part::Status {
            let owners = written.of_change(managed, sent.as_ref(), (old, &view), options, &request.subresource).await;
            (part.merge(&storage, view, old)?, owners)
        } else {
            let object = part.merge(&storage, view, old)?;
            let owners = written.of_change(managed, sent.as_ref(), (old, &object), options, &request.subresource).await;
            (object, owners)
        };
        Ok(Intended { object, owners: Some(owners) })
    }

    /// A body as it is read through the part, and what it says about managed fields.
    fn understood(
        &self,
        request: &Request,
        part: Part,
        body: Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<(Value, Option<Value>), Status> {
        placed(self.decode(&request.resource, part, body, options, warnings)?, request)
    }

    /// The object as the answer to a write through the part shows it.
    async fn shown(&self, request: &Request, part: Part, object: Arc<Object>) -> Result<Arc<Object>, Status> {
        let object = versions::show(&request.resource, object).await?;
        if part != Part::Scale {
            return Ok(object);
        }
        let (revision, row) = (object.meta.resource_version, &request.resource);
        let whole = object.to_value().map_err(Status::internal)?;
        part.refuse_unscalable(row, &whole)?;
        Object::encode(&part.show(row, whole), revision, row).map(Arc::new).map_err(Status::internal)
    }

    /// One object seen through a part.
    pub(super) async fn get_part(
        &self,
        request: &Request,
        part: Part,
        version: Option<&str>,
    ) -> Result<Arc<Object>, Status> {
        let object = self.stored(request, version).await?;
        self.shown(request, part, object).await
    }
}

/// An object that is where the request says, and what it says about managed fields.
fn placed(mut view: Value, request: &Request) -> Result<(Value, Option<Value>), Status> {
    let sent = view.cut("metadata.managedFields");
    intake::name_namespace(&mut view, &request.resource, &request.namespace)?;
    intake::check_name(&view, request)?;
    Ok((view, sent))
}

/// What a patch makes of the object, which means it as clients see it.
fn patched(request: &Request, part: Part, patch: &Patch, current: &Current) -> Result<Value, Status> {
    let mut whole = current.value.clone();
    write::canonical(&mut whole, &request.resource.storage());
    if names_owners(patch) {
        whole.put("metadata.managedFields", ownership::read(current.managed.as_deref()).to_value());
    }
    let mut seen = part.show(&request.resource, versions::from_storage(&request.resource, whole));
    let (group, version, kind) = part.kind(&request.resource);
    let message = schema::for_kind(group, version, kind).filter(|_| request.resource.builtin);
    patch.apply(&mut seen, message)?;
    // A strategic patch goes onto an object whose kind is settled, and so does what becomes of a custom kind's status.
    let settled = matches!(patch, Patch::Strategic(_)) || (part == Part::Status && !request.resource.builtin);
    if settled && let Some(fields) = seen.as_object_mut() {
        for (field, own) in [("apiVersion", part.api_version(&request.resource)), ("kind", kind.to_owned())] {
            if let Some(said) = fields.get_mut(field).filter(|said| said.is_string()) {
                *said = own.into();
            }
        }
    }
    Ok(seen)
}

/// Checks what the body says about version and uid. Says whether the write may be tried again on a newer version.
fn check_version(
    new: &mut Value,
    current: &Current,
    part: Part,
    intent: &Intent<'_>,
    storage: &Resource,
    strategy: &Strategy,
) -> Result<bool, Status> {
    let name = &current.object.meta.name;
    let uid = new.text("metadata.uid");
    // A patch is not made for an object: what it makes of the uid is for the validation to refuse.
    let put = matches!(intent, Intent::Put(_));
    if put && !uid.is_empty() && *uid != *current.object.meta.uid {
        let meta = &current.object.meta;
        return Err(error::unmet(storage, &meta.namespace, name, ("UID", uid, &meta.uid)));
    }
    // A patched object shows the version it was made from, unless the patch says another.
    let pinned = match intent {
        Intent::Own(_) => false,
        Intent::Patch(patch) => names_version(patch),
        Intent::Put(_) => true,
    };
    if !pinned {
        return Ok(true);
    }
    match new.text("metadata.resourceVersion") {
        "" | "0" => {
            if !strategy.unconditional_update && part != Part::Scale {
                let mut errors = ErrorList::new();
                let path = Path::root("metadata").child("resourceVersion");
                errors.push(Error::invalid(&path, 0, "must be specified for an update"));
                return Err(Status::invalid(&storage.group, &storage.plural, name, error::causes(&errors)));
            }
            Ok(true)
        }
        version if version == current.revision().to_string() => Ok(false),
        version => Err(match parse_version(version) {
            Ok(_) => Status::stale(&storage.group, &storage.plural, name),
            // Upstream reads it too late to call it a bad request.
            Err(why) => Status::failure(500, "", why),
        }),
    }
}

/// Whether an object on its way out has lost the last thing that held it.
fn may_go(new: &Value, old: &Value) -> bool {
    old.at("metadata.deletionTimestamp").is_some()
        && new.items("metadata.finalizers").is_empty()
        && old.int("metadata.deletionGracePeriodSeconds").unwrap_or(0) == 0
        && (new.text("kind") != "Namespace" || new.items("spec.finalizers").is_empty())
}

/// Whether those who own the fields stay the same; when they last wrote does not count.
fn same_owners(owners: Option<&ManagedFields>, current: &Current) -> bool {
    owners.is_none_or(|owners| owners.same_but_times(&ownership::read(current.managed.as_deref())))
}

/// Whether a patch may speak about managed fields.
fn names_owners(patch: &Patch) -> bool {
    const OWNERS: &str = "/metadata/managedFields";
    match patch {
        Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) => {
            body.get("metadata").is_some_and(|metadata| metadata.get("managedFields").is_some())
        }
        Patch::Json(operations) => operations.as_array().into_iter().flatten().any(|operation| {
            ["path", "from"]
                .iter()
                .filter_map(|field| operation.get(field)?.as_str())
                .any(|path| matches!(path, "" | "/metadata") || path.starts_with(OWNERS))
        }),
    }
}

/// Whether a patch says which version it is meant for.
fn names_version(patch: &Patch) -> bool {
    match patch {
        Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) => {
            body.at("metadata.resourceVersion").is_some()
        }
        Patch::Json(operations) => {
            operations.as_array().into_iter().flatten().any(|operation| {
                operation.text("op") != "test" && operation.text("path") == "/metadata/resourceVersion"
            })
        }
    }
}
