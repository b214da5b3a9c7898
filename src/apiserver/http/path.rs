//! What a path and a method ask for: upstream's grammar of request paths, the same for every kind.

use api::selector::FieldSelector;
use http::Method;

use super::query::{Query, percent_decode};

#[cfg(test)]
mod tests;

/// What a request is about, before anything else is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// Whether it is about a resource; else only `path` and `verb` count.
    pub is_resource: bool,
    /// The path, decoded.
    pub path: String,
    /// `get`, `list` … for resources; the lower-case method for other paths.
    pub verb: String,
    /// API group; empty for core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace; empty for the cluster and for all namespaces.
    pub namespace: String,
    /// Plural.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Object, also where a list or watch is narrowed to one by a field selector.
    pub name: String,
    /// Whether `name` stands in the path.
    pub named: bool,
    /// What follows the subresource, `proxy` only: with its leading slash, still percent-encoded; empty when nothing follows.
    pub rest: String,
}

impl RequestInfo {
    /// Reads method, path and query. Never fails: what is not a resource path is another path. The path is as it was sent, and is
    /// decoded before it is taken apart: that is the path that others decide about, whichever way it was written.
    pub(crate) fn read(method: &Method, sent: &str, query: &Query) -> Self {
        let path = &*percent_decode(sent, false);
        let mut info = Self { path: path.to_owned(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let trimmed = path.trim_matches('/');
        let mut parts = trimmed.split('/').peekable();
        match parts.next() {
            Some("api") => {}
            Some("apis") => info.group = parts.next().unwrap_or_default().to_owned(),
            _ => return info,
        }
        let Some(version) = parts.next() else { return info.elsewhere() };
        info.version = version.to_owned();
        let mut parts: Vec<&str> = parts.collect();
        if parts.is_empty() || (trimmed.starts_with("apis/") && info.group.is_empty()) {
            return info.elsewhere();
        }
        info.is_resource = true;
        // `/api/v1/watch/…`, deprecated and still asked for; and `proxy`, which others than this server may serve.
        let special = ["watch", "proxy"].into_iter().find(|verb| parts[0] == *verb && parts.len() > 1);
        if special.is_some() {
            parts.remove(0);
        }
        info.verb = match *method {
            _ if special.is_some() => special.unwrap_or_default(),
            Method::POST => "create",
            Method::GET | Method::HEAD => "get",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "",
        }
        .to_owned();
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].to_owned();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts.drain(..2);
            }
        }
        info.resource = parts[0].to_owned();
        if let Some(name) = parts.get(1) {
            info.name = (*name).to_owned();
            info.named = true;
        }
        if let Some(subresource) = parts.get(2).filter(|_| info.verb != "proxy") {
            info.subresource = (*subresource).to_owned();
        }
        if parts.len() > 3 || (parts.len() == 3 && path.ends_with('/')) {
            let leading = path.len() - path.trim_start_matches('/').len();
            let before = trimmed.split('/').count() - parts[3..].len();
            info.rest = behind(sent, leading + before - 1);
        }
        info.narrow(query);
        info
    }

    fn elsewhere(self) -> Self {
        Self { path: self.path, verb: self.verb, ..Self::default() }
    }

    /// Tells list and watch from get, and finds the one object a selector leaves.
    fn narrow(&mut self, query: &Query) {
        if !self.named {
            match &*self.verb {
                "get" => self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned(),
                "delete" => self.verb = "deletecollection".to_owned(),
                _ => {}
            }
        }
        if !self.named && matches!(&*self.verb, "list" | "watch") {
            let selector = query.get("fieldSelector").and_then(|text| FieldSelector::parse(text).ok());
            if let Some(name) = selector.as_ref().and_then(|s| s.exact("metadata.name"))
                && !name.contains(['/', '%'])
                && name != "."
                && name != ".."
            {
                self.name = name.to_owned();
            }
        }
    }

    /// `namespace`, `cluster`, `resource`, or empty for other paths: the scope as metrics name it.
    pub(crate) fn scope(&self) -> &'static str {
        match () {
            () if !self.is_resource => "",
            () if self.named => "resource",
            () if !self.namespace.is_empty() => "namespace",
            () => "cluster",
        }
    }
}

/// What follows so many slashes of a path, as it was sent, from the next slash on.
fn behind(sent: &str, slashes: usize) -> String {
    let is_slash = |at: usize| {
        sent[at..].starts_with('/') || sent.as_bytes()[at..].get(..3).is_some_and(|e| e.eq_ignore_ascii_case(b"%2f"))
    };
    let next = sent.char_indices().map(|(at, _)| at).filter(|at| is_slash(*at)).nth(slashes);
    match next.map(|at| &sent[at..]) {
        Some(rest) if rest.starts_with('/') => rest.to_owned(),
        Some(rest) => format!("/{}", &rest[3..]),
        None => String::new(),
    }
}
