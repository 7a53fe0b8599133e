//! Owns the arguments of a tool: how they are read from JSON, and the schema a model is shown for them.
//!
//! The schema stays inside the subset that function calling of language models accepts: closed objects, every property
//! described, string enums, no `oneOf`/`anyOf`/`allOf`/`$ref`. There is no way to write another one: only the types
//! below implement [`ArgType`], `#[derive(ToolArgs)]` refuses the rest while compiling, and deeper nesting than
//! [`DEPTH_MAX`] fails a constant assertion.

pub mod fields;
mod name;
mod scalars;
mod window;

use serde_json::{Map, Value, json};

pub use fields::{Fields, Rules};
pub use name::{ObjectName, ServiceName};
pub use window::Window;

/// Objects inside objects that a schema may hold: beyond three, models begin to lose track of the braces.
pub const DEPTH_MAX: usize = 3;

/// Properties that one object may hold: beyond a dozen, a tool is several tools.
pub const PROPERTIES_MAX: usize = 12;

/// A type that an argument may have.
pub trait ArgType: Sized {
    /// Objects nested in this type, itself included; 0 for a scalar.
    const DEPTH: usize;
    /// Whether the argument may be left out or be null.
    const OPTIONAL: bool = false;

    /// JSON Schema of the bare type, without description.
    fn schema() -> Value;

    /// Reads the value found at the JSON pointer `at`.
    ///
    /// # Errors
    /// What was expected and what was found, with the pointer.
    fn parse(value: &Value, at: &str) -> Result<Self, ArgError>;

    /// The value of an argument that is absent; `None` when the type has none.
    fn absent() -> Option<Self> {
        None
    }
}

/// The arguments of one tool: a struct with named fields. Implemented by `#[derive(ToolArgs)]` and `#[derive(Tool)]`.
pub trait ToolArgs: ArgType {
    /// Reads a whole argument document.
    ///
    /// # Errors
    /// The text is not JSON, not an object, lacks a required property, has an unknown one, or one of the wrong type.
    fn from_json(text: &str) -> Result<Self, ArgError> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| ArgError { pointer: String::new(), message: format!("not JSON: {error}") })?;
        Self::parse(&value, "")
    }

    /// The defaults that their own types or rules refuse; empty when all is well.
    fn default_flaws() -> Vec<ArgError>;
}

/// An argument that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgError {
    /// JSON pointer to the argument; empty for the whole document.
    pub pointer: String,
    /// What was expected and what was found.
    pub message: String,
}

impl std::fmt::Display for ArgError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pointer = if self.pointer.is_empty() { "arguments" } else { &self.pointer };
        write!(f, "{pointer}: {}", self.message)
    }
}

impl std::error::Error for ArgError {}

impl From<ArgError> for crate::types::ToolError {
    fn from(error: ArgError) -> Self {
        Self::invalid_args(error.to_string())
    }
}

/// Says what was found in place of what was expected, without repeating a long value.
pub(crate) fn mismatch(at: &str, expected: &str, found: &Value) -> ArgError {
    let kind = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    ArgError { pointer: at.to_owned(), message: format!("expected {expected}, found {kind}") }
}

/// The larger of depths, in a constant.
pub const fn max_depth(depths: &[usize]) -> usize {
    let mut deepest = 0;
    let mut rest = depths;
    while let [first, others @ ..] = rest {
        if *first > deepest {
            deepest = *first;
        }
        rest = others;
    }
    deepest
}

/// One property of a closed object, as the derive hands it over.
pub struct Property {
    /// Name in JSON.
    pub name: &'static str,
    /// Doc comment of the field.
    pub description: &'static str,
    /// Schema of the field's type.
    pub schema: Value,
    /// Whether the type has a value for absence.
    pub optional: bool,
    /// Constraints from `#[arg(…)]`.
    pub rules: Rules,
}

/// Writes the schema of a closed object. Required are the properties with neither a default nor a null.
pub fn object_schema(properties: Vec<Property>) -> Value {
    let mut described = Map::new();
    let mut required = Vec::new();
    for property in properties {
        if !property.optional && property.rules.default.is_none() {
            required.push(Value::from(property.name));
        }
        let mut schema = property.schema;
        if let Value::Object(fields) = &mut schema {
            fields.insert("description".to_owned(), property.description.into());
            property.rules.describe(fields);
        }
        described.insert(property.name.to_owned(), schema);
    }
    json!({ "type": "object", "additionalProperties": false, "properties": described, "required": required })
}

/// Reads one of the names of a string enum.
///
/// # Errors
/// Not a string, or none of `names`: the message lists them.
pub fn parse_choice<'n>(value: &Value, at: &str, names: &[&'n str]) -> Result<&'n str, ArgError> {
    let text = value.as_str().ok_or_else(|| mismatch(at, "a string", value))?;
    names.iter().find(|name| **name == text).copied().ok_or_else(|| ArgError {
        pointer: at.to_owned(),
        message: format!("expected one of {}", names.join(", ")),
    })
}
