//! Addresses of one node's pods: a directory with a file per address, as host-local has it.
//!
//! A file is named for the address and says, a line each: container, interface, path of the network namespace. The
//! directory outlives the agent and the machine's reboots. One lock file serializes runs of the plugin.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::cidr::Ipv4Cidr;
use crate::error::{Doing, Error, Result};

const LOCK_FILE: &str = "lock";
const LAST_FILE: &str = "last_reserved_ip.0";
/// Hosts in the subnet below this are the network's and the gateway's.
const FIRST_HOST: u32 = 2;

/// Who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner<'a> {
    pub(super) container: &'a str,
    pub(super) interface: &'a str,
}

/// The locked directory of one network.
pub(super) struct Addresses {
    directory: PathBuf,
    _lock: Flock<File>,
}

impl Addresses {
    /// Locks the directory, and creates it if need be. Waits for another run of the plugin.
    pub(super) fn lock(data_dir: &Path, network: &str) -> Result<Self> {
        let directory = data_dir.join(network);
        fs::create_dir_all(&directory).doing(|| format!("creating {}", directory.display()))?;
        let path = directory.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.doing(|| format!("opening {}", path.display()))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno.into());
        Ok(Self { _lock: lock.doing(|| format!("locking {}", path.display()))?, directory })
    }

    /// An address of `subnet` for `owner`, the one it has or the next free one after the last handed out: an address
    /// just given back rests as long as possible. When all are taken, those whose namespace is gone are taken back.
    pub(super) fn allocate(&self, subnet: Ipv4Cidr, owner: Owner<'_>, namespace: &str) -> Result<Ipv4Addr> {
        let entries = self.entries()?;
        let own = entries.iter().find(|entry| subnet.contains(entry.address) && entry.owned_by(owner));
        if let Some(entry) = own {
            return Ok(entry.address);
        }
        let mut taken: HashSet<_> = entries.iter().map(|entry| entry.address).collect();
        let mut free = self.next_free(subnet, &taken);
        if free.is_none() {
            for entry in entries.iter().filter(|entry| entry.leaked()) {
                self.free(entry.address)?;
                taken.remove(&entry.address);
            }
            free = self.next_free(subnet, &taken);
        }
        let address = free
            .ok_or_else(|| Error::NotReady(format!("no address of {subnet} is free: {} pods have one", taken.len())))?;
        self.record(address, owner, namespace)?;
        Ok(address)
    }

    /// The address of `owner`.
    pub(super) fn find(&self, owner: Owner<'_>) -> Result<Option<Ipv4Addr>> {
        Ok(self.entries()?.iter().find(|entry| entry.owned_by(owner)).map(|entry| entry.address))
    }

    /// Takes back what `owner` has.
    pub(super) fn release(&self, owner: Owner<'_>) -> Result<()> {
        let entries = self.entries()?;
        entries.iter().filter(|entry| entry.owned_by(owner)).try_for_each(|entry| self.free(entry.address))
    }

    /// Everybody who has an address.
    pub(super) fn owners(&self) -> Result<Vec<(String, String)>> {
        Ok(self.entries()?.into_iter().map(|entry| (entry.container, entry.interface)).collect())
    }

    fn next_free(&self, subnet: Ipv4Cidr, taken: &HashSet<Ipv4Addr>) -> Option<Ipv4Addr> {
        let first = subnet.network().address.to_bits() + FIRST_HOST;
        let count = subnet.last().to_bits().checked_sub(first)?;
        let last = fs::read_to_string(self.directory.join(LAST_FILE)).ok();
        let last = last.and_then(|text| text.trim().parse::<Ipv4Addr>().ok()).filter(|last| subnet.contains(*last));
        let start = last.map_or(0, |last| (last.to_bits() + 1).saturating_sub(first));
        let candidates = (0..count).map(|n| Ipv4Addr::from_bits(first + (start + n) % count));
        candidates.into_iter().find(|address| !taken.contains(address) && *address != subnet.address)
    }

    fn record(&self, address: Ipv4Addr, owner: Owner<'_>, namespace: &str) -> Result<()> {
        let path = self.directory.join(address.to_string());
        let written = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&path)
            .and_then(|mut file| write!(file, "{}\r\n{}\r\n{namespace}", owner.container, owner.interface));
        written.doing(|| format!("writing {}", path.display()))?;
        let last = self.directory.join(LAST_FILE);
        fs::write(&last, address.to_string()).doing(|| format!("writing {}", last.display()))
    }

    fn free(&self, address: Ipv4Addr) -> Result<()> {
        super::install::remove(&self.directory.join(address.to_string()))
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        let doing = || format!("reading {}", self.directory.display());
        let mut entries = Vec::new();
        for file in fs::read_dir(&self.directory).doing(doing)? {
            let file = file.doing(doing)?;
            let Some(address) = file.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let text = fs::read_to_string(file.path()).doing(|| format!("reading {}", file.path().display()))?;
            let mut lines = text.lines().map(str::to_owned);
            let mut line = || lines.next().unwrap_or_default();
            entries.push(Entry { address, container: line(), interface: line(), namespace: line() });
        }
        Ok(entries)
    }
}

struct Entry {
    address: Ipv4Addr,
    container: String,
    interface: String,
    namespace: String,
}

impl Entry {
    fn owned_by(&self, owner: Owner<'_>) -> bool {
        self.container == owner.container && self.interface == owner.interface
    }

    /// Nobody can use the address: its namespace is gone, or the run that took it died before it wrote whose it is
    /// (only a run that holds the lock could still be writing, and that is this one).
    fn leaked(&self) -> bool {
        self.container.is_empty() || (!self.namespace.is_empty() && !Path::new(&self.namespace).exists())
    }
}

/// Removes a network's directory.
pub(crate) fn remove_all(data_dir: &Path, network: &str) -> Result<()> {
    let directory = data_dir.join(network);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", directory.display()))
        }
        _ => Ok(()),
    }
}
