//! Get and list: from the cache of the kind, brought up to date as far as the request asks.

use std::num::{IntErrorKind, ParseIntError};
use std::sync::Arc;
use std::time::Duration;

use api::validation::field::{Error, ErrorList, Path};
use api::{List, ListOptions, Object, Request, Resource, Status, meta};
use embedded_store::{Range, StoreError};
use watch_cache::{Cache, Counts, Snapshot};

use super::continuation::Continuation;
use super::selection::Selection;
use super::{Registry, error, versions};

/// How long a request waits for a version that is not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// How many entries are read from the store at once.
const CHUNK: usize = 500;

impl Registry {
    /// One object as it is stored.
    pub(crate) async fn stored(&self, request: &Request, version: Option<&str>) -> Result<Arc<Object>, Status> {
        match late_version(version)? {
            None => self.catch_up().await?,
            Some(at_least) => self.reach(at_least).await?,
        }
        let cache = self.cache(&request.resource);
        if let Some(object) = cache.get(&request.namespace, &request.name) {
            return Ok(object);
        }
        self.check_readable(&request.resource.storage(), &request.namespace, &request.name).await?;
        Err(error::not_found(&request.resource, &request.name))
    }

    /// Waits for `revision`, but not for long.
    pub(crate) async fn reach(&self, revision: u64) -> Result<(), Status> {
        let reached = tokio::time::timeout(PATIENCE, self.feed.wait_for(revision)).await;
        reached.map_err(|_| error::too_large_version(revision, self.feed.applied()))
    }

    /// The objects of the kind and the revision they are complete up to. The number is taken before the objects, so they
    /// may show more than it says only if they themselves say so.
    pub(crate) fn snapshot(&self, cache: &Cache) -> (Snapshot, u64) {
        let applied = self.feed.applied();
        let snapshot = cache.snapshot();
        let revision = applied.max(snapshot.revision);
        (snapshot, revision)
    }

    /// A page of a collection.
    pub(crate) async fn list(&self, request: &Request, options: &ListOptions) -> Result<List, Status> {
        let resource = &request.resource;
        let selection = Selection::parse(resource, options)?;
        if !selection.is_of_version() {
            let mut list = self.stored_list(resource, &request.namespace, &selection, options).await?;
            list.items = versions::show_all(resource, list.items).await?;
            return Ok(list);
        }
        // Objects are selected after they were converted, so as many are looked at as it takes.
        let (stored, limit, mut options) = (selection.of_stored(), options.limit, options.clone());
        options.limit = if limit > 0 { limit.max(CHUNK) } else { 0 };
        let mut list = List::default();
        loop {
            let page = self.stored_list(resource, &request.namespace, &stored, &options).await?;
            list.revision = page.revision;
            let keys: Vec<String> = page.items.iter().map(|object| object.meta.key()).collect();
            let shown = versions::show_all(resource, page.items).await?;
            for (at, object) in shown.into_iter().enumerate().filter(|(_, object)| selection.matches(object)) {
                list.items.push(object);
                let is_last = at + 1 == keys.len() && page.continue_token.is_empty();
                if list.items.len() == limit && !is_last {
                    let after = keys[at].clone();
                    list.continue_token = Continuation { revision: Some(list.revision), after }.encode();
                    return Ok(list);
                }
            }
            if page.continue_token.is_empty() {
                return Ok(list);
            }
            options.continue_token = page.continue_token;
            (options.resource_version, options.resource_version_match) = (None, String::new());
        }
    }

    /// A page of a collection, in the form in which it is stored.
    async fn stored_list(
        &self,
        resource: &Arc<Resource>,
        namespace: &str,
        selection: &Selection,
        options: &ListOptions,
    ) -> Result<List, Status> {
        check(options)?;
        let cache = self.cache(resource);
        let page = Page { namespace, selection, limit: options.limit, counts: cache.counts() };
        if !options.continue_token.is_empty() {
            let from = Continuation::decode(&options.continue_token)?;
            if options.resource_version.as_deref().is_some_and(|version| !matches!(version, "" | "0")) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let Some(revision) = from.revision else {
                self.catch_up().await?;
                let (snapshot, revision) = self.snapshot(&cache);
                return Ok(page.of_snapshot(&snapshot, revision, Some(&from.after)));
            };
            return self.at(resource, &cache, &page, revision, Some(&from.after)).await.map_err(
                |failure| match failure {
                    StoreError::Compacted { .. } => expired_continuation(&from.after),
                    StoreError::Future { current } => error::too_large_version(revision, current),
                    other => error::store(other),
                },
            );
        }
        let bad = |error| Status::bad_request(format!("invalid resource version: {error}"));
        match resource_version(options.resource_version.as_deref()).map_err(bad)? {
            None => self.catch_up().await?,
            // Without a match, a version and a limit together have always meant exactly that version.
            Some(exactly)
                if options.resource_version_match == "Exact"
                    || options.resource_version_match.is_empty() && exactly != 0 && options.limit > 0 =>
            {
                self.reach(exactly).await?;
                return self.at(resource, &cache, &page, exactly, None).await.map_err(error::store);
            }
            Some(at_least) => self.reach(at_least).await?,
        }
        let (snapshot, revision) = self.snapshot(&cache);
        Ok(page.of_snapshot(&snapshot, revision, None))
    }

    /// A page of the collection as it was at `revision`.
    async fn at(
        &self,
        resource: &Arc<Resource>,
        cache: &Cache,
        page: &Page<'_>,
        revision: u64,
        after: Option<&str>,
    ) -> Result<List, StoreError> {
        let oldest = self.store.0.oldest();
        if revision < oldest {
            return Err(StoreError::Compacted { oldest });
        }
        // Nothing of the kind has changed since: the present state is the one asked for.
        let (snapshot, present) = self.snapshot(cache);
        if snapshot.revision <= revision && revision <= present {
            return Ok(page.of_snapshot(&snapshot, revision, after));
        }
        self.list_store(&resource.storage(), page, revision, after).await
    }

    async fn list_store(
        &self,
        resource: &Resource,
        page: &Page<'_>,
        revision: u64,
        after: Option<&str>,
    ) -> Result<List, StoreError> {
        let root = resource.store_prefix();
        let prefix = if page.namespace.is_empty() { root.clone() } else { format!("{root}{}/", page.namespace) };
        let mut start_after = after.map(|key| format!("{root}{key}"));
        let mut list = List { revision, ..List::default() };
        let mut looked_at = 0;
        loop {
            let range =
                Range { prefix: &prefix, start_after: start_after.as_deref(), limit: CHUNK, at: Some(revision) };
            let chunk = self.store.0.list(range).await?;
            let (count, more) = (chunk.entries.len(), chunk.more);
            looked_at += count;
            for (at, entry) in chunk.entries.iter().enumerate() {
                let Some(object) = crate::feed::refreshed(entry, resource).filter(|o| page.selection.matches(o)) else {
                    continue;
                };
                let last = object.meta.key();
                list.items.push(Arc::new(object));
                if page.limit > 0 && list.items.len() == page.limit {
                    let rest = (count - at - 1) as u64 + chunk.remaining;
                    page.end(&mut list, &last, rest);
                    page.counts.store_lists.add(looked_at, list.items.len());
                    return Ok(list);
                }
            }
            if !more {
                page.counts.store_lists.add(looked_at, list.items.len());
                return Ok(list);
            }
            start_after = chunk.entries.last().map(|entry| entry.key.to_string());
        }
    }
}

/// What every page of one list has in common.
struct Page<'a> {
    namespace: &'a str,
    selection: &'a Selection,
    limit: usize,
    counts: &'a Counts,
}

impl Page<'_> {
    fn of_snapshot(&self, snapshot: &Snapshot, revision: u64, after: Option<&str>) -> List {
        let mut list = List { revision, ..List::default() };
        let looked_at = self.take(snapshot, after, &mut list);
        self.counts.lists.add(looked_at, list.items.len());
        list
    }

    /// Fills a page, and says how many objects were looked at for it.
    fn take(&self, snapshot: &Snapshot, after: Option<&str>, list: &mut List) -> usize {
        let namespace = match self.selection.namespace() {
            Some(other) if !self.namespace.is_empty() && other != self.namespace => return 0,
            Some(other) => other,
            None => self.namespace,
        };
        if let Some(name) = self.selection.name()
            && after.is_none()
            && (!namespace.is_empty() || !snapshot_is_namespaced(snapshot))
        {
            let found = snapshot.get_key(&meta::key(namespace, name));
            let looked_at = found.iter().count();
            list.items.extend(found.filter(|object| self.selection.matches(object)).cloned());
            return looked_at;
        }
        let mut looked_at = 0;
        let everything = self.selection.is_everything();
        let mut rest = snapshot.range(namespace, after);
        if everything && self.limit == 0 {
            list.items = Object::share_all(rest);
            return list.items.len();
        }
        while let Some(object) = rest.next() {
            looked_at += 1;
            if !everything && !self.selection.matches(object) {
                continue;
            }
            list.items.push(object.clone());
            if self.limit > 0 && list.items.len() == self.limit {
                let last = object.meta.key();
                let left = if everything { rest.count() } else { rest.take(1).count() };
                self.end(list, &last, left as u64);
                break;
            }
        }
        looked_at
    }

    /// Ends a full page behind `last`, with `left` objects after it (with selectors, more or fewer of them will show).
    fn end(&self, list: &mut List, last: &str, left: u64) {
        if left == 0 {
            return;
        }
        list.continue_token = Continuation { revision: Some(list.revision), after: last.to_owned() }.encode();
        list.remaining = self.selection.is_everything().then_some(left);
    }
}

/// Whether the objects have namespaces; an empty snapshot may say either.
fn snapshot_is_namespaced(snapshot: &Snapshot) -> bool {
    snapshot.range("", None).next().is_some_and(|object| !object.meta.namespace.is_empty())
}

/// A version of a query: unset and empty are the same.
fn resource_version(version: Option<&str>) -> Result<Option<u64>, Error> {
    match version {
        None | Some("") => Ok(None),
        Some(version) => {
            parse_version(version).map(Some).map_err(|why| Error::invalid(&Path::root("resourceVersion"), version, why))
        }
    }
}

/// The version of a query for one object or for a watch: upstream reads it too late to call it a bad request.
pub(super) fn late_version(version: Option<&str>) -> Result<Option<u64>, Status> {
    resource_version(version).map_err(|error| Status::failure(500, "", error.to_string()))
}

/// A version as Go reads its numbers, complaints included.
pub(super) fn parse_version(version: &str) -> Result<u64, String> {
    let read = if version.starts_with('+') { "".parse() } else { version.parse() };
    read.map_err(|e: ParseIntError| {
        let overflow = *e.kind() == IntErrorKind::PosOverflow;
        let why = if overflow { "value out of range" } else { "invalid syntax" };
        format!("strconv.ParseUint: parsing {}: {why}", api::quote::quote(version))
    })
}

fn check(options: &ListOptions) -> Result<(), Status> {
    let matching = options.resource_version_match.as_str();
    if matching.is_empty() {
        return Ok(());
    }
    let (path, mut errors) = (Path::root("resourceVersionMatch"), ErrorList::new());
    let version = options.resource_version.as_deref().unwrap_or_default();
    if version.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        errors.push(Error::forbidden(&path, why));
    }
    if !options.continue_token.is_empty() {
        errors.push(Error::forbidden(&path, "resourceVersionMatch is forbidden when continue is provided"));
    }
    if !matches!(matching, "Exact" | "NotOlderThan") {
        errors.push(Error::not_supported(&path, matching, &["Exact", "NotOlderThan", ""]));
    }
    if matching == "Exact" && version == "0" {
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        errors.push(Error::forbidden(&path, why));
    }
    if errors.is_empty() { Ok(()) } else { Err(error::invalid_options(&errors)) }
}

/// 410 whose metadata lets the client go on, if it can do with a list that mixes two states.
fn expired_continuation(after: &str) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    );
    let token = Continuation { revision: None, after: after.to_owned() }.encode();
    status.metadata.insert("continue".into(), token.into());
    status
}
