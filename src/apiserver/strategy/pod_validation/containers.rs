//! What is asked of the containers of a pod: those that run, those that come before, those that are added.

use std::collections::HashSet;

use api::validation::field::{Error, ErrorList};
use api::validation::{dns1123_label, port_name, port_number};
use serde_json::Value;

use super::{Context, env, handlers, resources, security};
use crate::strategy::at::{At, Rule};
use crate::tree::Tree;

/// Fields that an ephemeral container may have.
const EPHEMERAL: [&str; 17] = [
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "envFrom",
    "env",
    "volumeMounts",
    "volumeDevices",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
    "targetContainerName",
];

/// Complaints about all containers of a spec.
pub(super) fn validate(spec: &At, context: &Context, errors: &mut ErrorList) {
    running(spec, context, errors);
    initial(spec, context, errors);
    ephemeral(spec, context, errors);
}

fn running(spec: &At, context: &Context, errors: &mut ErrorList) {
    if spec.items("containers").is_empty() {
        spec.get("containers").required(errors, "");
        return;
    }
    let mut names = HashSet::new();
    for container in spec.each("containers") {
        common(&container, context, errors);
        unique(&container, &mut names, errors);
        handlers::validate(&container, context, errors);
        restart_policy(&container, errors);
    }
    let mut taken = HashSet::new();
    spec.each("containers").for_each(|container| host_ports(&container, &mut taken, errors));
}

fn initial(spec: &At, context: &Context, errors: &mut ErrorList) {
    let mut names = names_of(spec, "containers");
    for container in spec.each("initContainers") {
        common(&container, context, errors);
        let sidecar = container.text("restartPolicy") == "Always";
        let rules = container.get("restartPolicyRules");
        if sidecar && !rules.is_empty() {
            let why = "restartPolicyRules are not allowed for init containers with restart policy Always";
            rules.forbidden(errors, why);
        } else if !sidecar && container.has("restartPolicy") {
            restart_policy(&container, errors);
        } else if !sidecar && !rules.is_empty() {
            let why = "must specify restartPolicy when restart rules are used";
            container.get("restartPolicy").required(errors, why);
        }
        if !container.text("name").is_empty() {
            unique(&container, &mut names, errors);
        }
        // They run one by one. Upstream calls each the first.
        if let Some(first) = spec.each("initContainers").next() {
            host_ports(&first.with(container.value()), &mut HashSet::new(), errors);
        }
        if sidecar {
            handlers::validate(&container, context, errors);
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let at = container.get(field);
            if at.is_set() {
                at.forbidden(errors, "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

fn ephemeral(spec: &At, context: &Context, errors: &mut ErrorList) {
    let mut others = names_of(spec, "containers");
    others.extend(names_of(spec, "initContainers"));
    let mut names = others.clone();
    for container in spec.each("ephemeralContainers") {
        common(&container, context, errors);
        image_padding(&container, errors);
        unique(&container, &mut names, errors);
        let target = container.get("targetContainerName");
        if !target.is_empty() && !others.contains(&target.str()) {
            target.not_found(errors);
        }
        for (field, value) in container.value().as_object().into_iter().flatten() {
            let at = container.get(field);
            let empty = field == "resources" && value.as_object().is_some_and(|r| r.is_empty());
            if !EPHEMERAL.contains(&field.as_str()) && !empty {
                at.forbidden(errors, "cannot be set for an Ephemeral Container");
            }
        }
        for mount in container.each("volumeMounts") {
            for field in ["subPath", "subPathExpr"] {
                let at = mount.get(field);
                if !at.is_empty() {
                    at.forbidden(errors, "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

fn names_of<'v>(spec: &At<'_, 'v>, list: &str) -> HashSet<&'v str> {
    spec.items(list).iter().map(|container| container.text("name")).collect()
}

/// What is asked of every container.
fn common(container: &At, context: &Context, errors: &mut ErrorList) {
    container.check(&[("name", Rule::NeedName(dns1123_label)), ("image", Rule::Need)], errors);
    container.check(&[("terminationMessagePolicy", Rule::OneOf(&["File", "FallbackToLogsOnError"]))], errors);
    ports(container, errors);
    env::validate(container, errors);
    mounts(container, context, errors);
    devices(container, context, errors);
    container.check(&[("imagePullPolicy", Rule::OneOf(&["Always", "IfNotPresent", "Never"]))], errors);
    resources::of_container(&container.get("resources"), &context.claims, errors);
    resize_policy(container, context, errors);
    security::of_container(&container.get("securityContext"), context.host_users, errors);
}

/// An image's name has no blanks around it; templates are let be, because that was checked late.
pub(super) fn image_padding(container: &At, errors: &mut ErrorList) {
    let image = container.get("image");
    if image.str().trim() != image.str() {
        image.invalid(errors, "must not have leading or trailing whitespace");
    }
}

fn unique<'v>(container: &At<'_, 'v>, names: &mut HashSet<&'v str>, errors: &mut ErrorList) {
    let name = container.text("name");
    if !names.insert(name) {
        errors.push(Error::duplicate(&container.get("name").path(), name));
    }
}

fn ports(container: &At, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for port in container.each("ports") {
        let name = port.get("name");
        if !name.is_empty() {
            let complaints = port_name(name.str());
            if !complaints.is_empty() {
                name.complain(errors, complaints);
            } else if !names.insert(name.str()) {
                name.duplicate(errors);
            }
        }
        let number = port.get("containerPort");
        match number.value().as_i64() {
            None | Some(0) => number.required(errors, ""),
            Some(_) => number.number(port_number, errors),
        }
        if port.int("hostPort").unwrap_or(0) != 0 {
            port.get("hostPort").number(port_number, errors);
        }
        port.check(&[("protocol", Rule::OneOf(&["SCTP", "TCP", "UDP"]))], errors);
    }
}

/// A port of the node is one container's.
fn host_ports(container: &At, taken: &mut HashSet<String>, errors: &mut ErrorList) {
    for port in container.each("ports") {
        let number = port.int("hostPort").unwrap_or(0);
        if number == 0 {
            continue;
        }
        let place = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
        if taken.contains(&place) {
            errors.push(Error::duplicate(&port.get("hostPort").path(), place));
        } else {
            taken.insert(place);
        }
    }
}

fn mounts(container: &At, context: &Context, errors: &mut ErrorList) {
    let devices = container.items("volumeDevices");
    let mut places = HashSet::new();
    let (device_names, device_places) = (texts(devices, "name"), texts(devices, "devicePath"));
    let list = container.get("volumeMounts");
    for mount in container.each("volumeMounts") {
        let (name, place) = (mount.get("name"), mount.get("mountPath"));
        if name.is_empty() {
            name.required(errors, "");
        }
        if !context.volumes.contains_key(name.str()) {
            name.not_found(errors);
        }
        if place.is_empty() {
            place.required(errors, "");
        }
        if !places.insert(place.str()) {
            place.invalid(errors, "must be unique");
        }
        if device_names.contains(name.str()) {
            name.invalid(errors, "must not already exist in volumeDevices");
        }
        if device_places.contains(place.str()) {
            place.invalid(errors, "must not already exist as a path in volumeDevices");
        }
        // These complaints name the list, not its element.
        let of = |field| list.get(field).with(mount.get(field).value());
        if !mount.text("subPath").is_empty() {
            of("subPath").descending(errors);
        }
        if !mount.text("subPathExpr").is_empty() {
            if !mount.text("subPath").is_empty() {
                mount.get("subPathExpr").invalid(errors, "subPathExpr and subPath are mutually exclusive");
            }
            of("subPathExpr").descending(errors);
        }
        propagation(&mount, &of("mountPropagation"), container.truth("securityContext.privileged"), errors);
        read_only_below(&mount, &of("recursiveReadOnly"), errors);
    }
}

fn propagation(mount: &At, at: &At, privileged: bool, errors: &mut ErrorList) {
    if !mount.has("mountPropagation") {
        return;
    }
    let all = ["Bidirectional", "HostToContainer", "None"];
    if !all.contains(&at.str()) {
        at.unsupported(errors, &all);
    }
    if at.str() == "Bidirectional" && !privileged {
        at.forbidden(errors, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn read_only_below(mount: &At, at: &At, errors: &mut ErrorList) {
    match at.str() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.truth("readOnly") {
                at.forbidden(errors, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                at.forbidden(errors, "may only be specified when mountPropagation is None or not specified");
            }
        }
        _ if at.is_set() => at.unsupported(errors, &["Disabled", "Enabled", "IfPossible"]),
        _ => {}
    }
}

fn devices(container: &At, context: &Context, errors: &mut ErrorList) {
    let mounts = container.items("volumeMounts");
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    let (mount_names, mount_places) = (texts(mounts, "name"), texts(mounts, "mountPath"));
    for device in container.each("volumeDevices") {
        let (name, place) = (device.get("name"), device.get("devicePath"));
        let volume = context.volumes.get(name.str());
        if name.is_empty() {
            name.required(errors, "");
        }
        if names.contains(&name.str()) {
            name.invalid(errors, "must be unique");
        }
        match volume {
            None => name.not_found(errors),
            Some(volume) if volume.get("persistentVolumeClaim").or(volume.get("ephemeral")).is_none() => {
                let why = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                name.invalid(errors, why);
            }
            Some(_) => {}
        }
        if place.is_empty() {
            place.required(errors, "");
        }
        if places.contains(&place.str()) {
            place.invalid(errors, "must be unique");
        }
        if place.str().split('/').any(|step| step == "..") {
            place.invalid(errors, "can not contain backsteps ('..')");
        } else {
            places.insert(place.str());
        }
        if mount_names.contains(name.str()) {
            name.invalid(errors, "must not already exist in volumeMounts");
        }
        if mount_places.contains(place.str()) {
            place.invalid(errors, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            names.insert(name.str());
        }
    }
}

/// What a field of the elements says.
fn texts<'v>(elements: &'v [Value], field: &str) -> HashSet<&'v str> {
    elements.iter().map(|element| element.get(field).and_then(Value::as_str).unwrap_or_default()).collect()
}

/// What a change of resources means for the running container.
fn resize_policy(container: &At, context: &Context, errors: &mut ErrorList) {
    let list = container.get("resizePolicy");
    let mut seen = HashSet::new();
    for policy in container.each("resizePolicy") {
        let (resource, restart) = (policy.text("resourceName"), policy.text("restartPolicy"));
        if !seen.insert(resource) {
            errors.push(Error::duplicate(&policy.path(), resource));
        }
        for (value, all) in [(resource, ["cpu", "memory"]), (restart, ["NotRequired", "RestartContainer"])] {
            if value.is_empty() {
                list.required(errors, "");
            } else if !all.contains(&value) {
                errors.push(Error::not_supported(&list.path(), value, &all));
            }
        }
        if context.restart_policy == "Never" && restart != "NotRequired" {
            list.wrong(errors, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// When a container starts again by itself, and after which ends.
fn restart_policy(container: &At, errors: &mut ErrorList) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    let all = ["Always", "Never", "OnFailure"];
    if !policy.is_set() {
        if rules.is_empty() {
            return;
        }
        policy.required(errors, "must specify restartPolicy when restart rules are used");
    } else if !all.contains(&policy.str()) {
        policy.unsupported(errors, &all);
    }
    if container.items("restartPolicyRules").len() > 20 {
        rules.too_long(errors, 20);
    }
    for rule in container.each("restartPolicyRules") {
        if rule.text("action") != "Restart" {
            rule.get("action").unsupported(errors, &["Restart"]);
        }
        let codes = rule.get("exitCodes");
        if !codes.is_set() {
            codes.required(errors, "must be specified");
            continue;
        }
        let operator = codes.get("operator");
        if !matches!(operator.str(), "In" | "NotIn") {
            operator.unsupported(errors, &["In", "NotIn"]);
        }
        if codes.items("values").len() > 255 {
            codes.get("values").too_long(errors, 255);
        }
    }
}
