//! What watchers have made of a change: its lines in watch streams, one for each form that somebody asked for.

use bytes::Bytes;
use parking_lot::Mutex;

/// A form a change is sent in. The number is whoever's who makes the frames; frames that are true for a while only, such as
/// those that tell ages, name the second as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What the frame looks like.
    pub number: u8,
    /// When it was made; 0 for frames that stay true.
    pub second: i64,
}

/// The frames of one change. They are for those who follow it closely: whoever comes late makes their own.
#[derive(Debug)]
pub struct Frames(Mutex<State>);

#[derive(Debug)]
enum State {
    Open(Vec<(Form, Bytes)>),
    Closed,
}

impl Default for Frames {
    fn default() -> Self {
        Self(Mutex::new(State::Open(Vec::new())))
    }
}

impl Frames {
    /// The frame in a form, made by whoever comes first while the others wait.
    pub fn get_or_make(&self, form: Form, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut state = self.0.lock();
        let State::Open(frames) = &mut *state else {
            drop(state);
            return make();
        };
        if let Some((_, frame)) = frames.iter().find(|(known, _)| *known == form) {
            return frame.clone();
        }
        let frame = make();
        frames.retain(|(known, _)| known.number != form.number);
        frames.push((form, frame.clone()));
        frame
    }

    /// Gives the frames back, and keeps no others.
    pub(crate) fn close(&self) {
        *self.0.lock() = State::Closed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_made_once_for_each_form() {
        let frames = Frames::default();
        let made = |number, second, text: &'static str| {
            frames.get_or_make(Form { number, second }, || Bytes::from_static(text.as_bytes()))
        };
        assert_eq!(made(0, 0, "a"), "a");
        assert_eq!(made(0, 0, "b"), "a");
        assert_eq!(made(1, 7, "c"), "c");
        assert_eq!(made(1, 7, "d"), "c");
        assert_eq!(made(1, 8, "e"), "e");
        assert_eq!(made(1, 7, "f"), "f", "of frames that grow old one is kept");
        frames.close();
        assert_eq!(made(0, 0, "g"), "g");
        assert_eq!(made(0, 0, "h"), "h");
    }
}
