//! The command line: what can be said, in the words of k3s and kubeadm.
//!
//! Every flag of `server` and `agent` can also stand in a configuration file and in the environment; the command line wins
//! over the environment, and that over the files.

mod agent;
pub(crate) mod config_file;
mod familiar;
mod node;
mod server;
#[cfg(test)]
mod tests;
mod tools;

use std::path::Path;

use anyhow::Context;
use clap::{Parser, Subcommand};

pub(crate) use agent::AgentArgs;
pub(crate) use node::NodeArgs;
pub(crate) use server::{FlannelBackend, ServerArgs};
pub(crate) use tools::{
    ImagesArgs, ImagesCommand, ResetArgs, SecretsEncryptArgs, SecretsEncryptCommand, TokenArgs, TokenCommand,
};

/// A whole Kubernetes cluster in one binary.
#[derive(Parser, Debug)]
#[command(name = "isopod", version = crate::version::LONG, about, long_about = None, args_override_self = true)]
#[command(after_help = "First steps:
  isopod server                                          a cluster of one, in the foreground
  kubectl --kubeconfig /etc/isopod/isopod.yaml get nodes
  cat /var/lib/isopod/server/token                       what a worker needs to join
  isopod agent --server https://SERVER:6443 --token ...  a worker, on another machine")]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a server: API server, scheduler, controllers, store, and this machine as a node
    Server(Box<ServerArgs>),
    /// Run a worker: join this machine to a server's cluster
    Agent(Box<AgentArgs>),
    /// Look at and bring in container images on this node
    Images(ImagesArgs),
    /// Make, list and remove the tokens that workers join with
    Token(TokenArgs),
    /// Look after the encryption of Secrets at rest
    SecretsEncrypt(SecretsEncryptArgs),
    /// Stop what an isopod left on this machine and take it apart: containers, mounts, network, data
    Reset(ResetArgs),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// A secret that is said by one flag, or stands in the file that `flag` names.
pub(crate) fn secret(flag: &str, said: Option<&String>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match (said, file) {
        (Some(secret), _) => Ok(Some(secret.clone())),
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("{flag} {}", file.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        (None, None) => Ok(None),
    }
}
