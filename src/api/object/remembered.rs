//! What is found out about an object when somebody first asks, and again and again by lists: where its metadata ends, its row in
//! tables, and its protobuf form, which takes longer to make than all else about them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// A place in an object's bytes, once it is known.
#[derive(Debug, Default)]
pub(super) struct Place(AtomicU32);

impl Clone for Place {
    fn clone(&self) -> Self {
        // The bytes of a copy are the same.
        Self(AtomicU32::new(self.0.load(Ordering::Relaxed)))
    }
}

impl Place {
    pub(super) fn get(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.0.load(Ordering::Relaxed))
    }

    /// What does not fit into 32 bits is found out every time.
    pub(super) fn set(&self, place: usize) {
        self.0.store(place.try_into().unwrap_or(0), Ordering::Relaxed);
    }
}

/// An object's row in tables, once somebody made it. A copy has none: it may be at work on becoming something else.
#[derive(Debug, Default)]
pub(super) struct Row(OnceLock<Box<[u8]>>);

impl Clone for Row {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Row {
    pub(super) fn get(&self) -> Option<&[u8]> {
        self.0.get().map(|row| &**row)
    }

    /// The first one stays: all are the same.
    pub(super) fn set(&self, row: Box<[u8]>) {
        let _ = self.0.set(row);
    }
}

/// What was found out about an object's protobuf form. It is no part of the object: a copy has to find out anew, because it may
/// be at another revision.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Form>);

#[derive(Debug, Default)]
enum Form {
    #[default]
    Unknown,
    /// How long it is.
    Length(usize),
    Whole(Arc<[u8]>),
}

impl Clone for Remembered {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Remembered {
    pub(super) fn len(&self) -> Option<usize> {
        match &*self.0.lock() {
            Form::Unknown => None,
            Form::Length(length) => Some(*length),
            Form::Whole(form) => Some(form.len()),
        }
    }

    pub(super) fn whole(&self) -> Option<Arc<[u8]>> {
        match &*self.0.lock() {
            Form::Whole(form) => Some(form.clone()),
            _ => None,
        }
    }

    pub(super) fn set_len(&self, length: usize) {
        let mut form = self.0.lock();
        if matches!(*form, Form::Unknown) {
            *form = Form::Length(length);
        }
    }

    pub(super) fn set_whole(&self, whole: Arc<[u8]>) {
        *self.0.lock() = Form::Whole(whole);
    }

    pub(super) fn let_go(&self) {
        let mut form = self.0.lock();
        if let Form::Whole(whole) = &*form {
            *form = Form::Length(whole.len());
        }
    }
}
