//! What a person at a terminal sees while the cluster comes up: each step, and after how long it was there.
//! Where nobody watches, the same steps are log lines.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// The start of one server or agent.
pub(crate) struct Progress {
    began: Instant,
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Begins to count. Shows a spinner on a terminal.
    pub(crate) fn begin(title: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                spinner.set_style(style);
            }
            spinner.println(title);
            spinner.enable_steady_tick(std::time::Duration::from_millis(100));
            spinner
        });
        Self { began: Instant::now(), spinner }
    }

    /// Says what is awaited now.
    pub(crate) fn doing(&self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(what.to_owned());
        }
    }

    /// Says what is there now.
    pub(crate) fn done(&self, what: &str) {
        let after = self.began.elapsed();
        match &self.spinner {
            Some(spinner) => spinner.println(format!("  ✓ {what:<44} {:>6.2} s", after.as_secs_f64())),
            None => tracing::info!(after_ms = after.as_millis() as u64, "{what}"),
        }
    }

    /// Ends the show with some last lines.
    pub(crate) fn finish(&self, lines: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.println(lines);
            spinner.finish_and_clear();
        }
    }
}
