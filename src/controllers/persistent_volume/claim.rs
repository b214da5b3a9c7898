//! One claim: finding it a volume, or somebody who makes one.

use std::sync::Arc;

use api::Object;
use api::tree::Tree;
use client::controller::{Outcome, Result};
use client::events::EventType;
use serde_json::{Value, json};

use super::{BETA_PROVISIONER, BIND_COMPLETED, BOUND_BY_US, Binder, PROVISIONER, SELECTED_NODE, plan};

const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

impl Binder {
    pub(super) async fn sync_claim(&self, key: &str) -> Result {
        let Some(claim) = self.claims.get_key(key) else { return Ok(Outcome::Done) };
        let tree = claim.to_value()?;
        if plan::annotation(&tree, BIND_COMPLETED).is_some() {
            return self.sync_bound(claim, &tree).await;
        }
        if claim.meta.is_deleting() {
            return Ok(Outcome::Done);
        }
        let name = tree.text("spec.volumeName");
        if !name.is_empty() {
            return match self.volumes.get("", name) {
                Some(volume) => self.bind_named(&claim, &tree, &volume).await,
                None => self.wait(claim).await,
            };
        }
        let volumes: std::result::Result<Vec<Value>, _> = self.volumes.list("").iter().map(|v| v.to_value()).collect();
        let volumes = volumes?;
        let chosen = plan::choose(&volumes, &tree);
        let delayed = self.waits_for_consumer(&tree)?;
        let reserved = chosen.is_some_and(|volume| plan::is_for(volume, &tree));
        match chosen.and_then(|volume| self.volumes.get("", volume.text("metadata.name"))) {
            // With delayed binding the scheduler chooses, and reserves what it chose.
            Some(volume) if reserved || !delayed => self.bind(&claim, &tree, &volume).await,
            _ if delayed => {
                let why = "waiting for first consumer to be created before binding";
                self.event(&self.claims, &claim, EventType::Normal, "WaitForFirstConsumer", why);
                self.wait(claim).await
            }
            _ => self.ask_provisioner(claim, &tree).await,
        }
    }

    /// Whether a claim's class leaves the choice to the scheduler, which has not chosen yet.
    fn waits_for_consumer(&self, claim: &Value) -> std::result::Result<bool, api::ObjectError> {
        if plan::annotation(claim, SELECTED_NODE).is_some() {
            return Ok(false);
        }
        let class = self.classes.get("", plan::class(claim)).map(|class| class.to_value()).transpose()?;
        Ok(class.is_some_and(|class| class.text("volumeBindingMode") == "WaitForFirstConsumer"))
    }

    async fn ask_provisioner(&self, claim: Arc<Object>, tree: &Value) -> Result {
        let class = plan::class(tree);
        let found = self.classes.get("", class).map(|class| class.to_value()).transpose()?;
        let provisioner = found.as_ref().map(|class| class.text("provisioner")).unwrap_or_default();
        if class.is_empty() || provisioner == NO_PROVISIONER {
            let why = "no persistent volumes available for this claim and no storage class is set";
            self.event(&self.claims, &claim, EventType::Normal, "FailedBinding", why);
            return self.wait(claim).await;
        }
        if provisioner.is_empty() {
            let why = format!("storageclass.storage.k8s.io \"{class}\" not found");
            self.event(&self.claims, &claim, EventType::Warning, "ProvisioningFailed", why);
            return self.wait(claim).await;
        }
        let mut claim = claim;
        if plan::annotation(tree, PROVISIONER) != Some(provisioner) {
            let annotations = json!({ PROVISIONER: provisioner, BETA_PROVISIONER: provisioner });
            claim = self.patch(&self.claims, &claim, "", json!({ "metadata": { "annotations": annotations } })).await?;
        }
        let why = format!(
            "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        );
        self.event(&self.claims, &claim, EventType::Normal, "ExternalProvisioning", why);
        self.wait(claim).await
    }

    async fn wait(&self, claim: Arc<Object>) -> Result {
        self.set_phase(&self.claims, claim, json!({ "phase": "Pending" })).await?;
        Ok(Outcome::Done)
    }

    /// A claim that names its volume: bound if the volume is free or reserved for it.
    async fn bind_named(&self, claim: &Arc<Object>, tree: &Value, volume: &Arc<Object>) -> Result {
        let volume_tree = volume.to_value()?;
        let free = volume_tree.at("spec.claimRef").is_none();
        if !free && !plan::is_for(&volume_tree, tree) {
            return self.wait(claim.clone()).await;
        }
        if free && !(plan::suits(&volume_tree, tree) && plan::class(&volume_tree) == plan::class(tree)) {
            let why = format!("Cannot bind to requested volume \"{}\": it does not fit the claim", volume.meta.name);
            self.event(&self.claims, claim, EventType::Warning, "VolumeMismatch", why);
            return self.wait(claim.clone()).await;
        }
        self.bind(claim, tree, volume).await
    }

    /// Writes both sides: the volume first, which takes it from everybody else.
    async fn bind(&self, claim: &Arc<Object>, tree: &Value, volume: &Arc<Object>) -> Result {
        let volume_tree = volume.to_value()?;
        let mut volume = volume.clone();
        if volume_tree.text("spec.claimRef.uid") != &*claim.meta.uid {
            let reference = json!({
                "kind": "PersistentVolumeClaim", "apiVersion": "v1",
                "namespace": claim.meta.namespace, "name": claim.meta.name, "uid": claim.meta.uid,
                "resourceVersion": claim.meta.resource_version.to_string(),
            });
            let mut patch = json!({ "spec": { "claimRef": reference } });
            if volume_tree.at("spec.claimRef").is_none() {
                patch["metadata"]["annotations"] = json!({ BOUND_BY_US: "yes" });
            }
            volume = self.patch(&self.volumes, &volume, "", patch).await?;
        }
        let volume = self.set_phase(&self.volumes, volume, json!({ "phase": "Bound" })).await?;
        let mut annotations = json!({ BIND_COMPLETED: "yes" });
        if tree.text("spec.volumeName").is_empty() {
            annotations[BOUND_BY_US] = "yes".into();
        }
        let patch = json!({ "metadata": { "annotations": annotations }, "spec": { "volumeName": volume.meta.name } });
        let claim = self.patch(&self.claims, claim, "", patch).await?;
        self.show_bound(claim, &volume).await?;
        tracing::info!(volume = &*volume.meta.name, "volume and claim are bound");
        Ok(Outcome::Done)
    }

    async fn show_bound(&self, claim: Arc<Object>, volume: &Object) -> Result {
        let (volume, tree) = (volume.to_value()?, claim.to_value()?);
        let mut status = json!({ "phase": "Bound", "accessModes": volume["spec"]["accessModes"] });
        // Later the capacity is the resizer's to tell.
        if tree["status"]["phase"] != "Bound" {
            status["capacity"] = volume["spec"]["capacity"].clone();
        }
        self.set_phase(&self.claims, claim, status).await?;
        Ok(Outcome::Done)
    }

    /// A claim that was bound: its volume must still be there and still be its own.
    async fn sync_bound(&self, claim: Arc<Object>, tree: &Value) -> Result {
        let lost = |reason: &'static str, why: &'static str| (reason, why);
        let (reason, why) = match self.volumes.get("", tree.text("spec.volumeName")) {
            None => lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"),
            Some(volume) => {
                let volume_tree = volume.to_value()?;
                if volume_tree.at("spec.claimRef").is_none() {
                    return self.bind(&claim, tree, &volume).await;
                }
                if volume_tree.text("spec.claimRef.uid") == &*claim.meta.uid {
                    return self.show_bound(claim, &volume).await;
                }
                let why = "Two claims are bound to the same volume, this one is bound incorrectly";
                lost("ClaimMisbound", why)
            }
        };
        if tree["status"]["phase"] != "Lost" {
            self.event(&self.claims, &claim, EventType::Warning, reason, why);
            self.set_phase(&self.claims, claim, json!({ "phase": "Lost" })).await?;
        }
        Ok(Outcome::Done)
    }
}
