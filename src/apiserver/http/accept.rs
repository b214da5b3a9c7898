//! What form of an answer the client accepts: media type, and whether as a Table or as metadata alone.

use api::Status;

#[cfg(test)]
mod tests;

/// How answers are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    /// Built-in kinds only.
    Protobuf,
}

impl Encoding {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// In which version of `meta.k8s.io` rows and metadata are shown; but for its name both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetaVersion {
    V1,
    V1beta1,
}

impl MetaVersion {
    pub(crate) fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// What is shown of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves.
    Whole,
    /// Rows for people.
    Table(MetaVersion),
    /// `PartialObjectMetadata` of each object. Whether the client said that it is for a list is its own affair: it is told when it
    /// was wrong, and not before there is something to show.
    Metadata { version: MetaVersion, list: bool },
}

/// The outcome of negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub encoding: Encoding,
    pub shape: Shape,
    /// Whether it is to be indented.
    pub pretty: bool,
}

impl Accepted {
    /// What everybody understands.
    pub(crate) const JSON: Self = Self { encoding: Encoding::Json, shape: Shape::Whole, pretty: false };
}

/// The media types of objects, as upstream lists them.
const OBJECTS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
/// And those of the events of watches.
const EVENTS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// One clause of an `Accept` header.
pub(crate) struct Clause<'a> {
    /// `application/json`, as sent.
    pub media_type: &'a str,
    params: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    /// The value of a parameter; empty where it is not there. The last one counts.
    pub(crate) fn param(&self, name: &str) -> &'a str {
        self.params.iter().rev().find(|(n, _)| *n == name).map_or("", |(_, v)| v)
    }

    /// Whether upstream's sorting has this clause before another one: wildcards are never before others, and what is the better
    /// one by its quality is the better one.
    fn precedes(&self, other: &Self) -> bool {
        let (own_type, own_subtype) = self.media_type.split_once('/').unwrap_or(("*", "*"));
        let (its_type, its_subtype) = other.media_type.split_once('/').unwrap_or(("*", "*"));
        self.quality > other.quality
            || (own_type != "*" && its_type == "*")
            || (own_subtype != "*" && its_subtype == "*")
    }

    /// The encodings that the media type stands for.
    fn encodings(&self) -> &'static [Encoding] {
        match self.media_type {
            "application/json" => &[Encoding::Json],
            "application/yaml" => &[Encoding::Yaml],
            "application/vnd.kubernetes.protobuf" => &[Encoding::Protobuf],
            "*" | "*/*" | "application/*" => &[Encoding::Json, Encoding::Yaml, Encoding::Protobuf],
            _ => &[],
        }
    }

    /// Whether there is a stream of what the clause asks a stream of.
    fn streams(&self, encoding: Encoding) -> bool {
        match self.param("stream") {
            "" => true,
            stream => stream == "watch" && encoding != Encoding::Yaml,
        }
    }

    /// The shape that is asked for; `None` for one that nothing has.
    fn shape(&self) -> Option<Shape> {
        if !self.params.iter().any(|(name, _)| matches!(*name, "as" | "g" | "v")) {
            return Some(Shape::Whole);
        }
        let version = match (self.param("g"), self.param("v")) {
            ("meta.k8s.io", "v1") => MetaVersion::V1,
            ("meta.k8s.io", "v1beta1") => MetaVersion::V1beta1,
            _ => return None,
        };
        match self.param("as") {
            "Table" => Some(Shape::Table(version)),
            "PartialObjectMetadata" => Some(Shape::Metadata { version, list: false }),
            "PartialObjectMetadataList" => Some(Shape::Metadata { version, list: true }),
            _ => None,
        }
    }
}

/// The clauses of an `Accept` header, the preferred ones first; a missing header accepts anything.
pub(crate) fn clauses(header: &str) -> Vec<Clause<'_>> {
    let header = if header.is_empty() { "*/*" } else { header };
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    for clause in header.split(',').take(64) {
        let mut parts = clause.split(';');
        let media_type = parts.next().unwrap_or_default().trim();
        if media_type != "*" && !media_type.contains('/') {
            continue;
        }
        let params: Vec<_> =
            parts.filter_map(|p| p.split_once('=')).map(|(name, value)| (name.trim(), value.trim())).collect();
        let quality = params.iter().find(|(name, _)| *name == "q").map_or(1.0, |(_, q)| q.parse().unwrap_or(0.0));
        let clause = Clause { media_type, params, quality };
        // As upstream sorts so few: what precedes does not always do so by way of others.
        let at = clauses.iter().rposition(|other| !clause.precedes(other)).map_or(0, |at| at + 1);
        clauses.insert(at, clause);
    }
    clauses
}

/// What may be had at a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Whether the kind has a protobuf form.
    pub protobuf: bool,
    /// Whether rows can be had of it.
    pub table: bool,
    /// Whether it has metadata.
    pub metadata: bool,
    /// Of whom the media type is asked before anything else: upstream's routes of built-in kinds do.
    pub route: Option<Route>,
}

/// What the answers at a path are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Objects.
    Objects,
    /// Lists and watches.
    Collection,
}

impl Route {
    /// 406 where none of the header's media types, letter by letter, is one of the path's. Its qualities and parameters do not count.
    pub(crate) fn check(self, header: &str) -> Result<(), Status> {
        let mut asked = header.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim());
        if header.is_empty() || asked.any(|media_type| media_type == "*/*" || OBJECTS.contains(&media_type)) {
            return Ok(());
        }
        Err(self.refusal())
    }

    fn refusal(self) -> Status {
        let events = if self == Self::Collection { &EVENTS[..] } else { &[] };
        let all: Vec<&str> = OBJECTS.iter().chain(events).copied().collect();
        let why = format!("406: Not Acceptable\n\nAvailable representations: {}", all.join(", "));
        Status { details: Some(api::status::Details::default()), ..Status::failure(406, "NotAcceptable", why) }
    }
}

/// The encoding that a header asks for first of those there are; JSON where it asks for none.
pub(crate) fn encoding(header: &str) -> Encoding {
    let of = |clause: &Clause<'_>| {
        let plain = clause.shape() == Some(Shape::Whole) && clause.param("sv").is_empty();
        clause.encodings().iter().copied().find(|encoding| plain && clause.streams(*encoding))
    };
    clauses(header).iter().find_map(of).unwrap_or(Encoding::Json)
}

/// The encoding of a media type, whatever else a clause asks for.
pub(crate) fn known_encoding(media_type: &str) -> Option<Encoding> {
    Clause { media_type, params: Vec::new(), quality: 1.0 }.encodings().first().copied()
}

/// Chooses the form of an answer; 406 where the client accepts none on offer.
pub(crate) fn negotiate(header: &str, offer: Offer) -> Result<Accepted, Status> {
    offer.route.map_or(Ok(()), |route| route.check(header))?;
    for clause in clauses(header) {
        let Some(shape) = clause.shape().filter(|_| matches!(clause.param("sv"), "" | "v1")) else { continue };
        // Metadata alone can be had as protobuf of every kind, rows of none.
        let fits = |encoding: Encoding| {
            let protobuf = encoding == Encoding::Protobuf;
            clause.streams(encoding)
                && match shape {
                    Shape::Whole => offer.protobuf || !protobuf,
                    Shape::Metadata { version, .. } => offer.metadata && (version == MetaVersion::V1 || !protobuf),
                    Shape::Table(_) => offer.table && !protobuf,
                }
        };
        if let Some(encoding) = clause.encodings().iter().copied().find(|encoding| fits(*encoding)) {
            return Ok(Accepted { encoding, shape, pretty: clause.param("pretty") == "1" });
        }
    }
    Err(refusal(true))
}

/// What is said when nothing on offer is accepted. Upstream's routes for built-in kinds ask first, and know of encodings alone:
/// where one of those is accepted, or there is no route, others say it.
pub(crate) fn refusal(passed_routes: bool) -> Status {
    if passed_routes { Status::not_acceptable(&OBJECTS.join(", ")) } else { Route::Objects.refusal() }
}

/// 406 for a watch whose events would have to be of an encoding that has no streams.
pub(crate) fn check_stream(accepted: &Accepted) -> Result<(), Status> {
    if accepted.encoding == Encoding::Yaml { Err(Status::not_acceptable(&EVENTS.join(", "))) } else { Ok(()) }
}
