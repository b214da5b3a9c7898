//! Rows that show another row's objects, converted at the edge: on the way in before anything looks at the object, on the
//! way out after everything did.

mod autoscaling;
mod events;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{Object, Resource, Status};
pub(crate) use autoscaling::into_v2 as autoscaler_into_v2;
use serde_json::Value;

/// The object in the form in which its row stores it.
pub(crate) fn into_storage(resource: &Resource, mut value: Value) -> Value {
    if let Some((group, version, _)) = resource.stored_as {
        match &*resource.group {
            "events.k8s.io" => events::into_core(&mut value),
            "autoscaling" => autoscaling::into_v2(&mut value),
            _ => {}
        }
        set_version(&mut value, group, version);
    }
    value
}

/// The object in the form that the row shows.
pub(crate) fn from_storage(resource: &Resource, mut value: Value) -> Value {
    if resource.stored_as.is_some() {
        match &*resource.group {
            "events.k8s.io" => events::from_core(&mut value),
            "autoscaling" => autoscaling::from_v2(&mut value),
            _ => {}
        }
        set_version(&mut value, &resource.group, &resource.version);
    }
    value
}

/// A stored object as the row shows it; the very same one unless the row shows another row's objects, or those of another
/// version.
pub(crate) async fn show(resource: &Resource, object: Arc<Object>) -> Result<Arc<Object>, Status> {
    let mut shown = show_all(resource, vec![object]).await?;
    shown.pop().ok_or_else(|| Status::internal("an object was lost in its conversion"))
}

/// As [`show`], for many objects at once.
pub(crate) async fn show_all(resource: &Resource, objects: Vec<Arc<Object>>) -> Result<Vec<Arc<Object>>, Status> {
    if resource.custom.is_some() {
        return super::custom::shown(resource, objects).await;
    }
    if resource.stored_as.is_none() {
        return Ok(objects);
    }
    objects.into_iter().map(|object| of_another_row(resource, object)).collect()
}

fn of_another_row(resource: &Resource, object: Arc<Object>) -> Result<Arc<Object>, Status> {
    let shown = object
        .to_value()
        .and_then(|value| Object::encode(&from_storage(resource, value), object.meta.resource_version, resource));
    match shown {
        Ok(mut shown) => {
            // Selectors name the same fields at every version, and were read from the stored form.
            shown.meta.fields = object.meta.fields.clone();
            Ok(Arc::new(shown))
        }
        Err(error) => {
            tracing::error!(%error, object = object.meta.key(), "an object cannot be converted");
            Err(Status::internal("the object cannot be converted to the requested version"))
        }
    }
}

fn set_version(value: &mut Value, group: &str, version: &str) {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    if let Some(object) = value.as_object_mut() {
        object.insert("apiVersion".into(), api_version.into());
    }
}

/// Moves members of an object to other names; absent ones stay absent.
fn rename(value: &mut Value, names: &[(&str, &str)]) {
    let Some(object) = value.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(member) = object.shift_remove(*from) {
            object.insert((*to).into(), member);
        }
    }
}
