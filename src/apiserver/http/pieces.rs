//! Lists in pieces: no part of one is made before the client takes it, and no object is held longer than it has to be.

use std::sync::Arc;

use api::Object;
use api::object::LOOKS;

/// So much is written at once.
pub(super) const PIECE: usize = 64 * 1024;

/// Memory for a piece and the end of the item that makes it full.
pub(super) fn room() -> Vec<u8> {
    Vec::with_capacity(PIECE + PIECE / 8)
}

/// One form of lists: how an item is written, and what comes behind them all.
pub(super) trait ItemWriter {
    /// Why an item cannot be written; the list ends there, and the client is told that it is not whole.
    type Error;

    /// Adds an item; `last` tells whether none follows.
    fn item(&mut self, object: &Arc<Object>, last: bool, out: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Adds what comes behind the items.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// The pieces of a list.
pub(super) struct Pieces<W> {
    writer: W,
    items: std::vec::IntoIter<Arc<Object>>,
    /// So many of the next items were looked at before.
    seen: usize,
    /// What the next piece begins with; none behind the last.
    next: Option<Vec<u8>>,
}

impl<W: ItemWriter> Pieces<W> {
    /// A list that begins with `head`.
    pub(super) fn new(head: Vec<u8>, items: std::vec::IntoIter<Arc<Object>>, writer: W) -> Self {
        Self { writer, items, seen: 0, next: Some(head) }
    }

    fn fill(&mut self, mut out: Vec<u8>) -> Result<Vec<u8>, W::Error> {
        while out.len() < PIECE {
            if self.seen == 0 {
                let some = self.items.as_slice();
                self.seen = LOOKS;
                Object::look_at(&some[..some.len().min(LOOKS)]);
            }
            self.seen -= 1;
            let Some(object) = self.items.next() else {
                self.writer.end(&mut out)?;
                return Ok(out);
            };
            self.writer.item(&object, self.items.len() == 0, &mut out)?;
        }
        self.next = Some(room());
        Ok(out)
    }
}

impl<W: ItemWriter> Iterator for Pieces<W> {
    type Item = Result<Vec<u8>, W::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let out = self.next.take()?;
        Some(self.fill(out))
    }
}
