//! Live streams of exec, attach and port-forward.

use std::pin::Pin;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use crate::Result;

/// The reading end of a session's stream.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;
/// The writing end of a session's stream; `shutdown` half-closes it.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// A running exec, attach or forwarded connection.
///
/// The parts are independent, so that each can move into a task of its own; read stdout and stderr at the same time, for one that is
/// not read holds up the other. Dropping all parts ends the session; whether that ends an exec'ed process is the runtime's affair.
pub struct Session {
    /// Bytes for the process; None when not asked for. `shutdown` is end of file for the process.
    pub stdin: Option<Writer>,
    /// Output, or the terminal's; None when not asked for.
    pub stdout: Option<Reader>,
    /// Error output; None when not asked for, and always with a terminal.
    pub stderr: Option<Reader>,
    /// Sizes for the terminal; None without one.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// How it ended; resolves when the process has ended; at once for a forwarded connection.
    pub status: BoxFuture<'static, Result<SessionEnd>>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .field("tty", &self.resize.is_some())
            .finish()
    }
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEnd {
    /// The process ended with this code; 0 for an attach that ended well.
    Exited(i32),
    /// It could not run; fit for the user.
    Failed(String),
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct TerminalSize {
    /// Columns.
    #[serde(rename = "Width")]
    pub width: u16,
    /// Rows.
    #[serde(rename = "Height")]
    pub height: u16,
}

/// Which streams an exec or attach wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamOptions {
    /// stdin.
    pub stdin: bool,
    /// stdout.
    pub stdout: bool,
    /// stderr; must be false with `tty`.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}
