//! What other API servers say of what they serve behind this one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::hash_of;

/// What another API server says of one group and version that it serves behind this one.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct OtherDocuments {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Where its documents of version 3 are, by name: of all that the server serves.
    pub(crate) v3: BTreeMap<String, String>,
    /// All of its document of version 2, as JSON; `None` when it has none.
    pub(crate) v2: Option<Bytes>,
    /// The name and the hash of the document that is made of that of version 2, because it does not know version 3.
    pub(super) made: Option<(String, Arc<str>)>,
}

impl OtherDocuments {
    /// `v3` is `None` when the server does not know version 3.
    pub(crate) fn new(group: &str, version: &str, v3: Option<BTreeMap<String, String>>, v2: Option<Bytes>) -> Self {
        let made = v2.as_ref().filter(|_| v3.is_none()).map(|v2| (format!("apis/{group}/{version}"), hash_of(v2)));
        Self { group: group.to_owned(), version: version.to_owned(), v3: v3.unwrap_or_default(), v2, made }
    }

    /// The document of version 2 that the one of version 3 of a name is made of, and the hash of the latter.
    pub(super) fn source(&self, name: &str) -> Option<(&Bytes, &Arc<str>)> {
        let (_, hash) = self.made.as_ref().filter(|(made, _)| made == name)?;
        Some((self.v2.as_ref()?, hash))
    }
}
