//! Who owns the fields of an object after a write through the registry: see [`api::apply`].

mod conversion;
mod resets;
mod scale;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use api::apply::{self, Kind, Reset, Unconverted};
use api::managed_fields::{ManagedFields, Manager, Operation};
use api::shape::{Form, Shape};
use api::validation::field::{ErrorList, Path};
use api::validation::validate_managed_fields;
use api::{Resource, WriteOptions, resource, schema};
use jiff::Timestamp;
use serde_json::Value;

use super::part::Part;
use super::versions;
use crate::tree::Tree;

/// The version of scales.
const SCALE: &str = "autoscaling/v1";

/// A kind as one part of its objects is written at one version.
pub(super) struct Written {
    resource: Arc<Resource>,
    part: Part,
    reset: Reset,
    /// Whether a client said who owns what, and may have said it of fields that are nobody's in this way.
    told: bool,
    /// What a webhook has said so far of objects at other versions.
    answers: Vec<conversion::Answer>,
}

impl Written {
    /// The kind that the row's requests are about.
    pub(super) fn new(resource: &Arc<Resource>, part: Part) -> Self {
        let (reset, resource) = (resets::of(resource, part), resource.clone());
        Self { resource, part, reset, told: false, answers: Vec::new() }
    }

    /// The version that bodies have.
    fn version(&self) -> String {
        match self.part {
            Part::Scale => SCALE.to_owned(),
            _ => self.resource.api_version(),
        }
    }

    /// The row of another version of the same kind.
    fn row(&self, version: &str) -> Option<&'static Arc<Resource>> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let row = resource::find(group, version, &self.resource.plural)?;
        (row.storage().store_prefix() == self.resource.storage().store_prefix()).then_some(row)
    }

    /// What the objects are made of at a version, whatever part is written.
    fn object_form(&self, version: &str) -> Option<Form<'_>> {
        if !self.resource.builtin {
            return self.custom_shape(version).map(Shape::form);
        }
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        if version != self.resource.api_version() && self.row(version).is_none() {
            return None;
        }
        schema::for_kind(group, number, &self.resource.kind).map(Form::of_message)
    }

    /// A manager of the kind.
    pub(super) fn manager(&self, options: &WriteOptions, subresource: &str, operation: Operation) -> Manager {
        manager_of(options, &self.version(), subresource, operation)
    }

    /// A stored object as it is seen through the part, at the row's version.
    fn seen<'v>(&self, stored: &'v Value) -> Cow<'v, Value> {
        match self.part {
            Part::Scale => Cow::Owned(self.part.show(&self.resource, stored.clone())),
            _ if self.resource.stored_as.is_some() => {
                Cow::Owned(versions::from_storage(&self.resource, stored.clone()))
            }
            _ => Cow::Borrowed(stored),
        }
    }

    /// Who owns what of a new object. `sent` is what the client said of that.
    pub(super) async fn of_new(
        mut self,
        object: &Value,
        options: &WriteOptions,
        sent: Option<&Value>,
    ) -> ManagedFields {
        let nothing = Value::Object(serde_json::Map::new());
        let manager = self.manager(options, "", Operation::Update);
        let before = self.before(sent, ManagedFields::default);
        let new = self.seen(object);
        self.track(before, &nothing, &new, manager).await
    }

    /// Who owns what after a change of the stored object `old` into `new`. `current` is what the object says of that now,
    /// and `sent` what the client said.
    pub(super) async fn of_change(
        mut self,
        current: Option<&str>,
        sent: Option<&Value>,
        (old, new): (&Value, &Value),
        options: &WriteOptions,
        subresource: &str,
    ) -> ManagedFields {
        let manager = self.manager(options, subresource, Operation::Update);
        let current = || read(current);
        if self.part == Part::Scale {
            let whole = current();
            let before = self.scale_owners(&whole);
            // As upstream: what nobody owns stays nobody's, until somebody applies.
            if before.is_empty() {
                return whole;
            }
            let (old, new) = (self.seen(old), self.seen(new));
            let scaled = self.track(before, &old, &new, manager).await;
            return self.owners_after_scale(whole, scaled);
        }
        // Through a subresource nobody says who owns what.
        let before = self.before(sent.filter(|_| self.part == Part::Main), current);
        // Nobody is recorded; only an apply changes that.
        if before.is_empty() {
            return before;
        }
        let (old, new) = (self.seen(old), self.seen(new));
        self.track(before, &old, &new, manager).await
    }

    /// What to begin with: what the client says, if that can be read and says something.
    fn before(&mut self, sent: Option<&Value>, current: impl Fn() -> ManagedFields) -> ManagedFields {
        let Some(sent) = sent else { return current() };
        if ManagedFields::is_reset(sent, self.resource.builtin) {
            return ManagedFields::default();
        }
        let current = current();
        match ManagedFields::from_value(sent, &current) {
            Ok(managed) if !managed.is_empty() => {
                self.told = !managed.same_but_times(&current);
                managed
            }
            _ => current,
        }
    }

    async fn track(&mut self, before: ManagedFields, old: &Value, new: &Value, manager: Manager) -> ManagedFields {
        let (mut managed, now) = (before, Timestamp::now());
        let track = |written: &Self| apply::track(&mut managed, written, old, new, manager.clone(), now);
        let error: Box<dyn std::error::Error + Send> = match self.with_answers(track).await {
            Ok(Ok(())) => return managed,
            Ok(Err(error)) => Box::new(error),
            Err(status) => Box::new(status),
        };
        // As upstream: nobody is better than somebody wrong.
        tracing::warn!(%error, kind = &*self.resource.kind, name = new.text("metadata.name"), "owners are lost");
        ManagedFields::default()
    }
}

/// Who owns what of a `TokenRequest`, which is no kind with objects of its own.
pub(crate) fn of_token_request(body: &Value, options: &WriteOptions) -> ManagedFields {
    const VERSION: &str = "authentication.k8s.io/v1";
    struct Requests(&'static schema::Message);
    impl Kind for Requests {
        fn form(&self, version: &str) -> Option<Form<'_>> {
            (version == VERSION).then(|| Form::of_message(self.0))
        }
        fn convert(&self, _object: &Value, _from: &str, _to: &str) -> Result<Value, Unconverted> {
            Err(Unconverted::NoVersion)
        }
        fn reset(&self, _version: &str) -> &Reset {
            &Reset::Nothing
        }
        fn may_have_changed(&self) -> bool {
            false
        }
    }
    let mut managed = ManagedFields::default();
    let Some(message) = schema::message("authentication/v1.TokenRequest") else { return managed };
    let (nothing, manager) =
        (Value::Object(serde_json::Map::new()), manager_of(options, VERSION, "token", Operation::Update));
    // What cannot be told is nobody's.
    let _ = apply::track(&mut managed, &Requests(message), &nothing, body, manager, Timestamp::now());
    managed
}

/// The manager that writes through a subresource.
fn manager_of(options: &WriteOptions, version: &str, subresource: &str, operation: Operation) -> Manager {
    let names = [&options.field_manager, &options.agent];
    let name = names.into_iter().find(|name| !name.is_empty()).map_or("unknown", String::as_str);
    Manager { name: name.into(), operation, api_version: version.into(), subresource: subresource.into() }
}

/// The managed fields of a stored object; none when they cannot be read.
pub(super) fn read(text: Option<&str>) -> ManagedFields {
    text.and_then(|text| ManagedFields::parse(text).ok()).unwrap_or_default()
}

/// As they are stored; nothing when there are none.
pub(super) fn write(managed: &ManagedFields) -> Vec<u8> {
    let mut text = Vec::new();
    if !managed.is_empty() {
        managed.write_json(&mut text);
    }
    text
}

/// Complaints about who owns what.
pub(super) fn validate(managed: Option<&ManagedFields>) -> ErrorList {
    let path = Path::root("metadata").child("managedFields");
    managed.map(|managed| validate_managed_fields(managed, &path)).unwrap_or_default()
}

impl Written {
    /// What the objects of a custom kind are made of at a version. Of a kind without a definition nothing is known.
    fn custom_shape(&self, version: &str) -> Option<&Shape> {
        static DEDUCED: LazyLock<Shape> = LazyLock::new(|| Shape::from_open_api(&Value::Null));
        let (group, number) = version.split_once('/').unwrap_or(("", version));
        match &self.resource.custom {
            _ if group != &*self.resource.group => None,
            Some(custom) => custom.definition.shape(number),
            None => (*number == *self.resource.version).then_some(&DEDUCED),
        }
    }
}

impl Kind for Written {
    fn form(&self, version: &str) -> Option<Form<'_>> {
        match self.part {
            Part::Scale if version == SCALE => schema::message("autoscaling/v1.Scale").map(Form::of_message),
            Part::Scale => None,
            _ => self.object_form(version),
        }
    }

    fn convert(&self, object: &Value, from: &str, to: &str) -> Result<Value, Unconverted> {
        if self.part == Part::Scale {
            return Err(Unconverted::NoVersion);
        }
        if let Some(custom) = &self.resource.custom {
            return self.convert_custom(custom, object, from, to);
        }
        let (Some(from), Some(to)) = (self.row(from), self.row(to)) else { return Err(Unconverted::NoVersion) };
        Ok(versions::from_storage(to, versions::into_storage(from, object.clone())))
    }

    fn reset(&self, version: &str) -> &Reset {
        // As upstream, where the versions of a custom kind know of their own alone.
        let all = self.resource.builtin || self.part != Part::Main;
        if all || version == self.version() { &self.reset } else { &Reset::Nothing }
    }

    fn may_have_changed(&self) -> bool {
        (!self.resource.builtin || self.told) && self.part != Part::Scale
    }
}
