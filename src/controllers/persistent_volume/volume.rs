//! One volume: its phase follows from the claim it names.

use api::meta::key;
use api::tree::Tree;
use client::controller::{Outcome, Result};
use serde_json::{Value, json};

use super::{BOUND_BY_US, Binder, plan};

impl Binder {
    pub(super) async fn sync_volume(&self, name: &str) -> Result {
        let Some(volume) = self.volumes.get("", name) else { return Ok(Outcome::Done) };
        let tree = volume.to_value()?;
        let reserved = tree.text("spec.claimRef.uid").is_empty();
        let Some((namespace, claim)) = plan::claim_of(&tree).filter(|_| !reserved) else {
            // Free, or kept for a claim that is still to be bound: the claim's own turn does that.
            self.set_phase(&self.volumes, volume, json!({ "phase": "Available" })).await?;
            return Ok(Outcome::Done);
        };
        let found = self.claims.get_key(&key(namespace, claim));
        let found = found.filter(|claim| *claim.meta.uid == *tree.text("spec.claimRef.uid"));
        let Some(claim) = found else { return self.release(name, &tree, namespace, claim).await };
        let bound_to = claim.to_value()?;
        let bound_to = bound_to.text("spec.volumeName");
        if bound_to == name {
            self.set_phase(&self.volumes, volume, json!({ "phase": "Bound" })).await?;
        } else if !bound_to.is_empty() && plan::annotation(&tree, BOUND_BY_US).is_some() {
            // The claim has another volume: this one was taken for it in vain.
            let undo = json!({ "metadata": { "annotations": { BOUND_BY_US: null } }, "spec": { "claimRef": null } });
            let volume = self.patch(&self.volumes, &volume, "", undo).await?;
            self.set_phase(&self.volumes, volume, json!({ "phase": "Available" })).await?;
        }
        Ok(Outcome::Done)
    }

    /// The claim is gone. What is stored stays, until an administrator, or the provisioner that made it, removes it.
    async fn release(&self, name: &str, tree: &Value, namespace: &str, claim: &str) -> Result {
        // The cache may lag behind a claim that was just made and bound.
        match self.client.get(self.claims.resource(), namespace, claim).await {
            Ok(found) if *found.meta.uid == *tree.text("spec.claimRef.uid") => return Ok(Outcome::Done),
            Err(status) if !status.is_not_found() => return Err(status.into()),
            _ => {}
        }
        if let Some(volume) = self.volumes.get("", name)
            && !matches!(tree.text("status.phase"), "Released" | "Failed")
        {
            self.set_phase(&self.volumes, volume, json!({ "phase": "Released" })).await?;
            tracing::info!(volume = name, "volume is released");
        }
        Ok(Outcome::Done)
    }
}
