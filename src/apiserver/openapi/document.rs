//! Writing a document: parts go in one by one and are encoded at once, so that no document is held as a tree.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::digest::{Digest, digest};
use super::gnostic::{self, v2, v3};
use crate::http::other::{MAJOR, MINOR};

/// The version of OpenAPI a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V2,
    V3,
}

impl Version {
    /// Where schemas are found.
    pub(super) fn reference(self, name: &str) -> Value {
        match self {
            Self::V2 => Value::from(format!("#/definitions/{name}")),
            Self::V3 => Value::from(format!("#/components/schemas/{name}")),
        }
    }
}

/// How a document is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Protobuf,
}

/// A document in the making.
pub(super) struct Document {
    pub(super) version: Version,
    encoding: Encoding,
    paths: Vec<u8>,
    schemas: Vec<u8>,
    /// What schemas say, by name, where somebody will ask.
    said: Option<HashMap<String, Digest>>,
    /// Whether it is about custom kinds alone, whose documents upstream makes elsewhere.
    custom: bool,
    /// What it says of itself, if others said it.
    info: Option<Value>,
}

impl Document {
    pub(super) fn new(version: Version, encoding: Encoding) -> Self {
        Self { version, encoding, paths: Vec::new(), schemas: Vec::new(), said: None, custom: false, info: None }
    }

    /// The same, and it remembers what schemas say.
    pub(super) fn remembering(self) -> Self {
        Self { said: Some(HashMap::new()), ..self }
    }

    /// The same, about custom kinds alone.
    pub(super) fn of_custom_kinds(self) -> Self {
        Self { custom: true, ..self }
    }

    /// The same, with others' words of what it is about; null for none.
    pub(super) fn describing(self, info: Value) -> Self {
        Self { info: info.is_object().then_some(info), ..self }
    }

    /// What the schema of the name says, if there is one and the document remembers.
    pub(super) fn said(&self, name: &str) -> Option<Digest> {
        self.said.as_ref()?.get(name).copied()
    }

    /// Adds a path and its operations.
    pub(super) fn path(&mut self, path: &str, item: &Value) {
        match (self.encoding, self.version) {
            (Encoding::Json, _) => json_member(path, item, &mut self.paths),
            (Encoding::Protobuf, Version::V2) => gnostic::entry(2, path, v2::path_item, item, &mut self.paths),
            (Encoding::Protobuf, Version::V3) => gnostic::entry(1, path, v3::path_item, item, &mut self.paths),
        }
    }

    /// Adds a schema.
    pub(super) fn schema(&mut self, name: &str, schema: &Value) {
        if let Some(said) = &mut self.said {
            said.insert(name.to_owned(), digest(schema));
        }
        match (self.encoding, self.version) {
            (Encoding::Json, _) => json_member(name, schema, &mut self.schemas),
            (Encoding::Protobuf, Version::V2) => gnostic::entry(1, name, v2::schema, schema, &mut self.schemas),
            (Encoding::Protobuf, Version::V3) => gnostic::entry(1, name, v3::schema, schema, &mut self.schemas),
        }
    }

    /// The whole document.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.paths.len() + self.schemas.len() + 512);
        let info = match (self.info, self.custom) {
            (Some(info), _) => info,
            (None, false) => json!({ "title": "Kubernetes", "version": format!("{MAJOR}.{MINOR}") }),
            (None, true) => json!({ "title": "Kubernetes CRD Swagger", "version": "v0.1.0" }),
        };
        let bearer = json!({ "BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication",
        }});
        match (self.version, self.encoding) {
            (Version::V2, Encoding::Json) => {
                out.extend_from_slice(b"{\"swagger\":\"2.0\",\"info\":");
                out.extend_from_slice(info.to_string().as_bytes());
                json_object(b",\"paths\":", &self.paths, &mut out);
                json_object(b",\"definitions\":", &self.schemas, &mut out);
                out.extend_from_slice(b",\"securityDefinitions\":");
                out.extend_from_slice(bearer.to_string().as_bytes());
                out.extend_from_slice(b",\"security\":[{\"BearerToken\":[]}]}");
            }
            (Version::V3, Encoding::Json) => {
                out.extend_from_slice(b"{\"openapi\":\"3.0.0\",\"info\":");
                out.extend_from_slice(info.to_string().as_bytes());
                json_object(b",\"paths\":", &self.paths, &mut out);
                out.extend_from_slice(b",\"components\":{");
                if !self.schemas.is_empty() {
                    json_object(b"\"schemas\":", &self.schemas, &mut out);
                }
                if !self.custom {
                    out.extend_from_slice(if self.schemas.is_empty() { b"" } else { b"," });
                    out.extend_from_slice(b"\"securitySchemes\":");
                    out.extend_from_slice(bearer.to_string().as_bytes());
                }
                out.extend_from_slice(b"}}");
            }
            (Version::V2, Encoding::Protobuf) => {
                let rest = json!({
                    "swagger": "2.0", "info": info,
                    "securityDefinitions": bearer, "security": [{ "BearerToken": [] }],
                });
                gnostic::encode(&v2::DOCUMENT, &rest, &mut out);
                gnostic::bytes(8, &self.paths, &mut out);
                gnostic::bytes(9, &self.schemas, &mut out);
            }
            (Version::V3, Encoding::Protobuf) => {
                gnostic::encode(&v3::DOCUMENT, &json!({ "openapi": "3.0.0", "info": info }), &mut out);
                gnostic::bytes(4, &self.paths, &mut out);
                let mut components = Vec::with_capacity(self.schemas.len() + 256);
                gnostic::bytes(1, &self.schemas, &mut components);
                if !self.custom {
                    gnostic::encode(&v3::COMPONENTS, &json!({ "securitySchemes": bearer }), &mut components);
                }
                gnostic::bytes(5, &components, &mut out);
            }
        }
        out
    }
}

fn json_member(name: &str, value: &Value, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
    // Writing JSON into a Vec cannot fail.
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
    let _ = serde_json::to_writer(out, value);
}

fn json_object(name: &[u8], members: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.push(b'{');
    out.extend_from_slice(members);
    out.push(b'}');
}
