//! Which volume suits which claim.

use api::quantity::Quantity;
use api::selector::LabelSelector;
use api::tree::Tree;
use serde_json::Value;

/// The class annotation of old, which still counts.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// An annotation of an object.
pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.at("metadata.annotations")?.get(name)?.as_str()
}

/// The storage class of a claim or volume; empty for none.
pub(super) fn class(object: &Value) -> &str {
    annotation(object, BETA_CLASS).unwrap_or_else(|| object.text("spec.storageClassName"))
}

/// The namespace and name of the claim a volume is reserved for or bound to.
pub(super) fn claim_of(volume: &Value) -> Option<(&str, &str)> {
    let claim = volume.at("spec.claimRef")?;
    Some((claim.text("namespace"), claim.text("name")))
}

/// Whether a volume is bound to, or reserved for, this claim.
pub(super) fn is_for(volume: &Value, claim: &Value) -> bool {
    let named = claim_of(volume) == Some((claim.text("metadata.namespace"), claim.text("metadata.name")));
    let uid = volume.text("spec.claimRef.uid");
    named && (uid.is_empty() || uid == claim.text("metadata.uid"))
}

/// How much a claim asks for.
fn asked(claim: &Value) -> Quantity {
    claim.at("spec.resources.requests.storage").and_then(|size| Quantity::from_json(size).ok()).unwrap_or_default()
}

/// How much a volume has.
fn capacity(volume: &Value) -> Quantity {
    volume.at("spec.capacity.storage").and_then(|size| Quantity::from_json(size).ok()).unwrap_or_default()
}

fn mode(object: &Value) -> &str {
    match object.text("spec.volumeMode") {
        "" => "Filesystem",
        mode => mode,
    }
}

/// Whether a volume that a claim names may be bound to it: size, modes and kind of use.
pub(super) fn suits(volume: &Value, claim: &Value) -> bool {
    let modes = volume.items("spec.accessModes");
    mode(volume) == mode(claim)
        && capacity(volume) >= asked(claim)
        && claim.items("spec.accessModes").iter().all(|mode| modes.contains(mode))
}

/// The volume for a claim: one reserved for it, else the smallest that is free and suits.
pub(super) fn choose<'a>(volumes: &'a [Value], claim: &Value) -> Option<&'a Value> {
    let candidates = volumes.iter().filter(|v| v.at("metadata.deletionTimestamp").is_none() && suits(v, claim));
    let mut best: Option<(&Value, Quantity)> = None;
    let selector = claim.at("spec.selector").map(|selector| LabelSelector::from_object(Some(selector)));
    for volume in candidates.filter(|volume| class(volume) == class(claim)) {
        if is_for(volume, claim) {
            return Some(volume);
        }
        let taken = volume.at("spec.claimRef").is_some() || volume.text("status.phase") != "Available";
        let selected = match &selector {
            None => true,
            Some(Ok(selector)) => volume
                .at("metadata.labels")
                .and_then(Value::as_object)
                .map_or_else(|| selector.matches(&serde_json::Map::new()), |labels| selector.matches(labels)),
            Some(Err(_)) => false,
        };
        let size = capacity(volume);
        if !taken && selected && best.as_ref().is_none_or(|(_, smallest)| size < *smallest) {
            best = Some((volume, size));
        }
    }
    best.map(|(volume, _)| volume)
}
