//! The CNI protocol: commands, configuration, results and errors of specification 0.3.1 to 1.1.0.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cidr::Ipv4Cidr;
use crate::error::{Error, chain};
use crate::netlink::route::Mac;

/// Versions of the specification understood here, oldest first.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What to do, from `CNI_COMMAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Delete,
    Check,
    Version,
    GarbageCollect,
    Status,
}

/// A command with its arguments.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: Command,
    /// `CNI_CONTAINERID`: the pod sandbox.
    pub(super) container: String,
    /// `CNI_IFNAME`: the interface's name inside.
    pub(super) interface: String,
    /// `CNI_NETNS`: empty when the namespace is gone already.
    pub(super) namespace: String,
    pub(super) network: Network,
}

/// The network's configuration. Fields of other plugins are allowed and ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Network {
    #[serde(default)]
    pub(super) cni_version: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default = "default_bridge")]
    pub(super) bridge: String,
    #[serde(default = "default_subnet_file")]
    pub(super) subnet_file: PathBuf,
    #[serde(default = "default_data_dir")]
    pub(super) data_dir: PathBuf,
    #[serde(default = "yes")]
    pub(super) hairpin_mode: bool,
    #[serde(default)]
    pub(super) runtime_config: RuntimeConfig,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub(super) valid_attachments: Option<Vec<Attachment>>,
}

/// What the runtime adds to the configuration for one container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimeConfig {
    #[serde(default)]
    pub(super) port_mappings: Option<Vec<PortMapping>>,
}

/// A port of the node that leads to the container. Older containerd spells the members as its Go structure does, and gets
/// away with it because plugins in Go read them in any case.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortMapping {
    #[serde(default, alias = "HostPort")]
    pub(super) host_port: u16,
    #[serde(alias = "ContainerPort")]
    pub(super) container_port: u16,
    #[serde(default, alias = "Protocol")]
    pub(super) protocol: String,
    #[serde(default, rename = "hostIP", alias = "HostIP")]
    pub(super) host_ip: String,
}

/// An attachment that is still wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Attachment {
    #[serde(rename = "containerID")]
    pub(super) container_id: String,
    pub(super) ifname: String,
}

fn default_bridge() -> String {
    "cni0".into()
}

fn default_subnet_file() -> PathBuf {
    "/run/flannel/subnet.env".into()
}

fn default_data_dir() -> PathBuf {
    "/var/lib/cni/networks".into()
}

fn yes() -> bool {
    true
}

impl Request {
    /// Takes the command apart and checks everything that can be checked without touching the system.
    pub(super) fn parse(environment: &dyn Fn(&str) -> Option<String>, input: &[u8]) -> Result<Self, Failure> {
        let variable = |name: &str| environment(name).unwrap_or_default();
        let command = match variable("CNI_COMMAND").as_str() {
            "ADD" => Command::Add,
            "DEL" => Command::Delete,
            "CHECK" => Command::Check,
            "VERSION" => Command::Version,
            "GC" => Command::GarbageCollect,
            "STATUS" => Command::Status,
            other => return Err(Failure::environment(format!("CNI_COMMAND is {other:?}"))),
        };
        let network: Network = match serde_json::from_slice(input) {
            Ok(network) => network,
            Err(error) => return Err(Failure::new(6, format!("decoding the network configuration: {error}"))),
        };
        let request = Self {
            command,
            container: variable("CNI_CONTAINERID"),
            interface: variable("CNI_IFNAME"),
            namespace: variable("CNI_NETNS"),
            network,
        };
        if command != Command::Version {
            request.validate()?;
        }
        Ok(request)
    }

    /// Whether this is the loopback plugin, which containerd runs for every pod.
    pub(super) fn loopback(&self) -> bool {
        self.network.kind == "loopback"
    }

    fn validate(&self) -> Result<(), Failure> {
        if !VERSIONS.contains(&self.network.cni_version.as_str()) {
            let text = format!("cniVersion {:?} is not one of {}", self.network.cni_version, VERSIONS.join(", "));
            return Err(Failure::new(1, text));
        }
        if !valid_name(&self.network.name, 255) {
            return Err(Failure::new(7, format!("{:?} is not a valid network name", self.network.name)));
        }
        if !valid_interface(&self.network.bridge) {
            return Err(Failure::new(7, format!("{:?} is not a valid bridge name", self.network.bridge)));
        }
        if matches!(self.command, Command::GarbageCollect | Command::Status) {
            return Ok(());
        }
        if !valid_name(&self.container, 255) {
            return Err(Failure::environment(format!("CNI_CONTAINERID {:?} is not valid", self.container)));
        }
        if !valid_interface(&self.interface) {
            return Err(Failure::environment(format!("CNI_IFNAME {:?} is not valid", self.interface)));
        }
        if self.namespace.is_empty() && self.command != Command::Delete {
            return Err(Failure::environment("CNI_NETNS is not set"));
        }
        Ok(())
    }
}

/// Letters, digits, `_`, `.`, `-`, the first a letter or digit: what the specification allows, and safe as a file name.
fn valid_name(name: &str, limit: usize) -> bool {
    name.len() <= limit
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn valid_interface(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':')
}

/// What a command prints when it succeeds.
#[derive(Debug)]
pub(super) enum Outcome {
    Nothing,
    Json(Value),
}

/// A failure as the runtime wants it.
#[derive(Debug)]
pub(super) struct Failure {
    code: u32,
    message: String,
}

impl Failure {
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn io(message: impl Into<String>) -> Self {
        Self::new(5, message)
    }

    pub(super) fn environment(message: impl Into<String>) -> Self {
        Self::new(4, message)
    }

    pub(super) fn into_json(self, version: &str) -> String {
        json!({ "cniVersion": version, "code": self.code, "msg": self.message }).to_string()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NotReady(_) => 11,
            Error::Invalid(_) => 7,
            _ => 5,
        };
        Self::new(code, chain(&error))
    }
}

/// The version the configuration asks for, for answers to input that cannot be read in full.
pub(super) fn version_of(input: &[u8]) -> String {
    let value: Option<Value> = serde_json::from_slice(input).ok();
    let version = value.as_ref().and_then(|value| value.get("cniVersion")).and_then(Value::as_str);
    version.unwrap_or("1.0.0").to_owned()
}

/// The answer to VERSION.
pub(super) fn supported_versions(version: &str) -> Value {
    json!({ "cniVersion": version, "supportedVersions": VERSIONS })
}

/// An interface an ADD made.
pub(super) struct Interface<'a> {
    pub(super) name: &'a str,
    pub(super) mac: Mac,
    pub(super) sandbox: Option<&'a str>,
}

/// The result of an ADD: the last interface has the address.
pub(super) fn added(
    version: &str,
    interfaces: &[Interface<'_>],
    address: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
) -> Value {
    let listed: Vec<_> = interfaces
        .iter()
        .map(|interface| {
            let mut entry = json!({ "name": interface.name, "mac": mac_text(interface.mac) });
            if let Some(sandbox) = interface.sandbox {
                entry["sandbox"] = sandbox.into();
            }
            entry
        })
        .collect();
    let mut ip = json!({ "interface": interfaces.len() - 1, "address": address.to_string() });
    if let Some(gateway) = gateway {
        ip["gateway"] = gateway.to_string().into();
    }
    // Before 1.0 an address said which family it is of.
    if version.starts_with("0.") {
        ip["version"] = "4".into();
    }
    let mut result = json!({ "cniVersion": version, "interfaces": listed, "ips": [ip], "dns": {} });
    if let Some(gateway) = gateway {
        result["routes"] = json!([{ "dst": "0.0.0.0/0", "gw": gateway.to_string() }]);
    }
    result
}

/// A hardware address as people write it.
pub(crate) fn mac_text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
