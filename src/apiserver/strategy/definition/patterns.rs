//! The patterns of a definition's schemas, all together. Each is bounded, and whoever writes an object may have all of them
//! compiled: what that takes is bounded as well.

use std::collections::HashSet;

use api::regexp::Expression;
use api::validation::field::{Error, ErrorList, Path};
use serde_json::Value;

use super::schema::inner;
use crate::tree::Tree;

/// What they may take when they are compiled, as it is estimated, in bytes: about a second's work.
const SIZE_MAX: usize = 64 << 20;

/// Complaints about what is too large. What was let pass in the definition that is replaced is let pass again.
pub(super) fn validate(definition: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let patterns = patterns(definition);
    let path = Path::root("spec.versions");
    if size(&patterns) > SIZE_MAX {
        if old.is_none_or(|old| size(&self::patterns(old)) <= SIZE_MAX) {
            errors.push(Error::forbidden(&path, "the patterns of the schemas are too large, all together"));
        }
        return;
    }
    for pattern in patterns {
        // What is none is complained about where it stands.
        if let Err(why) = Expression::read(pattern).map_or(Ok(()), |expression| expression.check()) {
            let why = format!("must be a valid regular expression, but isn't: {why}");
            errors.push(Error::invalid(&path, pattern, why));
        }
    }
}

fn size(patterns: &HashSet<&str>) -> usize {
    let sizes = patterns.iter().filter_map(|pattern| Some(Expression::read(pattern).ok()?.size()));
    sizes.fold(0, usize::saturating_add)
}

fn patterns(definition: &Value) -> HashSet<&str> {
    let schemas = definition.items("spec.versions").iter().filter_map(|version| version.at("schema.openAPIV3Schema"));
    let (mut found, mut left) = (HashSet::new(), schemas.collect::<Vec<_>>());
    while let Some(schema) = left.pop() {
        found.insert(schema.text("pattern"));
        left.extend(inner(schema));
    }
    found.remove("");
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_are_weighed_all_together() {
        let definition = |patterns: &[String]| {
            let field = |pattern: &String| json!({ "type": "string", "pattern": pattern });
            let fields: serde_json::Map<String, Value> =
                patterns.iter().enumerate().map(|(at, pattern)| (at.to_string(), field(pattern))).collect();
            let schema = json!({ "type": "object", "properties": fields });
            json!({ "spec": { "versions": [{ "schema": { "openAPIV3Schema": schema } }] } })
        };
        let check = |patterns: &[String], old: Option<&[String]>, expect: &str| {
            let mut errors = ErrorList::new();
            validate(&definition(patterns), old.map(definition).as_ref(), &mut errors);
            let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert_eq!(told.join("\n"), expect);
        };
        let large = |count: usize| (0..count).map(|n| format!(r"{n}\p{{L}}{{253}}")).collect::<Vec<_>>();
        check(&large(5), None, "");
        let why = "spec.versions: Forbidden: the patterns of the schemas are too large, all together";
        check(&large(7), None, why);
        check(&large(7), Some(&large(5)), why);
        check(&large(7), Some(&large(8)), "");
        // What comes often counts once.
        check(&vec![large(1).remove(0); 20], None, "");
        check(
            &[r"[\p{L}\p{N}]{500}".to_owned()],
            None,
            r#"spec.versions: Invalid value: "[\\p{L}\\p{N}]{500}": must be a valid regular expression, but isn't: error parsing regexp: expression too large: `[\p{L}\p{N}]{500}`"#,
        );
    }
}
