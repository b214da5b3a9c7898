//! Creating an object.

use std::sync::Arc;

use api::managed_fields::ManagedFields;
use api::validation::field::ErrorList;
use api::{Object, Reply, Request, Status, WriteOptions};
use embedded_store::Expect;
use serde_json::Value;

use super::ownership::{self, Written};
use super::part::Part;
use super::write::Owners;
use super::{Registry, custom, error, intake, metadata, versions};
use crate::admission::{self, Attributes, Options, Verb};
use crate::allocator::Hold;
use crate::notes;
use crate::strategy::{self, Creation};
use crate::tree::Tree;

/// How often a name that is taken is replaced by another generated one.
const ATTEMPTS: usize = 8;

/// What is to become a new object.
pub(super) struct New {
    /// It, decoded, with defaults.
    pub(super) object: Value,
    /// Who owns what of it.
    pub(super) owners: ManagedFields,
    /// Whether it came with labels. See [`is_labelled`].
    pub(super) labelled: bool,
}

/// Whether an object that is not decoded yet has labels.
pub(super) fn is_labelled(sent: &Value) -> bool {
    sent.entries("metadata.labels").next().is_some()
}

impl Registry {
    /// A new object from a body.
    pub(super) async fn create(&self, request: &Request, body: Value, options: &WriteOptions) -> Result<Reply, Status> {
        let mut warnings = Vec::new();
        let labelled = is_labelled(&body);
        let mut object = self.decode(&request.resource, Part::Main, body, options, &mut warnings)?;
        intake::name_namespace(&mut object, &request.resource, &request.namespace)?;
        warnings.extend(metadata::dedup_owners(&mut object, false));
        let sent = object.cut("metadata.managedFields");
        let owners = Written::new(&request.resource, Part::Main).of_new(&object, options, sent.as_ref()).await;
        let new = New { object, owners, labelled };
        let (created, more) =
            self.create_stored(request, new, options).await.inspect_err(|_| notes::warn_all(&warnings))?;
        warnings.extend(more);
        let object = versions::show(&request.resource, created).await?;
        Ok(Reply::Object { object, created: true, warnings })
    }

    /// A new object, in stored form.
    pub(super) async fn create_stored(
        &self,
        request: &Request,
        New { object, owners, labelled }: New,
        options: &WriteOptions,
    ) -> Result<(Arc<Object>, Vec<String>), Status> {
        let storage = request.resource.storage();
        custom::refuse_if_terminating(&storage, object.text("metadata.name"))?;
        let strategy = strategy::of_writes(&request.resource);
        let mut attributes = Attributes::new(request, Verb::Create, Options::Create(options.clone()));
        attributes.name = object.text("metadata.name").to_owned();
        attributes.object = object;
        attributes.owners.new = Some(owners);
        admission::mutate(self, &mut attributes).await?;
        let twice = metadata::dedup_owners(&mut attributes.object, true);
        attributes.warnings.extend(twice);
        let generate = attributes.object.text("metadata.name").is_empty();
        let version = metadata::take_version(&mut attributes.object);
        metadata::prepare_create(&mut attributes.object, &storage, strategy, &request.namespace)?;
        let labels_defaulted = !labelled && !attributes.rewritten;
        (strategy.prepare_create)(&mut attributes.object, &Creation { user: &request.user, labels_defaulted });
        let mut hold = self.allocate(&storage, &mut attributes.object, None)?;
        let mut errors = metadata::validate_name(&attributes.object, strategy);
        errors.extend(metadata::validate(&attributes.object, &storage));
        let of_metadata = if strategy.metadata_last { std::mem::take(&mut errors) } else { ErrorList::new() };
        self.check_admin_access(&storage, &request.namespace, &attributes.object, None, &mut errors).await?;
        (strategy.validate)(&attributes.object, &mut errors);
        (strategy.validate_create)(&attributes.object, &mut errors);
        if errors.is_empty() {
            errors = of_metadata;
        }
        errors.extend(ownership::validate(attributes.owners.new.as_ref()));
        errors.extend(custom::validate(&storage, Part::Main, &attributes.object, None));
        let name = attributes.object.text("metadata.name").to_owned();
        if !errors.is_empty() {
            return Err(Status::invalid(&storage.group, &storage.kind, &name, error::causes(&errors)));
        }
        attributes.name = name;
        attributes.warnings.extend((strategy.warnings)((&attributes.object, None)));
        attributes.warnings.extend(custom::warnings(&storage, &attributes.object, None));
        admission::validate(self, &mut attributes).await?;
        // The charge is underway until the object is written.
        let Attributes { mut object, owners, warnings, charge: _charge, .. } = attributes;
        if let Some(custom) = &storage.custom {
            // What was taken out of it may have a default, which whoever reads the object again finds: a status.
            custom.schema().fill_in(&mut object);
        }
        let owners = Owners { text: owners.new.as_ref().map_or_else(Vec::new, ownership::write), needed: false };
        // Upstream's store complains of it, when all is well otherwise; a dry run does not get there.
        if version != 0 && !options.dry_run {
            return Err(Status::failure(500, "", "resourceVersion should not be set on objects to be created"));
        }
        let mut attempt = 1;
        let taken = loop {
            if options.dry_run {
                match self.current(&storage, &request.namespace, object.text("metadata.name")).await? {
                    None => {
                        let made = custom::would_be(&storage, &object, &owners).await?.at_revision(version);
                        return Ok((Arc::new(made), warnings));
                    }
                    Some(there) => break Some(there),
                }
            }
            hold.iter_mut().for_each(Hold::begin);
            match self.put(&storage, &object, &owners, Expect::Absent).await? {
                Ok(created) => {
                    if let Some(hold) = hold {
                        hold.keep();
                    }
                    return Ok((created, warnings));
                }
                Err(_) if generate && attempt < ATTEMPTS => {
                    let name = metadata::generate(object.text("metadata.generateName"));
                    object.put("metadata.name", name);
                    attempt += 1;
                }
                Err(taken) => break taken,
            }
        };
        hold.iter_mut().for_each(Hold::fail);
        let mut status = Status::already_exists(&storage.group, &storage.plural, object.text("metadata.name"));
        // Also of who gave both, as upstream does.
        if !object.text("metadata.generateName").is_empty() {
            status.message.push_str(", the server was not able to generate a unique name for the object");
            status.details.get_or_insert_default().retry_after_seconds = 1;
        }
        if taken.is_some_and(|taken| taken.value.at("metadata.deletionTimestamp").is_some()) {
            status.message.insert_str(0, "object is being deleted: ");
        }
        Err(status)
    }
}
