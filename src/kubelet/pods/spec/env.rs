//! A container's environment, and `$(VAR)` in its command: pure, given what the references lead to.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use api::Object;
use k8s_openapi::api::core::v1::{Container, Service};
use runtime::types::EnvVar;

use super::fields::{Context, field, resource_field};
use crate::error::{Error, Result, invalid};
use crate::sources::Data;

/// What ConfigMaps and Secrets hold, by name; None is one that does not exist.
#[derive(Debug, Default)]
pub(crate) struct References {
    pub(crate) config_maps: HashMap<String, Option<Data>>,
    pub(crate) secrets: HashMap<String, Option<Data>>,
}

/// The names of the ConfigMaps and Secrets a container's environment refers to.
pub(crate) fn wanted(container: &Container) -> (HashSet<String>, HashSet<String>) {
    let (mut maps, mut secrets) = (HashSet::new(), HashSet::new());
    for from in container.env_from.iter().flatten() {
        maps.extend(from.config_map_ref.as_ref().map(|r| r.name.clone()));
        secrets.extend(from.secret_ref.as_ref().map(|r| r.name.clone()));
    }
    for from in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        maps.extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        secrets.extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
    }
    (maps, secrets)
}

/// The environment: envFrom, then env with `$(VAR)` expanded, then what services add.
pub(crate) fn environment(
    container: &Container,
    references: &References,
    services: &[(String, String)],
    context: &Context<'_>,
) -> Result<Vec<EnvVar>> {
    let mut result: Vec<EnvVar> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut put = |result: &mut Vec<EnvVar>, name: String, value: String| match places.get(&name) {
        Some(at) => result[*at].value = value,
        None => {
            places.insert(name.clone(), result.len());
            result.push(EnvVar { name, value });
        }
    };
    let namespace = &context.pod.namespace;
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        let (data, missing) = if let Some(r) = &from.config_map_ref {
            (
                present(&references.config_maps, &r.name),
                (!r.optional.unwrap_or(false)).then(|| format!("configmap \"{}\" not found", r.name)),
            )
        } else if let Some(r) = &from.secret_ref {
            (
                present(&references.secrets, &r.name),
                (!r.optional.unwrap_or(false)).then(|| format!("secret \"{}\" not found", r.name)),
            )
        } else {
            continue;
        };
        match (data, missing) {
            (Some(data), _) => {
                for (key, value) in data {
                    put(&mut result, format!("{prefix}{key}"), String::from_utf8_lossy(value).into_owned());
                }
            }
            (None, Some(missing)) => return Err(Error::Invalid(missing)),
            (None, None) => {}
        }
    }
    let mut known: BTreeMap<String, String> = services.iter().cloned().collect();
    known.extend(result.iter().map(|e| (e.name.clone(), e.value.clone())));
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => Some(expand(value, &known)),
            (_, None) => Some(String::new()),
            (_, Some(from)) => {
                if let Some(r) = &from.field_ref {
                    Some(field(context, &r.field_path)?)
                } else if let Some(r) = &from.resource_field_ref {
                    Some(resource_field(context, container, r)?)
                } else if let Some(r) = &from.config_map_key_ref {
                    keyed(
                        &references.config_maps,
                        "configmap",
                        "ConfigMap",
                        namespace,
                        &r.name,
                        &r.key,
                        r.optional.unwrap_or(false),
                    )?
                } else if let Some(r) = &from.secret_key_ref {
                    keyed(
                        &references.secrets,
                        "secret",
                        "Secret",
                        namespace,
                        &r.name,
                        &r.key,
                        r.optional.unwrap_or(false),
                    )?
                } else if from.file_key_ref.is_some() {
                    return invalid("env valueFrom.fileKeyRef is not supported by this node");
                } else {
                    Some(String::new())
                }
            }
        };
        if let Some(value) = value {
            known.insert(variable.name.clone(), value.clone());
            put(&mut result, variable.name.clone(), value);
        }
    }
    for (name, value) in services {
        if !places.contains_key(name) {
            result.push(EnvVar::new(name, value));
        }
    }
    Ok(result)
}

fn present<'a>(all: &'a HashMap<String, Option<Data>>, name: &str) -> Option<&'a Data> {
    all.get(name)?.as_ref()
}

fn keyed(
    all: &HashMap<String, Option<Data>>,
    word: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    key: &str,
    optional: bool,
) -> Result<Option<String>> {
    match present(all, name) {
        Some(data) => match data.get(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            None if optional => Ok(None),
            None => invalid(format!("couldn't find key {key} in {kind} {namespace}/{name}")),
        },
        None if optional => Ok(None),
        None => invalid(format!("{word} \"{name}\" not found")),
    }
}

/// `$(NAME)` becomes the variable's value where it is known and stays as it is where it is not; `$$` is one dollar.
pub(crate) fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('(') {
            match after.split_once(')') {
                Some((name, after)) => {
                    match known.get(name) {
                        Some(value) => out.push_str(value),
                        None => out.extend(["$(", name, ")"]),
                    }
                    rest = after;
                }
                None => {
                    out.push_str("$(");
                    rest = after;
                }
            }
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// The variables of services, as Docker's links had them: those of the pod's namespace (if `links`), and `kubernetes`.
pub(crate) fn service_variables<'a>(
    services: impl Iterator<Item = &'a Object>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut chosen: BTreeMap<String, Service> = BTreeMap::new();
    for object in services {
        let is_master = &*object.meta.namespace == "default" && &*object.meta.name == "kubernetes";
        let is_near = links && &*object.meta.namespace == namespace;
        if !is_master && !is_near {
            continue;
        }
        let Ok(service) = object.view::<Service>() else { continue };
        // A service of the namespace wins over the cluster's of the same name.
        if is_near || !chosen.contains_key(&*object.meta.name) {
            chosen.insert(object.meta.name.to_string(), service);
        }
    }
    chosen.iter().flat_map(|(name, service)| variables_of(name, service)).collect()
}

fn variables_of(name: &str, service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let ip = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None");
    let (Some(ip), ports @ [first, ..]) = (ip, spec.ports.as_deref().unwrap_or_default()) else { return Vec::new() };
    let constant = |text: &str| text.to_uppercase().replace('-', "_");
    let prefix = constant(name);
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let mut out = vec![
        (format!("{prefix}_SERVICE_HOST"), ip.to_owned()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|n| !n.is_empty()) {
            out.push((format!("{prefix}_SERVICE_PORT_{}", constant(port_name)), port.port.to_string()));
        }
    }
    for (at, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if at == 0 {
            out.push((format!("{prefix}_PORT"), url.clone()));
        }
        let long = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((long.clone(), url));
        out.push((format!("{long}_PROTO"), protocol.to_lowercase()));
        out.push((format!("{long}_PORT"), port.port.to_string()));
        out.push((format!("{long}_ADDR"), ip.to_owned()));
    }
    out
}
