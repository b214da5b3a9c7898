//! `cargo xtask bench NAME`: measures the release binary; one JSON line a figure. docs/benchmarks.md keeps them.

mod api;
mod idle;
mod machine;
mod startup;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

/// `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// What to measure
    name: Name,
    /// The binary to measure; build it with cargo build --release
    #[arg(long, default_value = "target/release/isopod")]
    binary: PathBuf,
    /// Seconds to watch an idle server
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Put the load of `api` on the server this names, another implementation for one, and not on the binary
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Measure one part of `api` alone, on a server that did nothing before
    #[arg(long)]
    only: Option<api::Part>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Name {
    /// Empty directory to API, to a Ready node, to a running pod
    Startup,
    /// Memory, processor and disk of a server with nothing to do
    Idle,
    /// Requests over TLS: writes, reads, lists, watches
    Api,
    /// The store alone, beside etcd
    Store,
    /// One object turned into what clients ask for, without a server
    Forms,
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    match args.name {
        Name::Store => example("isopod-embedded-store", "store_bench"),
        Name::Forms => example("isopod-api", "forms_bench"),
        _ if !args.binary.is_file() && args.kubeconfig.is_none() => {
            anyhow::bail!(
                "{}: no such binary; build it with cargo build --release, or name one with --binary",
                args.binary.display()
            )
        }
        Name::Startup => startup::run(&args.binary),
        Name::Idle => idle::run(&args.binary, args.seconds),
        // A client built for debugging would be what is measured.
        Name::Api if cfg!(debug_assertions) => optimized(),
        Name::Api => api::run(&args.binary, args.kubeconfig.as_deref(), args.only),
    }
}

/// A benchmark that a crate has of its own.
fn example(package: &str, name: &str) -> Result<()> {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--profile", "quick", "--package", package, "--example", name]);
    anyhow::ensure!(command.status()?.success(), "{name} failed");
    Ok(())
}

/// The same command again, built as the measured binary is.
fn optimized() -> Result<()> {
    let mut command = std::process::Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--release", "--package", "xtask", "--"]).args(std::env::args_os().skip(1));
    anyhow::ensure!(command.status()?.success(), "the benchmark failed");
    Ok(())
}

/// Prints one figure.
#[expect(clippy::print_stdout, reason = "figures are this program's output")]
fn figure(bench: &str, name: &str, value: f64, unit: &str) {
    let rounded = (value * 1000.0).round() / 1000.0;
    println!("{}", serde_json::json!({"bench": bench, "figure": name, "value": rounded, "unit": unit}));
}
