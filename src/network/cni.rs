//! The CNI plugin inside the binary: bridge, veth pair, host-local addresses and host ports in one short run.
//!
//! The container runtime executes the binary under the name [`PLUGIN_NAME`] (or `loopback`, which containerd asks for
//! beside the network proper) with a command in the environment and the network's configuration on standard input.
//! No asynchronous runtime is started here, and nothing is asked from the agent: an attachment works while it is down.

mod attach;
mod host_port;
mod install;
mod ipam;
mod protocol;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::process::ExitCode;

pub use attach::reclaim;
pub use install::{CONFLIST_FILE, PLUGIN_NAME, install, is_plugin_name, write_conflist};

use protocol::{Command, Failure, Outcome, Request};

/// Configurations are a few hundred bytes; a previous result adds some more.
const INPUT_LIMIT: u64 = 1 << 20;

/// Runs one CNI command: environment and standard input in, JSON on standard output, exit status 1 on failure.
pub fn main() -> ExitCode {
    let mut input = Vec::new();
    let read = std::io::stdin().lock().take(INPUT_LIMIT).read_to_end(&mut input);
    let (outcome, ok) = match read {
        Ok(_) => run(&|name| std::env::var(name).ok(), &input),
        Err(error) => (Failure::io(format!("reading standard input: {error}")).into_json("1.0.0"), false),
    };
    // When even this fails nobody is listening.
    let _ = std::io::stdout().lock().write_all(outcome.as_bytes());
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The command as a function: what goes to standard output, and whether it succeeded.
pub(crate) fn run(environment: &dyn Fn(&str) -> Option<String>, input: &[u8]) -> (String, bool) {
    let version = protocol::version_of(input);
    let outcome = Request::parse(environment, input).and_then(|request| match request.command {
        Command::Version => Ok(Outcome::Json(protocol::supported_versions(&version))),
        Command::Add if request.loopback() => attach::loopback(&request),
        Command::Check | Command::Delete | Command::GarbageCollect | Command::Status if request.loopback() => {
            Ok(Outcome::Nothing)
        }
        Command::Add => attach::add(&request),
        Command::Delete => attach::delete(&request),
        Command::Check => attach::check(&request),
        Command::GarbageCollect => attach::collect_garbage(&request),
        Command::Status => attach::status(&request),
    });
    match outcome {
        Ok(Outcome::Nothing) => (String::new(), true),
        Ok(Outcome::Json(value)) => (value.to_string(), true),
        Err(failure) => (failure.into_json(&version), false),
    }
}

pub(crate) use attach::hashed_mac;
pub(crate) use host_port::TABLE as HOST_PORT_TABLE;
pub(crate) use install::{remove as remove_file, uninstall};
pub(crate) use ipam::remove_all as remove_addresses;
pub(crate) use protocol::mac_text;
