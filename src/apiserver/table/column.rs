//! Column definitions.

use serde_json::{Value, json};

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    ty: &'static str,
    format: &'static str,
    /// Columns of priority 1 are shown with `-o wide` only.
    priority: u8,
    description: &'static str,
}

/// The object's name.
pub(super) const NAME: Column = Column {
    name: "Name",
    ty: "string",
    format: "name",
    priority: 0,
    description: "The name, unique within a namespace.",
};

/// The time since creation.
pub(super) const AGE: Column = text("Age", "The time since the object was created.");

/// The same of custom kinds that say nothing of columns.
pub(super) const DATE_AGE: Column = of("Age", "date", "The time since the object was created.");

/// The time of creation, where it is shown instead of the age.
pub(super) const CREATED_AT: Column = of("Created At", "date", "When the object was created.");

/// A column of text.
pub(super) const fn text(name: &'static str, description: &'static str) -> Column {
    of(name, "string", description)
}

/// A column of whole numbers.
pub(super) const fn number(name: &'static str, description: &'static str) -> Column {
    of(name, "integer", description)
}

/// A column of yes and no.
pub(super) const fn flag(name: &'static str, description: &'static str) -> Column {
    of(name, "boolean", description)
}

/// A column that is shown with `-o wide` only.
pub(super) const fn wide(name: &'static str, description: &'static str) -> Column {
    Column { priority: 1, ..of(name, "string", description) }
}

const fn of(name: &'static str, ty: &'static str, description: &'static str) -> Column {
    Column { name, ty, format: "", priority: 0, description }
}

impl Column {
    /// The same column in another format.
    pub(super) const fn named(self) -> Column {
        Column { format: "name", ..self }
    }

    /// Whether it is where the object's name stands.
    pub(super) fn is_name(&self) -> bool {
        self.name == "Name"
    }

    /// The column as a Table has it.
    pub(super) fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.ty,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}
