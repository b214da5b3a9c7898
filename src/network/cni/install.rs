//! Putting the plugin and its configuration where container runtimes look.

use std::ffi::OsStr;
use std::path::Path;
use std::{fs, io};

use serde_json::json;

use crate::config::Config;
use crate::error::{Doing, Result};
use crate::subnet_env::write_atomically;

/// The plugin's name, which is the name of the binary it is executed under and the `type` in the configuration.
pub const PLUGIN_NAME: &str = "isopod-cni";
/// The second plugin: containerd 1.x runs one of this name for every pod.
const LOOPBACK_NAME: &str = "loopback";
/// The configuration file's name, as flannel's users know it.
pub const CONFLIST_FILE: &str = "10-flannel.conflist";

/// Whether a process started under this name (`argv[0]`) is to be the CNI plugin.
pub fn is_plugin_name(argv0: &OsStr) -> bool {
    let name = Path::new(argv0).file_name().unwrap_or_default();
    name == PLUGIN_NAME || name == LOOPBACK_NAME
}

/// Writes the network's configuration to `config.cni_conf_dir`. Runtimes take the network for ready from then on;
/// flannel calls this when it is.
pub fn write_conflist(config: &Config) -> Result<()> {
    let path = config.cni_conf_dir.join(CONFLIST_FILE);
    let conflist = json!({
        "name": config.cni_network,
        "cniVersion": "1.0.0",
        "plugins": [{
            "type": PLUGIN_NAME,
            "bridge": config.bridge,
            "subnetFile": config.subnet_env,
            "dataDir": config.cni_state_dir,
            "hairpinMode": true,
            "capabilities": { "portMappings": true },
        }],
    });
    let text = format!("{conflist:#}\n");
    if fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    write_atomically(&path, text.as_bytes()).doing(|| format!("writing {}", path.display()))
}

/// Links the plugin's names in `bin_dir` to `exe`. A `loopback` plugin that is already there is left alone.
pub fn install(bin_dir: &Path, exe: &Path) -> Result<()> {
    fs::create_dir_all(bin_dir).doing(|| format!("creating {}", bin_dir.display()))?;
    link(&bin_dir.join(PLUGIN_NAME), exe)?;
    let loopback = bin_dir.join(LOOPBACK_NAME);
    match fs::symlink_metadata(&loopback) {
        Ok(found) if !found.is_symlink() => Ok(()),
        // A link to another isopod, or to nowhere, is ours to renew; one to a foreign plugin that works is not.
        Ok(_)
            if fs::canonicalize(&loopback)
                .is_ok_and(|target| Some(target) != fs::canonicalize(exe).ok() && !ours(&loopback)) =>
        {
            Ok(())
        }
        _ => link(&loopback, exe),
    }
}

/// Whether a link points to a file of the name the plugin's own link points to.
fn ours(link: &Path) -> bool {
    let target = |path: &Path| fs::read_link(path).ok().and_then(|target| target.file_name().map(OsStr::to_owned));
    target(link).is_some_and(|name| Some(name) == target(&link.with_file_name(PLUGIN_NAME)))
}

/// Removes what [`install`] made.
pub(crate) fn uninstall(bin_dir: &Path) -> Result<()> {
    let (plugin, loopback) = (bin_dir.join(PLUGIN_NAME), bin_dir.join(LOOPBACK_NAME));
    if fs::symlink_metadata(&loopback).is_ok_and(|found| found.is_symlink()) && ours(&loopback) {
        remove(&loopback)?;
    }
    remove(&plugin)
}

/// Removes a file that may be gone.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn link(path: &Path, exe: &Path) -> Result<()> {
    if fs::read_link(path).is_ok_and(|target| target == exe) {
        return Ok(());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    remove(Path::new(&beside))?;
    std::os::unix::fs::symlink(exe, &beside)
        .and_then(|()| fs::rename(&beside, path))
        .doing(|| format!("linking {} to {}", path.display(), exe.display()))
}
