//! The cells of one object, written once and for all times: as JSON, but for the ages in them, of which only the beginning is
//! known. What reads an object's fields costs far more than what copies its row, so rows are kept with their objects.

use api::Object;
use jiff::Timestamp;
use serde_json::Value;

use super::duration;

/// Stands where an age belongs; the microsecond since which it is counted follows in eight bytes. No JSON holds such a byte.
const SINCE: u8 = 0xff;

/// A row is kept while it is at most this part of its object: tables make a cluster's memory a little larger, and no more.
const KEPT: usize = 8;

/// The cells of one object, without the brackets around them.
#[derive(Debug, Default)]
pub(super) struct Row(Vec<u8>);

impl Row {
    /// Adds a cell.
    pub(super) fn push(&mut self, cell: impl Cell) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        cell.write(&mut self.0);
    }

    /// The object's own row if one is kept with it.
    pub(super) fn write_kept(object: &Object, now: Timestamp, out: &mut Vec<u8>) -> bool {
        object.row().map(|row| write(row, now, out)).is_some()
    }

    /// Appends the cells as they are at `now`, in brackets.
    pub(super) fn write(&self, now: Timestamp, out: &mut Vec<u8>) {
        write(&self.0, now, out);
    }

    /// Keeps the row with its object, if it is small beside it.
    pub(super) fn keep(self, object: &Object) {
        if self.0.len() <= object.json_len() / KEPT {
            object.keep_row(self.0.into());
        }
    }
}

fn write(mut row: &[u8], now: Timestamp, out: &mut Vec<u8>) {
    out.push(b'[');
    while let Some(at) = row.iter().position(|byte| *byte == SINCE) {
        let (text, rest) = row.split_at(at);
        out.extend_from_slice(text);
        let Some((since, rest)) = rest[1..].split_first_chunk() else { break };
        let age = duration::human((now.as_microsecond() - i64::from_le_bytes(*since)) / 1_000_000);
        out.extend_from_slice(age.as_bytes());
        row = rest;
    }
    out.extend_from_slice(row);
    out.push(b']');
}

/// What can be a cell.
pub(super) trait Cell {
    /// Appends the cell.
    fn write(self, out: &mut Vec<u8>);
}

macro_rules! plain {
    ($($ty:ty),*) => {$(
        impl Cell for $ty {
            fn write(self, out: &mut Vec<u8>) {
                // Writing to a Vec cannot fail.
                let _ = serde_json::to_writer(out, &self);
            }
        }
    )*};
}
plain!(&str, String, bool, i64, usize, Value);

/// A text, which may tell how long ago something was.
pub(super) enum Words {
    Fixed(String),
    /// The time that has passed since then, between two texts.
    Since {
        before: String,
        time: Timestamp,
        after: &'static str,
    },
}

impl Words {
    /// The time that has passed since then; `<unknown>` since a time that is not there.
    pub(super) fn since(time: Option<Timestamp>) -> Self {
        match time.filter(|time| !api::time::is_zero(*time)) {
            Some(time) => Self::Since { before: String::new(), time, after: "" },
            None => Self::Fixed("<unknown>".to_owned()),
        }
    }
}

impl Cell for Words {
    fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Fixed(text) => text.write(out),
            Self::Since { before, time, after } => {
                before.write(out);
                out.pop();
                out.push(SINCE);
                out.extend_from_slice(&time.as_microsecond().to_le_bytes());
                out.extend_from_slice(after.as_bytes());
                out.push(b'"');
            }
        }
    }
}

/// Puts a row together.
macro_rules! row {
    ($($cell:expr),* $(,)?) => {{
        let mut row = $crate::table::row::Row::default();
        $(row.push($cell);)*
        Ok(row)
    }};
}
pub(super) use row;
