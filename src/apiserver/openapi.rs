//! The OpenAPI documents, `/openapi/v2` and `/openapi/v3`: what `kubectl explain` shows, and how clients know what fields
//! there are, how they merge, and what each path understands.
//!
//! The documents are large and rarely asked for (clients keep them by their hashes), so none is held: one is made from
//! the tables when it is wanted, part by part. What is held is the hash of each.

mod contents;
mod converted;
mod custom;
mod descriptions;
mod digest;
mod document;
mod enumerations;
mod gnostic;
mod held;
mod operation;
mod others;
mod paths;
mod schemas;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use api::{Resource, Status};
use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA512, digest};
use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use serde_json::{Value, json};

use contents::Served;
use custom::Published;
use document::Encoding;
use held::Held;
pub(crate) use others::OtherDocuments;

use crate::catalog::CustomKind;

/// What the hashes of documents of version 2 are known by, before their encoding.
const WHOLE: &str = "v2 ";

/// Upstream compresses what is at least this large.
const GZIP_MIN: usize = 128 * 1024;

/// The documents of a server.
#[derive(Clone, Debug, Default)]
pub struct OpenApi(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The built-in kinds that are served.
    builtin: Vec<Arc<Resource>>,
    custom: Mutex<Custom>,
    others: ArcSwap<Vec<Arc<OtherDocuments>>>,
    hashes: Mutex<Hashes>,
    held: Held,
}

/// The custom kinds, as they were published.
#[derive(Debug, Default)]
struct Custom {
    /// The rows of each kind, by `plural.group`.
    kinds: BTreeMap<Box<str>, Vec<Arc<Resource>>>,
    /// The same in the order of documents; made when a document is asked for after a change.
    contents: Option<Arc<Contents>>,
}

/// What documents are about.
#[derive(Debug)]
struct Contents {
    custom: Published,
    /// The names of the documents of version 3.
    names: BTreeSet<String>,
    /// How often custom kinds had been published then.
    generation: u64,
}

#[derive(Debug, Default)]
struct Hashes {
    /// How often custom kinds, and what others say, have been published: no hash of an older state is kept.
    generation: (u64, u64),
    /// By document, and for version 2 by encoding.
    known: HashMap<String, Arc<str>>,
}

impl OpenApi {
    /// The documents of these built-in kinds, and of what is published.
    pub fn new(builtin: Vec<Arc<Resource>>) -> Self {
        Self(Arc::new(Inner { builtin, ..Inner::default() }))
    }

    /// Puts these custom kinds into the documents, in place of what they were there. Takes effect with the next request, and
    /// makes nothing before it.
    pub fn publish(&self, kinds: &[CustomKind]) {
        let mut custom = self.0.custom.lock();
        custom.contents = None;
        let mut rows = Vec::new();
        for CustomKind { name, rows: new } in kinds {
            rows.extend(custom.kinds.remove(name).into_iter().flatten());
            if !new.is_empty() {
                rows.extend(new.iter().cloned());
                custom.kinds.insert(name.clone(), new.clone());
            }
        }
        let mut hashes = self.0.hashes.lock();
        hashes.generation.0 += 1;
        for row in rows {
            hashes.known.remove(paths::root(&row.group, &row.version).trim_start_matches('/'));
        }
        hashes.known.retain(|name, _| !name.starts_with(WHOLE));
    }

    /// Puts what others say of themselves into the documents, in place of all that was there.
    pub(crate) fn publish_others(&self, others: Vec<Arc<OtherDocuments>>) {
        self.0.others.store(Arc::new(others));
        let mut hashes = self.0.hashes.lock();
        hashes.generation.1 += 1;
        hashes.known.retain(|name, _| !name.starts_with(WHOLE));
    }

    /// The group and version of who has the document of version 3 of a name, if that is another server.
    pub(crate) fn elsewhere(&self, name: &str) -> Option<(String, String)> {
        let others = self.0.others.load_full();
        let other = others.iter().find(|other| other.v3.contains_key(name))?;
        let ours = self.0.contents().names.contains(name);
        (!ours).then(|| (other.group.clone(), other.version.clone()))
    }

    /// Answers `GET` of a path below `/openapi/`; `hash` is the query's. Makes documents on a thread of their own.
    pub async fn answer(&self, path: &str, hash: Option<&str>, headers: &HeaderMap) -> Result<Response<Body>, Status> {
        let asked = Asked {
            accept: text(headers, header::ACCEPT),
            etag: text(headers, header::IF_NONE_MATCH),
            gzip: text(headers, header::ACCEPT_ENCODING).split(',').any(|coding| coding.trim().starts_with("gzip")),
            hash: hash.filter(|hash| !hash.is_empty()).map(str::to_owned),
        };
        let (inner, path) = (self.0.clone(), path.trim_matches('/').to_owned());
        let made = tokio::task::spawn_blocking(move || inner.answer(&path, &asked)).await;
        made.map_err(|_| Status::internal("making an OpenAPI document failed"))?
    }
}

/// What a request says.
struct Asked {
    accept: String,
    etag: String,
    gzip: bool,
    hash: Option<String>,
}

impl Inner {
    fn served<'a>(&'a self, contents: &'a Contents) -> Served<'a> {
        Served { builtin: &self.builtin, custom: &contents.custom }
    }

    /// What documents are about now.
    fn contents(&self) -> Arc<Contents> {
        let mut custom = self.custom.lock();
        let Custom { kinds, contents } = &mut *custom;
        let make = || {
            let custom = Published::new(kinds.values().flatten().cloned());
            let names = contents::names(Served { builtin: &self.builtin, custom: &custom });
            Arc::new(Contents { custom, names, generation: self.hashes.lock().generation.0 })
        };
        contents.get_or_insert_with(make).clone()
    }

    fn answer(&self, path: &str, asked: &Asked) -> Result<Response<Body>, Status> {
        match path.strip_prefix("openapi/").unwrap_or_default() {
            "v2" => self.whole(asked),
            "v3" => self.index(asked),
            path => match path.strip_prefix("v3/") {
                Some(name) => self.document(name, asked),
                None => Err(Status::no_such_path()),
            },
        }
    }

    fn whole(&self, asked: &Asked) -> Result<Response<Body>, Status> {
        let encoding = negotiate(&asked.accept, "v2")?;
        let name = format!("{WHOLE}{encoding:?}");
        let known = self.hashes.lock().known.get(&name).cloned();
        if let Some(hash) = known.filter(|hash| asked.has(hash)) {
            return Ok(not_modified(&hash));
        }
        let generation = self.hashes.lock().generation.1;
        let (contents, others) = (self.contents(), self.others.load_full());
        let document = format!("{name} {} {generation}", contents.generation);
        let make = || contents::whole(self.served(&contents), &others, encoding);
        let bytes = self.held.share(document.clone(), make);
        let known = self.hashes.lock().known.get(&name).cloned();
        let hash = known.unwrap_or_else(|| hash_of(&bytes));
        self.learn((contents.generation, Some(generation)), &name, &hash);
        let mut response = self.body(document, bytes, content_type(encoding, "v2"), asked);
        tag(&mut response, &hash);
        Ok(response)
    }

    /// Where the documents of version 3 are, each with its hash.
    fn index(&self, asked: &Asked) -> Result<Response<Body>, Status> {
        let contents = self.contents();
        let others = self.others.load_full();
        // What is described in two places is asked for at the first, and here before anywhere else.
        let mut paths: BTreeMap<&str, Value> = BTreeMap::new();
        let here = |name: &str, hash: &str| json!({ "serverRelativeURL": format!("/openapi/v3/{name}?hash={hash}") });
        for other in others.iter().rev() {
            paths.extend(other.made.iter().map(|(name, hash)| (&**name, here(name, hash))));
            paths.extend(other.v3.iter().map(|(name, url)| (&**name, json!({ "serverRelativeURL": url }))));
        }
        for name in &contents.names {
            paths.insert(name, here(name, &self.hash(name, &contents)));
        }
        let bytes = json!({ "paths": paths }).to_string().into_bytes();
        let hash: Arc<str> = hash_of(&bytes);
        if asked.has(&hash) {
            return Ok(not_modified(&hash));
        }
        let mut response = self.body(format!("index {hash}"), bytes.into(), "application/json", asked);
        tag(&mut response, &hash);
        Ok(response)
    }

    fn document(&self, name: &str, asked: &Asked) -> Result<Response<Body>, Status> {
        let contents = self.contents();
        if contents.names.contains(name) {
            let make = |encoding| contents::document(name, self.served(&contents), encoding);
            return self.third(name, &self.hash(name, &contents), asked, make);
        }
        let others = self.others.load_full();
        let (v2, hash) = others.iter().find_map(|other| other.source(name)).ok_or_else(Status::no_such_path)?;
        self.third(name, hash, asked, |encoding| converted::document(v2, encoding))
    }

    /// A document of version 3 with its name and hash.
    fn third(
        &self,
        name: &str,
        hash: &str,
        asked: &Asked,
        make: impl FnOnce(Encoding) -> Vec<u8>,
    ) -> Result<Response<Body>, Status> {
        let encoding = negotiate(&asked.accept, "v3")?;
        if let Some(wanted) = &asked.hash
            && wanted != hash
        {
            return Ok(moved(&format!("/openapi/v3/{name}?hash={hash}")));
        }
        let mut response = match asked.has(hash) {
            true => not_modified(hash),
            false => {
                let document = format!("{name} {encoding:?} {hash}");
                let bytes = self.held.share(document.clone(), || make(encoding));
                self.body(document, bytes, content_type(encoding, "v3"), asked)
            }
        };
        tag(&mut response, hash);
        if asked.hash.is_some() {
            // Another document would have another address.
            let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
            response.headers_mut().insert(header::CACHE_CONTROL, forever);
        }
        Ok(response)
    }

    /// The hash of a document of version 3, the same for all encodings.
    fn hash(&self, name: &str, contents: &Contents) -> Arc<str> {
        if let Some(hash) = self.hashes.lock().known.get(name) {
            return hash.clone();
        }
        let hash = match contents::only_custom(name, self.served(contents)) {
            // Nothing but definitions makes this document, so there is no need to make it.
            Some(fingerprint) => hash_of(fingerprint.as_bytes()),
            None => hash_of(&self.held.make(|| contents::document(name, self.served(contents), Encoding::Json))),
        };
        self.learn((contents.generation, None), name, &hash);
        hash
    }

    /// A document as the body of an answer. `name` says all that it depends on.
    fn body(&self, name: String, bytes: Bytes, content_type: &'static str, asked: &Asked) -> Response<Body> {
        let compressed = (asked.gzip && bytes.len() >= GZIP_MIN)
            .then(|| self.held.share(format!("{name} compressed"), || compressed(&bytes)));
        let encoded = compressed.is_some();
        let mut response = Response::new(Body::from(compressed.unwrap_or(bytes)));
        let headers = response.headers_mut();
        if encoded {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        response
    }

    /// Keeps a hash, if it is of the state that is published still: of custom kinds, and of what others say if that counts.
    fn learn(&self, (custom, others): (u64, Option<u64>), name: &str, hash: &Arc<str>) {
        let mut hashes = self.hashes.lock();
        if hashes.generation.0 == custom && others.is_none_or(|others| hashes.generation.1 == others) {
            hashes.known.insert(name.to_owned(), hash.clone());
        }
    }
}

impl Asked {
    /// Whether the client has the document already.
    fn has(&self, hash: &str) -> bool {
        self.etag
            .split(',')
            .map(|etag| etag.trim().trim_start_matches("W/").trim_matches('"'))
            .any(|etag| etag == hash || etag == "*")
    }
}

/// The preferred encoding of those accepted: client-go asks for protobuf and nothing else.
fn negotiate(accept: &str, version: &str) -> Result<Encoding, Status> {
    let accept = if accept.trim().is_empty() { "*/*" } else { accept };
    for clause in accept.split(',').take(64) {
        let media_type = clause.split(';').next().unwrap_or_default().trim();
        match media_type {
            "application/json" | "application/*" | "*/*" => return Ok(Encoding::Json),
            _ => {}
        }
        // `@` is what clients ask with; it is not allowed in a media type, so the answer has a point there.
        if media_type == format!("application/com.github.proto-openapi.spec.{version}@v1.0+protobuf")
            || media_type == content_type(Encoding::Protobuf, version)
        {
            return Ok(Encoding::Protobuf);
        }
    }
    Err(Status::not_acceptable(&format!("application/json, {}", content_type(Encoding::Protobuf, version))))
}

fn content_type(encoding: Encoding, version: &str) -> &'static str {
    match (encoding, version) {
        (Encoding::Json, _) => "application/json",
        (Encoding::Protobuf, "v2") => "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        (Encoding::Protobuf, _) => "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
    }
}

fn hash_of(bytes: &[u8]) -> Arc<str> {
    let mut hash = String::with_capacity(128);
    for byte in digest(&SHA512, bytes).as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(hash, "{byte:02X}");
    }
    hash.into()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 8), Compression::fast());
    // Writing into a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn not_modified(hash: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    tag(&mut response, hash);
    response
}

fn moved(to: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

fn tag(response: &mut Response<Body>, hash: &str) {
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}
