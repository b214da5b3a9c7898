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

/// What is shown of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves.
    Whole,
    /// Rows for people.
    Table,
    /// `PartialObjectMetadata` of each object.
    Metadata,
}

/// The outcome of negotiation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub encoding: Encoding,
    pub shape: Shape,
}

impl Accepted {
    /// What everybody understands.
    pub(crate) const JSON: Self = Self { encoding: Encoding::Json, shape: Shape::Whole };
}

/// One clause of an `Accept` header.
pub(crate) struct Clause<'a> {
    /// `application/json`, lower or upper case as sent.
    pub media_type: &'a str,
    params: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    pub(crate) fn param(&self, name: &str) -> &'a str {
        self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }
}

/// The clauses of an `Accept` header, the preferred ones first; a missing header accepts anything.
pub(crate) fn clauses(header: &str) -> Vec<Clause<'_>> {
    let header = if header.trim().is_empty() { "*/*" } else { header };
    let mut clauses: Vec<Clause<'_>> = header
        .split(',')
        .take(64)
        .map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            let params: Vec<_> = parts
                .filter_map(|p| p.split_once('='))
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .collect();
            let quality = params.iter().find(|(name, _)| *name == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
            Clause { media_type, params, quality }
        })
        .filter(|clause| clause.quality > 0.0)
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// What a kind can be shown as.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// Whether it has a protobuf form.
    pub protobuf: bool,
    /// Whether rows and metadata can be had of it.
    pub shapes: bool,
}

/// The encoding that a header asks for first of those there are; JSON where it asks for none.
pub(crate) fn encoding(header: &str) -> Encoding {
    let known = |clause: &Clause<'_>| known_encoding(clause.media_type);
    clauses(header).iter().find_map(known).unwrap_or(Encoding::Json)
}

pub(crate) fn known_encoding(media_type: &str) -> Option<Encoding> {
    match &*media_type.to_ascii_lowercase() {
        "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
        "application/yaml" | "text/yaml" => Some(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
        _ => None,
    }
}

/// Chooses the form of an answer; 406 where the client accepts none on offer.
pub(crate) fn negotiate(header: &str, offer: Offer) -> Result<Accepted, Status> {
    let mut known = false;
    for clause in clauses(header) {
        let Some(encoding) = known_encoding(clause.media_type) else { continue };
        known = true;
        let is_meta_v1 = clause.param("g") == "meta.k8s.io" && clause.param("v") == "v1";
        let shape = match clause.param("as") {
            "" => Shape::Whole,
            "Table" if is_meta_v1 && offer.shapes => Shape::Table,
            "PartialObjectMetadata" | "PartialObjectMetadataList" if is_meta_v1 && offer.shapes => Shape::Metadata,
            _ => continue,
        };
        // Metadata alone can be had as protobuf of every kind, rows of none.
        let fits = match shape {
            Shape::Whole => offer.protobuf,
            Shape::Metadata => true,
            Shape::Table => false,
        };
        if encoding == Encoding::Protobuf && !fits {
            continue;
        }
        return Ok(Accepted { encoding, shape });
    }
    Err(refusal(known || !offer.protobuf))
}

/// What is said when nothing on offer is accepted. Upstream's routes for built-in kinds ask first, and know of encodings alone:
/// where one of those is accepted, or there is no route, others say it.
pub(crate) fn refusal(passed_routes: bool) -> Status {
    const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    if passed_routes {
        return Status::not_acceptable(ACCEPTED);
    }
    let why = format!("406: Not Acceptable\n\nAvailable representations: {ACCEPTED}");
    Status { details: Some(api::status::Details::default()), ..Status::failure(406, "NotAcceptable", why) }
}
