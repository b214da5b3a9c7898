//! Arguments for one component, as users of k3s and kubeadm pass them on: `--kube-apiserver-arg key=value`.
//!
//! The components are parts of this process, so an argument is a row in its component's table that sets a typed option. A new
//! argument is a row and a field. What has no row is refused by name before anything is made, and so is a value that is none.

pub(crate) mod api_server;
pub(crate) mod controller_manager;
mod feature_gates;
pub(crate) mod kubelet;
mod proxy;
mod scheduler;
#[cfg(test)]
mod tests;
mod values;

use anyhow::{Result, bail};

use crate::cli::{NodeArgs, ServerArgs};

/// One argument of a component whose options are `T`.
pub(crate) struct Argument<T> {
    /// Upstream's name, without the dashes.
    name: &'static str,
    /// Takes the value over. The error says what a value looks like.
    set: fn(&mut T, &str) -> Result<(), String>,
}

/// A row of a component's table.
const fn argument<T>(name: &'static str, set: fn(&mut T, &str) -> Result<(), String>) -> Argument<T> {
    Argument { name, set }
}

/// Takes over what was given by `flag`, in order: the last of the same name counts. A name without a value is a switch.
fn apply<T>(flag: &str, table: &[Argument<T>], given: &[String], options: &mut T) -> Result<()> {
    for text in given {
        let (name, value) = text.split_once('=').unwrap_or((text, "true"));
        let name = name.trim_start_matches('-');
        let Some(row) = table.iter().find(|row| row.name == name) else {
            let known: Vec<&str> = table.iter().map(|row| row.name).collect();
            bail!("{flag} {text}: isopod knows no such argument; it knows {}", known.join(", "));
        };
        if let Err(why) = (row.set)(options, value) {
            bail!("{flag} {text}: {why}");
        }
    }
    Ok(())
}

/// The options of a server's components.
#[derive(Clone, Debug)]
pub(crate) struct Components {
    /// The API server's.
    pub(crate) api_server: api_server::Options,
    /// The controllers'.
    pub(crate) controllers: controllers::Options,
}

impl Components {
    /// Reads the arguments of the server's components; the node's are read with the node's flags.
    pub(crate) fn new(args: &ServerArgs) -> Result<Self> {
        let mut components =
            Self { api_server: api_server::Options::default(), controllers: controllers::Options::default() };
        apply(
            "--kube-apiserver-arg",
            api_server::TABLE,
            &args.components.kube_apiserver_arg,
            &mut components.api_server,
        )?;
        components.api_server.settle(&args.cluster_domain)?;
        apply(
            "--kube-controller-manager-arg",
            controller_manager::TABLE,
            &args.components.kube_controller_manager_arg,
            &mut components.controllers,
        )?;
        apply("--kube-scheduler-arg", scheduler::TABLE, &args.components.kube_scheduler_arg, &mut ())?;
        Ok(components)
    }
}

/// The options of a node's components: the flags, and over them the arguments.
pub(crate) fn of_node(args: &NodeArgs) -> Result<kubelet::Options> {
    let mut options = kubelet::Options::new(args)?;
    apply("--kubelet-arg", kubelet::TABLE, &args.kubelet_arg, &mut options)?;
    apply("--kube-proxy-arg", proxy::TABLE, &args.kube_proxy_arg, &mut ())?;
    options.check()?;
    Ok(options)
}
