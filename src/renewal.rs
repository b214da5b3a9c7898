//! Certificates last a year and are renewed in the last quarter of it, while everything runs.
//!
//! Twice a day each owner of certificates is told the time; one whose certificates will do looks at their dates and is done.
//! New ones are on disk before they are shown, and are shown from the next connection on: open connections stay.

mod node;
mod server;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

pub(crate) use node::{NodeCertificates, Signer, own_membership};
pub(crate) use server::{AdminKubeconfig, ServerLeaves};

/// How often to look. Renewal begins 90 days before the end, so nothing depends on the moment.
const EVERY: Duration = Duration::from_secs(12 * 3600);
/// After a failure: soon at first, because a node that was off for months may hold an expired certificate.
const RETRY: Duration = Duration::from_secs(60);
/// And later once an hour.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// Who owns certificates and everything that shows them.
pub(crate) trait Renew {
    /// For logs: whose certificates.
    const WHOSE: &'static str;

    /// Renews what is due at `now`. Does nothing but look when nothing is. May be repeated after a failure.
    fn renew(&mut self, now: SystemTime) -> impl Future<Output = Result<()>> + Send;
}

/// Looks now and twice a day, until shutdown.
pub(crate) async fn run(mut owner: impl Renew, shutdown: CancellationToken) {
    let mut retry = RETRY;
    loop {
        let outcome = tokio::select! {
            outcome = owner.renew(SystemTime::now()) => outcome,
            () = shutdown.cancelled() => return,
        };
        let wait = match outcome {
            Ok(()) => {
                retry = RETRY;
                EVERY
            }
            Err(error) => {
                let wait = retry;
                retry = (retry * 2).min(RETRY_MAX);
                let error = format!("{error:#}");
                tracing::warn!(
                    of = whose(&owner),
                    error,
                    retry_in_s = wait.as_secs(),
                    "certificates cannot be renewed"
                );
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

fn whose<R: Renew>(_: &R) -> &'static str {
    R::WHOSE
}
