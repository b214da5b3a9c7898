//! Where the content of a volume comes from: the kinds of source that pods and PersistentVolumes have alike.

use api::validation::field::ErrorList;
use api::validation::{dns1123_label, dns1123_subdomain, in_range};

use crate::strategy::at::{At, Rule};

/// Where exactly one source is wanted, its place and what has to be in it. The name is what upstream's messages call it.
#[derive(Clone, Copy, Debug)]
struct Source {
    field: &'static str,
    name: &'static str,
    rules: &'static [(&'static str, Rule)],
}

const fn source(field: &'static str, rules: &'static [(&'static str, Rule)]) -> Source {
    Source { field, name: field, rules }
}

const fn renamed(field: &'static str, name: &'static str, rules: &'static [(&'static str, Rule)]) -> Source {
    Source { field, name, rules }
}

#[rustfmt::skip]
const SOURCES: &[Source] = &[
    source("hostPath", &[("path", Rule::Need)]),
    source("gitRepo", &[("repository", Rule::Need)]),
    renamed("gcePersistentDisk", "persistentDisk", &[("pdName", Rule::Need)]),
    source("awsElasticBlockStore", &[("volumeID", Rule::Need)]),
    source("secret", &[("secretName", Rule::Need), ("defaultMode", Rule::Mode)]),
    source("nfs", &[("server", Rule::Need), ("path", Rule::Need)]),
    source("iscsi", &[("targetPortal", Rule::Need), ("iqn", Rule::Need)]),
    source("glusterfs", &[("endpoints", Rule::Need), ("path", Rule::Need)]),
    source("flocker", &[]),
    source("persistentVolumeClaim", &[("claimName", Rule::Need)]),
    source("rbd", &[("monitors", Rule::Need), ("image", Rule::Need)]),
    source("cinder", &[("volumeID", Rule::Need)]),
    source("cephfs", &[("monitors", Rule::Need)]),
    source("quobyte", &[]),
    source("downwardAPI", &[("defaultMode", Rule::Mode)]),
    source("fc", &[]),
    source("flexVolume", &[("driver", Rule::Need)]),
    source("configMap", &[("name", Rule::Need), ("defaultMode", Rule::Mode)]),
    source("azureFile", &[("secretName", Rule::Need), ("shareName", Rule::Need)]),
    source("vsphereVolume", &[("volumePath", Rule::Need)]),
    source("photonPersistentDisk", &[("pdID", Rule::Need)]),
    source("portworxVolume", &[("volumeID", Rule::Need)]),
    source("azureDisk", &[("diskName", Rule::Need), ("diskURI", Rule::Need)]),
    source("storageos", &[("volumeName", Rule::NeedName(dns1123_label)), ("volumeNamespace", Rule::Name(dns1123_label))]),
    source("projected", &[("defaultMode", Rule::Mode)]),
    source("scaleIO", &[("gateway", Rule::Need), ("system", Rule::Need), ("volumeName", Rule::Need)]),
    source("local", &[("path", Rule::Need)]),
    source("csi", &[]),
    source("ephemeral", &[]),
    source("image", &[]),
];

/// The order in which upstream looks at a PersistentVolume's sources.
pub(in crate::strategy) const OF_VOLUMES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// The fields of a pod's volume, in upstream's order.
pub(super) fn of_pods() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|source| source.field).filter(|field| *field != "local")
}

/// Complaints about one source, in a pod or, if `persistent`, in a PersistentVolume of its own.
pub(in crate::strategy) fn validate(volume: &At, field: &str, persistent: bool, errors: &mut ErrorList) {
    let Some(source) = SOURCES.iter().find(|source| source.field == field) else { return };
    let at = volume.get(field).called(source.name);
    at.check(source.rules, errors);
    match field {
        "hostPath" | "local" if !at.text("path").is_empty() => {
            at.get("path").no_backsteps(errors);
            host_path_type(&at.get("type"), errors);
        }
        "gitRepo" => at.get("directory").descending(errors),
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = at.int("partition").unwrap_or(0);
            if !(0..=255).contains(&partition) {
                at.get("partition").wrong(errors, partition, "must be between 1 and 255, inclusive");
            }
        }
        "nfs" if !at.text("path").starts_with('/') => {
            at.get("path").invalid(errors, "must be an absolute path");
        }
        "iscsi" => iscsi(&at, persistent, errors),
        "flocker" => flocker(&at, errors),
        "quobyte" => quobyte(&at, errors),
        "fc" => fibre_channel(&at, errors),
        "flexVolume" => flex(&at, errors),
        "azureDisk" => azure_disk(&at, errors),
        "csi" => csi(&at, persistent, errors),
        _ => {}
    }
    match field {
        "cinder" | "storageos" => secret(&at, persistent, errors),
        "azureFile" if persistent && at.has("secretNamespace") => {
            at.check(&[("secretNamespace", Rule::Need)], errors);
        }
        "glusterfs" if persistent && at.has("endpointsNamespace") => {
            let namespace = at.get("endpointsNamespace");
            match namespace.str() {
                "" => {
                    let why = "if the endpointnamespace is set, it must be a valid namespace name";
                    namespace.invalid(errors, why);
                }
                name => namespace.complain(errors, dns1123_label(name)),
            }
        }
        _ => {}
    }
}

fn host_path_type(kind: &At, errors: &mut ErrorList) {
    let all = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    if kind.is_set() && !all.contains(&kind.str()) {
        kind.unsupported(errors, &all);
    }
}

/// A reference to a secret has a name and, of volumes that belong to no namespace, a namespace.
fn secret(at: &At, persistent: bool, errors: &mut ErrorList) {
    let reference = at.get("secretRef");
    if !reference.is_set() {
        return;
    }
    reference.check(&[("name", Rule::Need)], errors);
    if persistent {
        reference.check(&[("namespace", Rule::Need)], errors);
    }
}

fn iscsi(at: &At, persistent: bool, errors: &mut ErrorList) {
    let why = if persistent { "must be valid format" } else { "must be valid format starting with iqn, eui, or naa" };
    if !at.text("iqn").is_empty() {
        initiator(&at.get("iqn"), why, errors);
    }
    let lun = at.int("lun").unwrap_or(0);
    in_range(lun, 0, 255).into_iter().for_each(|why| at.get("lun").wrong(errors, lun, why));
    let secret = at.get("secretRef");
    if (at.truth("chapAuthDiscovery") || at.truth("chapAuthSession")) && !secret.is_set() {
        secret.required(errors, "");
    }
    if persistent && secret.is_set() {
        secret.check(&[("name", Rule::Need)], errors);
    }
    if at.has("initiatorName") {
        initiator(&at.get("initiatorName").called("initiatorname"), why, errors);
    }
}

/// The name of one end of an iSCSI connection, of one of the three kinds there are.
fn initiator(name: &At, otherwise: &str, errors: &mut ErrorList) {
    let text = name.str();
    let hexadecimal = |rest: &str, count| rest.len() == count && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let good = match text.get(..3) {
        Some("iqn") => qualified(text),
        Some("eui") => text.strip_prefix("eui.").is_some_and(|rest| hexadecimal(rest, 16)),
        Some("naa") => text.strip_prefix("naa.").is_some_and(|rest| hexadecimal(rest, 32)),
        _ => {
            name.invalid(errors, otherwise);
            return;
        }
    };
    if !good {
        name.invalid(errors, "must be valid format");
    }
}

/// `iqn.2001-04.com.example:storage.disk1`
fn qualified(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("iqn.") else { return false };
    let Some((head, tail)) = rest.split_once(':') else { return false };
    let Some((date, authority)) = head.split_once('.') else { return false };
    let digits = |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let dated = date.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2));
    let named =
        !authority.is_empty() && authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
    dated && named && !tail.is_empty() && !tail.contains(|c: char| ",;*&$|".contains(c) || c.is_whitespace())
}

fn flocker(at: &At, errors: &mut ErrorList) {
    let (name, uuid) = (at.text("datasetName"), at.text("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        at.required(errors, "one of datasetName and datasetUUID is required");
    } else if !name.is_empty() && !uuid.is_empty() {
        at.wrong(errors, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        at.get("datasetName").invalid(errors, "must not contain '/'");
    }
}

fn quobyte(at: &At, errors: &mut ErrorList) {
    let why = "must be a host:port pair or multiple pairs separated by commas";
    let registry = at.get("registry");
    if registry.is_empty() {
        registry.required(errors, why);
    } else if at.text("tenant").len() >= 65 {
        at.get("tenant").required(errors, "must be a UUID and may not exceed a length of 64 characters");
    } else {
        let pairs = registry.str().split(',');
        pairs.filter(|pair| !is_host_and_port(pair)).for_each(|_| registry.invalid(errors, why));
    }
    at.check(&[("volume", Rule::Need)], errors);
}

/// As Go splits them: an address of the sixth version stands in brackets.
fn is_host_and_port(pair: &str) -> bool {
    let Some((host, _)) = pair.rsplit_once(':') else { return false };
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').is_some_and(|inner| !inner.contains(['[', ']'])),
        None => !host.contains([':', '[', ']']),
    }
}

fn fibre_channel(at: &At, errors: &mut ErrorList) {
    let (names, ids) = (at.get("targetWWNs"), at.get("wwids"));
    if names.is_empty() && ids.is_empty() {
        names.required(errors, "must specify either targetWWNs or wwids, but not both");
    }
    if names.is_empty() {
        return;
    }
    if !ids.is_empty() {
        names.invalid(errors, "targetWWNs and wwids can not be specified simultaneously");
    }
    match at.int("lun") {
        None => at.get("lun").required(errors, "lun is required if targetWWNs is specified"),
        Some(lun) => in_range(lun, 0, 255).into_iter().for_each(|why| at.get("lun").wrong(errors, lun, why)),
    }
}

fn flex(at: &At, errors: &mut ErrorList) {
    for (key, option) in at.entries("options") {
        let domain = format!(".{}", key.split('/').next().unwrap_or(key).to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            option.wrong(errors, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(at: &At, errors: &mut ErrorList) {
    at.check(
        &[
            ("cachingMode", Rule::MaybeOneOf(&["None", "ReadOnly", "ReadWrite"])),
            ("kind", Rule::MaybeOneOf(&["Dedicated", "Managed", "Shared"])),
        ],
        errors,
    );
    let uri = at.get("diskURI");
    let managed = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    let blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    if !at.has("kind") {
        return;
    }
    match at.text("kind") {
        "Managed" if !uri.str().starts_with("/subscriptions/") => uri.unsupported(errors, &[managed]),
        "Managed" => {}
        _ if !uri.str().starts_with("https://") => uri.unsupported(errors, &[blob]),
        _ => {}
    }
}

fn csi(at: &At, persistent: bool, errors: &mut ErrorList) {
    csi_driver(&at.get("driver"), errors);
    if !persistent {
        let reference = at.get("nodePublishSecretRef");
        let name = reference.get("name");
        if reference.is_set() && name.is_empty() {
            name.required(errors, "");
        } else if reference.is_set() {
            let place = at.get("name");
            dns1123_subdomain(name.str()).into_iter().for_each(|why| place.wrong(errors, name.str(), why));
        }
        return;
    }
    at.check(&[("volumeHandle", Rule::Need)], errors);
    let secrets =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    for secret in secrets {
        let reference = at.get(secret);
        if reference.is_set() {
            let rules = [("name", Rule::NeedName(dns1123_subdomain)), ("namespace", Rule::NeedName(dns1123_label))];
            reference.check(&rules, errors);
        }
    }
}

/// Complaints about the name of a CSI driver.
pub(in crate::strategy) fn csi_driver(name: &At, errors: &mut ErrorList) {
    if name.is_empty() {
        name.required(errors, "");
        return;
    }
    if name.str().len() > 63 {
        name.too_long(errors, 63);
    }
    name.complain(errors, dns1123_subdomain(&name.str().to_lowercase()));
}
