//! `isopod reset`: takes apart what a node left on this machine. Goes on past errors and reports them at the end.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use nix::mount::{MntFlags, umount2};
use runtime::Timeouts;
use runtime::containerd::{self, Supervisor};

use crate::cli::{NodeArgs, ResetArgs};
use crate::instance::Instance;
use crate::node::{containerd_config, network_config};
use crate::settings::Paths;
use crate::{preflight, println};

/// Directories that containerd and its libraries make for sockets and caches whatever their configuration; inner ones first.
const SHARED: [&str; 4] = ["/run/containerd/s", "/run/containerd", "/var/lib/cni/results", "/var/lib/cni"];

/// Stops isopod, removes all pods, unmounts, removes the network, and unless told otherwise the data.
pub(crate) async fn run(args: ResetArgs) -> Result<()> {
    preflight::root()?;
    let paths = Paths::new(&args.data_dir)?;
    Instance::refuse_service(&paths)?;
    let what = if args.keep_data { "" } else { " and delete all data of the cluster below it" };
    if !args.yes && !confirmed(&format!("Stop the isopod of {}{what}?", paths.data.root().display())) {
        bail!("nothing was changed (--yes goes ahead without asking)");
    }
    let mut failures = Vec::new();
    let mut note = |doing: &str, outcome: Result<()>| {
        if let Err(error) = outcome {
            failures.push(format!("{doing}: {error:#}"));
        }
    };
    let instance = Instance::succeed(&paths);
    // Held until all is taken apart.
    let _instance = match instance {
        Ok(instance) => instance,
        Err(error) => {
            note("stopping isopod", Err(error));
            None
        }
    };
    if paths.data.agent("").exists() {
        for (doing, outcome) in stop_pods(&paths, args.keep_data).await {
            note(doing, outcome);
        }
        let node = NodeArgs::for_teardown(&args.data_dir);
        let network = network_config(&paths, &node, "", std::net::Ipv4Addr::LOCALHOST.into(), None);
        let network = network.map(|mut config| {
            let kept = bootstrap::join::agent::kept(&paths.data.agent("")).ok().flatten();
            config.cluster_dns = kept.and_then(|m| match m.cluster.cluster_dns {
                std::net::IpAddr::V4(ip) => Some(ip),
                std::net::IpAddr::V6(_) => None,
            });
            config
        });
        note("removing the network", network.and_then(|config| Ok(network::teardown(&config)?)));
    }
    unmount_below(paths.data.root());
    unmount_below(&paths.run);
    note("removing cgroups", remove_cgroups(&paths));
    if !args.keep_data {
        if paths.data.is_default() {
            note("removing logs", remove(&paths.pod_logs));
            // Left with links that lead nowhere now.
            note("removing links to logs", paths.log_links.as_deref().map_or(Ok(()), remove_links));
            note("removing the kubeconfig", remove(&paths.kubeconfig()));
        }
        note("removing the data", remove(paths.data.root()));
    }
    note("removing run-time files", remove(&paths.run));
    for shared in SHARED {
        // Only when it is empty: others may keep their things there.
        let _ = std::fs::remove_dir(shared);
    }
    if !failures.is_empty() {
        bail!("not everything could be taken apart:\n  {}", failures.join("\n  "));
    }
    println("done");
    Ok(())
}

fn confirmed(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Removes pods in order while containerd answers, so that their network goes too; then whatever is left of it.
async fn stop_pods(paths: &Paths, keep_data: bool) -> Vec<(&'static str, Result<()>)> {
    let config = containerd_config(paths, &NodeArgs::for_teardown(paths.data.root()));
    let mut outcomes = Vec::new();
    if config.root.exists() {
        match Supervisor::start(config.clone()).await {
            Ok(supervisor) => {
                let removed = async {
                    let cri = supervisor.cri(Timeouts::default())?;
                    containerd::remove_all_pods(&cri).await
                };
                outcomes.push(("removing pods", removed.await.map_err(Into::into)));
                supervisor.stop().await;
            }
            Err(error) => tracing::warn!(%error, "containerd does not start; containers are killed instead"),
        }
    }
    if !keep_data {
        outcomes.push(("removing containerd", containerd::reset(&config).await.map_err(Into::into)));
    }
    outcomes
}

/// Unmounts everything below a directory, innermost first.
fn unmount_below(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| point.replace("\\040", " "));
    let mut below: Vec<String> =
        points.filter(|point| Path::new(point).starts_with(dir) && Path::new(point) != dir).collect();
    below.reverse();
    for point in below {
        if let Err(error) = umount2(point.as_str(), MntFlags::MNT_DETACH) {
            tracing::warn!(point, %error, "cannot unmount");
        }
    }
}

/// Kills what is left in the pods' cgroups and removes them, on every hierarchy.
fn remove_cgroups(paths: &Paths) -> Result<()> {
    let base = Path::new("/sys/fs/cgroup");
    let own = paths.cgroup_root.trim_start_matches('/');
    let name = if own.is_empty() { "kubepods" } else { own };
    let mut roots = vec![base.join(name)];
    if let Ok(entries) = std::fs::read_dir(base) {
        roots.extend(entries.flatten().map(|entry| entry.path().join(name)));
    }
    for root in roots.iter().filter(|root| root.join("cgroup.procs").exists()) {
        for _ in 0..100 {
            let mut dirs = Vec::new();
            collect(root, &mut dirs);
            let mut alive = false;
            for dir in dirs.iter().rev() {
                let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                for pid in procs.lines().filter_map(|line| line.parse().ok()) {
                    alive = true;
                    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                }
                let _ = std::fs::remove_dir(dir);
            }
            if !root.exists() {
                break;
            }
            if alive {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        if root.exists() {
            bail!("{} is still in use", root.display());
        }
    }
    Ok(())
}

fn collect(dir: &Path, into: &mut Vec<std::path::PathBuf>) {
    into.push(dir.to_owned());
    if let Ok(entries) = std::fs::read_dir(dir) {
        for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            collect(&entry.path(), into);
        }
    }
}

/// Removes the links of a directory whose targets are gone, and the directory when that leaves it empty.
fn remove_links(dir: &Path) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_symlink() && !path.exists() {
            remove(&path)?;
        }
    }
    let _ = std::fs::remove_dir(dir);
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let outcome = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match outcome {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::anyhow!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}
