//! Defaults as data: a table of path and value, compiled into a tree that is walked along with the object.
//!
//! A default is set where its parent is there and the field is not. `[]` behind a step means each element of that list,
//! so `containers[].ports[].protocol` reaches every port of every container and invents neither.

use serde_json::Value;

/// A compiled table.
#[derive(Debug, Default)]
pub(crate) struct Defaults {
    /// Set here, in the table's order.
    here: Vec<(Box<str>, Value)>,
    /// Steps deeper, taken after `here`, so that a default may make the parent of the next.
    below: Vec<(Box<str>, bool, Defaults)>,
}

impl Defaults {
    /// Compiles `(path, JSON)` pairs. Panics on JSON that does not parse: tables are constants, and a test applies them.
    pub(crate) fn new(table: &[(&str, &str)]) -> Self {
        Self::default().with("", table)
    }

    /// The same with another table rooted at `root`, which is a path as in the table (or empty).
    pub(crate) fn with(mut self, root: &str, table: &[(&str, &str)]) -> Self {
        for (path, json) in table {
            let value = serde_json::from_str(json).unwrap_or_else(|error| panic!("default of {path}: {error}"));
            let whole = if root.is_empty() { (*path).to_owned() } else { format!("{root}.{path}") };
            self.insert(&whole, value);
        }
        self
    }

    fn insert(&mut self, path: &str, value: Value) {
        let Some((step, rest)) = path.split_once('.') else {
            self.here.push((path.into(), value));
            return;
        };
        let (key, each) = step.strip_suffix("[]").map_or((step, false), |key| (key, true));
        let at = self.below.iter().position(|(k, e, _)| **k == *key && *e == each).unwrap_or_else(|| {
            self.below.push((key.into(), each, Self::default()));
            self.below.len() - 1
        });
        self.below[at].2.insert(rest, value);
    }

    /// Whether there are defaults within this field.
    pub(crate) fn reaches(&self, field: &str) -> bool {
        self.below.iter().any(|(key, each, _)| **key == *field && !each)
    }

    /// Sets what is missing.
    pub(crate) fn apply(&self, value: &mut Value) {
        let Some(map) = value.as_object_mut() else { return };
        for (key, default) in &self.here {
            if map.get(&**key).is_none_or(Value::is_null) {
                map.insert(key.to_string(), default.clone());
            }
        }
        for (key, each, defaults) in &self.below {
            match map.get_mut(&**key) {
                Some(Value::Array(list)) if *each => list.iter_mut().for_each(|element| defaults.apply(element)),
                Some(value) if !*each => defaults.apply(value),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Defaults;

    #[test]
    fn sets_what_is_missing_where_the_parent_is() {
        let defaults = Defaults::new(&[
            ("spec", "{}"),
            ("spec.replicas", "1"),
            ("spec.list[].protocol", r#""TCP""#),
            ("spec.absent.x", "1"),
        ]);
        let check = |mut value: serde_json::Value, expect| {
            defaults.apply(&mut value);
            assert_eq!(value, expect);
        };
        check(json!({}), json!({"spec": {"replicas": 1}}));
        check(
            json!({"spec": {"replicas": 0, "list": [{}, {"protocol": "UDP"}]}}),
            json!({"spec": {"replicas": 0, "list": [{"protocol": "TCP"}, {"protocol": "UDP"}]}}),
        );
    }
}
