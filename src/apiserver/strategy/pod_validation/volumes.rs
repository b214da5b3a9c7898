//! The volumes of a pod.

use std::collections::{HashMap, HashSet};

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, dns1123_subdomain};
use serde_json::Value;

use super::env::{IN_FILES, field_ref, resource_field_ref};
use super::volume_sources;
use crate::strategy::at::{At, Rule};
use crate::strategy::storage;

/// Checks the volumes; returns those that are sound, by name. `pod` is the name of the pod, if it has one yet.
pub(super) fn validate<'v>(spec: &At<'_, 'v>, pod: &str, errors: &mut ErrorList) -> HashMap<&'v str, &'v Value> {
    let mut sound = HashMap::new();
    let made: HashSet<String> = spec
        .items("volumes")
        .iter()
        .filter(|volume| !pod.is_empty() && volume.get("ephemeral").is_some())
        .map(|volume| format!("{pod}-{}", volume["name"].as_str().unwrap_or_default()))
        .collect();
    for volume in spec.each("volumes") {
        let before = errors.len();
        source(&volume, pod, errors);
        let name = volume.get("name");
        match name.str() {
            "" => name.required(errors, ""),
            text => name.complain(errors, dns1123_label(text)),
        }
        if sound.contains_key(name.str()) {
            name.duplicate(errors);
        }
        if errors.len() == before {
            sound.insert(name.str(), volume.value());
        }
        let claim = volume.get("persistentVolumeClaim.claimName");
        if claim.is_set() && made.contains(claim.str()) {
            claim.invalid(errors, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    sound
}

fn source(volume: &At, pod: &str, errors: &mut ErrorList) {
    let empty_dir = volume.get("emptyDir");
    let mut found = empty_dir.is_set();
    if empty_dir.quantity("sizeLimit").is_some_and(|limit| limit.signum() < 0) {
        empty_dir.get("sizeLimit").forbidden(errors, "SizeLimit field must be a valid resource quantity");
    }
    for field in volume_sources::of_pods() {
        let at = volume.get(field);
        if !at.is_set() {
            continue;
        }
        if found {
            // Two of upstream's messages call the field by another name.
            let at = match field {
                "cephfs" => at.called("cephFS"),
                "downwardAPI" => at.called("downwarAPI"),
                _ => at,
            };
            at.forbidden(errors, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        volume_sources::validate(volume, field, false, errors);
        inside(volume, &at, field, pod, errors);
    }
    if !found {
        volume.required(errors, "must specify a volume type");
    }
}

/// What is asked of sources that only pods have.
fn inside(volume: &At, at: &At, field: &str, pod: &str, errors: &mut ErrorList) {
    match field {
        "secret" | "configMap" => at.each("items").for_each(|item| key_to_path(&item, errors)),
        // These complaints name the source, not its element.
        "downwardAPI" => at.items("items").iter().for_each(|file| downward_file(&at.with(file), errors)),
        "projected" => projected(at, errors),
        "iscsi" => {
            let (name, portal) = (volume.text("name"), at.text("targetPortal"));
            if at.has("initiatorName") && name.len() + 1 + portal.len() > 64 {
                let why = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
                volume.get("name").invalid(errors, why);
            }
        }
        "ephemeral" => {
            let template = at.get("volumeClaimTemplate");
            if template.is_set() {
                claim_template(&template, errors);
            } else {
                template.required(errors, "");
            }
            let name = volume.text("name");
            if !pod.is_empty() && !name.is_empty() {
                let claim = format!("{pod}-{name}");
                for why in dns1123_subdomain(&claim) {
                    let why = format!("PVC name {}: {why}", api::quote::quote(&claim));
                    volume.get("name").wrong(errors, name, why);
                }
            }
        }
        "image" => {
            if !pod.is_empty() {
                at.check(&[("reference", Rule::Need)], errors);
            }
            at.check(&[("pullPolicy", Rule::OneOf(&["Always", "IfNotPresent", "Never"]))], errors);
        }
        _ => {}
    }
}

fn claim_template(template: &At, errors: &mut ErrorList) {
    template.get("metadata").template_metadata(errors);
    storage::validate_claim_spec(&template.get("spec"), errors);
}

fn key_to_path(item: &At, errors: &mut ErrorList) {
    item.check(&[("key", Rule::Need), ("path", Rule::Need)], errors);
    item.get("path").unreserved(errors);
    item.check(&[("mode", Rule::Mode)], errors);
}

fn downward_file(file: &At, errors: &mut ErrorList) {
    file.check(&[("path", Rule::Need)], errors);
    file.get("path").unreserved(errors);
    let (field, resource) = (file.get("fieldRef"), file.get("resourceFieldRef"));
    if field.is_set() {
        field_ref(&field, &IN_FILES, errors);
        if resource.is_set() {
            file.wrong(errors, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.is_set() {
        resource_field_ref(&resource, true, errors);
    } else {
        file.required(errors, "one of fieldRef and resourceFieldRef is required");
    }
    file.check(&[("mode", Rule::Mode)], errors);
}

/// Several sources in one directory: each of one kind, and no two at the same path.
fn projected(volume: &At, errors: &mut ErrorList) {
    let mut paths = HashSet::new();
    for source in volume.each("sources") {
        let mut kinds = 0;
        for kind in
            ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"]
        {
            let at = source.get(kind);
            if !at.is_set() {
                continue;
            }
            kinds += 1;
            match kind {
                "secret" | "configMap" => {
                    at.check(&[("name", Rule::Need)], errors);
                    for item in at.each("items") {
                        key_to_path(&item, errors);
                        take(volume, &mut paths, item.text("path"), at.text("name"), errors);
                    }
                }
                "downwardAPI" => {
                    for file in at.items("items") {
                        let file = at.with(file);
                        downward_file(&file, errors);
                        take(volume, &mut paths, file.text("path"), file.text("path"), errors);
                    }
                }
                "serviceAccountToken" => token(volume, &at, errors),
                "clusterTrustBundle" => {
                    trust_bundle(&at, errors);
                    take(volume, &mut paths, at.text("path"), at.text("path"), errors);
                }
                _ => certificate(volume, &at, &mut paths, errors),
            }
        }
        if kinds > 1 {
            source.forbidden(errors, "may not specify more than 1 volume type per source");
        }
    }
}

fn take<'v>(volume: &At, paths: &mut HashSet<&'v str>, path: &'v str, shown: &str, errors: &mut ErrorList) {
    if path.is_empty() {
        return;
    }
    if !paths.insert(path) {
        errors.push(Error::invalid(&volume.path(), shown, "conflicting duplicate paths"));
    }
}

fn token(volume: &At, token: &At, errors: &mut ErrorList) {
    let seconds = token.int("expirationSeconds").unwrap_or(0);
    let at = token.get("expirationSeconds");
    if seconds < 600 {
        at.wrong(errors, seconds, "may not specify a duration less than 10 minutes");
    }
    if seconds > 1 << 32 {
        at.wrong(errors, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    // These complaints name the volume, not its source.
    let path = volume.get("path").with(token.get("path").value());
    match path.str() {
        "" => path.required(errors, ""),
        _ => path.unreserved(errors),
    }
}

fn trust_bundle(at: &At, errors: &mut ErrorList) {
    let (name, signer) = (at.get("name"), at.get("signerName"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => at.invalid(errors, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                name.required(errors, "must be a valid object name");
            }
            // What belongs to a signer has the signer's name before a colon.
            let last = name.str().rsplit(':').next().unwrap_or_default();
            for why in dns1123_subdomain(last) {
                name.invalid(errors, format!("not a valid clustertrustbundlename: {why}"));
            }
            let selector = at.get("labelSelector");
            if selector.is_set() {
                selector.invalid(errors, "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                signer.required(errors, "must be a valid signer name");
            }
            signer_name(&signer, errors);
            at.check(&[("labelSelector", Rule::Selector)], errors);
        }
        (false, false) => at.required(errors, "either name or signerName must be specified"),
    }
    at.check(&[("path", Rule::Need)], errors);
    at.get("path").unreserved(errors);
}

fn certificate<'v>(volume: &At, at: &At<'_, 'v>, paths: &mut HashSet<&'v str>, errors: &mut ErrorList) {
    signer_name(&at.get("signerName"), errors);
    let kinds = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    if !kinds.contains(&at.text("keyType")) {
        at.get("keyType").unsupported(errors, &kinds);
    }
    if let Some(seconds) = at.int("maxExpirationSeconds") {
        let place = at.get("maxExpirationSeconds");
        // Kubernetes' own signers keep to a day, others to about three months.
        let most = if at.text("signerName").starts_with("kubernetes.io/") { 86_400 } else { 7_862_400 };
        if seconds < 3600 {
            place.invalid(errors, "if provided, maxExpirationSeconds must be >= 3600");
        }
        if seconds > most {
            place.invalid(errors, format!("if provided, maxExpirationSeconds must be <= {most}"));
        }
    }
    let mut given = 0;
    for field in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = at.get(field);
        if path.is_empty() {
            continue;
        }
        given += 1;
        path.unreserved(errors);
        take(volume, paths, path.str(), path.str(), errors);
    }
    if given == 0 {
        at.required(errors, "specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
    }
}

/// Complaints about the name of a signer: a domain and a path.
fn signer_name(name: &At, errors: &mut ErrorList) {
    let text = name.str();
    if text.is_empty() {
        name.required(errors, "");
        return;
    }
    let parts: Vec<&str> = text.split('/').collect();
    let [domain, path] = parts.as_slice() else {
        name.invalid(errors, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
        return;
    };
    if domain.len() > 253 {
        name.too_long(errors, 253);
    }
    labels(name, domain, dns1123_label, errors);
    if !domain.contains('.') {
        name.wrong(errors, *domain, "should be a domain with at least two segments separated by dots");
    }
    labels(name, path, dns1123_subdomain, errors);
    // The longest domain, the longest namespace and name, and what stands between them.
    let most = 253 + 1 + 63 + 1 + 253;
    if text.len() > most {
        name.too_long(errors, most);
    }
}

/// Complaints about the first part between dots that has any.
fn labels(name: &At, part: &str, check: fn(&str) -> Vec<String>, errors: &mut ErrorList) {
    let found = part.split('.').map(|label| (label, check(label))).find(|(_, complaints)| !complaints.is_empty());
    for (label, why) in found.into_iter().flat_map(|(label, all)| all.into_iter().map(move |why| (label, why))) {
        name.wrong(errors, part, format!("validating label {}: {why}", api::quote::quote(label)));
    }
}
