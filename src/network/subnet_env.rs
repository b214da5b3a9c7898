//! `subnet.env`: how flannel tells the CNI plugin what this node's pods get.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Error, Result};

/// The file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubnetEnv {
    /// The cluster CIDR.
    pub(crate) network: Ipv4Cidr,
    /// The node's pod CIDR, with the gateway's address in the host part (`10.42.1.1/24`).
    pub(crate) subnet: Ipv4Cidr,
    pub(crate) mtu: u32,
    /// Whether traffic that leaves the cluster CIDR is masqueraded.
    pub(crate) masquerade: bool,
}

impl SubnetEnv {
    /// Parses the file; unknown lines are allowed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let value = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once('='));
            let found = lines.find(|(key, _)| *key == name).map(|(_, value)| value.trim().trim_matches('"'));
            found.ok_or_else(|| Error::Invalid(format!("subnet.env has no {name}")))
        };
        let network = |name| {
            let text: &str = value(name)?;
            text.parse::<Ipv4Cidr>().map_err(|error| Error::Invalid(format!("subnet.env: {name}: {error}")))
        };
        let mtu = value("FLANNEL_MTU")?;
        let mtu = mtu.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
        Ok(Self {
            network: network("FLANNEL_NETWORK")?,
            subnet: network("FLANNEL_SUBNET")?,
            mtu: mtu.ok_or_else(|| Error::Invalid("subnet.env: FLANNEL_MTU is no MTU".into()))?,
            masquerade: value("FLANNEL_IPMASQ").is_ok_and(|value| value == "true"),
        })
    }

    /// Reads the file. [`Error::NotReady`] when there is none yet.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotReady(format!("{} does not exist: the node's pod network is not up yet", path.display())))
            }
            Err(error) => Err(error).doing(|| format!("reading {}", path.display())),
        }
    }

    /// The file's text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "FLANNEL_NETWORK={}", self.network);
        let _ = writeln!(text, "FLANNEL_SUBNET={}", self.subnet);
        let _ = writeln!(text, "FLANNEL_MTU={}", self.mtu);
        let _ = writeln!(text, "FLANNEL_IPMASQ={}", self.masquerade);
        text
    }

    /// Writes the file in one step, unless it says the same already.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = self.render();
        if fs::read_to_string(path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        write_atomically(path, text.as_bytes()).doing(|| format!("writing {}", path.display()))
    }
}

/// Writes beside the file and renames, so that readers see the old or the new content.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, content)?;
    fs::rename(&beside, path)
}
