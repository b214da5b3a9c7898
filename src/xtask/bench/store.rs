//! The store alone: its own benchmark, which runs etcd beside it where it is installed.

use std::process::Command;

use anyhow::{Result, bail};

pub(super) fn run() -> Result<()> {
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--quiet",
        "--profile",
        "quick",
        "--package",
        "isopod-embedded-store",
        "--example",
        "store_bench",
    ]);
    if !command.status()?.success() {
        bail!("the store's benchmark failed");
    }
    Ok(())
}
