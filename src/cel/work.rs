//! What an evaluation takes beside what it costs. Costs are upstream's, which count a step where memory is shared: joining two
//! lists, comparing values that hold one list many times over, taking one character of a long text. So work is counted as well, and an
//! evaluation that takes far more of it than costs could ever pay for is given up as if it had cost too much.

use std::cell::Cell;

use crate::error::Error;
use crate::library::too_costly;

/// What is still to be done. A unit is one value that is looked at or made; or so many bytes of a text.
#[derive(Debug)]
pub(crate) struct Work(Cell<u64>);

/// Bytes of a text that are looked through in the time of one value.
const BYTES: usize = 64;

impl Work {
    pub(crate) fn new(units: u64) -> Work {
        Work(Cell::new(units))
    }

    pub(crate) fn left(&self) -> u64 {
        self.0.get()
    }

    /// Takes units; an error when there are not so many.
    pub(crate) fn take(&self, units: usize) -> Result<(), Error> {
        let left = self.left().checked_sub(units as u64);
        self.0.set(left.unwrap_or_default());
        left.map(drop).ok_or_else(too_costly)
    }

    /// The same for a text.
    pub(crate) fn take_text(&self, text: &str) -> Result<(), Error> {
        self.take(text.len() / BYTES)
    }
}

/// Whether the test holds for all; what cannot be found out ends it.
pub(crate) fn all<T>(
    items: impl IntoIterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, Error>,
) -> Result<bool, Error> {
    for item in items {
        if !test(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the test holds for any.
pub(crate) fn any<T>(
    items: impl IntoIterator<Item = T>,
    mut test: impl FnMut(T) -> Result<bool, Error>,
) -> Result<bool, Error> {
    all(items, |item| test(item).map(|holds| !holds)).map(|none| !none)
}
