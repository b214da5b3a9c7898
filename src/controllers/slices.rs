//! What the endpointslice and endpointslicemirroring controllers share: finding a service's slices and writing them.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::{DeleteOptions, Object, Patch};
use client::Client;
use client::controller::{Error, Keys};
use client::kinds;
use serde_json::json;
use watch_cache::{Cache, Change};

use crate::Setup;
use crate::expectations::{seen, seen_deleted};
use crate::ownership::Owner;
pub(crate) use plan::{Desired, Group};
use plan::{Existing, Step, steps};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// The slices that one controller keeps, known by the label that names it.
pub(crate) struct Slices {
    client: Client,
    cache: Arc<Cache>,
    controller: &'static str,
}

impl Slices {
    /// The slices labelled as this controller's.
    pub(crate) fn of(setup: &Setup, controller: &'static str) -> Self {
        Self { client: setup.client.clone(), cache: setup.client.cache(&kinds::endpoint_slices()), controller }
    }

    /// Adds the services that a changed slice is for, or was before the change.
    pub(crate) fn services_of(&self, change: &Change, keys: &mut Keys<'_>) {
        let services = |slice: &Object| {
            let labels = &slice.meta.labels;
            let ours = labels.get(MANAGED_BY) == Some(self.controller);
            labels.get(SERVICE_NAME).filter(|_| ours).map(str::to_owned)
        };
        for slice in [Some(&change.object), change.previous.as_ref()].into_iter().flatten() {
            if let Some(service) = services(slice) {
                keys.named(&slice.meta.namespace, &service);
            }
        }
    }

    /// Makes the slices of a service what they shall be. The owner has the service's name.
    pub(crate) async fn keep(&self, owner: Owner<'_>, mut desired: Desired) -> Result<(), Error> {
        let (namespace, service) = (&owner.object.meta.namespace, &owner.object.meta.name);
        desired.labels.insert(SERVICE_NAME.into(), service.to_string().into());
        desired.labels.insert(MANAGED_BY.into(), self.controller.into());
        let existing = self.existing(namespace, service).map(Existing::read).collect::<Result<Vec<_>, _>>()?;
        let metadata = desired.metadata(owner);
        for step in steps(desired, &owner.object.meta.uid, &metadata, &existing) {
            self.act(owner, step).await?;
        }
        Ok(())
    }

    /// Deletes the slices of a service.
    pub(crate) async fn delete(&self, namespace: &str, service: &str) -> Result<(), Error> {
        for slice in self.existing(namespace, service) {
            self.delete_one(&slice).await?;
        }
        Ok(())
    }

    fn existing(&self, namespace: &str, service: &str) -> impl Iterator<Item = Arc<Object>> {
        self.cache.list(namespace).into_iter().filter(move |slice| {
            slice.meta.labels.get(SERVICE_NAME) == Some(service)
                && slice.meta.labels.get(MANAGED_BY) == Some(self.controller)
                && !slice.meta.is_deleting()
        })
    }

    async fn act(&self, owner: Owner<'_>, step: Step) -> Result<(), Error> {
        let (kind, namespace) = (kinds::endpoint_slices(), &owner.object.meta.namespace);
        match step {
            // What goes away needs no more slices.
            Step::Create { .. } if owner.object.meta.is_deleting() => {}
            Step::Create { address_type, endpoints, ports, mut metadata } => {
                metadata.insert("generateName".into(), format!("{}-", owner.object.meta.name).into());
                metadata.insert("namespace".into(), namespace.to_string().into());
                let slice = json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata,
                    "addressType": address_type, "endpoints": endpoints, "ports": ports,
                });
                let made = self.client.create(&kind, namespace, slice).await?;
                seen(&self.cache, &made).await;
            }
            Step::Change { slice, endpoints, ports, mut metadata } => {
                metadata.insert("uid".into(), slice.meta.uid.to_string().into());
                let mut patch = json!({"metadata": metadata, "endpoints": endpoints});
                if let Some(ports) = ports {
                    patch["ports"] = ports;
                }
                let written = self.client.patch(&kind, namespace, &slice.meta.name, "", Patch::Merge(patch)).await?;
                seen(&self.cache, &written).await;
            }
            Step::Delete { slice } => self.delete_one(&slice).await?,
        }
        Ok(())
    }

    async fn delete_one(&self, slice: &Object) -> Result<(), Error> {
        let (kind, namespace) = (kinds::endpoint_slices(), &slice.meta.namespace);
        let options = DeleteOptions { uid: Some(slice.meta.uid.to_string()), ..DeleteOptions::default() };
        match self.client.delete(&kind, namespace, &slice.meta.name, options).await {
            Ok(()) => seen_deleted(&self.cache, slice).await,
            Err(status) if status.is_not_found() => {}
            Err(status) => return Err(status.into()),
        }
        Ok(())
    }
}
