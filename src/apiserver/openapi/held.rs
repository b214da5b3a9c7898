//! Documents that are on their way, shared by all who are sent the same: a client that does not read holds no copy of its own.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

/// Documents by what they are, as long as somebody is being sent them. One is made at a time: making one takes some tens of
/// megabytes.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<String, Weak<[u8]>>>);

impl Held {
    /// The document `name`, which says all that it depends on: the one that is held, or what `make` makes.
    pub(super) fn share(&self, name: String, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let mut held = self.0.lock();
        if let Some(document) = held.get(&name).and_then(Weak::upgrade) {
            return Bytes::from_owner(document);
        }
        held.retain(|_, document| document.strong_count() > 0);
        let document: Arc<[u8]> = make().into();
        held.insert(name, Arc::downgrade(&document));
        Bytes::from_owner(document)
    }

    /// A document that nobody is sent.
    pub(super) fn make(&self, document: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
        let _one_at_a_time = self.0.lock();
        document()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_made_once_while_it_is_held() {
        let held = Held::default();
        let first = held.share("a".into(), || b"one".to_vec());
        let second = held.share("a".into(), || b"two".to_vec());
        assert_eq!((&*second, first.as_ptr()), (&b"one"[..], second.as_ptr()));
        drop((first, second));
        assert_eq!(held.share("a".into(), || b"three".to_vec()), "three");
        assert_eq!(held.0.lock().len(), 1);
    }
}
