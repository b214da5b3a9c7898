//! Protobuf forms that are kept for the next lists: who lists a kind as protobuf seldom does it alone, or once, and little has
//! changed by then. They are kept with their objects, and end with them, or a minute after the first of them was made.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::Object;
use parking_lot::Mutex;

/// So many bytes are kept at most, and for so long.
const ROOM: usize = 32 << 20;
const PERIOD: Duration = Duration::from_secs(60);

/// What is kept in the current period. Objects that ended meanwhile count until it is over.
#[derive(Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    objects: Vec<Weak<Object>>,
    bytes: usize,
}

impl Kept {
    /// Keeps an object's form with it, or its length alone when there is no room. Needs a Tokio runtime.
    pub(super) fn keep(&self, object: &Arc<Object>, form: &[u8]) {
        let mut shelf = self.0.lock();
        if shelf.bytes + form.len() > ROOM {
            return object.remember_protobuf_len(form.len());
        }
        if shelf.objects.is_empty() {
            tokio::spawn(end(Arc::downgrade(&self.0)));
        }
        shelf.bytes += form.len() + size_of::<Weak<Object>>();
        shelf.objects.push(Arc::downgrade(object));
        object.keep_protobuf(form.into());
    }

    /// Whether nothing more is kept in this period.
    pub(super) fn is_full(&self) -> bool {
        // What no longer fits may be smaller than what is to come, which changes little.
        self.0.lock().bytes + ROOM / 64 > ROOM
    }
}

/// Ends the period that begins now.
async fn end(shelf: Weak<Mutex<Shelf>>) {
    tokio::time::sleep(PERIOD).await;
    let Some(shelf) = shelf.upgrade() else { return };
    let ended = std::mem::take(&mut *shelf.lock());
    ended.objects.iter().filter_map(Weak::upgrade).for_each(|object| object.let_go_of_protobuf());
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn object() -> Arc<Object> {
        let row = api::resource::find("", "v1", "configmaps").unwrap();
        Arc::new(Object::stored(Bytes::from_static(br#"{"metadata":{"name":"x"}}"#), 7, row).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn forms_are_kept_as_far_as_there_is_room_and_for_a_minute() {
        let kept = Kept::default();
        let (small, large) = (object(), object());
        kept.keep(&small, b"form");
        assert_eq!(small.protobuf().as_deref(), Some(&b"form"[..]));
        kept.keep(&large, &vec![0; ROOM]);
        assert_eq!((large.protobuf(), large.protobuf_len()), (None, Some(ROOM)));
        assert!(!kept.is_full());
        kept.keep(&large, &vec![0; ROOM - ROOM / 64]);
        assert!(kept.is_full());

        tokio::time::sleep(PERIOD + Duration::from_secs(1)).await;
        assert_eq!((small.protobuf(), small.protobuf_len()), (None, Some(4)));
        assert!(large.protobuf().is_none() && !kept.is_full());
        kept.keep(&small, b"form");
        assert!(small.protobuf().is_some(), "the next period has begun");
        let copy = Object::clone(&small);
        assert_eq!((copy.protobuf(), copy.protobuf_len()), (None, None), "which may be at another revision");
    }
}
