//! `isopod agent`.

use std::path::PathBuf;

use clap::Args;

use super::NodeArgs;

/// The flags of a worker.
#[derive(Args, Debug, Clone)]
pub(crate) struct AgentArgs {
    /// The node.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// URL of the server to join, https://HOST:6443
    #[arg(long, short = 's', env = "ISOPOD_URL", value_name = "URL", help_heading = "Cluster")]
    pub(crate) server: Option<String>,
    /// Token to join with: the content of the server's <data-dir>/server/token
    #[arg(
        long,
        short = 't',
        env = "ISOPOD_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        help_heading = "Cluster"
    )]
    pub(crate) token: Option<String>,
    /// File that holds the token
    #[arg(long, env = "ISOPOD_TOKEN_FILE", value_name = "FILE", conflicts_with = "token", help_heading = "Cluster")]
    pub(crate) token_file: Option<PathBuf>,
}
