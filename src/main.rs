//! isopod: a whole Kubernetes cluster in one binary.

mod agent;
mod arguments;
mod cli;
mod images;
mod instance;
mod logging;
mod loopback;
mod node;
mod node_identity;
mod preflight;
mod progress;
mod ready;
mod registries;
mod renewal;
mod reset;
mod secrets_encryption;
mod server;
mod settings;
mod shutdown;
mod token;
mod version;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The stack of a thread. Bytes of address space: memory is only what is used of it. Readers of what comes from the network go as
/// deep as it is nested, which is bounded; for YAML that takes 2 MiB in a debug build, which is what threads have otherwise.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().collect();
    // containerd calls this binary as its CNI plugins, by their names.
    if args.first().is_some_and(|name| network::cni::is_plugin_name(name)) {
        return network::cni::main();
    }
    args = match cli::config_file::expand(args, &Cli::command(), |name| std::env::var_os(name)) {
        Ok(args) => args,
        Err(error) => return failed(&error),
    };
    match run(Cli::parse_from(args).command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Server(args) => {
            logging::init(args.node.verbose);
            block_on(server::run(*args))
        }
        Command::Agent(args) => {
            logging::init(args.node.verbose);
            block_on(agent::run(*args))
        }
        Command::Images(args) => block_on(images::run(args)),
        Command::Token(args) => block_on(token::run(args)),
        Command::SecretsEncrypt(args) => block_on(secrets_encryption::run(args)),
        Command::Reset(args) => {
            logging::init(0);
            block_on(reset::run(args))
        }
        Command::Version => {
            println(&format!("isopod {}", version::LONG));
            Ok(())
        }
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "isopod", &mut std::io::stdout());
            Ok(())
        }
    }
}

fn block_on(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // One backend for all TLS and signatures in the process. It is set here, once, before anything uses it.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_stack_size(STACK).build()?.block_on(future)
}

/// For a person or a script: the answer of a command.
#[expect(clippy::print_stdout, reason = "a command's answer belongs on standard output")]
fn println(line: &str) {
    println!("{line}");
}

/// One line that says what is wrong, with its causes.
#[expect(clippy::print_stderr, reason = "the last words of the process, whether or not logs are set up")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("isopod: {error:#}");
    ExitCode::FAILURE
}
