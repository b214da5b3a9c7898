//! Devices are used with the rights of an administrator only in namespaces that say so.

use api::validation::field::{Error, ErrorList};
use api::{Resource, Status};
use serde_json::Value;

use super::Registry;
use crate::strategy;

/// The label that says so.
const LABEL: &str = "resource.kubernetes.io/admin-access";

impl Registry {
    /// Complains about a new claim or template, or a claim that has got its devices (new, old), in a namespace that does not
    /// let its devices be used so.
    pub(super) async fn check_admin_access(
        &self,
        resource: &Resource,
        namespace: &str,
        new: &Value,
        old: Option<&Value>,
        errors: &mut ErrorList,
    ) -> Result<(), Status> {
        if &*resource.group != "resource.k8s.io" {
            return Ok(());
        }
        let Some(path) = strategy::admin_access(new, old) else { return Ok(()) };
        match self.namespace_now(namespace).await? {
            Some(found) if found.meta.labels.get(LABEL).is_some_and(|value| *value == *"true") => {}
            Some(_) => {
                let why =
                    format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
                errors.push(Error::forbidden(&path, why));
            }
            None => {
                let missing = Status::not_found("", "namespaces", namespace).message;
                let why = format!("could not retrieve namespace to verify admin access: {missing}");
                errors.push(Error::internal(&path, why));
            }
        }
        Ok(())
    }
}
