//! Tasks of the project itself: `cargo xtask schema`, `cargo xtask bench NAME`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

mod bench;
mod schema;

#[derive(Parser)]
#[command(name = "xtask", about = "Tasks of the project itself")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Turn facts about the API's messages into the checked-in schema table
    Schema {
        /// The facts: names, numbers and markers of every message
        #[arg(default_value = "../shared/testdata/schema-facts.json")]
        facts: PathBuf,
        /// Where the table goes
        #[arg(long, default_value = "src/api/schema/table.txt")]
        table: PathBuf,
        /// Fail if the table there differs, and write nothing
        #[arg(long)]
        check: bool,
    },
    /// Measure the release binary; one JSON line a figure
    Bench(bench::BenchArgs),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Schema { facts, table, check } => schema::run(&facts, &table, check),
        Task::Bench(args) => bench::run(&args),
    }
}
