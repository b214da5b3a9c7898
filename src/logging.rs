//! Where log lines go and how they look.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Sets up logging for a long-running command. On a terminal the progress lines tell the story, so logs begin at WARN there;
/// `verbose` and `RUST_LOG` bring more.
pub(crate) fn init(verbose: u8) {
    let terminal = std::io::stderr().is_terminal();
    let level = match verbose {
        0 if terminal => "warn",
        0 => "info",
        1 => {
            "debug,h2=info,hyper=info,hyper_util=info,rustls=info,tower=info,kube=info,sled=info,hickory_proto=info,hickory_server=warn"
        }
        _ => "trace",
    };
    let quiet = "hickory_server=error,netlink_packet_route=error,netlink_proto=error,sled=warn";
    let level = if verbose < 2 { format!("{level},{quiet}") } else { level.to_owned() };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(terminal).init();
}
