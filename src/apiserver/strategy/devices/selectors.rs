//! How devices are chosen: expressions on `device`.

use std::sync::{Arc, LazyLock};

use api::validation::field::ErrorList;
use cel::{DeclType, Environment, Type};

use crate::admission::expressions::type_name;
use crate::strategy::at::At;

/// The most an expression may cost at worst.
const DEAREST: u64 = 1_000_000;
/// Most attributes, and most capacities, of a device.
const MOST: u64 = 32;

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| Environment::new().with("device", device()));

/// What a driver says of a device. Sizes are those that slices are held to, because expressions are priced by them.
fn device() -> Arc<DeclType> {
    let named = |value: Arc<DeclType>| {
        let of_domain = DeclType::keyed(DeclType::string().at_most(32), value).at_most(MOST);
        DeclType::keyed(DeclType::string().at_most(63), of_domain).at_most(MOST)
    };
    let fields = [
        ("driver", DeclType::string().at_most(63)),
        ("attributes", named(DeclType::dynamic().at_most(64))),
        ("capacity", named(DeclType::quantity())),
    ];
    DeclType::object("kubernetes.DRADevice", fields)
}

/// Complaints about an expression.
pub(super) fn expression(at: &At, errors: &mut ErrorList) {
    match ENVIRONMENT.compile(at.str()) {
        Err(why) => at.invalid(errors, format!("compilation failed: {why}")),
        Ok(program) if !matches!(program.returns(), Type::Bool | Type::Dyn) => {
            let found = type_name(program.returns());
            at.invalid(errors, format!("must evaluate to bool or the unknown type, not {found}"));
        }
        Ok(program) if program.cost().max > DEAREST => at.forbidden(errors, "too complex, exceeds cost limit"),
        Ok(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_cost_what_upstream_says() {
        for (source, expect) in [
            ("true", 0),
            (r#"device.attributes["no-such-domain"].noSuchAttr.isGreaterThan(quantity("0"))"#, 6),
            (r#"device.attributes["no-such-domain"]["noSuchAttr"].isGreaterThan(quantity("0"))"#, 6),
            (r#""dra.example.com" in device.attributes"#, 3),
            (r#"device.driver == """#, 2),
            (r#"device.driver == "dra.example.com""#, 4),
            (r#"device.attributes["dra.example.com"].name"#, 4),
            (r#"device.attributes["dra.example.com"]["name"]"#, 4),
            (r#"cel.bind(dra, device.attributes["dra.example.com"], dra.name)"#, 15),
            (r#"device.attributes["dra.example.com"].name > 0"#, 5),
            (r#"device.attributes["dra.example.com"].name == "fish""#, 5),
            (r#"device.attributes["dra.example.com"].name.isGreaterThan(semver("0.0.1"))"#, 6),
            (r#"device.capacity["dra.example.com"].name.isGreaterThan(quantity("1Ki"))"#, 6),
            (r#"device.attributes.exists_one(x, x == "dra.example.com")"#, 164),
            (r#"device.attributes["dra.example.com"].exists_one(x, x == "services")"#, 133),
            (r#"device.attributes["dra.example.com"].services.split("example").size() >= 2"#, 19),
            (r#"device.attributes["dra.example.com"].services.matches("[^a]?sym")"#, 18),
            (r#"device.capacity.exists_one(x, x == "dra.example.com")"#, 164),
            (r#"device.capacity["dra.example.com"].exists_one(x, x == "memory")"#, 133),
        ] {
            let program = ENVIRONMENT.compile(source).unwrap_or_else(|why| panic!("{source}: {why}"));
            assert_eq!(program.cost().max, expect, "{source}");
        }
    }

    #[test]
    fn expressions_are_about_a_device_and_say_yes_or_no() {
        let deep = (0..7).fold("int('1'.find('[0-9]*')) < 100".to_owned(), |inner, depth| {
            format!("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].all(x{depth}, {inner})")
        });
        for (source, expect) in [
            (r#"device.attributes["a.b"].c"#, ""),
            ("1", "Invalid value: \"1\": must evaluate to bool or the unknown type, not int"),
            ("?!", "Syntax error"),
            ("device.allowMultipleAllocations", "undefined field 'allowMultipleAllocations'"),
            (&deep, "Forbidden: too complex, exceeds cost limit"),
        ] {
            let value = source.into();
            let mut errors = ErrorList::new();
            expression(&At::root(&value), &mut errors);
            let said = errors.to_string();
            assert!(if expect.is_empty() { errors.is_empty() } else { said.contains(expect) }, "{source}: {said}");
        }
    }
}
