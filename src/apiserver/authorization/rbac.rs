//! RBAC: roles and bindings, compiled into an index by subject, so that a request decodes nothing.
//!
//! The index follows the watch caches, and catches up when it is asked: who writes a binding and uses it at once is not
//! told an old answer.

mod compile;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use api::User;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use watch_cache::{Cache, Subscription};

use compile::Sources;
pub(crate) use compile::{Compiled, Grant};

use super::{Attributes, Decision, Reason, Rule};

/// The four kinds RBAC is made of, in this order: clusterroles, roles, clusterrolebindings, rolebindings.
pub(crate) type Caches = [Arc<Cache>; 4];

/// Decides by roles and bindings.
pub(crate) struct Rbac {
    compiled: ArcSwap<Compiled>,
    following: Mutex<Following>,
    caches: Caches,
}

struct Following {
    subscriptions: [Subscription; 4],
    sources: Sources,
}

impl Rbac {
    /// The caches have to be filled.
    pub(crate) fn new(caches: Caches) -> Self {
        let following = Following::start(&caches);
        let compiled = ArcSwap::from_pointee(following.sources.compile());
        Self { compiled, following: Mutex::new(following), caches }
    }

    /// The index, with every change in it that the caches show. Who finds another at work uses what is there.
    pub(crate) fn compiled(&self) -> Arc<Compiled> {
        if let Some(mut following) = self.following.try_lock()
            && following.catch_up(&self.caches)
        {
            self.compiled.store(Arc::new(following.sources.compile()));
        }
        self.compiled.load_full()
    }

    /// As [`Rbac::compiled`], but waits for whoever is at work: for a caller that acts on what it sees and looks again only
    /// after the next change.
    pub(crate) fn compiled_now(&self) -> Arc<Compiled> {
        let mut following = self.following.lock();
        if following.catch_up(&self.caches) {
            self.compiled.store(Arc::new(following.sources.compile()));
        }
        self.compiled.load_full()
    }

    pub(crate) fn decide(&self, user: &User, what: &Attributes<'_>) -> Decision {
        let seen = self.compiled();
        let refused = match decide(&seen, user, what) {
            Decision::NoOpinion(why) => why,
            decided => return decided,
        };
        // Refusals are rare, and none is to come of an index that somebody else was just bringing up to date.
        let now = self.compiled_now();
        if Arc::ptr_eq(&seen, &now) { Decision::NoOpinion(refused) } else { decide(&now, user, what) }
    }

    /// Every rule a user has, in a namespace or in the cluster.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let compiled = self.compiled();
        compiled
            .grants(user, namespace)
            .filter_map(|g| g.rules.as_ref().ok())
            .flat_map(|rules| rules.iter().cloned())
            .collect()
    }
}

fn decide(compiled: &Compiled, user: &User, what: &Attributes<'_>) -> Decision {
    let mut missing = Vec::new();
    for grant in compiled.grants(user, what.namespace) {
        match &grant.rules {
            Ok(rules) if rules.iter().any(|rule| rule.allows(what)) => {
                return Decision::Allow(Reason::Granted(grant.clone()));
            }
            Ok(_) => {}
            Err(why) if missing.len() < 8 => missing.push(why.to_string()),
            Err(_) => {}
        }
    }
    let why = match missing.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    };
    Decision::NoOpinion(why)
}

impl Following {
    fn start(caches: &Caches) -> Self {
        let mut sources = Sources::default();
        let subscriptions = [0, 1, 2, 3].map(|kind| {
            let (snapshot, subscription) = caches[kind].subscribe();
            for object in snapshot.range("", None) {
                sources.put(kind, object);
            }
            subscription
        });
        Self { subscriptions, sources }
    }

    /// Takes over what has changed; whether anything has.
    fn catch_up(&mut self, caches: &Caches) -> bool {
        let mut moved = false;
        for kind in 0..4 {
            loop {
                match self.subscriptions[kind].ready() {
                    Ok(changes) if changes.is_empty() => break,
                    Ok(changes) => {
                        moved = true;
                        for change in changes {
                            match change.kind {
                                watch_cache::ChangeKind::Deleted => self.sources.remove(kind, &change.object),
                                _ => self.sources.put(kind, &change.object),
                            }
                        }
                    }
                    Err(_) => {
                        *self = Self::start(caches);
                        return true;
                    }
                }
            }
        }
        moved
    }
}
