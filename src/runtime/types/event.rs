//! Hints that something happened.

/// One hint from the runtime. Hints can be lost and repeated: look at the object again, never count them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Id of the container or sandbox (the runtime draws no line between them here), or the image's name; empty for [`EventKind::Resync`].
    pub id: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The stream (re)connected: anything may have happened before. List everything.
    Resync,
    /// A container or sandbox was made.
    Created,
    /// Its process runs.
    Started,
    /// Its process ended with this code.
    Exited(i32),
    /// The kernel killed a process in it for want of memory. The exit follows as an event of its own.
    OutOfMemory,
    /// It was removed.
    Removed,
    /// An image was added, changed or removed.
    Image,
}
