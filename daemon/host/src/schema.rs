//! The strict subset of JSON Schema that tools describe their arguments in: its lint, and the check of arguments.
//!
//! Owns both, so that what the lint lets in is what the check understands. Never guesses: a keyword it does not know is
//! refused at load, not ignored at the call.

use serde_json::{Map, Value};

/// Nesting of objects and arrays. 6: three objects deep, each in an array.
const DEPTH_MAX: usize = 6;
/// Bytes of one schema. 32 KiB: a model has to read it.
const SCHEMA_BYTES_MAX: usize = 32 * 1024;
const KEYWORDS: [&str; 21] = [
    "type",
    "title",
    "description",
    "properties",
    "required",
    "additionalProperties",
    "enum",
    "const",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "items",
    "minItems",
    "maxItems",
    "default",
    "examples",
    "format",
];
const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];

/// A schema that passed the lint.
#[derive(Clone, Debug)]
pub struct InputSchema {
    root: Value,
}

/// Where arguments are wrong, as a JSON pointer, and how.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if .pointer.is_empty() { "/" } else { .pointer })]
pub struct Mismatch {
    pub pointer: String,
    pub message: String,
}

impl InputSchema {
    /// # Errors
    /// What in the schema is outside the subset, with its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > SCHEMA_BYTES_MAX {
            return Err(format!("the schema has {} bytes, the limit is {SCHEMA_BYTES_MAX}", text.len()));
        }
        let mut root: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        if let Some(object) = root.as_object_mut() {
            object.remove("$schema");
        }
        if root.get("type") != Some(&Value::from("object")) {
            return Err("the root must be an object".to_owned());
        }
        lint(&root, "", 0)?;
        Ok(Self { root })
    }

    /// One text for one schema: keys sorted, no spaces.
    pub fn canonical(&self) -> String {
        self.root.to_string()
    }

    /// Checks arguments, turning `"5"` into `5` where a number is wanted (and the like for booleans), once. The answer
    /// is canonical text.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, args_json: &str) -> Result<String, Mismatch> {
        let mut args: Value = serde_json::from_str(args_json)
            .map_err(|error| Mismatch { pointer: String::new(), message: format!("not JSON: {error}") })?;
        fit(&self.root, &mut args, "")?;
        Ok(args.to_string())
    }
}

fn lint(schema: &Value, at: &str, depth: usize) -> Result<(), String> {
    let place = if at.is_empty() { "/" } else { at };
    let schema = schema.as_object().ok_or_else(|| format!("{place}: a schema must be an object"))?;
    if depth > DEPTH_MAX {
        return Err(format!("{place}: nested deeper than {DEPTH_MAX}"));
    }
    if let Some(word) = schema.keys().find(|word| !KEYWORDS.contains(&word.as_str())) {
        return Err(format!("{place}: `{word}` is outside the strict subset"));
    }
    let types = types_of(schema);
    if let Some(unknown) = types.iter().find(|name| !TYPES.contains(name)) {
        return Err(format!("{place}: `{unknown}` is no type"));
    }
    if types.is_empty() && !schema.contains_key("enum") && !schema.contains_key("const") {
        return Err(format!("{place}: says neither `type` nor `enum`"));
    }
    if let Some(pattern) = schema.get("pattern") {
        let pattern = pattern.as_str().ok_or_else(|| format!("{place}: `pattern` must be a string"))?;
        compile(pattern).map_err(|error| format!("{place}: pattern `{pattern}` cannot be used: {error}"))?;
    }
    if types.contains(&"object") {
        lint_object(schema, at, place, depth)?;
    }
    match schema.get("items") {
        Some(items) => lint(items, &format!("{at}/*"), depth + 1)?,
        None if types.contains(&"array") => return Err(format!("{place}: an array must say its `items`")),
        None => {}
    }
    Ok(())
}

fn lint_object(schema: &Map<String, Value>, at: &str, place: &str, depth: usize) -> Result<(), String> {
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(format!("{place}: the object is open; add `additionalProperties: false`"));
    }
    let none = Map::new();
    let properties = match schema.get("properties") {
        Some(properties) => {
            properties.as_object().ok_or_else(|| format!("{place}: `properties` must be an object"))?
        }
        None => &none,
    };
    for (name, property) in properties {
        let described =
            property.get("description").and_then(Value::as_str).is_some_and(|text| !text.trim().is_empty());
        if !described {
            return Err(format!("{at}/{name}: has no description"));
        }
        lint(property, &format!("{at}/{name}"), depth + 1)?;
    }
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !name.as_str().is_some_and(|name| properties.contains_key(name)) {
            return Err(format!("{place}: requires {name}, which is not a property"));
        }
    }
    Ok(())
}

fn types_of(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().map(|name| name.as_str().unwrap_or("?")).collect(),
        Some(_) => vec!["?"],
        None => Vec::new(),
    }
}

/// 64 KiB of automaton: what an honest pattern never comes near.
fn compile(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(64 * 1024).build()
}

fn fit(schema: &Value, value: &mut Value, at: &str) -> Result<(), Mismatch> {
    let none = Map::new();
    let schema = schema.as_object().unwrap_or(&none);
    let fail = |message: String| Err(Mismatch { pointer: at.to_owned(), message });
    let types = types_of(schema);
    if !types.is_empty() && !types.iter().any(|name| is_of(name, value)) {
        match coerced(&types, value) {
            Some(fitting) => *value = fitting,
            None => return fail(format!("must be {}, is {}", types.join(" or "), kind(value))),
        }
    }
    if let Some(Value::Array(choices)) = schema.get("enum")
        && !choices.contains(value)
    {
        let choices: Vec<_> = choices.iter().map(Value::to_string).collect();
        return fail(format!("must be one of {}", choices.join(", ")));
    }
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return fail(format!("must be {constant}"));
    }
    match value {
        Value::String(text) => fit_text(schema, text).or_else(fail),
        Value::Number(number) => fit_number(schema, number.as_f64().unwrap_or(f64::NAN)).or_else(fail),
        Value::Array(items) => {
            let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
            let count = items.len() as u64;
            if bound("minItems").is_some_and(|min| count < min)
                || bound("maxItems").is_some_and(|max| count > max)
            {
                return fail(format!("has {count} items, outside its bounds"));
            }
            if let Some(item) = schema.get("items") {
                for (index, value) in items.iter_mut().enumerate() {
                    fit(item, value, &format!("{at}/{index}"))?;
                }
            }
            Ok(())
        }
        Value::Object(fields) => fit_object(schema, fields, at),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn fit_object(
    schema: &Map<String, Value>,
    fields: &mut Map<String, Value>,
    at: &str,
) -> Result<(), Mismatch> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    if let Some(name) = fields.keys().find(|name| !properties.contains_key(*name)) {
        let known: Vec<_> = properties.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "there are none".to_owned()
        } else {
            format!("known are {}", known.join(", "))
        };
        return Err(Mismatch {
            pointer: format!("{at}/{name}"),
            message: format!("is no property; {known}"),
        });
    }
    for name in
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        if !fields.contains_key(name) {
            return Err(Mismatch {
                pointer: format!("{at}/{name}"),
                message: "is required and missing".to_owned(),
            });
        }
    }
    for (name, property) in properties {
        if let Some(value) = fields.get_mut(name) {
            fit(property, value, &format!("{at}/{name}"))?;
        }
    }
    Ok(())
}

fn fit_text(schema: &Map<String, Value>, text: &str) -> Result<(), String> {
    let count = text.chars().count() as u64;
    if let Some(min) = schema.get("minLength").and_then(Value::as_u64).filter(|min| count < *min) {
        return Err(format!("must have at least {min} characters"));
    }
    if let Some(max) = schema.get("maxLength").and_then(Value::as_u64).filter(|max| count > *max) {
        return Err(format!("must have at most {max} characters"));
    }
    match schema.get("pattern").and_then(Value::as_str) {
        // The lint compiled it once; a pattern that fails now matches nothing.
        Some(pattern) if !compile(pattern).is_ok_and(|pattern| pattern.is_match(text)) => {
            Err(format!("must match {pattern}"))
        }
        _ => Ok(()),
    }
}

fn fit_number(schema: &Map<String, Value>, number: f64) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    match () {
        () if bound("minimum").is_some_and(|min| number < min) => {
            Err(format!("must be at least {}", bound("minimum").unwrap_or_default()))
        }
        () if bound("maximum").is_some_and(|max| number > max) => {
            Err(format!("must be at most {}", bound("maximum").unwrap_or_default()))
        }
        () if bound("exclusiveMinimum").is_some_and(|min| number <= min) => {
            Err(format!("must be above {}", bound("exclusiveMinimum").unwrap_or_default()))
        }
        () if bound("exclusiveMaximum").is_some_and(|max| number >= max) => {
            Err(format!("must be below {}", bound("exclusiveMaximum").unwrap_or_default()))
        }
        () => Ok(()),
    }
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

/// What models write when they mean the other thing: a number or a boolean in quotes, or a bare number for a string.
fn coerced(types: &[&str], value: &Value) -> Option<Value> {
    let fitting = match value {
        Value::String(text) => match text.trim() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => serde_json::from_str::<serde_json::Number>(number).ok().map(Value::Number)?,
        },
        Value::Number(number) => Value::String(number.to_string()),
        _ => return None,
    };
    types.iter().any(|name| is_of(name, &fitting)).then_some(fitting)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> InputSchema {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["service", "workers"],
            "properties": {
                "service": { "type": "string", "pattern": "^[a-z]+$", "description": "A service." },
                "workers": { "type": "integer", "minimum": 1, "maximum": 64, "description": "How many." },
                "mode": { "type": ["string", "null"], "enum": ["fast", "slow", null], "description": "How." },
                "labels": { "type": "array", "maxItems": 2, "description": "Labels.", "items": { "type": "string" } },
            }
        });
        InputSchema::parse(&schema.to_string()).unwrap()
    }

    #[test]
    fn fitting_arguments_come_back_canonical() {
        let args = schema().check(r#" { "workers": 5, "service": "shop", "mode": null } "#).unwrap();
        assert_eq!(args, r#"{"mode":null,"service":"shop","workers":5}"#);
    }

    #[test]
    fn a_number_in_quotes_is_taken_for_the_number_once() {
        assert_eq!(
            schema().check(r#"{"service":"shop","workers":"5"}"#).unwrap(),
            r#"{"service":"shop","workers":5}"#
        );
        assert!(schema().check(r#"{"service":"shop","workers":"\"5\""}"#).is_err());
    }

    #[test]
    fn what_does_not_fit_is_named_by_pointer() {
        let check = |args: Value, pointer: &str, word: &str| {
            let mismatch = schema().check(&args.to_string()).unwrap_err();
            assert_eq!(mismatch.pointer, pointer, "{mismatch}");
            assert!(mismatch.message.contains(word), "{mismatch}");
        };
        check(json!({ "service": "shop" }), "/workers", "required");
        check(json!({ "service": "shop", "workers": 65 }), "/workers", "at most 64");
        check(json!({ "service": "Shop!", "workers": 1 }), "/service", "match");
        check(json!({ "service": "shop", "workers": 1, "force": true }), "/force", "no property");
        check(json!({ "service": "shop", "workers": 1.5 }), "/workers", "integer");
        check(json!({ "service": "shop", "workers": 1, "mode": "warp" }), "/mode", "one of");
        check(json!({ "service": "shop", "workers": 1, "labels": [{}] }), "/labels/0", "string");
        check(json!({ "service": "shop", "workers": 1, "labels": ["a", "b", "c"] }), "/labels", "3 items");
        check(json!([]), "", "object");
        assert_eq!(schema().check("{").unwrap_err().pointer, "");
    }

    #[test]
    fn loose_schemas_do_not_load() {
        let check = |schema: Value, word: &str| {
            let error = InputSchema::parse(&schema.to_string()).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        check(json!({ "type": "object", "properties": {} }), "open");
        check(json!({ "type": "string" }), "root");
        let with = |property: Value| json!({ "type": "object", "additionalProperties": false, "properties": { "a": property } });
        check(with(json!({ "type": "string" })), "description");
        check(with(json!({ "description": "x" })), "neither");
        check(with(json!({ "description": "x", "oneOf": [] })), "oneOf");
        check(with(json!({ "description": "x", "type": "string", "pattern": "(" })), "pattern");
        check(with(json!({ "description": "x", "type": "array" })), "items");
        check(with(json!({ "description": "x", "type": "text" })), "no type");
    }
}
