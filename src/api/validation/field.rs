//! Complaints about fields of an object: what, where and why. `Status` turns each into one of its causes.

use std::fmt;
use std::ops::{Deref, DerefMut};

use serde_json::Value;

use crate::quote::quote;

/// The way from the object's root to a field: `spec.containers[0].image`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A field of the object itself.
    pub fn root(name: &str) -> Path {
        Path(name.to_owned())
    }

    /// A field inside this one. `name` may hold dots for several steps at once.
    pub fn child(&self, name: &str) -> Path {
        Path(format!("{}.{name}", self.0))
    }

    /// An element of this list.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }

    /// The path as upstream writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of complaint, upstream's `field.ErrorType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A value that was looked for does not exist.
    NotFound,
    /// A value has to be given.
    Required,
    /// Values that must differ do not.
    Duplicate,
    /// A malformed value.
    Invalid,
    /// A value outside the list of valid ones.
    NotSupported,
    /// Valid in itself, not permitted here.
    Forbidden,
    /// Too long a string.
    TooLong,
    /// Too many items.
    TooMany,
    /// Too few items.
    TooFew,
    /// Not the user's fault.
    Internal,
    /// The value has the wrong type for the field.
    TypeInvalid,
    /// Too short a string.
    TooShort,
}

impl ErrorType {
    /// The reason of the cause in a `Status`, such as `FieldValueRequired`.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorType::NotFound => "FieldValueNotFound",
            ErrorType::Required => "FieldValueRequired",
            ErrorType::Duplicate => "FieldValueDuplicate",
            ErrorType::Invalid => "FieldValueInvalid",
            ErrorType::NotSupported => "FieldValueNotSupported",
            ErrorType::Forbidden => "FieldValueForbidden",
            ErrorType::TooLong => "FieldValueTooLong",
            ErrorType::TooMany => "FieldValueTooMany",
            ErrorType::TooFew => "FieldValueTooFew",
            ErrorType::Internal => "InternalError",
            ErrorType::TypeInvalid => "FieldValueTypeInvalid",
            ErrorType::TooShort => "FieldValueTooShort",
        }
    }

    fn text(self) -> &'static str {
        match self {
            ErrorType::NotFound => "Not found",
            ErrorType::Required => "Required value",
            ErrorType::Duplicate => "Duplicate value",
            ErrorType::Invalid | ErrorType::TypeInvalid => "Invalid value",
            ErrorType::NotSupported => "Unsupported value",
            ErrorType::Forbidden => "Forbidden",
            ErrorType::TooLong => "Too long",
            ErrorType::TooMany => "Too many",
            ErrorType::TooFew => "Too few",
            ErrorType::Internal => "Internal error",
            ErrorType::TooShort => "Too short",
        }
    }
}

/// One complaint about one field. Displays as `spec.containers[0].image: Required value`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: {}", self.body())]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorType,
    /// Where, as a path.
    pub field: String,
    /// The offending value, where the text shows one.
    pub value: Option<Value>,
    /// Why, in a sentence; may be empty.
    pub detail: String,
}

impl Error {
    /// The text without the field: the message of the cause in a `Status`.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        match &self.value {
            None => {}
            Some(Value::String(value)) => text.extend([": ", &quote(value)]),
            Some(Value::Number(number)) if number.is_f64() => {
                text.extend([": ", &crate::quote::float(number.as_f64().unwrap_or_default())]);
            }
            Some(value) => text.extend([": ", &crate::quote::json(value)]),
        }
        if !self.detail.is_empty() {
            text.extend([": ", &self.detail]);
        }
        text
    }

    fn new(kind: ErrorType, field: &Path, value: Option<Value>, detail: impl Into<String>) -> Error {
        Error { kind, field: field.as_str().to_owned(), value, detail: detail.into() }
    }

    /// A value that is missing; `detail` may be empty.
    pub fn required(field: &Path, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Required, field, None, detail)
    }

    /// A malformed value.
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Invalid, field, Some(value.into()), detail)
    }

    /// A value of the wrong type.
    pub fn type_invalid(field: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::TypeInvalid, field, Some(value.into()), detail)
    }

    /// A change to a field that may not change.
    pub fn immutable(field: &Path, value: impl Into<Value>) -> Error {
        Error::invalid(field, value, super::FIELD_IMMUTABLE)
    }

    /// A value outside the list of valid ones, which the text names in the given order.
    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[&str]) -> Error {
        let names: Vec<String> = supported.iter().map(|name| quote(name)).collect();
        let detail = if names.is_empty() { String::new() } else { format!("supported values: {}", names.join(", ")) };
        Error::new(ErrorType::NotSupported, field, Some(value.into()), detail)
    }

    /// A value that is valid but not permitted here.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Forbidden, field, None, detail)
    }

    /// A value that had to be unique.
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Error {
        Error::new(ErrorType::Duplicate, field, Some(value.into()), "")
    }

    /// A value that was looked for and is not there.
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Error {
        Error::new(ErrorType::NotFound, field, Some(value.into()), "")
    }

    /// A string longer than `most` bytes; the text leaves the value out.
    pub fn too_long(field: &Path, most: usize) -> Error {
        let unit = if most == 1 { "byte" } else { "bytes" };
        Error::new(ErrorType::TooLong, field, None, format!("may not be more than {most} {unit}"))
    }

    /// A list of more than `most` items.
    pub fn too_many(field: &Path, actual: usize, most: usize) -> Error {
        let unit = if most == 1 { "item" } else { "items" };
        Error::new(ErrorType::TooMany, field, Some(actual.into()), format!("must have at most {most} {unit}"))
    }

    /// A list of fewer than `least` items.
    pub fn too_few(field: &Path, actual: usize, least: usize) -> Error {
        let unit = if least == 1 { "item" } else { "items" };
        Error::new(ErrorType::TooFew, field, Some(actual.into()), format!("must have at least {least} {unit}"))
    }

    /// A failure on the server's side.
    pub fn internal(field: &Path, detail: impl Into<String>) -> Error {
        Error::new(ErrorType::Internal, field, None, detail)
    }
}

/// The cause that a `Status` lists for the complaint.
impl From<&Error> for crate::Cause {
    fn from(error: &Error) -> crate::Cause {
        crate::Cause { reason: error.kind.reason().to_owned(), message: error.body(), field: error.field.clone() }
    }
}

/// Complaints in the order they were found. Displays as upstream's aggregate: one as it is, several in brackets,
/// repeated texts once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ErrorList(Vec<Error>);

impl ErrorList {
    /// An empty list.
    pub fn new() -> ErrorList {
        ErrorList::default()
    }

    /// Adds one `Invalid` for each complaint of a format check in [`crate::validation`].
    pub fn invalid_each(&mut self, field: &Path, value: &str, complaints: Vec<String>) {
        self.0.extend(complaints.into_iter().map(|complaint| Error::invalid(field, value, complaint)));
    }
}

impl Deref for ErrorList {
    type Target = Vec<Error>;
    fn deref(&self) -> &Vec<Error> {
        &self.0
    }
}

impl DerefMut for ErrorList {
    fn deref_mut(&mut self) -> &mut Vec<Error> {
        &mut self.0
    }
}

impl IntoIterator for ErrorList {
    type Item = Error;
    type IntoIter = std::vec::IntoIter<Error>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Vec<Error>> for ErrorList {
    fn from(errors: Vec<Error>) -> ErrorList {
        ErrorList(errors)
    }
}

impl FromIterator<Error> for ErrorList {
    fn from_iter<I: IntoIterator<Item = Error>>(errors: I) -> ErrorList {
        ErrorList(errors.into_iter().collect())
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&aggregate(self.0.iter().map(Error::to_string)))
    }
}

/// Complaints as one text, as upstream's aggregate has it: one as it is, several in brackets, repeated ones once.
pub fn aggregate(complaints: impl IntoIterator<Item = String>) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in complaints {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}
