//! Commands for one purpose: `isopod images`, `token`, `secrets-encrypt`, `reset`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `isopod images`.
#[derive(Args, Debug)]
pub(crate) struct ImagesArgs {
    /// Where the node's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Socket of the container runtime [default: that of the node's own containerd]
    #[arg(long, env = "ISOPOD_CONTAINER_RUNTIME_ENDPOINT", value_name = "SOCKET", global = true)]
    pub(crate) container_runtime_endpoint: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ImagesCommand,
}

/// `isopod images …`.
#[derive(Subcommand, Debug)]
pub(crate) enum ImagesCommand {
    /// Import OCI or docker archives (tar, tar.gz, tar.zst)
    Import {
        /// The archives
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List the images on this node
    #[command(visible_alias = "ls")]
    List,
    /// Remove images
    Rm {
        /// Their names
        #[arg(required = true)]
        images: Vec<String>,
    },
}

/// `isopod token`.
#[derive(Args, Debug)]
pub(crate) struct TokenArgs {
    /// Where the server's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Kubeconfig to use [default: the one the server wrote]
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: TokenCommand,
}

/// `isopod token …`.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token that expires
    Create {
        /// How long it is good for: 30m, 24h, 7d; 0 for ever
        #[arg(long, default_value = "24h")]
        ttl: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Print the whole command a worker joins with
        #[arg(long)]
        print_join_command: bool,
    },
    /// Remove tokens, by id or whole
    Delete {
        /// The tokens
        #[arg(required = true)]
        tokens: Vec<String>,
    },
    /// Print a random token without making it valid
    Generate,
    /// List the tokens
    List,
    /// Put a new token in the place of the server's own, or of the workers' where there is one; it counts at once.
    /// A server that is started with --token or --agent-token needs the new one there, too
    Rotate {
        /// The new token [default: a random one]
        #[arg(long, env = "ISOPOD_NEW_TOKEN", value_name = "TOKEN", hide_env_values = true)]
        new_token: Option<String>,
    },
}

/// `isopod secrets-encrypt`.
#[derive(Args, Debug)]
pub(crate) struct SecretsEncryptArgs {
    /// Where the server's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR", global = true)]
    pub(crate) data_dir: PathBuf,
    /// Kubeconfig to use [default: the one the server wrote]
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", global = true)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SecretsEncryptCommand,
}

/// `isopod secrets-encrypt …`.
#[derive(Subcommand, Clone, Copy, Debug)]
pub(crate) enum SecretsEncryptCommand {
    /// Show whether Secrets are encrypted at rest, and with which keys
    Status,
    /// Put a new key in place and encrypt all Secrets with it; the old ones stay readable
    RotateKeys,
    /// Encrypt all Secrets with the present key
    Reencrypt,
}

/// `isopod reset`.
#[derive(Args, Debug)]
pub(crate) struct ResetArgs {
    /// Where the node's state lies
    #[arg(long, short = 'd', env = "ISOPOD_DATA_DIR", default_value = bootstrap::data_dir::DEFAULT, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Stop and unmount everything, but keep the data directory
    #[arg(long)]
    pub(crate) keep_data: bool,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
}
