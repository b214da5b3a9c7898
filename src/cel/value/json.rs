//! Lists and maps, which are views of JSON or made by the expression.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Key, Text, Value};
use crate::error::Error;
use crate::schema::{DeclKind, DeclType};
use crate::work::{Work, all, any};

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    /// A view, with the list's declaration.
    Json(&'a [Json], Option<&'a DeclType>),
    /// Made by the expression; and how deep it is (see [`Value::depth`]).
    Owned(Arc<Vec<Value<'a>>>, u16),
}

impl<'a> List<'a> {
    /// A list that the expression makes.
    pub(crate) fn of(elements: Vec<Value<'a>>) -> List<'a> {
        let depth = deepest(&elements);
        List::Owned(Arc::new(elements), depth)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            List::Json(elements, _) => elements.len(),
            List::Owned(elements, _) => elements.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        match self {
            List::Json(elements, decl) => {
                let element = decl.and_then(DeclType::element);
                elements.get(at).map(|json| Value::json(json, element))
            }
            List::Owned(elements, _) => elements.get(at).cloned(),
        }
    }

    /// The elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// How the schema says lists like this are compared and joined.
    pub(super) fn declared(&self) -> Option<&'a DeclType> {
        match self {
            List::Json(_, decl) => *decl,
            List::Owned(..) => None,
        }
    }

    /// This list and then the other. Lists that the schema declares sets or maps are joined as such: elements of the
    /// other that are here already take their place.
    pub(crate) fn plus(&self, other: &List<'a>, work: &Work) -> Result<List<'a>, Error> {
        work.take(self.len().saturating_add(other.len()))?;
        let mut elements: Vec<Value<'a>> = self.iter().collect();
        match self.declared().map(|decl| &decl.kind) {
            Some(DeclKind::List { set: true, .. }) => {
                for element in other.iter() {
                    if !any(&elements, |have| have.equals(&element, work))? {
                        elements.push(element);
                    }
                }
            }
            Some(DeclKind::List { keys, .. }) if !keys.is_empty() => {
                for element in other.iter() {
                    let mut at = 0;
                    let same = any(&elements, |have| {
                        at += 1;
                        same_keys(have, &element, keys, work)
                    })?;
                    if same { elements[at - 1] = element } else { elements.push(element) }
                }
            }
            _ => elements.extend(other.iter()),
        }
        Ok(List::of(elements))
    }
}

/// Whether two elements of a list of type map are the same one.
pub(super) fn same_keys(one: &Value<'_>, other: &Value<'_>, keys: &[String], work: &Work) -> Result<bool, Error> {
    work.take(1)?;
    let (Value::Map(one), Value::Map(other)) = (one, other) else { return Ok(false) };
    all(keys, |key| match (one.get_raw(key), other.get_raw(key)) {
        (Some(one), Some(other)) => one.equals(&other, work),
        (None, None) => Ok(true),
        _ => Ok(false),
    })
}

/// The depth of what holds these values.
pub(super) fn deepest<'v, 'a: 'v>(values: impl IntoIterator<Item = &'v Value<'a>>) -> u16 {
    values.into_iter().map(Value::depth).max().unwrap_or_default().saturating_add(1)
}

/// A map, or an object whose fields are declared.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// A view, with the map's or object's declaration.
    Json(&'a serde_json::Map<String, Json>, Option<&'a DeclType>),
    /// Made by the expression; and how deep it is (see [`Value::depth`]).
    Owned(Arc<BTreeMap<Key<'a>, Value<'a>>>, u16),
}

impl<'a> Map<'a> {
    /// A map that the expression makes.
    pub(crate) fn of(entries: BTreeMap<Key<'a>, Value<'a>>) -> Map<'a> {
        let depth = deepest(entries.values());
        Map::Owned(Arc::new(entries), depth)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Map::Json(fields, _) => fields.len(),
            Map::Owned(entries, _) => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value under a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Value<'a>> {
        match (self, key) {
            (Map::Json(..), Value::String(name)) => self.get_str(name),
            (Map::Json(..), _) => None,
            (Map::Owned(entries, _), key) => entries.get(&Key::of(key)?).cloned(),
        }
    }

    /// The value under text: a field by its escaped name, when fields are declared.
    pub fn get_str(&self, name: &str) -> Option<Value<'a>> {
        match self {
            Map::Json(fields, decl) => match decl.map(|decl| (&decl.kind, decl)) {
                Some((DeclKind::Object { .. }, decl)) => {
                    let field = decl.field(name)?;
                    fields.get(&*field.json_name).map(|json| Value::json(json, Some(&field.ty)))
                }
                _ => self.get_raw(name),
            },
            Map::Owned(entries, _) => entries.get(&Key::String(Text::Borrowed(name))).cloned(),
        }
    }

    /// The value under a name as JSON has it.
    pub(super) fn get_raw(&self, name: &str) -> Option<Value<'a>> {
        let Map::Json(fields, decl) = self else { return self.get_str(name) };
        let json = fields.get(name)?;
        let value = match decl.map(|decl| (&decl.kind, decl)) {
            Some((DeclKind::Object { .. }, decl)) => decl.field_by_json_name(name).map(|field| &*field.ty),
            Some((_, decl)) => decl.element(),
            None => None,
        };
        Some(Value::json(json, value))
    }

    /// Keys and values. Fields of declared objects come under their escaped names; those not declared do not come.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (Value<'a>, Value<'a>)> + '_> {
        match self {
            Map::Json(fields, decl) => match decl.map(|decl| (&decl.kind, decl)) {
                Some((DeclKind::Object { .. }, decl)) => Box::new(fields.iter().filter_map(move |(name, json)| {
                    let field = decl.field_by_json_name(name)?;
                    Some((Value::from(&*field.name), Value::json(json, Some(&field.ty))))
                })),
                other => {
                    let element = other.and_then(|(_, decl)| decl.element());
                    Box::new(fields.iter().map(move |(name, json)| (Value::from(&**name), Value::json(json, element))))
                }
            },
            Map::Owned(entries, _) => Box::new(entries.iter().map(|(key, value)| (key.value(), value.clone()))),
        }
    }

    pub(super) fn type_name(&self) -> Text<'a> {
        match self {
            Map::Json(_, Some(decl)) if matches!(decl.kind, DeclKind::Object { .. }) => Text::Borrowed(decl.name()),
            _ => Text::Borrowed("map"),
        }
    }
}
