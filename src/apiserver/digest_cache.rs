//! What was found out a moment ago about a token or a question: verifying a signature, or asking a webhook, costs far more
//! than a look here.
//!
//! What was asked is kept as a keyed digest, so that nobody who sees this memory sees a token, and never more than [`MOST`]
//! of it: when there is no room, what has expired goes first, and then everything.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use parking_lot::Mutex;

/// How many answers are remembered; one takes about a kilobyte.
const MOST: usize = 4096;

/// The longest token, and the longest answer, that is remembered: who may send megabytes could fill the memory with them.
pub(crate) const LONGEST: usize = 16 << 10;

/// The digest of what was asked.
pub(crate) type Digest = [u8; 32];

/// A bounded cache of answers, each good for a while.
pub(crate) struct DigestCache<T> {
    key: hmac::Key,
    entries: Mutex<HashMap<Digest, (Instant, T)>>,
}

impl<T: Clone> DigestCache<T> {
    pub(crate) fn new() -> Self {
        let secret: [u8; 32] = rand::random();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret), entries: Mutex::default() }
    }

    /// The place of an answer: to a token or a question, and what narrows it down.
    pub(crate) fn digest(&self, asked: &str, narrowed: &[String]) -> Digest {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(asked.as_bytes());
        for part in narrowed {
            // Neither tokens nor JSON hold this byte.
            context.update(&[0]);
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().unwrap_or_default()
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<T> {
        let entries = self.entries.lock();
        entries.get(digest).filter(|(until, _)| *until > Instant::now()).map(|(_, found)| found.clone())
    }

    pub(crate) fn put(&self, digest: Digest, found: T, life: Duration) {
        if life.is_zero() {
            return;
        }
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= MOST {
            entries.retain(|_, (until, _)| *until > now);
            if entries.len() >= MOST {
                entries.clear();
            }
        }
        entries.insert(digest, (now + life, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_remembered_for_a_while_and_never_too_many() {
        let cache = DigestCache::new();
        let (a, b) = (cache.digest("a", &[]), cache.digest("a", &["x".to_owned()]));
        assert_ne!(a, b);
        cache.put(a, 1, Duration::from_secs(60));
        cache.put(b, 2, Duration::ZERO);
        assert_eq!((cache.get(&a), cache.get(&b)), (Some(1), None));
        for n in 0..2 * MOST {
            cache.put(cache.digest(&n.to_string(), &[]), 3, Duration::from_secs(60));
        }
        assert!(cache.entries.lock().len() <= MOST);
    }
}
