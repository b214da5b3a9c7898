//! What is about to be written, as those see it who admit it from outside: at the version they ask for, in the form clients
//! get, or the sub-object where a subresource has one.

use std::sync::Arc;

use api::{Object, Operation, Request, Resource, Status, prune, schema};
use serde_json::Value;

use super::intake::{self, lenient};
use super::part::Part;
use super::{Registry, custom, versions, write};
use crate::admission::{Attributes, Verb};

/// A cached object as clients of the row see it.
pub(crate) async fn show_value(row: &Arc<Resource>, object: &Arc<Object>) -> Result<Value, Status> {
    let shown = versions::show(row, object.clone()).await?;
    serde_json::from_slice(&shown.to_json()).map_err(Status::internal)
}

impl Registry {
    /// An object of a write (the new or the old one) as `row` shows it. Null stays null. Fails only where the objects of a
    /// custom kind cannot be converted.
    pub(crate) async fn show_admitted(
        &self,
        attributes: &Attributes,
        row: &Arc<Resource>,
        object: &Value,
    ) -> Result<Value, Status> {
        let Some(part) = own_part(attributes).filter(|_| !object.is_null()) else { return Ok(object.clone()) };
        let mut whole = object.clone();
        write::canonical(&mut whole, &attributes.resource);
        let whole = custom::converted(&attributes.resource, row, whole).await?;
        Ok(part.show(row, versions::from_storage(row, whole)))
    }

    /// The new and the old object of a write, with their managed fields, as `row` shows them.
    pub(crate) async fn show_both(
        &self,
        attributes: &Attributes,
        row: &Arc<Resource>,
    ) -> Result<(Value, Value), Status> {
        let new = self.show_admitted(attributes, row, &attributes.whole()).await?;
        Ok((new, self.show_admitted(attributes, row, &attributes.whole_old()).await?))
    }

    /// The new object of a write after somebody changed it as `row` shows it: pruned, defaulted, in stored form. Its managed
    /// fields are still there: see [`Attributes::put_whole`].
    pub(crate) async fn take_admitted(
        &self,
        attributes: &Attributes,
        row: &Arc<Resource>,
        mut changed: Value,
    ) -> Result<Value, Status> {
        let Some(part) = own_part(attributes) else {
            intake::decode_apart(row, &attributes.subresource, &mut changed)?;
            return Ok(changed);
        };
        let object = self.decode(row, part, changed, &lenient(), &mut Vec::new())?;
        match part {
            Part::Scale => part.merge(&attributes.resource, object, &attributes.old),
            _ => custom::converted(row, &attributes.resource, object).await,
        }
    }

    /// The body of a request once it is read: the fields that the kind has, with defaults, in the row's form. `None` where it
    /// cannot be read.
    pub(crate) fn as_read(&self, request: &Request, mut body: Value) -> Option<Value> {
        let row = &request.resource;
        let apart = matches!(request.operation, Operation::Create(..)) && !request.subresource.is_empty();
        let Some(part) = Part::of(row, &request.subresource).filter(|_| !apart) else {
            intake::decode_apart(row, &request.subresource, &mut body).ok()?;
            let (group, version, kind) = intake::kind_apart(row, &request.subresource);
            if let Some(message) = schema::for_kind(group, version, kind) {
                prune::canonical(&mut body, message);
            }
            return Some(body);
        };
        let mut object = self.decode(row, part, body, &lenient(), &mut Vec::new()).ok()?;
        if part == Part::Scale {
            return Some(object);
        }
        write::canonical(&mut object, &row.storage());
        Some(versions::from_storage(row, object))
    }
}

/// The part of a stored object that the write is about; `None` where it is about a sub-object of its own kind.
fn own_part(attributes: &Attributes) -> Option<Part> {
    let apart = match attributes.verb {
        Verb::Connect => true,
        Verb::Create => !attributes.subresource.is_empty() || !attributes.resource.stored,
        Verb::Update | Verb::Delete => false,
    };
    if apart { None } else { Part::of(&attributes.resource, &attributes.subresource) }
}
