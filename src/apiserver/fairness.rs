//! Room in the server: so many reads and so many writes at once, and 429 for the rest, so that a flood of requests ends
//! in polite refusals and not in an exhausted process.

mod flow;

use std::sync::Arc;

use api::{Status, User};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::authorization::Attributes;

pub(crate) use flow::{Flow, Flows};

/// How many requests are carried out at once. The defaults are upstream's.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// Reads.
    pub reads: usize,
    /// Writes.
    pub writes: usize,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { reads: 400, writes: 200 }
    }
}

/// The room, and who has it.
pub(crate) struct Fairness {
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    size: InFlight,
    pub(crate) flows: Flows,
}

/// A place in the server; given back when dropped. Long-running requests and administrators need none.
#[must_use]
pub(crate) struct Permit {
    _place: Option<OwnedSemaphorePermit>,
}

impl Fairness {
    pub(crate) fn new(size: InFlight, flows: Flows) -> Self {
        Self { reads: Arc::new(Semaphore::new(size.reads)), writes: Arc::new(Semaphore::new(size.writes)), size, flows }
    }

    /// Finds a place, or refuses.
    pub(crate) fn admit(&self, user: &User, what: &Attributes<'_>) -> Result<Permit, Status> {
        if is_long_running(what) || user.in_group(api::user::MASTERS) || is_probe(what) {
            return Ok(Permit { _place: None });
        }
        let room = if matches!(what.verb, "get" | "list" | "head") { &self.reads } else { &self.writes };
        match room.clone().try_acquire_owned() {
            Ok(place) => Ok(Permit { _place: Some(place) }),
            Err(_) => Err(Status::too_many_requests("Too many requests, please try again later.", 1)),
        }
    }

    /// How many reads and writes are under way.
    pub(crate) fn in_flight(&self) -> InFlight {
        InFlight {
            reads: self.size.reads - self.reads.available_permits().min(self.size.reads),
            writes: self.size.writes - self.writes.available_permits().min(self.size.writes),
        }
    }
}

/// Whether a request lasts as long as its client likes: no timeout and no place counted.
pub(crate) fn is_long_running(what: &Attributes<'_>) -> bool {
    what.is_resource
        && (what.verb == "watch" || matches!(what.subresource, "attach" | "exec" | "log" | "portforward" | "proxy"))
}

/// Health is told to everybody at any time.
fn is_probe(what: &Attributes<'_>) -> bool {
    !what.is_resource && ["/healthz", "/livez", "/readyz"].iter().any(|probe| what.path.starts_with(probe))
}
