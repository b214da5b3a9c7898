//! A containerd of our own: configured, started, watched, found again.
//!
//! It runs in a session of its own and outlives us on purpose. Containers would survive its end (their shims are daemons), but their output
//! would not: containerd itself copies it from pipes into log files, and a pipe nobody reads blocks its writer. So a crash or
//! restart of our process leaves it running, and [`Supervisor::start`] finds it again by its pid file, provided that it
//! still is the one we would start: same configuration, same program, same network namespace, and answering. Otherwise it is replaced, which no
//! container notices for longer than the replacement takes.
//!
//! Under systemd this needs `KillMode=process` and `Delegate=yes` in the unit, or stopping the unit kills containerd, shims and containers.
//!
//! Everything it uses comes from [`Config`], so that several can run on one machine.

mod config;
mod preflight;
mod process;
mod reset;
mod supervisor;
#[cfg(test)]
mod tests;

pub use config::{Config, Credentials, Snapshotter, toml_string};
pub use reset::{remove_all_pods, reset};
pub use supervisor::{State, Supervisor};
